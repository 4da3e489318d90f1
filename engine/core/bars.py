"""Multi-timeframe bars built from ticks, by the venue's clock.

A bar closes on the first price at or after its end, before that price enters the next bar, so a
strategy that is told of a close has seen nothing later than the price that opened the next bar.
Intervals without a price make no bar.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.core.compile import kernel

RING: Final = 64
TIMEFRAMES: Final = 3

_OHLCV: Final = [
    ("start_ns", "<i8"),
    ("open_ticks", "<i8"),
    ("high_ticks", "<i8"),
    ("low_ticks", "<i8"),
    ("close_ticks", "<i8"),
    ("volume_lots", "<i8"),
    ("turnover", "<f8"),  # sum of ticks x lots: quote volume up to the instrument's constant
]
CLOSED_BAR: Final = np.dtype((np.record, _OHLCV))
BAR: Final = np.dtype((np.record, [*_OHLCV, ("end_ns", "<i8"), ("closed", "<i8")]))
"""The forming bar; `closed` counts the bars closed before it. Closed bars sit in the ring at
``(closed - 1 - age) % RING``; `RING` is a power of two."""


@kernel(hot=True)
def update(s: Any, i: int, ts_ns: int, price: int, lots: int) -> int:
    """Feed one price into all timeframes of an instrument; bit k of the result: timeframe k closed a bar."""
    closed_mask = 0
    for k in range(TIMEFRAMES):
        bar = s.bars[i, k]
        if feed(bar, s.ring[i, k, place(bar)], s.timeframes_ns[k], ts_ns, price, lots):
            closed_mask |= 1 << k
    return closed_mask


@kernel(hot=True)
def place(bar: Any) -> int:
    """Where in the ring the forming bar is to lie once it is closed."""
    return bar.closed & (RING - 1)


@kernel(hot=True)
def feed(bar: Any, done: Any, width_ns: int, ts_ns: int, price: int, lots: int) -> bool:
    """Feed one price into one timeframe; True where it closed a bar, which lies in `done` then (its `place`)."""
    closed = False
    if ts_ns >= bar.end_ns:
        if bar.end_ns != 0:
            _close(bar, done)
            closed = True
        bar.start_ns = ts_ns - ts_ns % width_ns
        bar.end_ns = bar.start_ns + width_ns
        bar.open_ticks = price
        bar.high_ticks = price
        bar.low_ticks = price
        bar.volume_lots = 0
        bar.turnover = 0.0
    elif price > bar.high_ticks:
        bar.high_ticks = price
    elif price < bar.low_ticks:
        bar.low_ticks = price
    bar.close_ticks = price
    if lots != 0:
        bar.volume_lots += lots
        bar.turnover += float(price) * float(lots)
    return closed


@kernel
def forget(s: Any, i: int) -> None:
    """Begin an instrument's bars anew."""
    for k in range(TIMEFRAMES):
        s.bars[i, k].closed = 0
        s.bars[i, k].end_ns = 0


@kernel
def _close(bar: Any, done: Any) -> None:
    done.start_ns = bar.start_ns
    done.open_ticks = bar.open_ticks
    done.high_ticks = bar.high_ticks
    done.low_ticks = bar.low_ticks
    done.close_ticks = bar.close_ticks
    done.volume_lots = bar.volume_lots
    done.turnover = bar.turnover
    bar.closed += 1


@kernel
def closed_bar(s: Any, i: int, k: int, age: int) -> Any:
    """The bar of timeframe `k` closed `age` bars ago (0 = the latest); `age` < min(closed, RING)."""
    return s.ring[i, k, (s.bars[i, k].closed - 1 - age) % RING]


@kernel
def highest(s: Any, i: int, k: int, first: int, count: int) -> int:
    """Highest high over closed bars of ages first..first+count-1, in ticks; 0 while there are too few."""
    if s.bars[i, k].closed < first + count or first + count > RING:
        return 0
    best = 0
    for age in range(first, first + count):
        best = max(best, closed_bar(s, i, k, age).high_ticks)
    return best
