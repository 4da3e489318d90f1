"""How long an engine has been silent: its signs of life in Redis and in the home folder, told apart.

Rules
-----
* A sign of life is one that *changed* since the last look, on our own monotonic clock; stamps and set clocks do not
  matter. Redis that cannot be asked is silence there, and there alone.
* An engine is silent when both are. Either alone is told to a person and nothing else.
* A watcher that was itself asleep (stopped, suspended) has seen nothing: that time is not the engine's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import redis.asyncio

from engine.store.heartbeat import STALE_S, live_beat_ns, read_beat

ASLEEP_S: Final = 2.0
"""Between two looks; what is longer is a watcher that did not run."""


class _Pulse:
    """One sign of life."""

    def __init__(self, now_s: float) -> None:
        self.mark: object = None
        self.changed_s = now_s

    def note(self, mark: object, now_s: float) -> None:
        if mark is not None and mark != self.mark:
            self.mark, self.changed_s = mark, now_s


class Silence:
    """Of one run, from now on."""

    def __init__(
        self, home: Path, run: str, client: redis.asyncio.Redis | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`client` with a short reply timeout; it stays the caller's."""
        self.run = run
        self._home, self._client, self._clock = home, client, clock
        now_s = clock()
        self._file, self._redis = _Pulse(now_s), _Pulse(now_s)
        self._looked_s = now_s
        self.state = ""

    async def look(self) -> float:
        """Seconds without any sign of life."""
        live_ns = None if self._client is None else await live_beat_ns(self._client, self.run)
        beat = read_beat(self._home)
        now_s = self._clock()
        slept_s = now_s - self._looked_s
        self._looked_s = now_s
        if slept_s > ASLEEP_S:
            for pulse in (self._file, self._redis):
                pulse.changed_s += slept_s
        if beat is not None and beat.run == self.run:
            self._file.note((beat.pid, beat.seq, beat.ts_ns), now_s)
            self.state = beat.state
        self._redis.note(live_ns, now_s)
        return self.silent_s

    @property
    def silent_s(self) -> float:
        """Since the last sign of life of any kind, as of the last look."""
        return min(self.file_s, self.redis_s)

    @property
    def file_s(self) -> float:
        """Since the file's."""
        return self._looked_s - self._file.changed_s

    @property
    def redis_s(self) -> float:
        """Since Redis's."""
        return self._looked_s - self._redis.changed_s

    @property
    def half(self) -> str:
        """What is silent while the other is not, in words; empty where both or none are."""
        if self.file_s > STALE_S >= self.redis_s:
            return "its heartbeat file is not written any more (is the disk full?), but it is heard in Redis"
        if self.redis_s > STALE_S >= self.file_s:
            return "it is not heard in Redis (is Redis gone?), but its heartbeat file is written"
        return ""
