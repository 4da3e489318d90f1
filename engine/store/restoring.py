"""Put a backup (`engine.store.backup`) back: an empty home, and an audit that is empty or the same.

Rules
-----
* Everything is unpacked and checked in a folder of its own inside the home before it takes its place there: a damaged,
  cut or newer file leaves the home empty, and the damaged part is named.
* The audit's rows go back as they were, hashes and all. A database that has them already keeps what it has; one with
  another audit is refused. Where the database refuses or is away, the home is empty again.
* The restored audit says so in a row of its own; tables are projected from the journals.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple

import msgspec
from sqlalchemy import insert

from engine.contracts.errors import BadData, Fatal, Refused
from engine.journal.atomic import write_failure
from engine.store import audit, audit_check, audit_file, homefolder, schema
from engine.store.audit_check import Verdict
from engine.store.backup import AUDIT, CONTENTS, FORMAT, HEAD, HOME, BackupHead, Contents, SavedFile
from engine.store.database import Database

RESTORED: Final = "backup.restored"
_BROKEN: Final = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)
_ROWS_AT_ONCE: Final = 1_000

Tell = Callable[[str], None]


class Restored(NamedTuple):
    """What came back: when the backup was made, what it holds, and the audit as it is now."""

    created: str
    contents: Contents
    audit_added: int
    audit: Verdict


def restore(
    path: Path,
    home: Path,
    open_store: Callable[[], AbstractContextManager[Database]],
    who: str,
    tell: Tell = lambda name: None,
) -> Restored:
    """Restore the backup `path` into the empty folder `home` and the database `open_store` opens.

    Raises Refused for a home that is not empty, a newer format or another audit in the database, BadData for a damaged
    file, Retryable where the database is away; nothing is left behind then.
    """
    check_empty(home)
    with _staging(home) as staging:
        head, contents = unpack(path, staging, tell)
        try:
            _take_place(staging / HOME, home)
            with open_store() as store:
                added = put_audit(store, staging / AUDIT)
                verdict = _remember(store, path, head, contents, who)
        except BaseException:  # Ctrl-C as well: half a home must not pass for one
            _empty(home)
            raise
    return Restored(head.created, contents, added, verdict)


def check_empty(home: Path) -> None:
    """Raises Refused where something lies in `home`."""
    found = sorted(path.name for path in home.iterdir()) if home.is_dir() else []
    if found:
        named = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise Refused(
            f"{home.absolute()} is not empty ({named}): restore into an empty folder (set KEEL_HOME), or remove what "
            "is there with trading-cli erase"
        )


def unpack(path: Path, folder: Path, tell: Tell = lambda name: None) -> tuple[BackupHead, Contents]:
    """Unpack and check a backup. Raises BadData naming what is damaged, Refused for a newer format."""
    found: dict[str, SavedFile] = {}
    reading = HEAD
    try:
        with gzip.open(path, "rb") as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                members = iter(tar)
                head = _head(path, tar, next(members, None))
                for member in members:
                    reading = member.name
                    tell(reading)
                    found[reading] = _unpacked(path, tar, member, folder)
            while stream.read(1 << 20):  # to the end, where the checksum of it all is
                pass
    except _BROKEN as error:
        raise _damaged(
            path, f"{reading}, or what follows it, cannot be read ({error or type(error).__name__})"
        ) from None
    except OSError as error:
        raise BadData(
            f"{path} cannot be read: {error.strerror or error}; name a file made by trading-cli backup"
        ) from None
    return head, _checked(path, folder, found)


def put_audit(database: Database, file: Path) -> int:
    """Add the rows of an exported audit that are not there yet; how many were. Raises Refused for another audit."""
    saved = audit_file.rows(file)
    with database.begin() as connection:
        audit.lock(connection)
        there = 0
        for row in audit.rows_of(connection):
            other = next(saved, None)
            if other is None:
                return 0  # what is there is newer
            if other["hash"] != row["hash"]:
                raise Refused(
                    f"the database at {database.where} holds another audit (row {row['seq']} differs): restore into an "
                    "empty database, or erase it with trading-cli erase"
                )
            there += 1
        added = 0
        for rows in _in_blocks(saved):
            connection.execute(insert(schema.audit), rows)
            added += len(rows)
    return added


def _remember(store: Database, path: Path, head: BackupHead, contents: Contents, who: str) -> Verdict:
    note = audit.Change(
        who=who, what=RESTORED, why=f"restored from {path.name}",
        after={"runs": contents.runs, "audit_rows": contents.audit_rows, "audit_head": contents.audit_head},
        evidence={"created": head.created, "files": len(contents.files), "bytes": contents.size},
    )  # fmt: skip
    audit.append(store, [note])
    return audit_check.check(store)


def _in_blocks(rows: Iterator[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    block: list[dict[str, object]] = []
    for row in rows:
        block.append(row)
        if len(block) == _ROWS_AT_ONCE:
            yield block
            block = []
    if block:
        yield block


def _head(path: Path, tar: tarfile.TarFile, first: tarfile.TarInfo | None) -> BackupHead:
    content = tar.extractfile(first) if first is not None and first.name == HEAD else None
    try:
        found = msgspec.json.decode(content.read() if content else b"", type=BackupHead)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadData(f"{path} is no backup of Keel's, or its beginning is damaged") from None
    if found.format > FORMAT:
        raise Refused(
            f"{path} has format {found.format}, newer than {FORMAT}, the newest this program reads: install the "
            "version of Keel that made it, or a later one"
        )
    return found


def _unpacked(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> SavedFile:
    name = PurePosixPath(member.name)
    content = tar.extractfile(member) if member.isreg() else None
    if content is None or name.is_absolute() or ".." in name.parts:
        raise _damaged(path, f"it holds {member.name!r}, which no backup does")
    target = folder / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        size, digest = _copied(content, target)
        target.chmod(member.mode & 0o700 | (member.mode & 0o077 if _is_shareable(name) else 0))
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise
        raise write_failure(target, error) from error
    return SavedFile(name=member.name, size=size, sha256=digest, mode=member.mode)


def _is_shareable(name: PurePosixPath) -> bool:
    """Others of the machine may read reports and journals where they could before; nothing else."""
    return name.parts[:2] == ("home", "runs")


def _copied(content: IO[bytes], target: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with open(target, "xb", opener=_private) as file:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _checked(path: Path, folder: Path, found: dict[str, SavedFile]) -> Contents:
    """The list at the end, against what was unpacked."""
    if found.pop(CONTENTS, None) is None:
        raise _damaged(path, f"it ends early, {CONTENTS} is missing")
    try:
        contents = msgspec.json.decode((folder / CONTENTS).read_bytes(), type=Contents)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(path, f"{CONTENTS} cannot be read ({error})") from None
    wrong = [
        file.name for file in contents.files
        if (one := found.pop(file.name, None)) is None or (one.size, one.sha256) != (file.size, file.sha256)
    ]  # fmt: skip
    if wrong or found:
        raise _damaged(path, f"not as they were saved: {', '.join((wrong + sorted(found))[:5])}")
    if not (folder / AUDIT).is_file():
        raise _damaged(path, f"{AUDIT} is missing")
    return contents


def _damaged(path: Path, what: str) -> BadData:
    return BadData(f"{path} is damaged: {what}; nothing was restored. Use another backup")


@contextmanager
def _staging(home: Path) -> Iterator[Path]:
    """A folder in the home for what is not checked yet."""
    folder = home / f"{homefolder.STAGING}{os.getpid()}"
    try:
        (folder / HOME).mkdir(parents=True)
        folder.chmod(0o700)
    except OSError as error:
        raise write_failure(folder, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take_place(staged: Path, home: Path) -> None:
    try:
        for entry in sorted(staged.iterdir()):
            entry.rename(home / entry.name)
    except OSError as error:
        raise write_failure(home, error) from error


def _empty(home: Path) -> None:
    """Take back what was put into a home that had been empty."""
    for entry in home.iterdir():
        try:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        except OSError as error:
            raise Fatal(f"{entry} could not be taken back: {error.strerror}; remove it, then restore again") from None
