"""The bytes of a journal segment: one header, then frames.

Layout (little-endian)
----------------------
* header, 64 bytes: magic ``KEELJRNL``, version u2, entry size u2, segment number u4, chain (32 bytes: BLAKE2b of
  every entry of the journal before this segment), 12 zero bytes, CRC-32 of the 60 bytes before.
* frame: magic ``FRAM``, entry count u4, place in the segment u4 (0, 1, ...), CRC-32 over these 12 bytes and the
  payload; then the payload, `count` raw ENTRYs. A frame of no entries says: closed here on purpose.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from engine.contracts.errors import DamagedJournal
from engine.contracts.records import ENTRY

SEGMENT_MAGIC: Final = b"KEELJRNL"
FRAME_MAGIC: Final = b"FRAM"
VERSION: Final = 1
CHAIN_BYTES: Final = 32

_HEADER: Final = struct.Struct("<8sHHI32s12x")
_FRAME: Final = struct.Struct("<4sII")
_CRC: Final = struct.Struct("<I")
HEADER_BYTES: Final = _HEADER.size + _CRC.size
FRAME_BYTES: Final = _FRAME.size + _CRC.size

Entries = np.ndarray[Any, Any]


class Frame(NamedTuple):
    """A frame whose CRC holds. `entries` is a read-only view, `end` the offset after it."""

    place: int
    entries: Entries
    end: int


def damaged(path: Path, offset: int, what: str) -> DamagedJournal:
    """The error for damage at a byte offset of a segment, with the fix."""
    return DamagedJournal(
        f"journal segment {path} is damaged at byte {offset}: {what}; "
        "restore the run folder from a copy, or run it again (an engine: trading-cli up --fresh carries nothing over)"
    )


def encode_header(number: int, chain: bytes) -> bytes:
    """The 64 bytes at the start of segment `number`."""
    body = _HEADER.pack(SEGMENT_MAGIC, VERSION, ENTRY.itemsize, number, chain)
    return body + _CRC.pack(zlib.crc32(body))


def encode_frame_head(place: int, count: int, payload: memoryview) -> bytes:
    """The 16 bytes before a frame's payload."""
    head = _FRAME.pack(FRAME_MAGIC, count, place)
    return head + _CRC.pack(zlib.crc32(payload, zlib.crc32(head)))


def check_header(path: Path, data: bytes, number: int, chain: bytes | None) -> None:
    """Raise DamagedJournal unless `data` starts with the header of segment `number` chained to `chain` (None: what it
    continues is not known)."""
    if len(data) < HEADER_BYTES:
        raise damaged(path, 0, f"{len(data)} bytes are too few for the {HEADER_BYTES} byte header")
    magic, version, entry_bytes, found_number, found_chain = _HEADER.unpack_from(data)
    if magic != SEGMENT_MAGIC:
        raise damaged(path, 0, f"it starts with {magic!r}, not with {SEGMENT_MAGIC!r}")
    if version > VERSION:
        raise damaged(path, 8, f"format version {version} is newer than {VERSION}, the newest this program reads")
    if _CRC.unpack_from(data, _HEADER.size)[0] != zlib.crc32(data[: _HEADER.size]):
        raise damaged(path, _HEADER.size, "the header's checksum does not hold")
    if entry_bytes != ENTRY.itemsize:
        raise damaged(path, 10, f"entries of {entry_bytes} bytes, expected {ENTRY.itemsize}")
    if found_number != number:
        raise damaged(path, 12, f"the header says segment {found_number}, the name says {number}")
    if chain is not None and found_chain != chain:
        raise damaged(path, 16, "it does not continue the segments before it (chain digest differs)")


def parse_frame(data: bytes, offset: int) -> Frame | str:
    """The frame at `offset`, or in words why there is none."""
    if len(data) - offset < FRAME_BYTES:
        return f"{len(data) - offset} bytes are too few for a frame header"
    magic, count, place = _FRAME.unpack_from(data, offset)
    if magic != FRAME_MAGIC:
        return f"{magic!r} where a frame should start"
    start = offset + FRAME_BYTES
    end = start + count * ENTRY.itemsize
    if end > len(data):
        return f"a frame of {count} entries runs {end - len(data)} bytes past the end of the file"
    head = data[offset : offset + _FRAME.size]
    crc = zlib.crc32(memoryview(data)[start:end], zlib.crc32(head))
    if crc != _CRC.unpack_from(data, offset + _FRAME.size)[0]:
        return f"the checksum of a frame of {count} entries does not hold"
    return Frame(place, np.frombuffer(data, ENTRY, count, start), end)


def find_frame(data: bytes, offset: int) -> int | None:
    """Offset of the first valid frame at or after `offset`: its presence tells damage from a torn tail."""
    place = data.find(FRAME_MAGIC, offset)
    while place >= 0:
        if isinstance(parse_frame(data, place), Frame):
            return place
        place = data.find(FRAME_MAGIC, place + 1)
    return None
