"""What the disk does not take: kept in order, written once there is room, and ended for good where that is no use."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contracts.records import ENTRY, QUOTE
from engine.journal import segments
from engine.runtime import logbook
from engine.runtime.logbook import Logbook
from engine.venues.port import Notice


class Disk:
    """The disk below `os.writev`, with so many bytes left."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.room: float = float("inf")
        self._writev, self._write = os.writev, os.write
        patch.setattr(segments.os, "writev", self.writev)
        patch.setattr(segments.os, "write", self.write)

    def writev(self, handle: int, parts: Any) -> int:
        return self.write(handle, b"".join(parts))

    def write(self, handle: int, data: Any) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._write(handle, data[: int(min(self.room, len(data)))])
        self.room -= taken
        return taken


def entries(first: int, count: int) -> Any:
    made = np.zeros(count, ENTRY)
    made["seq"] = np.arange(first, first + count)
    made["record"]["kind"] = QUOTE
    return made


def written(folder: Path) -> list[int]:
    return [int(one) for block in segments.read(folder) for one in block["seq"]]


@given(st.lists(st.tuples(st.integers(1, 40), st.one_of(st.none(), st.integers(0, 9000))), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_everything_is_written_once_and_in_order_however_the_room_comes_and_goes(
    tmp_path_factory: pytest.TempPathFactory, turns: list[tuple[int, int | None]]
) -> None:
    """Each turn so many entries, before it so much room (None: plenty); sometimes it tries again in between."""
    folder = tmp_path_factory.mktemp("journal")

    async def main() -> list[Notice]:
        said: list[Notice] = []
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch)
            journal = segments.JournalWriter(folder, segment_bytes=6000)
            book = Logbook(journal, said.append)
            count = 0
            for k, (size, room) in enumerate(turns):
                disk.room = float("inf") if room is None else room
                book.write(entries(count, size))
                count += size
                if k % 3 == 0 and book.fault:
                    book._retry()
            disk.room = float("inf")
            book.close()
            assert not book.fault
            journal.close()
        assert written(folder) == list(range(count))
        return said

    said = asyncio.run(main())
    assert all("No space left" in one.text or one.kind == "connected" for one in said)


@pytest.mark.asyncio
async def test_it_goes_on_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logbook, "RETRY_S", 0.01)
    disk, said = Disk(monkeypatch), list[Notice]()
    journal = segments.JournalWriter(tmp_path)
    book = Logbook(journal, said.append)
    disk.room = 100
    book.write(entries(0, 5))
    assert "No space left" in book.fault and "no entries until it can" in said[0].text
    book.write(entries(5, 5))
    disk.room = float("inf")
    async with asyncio.timeout(5):
        while book.fault:
            await asyncio.sleep(0.005)
    assert [one.kind for one in said] == ["refused", "connected"], "told once each"
    book.write(entries(10, 1))
    book.close()
    journal.close()
    assert written(tmp_path) == list(range(11))


@pytest.mark.asyncio
async def test_more_than_it_keeps_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written before stays readable; nothing after a hole is ever written."""
    monkeypatch.setattr(logbook, "KEPT_BYTES", 1000)
    disk, said = Disk(monkeypatch), list[Notice]()
    journal = segments.JournalWriter(tmp_path)
    book = Logbook(journal, said.append)
    book.write(entries(0, 3))
    disk.room = 0
    for k in range(5):
        book.write(entries(3 + 5 * k, 5))
    assert "no entries until restarted" in said[-1].text and len(said) == 2
    disk.room = float("inf")
    book.write(entries(28, 1))
    book._retry()
    book.close()
    assert book.fault and written(tmp_path) == [0, 1, 2]
    journal.close()


@pytest.mark.asyncio
async def test_a_sync_that_fails_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk holds then is anybody's guess: nothing is written behind it."""
    said, told = list[Notice](), asyncio.Event()

    def hear(notice: Notice) -> None:
        said.append(notice)
        told.set()

    def fail(handle: int) -> None:
        os.close(handle)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(logbook, "_sync_and_close", fail)
    book = Logbook(segments.JournalWriter(tmp_path), hear)
    book.write(entries(0, 1))
    async with asyncio.timeout(5):
        await told.wait()
    book.write(entries(1, 1))
    book.close()
    assert "cannot be synced" in said[0].text and "until restarted" in said[0].text and book.fault
    assert written(tmp_path) == [0]
