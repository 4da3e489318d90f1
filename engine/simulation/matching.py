"""How simulated orders meet the market.

Rules
-----
* Nothing fills on the event that caused it: an order reaches the venue one order latency after the decision
  and meets the book standing there then.
* Taker: walks the recorded depth where there is some, else `book_levels` levels of the touch's size, one
  spread apart. What it takes is gone until the next quote. The rest of an immediate order expires.
* Maker: fills when the price trades *through* its limit; at its limit only after the quantity estimated ahead
  of it has traded (that estimate starts at the size shown on arrival and shrinks with the size shown).
* Stop: triggers on the last price. Inside a candle the price moves continuously from point to point, so it
  fills at the trigger less half the spread and `stop_slippage_bps`; across a jump, at the book found there.
"""

from __future__ import annotations

from typing import Any

from engine.contracts import reasons
from engine.contracts.records import (
    BUY,
    FOK,
    FORCED,
    GTC,
    LIMIT_ORDER,
    MAKER,
    MARKET,
    ORDER_EXPIRED,
    ORDER_TRIGGERED,
    STOP_LIMIT,
    STOP_MARKET,
)
from engine.core.book import LEVELS
from engine.core.compile import kernel
from engine.simulation.account import fill, liquidation_price, lock, unlock
from engine.simulation.venue import reply


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
    return touch + side * k * spread, max(book.ask_lots if side > 0 else book.bid_lots, 1)


@kernel
def available(v: Any, order: Any, limit_ticks: int) -> int:
    """Lots a taker could get at no worse than `limit_ticks` (0: any price)."""
    book = v.books[order.instrument]
    total = 0
    for k in range(max(v.head[0].book_levels, LEVELS)):
        price, lots = level(v, book, order.side, k)
        if price <= 0 or (limit_ticks > 0 and (price - limit_ticks) * order.side > 0):
            break
        total += lots
    return total


@kernel
def take(v: Any, order: Any, limit_ticks: int, shift_ticks: int) -> None:
    """Execute as taker against the standing book; `shift_ticks` moves the whole book (stops inside candles).
    The order holds no locks."""
    book = v.books[order.instrument]
    side = order.side
    taken_at_touch = 0
    for k in range(max(v.head[0].book_levels, LEVELS)):
        price, lots = level(v, book, side, k)
        price += shift_ticks
        if order.left_lots <= 0 or price <= 0 or (limit_ticks > 0 and (price - limit_ticks) * side > 0):
            break
        lots = min(lots, order.left_lots)
        if lots > 0:
            fill(v, order, price, lots, 0)
        if k == 0:
            taken_at_touch = lots
    if side > 0:
        book.ask_lots -= taken_at_touch
    else:
        book.bid_lots -= taken_at_touch


@kernel
def expire(v: Any, order: Any, reason: int) -> None:
    """What is left of an order will not be executed."""
    reply(v, ORDER_EXPIRED, order, reason)
    order.client_id = 0


@kernel
def execute(v: Any, slot: int) -> None:
    """A new order, already checked and acknowledged, meets the book; what may rest, rests."""
    order = v.orders[slot]
    book = v.books[order.instrument]
    if order.order_type == STOP_MARKET or order.order_type == STOP_LIMIT:
        rest(v, slot)
        return
    limit_ticks = order.price_ticks if order.order_type == LIMIT_ORDER else 0
    if order.tif == FOK and available(v, order, limit_ticks) < order.left_lots:
        expire(v, order, reasons.NO_LIQUIDITY)
        return
    take(v, order, limit_ticks, 0)
    if order.left_lots == 0:
        order.client_id = 0
    elif order.order_type == MARKET or order.tif != GTC:
        expire(v, order, reasons.NO_LIQUIDITY)
    else:
        ours, shown = (book.bid_ticks, book.bid_lots) if order.side == BUY else (book.ask_ticks, book.ask_lots)
        inside = (order.price_ticks - ours) * order.side > 0
        order.queue_lots = 0 if inside else shown
        rest(v, slot)


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
def match(v: Any, i: int, traded_lots: int, aggressor: int) -> None:
    """Prices of instrument `i` changed (and `traded_lots` traded): trigger stops, fill resting limits."""
    k = 0
    while k < v.head[0].live_count:
        slot = v.live[k]
        order = v.orders[slot]
        gone = False
        if order.instrument == i:
            if order.order_type == STOP_MARKET or order.order_type == STOP_LIMIT:
                gone = _try_stop(v, slot)
            else:
                gone = _try_limit(v, slot, traded_lots, aggressor)
        if not gone:
            k += 1


