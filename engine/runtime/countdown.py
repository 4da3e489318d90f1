"""The venue's own countdown, kept armed while an entry order rests: what the watchdog is for a hung engine, it is for a
machine that is gone.

Rules
-----
* Armed for entry orders only, per instrument, and renewed every third of its time.
* Never on an instrument with a position or a stop: whether the venue's countdown spares stops is not known (X10). The
  moment a position opens it is disarmed, and disarming is tried until the venue confirms it.
* A countdown that may have been armed counts as armed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from engine.contracts import records as r
from engine.contracts.errors import KeelError
from engine.core import life
from engine.core.state import Core
from engine.venues.port import CountingDown, Notice, Venue

LOOK_S: Final = 0.1
AGAIN_S: Final = 0.5  # what failed is tried again after
LAST_S: Final = 1.0  # for disarming at the end


class _Armed:
    """One instrument."""

    def __init__(self, execution: CountingDown, symbol: str, venue: str) -> None:
        self.execution, self.symbol, self.venue = execution, symbol, venue
        self.is_armed = self.is_wanted = False
        self.due_s = 0.0  # when to speak to the venue again
        self.task: asyncio.Task[None] | None = None
        self.trouble = ""


class Countdown:
    """`run` it beside the engine. Venues without a countdown are left out."""

    def __init__(
        self, core: Core, venues: Sequence[Venue], countdown_s: float, notice: Callable[[Notice], None]
    ) -> None:
        self._core, self._after_ms, self._notice = core, round(countdown_s * 1000), notice
        by_name = {venue.name: venue.execution for venue in venues}
        self._armed: dict[int, _Armed] = {}
        for number, one in enumerate(core.instruments):
            execution = by_name.get(one.venue)
            if one.kind == "perp" and isinstance(execution, CountingDown) and execution.counts_down:
                self._armed[number] = _Armed(execution, one.symbol, one.venue)

    @property
    def is_needed(self) -> bool:
        """Some venue counts down for some instrument."""
        return bool(self._armed)

    @property
    def armed(self) -> list[int]:
        """Instruments the venue counts down for, or may."""
        return [number for number, one in self._armed.items() if one.is_armed]

    async def run(self) -> None:
        """Until cancelled; then every countdown is stopped: orders of an engine that ends in order stay."""
        try:
            while self._armed:
                self.look()
                await asyncio.sleep(LOOK_S)
        finally:
            await self._disarm()

    def look(self) -> None:
        """Arm, renew or disarm what is due."""
        wanted = self._wanted()
        now_s = time.monotonic()
        for number, one in self._armed.items():
            is_wanted = number in wanted
            is_busy = one.task is not None and not one.task.done()
            if not is_busy and (is_wanted or one.is_armed) and (now_s >= one.due_s or is_wanted != one.is_wanted):
                one.is_wanted = is_wanted
                one.due_s = now_s + (self._after_ms / 3_000 if is_wanted else AGAIN_S)
                one.task = asyncio.create_task(self._set(number, one, self._after_ms if is_wanted else 0))

    def _wanted(self) -> set[int]:
        """Instruments on which an entry order rests, and nothing that must not be cancelled."""
        state = self._core.state
        orders = state.orders[(state.orders["status"] != life.FREE) & (state.orders["status"] < life.FIRST_DONE)]
        resting = (orders["role"] == r.ROLE_ENTRY) & (orders["order_type"] == r.LIMIT_ORDER) & (orders["tif"] == r.GTC)
        wanted = {int(number) for number in orders["instrument"][resting]}
        kept = {int(number) for number in orders["instrument"][orders["role"] != r.ROLE_ENTRY]}
        return {number for number in wanted - kept if state.positions["qty_lots"][number] == 0}

    async def _set(self, number: int, one: _Armed, after_ms: int) -> None:
        one.is_armed = True
        try:
            await one.execution.count_down(number, after_ms)
        except KeelError as error:
            one.due_s = time.monotonic() + AGAIN_S
            what = "armed" if after_ms else "stopped"
            text = f"{one.symbol}: the venue's countdown cannot be {what}: {error}; trying again"
            if one.trouble != what:
                one.trouble = what
                self._notice(Notice(one.venue, "lost", text, number))
            return
        one.trouble = ""
        one.is_armed = after_ms > 0

    async def _disarm(self) -> None:
        work = []
        for number, one in self._armed.items():
            if one.task is not None:
                one.task.cancel()
            if one.is_armed:
                work.append(self._set(number, one, 0))
        try:
            async with asyncio.timeout(LAST_S):
                await asyncio.gather(*work)
        except TimeoutError:
            pass  # it runs out by itself
