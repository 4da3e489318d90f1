"""A home in one file: every run, the encrypted keys, what the engine keeps for its next start, and the audit.

A gzipped tar, readable for its owner alone: ``keel-backup.json`` (format, when), the files of the home below
``home/``, ``audit.jsonl`` (the audit as `engine.store.audit_file` writes it), and at the end ``contents.json``: size
and SHA-256 of every file before it. No secret lies in it open: the key file is encrypted, settings and passphrases are
left out.

An engine may run meanwhile
---------------------------
* A run's manifest is read first, its snapshots next, its journal last: a snapshot never runs ahead of its journal.
* The last segment is taken up to its last whole frame; the segments before it do not change any more.
* A simulated account is on disk before its answers are journalled: read after the journals, it knows all they know.
* The heads of the audit are read before the audit: it may have grown since, never shrunk.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from engine.contracts.errors import Fatal
from engine.journal import frames, segments, walking
from engine.journal import manifest as manifests
from engine.journal.recovery import OPENING
from engine.journal.snapshots import FOLDER as SNAPSHOTS
from engine.store import audit_file, audit_head, homefolder, keys
from engine.store.audit import Verification
from engine.store.catching_up import RUNS
from engine.store.database import Database
from engine.store.private_file import new_file

FORMAT: Final = 1
HEAD: Final = "keel-backup.json"
AUDIT: Final = "audit.jsonl"
CONTENTS: Final = "contents.json"
HOME: Final = "home/"
_ORDER: Final = (manifests.FILE, OPENING, SNAPSHOTS, segments.FOLDER)  # of a run's entries; others come second
_LOOKS: Final = 5  # at a folder in which files come and go
_COMPRESSION: Final = 4

Tell = Callable[[str], None]


class BackupHead(msgspec.Struct, frozen=True, kw_only=True):
    """The first file: what this is. `created` ISO 8601 UTC."""

    format: int
    created: str


class SavedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the backup; `mode` are its permissions."""

    name: str
    size: int
    sha256: str
    mode: int


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """The last file: what the backup holds. `cut` is what was left out at the end of a journal, in bytes; `notes` say
    what a person should know."""

    files: list[SavedFile]
    runs: int
    audit_rows: int
    audit_head: str
    cut: dict[str, int]
    notes: list[str]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


class _File(NamedTuple):
    """Content under a name in the home, POSIX style."""

    name: str
    content: bytes
    mode: int


