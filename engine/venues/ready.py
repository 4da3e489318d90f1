"""Grants taken ahead, so that an order on the hot path does not wait for a round trip to Redis.

A grant may be used for a sixtieth of its shortest window (windows.py counts for that). Every half of that the grants
are renewed and what was not used is given back, so standing by costs nothing but the few that are held.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from engine.contracts.errors import BadInput
from engine.venues.budgets import BUDGETS, Budget, Urgency
from engine.venues.limiter import BudgetFull, Grant, RateLimiter
from engine.venues.windows import bucket_ms


class ReadyGrants:
    """`count` requests of the same `charges` and urgency, ready to be sent. Run `renew_on` as a task."""

    def __init__(
        self,
        limiter: RateLimiter,
        charges: Mapping[str, int],
        urgency: Urgency,
        count: int,
        budgets: Mapping[str, Budget] = BUDGETS,
        clock_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        if count < 1:
            raise BadInput(f"count {count}: at least one request must be ready")
        self._limiter, self._charges, self._urgency, self._count = limiter, charges, urgency, count
        self._clock_ms = clock_ms
        self._life_ms = min(bucket_ms(w.length_ms) for name in charges for w in budgets[name].windows)
        self._grant: Grant | None = None
        self._left = 0
        self._ends_ms = 0

    def take(self) -> bool:
        """True: send one request now. False: none ready (ask the limiter, which may wait)."""
        if self._left == 0 or self._clock_ms() >= self._ends_ms:
            return False
        self._left -= 1
        return True

    async def renew(self) -> bool:
        """Take new grants, then give back what is left of the old ones; False when the budget has no room for
        them (then nothing is ready)."""
        asked_ms = self._clock_ms()
        try:
            grant = await self._limiter.acquire_all(self._times(self._count), self._urgency, patience_s=0)
        except BudgetFull:
            await self.close()
            return False
        old, left = self._grant, self._left
        self._grant, self._left, self._ends_ms = grant, self._count, asked_ms + self._life_ms
        await self._give_back(old, left)
        return True

    async def renew_on(self) -> None:
        """Renew until cancelled."""
        me = asyncio.current_task()
        while me is None or not me.cancelling():  # redis-py loses a cancellation that meets a reply
            await self.renew()
            await asyncio.sleep(self._life_ms / 2000)

    async def close(self) -> None:
        """Give back everything; nothing is ready afterwards."""
        old, left = self._grant, self._left
        self._grant, self._left = None, 0
        await self._give_back(old, left)

    async def _give_back(self, grant: Grant | None, left: int) -> None:
        if grant is not None and left:
            await self._limiter.give_back(grant._replace(charges=self._times(left)))

    def _times(self, count: int) -> dict[str, int]:
        return {name: weight * count for name, weight in self._charges.items()}
