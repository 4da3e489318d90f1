"""Dislocations laid over the market of an exchange: the shown book of a pair moves away, and back when they are over.

Rules
-----
* Quotes and trades of the pair are moved together, from the first quote after the start on; levels behind the touch
  follow it, as with any quote.
* The touch that is too good shows what nobody has taken of it yet. When customers have taken as much as the
  dislocation is deep, or its time has passed, the book is the market's again.
* After each order that took of it the book is shown anew at once, without waiting for the market's next quote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from engine.contracts import records as r
from engine.contracts.instruments import E8, Instrument
from engine.markets.dislocations import Dislocation
from engine.markets.symbols import QUOTE_UNITS, legs
from engine.sandbox.accounts import Fill, Order

FULL_BPS: Final = 10_000


@dataclass
class Standing:
    """A dislocation that began. `left_lots` is what nobody has taken yet (-1: no quote since it began); `fair` the
    market's own quote."""

    plan: Dislocation
    number: int
    left_lots: int = -1
    taken_lots: int = 0
    fair: Any = field(default=None, repr=False)

    @property
    def side(self) -> int:
        """The side of an order that takes of it: who finds the price too high sells."""
        return -1 if self.plan.bps > 0 else 1

    @property
    def is_taken(self) -> bool:
        """Whether all of it was taken."""
        return self.left_lots == 0


class Dislocated:
    """What is shown of a market with `planned` dislocations; those of other symbols are left out."""

    def __init__(self, instruments: Sequence[Instrument], planned: Sequence[Dislocation]) -> None:
        self._instruments = instruments
        self._numbers = {one.symbol: number for number, one in enumerate(instruments)}
        self._planned = sorted((one for one in planned if one.symbol in self._numbers), key=lambda one: one.start_ns)
        self._standing: dict[int, Standing] = {}
        self._due: dict[int, Standing] = {}
        self._now_ns = 0
        self.begun: list[Standing] = []

    def shown(self, events: Any) -> Any:
        """Market events as they are shown; the same array where nothing is dislocated."""
        if not len(events):
            return events
        since_ns, self._now_ns = (int(events["venue_ts_ns"][k]) for k in (0, -1))
        while self._planned and self._planned[0].start_ns <= self._now_ns:
            planned = self._planned.pop(0)
            if planned.end_ns > since_ns:
                self._begin(planned)
        if not self._standing:
            return events
        moved = events.copy()
        for one in list(self._standing.values()):
            stamps = moved["venue_ts_ns"]
            mine = (moved["instrument"] == one.number) & (stamps >= one.plan.start_ns) & (stamps < one.plan.end_ns)
            if mine.any():
                self._move(moved, np.flatnonzero(mine), one)
            if self._now_ns >= one.plan.end_ns:
                del self._standing[one.number]
        return moved

    def add(self, symbol: str, bps: float, duration_ns: int, depth_usd: float) -> None:
        """One more, from the market's next quote of the symbol on; it replaces one that stands there."""
        self._begin(Dislocation(symbol, self._now_ns, self._now_ns + duration_ns, bps, depth_usd))

    def stands(self, one: Standing) -> bool:
        """Whether it is not over yet."""
        return self._standing.get(one.number) is one

    def take(self, order: Order, fill: Fill) -> None:
        """Something was traded: it may have been taken of a dislocation."""
        one = self._standing.get(order.symbol)
        if one is None or one.left_lots < 0 or order.side != one.side or fill.is_maker:
            return
        one.taken_lots += fill.lots
        one.left_lots = max(one.left_lots - fill.lots, 0)
        self._due[order.symbol] = one
        if one.is_taken:
            del self._standing[order.symbol]

    def due(self) -> Any:
        """Quotes that are to be shown now, since something was taken."""
        quotes = [one.fair.copy() for one in self._due.values()]
        for quote, one in zip(quotes, self._due.values(), strict=True):
            if not one.is_taken:
                self._move(quote, np.zeros(1, np.int64), one)
        self._due.clear()
        return r.joined(quotes, r.RECORD)

    def _begin(self, plan: Dislocation) -> None:
        one = Standing(plan, self._numbers[plan.symbol])
        self._standing[one.number] = one
        self.begun.append(one)

    def _move(self, events: Any, rows: Any, one: Standing) -> None:
        """Move quotes and trades of the pair, in place."""
        kinds = events["kind"][rows]
        quotes, trades = rows[kinds == r.QUOTE], rows[kinds == r.TRADE]
        if len(quotes):
            one.fair = events[quotes[-1:]].copy()
            if one.left_lots < 0:
                one.left_lots = self._depth(one)
            shift = _shift((events["bid_ticks"][quotes] + events["ask_ticks"][quotes]) >> 1, one.plan.bps)
            events["bid_ticks"][quotes] += shift
            events["ask_ticks"][quotes] += shift
            events["bid_lots" if one.side < 0 else "ask_lots"][quotes] = one.left_lots
        if one.fair is not None and len(trades):
            events["price_ticks"][trades] += _shift(events["price_ticks"][trades], one.plan.bps)

    def _depth(self, one: Standing) -> int:
        """Lots of the depth it was planned with, at least one."""
        instrument = self._instruments[one.number]
        unit = QUOTE_UNITS.get(legs(instrument.symbol)[1], 1.0)
        per_lot_e8 = float(one.fair["bid_ticks"][0] * instrument.tick_lot_e8)
        return max(round(one.plan.depth_usd * unit * E8 / per_lot_e8), 1)


def _shift(ticks: Any, bps: float) -> Any:
    """Whole ticks that prices move by: at least one."""
    away = np.maximum(np.rint(np.abs(ticks * bps / FULL_BPS)), 1).astype(np.int64)
    return away if bps > 0 else -np.minimum(away, ticks - 1)
