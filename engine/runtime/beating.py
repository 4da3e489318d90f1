"""The engine's sign of life in the home folder, beside the one in Redis: for a watchdog that must not need a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from engine.contracts.errors import Fatal
from engine.store.heartbeat import EVERY_S, write_beat


async def beat_on(home: Path, run: str, state: Callable[[], str]) -> None:
    """Write it every second until cancelled; `state` gives the trading state. A disk that takes nothing is silence
    there: the watchdog tells a person, and Redis is heard still."""
    beats = 0
    while True:
        beats += 1
        try:
            write_beat(home, run, beats, state())
        except Fatal:
            pass
        await asyncio.sleep(EVERY_S)
