"""How simulated orders meet the market.

Rules
-----
* Nothing fills on the event that caused it: an order reaches the venue one order latency after the decision
  and meets the book standing there then.
* Taker: walks the recorded depth where there is some, else `book_levels` levels of the touch's size, one
  spread apart. What it takes, at any level, is gone until the next quote. The rest of an immediate order expires.
  With `taker_slippage_bps` all of that book stands so much further away: an order that does not reach it gets nothing.
* Maker: at its limit it fills from public trades against it, once the quantity estimated ahead of it has traded;
  trades *through* its limit reach it before anything behind, up to their size; a quote that crosses it fills
  what that quote shows at its limit or better. Orders of ours share one trade's flow, oldest first. A candle says
  that a price was touched, not how much traded there: on a path an order fills only when the price passes through.
* Queue: starts at the size shown at its price on arrival (all of it, where the level is not visible yet), shrinks
  with trades there and with the size shown, and is nothing where the order betters the touch.
* Passed: a limit that the price moved through on its way to the point of a candle where the order met it fills at
  its limit, not at that point: the engine sees the ends of a move only, and must not sell its highs.
* Stop: triggers on the last price. Inside a candle the price moves continuously from point to point, so it
  fills at the trigger less half the spread and `stop_slippage_bps`; across a jump, at the book found there.
"""

from __future__ import annotations

from typing import Any, Final

from engine.contracts import reasons
from engine.contracts.records import (
    FOK,
    GTC,
    JUMP,
    LIMIT_ORDER,
    MAKER,
    MARKET,
    ORDER_EXPIRED,
    ORDER_TRIGGERED,
    STOP_MARKET,
)
from engine.core.book import LEVELS
from engine.core.compile import kernel
from engine.simulation.account import affordable, fill, lock, shortage, unlock
from engine.simulation.filters import is_priced, is_stop
from engine.simulation.venue import reply

UNSEEN: Final = 1 << 60
"""Queue ahead of an order whose price level has not been visible yet."""


@kernel
def level(v: Any, book: Any, side: int, k: int) -> tuple[int, int]:
    """(price, lots) of the k-th level a taker of `side` meets; (0, 0) past the end of the book."""
    touch = book.ask_ticks if side > 0 else book.bid_ticks
    if k == 0:
        return touch, book.ask_lots if side > 0 else book.bid_lots
    recorded = book.depth_ask_ticks[0] if side > 0 else book.depth_bid_ticks[0]
    if recorded == touch and recorded != 0:
        if k >= LEVELS:
            return 0, 0
        if side > 0:
            return book.depth_ask_ticks[k], book.depth_ask_lots[k]
        return book.depth_bid_ticks[k], book.depth_bid_lots[k]
    if k >= v.head[0].book_levels:
        return 0, 0
    spread = max(book.ask_ticks - book.bid_ticks, 1)
    return touch + side * k * spread, book.ask_lots if side > 0 else book.bid_lots


@kernel
def taken(v: Any, order: Any) -> int:
    """Lots we took since the last quote, of the side of the book this order takes from."""
    holding = v.holdings[order.instrument]
    return holding.taken_ask_lots if order.side > 0 else holding.taken_bid_lots


@kernel
def note_taken(v: Any, order: Any, lots: int) -> None:
    """Remember that these lots of the book are gone."""
    if order.side > 0:
        v.holdings[order.instrument].taken_ask_lots += lots
    else:
        v.holdings[order.instrument].taken_bid_lots += lots


@kernel
def available(v: Any, order: Any, limit_ticks: int, shift_ticks: int) -> int:
    """Lots a taker could still get at no worse than `limit_ticks` (0: any price)."""
    book = v.books[order.instrument]
    total = -taken(v, order)
    for k in range(max(v.head[0].book_levels, LEVELS)):
        price, lots = level(v, book, order.side, k)
        if price <= 0 or price + shift_ticks <= 0:
            break
        if limit_ticks > 0 and (price + shift_ticks - limit_ticks) * order.side > 0:
            break
        total += lots
    return max(total, 0)


