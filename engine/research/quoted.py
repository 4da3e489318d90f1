"""Recordings that hold no quotes, or only a minute's, read as quotes: what each reading assumes stands here.

* `quotes_of_trades`: the last price a buyer paid is the ask, the last a seller got is the bid, the size is that trade's
  and nothing stands behind it. Real quotes were often better than the last trade and often gone: this errs both ways.
* `quotes_of_minutes`: at the end of each minute the mid and half the minute's mean spread on both sides of it, rounded
  outwards; the recorded mean depth is taken for both sides together. The three pairs of a triangle are thus of one
  moment. Between two minutes nothing is known: the quote stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.contracts import records as r
from engine.contracts.errors import BadData
from engine.contracts.instruments import Instrument
from engine.contracts.runs import Source
from engine.markets.market import Market, market_of_ticks

Array = np.ndarray[Any, Any]
MS: Final = 1_000_000
MINUTE_NS: Final = 60_000 * MS
FEED_LATENCY_MS: Final = 20.0


def _pair(venue: str, base: str, quote: str, tick: str, lot: str, least: str) -> Instrument:
    size = Decimal(lot)
    return Instrument(
        symbol=f"{base}/{quote}", venue=venue, base=base, quote=quote, tick_size=Decimal(tick), lot_size=size,
        min_qty=size, max_qty=Decimal(9_000_000), min_notional=Decimal(least),
    )  # fmt: skip


PAIRS: Final = (
    _pair("binance_spot", "BTC", "USDT", "0.01", "0.000001", "10"),
    _pair("binance_spot", "ETH", "USDT", "0.01", "0.00001", "10"),
    _pair("binance_spot", "ETH", "BTC", "0.000001", "0.001", "0.0001"),
)
"""The venue's filters on the day the trades are of."""

DEPEG_PAIRS: Final = (
    _pair("binance_us", "BTC", "USD", "0.01", "0.000001", "10"),
    _pair("binance_us", "BTC", "USDC", "0.01", "0.000001", "10"),
    _pair("binance_us", "USDC", "USD", "0.0001", "0.01", "10"),
)
"""As fine as the recorded prices; sizes and minimums are usual ones, the recording does not tell them."""


def quotes_of_trades(path: Path, pairs: Sequence[Instrument], feed_latency_ms: float = FEED_LATENCY_MS) -> Market:
    """Quotes as the trades of `path` (schema: trades) suggest them; rows of other symbols are left out."""
    table = _read(path, ["symbol", "ts_exch_ms", "price", "size", "side"])
    symbols = np.array([name.replace("/", "") for name in table["symbol"].to_pylist()])
    columns = {name: table[name].to_numpy() for name in ("ts_exch_ms", "price", "size", "side")}
    parts = []
    for i, one in enumerate(pairs):
        mine = symbols == one.symbol.replace("/", "")
        parts.append(_touches(i, one, *(columns[name][mine] for name in ("ts_exch_ms", "price", "size", "side"))))
    return _market(path, table.num_rows, "trades", pairs, parts, feed_latency_ms)


