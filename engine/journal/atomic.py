"""Replace a file as a whole, or not at all: temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from engine.contracts.errors import Fatal

Bytes = bytes | bytearray | memoryview


def sync_directory(directory: Path) -> None:
    """Make creations and renames inside `directory` survive a power loss."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(path: Path, chunks: Iterable[Bytes]) -> None:
    """Write `chunks` to `path` so that a reader sees the old file or the new one, never a part.

    Raises Fatal naming the path and the fix when the disk is full or not writable; `path` is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise write_failure(path, error) from error


def write_failure(path: Path, error: OSError) -> Fatal:
    """The Fatal for a file that could not be written, with the fix."""
    return Fatal(
        f"cannot write {path}: {error.strerror or error}; "
        "free space on that disk (or make the folder writable) and start again"
    )
