"""The fast way through a segment: whole frames checked and their payloads put one behind the other, compiled.

A live engine writes a frame for every turn, a million of them an hour; looked at one by one in Python they take
longer than everything else at a restart. What is not in order here is left to the slow way, which says where and why.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts.records import ENTRY
from engine.core.compile import DISABLED, kernel
from engine.journal import frames

_ENTRY_BYTES: Final = ENTRY.itemsize
_FRAME_BYTES: Final = frames.FRAME_BYTES
_MAGIC: Final = int.from_bytes(frames.FRAME_MAGIC, "little")


def _crc_tables() -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Eight tables of CRC-32 (polynomial EDB88320, as zlib's): eight bytes a step."""
    tables = np.zeros((8, 256), np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
        tables[0, byte] = value
    for k in range(1, 8):
        tables[k] = (tables[k - 1] >> 8) ^ tables[0, tables[k - 1] & 0xFF]
    return tables


_TABLES: Final = _crc_tables()


@kernel
def _crc(tables: Any, data: Any, start: Any, end: Any, crc: Any) -> Any:
    at = start
    while end - at >= 8:
        a = crc ^ _word(data, at)
        b = _word(data, at + 4)
        crc = (
            tables[7, a & 0xFF] ^ tables[6, (a >> 8) & 0xFF] ^ tables[5, (a >> 16) & 0xFF] ^ tables[4, a >> 24]
            ^ tables[3, b & 0xFF] ^ tables[2, (b >> 8) & 0xFF] ^ tables[1, (b >> 16) & 0xFF] ^ tables[0, b >> 24]
        )  # fmt: skip
        at += 8
    while at < end:
        crc = tables[0, (crc ^ data[at]) & 0xFF] ^ (crc >> 8)
        at += 1
    return crc


@kernel
def _word(data: Any, at: int) -> Any:
    """Four bytes, little-endian."""
    return np.uint32(data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) | (data[at + 3] << 24))


@kernel(entry=True)
def walk_frames(tables: Any, data: Any, offset: Any, out: Any, told: Any) -> Any:
    """Check the frames of `data` (bytes) from `offset` to its end and copy their payloads to `out`.

    `told` gets: frames, bytes copied, 1 where the last frame says that the journal was closed. Returns where it
    stopped: the end of `data` where everything is in order.
    """
    size = data.shape[0]
    place = 0
    copied: Any = 0
    while offset + _FRAME_BYTES <= size:
        count = np.int64(_word(data, offset + 4))
        start = offset + _FRAME_BYTES
        end = start + count * _ENTRY_BYTES
        if _word(data, offset) != _MAGIC or end > size or np.int64(_word(data, offset + 8)) != place:
            break
        crc = _crc(tables, data, offset, offset + 12, np.uint32(0xFFFFFFFF))
        crc = _crc(tables, data, start, end, crc) ^ np.uint32(0xFFFFFFFF)
        if crc != _word(data, offset + 12):
            break
        for k in range(end - start):
            out[copied + k] = data[start + k]
        copied += end - start
        told[2] = 1 if count == 0 else 0
        place += 1
        offset = end
    told[0] = place
    told[1] = copied
    return offset


class Walked:
    """A segment in which everything was in order: its `entries`, how many `frames`, whether it was `closed`."""

    def __init__(self, entries: np.ndarray[Any, Any], frames_found: int, closed: bool) -> None:
        self.entries = entries
        self.frames = frames_found
        self.closed = closed


def walk(data: bytes) -> Walked | None:
    """The frames behind the header of a segment; None where something is not in order (or nothing is compiled)."""
    if DISABLED:
        return None
    out = np.empty(len(data), np.uint8)
    told = np.zeros(3, np.int64)
    if walk_frames(_TABLES, np.frombuffer(data, np.uint8), frames.HEADER_BYTES, out, told) != len(data):
        return None
    return Walked(out[: told[1]].view(ENTRY), int(told[0]), bool(told[2]))
