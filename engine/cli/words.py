"""What the engine says, written by a thread of its own: a terminal that is stopped (Ctrl-S) must not stop trading."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from engine.cli.terminal import say

WAITING: Final = 1_000  # lines that may wait to be read; what comes beyond is left out, and counted
LAST_S: Final = 2.0  # for what still waits at the end


class Words:
    """`say` never waits, within ``with``; what waits at the end is written then."""

    def __init__(self, write: Callable[[str], None] = say) -> None:
        self._write = write
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING)
        self._left_out = 0
        self._thread = threading.Thread(target=self._write_on, name="words", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._lines.put(None, timeout=LAST_S)
        except queue.Full:
            return  # nobody reads: the process ends without these words
        self._thread.join(LAST_S)

    def say(self, line: str) -> None:
        """One line; left out where a thousand wait already."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._left_out += 1

    def _write_on(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._write(line)
                if self._left_out:
                    count, self._left_out = self._left_out, 0
                    self._write(f"({count:,} lines were left out here: nobody was reading)")
            except OSError:
                return  # whoever read is gone
