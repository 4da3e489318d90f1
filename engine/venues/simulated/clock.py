"""The clock simulated orders live by: the wall's, or one a test turns by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

_MS_NS: Final = 1_000_000


class Alarm(Protocol):
    """A call that was arranged."""

    def cancel(self) -> None:
        """It is not wanted any more."""


class Clock(Protocol):
    """Time in ns since 1970 UTC, and calls at a time."""

    def now_ns(self) -> int:
        """Now."""

    def call_at(self, due_ns: int, then: Callable[[], None]) -> Alarm:
        """Call `then` in the loop's own thread, at about `due_ns`: who is called looks at the clock."""


class WallClock:
    """The machine's clock and the running loop's timers, which are rounded up to milliseconds: uvloop's count in them,
    and would else be asked again and again for what is left of one."""

    def now_ns(self) -> int:
        return time.time_ns()

    def call_at(self, due_ns: int, then: Callable[[], None]) -> Alarm:
        wait_ms = -(-max(due_ns - time.time_ns(), 0) // _MS_NS)
        return asyncio.get_running_loop().call_later(wait_ms / 1000, then)
