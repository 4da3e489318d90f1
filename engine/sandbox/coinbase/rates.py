"""Requests a second: 10 public ones of an address, 30 private ones of a portfolio, and the headers that say so."""

from __future__ import annotations

from typing import Final

from engine.sandbox.clock import Clock
from engine.sandbox.weights import Window

PUBLIC: Final = 10
PRIVATE: Final = 30
SECOND_MS: Final = 1000


class Rates:
    """What each caller has used of this second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[str, Window] = {}

    def charge(self, caller: str, limit: int) -> tuple[bool, dict[str, str]]:
        """Count a request: whether it is within the limit, and the headers of its answer."""
        window = self._windows.setdefault(caller, Window(SECOND_MS, limit))
        now = self._clock.now_ms()
        is_within = window.add(1, now)
        return is_within, {
            "x-ratelimit-limit": str(limit),
            "x-ratelimit-remaining": str(max(limit - window.used, 0)),
            "x-ratelimit-reset": str(-(-window.left_ms(now) // SECOND_MS)),
        }
