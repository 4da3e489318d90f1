"""Work on the side of a venue: kept until it is done, and told about where it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from traceback import extract_tb
from typing import Any

from engine.contracts.errors import KeelError, Retryable
from engine.venues.port import NoticeKind


class Background:
    """`say` tells people of what went wrong."""

    def __init__(self, say: Callable[[NoticeKind, str], None]) -> None:
        self._say = say
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin; asyncio itself would let a task go that nobody holds."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def end(self) -> None:
        """Cancel everything and wait until it is gone."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            is_ours = isinstance(error, KeelError) and not isinstance(error, Retryable)
            self._say("refused" if is_ours else "lost", reason_of(error))


def reason_of(error: BaseException | None) -> str:
    """Why a task ended, for people. Of a mistake of ours the place is named, not the text, which may hold anything."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(reason_of(one) for one in error.exceptions)
    if error is None or isinstance(error, KeelError):
        return str(error or "it ended by itself")
    frames = extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"unexpected {type(error).__name__}{place}"
