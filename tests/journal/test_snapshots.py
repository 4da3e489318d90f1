"""Snapshots: the same bytes and types back, nothing damaged or foreign accepted."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.errors import BadInput, Fatal
from engine.contracts.records import ENTRY
from engine.journal import snapshots

META = {"code": "abc", "config": "def"}
NESTED = np.dtype((np.record, [("count", "<i8"), ("levels", "<f8", (3, 4)), ("flag", "?")]))


def example() -> dict[str, np.ndarray | bytes]:
    raw = np.random.default_rng(0)
    return {
        "entries": raw.integers(0, 256, 5 * ENTRY.itemsize, dtype=np.uint8).view(ENTRY),
        "nested": raw.integers(0, 2, 2 * NESTED.itemsize, dtype=np.uint8).view(NESTED),
        "matrix": raw.random((3, 4)),
        "empty": np.zeros((0, 7), ENTRY),
        "scalar": np.array(7),
        "raw": b"anything",
    }


def test_parts_come_back_with_type_shape_and_bytes(tmp_path: Path) -> None:
    path = snapshots.save(tmp_path, 42, example(), META)
    loaded = snapshots.load(path, META)
    assert (loaded.seq, loaded.meta) == (42, META)
    for name, value in example().items():
        part = loaded.parts[name]
        if isinstance(value, bytes):
            assert part == value
        else:
            assert isinstance(part, np.ndarray)
            assert (part.dtype, part.shape, part.tobytes()) == (value.dtype, value.shape, value.tobytes())
            assert part.flags.writeable
    entries = loaded.parts["entries"]
    assert isinstance(entries, np.ndarray) and entries[0].record.bid_ticks == entries[0].record.client_id


def test_latest_is_the_highest_seq(tmp_path: Path) -> None:
    assert snapshots.latest(tmp_path) is None
    for seq in (5, 100_000_000_000, 7):
        snapshots.save(tmp_path, seq, {}, {})
    path = snapshots.latest(tmp_path)
    assert path is not None and snapshots.load(path).seq == 100_000_000_000
    assert len(list(path.parent.iterdir())) == 3  # no temporary files stay


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_damage_is_refused_by_name(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = snapshots.save(tmp_path_factory.mktemp("run"), 1, example(), META)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[at:]
    path.write_bytes(bytes(content))
    with pytest.raises(Fatal, match=re.escape(str(path))):
        snapshots.load(path)


@pytest.mark.parametrize("key", ["code", "config", "venue"])
def test_a_snapshot_of_something_else_is_refused(tmp_path: Path, key: str) -> None:
    path = snapshots.save(tmp_path, 1, {}, META)
    with pytest.raises(Fatal, match=f"belongs to another {key}: .*expected 'other'"):
        snapshots.load(path, META | {key: "other"})


def test_what_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Python objects"):
        snapshots.save(tmp_path, 1, {"bad": np.array([object()])}, {})
    with pytest.raises(BadInput, match="seq must be 0 or more"):
        snapshots.save(tmp_path, -1, {}, {})
    with pytest.raises(Fatal, match="cannot read snapshot"):
        snapshots.load(tmp_path / "none.snap")
