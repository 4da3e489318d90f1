"""The pump-and-dump guard: does the latest move of a pair look organised?

A pump's members buy one thin coin at one announced minute: price and volume explode out of nothing, most of the move
lies in one candle, and the market does not move along (Kamps and Kleinberg, "To the moon: defining and detecting
cryptocurrency pump-and-dumps", 2018, whose price and volume anomalies these are; the single candle and the market are
ours). The buyer of such a breakout is who the organisers sell to.

Rules
-----
* Only closed base bars in the ring are looked at: the window, which is the last `pump_minutes` (at least one bar, at
  most half the ring), and the base, which is every older bar that is kept.
* All four must be so: the window's highest price is `pump_rise_pct` above the last close before it; its largest
  turnover is `pump_volume` times that of the median bar of the base; one bar makes up `pump_candle_share` of the
  window's whole range; and the leader (BTC) rose by less than a quarter of it.
* With less than `LEAST` bars of base nothing can be told, and that counts as a pump: a risk nobody can see is refused.
"""

from __future__ import annotations

from typing import Any, Final

from engine.core import bars
from engine.core.compile import kernel

BASE: Final = 0
LEAST: Final = 8
MOST: Final = bars.RING // 2
MARKET_PART: Final = 0.25


@kernel
def window_bars(s: Any, i: int, span_ns: int) -> int:
    """How many of the latest closed base bars began within `span_ns` before the end of the latest: 1..`MOST`; 0 without
    a closed bar."""
    kept = min(s.bars[i, BASE].closed, bars.RING)
    if kept == 0:
        return 0
    first = bars.closed_bar(s, i, BASE, 0).start_ns + s.timeframes_ns[BASE] - span_ns
    count = 1
    while count < min(kept, MOST) and bars.closed_bar(s, i, BASE, count).start_ns >= first:
        count += 1
    return count


@kernel
def rise_since(s: Any, i: int, start_ns: int) -> float:
    """Rise of a pair from the last close before `start_ns` to its latest close, as a fraction; 0 where not known."""
    kept = min(s.bars[i, BASE].closed, bars.RING)
    for age in range(kept):
        before = bars.closed_bar(s, i, BASE, age)
        if before.start_ns < start_ns:
            return bars.closed_bar(s, i, BASE, 0).close_ticks / before.close_ticks - 1.0
    return 0.0


@kernel
def exceeds_median(s: Any, i: int, first: int, count: int, peak: float) -> bool:
    """True where at least half of `count` base bars from age `first` on have a turnover of at most `peak`."""
    below = 0
    for age in range(first, first + count):
        if bars.closed_bar(s, i, BASE, age).turnover <= peak:
            below += 1
    return 2 * below >= count


@kernel
def looks_like_pump(s: Any, i: int, leader: int, p: Any) -> bool:
    """True where the latest move of pair `i` looks like a pump by the rules above; `leader` -1: no BTC to hold it
    against. `p`: any record with the four parameters; `pump_volume` 0 switches the guard off."""
    if p.pump_volume <= 0.0:
        return False
    window = window_bars(s, i, int(p.pump_minutes * 60e9))
    base = min(s.bars[i, BASE].closed, bars.RING) - window
    if window == 0 or base < LEAST:
        return True
    before = bars.closed_bar(s, i, BASE, window).close_ticks
    start_ns = bars.closed_bar(s, i, BASE, window - 1).start_ns
    high = low = before
    widest = 0
    peak = 0.0
    for age in range(window):
        bar = bars.closed_bar(s, i, BASE, age)
        high = max(high, bar.high_ticks)
        low = min(low, bar.low_ticks)
        widest = max(widest, bar.high_ticks - bar.low_ticks)
        peak = max(peak, bar.turnover)
    rise = high / before - 1.0
    if 100.0 * rise < p.pump_rise_pct or widest < p.pump_candle_share * (high - low):
        return False
    if not exceeds_median(s, i, window, base, peak / p.pump_volume):
        return False
    return leader < 0 or rise_since(s, leader, start_ns) < MARKET_PART * rise
