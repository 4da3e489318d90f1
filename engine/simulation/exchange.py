"""The simulated exchange's front desk: market events change its books, commands become orders or rejections."""

from __future__ import annotations

from typing import Any

from engine.contracts import reasons
from engine.contracts.records import (
    CANCEL,
    CANCEL_ACK,
    CANCEL_REJECT,
    DEPTH,
    FUNDING,
    LIMIT_ORDER,
    MARK,
    ORDER_ACK,
    ORDER_REJECT,
    PATH,
    POST_ONLY,
    QUOTE,
    STOP_LIMIT,
    STOP_MARKET,
    TRADE,
)
from engine.core import book as books
from engine.core.compile import i64, kernel
from engine.core.money import value_down
from engine.simulation import matching
from engine.simulation.account import funds_reason, lock, pay_funding, unlock
from engine.simulation.venue import reply


@kernel
def on_market(v: Any, event: Any) -> None:
    """A recorded market event happens at the venue."""
    i = i64(event.instrument)
    if i >= v.books.shape[0]:
        return
    head = v.head[0]
    head.now_ns = event.venue_ts_ns
    one = v.books[i]
    kind = event.kind
    lots = 0
    aggressor = 0
    if kind == QUOTE:
        books.apply_quote(one, event)
    elif kind == PATH:
        books.apply_path(one, event)
        lots = event.qty_lots
    elif kind == TRADE:
        books.apply_trade(one, event)
        lots = event.qty_lots
        aggressor = i64(event.side)
    elif kind == DEPTH:
        books.apply_depth(one, event)
    elif kind == FUNDING:
        pay_funding(v, event)
        return
    if v.holdings[i].qty_lots != 0:
        mark = event.price_ticks if kind == MARK else one.last_ticks
        if mark > 0 and matching.liquidate(v, i, mark):
            return
    if v.working[i] != 0:
        matching.match(v, i, lots, aggressor)


@kernel
def on_command(v: Any, command: Any) -> None:
    """A command of ours arrives."""
    v.head[0].now_ns = command.ts_ns
    if command.kind == CANCEL:
        _cancel(v, command)
    else:
        _place(v, command)


@kernel
def live_slot(v: Any, client_id: int) -> int:
    """Slot of a resting order, or -1."""
    slot = client_id % v.orders.shape[0]
    return slot if client_id > 0 and v.orders[slot].client_id == client_id else -1


@kernel
def _cancel(v: Any, command: Any) -> None:
    slot = live_slot(v, command.client_id)
    if slot < 0:
        _answer(v, CANCEL_REJECT, command, reasons.UNKNOWN_ORDER)
        return
    unlock(v, v.orders[slot])
    matching.remove(v, slot)
    reply(v, CANCEL_ACK, v.orders[slot], 0)
    v.orders[slot].client_id = 0


@kernel
def _answer(v: Any, kind: int, command: Any, reason: int) -> None:
    report = reply(v, kind, v.orders[0], reason)
    report.instrument = command.instrument
    report.side = command.side
    report.client_id = command.client_id
    report.price_ticks = command.price_ticks
    report.qty_lots = command.qty_lots
    report.trigger_ticks = command.trigger_ticks
    report.venue_order_id = 0


@kernel
def _place(v: Any, command: Any) -> None:
    """Replace atomically where asked: the old order goes only if the new one is good."""
    if live_slot(v, command.client_id) >= 0:
        _answer(v, ORDER_REJECT, command, reasons.DUPLICATE_CLIENT_ID)
        return
    older = -1
    if command.ref_id != 0:
        older = live_slot(v, command.ref_id)
        if older < 0:
            _answer(v, ORDER_REJECT, command, reasons.REPLACED_ORDER_GONE)
            return
        unlock(v, v.orders[older])
    slot = command.client_id % v.orders.shape[0]
    if v.orders[slot].client_id != 0:
        _refuse(v, command, older, reasons.MAX_ORDERS)
        return
    order = v.orders[slot]
    _write_order(v, order, command)
    reason = _reason_against(v, order)
    if reason != 0:
        order.client_id = 0
        _refuse(v, command, older, reason)
        return
    if older >= 0:
        matching.remove(v, older)
        reply(v, CANCEL_ACK, v.orders[older], 0)
        v.orders[older].client_id = 0
    reply(v, ORDER_ACK, order, 0)
    matching.execute(v, slot)


@kernel
def _refuse(v: Any, command: Any, older: int, reason: int) -> None:
    if older >= 0:
        lock(v, v.orders[older])
        reply(v, CANCEL_REJECT, v.orders[older], reason)
    _answer(v, ORDER_REJECT, command, reason)


@kernel
def _write_order(v: Any, order: Any, command: Any) -> None:
    head = v.head[0]
    order.client_id = command.client_id
    order.venue_order_id = head.next_order_id
    head.next_order_id += 1
    order.instrument = i64(command.instrument)
    order.side = i64(command.side)
    order.order_type = i64(command.order_type)
    order.tif = i64(command.tif)
    order.bits = i64(command.bits)
    order.price_ticks = command.price_ticks
    order.trigger_ticks = command.trigger_ticks
    order.left_lots = command.qty_lots
    order.queue_lots = 0
    order.locked_e8 = 0
    order.leverage = max(i64(command.leverage), 1)


@kernel
def _reason_against(v: Any, order: Any) -> int:
    """The first filter an order breaks, as the exchange would name it; 0 when it is good."""
    instrument = v.instruments[order.instrument]
    book = v.books[order.instrument]
    touch = book.ask_ticks if order.side > 0 else book.bid_ticks
    is_stop = order.order_type == STOP_MARKET or order.order_type == STOP_LIMIT
    priced = order.order_type == LIMIT_ORDER or order.order_type == STOP_LIMIT
    if order.left_lots < max(instrument.min_lots, 1) or order.left_lots > instrument.max_lots:
        return reasons.LOT_SIZE
    if (priced and order.price_ticks <= 0) or (is_stop and order.trigger_ticks <= 0):
        return reasons.PRICE_FILTER
    if touch <= 0:
        return reasons.NO_LIQUIDITY
    twice_mid = book.bid_ticks + book.ask_ticks
    lowest, highest = instrument.band_down_e4 * twice_mid, instrument.band_up_e4 * twice_mid
    if priced and not lowest <= order.price_ticks * 20_000 <= highest:
        return reasons.PERCENT_PRICE
    reference = order.price_ticks if priced else order.trigger_ticks if is_stop else touch
    # perpetuals let a reduce-only order through below the minimum, spot does not
    if value_down(instrument, reference, order.left_lots) < instrument.min_notional_e8 and not (
        instrument.is_perp != 0 and (order.bits & 1) != 0
    ):
        return reasons.MIN_NOTIONAL
    if is_stop and (book.last_ticks - order.trigger_ticks) * order.side >= 0:
        return reasons.WOULD_TRIGGER
    if (order.bits & POST_ONLY) != 0 and (order.price_ticks - touch) * order.side >= 0:
        return reasons.WOULD_TAKE
    worst = order.price_ticks if priced else max(touch, order.trigger_ticks)
    return funds_reason(v, order, worst)
