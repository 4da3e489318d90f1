"""The journal: what goes in comes out, a torn tail is cut, any other damage is refused by name."""

from __future__ import annotations

import hashlib
import re
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.errors import DamagedJournal, Fatal
from engine.contracts.records import ENTRY
from engine.journal import frames
from engine.journal.segments import FRAME_ENTRIES, JournalWriter, read, recover


def random_entries(count: int, seed: int = 0, first_seq: int = 0) -> np.ndarray:
    raw = np.random.default_rng(seed).integers(0, 256, count * ENTRY.itemsize, dtype=np.uint8)
    entries = raw.view(ENTRY)
    entries["seq"] = np.arange(first_seq, first_seq + count)
    return entries


def everything(directory: Path) -> bytes:
    return b"".join(block.tobytes() for block in read(directory))


def segment(directory: Path, number: int = 0) -> Path:
    return directory / "journal" / f"{number:06d}.keel"


def write(directory: Path, blocks: list[np.ndarray], segment_bytes: int = 64 << 20) -> JournalWriter:
    with JournalWriter(directory, segment_bytes=segment_bytes) as writer:
        for block in blocks:
            writer.append(block)
    return writer


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 40), max_size=12), segment_bytes=st.integers(100, 3000))
def test_what_is_appended_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], segment_bytes: int
) -> None:
    directory = tmp_path_factory.mktemp("run")
    entries = random_entries(sum(sizes))
    blocks = [np.ascontiguousarray(block) for block in np.split(entries, np.cumsum(sizes)[:-1])] if sizes else []
    writer = write(directory, blocks, segment_bytes)
    reading = read(directory)
    assert b"".join(block.tobytes() for block in reading) == entries.tobytes()
    assert reading.recovery is not None and reading.recovery.closed and reading.recovery.torn_bytes == 0
    assert reading.digest == writer.digest == hashlib.blake2b(entries.tobytes(), digest_size=32).hexdigest()


def test_the_digest_does_not_depend_on_how_entries_are_grouped(tmp_path: Path) -> None:
    entries = random_entries(50)
    one = write(tmp_path / "one", [entries])
    many = write(tmp_path / "many", [entries[k : k + 1] for k in range(50)], segment_bytes=500)
    assert one.digest == many.digest
    assert segment(tmp_path / "many", 7).exists()


def test_long_appends_are_split_into_frames(tmp_path: Path) -> None:
    write(tmp_path, [random_entries(2 * FRAME_ENTRIES + 5)])
    found = read(tmp_path).drain()
    assert (found.frames, found.entries) == (3 + 1, 2 * FRAME_ENTRIES + 5), "and the closing mark"


def test_a_tail_torn_at_any_byte_is_cut_and_reported(tmp_path: Path) -> None:
    with JournalWriter(tmp_path) as writer:
        writer.append(random_entries(3))
        whole = segment(tmp_path).stat().st_size
        writer.append(random_entries(2, seed=1, first_seq=3))
        full = segment(tmp_path).read_bytes()
    kept = random_entries(3).tobytes()
    for size in range(whole, len(full)):
        segment(tmp_path).write_bytes(full[:size])
        assert everything(tmp_path) == kept
        found = recover(tmp_path)
        assert (found.valid_bytes, found.torn_bytes, found.entries, found.closed) == (whole, size - whole, 3, False)
        assert segment(tmp_path).stat().st_size == whole
        assert recover(tmp_path).torn_bytes == 0


