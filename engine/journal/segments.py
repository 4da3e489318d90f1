"""The append-only journal of a run: `ENTRY` records in chained segment files under ``RUN/journal``.

Rules
-----
* One append of up to `FRAME_ENTRIES` entries is one frame and one write call: it is there as a whole or not at all.
* A torn tail (the end of the last segment holds no whole frame) is what a crash leaves: cut and reported.
* Any other damage raises DamagedJournal naming the segment and the byte offset.
* `seq` never goes backwards.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import msgspec
import numpy as np

from engine.contracts.errors import Fatal
from engine.contracts.records import ENTRY
from engine.journal import atomic, frames
from engine.journal.frames import Entries
from engine.journal.walking import Walked, walk

FOLDER: Final = "journal"
FRAME_ENTRIES: Final = 16_384
_FIRST_SEQ: Final = -(2**63)


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What reading a journal to its end found.

    `torn_bytes` at the end of `segment` hold no whole frame and are left out (or cut by `recover`). `closed`: the
    writer ended on purpose. `last_seq` is None in an empty journal. `digest` is BLAKE2b-256 over all entries.
    """

    segment: str
    valid_bytes: int
    torn_bytes: int
    torn_reason: str
    entries: int
    last_seq: int | None
    closed: bool
    digest: str
    frames: int  # whole frames in `segment`


class Reading(Iterator[Entries]):
    """Blocks of ENTRYs, checked while read. `recovery` is set once the last block was taken."""

    def __init__(self, directory: Path, first: int = 0) -> None:
        self._hash = hashlib.blake2b(digest_size=frames.CHAIN_BYTES)
        self._segments = _segment_paths(directory)
        self._first = first
        self._last_seq = _FIRST_SEQ
        self._blocks = self._walk()
        self.entries = 0
        self.recovery: Recovery | None = None

    @property
    def digest(self) -> str:
        """BLAKE2b-256 of every entry taken so far, as hex."""
        return self._hash.hexdigest()

    def __next__(self) -> Entries:
        return next(self._blocks)

    def drain(self) -> Recovery:
        """Read (and check) what is left and say what was found."""
        for _ in self:
            pass
        assert self.recovery is not None
        return self.recovery

    def _walk(self) -> Iterator[Entries]:
        for number, path in enumerate(self._segments):
            if number < self._first:
                continue
            data = _read_bytes(path)
            frames.check_header(path, data, number, self._hash.digest() if self._first == 0 else None)
            is_last = number == len(self._segments) - 1
            walked = walk(data)
            if walked is not None and self._continues(walked.entries):
                yield from self._walk_whole(path, len(data), walked, is_last)
            else:
                yield from self._walk_segment(path, data, last=is_last)

    def _continues(self, entries: Entries) -> bool:
        return not len(entries) or first_backward(entries["seq"], self._last_seq) is None

    def _walk_whole(self, path: Path, size: int, walked: Walked, last: bool) -> Iterator[Entries]:
        """A segment in which everything is in order, in one block."""
        if len(walked.entries):
            self._take(path, frames.HEADER_BYTES, walked.entries)
            yield walked.entries
        if last:
            self._found(path, size, size, "", walked.closed, walked.frames)

    def _walk_segment(self, path: Path, data: bytes, last: bool) -> Iterator[Entries]:
        offset, place, closed, problem = frames.HEADER_BYTES, 0, False, ""
        while offset < len(data):
            frame = frames.parse_frame(data, offset)
            if isinstance(frame, str):
                problem = frame
                break
            if frame.place != place:
                raise frames.damaged(path, offset, f"frame {frame.place} where frame {place} should be")
            closed = not len(frame.entries)
            if not closed:
                self._take(path, offset, frame.entries)
                yield frame.entries
            offset, place = frame.end, place + 1
        if not last:
            if problem:
                raise frames.damaged(path, offset, f"{problem}, and more segments follow")
            return
        if problem and (later := frames.find_frame(data, offset + 1)) is not None:
            raise frames.damaged(path, offset, f"{problem}, and valid data follows at byte {later}")
        self._found(path, offset, len(data), problem, closed and not problem, place)

    def _found(self, path: Path, valid: int, size: int, problem: str, closed: bool, frames_found: int) -> None:
        self.recovery = Recovery(
            segment=str(path),
            valid_bytes=valid,
            torn_bytes=size - valid,
            torn_reason=problem,
            entries=self.entries,
            last_seq=self._last_seq if self.entries else None,
            closed=closed,
            digest=self.digest,
            frames=frames_found,
        )

    def _take(self, path: Path, offset: int, entries: Entries) -> None:
        backward = first_backward(entries["seq"], self._last_seq)
        if backward is not None:
            at = offset + frames.FRAME_BYTES + backward * ENTRY.itemsize
            raise frames.damaged(path, at, f"seq goes backwards to {int(entries['seq'][backward])}")
        self._last_seq = int(entries["seq"][-1])
        self._hash.update(entries.view(np.uint8).data)
        self.entries += len(entries)

    @property
    def hash_so_far(self) -> hashlib.blake2b:
        """A copy of the running hash, for a writer that goes on from here."""
        return self._hash.copy()


