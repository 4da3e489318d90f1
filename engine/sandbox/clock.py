"""The exchange's own clock: the wall clock, moved by what a fault says (A14)."""

from __future__ import annotations

import time


class Clock:
    """Time as the exchange tells it. `skew_ms` is how far it runs ahead of the machine's clock."""

    def __init__(self) -> None:
        self.skew_ms = 0

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        return time.time_ns() // 1_000_000 + self.skew_ms
