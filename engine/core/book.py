"""Top of book, five levels of depth, last trade: what each venue shows now."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts.records import DEPTH, JUMP, LAST, PATH, QUOTE, TRADE
from engine.core.compile import i64, kernel

LEVELS: Final = 5
MAX_PRICE: Final = 1 << 55
"""No price has more ticks than this: a larger one is damage, and would leave 64 bits."""
NO_BOOK: Final = -3
REFUSED: Final = -2
UNPRICED: Final = -1
"""What `apply` answers for an event of another kind (a mark, funding), for one that says nothing usable, and for a good
one whose price is none for bars."""

BOOK: Final = np.dtype(
    (
        np.record,
        [
            ("bid_ticks", "<i8"),  # 0: no quote yet
            ("bid_lots", "<i8"),
            ("ask_ticks", "<i8"),
            ("ask_lots", "<i8"),
            ("last_ticks", "<i8"),  # last trade; the mid where only quotes arrive
            ("previous_ticks", "<i8"),  # the trade price before that
            ("traded_lots", "<i8"),  # size of the last public trade, and who took: +1 a buyer, -1 a seller
            ("traded_side", "<i8"),
            ("updated_ns", "<i8"),  # engine time of the last quote, path point or depth
            ("venue_ns", "<i8"),  # venue time of the same
            ("has_trades", "<i8"),  # 1 once trades or path points arrived: bars then follow trades
            ("is_path", "<i8"),  # 1 where the last price came from a candle path
            ("jumped", "<i8"),  # 1 where it did not move continuously from the one before
            ("bad_quotes", "<i8"),  # crossed, zero or negative quotes refused so far
            ("depth_bid_ticks", "<i8", (LEVELS,)),
            ("depth_bid_lots", "<i8", (LEVELS,)),
            ("depth_ask_ticks", "<i8", (LEVELS,)),
            ("depth_ask_lots", "<i8", (LEVELS,)),
        ],
    )
)


@kernel(hot=True)
def apply_quote(book: Any, event: Any) -> bool:
    """Best bid and ask. A crossed or non-positive quote is counted and changes nothing."""
    crossed = event.ask_ticks <= event.bid_ticks
    if event.bid_ticks <= 0 or crossed or event.ask_ticks > MAX_PRICE or event.bid_lots < 0 or event.ask_lots < 0:
        book.bad_quotes += 1
        return False
    book.bid_ticks = event.bid_ticks
    book.bid_lots = event.bid_lots
    book.ask_ticks = event.ask_ticks
    book.ask_lots = event.ask_lots
    book.updated_ns = event.ts_ns
    book.venue_ns = event.venue_ts_ns
    if book.has_trades == 0:
        book.previous_ticks = book.last_ticks
        book.last_ticks = (event.bid_ticks + event.ask_ticks) >> 1
    return True


@kernel
def apply_depth(book: Any, event: Any) -> bool:
    """One level of a depth batch; the batch counts once its `LAST` level arrived."""
    level = i64(event.level)
    if level >= LEVELS:
        book.bad_quotes += 1
        return False
    book.depth_bid_ticks[level] = event.bid_ticks
    book.depth_bid_lots[level] = event.bid_lots
    book.depth_ask_ticks[level] = event.ask_ticks
    book.depth_ask_lots[level] = event.ask_lots
    if level == 0 and not apply_quote(book, event):
        return False
    return (event.bits & LAST) != 0


@kernel(hot=True)
def apply_trade(book: Any, event: Any) -> bool:
    """A public trade."""
    if event.price_ticks <= 0 or event.price_ticks > MAX_PRICE or event.qty_lots < 0:
        book.bad_quotes += 1
        return False
    book.has_trades = 1
    book.is_path = 0
    book.jumped = 1  # trades are discrete: nothing is known between two of them
    book.previous_ticks = book.last_ticks
    book.last_ticks = event.price_ticks
    book.traded_lots = event.qty_lots
    book.traded_side = i64(event.side)
    return True


@kernel(hot=True)
def apply_path(book: Any, event: Any) -> bool:
    """One point of a candle's path: a trade price with a modelled spread and depth around it."""
    price = event.price_ticks
    spread = max(event.spread_ticks, 1)
    bid = price - (spread >> 1)
    if bid <= 0 or bid + spread > MAX_PRICE or event.qty_lots < 0 or event.depth_lots < 0:
        book.bad_quotes += 1
        return False
    book.bid_ticks = bid
    book.bid_lots = event.depth_lots
    book.ask_ticks = bid + spread
    book.ask_lots = event.depth_lots
    book.updated_ns = event.ts_ns
    book.venue_ns = event.venue_ts_ns
    book.has_trades = 1
    book.is_path = 1
    book.jumped = 1 if (event.bits & JUMP) != 0 else 0
    book.previous_ticks = book.last_ticks
    book.last_ticks = price
    return True


@kernel(hot=True)
def apply(book: Any, event: Any) -> int:
    """What a market event changes in a book. The lots that traded in it, 0 or more, where bars take `last_ticks` from
    it; else UNPRICED, REFUSED or NO_BOOK."""
    kind = event.kind
    if kind == QUOTE:
        if not apply_quote(book, event):
            return REFUSED
        return 0 if book.has_trades == 0 else UNPRICED
    if kind == PATH:
        return i64(event.qty_lots) if apply_path(book, event) else REFUSED
    if kind == TRADE:
        return i64(event.qty_lots) if apply_trade(book, event) else REFUSED
    if kind == DEPTH:
        if not apply_depth(book, event):
            return REFUSED
        return 0 if book.has_trades == 0 else UNPRICED
    return NO_BOOK


@kernel
def distrust(book: Any) -> None:
    """What it shows is stale until the next quote, and whether it has trades (else mids price the bars) is learned
    anew."""
    book.updated_ns = 0
    book.has_trades = 0


@kernel
def spread_bps(book: Any) -> float:
    """Quoted spread in basis points of the mid; infinite without a quote."""
    if book.bid_ticks <= 0 or book.ask_ticks <= book.bid_ticks:
        return np.inf
    return 20_000.0 * (book.ask_ticks - book.bid_ticks) / (book.ask_ticks + book.bid_ticks)
