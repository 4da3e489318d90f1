"""Where the audit ended when this home last saw it: ``home/audit.head``, outside the database.

The chain in the database cannot tell that rows are missing at its end. So every append and every good verification
notes the last row's hash here, and `engine.store.audit_check` compares. JSON lines, the newest last, replaced as a
whole; the last `KEPT` of them.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from engine.contracts.errors import BadData
from engine.journal.atomic import replace_file, write_failure

FILE: Final = "audit.head"
LOCK: Final = "audit.head.lock"
KEPT: Final = 1_000


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The end of an audit as it was seen. `chain` is the hash of its first row and names it, `rows` the number of its
    last row, `head` that row's hash, `where` the database it was seen in, `ts_ns` wall time ns UTC."""

    chain: str
    rows: int
    head: str
    where: str
    ts_ns: int


def head_now(chain: str, rows: int, head: str, where: str) -> Head:
    """What is seen at this moment."""
    return Head(chain=chain, rows=rows, head=head, where=where, ts_ns=time.time_ns())


def read(home: Path) -> list[Head]:
    """Every head seen, the oldest first; none where the file is missing. Raises BadData for a damaged file."""
    path = home / FILE
    try:
        return [msgspec.json.decode(line, type=Head) for line in path.read_bytes().splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadData(
            f"{path} cannot be read ({error}): what the audit's end was is not known here any more; "
            "move the file away, then trading-cli audit verify begins a new one"
        ) from None


def note(home: Path, seen: Head) -> None:
    """Remember an end; the same one again changes nothing. Raises BadData for a damaged file, Fatal where the disk
    refuses: the rows themselves are in the database then."""

    def added(before: list[Head]) -> list[Head]:
        return before if before and _same(before[-1]) == _same(seen) else [*before, seen]

    _change(home, added)


def keep(home: Path, wanted: Callable[[Head], bool]) -> None:
    """Forget every head that is not `wanted`."""
    _change(home, lambda before: [one for one in before if wanted(one)])


def _same(head: Head) -> tuple[str, int, str, str]:
    return head.chain, head.rows, head.head, head.where


def _change(home: Path, change: Callable[[list[Head]], list[Head]]) -> None:
    with _locked(home):
        before = read(home)
        after = change(before)
        if after != before:
            replace_file(home / FILE, [msgspec.json.encode(one) + b"\n" for one in after[-KEPT:]])


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One writer at a time: an engine's projector and a person's command append side by side."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise write_failure(home / LOCK, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # closing lets go
