"""A new file for its owner's eyes only, there as a whole or not at all, never in the place of another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from engine.contracts.errors import Refused
from engine.journal.atomic import sync_directory, write_failure


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Yields where to write; `path` appears (mode 0600) when this ends in order, and nothing of it stays otherwise.

    Raises Refused where the file exists, Fatal where it cannot be written.
    """
    if path.exists():
        raise Refused(f"{path} exists already and is not overwritten; name another file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(handle, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_directory(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise write_failure(path, error) from error
