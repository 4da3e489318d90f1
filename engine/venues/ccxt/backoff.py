"""Waiting between attempts: twice as long each time, with jitter, so that a venue that comes back is not run over."""

from __future__ import annotations

import asyncio
import random
from typing import Final

FIRST_S: Final = 0.25
LONGEST_S: Final = 30.0


class BackOff:
    """`pause` after a failed attempt, `reset` after one that succeeded."""

    def __init__(self) -> None:
        self._wait_s = FIRST_S

    def reset(self) -> None:
        """The next pause is the shortest again."""
        self._wait_s = FIRST_S

    async def pause(self) -> None:
        """Wait; longer the next time."""
        await asyncio.sleep(self._wait_s * random.uniform(0.5, 1.5))
        self._wait_s = min(2 * self._wait_s, LONGEST_S)