def test_zeros_or_rubbish_at_the_end_are_a_torn_tail(tmp_path: Path) -> None:
    write(tmp_path, [random_entries(3)])
    clean = segment(tmp_path).read_bytes()
    for tail in (bytes(4096), b"FRAM" * 50, b"\xff"):
        segment(tmp_path).write_bytes(clean + tail)
        assert recover(tmp_path).torn_bytes == len(tail)
        assert segment(tmp_path).read_bytes() == clean


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_bit_flip_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    directory = tmp_path_factory.mktemp("run")
    writer = write(directory, [random_entries(3, first_seq=3 * k) for k in range(4)], segment_bytes=500)
    paths = sorted((directory / "journal").iterdir())
    path = data.draw(st.sampled_from(paths))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(content))
    seal = len(content) - frames.FRAME_BYTES
    if path == paths[-1] and at >= seal:  # only the closing mark is torn: no entry is lost
        found = read(directory).drain()
        assert (found.torn_bytes, found.digest, found.closed) == (frames.FRAME_BYTES, writer.digest, False)
        return
    with pytest.raises(DamagedJournal, match=rf"{re.escape(str(path))} is damaged at byte \d+"):
        recover(directory)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (0, b"X", "starts with b'XEELJRNL'"),
        (8, b"\x02", "at byte 8: format version 2 is newer than 1"),
        (10, b"\x40", "at byte 60: the header's checksum"),
    ],
)
def test_header_damage_is_named(tmp_path: Path, offset: int, value: bytes, message: str) -> None:
    write(tmp_path, [random_entries(3)])
    content = bytearray(segment(tmp_path).read_bytes())
    content[offset : offset + 1] = value
    segment(tmp_path).write_bytes(bytes(content))
    with pytest.raises(DamagedJournal, match=re.escape(message)):
        recover(tmp_path)


def test_another_record_size_is_refused(tmp_path: Path) -> None:
    header = bytearray(frames.encode_header(0, b""))
    header[10:12] = (64).to_bytes(2, "little")
    header[60:] = frames.zlib.crc32(header[:60]).to_bytes(4, "little")
    segment(tmp_path).parent.mkdir()
    segment(tmp_path).write_bytes(bytes(header))
    with pytest.raises(DamagedJournal, match="entries of 64 bytes, expected 72"):
        recover(tmp_path)


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    write(tmp_path, [random_entries(4, first_seq=4 * k) for k in range(4)], segment_bytes=300)
    segment(tmp_path, 1).unlink()
    with pytest.raises(DamagedJournal, match=r"000001\.keel .*missing"):
        recover(tmp_path)


