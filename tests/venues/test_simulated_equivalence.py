"""Paper is a backtest in real time: the same market gives the same journal, state and account, to the last unit."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_rig import Market, PaperEngine, backtest, perp, spot

from engine.contracts import records as r
from engine.contracts.instruments import E8
from engine.core import state
from engine.simulation.venue import SimulationModel, venue_memory


def both(market: Market, model: SimulationModel) -> tuple[PaperEngine, Any, Any]:
    session, journal = backtest(market, 1_000.0, model)
    paper = PaperEngine(market, 1_000.0, model)
    asyncio.run(paper.run())
    return paper, session, journal


def assert_same(paper: PaperEngine, session: Any, journal: Any) -> None:
    """Every command, answer and note, byte for byte; the core; the venue but for its clock, which goes on longer."""
    made = r.joined(paper.entries)
    rows = min(len(made), len(journal))
    ours, theirs = (a[:rows].view(np.uint8).reshape(rows, -1) for a in (made, journal))
    for k in np.flatnonzero((ours != theirs).any(axis=1))[:1]:
        pytest.fail(f"entry {k}: paper {r.as_dict(made[k]['record'])}, backtest {r.as_dict(journal[k]['record'])}")
    assert len(made) == len(journal)
    assert state.digest(paper.core) == state.digest(session.core)
    mine, other = venue_memory(paper.flat), venue_memory(session.venue)
    mine["head"]["now_ns"] = other["head"]["now_ns"]
    assert {name for name in mine if mine[name].tobytes() != other[name].tobytes()} == set()


def count(journal: Any, kind: int) -> int:
    return int((journal["record"]["kind"] == kind).sum())


def test_spot_pairs_trade_alike_and_the_wallets_say_so() -> None:
    paper, session, journal = both(
        Market([spot(), spot("BREN", fee_in_base=True)], seed=3, minutes=240), SimulationModel()
    )
    assert_same(paper, session, journal)
    assert count(journal, r.CLOSED) > 20
    assert count(journal, r.ORDER_TRIGGERED) > 3
    assert count(journal, r.VIOLATION) == 0
    wallets = {one.asset: one.free + one.locked for one in paper.wallets}
    balances = dict(zip(session.core.assets, session.core.state.balances.tolist(), strict=True))
    assert wallets == {asset: Decimal(amount) / E8 for asset, amount in balances.items() if amount}


def test_perpetuals_with_funding_trade_alike() -> None:
    paper, session, journal = both(Market([perp(), spot()], seed=8, minutes=180), SimulationModel())
    assert_same(paper, session, journal)
    assert count(journal, r.CLOSED) > 10
    assert count(journal, r.FUNDING) > 0
    held = int(session.core.state.positions["qty_lots"][0])
    assert [(one.instrument, one.qty_lots) for one in paper.positions] == ([(0, held)] if held else [])


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    order_ms=st.sampled_from([0.001, 1.0, 100.0, 2_500.0, 9_000.0]),
    reply_ms=st.sampled_from([0.001, 3.0, 50.0, 7_000.0]),
    is_perp=st.booleans(),
)
def test_any_market_and_any_latency(seed: int, order_ms: float, reply_ms: float, is_perp: bool) -> None:
    market = Market([perp() if is_perp else spot(), spot("BREN", fee_in_base=True)], seed, minutes=40)
    assert_same(*both(market, SimulationModel(order_latency_ms=order_ms, reply_latency_ms=reply_ms)))


def test_the_venues_own_clock_changes_nothing() -> None:
    """Events are dated by the venue's skewed clock; when they were heard decides."""

    class Skewed(Market):
        def events(self) -> Any:
            events = super().events()
            events["venue_ts_ns"] = events["ts_ns"] + 700_000_000 * (-1) ** np.arange(len(events))
            return events

    fills = []
    for kind in (Market, Skewed):
        paper = PaperEngine(kind([spot()], seed=5, minutes=30), 1_000.0, SimulationModel())
        asyncio.run(paper.run())
        fills.append([one.tobytes() for one in r.joined(paper.entries)["record"] if one["kind"] == r.FILL])
    assert fills[0] == fills[1]
    assert len(fills[0]) > 4