@kernel
def _try_stop(v: Any, slot: int) -> bool:
    order = v.orders[slot]
    book = v.books[order.instrument]
    if (book.last_ticks - order.trigger_ticks) * order.side < 0 or book.last_ticks <= 0:
        return False
    unlock(v, order)
    reply(v, ORDER_TRIGGERED, order, 0)
    shift = 0
    continuous = book.is_path != 0 and book.jumped == 0
    if continuous and (book.previous_ticks - order.trigger_ticks) * order.side < 0:
        slip = -((-order.trigger_ticks * v.head[0].stop_slip_e8) // 100_000_000)
        shift = order.trigger_ticks - book.last_ticks + order.side * slip
    take(v, order, order.price_ticks if order.order_type == STOP_LIMIT else 0, shift)
    if order.left_lots > 0 and order.order_type == STOP_LIMIT:
        order.order_type = LIMIT_ORDER
        order.queue_lots = 0
        lock(v, order)
        return False
    remove(v, slot)
    if order.left_lots > 0:
        expire(v, order, reasons.NO_LIQUIDITY)
    order.client_id = 0
    return True


@kernel
def _try_limit(v: Any, slot: int, traded_lots: int, aggressor: int) -> bool:
    order = v.orders[slot]
    book = v.books[order.instrument]
    ours, shown = (book.bid_ticks, book.bid_lots) if order.side == BUY else (book.ask_ticks, book.ask_lots)
    other = book.ask_ticks if order.side == BUY else book.bid_ticks
    through = (order.price_ticks - book.last_ticks) * order.side > 0 and traded_lots > 0
    crossed = other > 0 and (order.price_ticks - other) * order.side >= 0
    lots = 0
    if through or crossed:
        lots = order.left_lots
    elif traded_lots > 0 and book.last_ticks == order.price_ticks and aggressor != order.side:
        ahead = min(order.queue_lots, traded_lots)
        order.queue_lots -= ahead
        lots = min(traded_lots - ahead, order.left_lots)
    if ours == order.price_ticks and shown < order.queue_lots:
        order.queue_lots = shown
    if lots <= 0:
        return False
    unlock(v, order)
    fill(v, order, order.price_ticks, lots, MAKER)
    if order.left_lots > 0:
        lock(v, order)
        return False
    remove(v, slot)
    order.client_id = 0
    return True


@kernel
def liquidate(v: Any, i: int, mark_ticks: int) -> bool:
    """Close a perpetual position whose isolated margin is used up, at the market but never below zero margin."""
    holding = v.holdings[i]
    limit = liquidation_price(v, i)
    long = holding.qty_lots > 0
    if (long and mark_ticks > limit) or (not long and mark_ticks < limit):
        return False
    k = 0
    while k < v.head[0].live_count:
        slot = v.live[k]
        order = v.orders[slot]
        if order.instrument == i:
            unlock(v, order)
            remove(v, slot)
            expire(v, order, reasons.LIQUIDATION)
        else:
            k += 1
    forced = v.orders[v.orders.shape[0] - 1]  # borrowed for the report, then given back
    kept = forced.client_id, forced.instrument, forced.side, forced.left_lots, forced.leverage
    forced.client_id = 0
    forced.instrument = i
    forced.side = -1 if long else 1
    forced.left_lots = abs(holding.qty_lots)
    forced.leverage = holding.leverage
    fill(v, forced, max(mark_ticks, 1), forced.left_lots, FORCED)
    forced.client_id, forced.instrument, forced.side, forced.left_lots, forced.leverage = kept
    return True
