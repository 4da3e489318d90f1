"""A small candle market for sessions, and what a session made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.contracts.instruments import Instrument
from engine.contracts.records import ENTRY, FIRST_COMMAND, FUNDING, JUMP, LAST, PATH, RECORD, joined
from engine.core.limits import Limits
from engine.journal.manifest import run_digest
from engine.research.session import Blocks, Session
from engine.simulation.venue import SimulationModel

Array = np.ndarray[Any, Any]
START_NS = 1_735_707_600_000_000_000  # 2025-01-01T05:00:00Z
STEP_NS = 75_000_000_000
FEED_NS = 20_000_000
CROSSOVER = {"crossover": {"fast": 2, "slow": 4, "stop_pct": 1.0, "notional_usd": 60.0, "entry_cap_bps": 30}}


@dataclass(frozen=True)
class Candles:
    """Path points of a random walk, in blocks of any size; funding every eight hours where there is a rate."""

    instruments: list[Instrument]
    points: int = 3_000
    block: int = 4_096
    rate_e12: int = 0
    seed: int = 5

    def events(self) -> Array:
        rng = np.random.default_rng(self.seed)
        out = np.zeros(self.points * len(self.instruments), RECORD)
        for i in range(len(self.instruments)):
            mine = out[i :: len(self.instruments)]
            steps = rng.normal(0, 0.003, self.points) + np.repeat(rng.normal(0, 0.0015, self.points // 40 + 1), 40)[
                : self.points
            ]
            mine["venue_ts_ns"] = START_NS + np.arange(self.points) * STEP_NS + i
            mine["kind"], mine["instrument"] = PATH, i
            mine["price_ticks"] = (10_000 * np.exp(np.cumsum(steps))).astype(np.int64)
            mine["qty_lots"], mine["spread_ticks"], mine["depth_lots"] = 5_000, 2, 100_000
            mine["bits"] = np.where(np.arange(self.points) % 4 == 0, JUMP, LAST)
        out["ts_ns"] = out["venue_ts_ns"] + FEED_NS
        return self._with_funding(out) if self.rate_e12 else out

    def _with_funding(self, points: Array) -> Array:
        due = points[::384].copy()  # 384 points of 75 s are eight hours
        due["kind"], due["rate_e12"], due["price_ticks"] = FUNDING, self.rate_e12, 0
        due["bits"] = due["qty_lots"] = due["spread_ticks"] = due["depth_lots"] = 0
        parts = []
        for k in range(len(due)):
            parts += [points[k * 384 : k * 384 + 1], due[k : k + 1], points[k * 384 + 1 : (k + 1) * 384]]
        return joined(parts, RECORD)

    def blocks(self, max_records: int = 0) -> Iterator[Array]:
        events = self.events()
        for first in range(0, len(events), max_records or self.block):
            yield events[first : first + (max_records or self.block)].copy()


def session(market: Blocks, sink: Callable[[Array], None], **model: float) -> Session:
    """An eager crossover on five-minute bars with 1,000 USD."""
    return Session(
        market, strategies=CROSSOVER, capital_usd=1_000.0, limits=Limits(), simulation=SimulationModel(**model),
        timeframes_s=(300, 900, 3_600), sinks=[sink],
    )  # fmt: skip


@dataclass(frozen=True)
class Run:
    """The journal of a finished session."""

    session: Session
    entries: Array

    @property
    def records(self) -> Array:
        return self.entries["record"]

    def of(self, *kinds: int) -> Array:
        return self.entries[np.isin(self.records["kind"], kinds)]

    @property
    def commands(self) -> Array:
        kinds = self.records["kind"]
        return self.entries[(kinds >= FIRST_COMMAND) & (kinds < FIRST_COMMAND + 10)]

    @property
    def digest(self) -> str:
        return run_digest(self.entries.tobytes().hex(), self.session.core)


def run(market: Blocks, **model: float) -> Run:
    """Run a session to the end."""
    made: list[Array] = []
    one = session(market, made.append, **model)
    assert one.run()
    return Run(one, joined(made, ENTRY))
