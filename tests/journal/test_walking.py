"""The fast way through a segment finds what the slow way finds, and leaves everything else to it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contracts.errors import KeelError
from engine.contracts.records import ENTRY
from engine.core.compile import DISABLED
from engine.journal import frames, segments, walking
from engine.journal.segments import JournalWriter

pytestmark = pytest.mark.skipif(DISABLED, reason="there is only the slow way then")


def entries(count: int, seed: int, first_seq: int) -> np.ndarray:
    raw = np.random.default_rng(seed).integers(0, 256, count * ENTRY.itemsize, dtype=np.uint8)
    made = raw.view(ENTRY)
    made["seq"] = np.arange(first_seq, first_seq + count)
    return made


def written(directory: Path, sizes: list[int], closed: bool = True, segment_bytes: int = 64 << 20) -> Path:
    """A journal of frames of these sizes; not `closed`: as a process leaves it that was killed."""
    writer = JournalWriter(directory, segment_bytes=segment_bytes)
    first = 0
    for k, size in enumerate(sizes):
        writer.append(entries(size, k, first))
        first += size
    if closed:
        writer.close()
    else:
        writer.abandon()
    return directory / segments.FOLDER


def reading(directory: Path, is_fast: bool) -> Any:
    """Everything that reading it gives: bytes, what was found, or why it is refused."""
    with pytest.MonkeyPatch.context() as patch:
        if not is_fast:
            patch.setattr(segments, "walk", lambda _data: None)
        read = segments.read(directory)
        try:
            return b"".join(block.tobytes() for block in read), read.recovery, read.digest
        except KeelError as error:
            return type(error), str(error)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 40), max_size=12),
    closed=st.booleans(),
    cut=st.integers(0, 400),
    segment_bytes=st.sampled_from([2_000, 64 << 20]),
)
def test_both_ways_read_the_same(tmp_path: Path, sizes: list[int], closed: bool, cut: int, segment_bytes: int) -> None:
    """Whole or cut off anywhere at its end, in one segment or many."""
    shutil.rmtree(tmp_path / segments.FOLDER, ignore_errors=True)
    last = max(written(tmp_path, sizes, closed, segment_bytes).glob("*.keel"))
    if cut:
        with last.open("r+b") as file:
            file.truncate(max(last.stat().st_size - cut, frames.HEADER_BYTES))
    assert reading(tmp_path, True) == reading(tmp_path, False)


def test_both_ways_refuse_every_damaged_byte_alike(tmp_path: Path) -> None:
    path = written(tmp_path, [1, 2], closed=False) / "000000.keel"
    content = path.read_bytes()
    whole = reading(tmp_path, True)
    assert len(whole) == 3 and whole == reading(tmp_path, False)
    for at in range(len(content)):
        harmed = bytearray(content)
        harmed[at] ^= 1 << (at % 8)
        path.write_bytes(bytes(harmed))
        fast = reading(tmp_path, True)
        assert fast == reading(tmp_path, False), at
        assert fast != whole, f"byte {at} may be anything"
        if at >= frames.HEADER_BYTES:
            assert walking.walk(bytes(harmed)) is None, at


@settings(max_examples=40, deadline=None)
@given(
    data=st.binary(max_size=600), lead=st.sampled_from([b"", b"FRAM", b"FRAM\xff\xff\xff\xff", b"FRAM\x00\x00\x00\x00"])
)
def test_nonsense_is_nothing(data: bytes, lead: bytes) -> None:
    """Also counts that would reach far beyond the end of the file."""
    content = bytes(frames.HEADER_BYTES) + lead + data
    found = walking.walk(content)
    assert found is None or (len(content) == frames.HEADER_BYTES and found.frames == 0)


def test_its_checksum_is_zlibs(tmp_path: Path) -> None:
    """Frames of any length modulo the eight bytes that are taken at once."""
    path = written(tmp_path, list(range(1, 20))) / "000000.keel"
    found = walking.walk(path.read_bytes())
    assert found is not None and found.closed and found.frames == 20
    assert found.entries.tobytes() == b"".join(
        entries(size, k, size * (size - 1) // 2).tobytes() for k, size in enumerate(range(1, 20))
    )
