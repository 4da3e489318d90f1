"""Which engine runs in a home folder: ``home/engine.json``, written by the engine itself (``watchdog.json``: likewise).

It does not need Redis, so that "the engine runs, Redis is gone" can be told from "no engine runs". A file left behind
by ``kill -9`` is noticed: a process is the one that wrote it only if pid *and* start of the process agree.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from engine.contracts.errors import BadData, Fatal, Refused
from engine.journal.atomic import replace_file, write_failure

FILE: Final = "engine.json"
WATCHDOG: Final = "watchdog.json"  # the same of the watchdog's process, whose `run` is `WATCHING`
WATCHING: Final = "watchdog"
_LOCK: Final = "engine.lock"
STARTING: Final = "starting"
"""`Running.run` of an engine that has claimed the home and has no run yet."""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """An engine. `process` is the start of its process as the system writes it, `starter` the process that started it,
    `started_ns` wall time ns UTC."""

    run: str
    pid: int
    process: str
    mode: str
    venues: tuple[str, ...]
    started_ns: int
    starter: int = 0

    @property
    def is_alive(self) -> bool:
        """The process that wrote this still lives."""
        return bool(self.process) and _process_start(self.pid) == self.process


def write_running(home: Path, run: str, mode: str, venues: Sequence[str], file: str = FILE) -> Running:
    """Say that this process is the engine (by `file`: the watchdog) of `home`. Raises Refused while another living one
    is."""
    pid = os.getpid()
    mine = Running(
        run=run, pid=pid, process=_process_start(pid), mode=mode, venues=tuple(venues), started_ns=time.time_ns(),
        starter=os.getppid(),
    )  # fmt: skip
    with _locked(home):
        check_free(home, file)
        replace_file(home / file, [msgspec.json.encode(mine)])
    return mine


def check_free(home: Path, file: str = FILE) -> None:
    """Raises Refused while a living engine of another process runs in `home`; writes nothing."""
    other = read_running(home, file)
    if other is not None and other.pid != os.getpid():
        name = {STARTING: "an engine", WATCHING: "a watchdog"}.get(other.run, f"run {other.run}")
        raise Refused(
            f"{name} (process {other.pid}, {other.mode}) already runs in {home}: "
            "end it with trading-cli down, or set KEEL_HOME to another folder"
        )


def read_running(home: Path, file: str = FILE) -> Running | None:
    """The engine that runs in `home`; None when there is none, or the one that was has died."""
    last = read_last(home, file)
    return last if last is not None and last.is_alive else None


def read_last(home: Path, file: str = FILE) -> Running | None:
    """What the last engine wrote, alive or not; None where it went in order. Raises BadData for another file."""
    try:
        return msgspec.json.decode((home / file).read_bytes(), type=Running)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadData(f"{home / file} cannot be read ({error}); no engine running: delete it") from None


def clear_running(home: Path, file: str = FILE) -> None:
    """This engine ends in order. Another engine's file is left alone; calling it twice changes nothing."""
    with _locked(home):
        last = read_last(home, file)
        if last is not None and last.pid == os.getpid():
            (home / file).unlink(missing_ok=True)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One writer at a time, so that two engines starting together cannot both find nobody."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise write_failure(home / _LOCK, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # closing lets go


def _process_start(pid: int) -> str:
    """When a process was started, as text only to be compared; empty where there is no such process."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
        fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
        return "" if fields[0] in "ZX" else f"{_boot()} {fields[19]}"
    try:
        found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    except OSError as error:
        raise Fatal(f"neither /proc nor ps tells whether process {pid} runs: {error.strerror}") from None
    return found.stdout.strip()


def _boot() -> str:
    """The boot's id: ticks since boot mean nothing without it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