@kernel
def take(v: Any, order: Any, limit_ticks: int, shift_ticks: int) -> int:
    """Execute as taker against the standing book; `shift_ticks` moves the whole book (stops inside candles).
    The order holds no locks. Returns why it went no further, should anything be left of it."""
    book = v.books[order.instrument]
    bits = JUMP if book.is_path != 0 and book.jumped != 0 else 0
    gone = taken(v, order)
    for k in range(max(v.head[0].book_levels, LEVELS)):
        price, lots = level(v, book, order.side, k)
        if order.left_lots <= 0 or price <= 0 or price + shift_ticks <= 0:
            break
        price += shift_ticks
        if limit_ticks > 0 and (price - limit_ticks) * order.side > 0:
            break
        missing = min(gone, lots)
        gone -= missing
        wanted = min(lots - missing, order.left_lots)
        lots = affordable(v, order, price, wanted) if wanted > 0 else 0
        if lots > 0:
            fill(v, order, price, lots, bits)
            note_taken(v, order, lots)
        if lots < wanted:
            return shortage(v, order)
    return reasons.NO_LIQUIDITY


@kernel
def expire(v: Any, order: Any, reason: int) -> None:
    """What is left of an order will not be executed."""
    reply(v, ORDER_EXPIRED, order, reason)
    order.client_id = 0


@kernel
def meet(v: Any, order: Any, shift_ticks: int) -> bool:
    """An unlocked order takes what it can; True where nothing of it is left to rest."""
    limit_ticks = order.price_ticks if is_priced(order) else 0
    if order.tif == FOK and is_priced(order) and available(v, order, limit_ticks, shift_ticks) < order.left_lots:
        expire(v, order, reasons.NO_LIQUIDITY)
        return True
    reason = take(v, order, limit_ticks, shift_ticks)
    if order.left_lots == 0:
        order.client_id = 0
        return True
    if reason != reasons.NO_LIQUIDITY or not is_priced(order) or order.tif != GTC:
        expire(v, order, reason)
        return True
    order.order_type = LIMIT_ORDER
    order.queue_lots = queue_ahead(v, order)
    return False


@kernel
def passed_by(book: Any, order: Any) -> int:
    """How far the touch has run past a limit that the price moved through inside a candle: the engine saw the
    far end only, a limit at the venue would have filled on the way. 0 where the price did not pass it."""
    if order.order_type != LIMIT_ORDER or book.is_path == 0 or book.jumped != 0:
        return 0
    if (book.previous_ticks - order.price_ticks) * order.side <= 0:
        return 0
    touch = book.ask_ticks if order.side > 0 else book.bid_ticks
    return max((order.price_ticks - touch) * order.side, 0) * order.side


