"""Signs of life as small files in the home folder: ``heartbeat`` by the engine, ``watchdog.heartbeat`` by the watchdog.

They need no server. Each is written over itself about once a second, always `BYTES` long: that takes no room on a full
disk, waits for no disk, and a reader that meets a write half done reads again a moment later. A reader goes by what
*changed* since it looked last, on its own monotonic clock: clocks that are set do not matter.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import msgspec
import redis
import redis.asyncio

from engine.journal.atomic import write_failure
from engine.store.liveview import Heartbeat
from engine.store.running import WATCHDOG as RUNNING
from engine.store.running import read_running

FILE: Final = "heartbeat"
WATCHDOG: Final = "watchdog.heartbeat"
EVERY_S: Final = 1.0
BYTES: Final = 512
STALE_S: Final = 5.0
"""Whoever has not been heard of for so long is silent."""


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """One sign of life. `seq` rises by one a beat, `ts_ns` is wall time UTC; `state` is a word for people: the engine's
    trading state, or what the watchdog does."""

    pid: int
    run: str
    ts_ns: int
    seq: int
    state: str

    @property
    def age_s(self) -> float:
        """Seconds since it was written, by the wall clock."""
        return max(time.time_ns() - self.ts_ns, 0) / 1e9


def write_beat(home: Path, run: str, seq: int, state: str, file: str = FILE) -> Beat:
    """Show that this process lives; takes some tens of µs. Raises Fatal where it cannot be written."""
    beat = Beat(pid=os.getpid(), run=run, ts_ns=time.time_ns(), seq=seq, state=state)
    try:
        handle = os.open(home / file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(handle, msgspec.json.encode(beat).ljust(BYTES), 0)
        finally:
            os.close(handle)
    except OSError as error:
        raise write_failure(home / file, error) from error
    return beat


def read_beat(home: Path, file: str = FILE) -> Beat | None:
    """The last sign of life; None where there is none, or nothing that can be read."""
    try:
        return msgspec.json.decode((home / file).read_bytes(), type=Beat)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def watchdog_state(home: Path) -> tuple[bool, str, int | None]:
    """Whether a watchdog lives here and has shown it in the last seconds; what it does, in words; its process."""
    running, beat = read_running(home, RUNNING), read_beat(home, WATCHDOG)
    lives = running is not None and beat is not None and beat.pid == running.pid and beat.age_s < STALE_S
    words = beat.state if beat is not None and lives else "no watchdog lives here"
    return lives, words, running.pid if running is not None else None


async def live_beat_ns(client: redis.asyncio.Redis, run: str) -> int | None:
    """When the engine of `run` last wrote its heartbeat into Redis, as it said; None where there is none, or Redis
    cannot be asked."""
    try:
        found = await client.get(f"keel:live:{run}:heartbeat")
        return msgspec.json.decode(found, type=Heartbeat).ts_ns if found else None
    except (redis.RedisError, OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def clear_beat(home: Path, file: str = FILE) -> None:
    """This process ends in order."""
    try:
        (home / file).unlink(missing_ok=True)
    except OSError:
        pass  # it only grows old