def quotes_of_minutes(path: Path, pairs: Sequence[Instrument], feed_latency_ms: float = FEED_LATENCY_MS) -> Market:
    """Quotes at the end of each minute of `path` (columns `mid_close, spread_mean, depth_mean, obi_mean`); rows of
    other pairs, and those whose spread or depth is not above 0, are left out."""
    table = _read(path, ["venue", "symbol", "ts", "mid_close", "spread_mean", "depth_mean", "obi_mean"])
    names = np.array([f"{v}:{s}" for v, s in zip(table["venue"].to_pylist(), table["symbol"].to_pylist(), strict=True)])
    stamps = table["ts"].cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_numpy()
    mid, spread, depth, lean = (
        table[name].to_numpy().astype(np.float64) for name in ("mid_close", "spread_mean", "depth_mean", "obi_mean")
    )
    usable = (mid > 0) & (spread > 0) & (depth > 0) & (np.abs(lean) <= 1) & (spread < mid)
    parts = []
    for i, one in enumerate(pairs):
        mine = (names == f"{one.venue}:{one.symbol}") & usable
        tick, lot, half = float(one.tick_size), float(one.lot_size), spread[mine] / 2
        out = np.zeros(int(mine.sum()), r.RECORD)
        out["kind"], out["instrument"], out["venue_ts_ns"] = r.QUOTE, i, stamps[mine] + MINUTE_NS
        out["bid_ticks"] = np.floor((mid[mine] - half) / tick + 1e-6)
        out["ask_ticks"] = np.maximum(np.ceil((mid[mine] + half) / tick - 1e-6), out["bid_ticks"] + 1)
        for name, sign in (("bid_lots", 1.0), ("ask_lots", -1.0)):
            out[name] = np.maximum(depth[mine] * (1.0 + sign * lean[mine]) / 2 / lot, 1.0)
        parts.append(out[out["bid_ticks"] > 0])
    return _market(path, table.num_rows, "quotes", pairs, parts, feed_latency_ms)


class Reading(NamedTuple):
    """A way to read a recording, and the pairs that are read from it."""

    read: Callable[[Path, Sequence[Instrument], float], Market]
    pairs: tuple[Instrument, ...]


READINGS: Final[dict[str, Reading]] = {
    "last_trades": Reading(quotes_of_trades, PAIRS),
    "minute_quotes": Reading(quotes_of_minutes, DEPEG_PAIRS),
}


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns)
    except (pa.ArrowException, OSError) as fault:
        raise BadData(f"{path}: cannot be read as {', '.join(columns)} ({str(fault).splitlines()[0][:120]})") from fault


def _touches(i: int, one: Instrument, ts_ms: Array, price: Array, size: Array, side: Array) -> Array:
    """One quote a trade, from when both sides have been seen: the side that traded is where it traded, the other where
    it was last, or a tick away where that cannot be."""
    ticks = np.rint(price / float(one.tick_size)).astype(np.int64)
    lots = np.maximum((size / float(one.lot_size)).astype(np.int64), 1)
    out = np.zeros(len(ticks), r.RECORD)
    bid = ask = bid_lots = ask_lots = 0
    for k, (at, many, way) in enumerate(zip(ticks.tolist(), lots.tolist(), side.tolist(), strict=True)):
        if way > 0:
            ask, ask_lots = at, many
            if bid >= ask:
                bid, bid_lots = ask - 1, 1
        else:
            bid, bid_lots = at, many
            if 0 < ask <= bid:
                ask, ask_lots = bid + 1, 1
        row = out[k]
        row["bid_ticks"], row["bid_lots"], row["ask_ticks"], row["ask_lots"] = bid, bid_lots, ask, ask_lots
    out["kind"], out["instrument"] = r.QUOTE, i
    out["venue_ts_ns"] = ts_ms * MS
    return out[(out["bid_ticks"] > 0) & (out["ask_ticks"] > 0)]


def _market(
    path: Path, rows: int, kind: Literal["quotes", "trades"], pairs: Sequence[Instrument], parts: list[Array],
    feed_latency_ms: float,
) -> Market:  # fmt: skip
    """The quotes of all pairs by time; of one moment, in the order of the pairs."""
    whole = r.joined(parts, r.RECORD)
    order = np.argsort(whole["venue_ts_ns"], kind="stable")
    out = np.empty(len(whole), r.RECORD)
    out.view(np.uint8).reshape(-1, r.RECORD_BYTES)[:] = whole.view(np.uint8).reshape(-1, r.RECORD_BYTES)[order]
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    source = Source(path=str(path), sha256=digest, kind=kind, rows=rows)
    return market_of_ticks(pairs, out, source, round(feed_latency_ms * MS))
