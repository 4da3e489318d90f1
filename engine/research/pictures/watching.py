"""A session that is looked at: what the core itself holds at regular moments, and what it noted in the journal.

Nothing is computed again outside the core: a look reads the state, or asks the strategy's own compiled rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from engine.contracts.instruments import Instrument
from engine.core.limits import Limits
from engine.research.session import Blocks, Session
from engine.research.stretch import charged
from engine.simulation.venue import SimulationModel

Array = np.ndarray[Any, Any]
CAPITAL_USD: Final = 1_000.0


class _Cut:
    """A market whose blocks end at whole multiples of a time: between two of them the core can be looked at."""

    def __init__(self, market: Blocks, every_ns: int) -> None:
        self._market, self._every_ns = market, every_ns

    @property
    def instruments(self) -> list[Instrument]:
        """Those of the market."""
        return self._market.instruments

    def blocks(self, max_records: int = 131_072) -> Iterator[Array]:
        """The stream of the market, cut."""
        for block in self._market.blocks(max_records):
            times = block["venue_ts_ns"]
            first, last = (int(t) // self._every_ns for t in (times[0], times[-1]))
            edges = np.arange(first + 1, last + 1, dtype=np.int64) * self._every_ns
            cuts = [0, *np.searchsorted(times, edges).tolist(), len(block)]
            for a, b in zip(cuts, cuts[1:], strict=False):
                if a < b:
                    yield block[a:b]


class Charged:
    """A market for an account whose fees are so many times the usual ones."""

    def __init__(self, market: Blocks, fee_factor: float) -> None:
        self.instruments = charged(market.instruments, fee_factor)
        self.blocks = market.blocks


def watch(
    market: Blocks, every_ns: int, look: Callable[[Any], None], *, strategies: dict[str, dict[str, float]],
    timeframes_s: tuple[int, ...], selector: dict[str, float] | None = None, limits: Limits | None = None,
    simulation: SimulationModel | None = None,
) -> list[Array]:  # fmt: skip
    """Let the core trade the market with $1,000; `look` is given its state at every multiple of `every_ns` and at the
    end. Returns the journal, ENTRYs in order. Raises BadInput for strategies that cannot be run."""
    kept: list[Array] = []
    session = Session(
        _Cut(market, every_ns), strategies=strategies, capital_usd=CAPITAL_USD, limits=limits or Limits(),
        simulation=simulation or SimulationModel(), timeframes_s=timeframes_s, sinks=[kept.append],
        selector_params=selector,
    )  # fmt: skip

    def seen(events: int) -> None:
        if events:
            look(session.core.state)

    session.run(progress=seen)
    look(session.core.state)
    return kept


def day_of(ts_ns: int) -> str:
    """The UTC day in words."""
    return f"{datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC):%-d %B %Y}"