def test_a_segment_of_another_run_breaks_the_chain(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        write(tmp_path / name, [random_entries(4, seed, 4 * k) for k in range(3)], segment_bytes=300)
    segment(tmp_path / "a", 1).write_bytes(segment(tmp_path / "b", 1).read_bytes())
    with pytest.raises(DamagedJournal, match=r"000001\.keel is damaged at byte 16: .*chain"):
        recover(tmp_path / "a")


def test_a_frame_cut_out_of_the_middle_is_found(tmp_path: Path) -> None:
    write(tmp_path, [random_entries(1, first_seq=k) for k in range(3)])
    content = segment(tmp_path).read_bytes()
    size = frames.FRAME_BYTES + ENTRY.itemsize
    segment(tmp_path).write_bytes(content[: frames.HEADER_BYTES] + content[frames.HEADER_BYTES + size :])
    with pytest.raises(DamagedJournal, match="at byte 64: frame 1 where frame 0 should be"):
        recover(tmp_path)


def test_a_torn_segment_with_a_successor_is_damage(tmp_path: Path) -> None:
    write(tmp_path, [random_entries(4, first_seq=4 * k) for k in range(3)], segment_bytes=300)
    content = segment(tmp_path).read_bytes()
    segment(tmp_path).write_bytes(content[:-1])
    with pytest.raises(DamagedJournal, match=r"000000\.keel is damaged at byte 64: .*more segments follow"):
        recover(tmp_path)


def test_seq_going_backwards_is_refused_by_the_writer_and_found_by_the_reader(tmp_path: Path) -> None:
    entries = random_entries(3)
    entries["seq"] = [5, 7, 6]
    with JournalWriter(tmp_path) as writer:
        with pytest.raises(Fatal, match="seq 6 would go backwards"):
            writer.append(entries)
        writer.append(random_entries(1, first_seq=4))
        with pytest.raises(Fatal, match="seq 3 would go backwards"):
            writer.append(random_entries(1, first_seq=3))
    head = frames.encode_frame_head(0, 3, memoryview(entries.tobytes()))
    segment(tmp_path).write_bytes(segment(tmp_path).read_bytes()[:64] + head + entries.tobytes())
    with pytest.raises(DamagedJournal, match=f"at byte {64 + 16 + 2 * 72}: seq goes backwards to 6"):
        recover(tmp_path)


def test_other_arrays_are_refused(tmp_path: Path) -> None:
    with JournalWriter(tmp_path) as writer:
        for wrong in (np.zeros(3), random_entries(4)[::2], random_entries(4).reshape(2, 2)):
            with pytest.raises(Fatal, match="contiguous one-dimensional ENTRY"):
                writer.append(wrong)
    assert everything(tmp_path) == b""


def test_resuming_cuts_the_tail_and_gives_the_journal_of_one_go(tmp_path: Path) -> None:
    parts = [random_entries(4, first_seq=4 * k) for k in range(6)]
    writer = JournalWriter(tmp_path / "cut", segment_bytes=700, sync_every_ms=0)
    for part in parts[:3]:
        writer.append(part)
    writer.close()
    last = max((tmp_path / "cut" / "journal").iterdir())
    last.write_bytes(last.read_bytes()[:-20])  # the closing mark and a bit of the last frame
    with JournalWriter(tmp_path / "cut", segment_bytes=700, resume=True) as writer:
        assert writer.recovery is not None and writer.recovery.torn_bytes > 0
        assert writer.last_seq == 7
        for part in parts[2:]:
            writer.append(part)
    assert writer.digest == write(tmp_path / "whole", parts).digest == read(tmp_path / "cut").drain().digest


def test_one_writer_at_a_time_and_no_overwriting(tmp_path: Path) -> None:
    with JournalWriter(tmp_path), pytest.raises(Fatal, match="another process is writing"):
        JournalWriter(tmp_path, resume=True)
    with pytest.raises(Fatal, match="already holds a journal"):
        JournalWriter(tmp_path)
    JournalWriter(tmp_path, resume=True).close()


def test_a_run_without_a_journal_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="holds no journal segments"):
        read(tmp_path)


FULL_DISK = """
    import resource, sys
    from pathlib import Path
    import numpy as np
    from engine.contracts.errors import Fatal
    from engine.contracts.records import ENTRY
    from engine.journal.segments import JournalWriter

    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    writer = JournalWriter(Path(sys.argv[1]))
    try:
        for k in range(100):
            entries = np.zeros(5, ENTRY)
            entries["seq"] = k
            writer.append(entries)
    except Fatal as error:
        print(k, error)
    try:
        writer.append(entries)
    except Fatal as error:
        print(writer.entries, error)
    if sys.argv[2] == "room":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        writer.append(entries)
        writer.close()
"""


def test_a_full_disk_is_fatal_and_leaves_a_journal_that_opens(tmp_path: Path) -> None:
    assert resource.RLIMIT_FSIZE  # the kernel takes a part of the third frame, then refuses the rest
    command = [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path), "no room"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second = result.stdout.splitlines()
    assert first == (
        f"2 cannot write {segment(tmp_path)}: File too large; "
        "free space on that disk (or make the folder writable) and start again"
    )
    assert second == "10 " + first.removeprefix("2 ")
    found = recover(tmp_path)
    assert (found.entries, found.torn_bytes, found.last_seq) == (10, 0, 1)
    with JournalWriter(tmp_path, resume=True) as writer:
        writer.append(random_entries(1, first_seq=2))
    assert read(tmp_path).drain().entries == 11


def test_a_writer_goes_on_once_the_disk_has_room(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path), "room"]
    subprocess.run(command, capture_output=True, text=True, check=True)
    found = recover(tmp_path)
    assert (found.entries, found.torn_bytes, found.last_seq) == (15, 0, 2)
