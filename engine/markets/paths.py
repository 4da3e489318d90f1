"""Candles become a path of four points, quotes and trades stay what they are, all merged in time order.

The intrabar rule
-----------------
* A candle of length D is four PATH points: open at ts, the extremes at ts + D/3 and ts + 2D/3, close at ts + D - 1 ms.
* Which extreme comes first is a hash of (instrument's name, ts): a coin toss that knows nothing of the close.
* The open is a JUMP (the price moved from the last close without trading in between) and carries no
  quantity; the other three carry a third of the volume each, the remainder on the close, which is LAST.
* `spread_ticks` and `depth_lots` come only from candles *before* this one (means of range and volume, exponential after
  the first 64): the strategy sees them at the open, where this candle's range and volume are not known.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts.records import JUMP, LAST, PATH
from engine.core.compile import kernel

BAR: Final = np.dtype(
    (
        np.record,
        np.dtype(
            [(n, "<i8") for n in ("ts_ns", "open", "high", "low", "close", "lots", "spread", "depth")]
            + [("instrument", "<u2"), ("up_first", "<u2"), ("pad", "<u4")]
        ),
    )
)
"""One candle in integers: prices and spread in ticks, volume and depth in lots. 72 bytes."""

POINTS: Final = 4
TICKS_LANE: Final = -1
_MEMORY: Final = 64  # candles in the means of range and volume
_BEFORE_CLOSE_NS: Final = 1_000_000
_FAR: Final = 9_223_372_036_854_775_807


@kernel
def high_first(seed: Any, ts: Any) -> Any:
    """A fair coin from the instrument's seed and the candle's time: splitmix64's mixing, in 32-bit halves."""
    x = (seed ^ (ts >> 20)) & 0xFFFFFFFF
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return (x >> 15) & 1


@kernel(entry=True)
def lay_bars(
    ts: Any,
    opens: Any,
    highs: Any,
    lows: Any,
    closes: Any,
    volumes: Any,
    tick: Any,
    lot: Any,
    terms: Any,
    instrument: Any,
    seed: Any,
    bars: Any,
) -> None:
    """Good candles of one instrument, in time order, as integers into `bars`.

    terms: spread fraction, range share, depth share, first depth in ticks times lots.
    """
    spread_share, range_share, depth_share, first_depth = terms
    mean_range, mean_lots = 0.0, 0.0
    for i in range(len(ts)):
        high, low, volume = np.rint(highs[i] / tick), np.rint(lows[i] / tick), np.rint(volumes[i] / lot)
        close, opened = np.rint(closes[i] / tick), np.rint(opens[i] / tick)
        before = opened if i == 0 else float(bars[i - 1].close)
        bar = bars[i]
        bar.ts_ns, bar.instrument, bar.up_first = ts[i], instrument, high_first(seed, ts[i])
        bar.open, bar.high, bar.low, bar.close, bar.lots = int(opened), int(high), int(low), int(close), int(volume)
        bar.spread = max(1, int(np.rint(before * max(spread_share, range_share * mean_range))))
        depth = first_depth / before if i == 0 else depth_share * mean_lots
        bar.depth = max(1, int(np.rint(depth)))
        weight = 1.0 / min(i + 1, _MEMORY)
        mean_range += weight * ((high - low) / close - mean_range)
        mean_lots += weight * (volume - mean_lots)


@kernel
def lane_time(lane: Any, cursor: Any, point: Any, step_ns: Any, order: Any, bars: Any, ticks: Any) -> Any:
    """Venue time of the lane's next record."""
    if point[lane] == TICKS_LANE:
        return ticks[cursor[lane]].venue_ts_ns
    start, step = bars[order[cursor[lane]]].ts_ns, step_ns[lane]
    if point[lane] == 3:
        return start + step - _BEFORE_CLOSE_NS
    return start + point[lane] * step // 3


@kernel
def lane_instrument(lane: Any, cursor: Any, point: Any, order: Any, bars: Any, ticks: Any) -> Any:
    """Instrument of the lane's next record: settles ties in time."""
    if point[lane] == TICKS_LANE:
        return int(ticks[cursor[lane]].instrument)
    return int(bars[order[cursor[lane]]].instrument)


@kernel
def write_point(out: Any, bar: Any, point: Any, venue_ts_ns: Any) -> None:
    """One of the four points of a candle, into a zeroed record."""
    third = bar.lots // 3
    out.kind, out.instrument, out.venue_ts_ns = PATH, bar.instrument, venue_ts_ns
    out.spread_ticks, out.depth_lots = bar.spread, bar.depth
    if point == 0:
        out.price_ticks, out.bits = bar.open, JUMP
    elif point == 3:
        out.price_ticks, out.bits, out.qty_lots = bar.close, LAST, bar.lots - 2 * third
    else:
        out.price_ticks = bar.high if (point == 1) == (bar.up_first == 1) else bar.low
        out.qty_lots = third


@kernel(entry=True)
def fill_block(
    out: Any, cursor: Any, end: Any, point: Any, step_ns: Any, order: Any, bars: Any, ticks: Any, latency_ns: Any
) -> int:
    """Merge lanes into `out` (zeroed) until it is full or all lanes are at their `end`; returns the count.

    A lane is one point (0..3) of all candles of one length, in (ts, instrument) order, or the sorted ticks.
    The earliest goes first; ties by instrument, then by lane. `cursor` is advanced in place.
    """
    lanes = len(cursor)
    head = np.full(lanes, _FAR, np.int64)
    for lane in range(lanes):
        if cursor[lane] < end[lane]:
            head[lane] = lane_time(lane, cursor, point, step_ns, order, bars, ticks)
    for n in range(len(out)):
        best = 0
        for lane in range(1, lanes):
            if head[lane] < head[best]:
                best = lane
            elif head[lane] == head[best] and head[lane] != _FAR:
                mine = lane_instrument(lane, cursor, point, order, bars, ticks)
                if mine < lane_instrument(best, cursor, point, order, bars, ticks):
                    best = lane
        if head[best] == _FAR:
            return n
        if point[best] == TICKS_LANE:
            out[n] = ticks[cursor[best]]
        else:
            write_point(out[n], bars[order[cursor[best]]], point[best], head[best])
        out[n].ts_ns = head[best] + latency_ns
        cursor[best] += 1
        head[best] = _FAR
        if cursor[best] < end[best]:
            head[best] = lane_time(best, cursor, point, step_ns, order, bars, ticks)
    return len(out)
