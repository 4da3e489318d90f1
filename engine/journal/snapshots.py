"""Snapshots of state under ``RUN/snapshots``: a shortcut past the journal, never a replacement for it.

File: magic ``KEELSNAP``, version u4, length of the JSON head u4, head (seq, meta, and name, type, shape and size of
every part), the parts one after the other, BLAKE2b-256 of all that. Nothing in it is executed when loaded.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts.errors import BadInput, Fatal
from engine.journal import atomic

FOLDER: Final = "snapshots"
MAGIC: Final = b"KEELSNAP"
VERSION: Final = 1
_START: Final = struct.Struct("<8sII")
_DIGEST_BYTES: Final = 32

Array = np.ndarray[Any, Any]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """State after event `seq`. Arrays are fresh and writable."""

    seq: int
    parts: dict[str, Array | bytes]
    meta: dict[str, str]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    type: Any  # a dtype as in `_describe`, or None for bytes
    shape: list[int]
    size: int


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seq: int
    meta: dict[str, str]
    parts: list[_Part]


def save(directory: Path, seq: int, parts: Mapping[str, Array | bytes], meta: Mapping[str, str]) -> Path:
    """Write the snapshot of event `seq` (>= 0) into the run folder `directory`; replaces one of the same seq.

    `meta` says what the state belongs to, e.g. digests of code and configuration. Raises Fatal on a full disk.
    """
    if seq < 0:
        raise BadInput(f"a snapshot's seq must be 0 or more, not {seq}")
    path = directory / FOLDER / f"{seq:020d}.snap"
    atomic.replace_file(path, _encode(seq, parts, meta))
    return path


def latest(directory: Path) -> Path | None:
    """Path of the newest snapshot of a run folder, None without one. It is checked only by `load`."""
    return max((directory / FOLDER).glob("*.snap"), default=None)


def load(path: Path, expected: Mapping[str, str] | None = None) -> Snapshot:
    """Read and check a snapshot. Raises Fatal naming it when damaged, and naming the key of `meta` that differs
    from `expected`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Fatal(f"cannot read snapshot {path}: {error.strerror or error}; check the path") from error
    head, start = _check(path, data)
    for key, value in (expected or {}).items():
        if head.meta.get(key) != value:
            raise Fatal(
                f"snapshot {path} belongs to another {key}: {head.meta.get(key)!r}, expected {value!r}; "
                "replay the journal from its beginning instead"
            )
    parts: dict[str, Array | bytes] = {}
    for part in head.parts:
        content = data[start : start + part.size]
        start += part.size
        if part.type is None:
            parts[part.name] = content
        else:
            parts[part.name] = np.frombuffer(bytearray(content), _revive(part.type)).reshape(part.shape)
    return Snapshot(seq=head.seq, parts=parts, meta=head.meta)


def _encode(seq: int, parts: Mapping[str, Array | bytes], meta: Mapping[str, str]) -> Iterator[atomic.Bytes]:
    head: list[_Part] = []
    contents: list[memoryview[int]] = []
    for name, value in parts.items():
        if isinstance(value, bytes):
            head.append(_Part(name, None, [], len(value)))
            contents.append(memoryview(value))
        else:
            head.append(_Part(name, _describe(value.dtype), list(value.shape), value.nbytes))
            flat = np.ascontiguousarray(value).reshape(-1)
            contents.append(flat.view(np.uint8).data if flat.size else memoryview(b""))
    text = msgspec.json.encode(_Head(seq, dict(meta), head))
    whole = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    chunks: list[atomic.Bytes] = [_START.pack(MAGIC, VERSION, len(text)), text, *contents]
    for chunk in chunks:
        whole.update(chunk)
        yield chunk
    yield whole.digest()


def _check(path: Path, data: bytes) -> tuple[_Head, int]:
    """The head and where the parts begin."""
    fix = "delete it; the journal alone is enough to go on"
    if len(data) < _START.size + _DIGEST_BYTES or data[: len(MAGIC)] != MAGIC:
        raise Fatal(f"{path} is not a snapshot, or its beginning is damaged; {fix}")
    _, version, length = _START.unpack_from(data)
    if version > VERSION:
        raise Fatal(f"snapshot {path} has format version {version}, newer than {VERSION}; {fix}")
    content = memoryview(data)[:-_DIGEST_BYTES]
    if hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest() != data[-_DIGEST_BYTES:]:
        raise Fatal(f"snapshot {path} is damaged (checksum differs); {fix}")
    start = _START.size + length
    return msgspec.json.decode(data[_START.size : start], type=_Head), start


def _describe(dtype: np.dtype[Any]) -> Any:
    """A dtype as JSON: a string, or the layout of its fields (which may overlap)."""
    if dtype.hasobject:
        raise BadInput(f"a snapshot cannot hold Python objects (dtype {dtype})")
    if dtype.subdtype is not None:
        inner, shape = dtype.subdtype
        return {"of": _describe(inner), "shape": list(shape)}
    if dtype.fields is None:
        return dtype.str
    names = list(dtype.names or ())
    return {
        "names": names,
        "formats": [_describe(dtype.fields[name][0]) for name in names],
        "offsets": [dtype.fields[name][1] for name in names],
        "itemsize": dtype.itemsize,
        "record": dtype.type is np.record,
    }


def _revive(form: Any) -> np.dtype[Any]:
    if isinstance(form, str):
        return np.dtype(form)
    if "of" in form:
        return np.dtype((_revive(form["of"]), tuple(form["shape"])))
    layout = np.dtype(
        {
            "names": form["names"],
            "formats": [_revive(inner) for inner in form["formats"]],
            "offsets": form["offsets"],
            "itemsize": form["itemsize"],
        }
    )
    return np.dtype((np.record, layout)) if form["record"] else layout