def back_up(database: Database, home: Path, path: Path, tell: Tell = lambda name: None) -> Contents:
    """Write the backup of `home` and of the audit in `database` to the new file `path`; `tell` hears every name.

    Raises Refused where `path` exists, Retryable where the database goes away, Fatal where something cannot be read or
    written. Nothing is left of a backup that failed.
    """
    maker = _Maker(home)
    with new_file(path) as file, tarfile.open(fileobj=file, mode="w:gz", compresslevel=_COMPRESSION) as tar:

        def add(one: _File) -> None:
            tell(one.name)
            member = tarfile.TarInfo(one.name)
            member.size, member.mode, member.mtime = len(one.content), one.mode, time.time()
            tar.addfile(member, io.BytesIO(one.content))

        head = BackupHead(format=FORMAT, created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        add(_File(HEAD, msgspec.json.encode(head), 0o600))
        for one in maker.files():
            add(maker.noted(one))
        add(maker.noted(maker.audit(database)))
        contents = maker.contents()
        add(_File(CONTENTS, msgspec.json.format(msgspec.json.encode(contents), indent=1), 0o600))
    return contents


class _Maker:
    """Reads what belongs in a backup, and keeps the list."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._files: list[SavedFile] = []
        self._cut: dict[str, int] = {}
        self._notes: list[str] = []
        self._runs = 0
        self._audit: list[Verification] = []

    def noted(self, one: _File) -> _File:
        """The same, once it is in the list."""
        digest = hashlib.sha256(one.content).hexdigest()
        self._files.append(SavedFile(name=one.name, size=len(one.content), sha256=digest, mode=one.mode))
        return one

    def contents(self) -> Contents:
        """The list, when everything was noted."""
        (verified,) = self._audit
        if verified.broken_seq is not None:
            self._notes.append(f"the audit is BROKEN at row {verified.broken_seq}: {verified.problem}; saved as it is")
        left_out = [path.name for path in homefolder.strangers(self._home)]
        if left_out:
            self._notes.append(f"left out, not Keel's: {', '.join(left_out)}")
        return Contents(
            files=self._files, runs=self._runs, audit_rows=verified.rows, audit_head=verified.head, cut=self._cut,
            notes=self._notes,
        )  # fmt: skip

    def audit(self, database: Database) -> _File:
        """The audit as an exported file."""
        return _File(AUDIT, b"".join(audit_file.export(database, self._audit.append)), 0o600)

    def files(self) -> Iterator[_File]:
        """Every file of the home that is saved; the heads of the audit first, simulated accounts last."""
        turn = {audit_head.FILE: 0, homefolder.ACCOUNTS: 2}
        entries = sorted(homefolder.saved(self._home), key=lambda path: turn.get(path.name, 1))
        for path in entries:
            if path.name == RUNS and path.is_dir():
                for run in sorted(path.iterdir()):
                    if run.is_dir():
                        self._runs += 1
                        yield from self._run(run)
            elif path.is_dir():
                yield from self._folder(path)
            else:
                yield from filter(self._is_sealed, self._read([path]))

    def _is_sealed(self, one: _File) -> bool:
        """A key file that is not encrypted would be a secret lying open: it is left out, and told."""
        if one.name != HOME + keys.FILE or one.content.startswith(keys.SEALED):
            return True
        self._notes.append(f"left out, no encrypted key file: {keys.FILE}")
        return False

    def _run(self, run: Path) -> Iterator[_File]:
        entries = sorted(run.iterdir(), key=lambda path: (_place(path.name), path.name))
        for path in entries:
            if path.name == segments.FOLDER:
                yield from self._journal(path)
            elif path.is_dir():
                yield from self._folder(path)
            elif homefolder.is_plain(path):
                yield from self._read([path])

    def _journal(self, folder: Path) -> Iterator[_File]:
        """Looked at once only: a segment begun later would not fit the end of the last one."""
        paths = [path for path in homefolder.plain_files(folder) if path.suffix == ".keel"]
        for one, path in zip(self._read(paths), paths, strict=True):
            if path != paths[-1]:
                yield one
                continue
            whole, problem = whole_frames(one.content)
            if problem:
                self._notes.append(f"{one.name} is DAMAGED at byte {whole}: {problem}; saved as it is")
                whole = len(one.content)
            if whole < len(one.content):
                self._cut[one.name] = len(one.content) - whole
            yield one._replace(content=one.content[:whole])

    def _folder(self, folder: Path) -> Iterator[_File]:
        """A folder in which files may come and go: what went is looked for again under its new name."""
        done: set[Path] = set()
        for _ in range(_LOOKS):
            fresh = [path for path in homefolder.plain_files(folder) if path not in done]
            found = list(self._read(fresh))
            done.update(fresh)
            yield from found
            if len(found) == len(fresh):
                return
        raise Fatal(f"{folder} changes faster than it can be read; try again")

    def _read(self, paths: list[Path]) -> Iterator[_File]:
        """Files that are still there."""
        for path in paths:
            try:
                with open(path, "rb") as file:
                    mode = os.fstat(file.fileno()).st_mode & 0o777
                    content = file.read()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise Fatal(f"cannot read {path}: {error.strerror or error}; fix access and try again") from error
            yield _File(HOME + path.relative_to(self._home).as_posix(), content, mode)


def _place(name: str) -> int:
    """Where an entry of a run comes: the manifest, whatever else there is, snapshots, the journal."""
    return 2 * _ORDER.index(name) if name in _ORDER else 1


def whole_frames(data: bytes) -> tuple[int, str]:
    """How many bytes of a journal's last segment end with a whole frame; the problem where whole frames follow."""
    if walking.walk(data) is not None:
        return len(data), ""
    offset = frames.HEADER_BYTES
    while offset < len(data):
        frame = frames.parse_frame(data, offset)
        if isinstance(frame, str):
            later = frames.find_frame(data, offset + 1)
            return offset, frame if later is not None else ""
        offset = frame.end
    return offset, ""
