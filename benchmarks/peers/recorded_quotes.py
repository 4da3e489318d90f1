"""Recorded best quotes as arrays, repeated until there are enough of them for a rate to be steady."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

MIN_FEED_LATENCY_NS = 1_000_000
"""The recorder's clock ran behind the exchange's; its times are shifted until the fastest message took this long."""


class Quotes(NamedTuple):
    """Best quotes in time order. `exch_ns` never decreases, nor does `local_ns`, and local is later than exch."""

    exch_ns: NDArray[np.int64]
    local_ns: NDArray[np.int64]
    bid: NDArray[np.float64]
    bid_size: NDArray[np.float64]
    ask: NDArray[np.float64]
    ask_size: NDArray[np.float64]


def load_quotes(path: Path, venue: str = "binance_usdm", symbol: str = "BTCUSDT") -> Quotes:
    """Read one venue's quotes (columns venue, symbol, ts_local_ns, ts_exch_ms, bid, bid_size, ask, ask_size).

    Raises SystemExit naming the file if it holds no such quotes.
    """
    table = pq.read_table(path)
    table = table.filter(pc.and_(pc.equal(table["venue"], venue), pc.equal(table["symbol"], symbol)))
    if table.num_rows == 0:
        raise SystemExit(f"{path} holds no quotes of {symbol} on {venue}; give a file that does")
    column = {name: table[name].to_numpy() for name in table.column_names if name not in ("venue", "symbol")}
    exch_ns = np.maximum.accumulate(column["ts_exch_ms"].astype(np.int64) * 1_000_000)
    local_ns = np.maximum.accumulate(column["ts_local_ns"].astype(np.int64))
    local_ns = local_ns + (MIN_FEED_LATENCY_NS - int((local_ns - exch_ns).min()))
    sides = (column[name].astype(np.float64) for name in ("bid", "bid_size", "ask", "ask_size"))
    return Quotes(exch_ns, local_ns, *sides)


def tile(quotes: Quotes, times: int) -> Quotes:
    """The same quotes `times` over, each repetition starting one second after the one before it ended."""
    span = int(quotes.local_ns[-1] - quotes.exch_ns[0]) + 1_000_000_000
    shift = np.repeat(np.arange(times, dtype=np.int64) * span, len(quotes.bid))
    exch_ns = np.tile(quotes.exch_ns, times) + shift
    local_ns = np.tile(quotes.local_ns, times) + shift
    return Quotes(exch_ns, local_ns, *(np.tile(side, times) for side in quotes[2:]))