def read(directory: Path, first: int = 0) -> Reading:
    """Iterate over the ENTRY blocks of the run folder `directory`; a torn tail is left out, and told in `recovery`.
    From segment `first` on, where that is not 0: frames are checked, the chain of segments and `digest` are not.

    Raises DamagedJournal, also in mid-iteration, naming segment and offset.
    """
    return Reading(directory, first)


def recover(directory: Path) -> Recovery:
    """Check the whole journal and cut a torn tail off its last segment. Doing it twice changes nothing."""
    found = read(directory).drain()
    if found.torn_bytes:
        _cut(Path(found.segment), found.valid_bytes)
    return found


class JournalWriter:
    """Appends ENTRYs to the journal of the run folder `directory`.

    `sync_every_ms`: None syncs to disk on roll-over, `sync` and `close` only; N also inside an append when the last
    sync is N ms ago or more (the owner calls `sync` when idle); 0 on every append. `resume` goes on after the last
    valid entry of an existing journal (cutting a torn tail, told in `recovery`); without it one is refused.

    Raises Fatal when the disk is full or another writer has the journal; every frame written before stays readable.
    After a full disk the same writer goes on as soon as there is room: `entries` counts what was written.
    """

    def __init__(
        self, directory: Path, segment_bytes: int = 64 << 20, sync_every_ms: float | None = None, resume: bool = False
    ) -> None:
        self._folder = directory / FOLDER
        self._segment_bytes = max(segment_bytes, frames.HEADER_BYTES + 1)
        self._sync_every_ns = None if sync_every_ms is None else int(sync_every_ms * 1e6)
        self._synced_ns = time.monotonic_ns()
        self._hash = hashlib.blake2b(digest_size=frames.CHAIN_BYTES)
        self._last_seq = _FIRST_SEQ
        self._file = -1
        self.entries = 0
        self.recovery: Recovery | None = None
        self._lock = _lock_folder(self._folder)
        try:
            self._open(directory, resume)
        except Fatal:
            self.abandon()
            raise

    @property
    def digest(self) -> str:
        """BLAKE2b-256 of every entry of the journal, as hex."""
        return self._hash.hexdigest()

    @property
    def last_seq(self) -> int | None:
        """`seq` of the last entry, None in an empty journal."""
        return self._last_seq if self.entries else None

    @property
    def segment(self) -> int:
        """Number of the segment that is being written."""
        return self._number

    def append(self, entries: Entries) -> None:
        """Write `entries` (contiguous ENTRY array; not copied). Longer ones than FRAME_ENTRIES take several frames.

        Raises Fatal, before anything is written, for another dtype or a `seq` that goes backwards.
        """
        if entries.dtype != ENTRY or entries.ndim != 1 or not entries.flags.c_contiguous:
            raise Fatal(f"a journal takes contiguous one-dimensional ENTRY arrays, not {entries.dtype} {entries.shape}")
        count = len(entries)
        if not count:
            return
        seqs = entries["seq"]
        if count > 1:
            backward = first_backward(seqs, self._last_seq)
        else:  # most turns of a live engine; comparing one number with numpy costs more than writing it
            backward = 0 if int(seqs[0]) < self._last_seq else None
        if backward is not None:
            raise Fatal(f"{self._folder}: seq {int(seqs[backward])} would go backwards; this is a defect")
        for start in range(0, count, FRAME_ENTRIES):
            part = entries if count <= FRAME_ENTRIES else entries[start : start + FRAME_ENTRIES]
            if self._size >= self._segment_bytes:
                self._start_segment(self._number + 1)
            self._hash.update(self._write_frame(part))
            self.entries += len(part)
            self._last_seq = int(seqs[min(start + FRAME_ENTRIES, count) - 1])
        if self._sync_every_ns is not None and time.monotonic_ns() - self._synced_ns >= self._sync_every_ns:
            self.sync()

    def sync(self) -> None:
        """Return when everything appended is on disk."""
        self._require_open()
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self.abandon()
            raise atomic.write_failure(self._path, error) from error
        self._synced_ns = time.monotonic_ns()

    def duplicate_handle(self) -> int:
        """A file handle of the segment being written, for syncing it in a thread; the caller closes it."""
        self._require_open()
        return os.dup(self._file)

    def close(self) -> None:
        """Mark the end on purpose, sync and let go. Closing again does nothing."""
        if self._file < 0:
            return
        try:
            self._write_frame(np.zeros(0, ENTRY))
            self.sync()
        finally:
            self.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, directory: Path, resume: bool) -> None:
        if not any(self._folder.glob("*.keel")):
            self._start_segment(0)
            return
        if not resume:
            raise Fatal(f"{self._folder} already holds a journal; choose another run folder, or resume this one")
        reading = read(directory)
        found = self.recovery = reading.drain()
        self._path = Path(found.segment)
        if found.torn_bytes:
            _cut(self._path, found.valid_bytes)
        self._number, self._place, self._size = int(self._path.stem), found.frames, found.valid_bytes
        self._hash, self.entries = reading.hash_so_far, found.entries
        self._last_seq = _FIRST_SEQ if found.last_seq is None else found.last_seq
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)

    def _start_segment(self, number: int) -> None:
        if self._file >= 0:
            self.sync()
        path = self._folder / f"{number:06d}.keel"
        atomic.replace_file(path, [frames.encode_header(number, self._hash.digest())])
        try:
            opened = os.open(path, os.O_WRONLY | os.O_APPEND)
        except OSError:
            path.unlink()  # else what is still written to the one before would contradict it
            raise
        if self._file >= 0:
            os.close(self._file)
        self._path, self._file = path, opened
        self._number, self._place, self._size = number, 0, frames.HEADER_BYTES

    def _write_frame(self, entries: Entries) -> memoryview:
        """Write one frame; returns its payload."""
        self._require_open()
        payload = memoryview(entries.view(np.uint8).data)
        head = frames.encode_frame_head(self._place, len(entries), payload)
        size = len(head) + payload.nbytes
        try:
            written = os.writev(self._file, [head, payload])
            if written < size:  # a nearly full disk takes a part; writing the rest gives the reason
                rest = memoryview(head + bytes(payload))
                while written < size:
                    written += os.write(self._file, rest[written:])
        except OSError as error:
            try:
                os.ftruncate(self._file, self._size)
            except OSError:
                self.abandon()
            raise atomic.write_failure(self._path, error) from error
        self._size += size
        self._place += 1
        return payload

    def _require_open(self) -> None:
        if self._file < 0:
            raise Fatal(f"the journal in {self._folder} is closed; open a new writer with resume=True")

    def abandon(self) -> None:
        """Let go of it without a word: as it is, to the last whole frame, it stays readable. Nothing more is taken."""
        for handle in (self._file, self._lock):
            if handle >= 0:
                os.close(handle)
        self._file = self._lock = -1


