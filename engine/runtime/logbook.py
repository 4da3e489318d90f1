"""The journal as the live loop writes it: every turn, synced by a thread, and nothing left out when the disk is full.

Rules
-----
* Everything is written at the end of the turn that took it; the disk is synced every `SYNC_S`, in a thread.
* What the disk does not take is kept in memory, in order, and tried again every `RETRY_S`. Once all of it is written
  the journal is whole, and `fault` is empty again; until then the loop refuses entries.
* More than `KEPT_BYTES`, or a sync that fails (what the disk then holds is anybody's guess), ends the journal for good:
  the next life learns from the venues what is missing.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from engine.contracts.errors import Fatal
from engine.contracts.records import ENTRY
from engine.journal.segments import JournalWriter
from engine.venues.port import Notice

SYNC_S: Final = 0.05
RETRY_S: Final = 1.0
KEPT_BYTES: Final = 64 << 20
"""An hour of a busy engine."""
CATCH_UP_BYTES: Final = 256 << 10
"""Written in one go, a millisecond or so; prices get a word in between."""

Entries = np.ndarray[Any, Any]


class Logbook:
    """Everything is called from the loop's own thread. `fault`: why the journal cannot be written now, in words."""

    def __init__(self, journal: JournalWriter, notice: Callable[[Notice], None]) -> None:
        self._journal, self._notice = journal, notice
        self._loop = asyncio.get_running_loop()
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._is_over = False
        self._retry_timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._sync_timer: asyncio.TimerHandle | None = None
        self._syncing = self._is_unsynced = False
        self.fault = ""

    @property
    def segment(self) -> int:
        """Number of the segment that is being written."""
        return self._journal.segment

    def write(self, entries: Entries) -> None:
        """Write a turn's ENTRYs, or keep them; copied."""
        if self.fault:
            self._keep(entries.tobytes())
            return
        why = self._append(entries)
        if why:
            self._failed(f"the journal cannot be written: {why}", "no entries until it can; nothing is left out")
            self._try_later(RETRY_S)
        self._is_unsynced = True
        if self._sync_timer is None and not self._syncing:
            self._sync_timer = self._loop.call_later(SYNC_S, self._sync)

    def close(self) -> None:
        """Try once more to write what is kept. Closing the journal, which syncs it, stays the caller's."""
        self._is_unsynced = False
        for timer in (self._retry_timer, self._sync_timer):
            if timer is not None:
                timer.cancel()
        self._retry_timer = self._sync_timer = None
        while self._kept and not self._catch_up():
            pass
        if not self._kept and not self._is_over:
            self.fault = ""

    # --- what the disk does not take ----------------------------------------------------------------

    def _append(self, entries: Entries) -> str:
        """Why it was not written in full; what was not is kept. Empty where all of it was."""
        before = self._journal.entries
        try:
            self._journal.append(entries)
        except (Fatal, OSError) as error:
            rest = entries[self._journal.entries - before :].tobytes()
            self._kept.appendleft(rest)
            self._kept_bytes += len(rest)
            return str(error)
        return ""

    def _keep(self, block: bytes) -> None:
        if self._is_over:
            return
        self._kept.append(block)
        self._kept_bytes += len(block)
        if self._kept_bytes > KEPT_BYTES:
            text = f"{self.fault}; {KEPT_BYTES >> 20} MiB wait to be written, no more are kept"
            self._end(text)

    def _try_later(self, wait_s: float) -> None:
        self._retry_timer = self._loop.call_later(wait_s, self._retry)

    def _retry(self) -> None:
        self._retry_timer = None
        if self._is_over:
            return
        is_stuck = self._catch_up()
        if self._kept:
            self._try_later(RETRY_S if is_stuck else 0.0)
            return
        self.fault = ""
        self._notice(Notice("journal", "connected", "everything is written, nothing is missing; entries go on"))

    def _catch_up(self) -> bool:
        """Write the oldest of what is kept; whether the disk still does not take it."""
        blocks: list[bytes] = []
        size = 0
        while self._kept and size < CATCH_UP_BYTES:
            blocks.append(self._kept.popleft())
            size += len(blocks[-1])
        self._kept_bytes -= size
        return bool(self._append(np.frombuffer(b"".join(blocks), ENTRY)))

    # --- syncing ------------------------------------------------------------------------------------

    def _sync(self) -> None:
        self._sync_timer = None
        if self._is_over:
            return
        try:
            handle = self._journal.duplicate_handle()
        except (Fatal, OSError) as error:  # no file handle left: tried again, as long as it takes
            if not self.fault:
                self._failed(f"the journal cannot be synced to disk: {error}", "no entries until it can")
                self._try_later(RETRY_S)
            self._sync_timer = self._loop.call_later(RETRY_S, self._sync)
            return
        self._syncing, self._is_unsynced = True, False
        self._loop.run_in_executor(None, _sync_and_close, handle).add_done_callback(self._synced)

    def _synced(self, done: asyncio.Future[None]) -> None:
        self._syncing = False
        if not done.cancelled() and done.exception() is not None:
            self._journal.abandon()
            self._end(f"the journal cannot be synced to disk: {done.exception()}")
        elif self._is_unsynced:  # written meanwhile; nothing else may come to ask for it
            self._sync_timer = self._loop.call_later(SYNC_S, self._sync)

    def _end(self, why: str) -> None:
        self._is_over = True
        self._kept.clear()
        self._kept_bytes = 0
        self._failed(why, "no entries until restarted")

    def _failed(self, why: str, until: str) -> None:
        self.fault = why
        self._notice(Notice("journal", "refused", f"{why}; {until}"))


def _sync_and_close(handle: int) -> None:
    try:
        os.fdatasync(handle)
    finally:
        os.close(handle)
