"""The state, saved once in a while, so that a restart has little to replay.

The copy is made between two turns of the loop; writing it takes a thread. A snapshot is a shortcut: where it cannot be
written the journal is enough, and that is told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engine.contracts.errors import Fatal
from engine.core.carrying import parts_of
from engine.core.state import Core
from engine.journal import recovery
from engine.runtime.logbook import Logbook
from engine.venues.port import Notice

EVERY_S: Final = 60.0
LOOK_S: Final = 1.0
MOST_EVENTS: Final = 500_000
"""So many events at the most lie between two: a second or so of replaying."""


class Snapshots:
    """Of one run. Everything journalled is flushed when a turn ends, so the state belongs to its last event."""

    def __init__(self, run_dir: Path, core: Core, logbook: Logbook, notice: Callable[[Notice], None]) -> None:
        self._run_dir, self._core, self._logbook, self._notice = run_dir, core, logbook, notice
        self._trouble = ""
        self._seq = int(core.state.head[0].seq)

    async def run(self) -> None:
        """Until cancelled: every `EVERY_S`, or `MOST_EVENTS`."""
        loop = asyncio.get_running_loop()
        last_s = loop.time()
        while True:
            await asyncio.sleep(LOOK_S)
            if self._logbook.fault:
                continue  # never ahead of the journal: what the journal lacks, a restart must ask the venues for
            events = int(self._core.state.head[0].seq) - self._seq
            if events and (loop.time() - last_s >= EVERY_S or events >= MOST_EVENTS):
                taken = self._taken()
                last_s = loop.time()
                await asyncio.to_thread(self._write, *taken)

    def save(self) -> None:
        """Save it now, waiting for the disk."""
        self._write(*self._taken())

    def _taken(self) -> tuple[dict[str, Any], int, int]:
        self._seq = int(self._core.state.head[0].seq)
        return dict(parts_of(self._core)), self._seq, self._logbook.segment

    def _write(self, parts: dict[str, Any], seq: int, segment: int) -> None:
        try:
            recovery.save(self._run_dir, parts, seq, segment)
            self._trouble = ""
        except Fatal as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                text = f"no snapshot: {error}; a restart replays the journal instead"
                self._notice(Notice("journal", "refused", text))