def first_backward(seq: np.ndarray[tuple[int], np.dtype[np.int64]], before: int) -> int | None:
    """Index of the first `seq` lower than the one before it (`before` precedes the first), or None."""
    if int(seq[0]) < before:
        return 0
    lower = seq[1:] < seq[:-1]
    return int(lower.argmax()) + 1 if lower.any() else None


def _segment_paths(directory: Path) -> list[Path]:
    folder = directory / FOLDER
    paths = sorted(folder.glob("*.keel"))
    if not paths:
        raise Fatal(f"{folder} holds no journal segments (*.keel); check the run folder's name")
    for number, path in enumerate(paths):
        expected = folder / f"{number:06d}.keel"
        if path != expected:
            raise frames.damaged(expected, 0, f"the segment is missing ({path.name} is there instead)")
    return paths


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Fatal(f"cannot read {path}: {error.strerror or error}; fix access and try again") from error


def _cut(path: Path, size: int) -> None:
    try:
        with open(path, "r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())
    except OSError as error:
        raise atomic.write_failure(path, error) from error


def _lock_folder(folder: Path) -> int:
    """Hold the folder for one writer; the lock ends with the process, so a crash leaves nothing behind."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise atomic.write_failure(folder, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise Fatal(f"another process is writing the journal in {folder}; stop it first") from error
    return handle
