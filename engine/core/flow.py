"""What a single instrument's quotes and trades say from one tick to the next: pressure and short-horizon volatility.

Rules
-----
* Everything is a running value that one event updates in constant time; nothing later is ever looked at.
* Means forget with a time constant `tau`: after `dt` seconds the old value keeps the weight ``tau / (tau + dt)``
  (the implicit first-order step: no exponential, so machine code and plain Python agree to the last bit).
* The microprice is the mid weighted by the size on the *other* side (Gatheral and Oomen 2010, Stoikov 2018).
* Volatility is the mean of squared changes of the mid over at least `SAMPLE_NS`, by time: flicker inside a second is
  not a move anybody could trade.
* A candle's path says neither sizes nor aggressors: it is never fed in, and whoever needs this abstains there.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.core.book import LEVELS
from engine.core.compile import kernel

SAMPLE_NS: Final = 1_000_000_000
SILENCE_NS: Final = 10_000_000_000
"""Without a quote for so long, everything begins anew: what was learned is of another market."""

FIELDS: Final = [
    ("since_ns", "<i8"),  # when it began; 0: nothing seen yet
    ("quote_ns", "<i8"),  # the last quote
    ("trade_ns", "<i8"),  # the last trade, and the first
    ("traded_since_ns", "<i8"),
    ("sample_ns", "<i8"),  # the last sample of the mid, and the mid then
    ("sample_ticks", "<f8"),
    ("variance", "<f8"),  # ticks squared a second
    ("shown", "<f8"),  # size-weighted lean of the touch now: -1 all asks, +1 all bids
    ("leaning", "<f8"),  # its mean
    ("deep", "<f8"),  # the same over the levels of the last depth batch
    ("bought", "<f8"),  # lots bought less lots sold by takers, recent ones weighing most
    ("traded", "<f8"),  # lots traded, over the volatility's time
]
"""What a strategy that uses this keeps of an instrument: the beginning of its state."""


@kernel
def forget(m: Any) -> None:
    """Begin anew."""
    m.since_ns = m.quote_ns = m.trade_ns = m.traded_since_ns = m.sample_ns = 0
    m.sample_ticks = m.variance = m.shown = m.leaning = m.deep = m.bought = m.traded = 0.0


@kernel
def lean(bid_lots: int, ask_lots: int) -> float:
    """Which side shows more, -1..1."""
    both = bid_lots + ask_lots
    return (bid_lots - ask_lots) / both if both > 0 else 0.0


@kernel
def microprice_ticks(m: Any, book: Any) -> float:
    """The microprice less the mid: half the spread times the lean of the touch."""
    return 0.5 * (book.ask_ticks - book.bid_ticks) * m.shown


@kernel
def take_quote(m: Any, book: Any, now_ns: int, book_s: float, volatility_s: float) -> bool:
    """A new best bid and offer stand in `book`. True where a new sample of the volatility was taken."""
    mid = 0.5 * (book.bid_ticks + book.ask_ticks)
    if m.since_ns == 0 or now_ns - m.quote_ns > SILENCE_NS:
        forget(m)
        m.since_ns = m.quote_ns = m.sample_ns = now_ns
        m.sample_ticks = mid
    passed_s = (now_ns - m.quote_ns) * 1e-9
    m.leaning += (m.shown - m.leaning) * (passed_s / (book_s + passed_s))  # what was shown until now, for so long
    m.shown = lean(book.bid_lots, book.ask_lots)
    m.quote_ns = now_ns
    if now_ns - m.sample_ns < SAMPLE_NS:
        return False
    known_s = min((m.sample_ns - m.since_ns) * 1e-9, volatility_s)
    passed_s = (now_ns - m.sample_ns) * 1e-9
    moved = mid - m.sample_ticks
    m.variance += (moved * moved - m.variance * passed_s) / (known_s + passed_s)
    m.sample_ns = now_ns
    m.sample_ticks = mid
    return True


@kernel
def take_depth(m: Any, book: Any) -> None:
    """A depth batch is complete: the lean of all its levels."""
    bids = asks = 0
    for k in range(LEVELS):
        bids += book.depth_bid_lots[k]
        asks += book.depth_ask_lots[k]
    m.deep = lean(bids, asks)


@kernel
def take_trade(m: Any, book: Any, now_ns: int, flow_s: float, volatility_s: float) -> None:
    """A public trade: `book.traded_lots` by an aggressor of `book.traded_side`."""
    if m.since_ns == 0:
        return
    if m.traded_since_ns == 0:
        m.traded_since_ns = m.trade_ns = now_ns
    passed_s = (now_ns - m.trade_ns) * 1e-9
    lots = float(book.traded_lots)
    m.bought = m.bought * (flow_s / (flow_s + passed_s)) + book.traded_side * lots
    m.traded = m.traded * (volatility_s / (volatility_s + passed_s)) + lots
    m.trade_ns = now_ns


@kernel
def pressure(m: Any, now_ns: int, flow_s: float, volatility_s: float) -> float:
    """Takers' net buying now against what usually trades in that time, -1..1. It dies away where nobody trades, and is
    0 until half of `volatility_s` has shown what is usual."""
    if m.traded <= 0.0 or (now_ns - m.traded_since_ns) * 2e-9 < volatility_s:
        return 0.0
    passed_s = (now_ns - m.trade_ns) * 1e-9
    usual = m.traded * (flow_s / volatility_s)
    return max(-1.0, min(1.0, m.bought * (flow_s / (flow_s + passed_s)) / usual))


@kernel
def expected_ticks(m: Any, horizon_s: float) -> float:
    """Standard deviation of the mid's change over `horizon_s`."""
    return np.sqrt(m.variance * horizon_s)
