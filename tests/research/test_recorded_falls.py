"""With default limits no shipped strategy, alone or beside the others, falls 5 % from its peak on any recording."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from engine.contracts import reasons
from engine.contracts.records import CLOSED, EQUITY, GAP, joined
from engine.core.limits import Limits
from engine.core.strategies import table
from engine.research.backtest import closes_of, default_timeframes
from engine.research.search import Data
from engine.research.session import Session
from engine.research.studies import STRETCHES, Recorded, missing
from engine.simulation.venue import SimulationModel

DATA: Final = Path(os.environ.get("KEEL_DATA_DIR", "../shared/data"))
NAMES: Final = [row.name for row in table.STRATEGIES]
SETS: Final = [*([name] for name in NAMES), NAMES]


def notes_of(market: Any, strategies: list[str]) -> Any:
    """What a run journals of equity, gaps and closed trades."""
    kept: list[Any] = []

    def sink(entries: Any) -> None:
        kept.append(entries[np.isin(entries["record"]["kind"], (EQUITY, GAP, CLOSED))])

    session = Session(
        market, strategies={name: {} for name in strategies}, capital_usd=1000.0, limits=Limits(),
        simulation=SimulationModel(), timeframes_s=default_timeframes(market.grade, closes_of(market)), sinks=[sink],
    )  # fmt: skip
    session.run()
    return joined(kept)["record"]


@pytest.mark.parametrize("stretch", STRETCHES, ids=[one.title for one in STRETCHES])
def test_no_strategy_falls_as_far_as_the_limit(stretch: Recorded) -> None:
    """Equity is noted by the hour, and at the moment it passes the limit: the core looks at every price."""
    if why := missing(stretch.files, "", DATA):
        pytest.skip(why)
    paths = tuple((DATA / name).resolve() for name in stretch.files)
    market = Data(paths=paths, symbols=stretch.symbols or None, reading=stretch.reading).open()
    limit = Limits().drawdown_pct / 100
    for strategies in SETS:
        notes = notes_of(market, strategies)
        usd = np.append(1000.0, notes["equity_e8"][notes["kind"] == EQUITY] / 1e8)
        falls = 1 - usd / np.maximum.accumulate(usd)
        assert falls.max() < limit, (strategies, falls.max())
        assert reasons.GAP_DRAWDOWN not in notes["reason"][notes["kind"] == GAP], strategies
        if strategies == NAMES and (market.to_ns - market.from_ns) > 10 * 86_400 * 10**9:
            assert (notes["kind"] == CLOSED).sum() > 15, "nothing was traded, nothing is shown"
