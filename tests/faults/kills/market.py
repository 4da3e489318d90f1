"""A market that is moved fast: each step is a second of the venue's time, whatever the wall says."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from engine.contracts import records as r

BAR_MS: Final = 1_000
ROOMY: Final = 7.531
"""Size at the touch that fills any order here at once."""


class Walk:
    """The prices of some symbols of a floor, walking up and down so that means cross with every few bars."""

    def __init__(self, floor: Any, symbols: Sequence[str], seed: int, thin: float) -> None:
        """`thin`: the share of steps in which the touch holds only a part of what an order wants."""
        self._floor, self._dice, self._thin = floor, random.Random(f"market {seed}"), thin
        instruments = floor._market.instruments
        self._rows = [
            (k, float(one.tick_size), float(one.lot_size), floor.mid[one.symbol])
            for k, one in enumerate(instruments) if one.symbol in symbols
        ]  # fmt: skip
        self._share = dict.fromkeys((row[0] for row in self._rows), 1.0)
        self._trend = dict.fromkeys((row[0] for row in self._rows), 1)
        self._now_ms = round(time.time() * 1000)

    def step(self) -> None:
        """A second passes: two prices of each symbol, in one bar."""
        self._now_ms = max(self._now_ms, round(time.time() * 1000)) // BAR_MS * BAR_MS + BAR_MS
        for part in range(2):
            self._play(self._now_ms + part * 300, {number: self._moved(number) for number, *_ in self._rows})

    def murmur(self) -> None:
        """The same prices once more, within the second."""
        self._play(self._now_ms + 700, dict(self._share))

    def hit_stops(self) -> None:
        """Every price falls below any stop, and stays there for a bar."""
        for number in self._share:
            self._share[number] *= 0.985
        for part in range(2):
            self._play(self._now_ms + 600 + part, dict(self._share))

    def price(self, symbol: str) -> float:
        """The last one."""
        instruments = self._floor._market.instruments
        number = next(k for k, one in enumerate(instruments) if one.symbol == symbol)
        return float(self._floor.mid[symbol] * self._share[number])

    def _moved(self, number: int) -> float:
        dice = self._dice
        if dice.random() < 0.3:
            self._trend[number] = -self._trend[number]
        if dice.random() < 0.02:
            self._share[number] *= 0.992  # below a stop
        pull = (1.0 - self._share[number]) * 0.02
        self._share[number] *= 1 + self._trend[number] * dice.uniform(0.0002, 0.0012) + pull
        return self._share[number]

    def _play(self, time_ms: int, shares: dict[int, float]) -> None:
        events = np.zeros(3 * len(self._rows), r.RECORD)
        events["ts_ns"] = events["venue_ts_ns"] = time.time_ns()
        for k, (number, tick, lot, mid) in enumerate(self._rows):
            one = events[3 * k : 3 * k + 3]
            ticks = round(mid * shares[number] / tick)
            size = ROOMY if self._dice.random() >= self._thin else 12.0 / (mid * shares[number])
            lots = max(round(size / lot), 1)
            one["instrument"] = number
            one["kind"] = (r.QUOTE, r.TRADE, r.TRADE)
            quote = (("bid_ticks", ticks - 1), ("bid_lots", lots), ("ask_ticks", ticks + 1), ("ask_lots", lots))
            for name, value in quote:
                one[name][0] = value
            one["side"][1:], one["price_ticks"][1:], one["qty_lots"][1:] = (-1, 1), (ticks - 1, ticks), (lots, 1)

        async def play() -> None:
            self._floor._hall.play(events, time_ms)

        self._floor.run(play())
