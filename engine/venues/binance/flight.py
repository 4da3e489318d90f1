"""Requests on their way: each is answered within a time, or its fate is unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from engine.venues.binance.order_words import Command


class Sent(NamedTuple):
    """A request and when its answer is late (loop time); `is_again`: it was refused once for its time stamp."""

    command: Command
    late_s: float
    is_again: bool = False


class Flight:
    """What was sent and not answered, oldest first. One timer, for the oldest."""

    def __init__(self, patience_s: float, late: Callable[[Sent], None]) -> None:
        self._patience_s, self._late = patience_s, late
        self._loop = asyncio.get_running_loop()
        self._sent: dict[str, Sent] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._sent)

    def add(self, request_id: str, command: Command, is_again: bool = False) -> None:
        """A request leaves now."""
        late_s = self._loop.time() + self._patience_s
        self._sent[request_id] = Sent(command, late_s, is_again)
        if self._timer is None:
            self._timer = self._loop.call_at(late_s, self._look)

    def pop(self, request_id: object) -> Sent | None:
        """Its answer came; None for one that is not (any more) waited for."""
        return self._sent.pop(request_id, None) if isinstance(request_id, str) else None

    def drain(self) -> list[Sent]:
        """The way back is gone: everything that was waiting."""
        sent, self._sent = list(self._sent.values()), {}
        self.close()
        return sent

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for request_id, sent in list(self._sent.items()):
            if sent.late_s > now:
                self._timer = self._loop.call_at(sent.late_s, self._look)
                return
            del self._sent[request_id]
            self._late(sent)
