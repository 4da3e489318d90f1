"""The recorded market, played to the exchange against the wall clock.

The first `history_s` seconds of it are played before the start, dated back from it at the same speed, so that candles
and trades are there when the first client asks. At `speed` 0 nothing moves by itself: `advance` is the clock.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import numpy as np

from engine.contracts.errors import BadInput
from engine.markets.retimed import Played
from engine.sandbox.site import Hall, Playable

TURN_S: Final = 0.001
MOST_AT_ONCE: Final = 512
"""Events played without letting anybody else speak."""
SECOND_NS: Final = 1_000_000_000


class Replay:
    """Plays `market` in `hall`. `speed` is market seconds per wall second (0: only when asked)."""

    def __init__(self, market: Playable, hall: Hall, speed: float, history_s: float) -> None:
        if not 0 <= speed <= 1e6 or not 0 <= history_s <= 1e8:
            raise BadInput(f"speed = {speed} must lie in 0..1e6, history_s = {history_s} in 0..1e8")
        self.speed = speed
        self.playing: Played | None = None
        self.played = 0
        self.total = market.events
        self._hall = hall
        self._blocks = market.blocks(16_384)
        self._block: Any = next(self._blocks)
        self._at = 0
        self._play_history(market.from_ns + round(history_s * SECOND_NS))

    @property
    def is_over(self) -> bool:
        """Whether all of the market has been played: the last prices stand from then on."""
        return self.played >= self.total

    @property
    def next_ns(self) -> int:
        """Market time of the next event. Only valid while not `is_over`."""
        return int(self._block["venue_ts_ns"][self._at])

    def advance(self, events: int = 0, until_ns: int = 0) -> int:
        """Play the next `events`, or all up to market time `until_ns`; at most `MOST_AT_ONCE`. Returns how many."""
        part = self._take(events, until_ns)
        if len(part):
            self._hall.play(part)
        return len(part)

    def _take(self, events: int, until_ns: int) -> Any:
        while self._at >= len(self._block) and not self.is_over:
            self._block, self._at = next(self._blocks), 0
        stamps = self._block["venue_ts_ns"][self._at :]
        count = events if events else int(np.searchsorted(stamps, until_ns, side="right"))
        count = min(count, len(stamps), MOST_AT_ONCE)
        part = self._block[self._at : self._at + count]
        self._at += count
        self.played += count
        return part

    def _play_history(self, start_ns: int) -> None:
        """Everything before the start, dated back: in steps short enough to date candles by the second."""
        now_ms = self._hall.clock.now_ms()
        while not self.is_over:
            if self._at >= len(self._block):
                self._block, self._at = next(self._blocks), 0
            if self.next_ns > start_ns:
                break
            stamp = self.next_ns
            part = self._take(0, min(stamp // SECOND_NS * SECOND_NS + SECOND_NS - 1, start_ns))
            self._hall.play(part, now_ms - round((start_ns - stamp) / ((self.speed or 1.0) * 1e6)))

    async def run(self) -> None:
        """Play on until the market is over. `playing` then says which moment of it was when on the wire."""
        if self.is_over or self.speed == 0:
            return
        if self._at >= len(self._block):
            self._block, self._at = next(self._blocks), 0
        origin_ns, started = self.next_ns, time.monotonic_ns()
        self.playing = Played(origin_ns, time.time_ns(), self.speed)
        while not self.is_over:
            until = origin_ns + round((time.monotonic_ns() - started) * self.speed)
            played = self.advance(until_ns=until)
            await asyncio.sleep(0 if played == MOST_AT_ONCE else TURN_S)
