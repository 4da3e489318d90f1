"""Candles as a path of quotes: four points a candle, a constant spread, sizes that never run out.

Open at the candle's start, low a third in, high two thirds in, close 1 ms before its end. With a spread of s ticks the
bid is the price less floor(s / 2) ticks and the ask is the bid plus s ticks, so for an even s the mid is the price.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

COLUMNS = ("ts_ns", "bid", "bid_size", "ask", "ask_size")
ENDLESS_SIZE = 1_000_000.0


class QuotePath(NamedTuple):
    """`bid` and `ask` in the quote currency, sizes in base units, `ts_ns` int64 UTC and never decreasing."""

    ts_ns: NDArray[np.int64]
    bid: NDArray[np.float64]
    bid_size: NDArray[np.float64]
    ask: NDArray[np.float64]
    ask_size: NDArray[np.float64]


class Candles(NamedTuple):
    start_ns: NDArray[np.int64]
    ticks: NDArray[np.int64]
    """Open, low, high and close in ticks, shape (candles, 4)."""


def read_candles(path: Path, symbol: str, tick: float, start: datetime, end: datetime) -> Candles:
    """One symbol's candles that start in [start, end). Raises SystemExit if there are none or they are off the tick."""
    filters = [("symbol", "==", symbol), ("ts", ">=", start), ("ts", "<", end)]
    table = pq.read_table(path, filters=filters).sort_by("ts")
    if table.num_rows == 0:
        raise SystemExit(f"{path} holds no candles of {symbol} from {start} to {end}")
    start_ns = pc.cast(table["ts"], pa.int64()).to_numpy() * 1_000_000
    prices = np.stack([table[name].to_numpy() for name in ("open", "low", "high", "close")], axis=1)
    ticks = np.rint(prices / tick).astype(np.int64)
    if np.abs(ticks * tick - prices).max() > tick * 1e-6:
        raise SystemExit(f"{symbol} in {path} has prices that are no multiple of {tick}; give its real tick size")
    return Candles(start_ns, ticks)


def quote_path(candles: Candles, bar_ns: int, spread_ticks: int, decimals: int) -> QuotePath:
    """Four quotes a candle; `decimals` is the number of decimal places of one tick (a tick is a power of ten)."""
    offsets = np.array([0, bar_ns // 3, 2 * (bar_ns // 3), bar_ns - 1_000_000], dtype=np.int64)
    ts_ns = (candles.start_ns[:, None] + offsets).ravel()
    bid_ticks = candles.ticks.ravel() - spread_ticks // 2
    sizes = np.full(len(ts_ns), ENDLESS_SIZE)
    scale = 10.0**decimals
    return QuotePath(ts_ns, bid_ticks / scale, sizes, (bid_ticks + spread_ticks) / scale, sizes)


def read_quotes(path: Path) -> QuotePath:
    table = pq.read_table(path, columns=list(COLUMNS))
    if table.num_rows == 0:
        raise SystemExit(f"{path} holds no quotes")
    ts_ns, *sides = (table[name].to_numpy() for name in COLUMNS)
    if np.any(np.diff(ts_ns) < 0):
        raise SystemExit(f"{path}: ts_ns goes backwards; sort the quotes by time")
    return QuotePath(ts_ns.astype(np.int64), *(side.astype(np.float64) for side in sides))


def write_quotes(path: Path, quotes: QuotePath) -> None:
    columns: dict[str, Any] = dict(zip(COLUMNS, quotes, strict=True))
    pq.write_table(pa.table(columns), path, compression="zstd")
