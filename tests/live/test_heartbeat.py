"""Signs of life in the home folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.contracts.errors import Fatal
from engine.store.heartbeat import BYTES, FILE, WATCHDOG, Beat, clear_beat, read_beat, write_beat


def test_a_beat_comes_back_and_takes_no_more_room_than_the_last(tmp_path: Path) -> None:
    written = write_beat(tmp_path, "20261128-live", 10**9, "REDUCING")
    assert read_beat(tmp_path) == written == Beat(
        pid=os.getpid(), run="20261128-live", ts_ns=written.ts_ns, seq=10**9, state="REDUCING"
    )  # fmt: skip
    inode = (tmp_path / FILE).stat().st_ino
    write_beat(tmp_path, "x", 1, "")
    assert read_beat(tmp_path).seq == 1 and (tmp_path / FILE).stat().st_size == BYTES  # type: ignore[union-attr]
    assert (tmp_path / FILE).stat().st_ino == inode, "written over itself: a full disk has room for it"
    assert read_beat(tmp_path, WATCHDOG) is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"pid":1}', b"\xff", b" " * BYTES])
def test_what_cannot_be_read_is_no_sign_of_life(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert read_beat(tmp_path) is None


def test_a_home_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="cannot write .*heartbeat"):
        write_beat(tmp_path / "nowhere", "x", 1, "")
    clear_beat(tmp_path / "nowhere")
    write_beat(tmp_path, "x", 1, "", WATCHDOG)
    clear_beat(tmp_path, WATCHDOG)
    assert read_beat(tmp_path, WATCHDOG) is None
