"""Small market files, built row by row."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from candle_tables import Columns


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """write(columns, ..., name=...): the tables one below the other as a Parquet file."""

    def _write(*tables: Columns, name: str = "market.parquet") -> Path:
        merged = {c: np.concatenate([np.asarray(t[c]) for t in tables]) for c in tables[0]}
        table = {c: pa.array(v.tolist() if v.dtype == object else v) for c, v in merged.items()}
        if "ts" in table and pa.types.is_int64(table["ts"].type):
            table["ts"] = table["ts"].cast(pa.timestamp("ms", "UTC"))
        pq.write_table(pa.table(table), tmp_path / name)
        return tmp_path / name

    return _write


@pytest.fixture
def recorded() -> Path:
    """The folder of recorded markets."""
    folder = Path(os.environ.get("KEEL_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / "candles").is_dir():
        pytest.skip(f"no recorded markets in {folder} (set KEEL_DATA_DIR)")
    return folder
