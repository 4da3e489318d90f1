"""Write a market file so that it is either whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from engine.contracts.errors import BadData


def write_parquet(table: pa.Table, out: Path, accept: Callable[[Path], None] | None = None) -> None:
    """Write beside `out`, flush, let `accept` look at it (it may raise), then rename: no half-written file remains.

    Raises BadData when the folder cannot be written or the disk is full; an older `out` then stays as it was.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent)
    except OSError as fault:
        raise BadData(f"{out}: cannot be written ({fault.strerror}); choose another folder") from fault
    part = Path(name)
    try:
        os.close(handle)
        pq.write_table(table, part, compression="zstd")
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        if accept is not None:
            accept(part)
        part.replace(out)
    except OSError as fault:
        text = f"{out}: could not be written ({fault}); nothing was changed: free disk space and repeat"
        raise BadData(text) from fault
    finally:
        part.unlink(missing_ok=True)
