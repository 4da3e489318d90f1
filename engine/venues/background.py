"""Work on the side of a venue: kept until it is done, and told about where it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
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
        if isinstance(error, KeelError):
            self._say("lost" if isinstance(error, Retryable) else "refused", str(error))
        elif error is not None:  # a mistake of ours: named without its text, which may hold anything
            self._say("lost", f"work in the background ended by {type(error).__name__}")
