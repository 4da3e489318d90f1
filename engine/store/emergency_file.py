"""The request for an emergency and what becomes of it: two files in the home folder, the one path behind every door.

Rules
-----
* ``HOME/emergency`` exists: an emergency. What is in it only says who and why; empty, garbage, a folder or a file that
  cannot be read count as much as ours. It needs no server, and room on the disk for nothing but a name.
* Asking again while one is being carried out changes nothing; after it was proved flat it is proved anew.
* ``HOME/emergency.told`` is what whoever carries it out last said. `flat` is True only where the venues' own answers
  prove it, None while nothing is known yet, False ("NOT FLAT") where something is open or a venue cannot be asked.
* Only `clear`, by a person's `resume`, ends it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import stat
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.contracts.errors import BadData, Fatal, Retryable
from engine.journal.atomic import replace_file, write_failure
from engine.store.running import STARTING, Running, read_running

FILE: Final = "emergency"
TOLD: Final = "emergency.told"
FLAT: Final = "FLAT"
NOT_FLAT: Final = "NOT FLAT"
LONGEST: Final = 500  # characters of `who` and `why`
_MOST_BYTES: Final = 16_384


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; `ts_ns` wall ns UTC."""

    id: str
    who: str
    why: str
    ts_ns: int


class VenueProgress(msgspec.Struct, frozen=True, kw_only=True):
    """One venue: our orders and positions still open there by its own answer, `unreachable` why it cannot be asked.
    `foreign` is what is not ours and left alone, `dust` what is too small for the venue to sell."""

    venue: str
    flat: bool | None = None
    orders: int = 0
    positions: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    dust: tuple[str, ...] = ()
    unreachable: str = ""
    words: str = ""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Where it stands. `phase`: closing, FLAT or NOT FLAT. `by`: engine, watchdog or cli, whoever carries it out.
    `seconds` since it began; `ts_ns` wall ns UTC of this word."""

    request: str
    phase: str
    flat: bool | None
    by: str
    seconds: float
    ts_ns: int
    venues: tuple[VenueProgress, ...] = ()
    words: str = ""

    def answers(self, request: Request) -> bool:
        """This is about `request`, or about a later one that took its place."""
        return self.request == request.id or self.ts_ns > request.ts_ns


def request(home: Path, who: str, why: str) -> Request:
    """Ask for an emergency, or join the one that is asked for. Raises Fatal where not even an empty file can be."""
    standing = pending(home)
    if standing is not None:
        told = progress(home)
        if told is None or not told.answers(standing) or not told.flat:
            return standing
    made = Request(id=secrets.token_hex(8), who=plain(who), why=plain(why), ts_ns=time.time_ns())
    try:
        replace_file(home / FILE, [msgspec.json.encode(made)])
    except (Fatal, OSError):  # a full disk has room for a name, and a name is enough
        _touch(home / FILE)
    return pending(home) or made


def pending(home: Path) -> Request | None:
    """The emergency that is asked for, None where there is none. Raises Retryable where the folder cannot be looked
    into: that is no answer."""
    try:
        found = os.lstat(home / FILE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Retryable(f"{home / FILE} cannot be looked for: {error.strerror}; correct the folder") from None
    told = _read(home / FILE) if stat.S_ISREG(found.st_mode) else {}
    stamp = f"{found.st_mtime_ns:x}-{found.st_ino:x}"
    ts_ns = told.get("ts_ns")
    return Request(
        id=_text(told.get("id")) or f"file-{stamp}",
        who=_text(told.get("who")) or "file",
        why=_text(told.get("why")) or "the file was made",
        ts_ns=ts_ns if type(ts_ns) is int and ts_ns > 0 else found.st_mtime_ns,
    )


def report(home: Path, told: Progress) -> None:
    """Say where it stands. Raises Fatal where it cannot be written."""
    replace_file(home / TOLD, [msgspec.json.encode(told)])


def progress(home: Path) -> Progress | None:
    """What was said last, None where nothing was, or nothing that can be read."""
    try:
        return msgspec.json.decode((home / TOLD).read_bytes(), type=Progress)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def clear(home: Path) -> None:
    """It is over: a person said so. Raises Fatal where the request cannot be removed."""
    try:
        (home / TOLD).unlink(missing_ok=True)
        if (home / FILE).is_dir() and not (home / FILE).is_symlink():
            shutil.rmtree(home / FILE)
        else:
            (home / FILE).unlink(missing_ok=True)
    except OSError as error:
        raise write_failure(home / FILE, error) from error


def wake(home: Path) -> Running | None:
    """Make the engine of this home look at once; it, None where none lives or it is only starting (it looks then)."""
    try:
        running = read_running(home)
    except BadData:
        return None
    if running is None or running.run == STARTING:
        return None
    try:
        os.kill(running.pid, signal.SIGUSR1)
    except OSError:
        return None
    return running


def plain(text: str) -> str:
    """One line of what somebody typed, at most `LONGEST` characters."""
    return "".join(one if one.isprintable() else " " for one in text).strip()[:LONGEST]


def _touch(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if not os.path.lexists(path):
            raise write_failure(path, error) from error


def _read(path: Path) -> dict[str, Any]:
    """What our doors wrote, as far as it can be understood."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            found = msgspec.json.decode(file.read(_MOST_BYTES))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    return plain(value) if isinstance(value, str) else ""
