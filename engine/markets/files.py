"""Parquet files as they lie on disk: recognise the kind, refuse what is wrong as a whole, group rows by instrument.

Whole-file faults raise BadData with file, column and fix. Faults of single rows are judged in `rows`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.contracts.errors import BadData
from engine.markets.symbols import Name, canonical

FileKind = Literal["candles", "quotes", "trades", "funding"]
Array = np.ndarray[Any, Any]

SYNTHETIC_KEY: Final = b"keel_synthetic_seed"
"""Parquet metadata key of generated markets; its value is the seed."""

# kind: (required columns and their type class, optional columns)
SCHEMAS: Final[dict[FileKind, tuple[dict[str, str], dict[str, str]]]] = {
    "candles": (
        {"venue": "text", "symbol": "text", "ts": "time", "open": "number", "high": "number", "low": "number",
         "close": "number", "volume": "number"},
        {},
    ),
    "quotes": (
        {"venue": "text", "symbol": "text", "ts_exch_ms": "integer", "bid": "number", "bid_size": "number",
         "ask": "number", "ask_size": "number"},
        {"ts_local_ns": "integer", "update_id": "integer"},
    ),
    "trades": (
        {"venue": "text", "symbol": "text", "ts_exch_ms": "integer", "price": "number", "size": "number",
         "side": "integer"},
        {"ts_local_ns": "integer", "trade_id": "integer", "agg_id": "integer"},
    ),
    "funding": ({"venue": "text", "symbol": "text", "ts": "time", "funding_rate": "number"}, {}),
}  # fmt: skip

# a column only this kind has -> the kind; the first match decides
_MARKS: Final[tuple[tuple[str, FileKind], ...]] = (
    ("funding_rate", "funding"), ("bid", "quotes"), ("ask", "quotes"), ("price", "trades"),
    ("open", "candles"), ("high", "candles"), ("low", "candles"), ("close", "candles"),
)  # fmt: skip
_UNIT_NS: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


@dataclass(frozen=True)
class Sheet:
    """One file, rows grouped by instrument (ascending `code`, file order inside), nothing judged yet.

    `code[i]` indexes `names` (sorted); `len(names)` marks a row without a usable venue or symbol. `row[i]` is the
    0-based row in the file. Times are int64 ns (0: missing), numbers float64 (NaN: missing), ids int64 (-1: missing).
    """

    path: Path
    kind: FileKind
    names: list[Name]
    code: Array
    row: Array
    columns: dict[str, Array]
    sha256: str
    seed: int | None
    starts: Array
    """Slice bounds by code: rows of code k are starts[k]:starts[k+1]; the nameless come last."""


def read_sheet(path: Path) -> Sheet:
    """Read one Parquet file. Raises BadData: missing, folder, not Parquet, damaged, empty, wrong kind or columns."""
    path = Path(path)
    if path.is_dir():
        inside = sorted(each.name for each in path.glob("*.parquet"))
        example = f", for example {path / inside[0]}" if inside else "; this one holds none"
        raise BadData(f"{path} is a folder: name a Parquet file in it{example}")
    if not path.is_file():
        raise BadData(f"{path}: no such file; check the path or list the folder that should hold it")
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        kind = _recognise(path, file.schema_arrow)
        if file.metadata.num_rows == 0:
            raise BadData(f"{path}: the file holds no rows; export it again or leave it out")
        names, code, order = _grouped(path, file.read(columns=["venue", "symbol"]))
        columns = _numeric(file, kind, order)
    except (pa.ArrowException, OSError) as fault:
        hint = "import it first: `data import`" if path.suffix.lower() in (".csv", ".gz", ".zip") else "fetch it again"
        raise BadData(f"{path}: not a readable Parquet file ({str(fault).splitlines()[0][:120]}); {hint}") from fault
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    pa.default_memory_pool().release_unused()
    starts = np.searchsorted(code, np.arange(len(names) + 2, dtype=np.uint16))
    return Sheet(path, kind, names, code, order, columns, digest, _seed(file.schema_arrow), starts)


def _seed(schema: pa.Schema) -> int | None:
    metadata = schema.metadata or {}
    return int(metadata[SYNTHETIC_KEY]) if SYNTHETIC_KEY in metadata else None


def _numeric(file: pq.ParquetFile, kind: FileKind, order: Array) -> dict[str, Array]:
    """The columns with numbers, one at a time: a file read at once takes three times its size."""
    required, optional = SCHEMAS[kind]
    wanted = {c: want for c, want in (required | optional).items() if want != "text" and c in file.schema_arrow.names}
    return {c: _numbers(file.read(columns=[c])[c], want)[order] for c, want in wanted.items()}


def _recognise(path: Path, schema: pa.Schema) -> FileKind:
    columns = set(schema.names)
    kind = next((k for mark, k in _MARKS if mark in columns), None)
    if kind is None:
        if columns & {"mid_close", "bid_close"}:
            raise BadData(f"{path}: averaged quotes (no open, high, low, close, volume): use the candles of the venue")
        known = "; ".join(f"{k}: {', '.join(req)}" for k, (req, _) in SCHEMAS.items())
        raise BadData(f"{path}: columns {', '.join(schema.names[:12])} are no known kind of market file ({known})")
    required, optional = SCHEMAS[kind]
    missing = [c for c in required if c not in columns]
    if missing:
        raise BadData(f"{path}: a {kind} file needs the column(s) {', '.join(missing)}; add them or use another file")
    for column, want in (required | optional).items():
        if column in columns and not _is(schema.field(column).type, want):
            found = schema.field(column).type
            raise BadData(f"{path}: column {column} is {found}, needs {_TYPE_NAMES[want]}; convert it and write again")
    return kind


_TYPE_NAMES: Final = {
    "text": "text",
    "time": "a timestamp or integer UTC milliseconds",
    "number": "a number",
    "integer": "an integer",
}


def _is(found: pa.DataType, want: str) -> bool:
    types = pa.types
    if want == "text":
        inner = found.value_type if types.is_dictionary(found) else found
        return bool(types.is_string(inner) or types.is_large_string(inner))
    if want == "time":
        return bool(types.is_timestamp(found) or types.is_int64(found))
    if want == "integer":
        return bool(types.is_integer(found))
    return bool(types.is_floating(found) or types.is_integer(found) or types.is_decimal(found))


def _numbers(column: pa.ChunkedArray, want: str) -> Array:
    if want == "number":
        return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    if want == "time":
        scale = _UNIT_NS[column.type.unit] if pa.types.is_timestamp(column.type) else 1_000_000
        values = _integers(column.cast(pa.int64()), 0)
        limit = 4_000_000_000_000_000_000 // scale  # year 2096: later stamps are marked missing, not wrapped around
        return np.where((values > 0) & (values < limit), values, 0) * scale
    return _integers(column.cast(pa.int64()), -1)


def _integers(column: pa.ChunkedArray, missing: int) -> Array:
    return np.asarray(column.fill_null(missing).to_numpy() if column.null_count else column.to_numpy(), dtype=np.int64)


def _coded(column: pa.ChunkedArray) -> tuple[Array, list[str | None]]:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    chunk = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    words = chunk.dictionary.to_pylist()
    return _integers(pa.chunked_array([chunk.indices.cast(pa.int64())]), len(words)), [*words, None]


def _grouped(path: Path, table: pa.Table) -> tuple[list[Name], Array, Array]:
    """Sorted names, code by row (grouped) and the order that groups them."""
    venue, venues = _coded(table["venue"])
    symbol, symbols = _coded(table["symbol"])
    pair = venue * len(symbols) + symbol
    present = np.flatnonzero(np.bincount(pair, minlength=len(venues) * len(symbols)))
    named: dict[int, Name] = {}
    for index in present.tolist():
        place, raw = venues[index // len(symbols)], symbols[index % len(symbols)]
        name = canonical(place, raw) if place and raw else None
        if place and name:
            named[index] = (place, name)
    names = sorted(set(named.values()))
    if not names:
        raise BadData(f"{path}: no row has a venue and a symbol such as BTC/USDT; fix the columns venue and symbol")
    rank = {name: i for i, name in enumerate(names)}
    lookup = np.full(len(venues) * len(symbols), len(names), np.uint16)
    for index, name_ in named.items():
        lookup[index] = rank[name_]
    code = lookup[pair]
    order = np.argsort(code, kind="stable")
    return names, code[order], order
