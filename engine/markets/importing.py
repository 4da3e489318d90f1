"""`data import`: CSV files of others into our Parquet schemas.

Understood: Binance's public data files (klines, aggTrades, fundingRate; with or without header, plain, .gz or
.zip), freqtrade-like candles (`date, open, high, low, close, volume`) and any CSV whose header uses the names below.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from engine.contracts.errors import BadData, BadInput
from engine.markets.check import CheckReport, check
from engine.markets.files import SCHEMAS, Array, FileKind, read_sheet
from engine.markets.rows import judge
from engine.markets.symbols import canonical
from engine.markets.writing import write_parquet

# our column: names others use for it, by kind
_ALIASES: Final[dict[FileKind, dict[str, tuple[str, ...]]]] = {
    "candles": {
        "ts": ("ts", "timestamp", "date", "datetime", "time", "open_time", "opentime"),
        "open": ("open",), "high": ("high",), "low": ("low",), "close": ("close",),
        "volume": ("volume", "vol", "base_volume"),
    },
    "trades": {
        "ts_exch_ms": ("ts_exch_ms", "transact_time", "timestamp", "time", "ts"),
        "price": ("price",), "size": ("size", "quantity", "qty", "amount"),
        "side": ("side", "is_buyer_maker"),
        "trade_id": ("trade_id", "agg_trade_id", "agg_id", "id"),
    },
    "quotes": {
        "ts_exch_ms": ("ts_exch_ms", "transaction_time", "event_time", "timestamp", "time", "ts"),
        "bid": ("bid", "best_bid_price", "bid_price"), "bid_size": ("bid_size", "best_bid_qty", "bid_qty"),
        "ask": ("ask", "best_ask_price", "ask_price"), "ask_size": ("ask_size", "best_ask_qty", "ask_qty"),
        "update_id": ("update_id",),
    },
    "funding": {
        "ts": ("ts", "calc_time", "fundingtime", "timestamp", "date", "time"),
        "funding_rate": ("funding_rate", "last_funding_rate", "fundingrate"),
    },
}  # fmt: skip
_OPTIONAL: Final = ("trade_id", "update_id")
_HEADERLESS: Final[dict[FileKind, tuple[str, ...]]] = {
    "candles": ("open_time", "open", "high", "low", "close", "volume"),
    "trades": ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time",
               "is_buyer_maker"),
}  # fmt: skip
# a stamp above this many (value) is in units of so many ns
_STAMP_UNITS: Final = ((1e17, 1), (1e14, 1_000), (1e11, 1_000_000), (0.0, 1_000_000_000))


def import_csv(path: Path, out: Path, *, kind: FileKind, venue: str, symbol: str) -> CheckReport:
    """Convert one CSV of one instrument and return the check of the file written.

    `out` appears whole or not at all. Raises BadInput (kind, venue, symbol) or BadData (the file, naming the column).
    """
    if kind not in _ALIASES:
        raise BadInput(f"kind: {kind!r} is unknown; use one of {', '.join(_ALIASES)}")
    name = canonical(venue, symbol)
    if not venue or name is None:
        raise BadInput(f"symbol: {symbol!r} on venue {venue!r} is no pair; write it as BTC/USDT")
    table = _read(Path(path), kind)
    columns: dict[str, pa.Array] = {}
    present = {c.strip().lower(): c for c in table.column_names}
    for ours, names in _ALIASES[kind].items():
        theirs = next((present[n] for n in names if n in present), None)
        if theirs is None and ours in _OPTIONAL:
            continue
        if theirs is None:
            raise BadData(f"{path}: no column for {ours}; name one of {', '.join(names)} in the header")
        columns[ours] = _converted(path, ours, theirs, table[theirs])
    rows = table.num_rows
    named = {"venue": _repeated(venue, rows), "symbol": _repeated(name, rows)}
    write_parquet(pa.table(named | columns), Path(out), accept=_accept)
    return check(Path(out))


def _accept(part: Path) -> None:
    judge(read_sheet(part))


def _repeated(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array([text]))


def _read(path: Path, kind: FileKind) -> pa.Table:
    if not path.is_file():
        raise BadData(f"{path}: no such file; check the path")
    try:
        raw = _bytes(path)
        first = raw.split(b"\n", 1)[0].decode("utf-8", "replace").strip().lstrip("\ufeff").split(",")
        headed = any(cell[:1].isalpha() for cell in first if cell.lower() not in ("true", "false"))
        names = None
        if not headed:
            known = _HEADERLESS.get(kind, ())
            if not known or len(first) < len(known):
                raise BadData(f"{path}: no header and {len(first)} columns; add a header line naming the columns")
            names = [*known, *(f"extra_{i}" for i in range(len(first) - len(known)))]
        table = pacsv.read_csv(io.BytesIO(raw), read_options=pacsv.ReadOptions(column_names=names))
    except (pa.ArrowException, OSError, zipfile.BadZipFile) as fault:
        raise BadData(f"{path}: not a readable CSV ({str(fault).splitlines()[0][:120]}); fetch it again") from fault
    if table.num_rows == 0:
        raise BadData(f"{path}: the file holds no rows; export it again")
    return table


def _bytes(path: Path) -> bytes:
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.namelist() if not m.endswith("/")]
            if len(members) != 1:
                raise BadData(f"{path}: holds {len(members)} files, needs one CSV; unpack it and import each")
            return archive.read(members[0])
    with pa.input_stream(str(path), compression="detect") as stream:
        return bytes(stream.read())


def _converted(path: Path, ours: str, theirs: str, column: pa.ChunkedArray) -> pa.Array:
    try:
        if ours in ("ts", "ts_exch_ms"):
            stamps = _milliseconds(column)
            return pa.array(stamps, pa.timestamp("ms", "UTC") if ours == "ts" else pa.int64())
        if ours == "side":
            return pa.array(_sides(theirs, column), pa.int8())
        return column.cast(pa.int64() if ours in _OPTIONAL else pa.float64()).combine_chunks()
    except (pa.ArrowException, ValueError) as fault:
        want = SCHEMAS["candles"][0].get(ours, "number")
        text = str(fault).splitlines()[0][:120]
        raise BadData(f"{path}: column {theirs} does not read as a {want} ({text}); fix the column") from fault


def _milliseconds(column: pa.ChunkedArray) -> Array:
    """UTC milliseconds of s, ms, us or ns integers (told apart by size) or ISO dates; missing stamps become 0."""
    kind = column.type
    if pa.types.is_string(kind):
        column = pc.strptime(pc.utf8_slice_codeunits(column, 0, 19), "%Y-%m-%d %H:%M:%S", "ms")
        kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        whole = column.cast(pa.timestamp("ns", kind.tz if pa.types.is_timestamp(kind) else None)).cast(pa.int64())
        return np.asarray(whole.fill_null(0).to_numpy(), np.int64) // 1_000_000
    values = np.asarray(column.cast(pa.int64()).fill_null(0).to_numpy(), np.int64)
    largest = float(np.median(values))
    unit = next(ns for floor, ns in _STAMP_UNITS if largest >= floor)
    return values // (1_000_000 // unit) if unit <= 1_000_000 else values * 1000


def _sides(theirs: str, column: pa.ChunkedArray) -> Array:
    """+1 where the buyer was the aggressor; 0 (later quarantined) where the word is not understood."""
    if theirs.strip().lower() == "is_buyer_maker":
        words = np.array([str(v).lower() for v in column.to_pylist()])
        return np.where(words == "true", -1, np.where(words == "false", 1, 0)).astype(np.int8)
    words = np.array([str(v).lower() for v in column.to_pylist()])
    buys, sells = np.isin(words, ("buy", "b", "1", "+1")), np.isin(words, ("sell", "s", "-1"))
    return np.where(buys, 1, np.where(sells, -1, 0)).astype(np.int8)