@kernel
def slipped(v: Any, order: Any) -> int:
    """How far the book has moved against an order that takes: `taker_slippage_bps` of the touch, whole ticks."""
    book = v.books[order.instrument]
    touch = book.ask_ticks if order.side > 0 else book.bid_ticks
    return -((-touch * v.head[0].taker_slip_e8) // 100_000_000) * order.side


@kernel
def execute(v: Any, slot: int) -> None:
    """A new order, already checked and acknowledged, meets the book; what may rest, rests."""
    order = v.orders[slot]
    passed = passed_by(v.books[order.instrument], order)
    if is_stop(order) or not meet(v, order, passed if passed != 0 else slipped(v, order)):
        rest(v, slot)


@kernel
def queue_ahead(v: Any, order: Any) -> int:
    """Quantity shown at the order's price now: all of it was there first."""
    book = v.books[order.instrument]
    ours = book.bid_ticks if order.side > 0 else book.ask_ticks
    if (order.price_ticks - ours) * order.side > 0:
        return 0
    if order.price_ticks == ours:
        return book.bid_lots if order.side > 0 else book.ask_lots
    for k in range(1, LEVELS):
        price, lots = level(v, book, -order.side, k)
        recorded = book.depth_bid_ticks[k] if order.side > 0 else book.depth_ask_ticks[k]
        if price == order.price_ticks and price == recorded:
            return lots
    return UNSEEN


@kernel
def rest(v: Any, slot: int) -> None:
    """Leave an order at the venue."""
    head = v.head[0]
    order = v.orders[slot]
    lock(v, order)
    v.live[head.live_count] = slot
    head.live_count += 1
    v.working[order.instrument] += 1


@kernel
def remove(v: Any, slot: int) -> None:
    """Take an unlocked order off the venue's book, keeping the age order of the others."""
    head = v.head[0]
    order = v.orders[slot]
    place = 0
    while v.live[place] != slot:
        place += 1
    for k in range(place, head.live_count - 1):
        v.live[k] = v.live[k + 1]
    head.live_count -= 1
    v.working[order.instrument] -= 1


@kernel
def match(v: Any, i: int, flow: int, aggressor: int) -> None:
    """Prices of instrument `i` changed (and `flow` lots traded): trigger stops, fill resting limits."""
    k = 0
    while k < v.head[0].live_count:
        slot = v.live[k]
        order = v.orders[slot]
        if order.instrument == i:
            if is_stop(order):
                _try_stop(v, slot)
            else:
                flow -= _try_limit(v, slot, flow, aggressor)
        if order.instrument != i or order.client_id != 0:
            k += 1


@kernel
def _try_stop(v: Any, slot: int) -> None:
    order = v.orders[slot]
    book = v.books[order.instrument]
    if (book.last_ticks - order.trigger_ticks) * order.side < 0 or book.last_ticks <= 0:
        return
    unlock(v, order)
    reply(v, ORDER_TRIGGERED, order, 0)
    shift = 0
    continuous = book.is_path != 0 and book.jumped == 0
    if continuous and (book.previous_ticks - order.trigger_ticks) * order.side < 0:
        slip = -((-order.trigger_ticks * v.head[0].stop_slip_e8) // 100_000_000)
        shift = order.trigger_ticks - book.last_ticks + order.side * slip
    if order.order_type == STOP_MARKET:
        order.order_type = MARKET
    if meet(v, order, shift + slipped(v, order)):
        remove(v, slot)
    else:
        lock(v, order)


@kernel
def _try_limit(v: Any, slot: int, flow: int, aggressor: int) -> int:
    """Fill what the market brought to a resting limit; returns the lots of `flow` it used up."""
    order = v.orders[slot]
    from_flow = _from_flow(v, order, flow, aggressor)
    from_book = 0
    book = v.books[order.instrument]
    other = book.ask_ticks if order.side > 0 else book.bid_ticks
    if (order.price_ticks - other) * order.side >= 0:
        from_book = min(available(v, order, order.price_ticks, 0), order.left_lots)
    wanted = max(from_flow, from_book)
    if wanted == 0:
        return 0
    unlock(v, order)
    lots = affordable(v, order, order.price_ticks, wanted)
    if lots > 0:
        fill(v, order, order.price_ticks, lots, MAKER)
        note_taken(v, order, min(lots, from_book))
    if order.left_lots > 0 and lots == wanted:
        lock(v, order)
        return min(lots, from_flow)
    remove(v, slot)
    if order.left_lots > 0:
        expire(v, order, shortage(v, order))
    order.client_id = 0
    return min(lots, from_flow)


@kernel
def _from_flow(v: Any, order: Any, flow: int, aggressor: int) -> int:
    """Lots of a public trade that come to a resting limit; keeps its queue."""
    book = v.books[order.instrument]
    lots = 0
    if (order.price_ticks - book.last_ticks) * order.side > 0:
        lots = flow
    elif flow > 0 and book.last_ticks == order.price_ticks and aggressor == -order.side:
        ahead = min(order.queue_lots, flow)
        order.queue_lots -= ahead
        lots = flow - ahead
    order.queue_lots = min(order.queue_lots, queue_ahead(v, order))
    return min(lots, order.left_lots)
