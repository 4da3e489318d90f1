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
    MARK,
    ORDER_ACK,
    ORDER_REJECT,
    PATH,
    QUOTE,
    TRADE,
)
from engine.core import book as books
from engine.core.compile import i64, kernel
from engine.core.orders import POOL
from engine.simulation import matching
from engine.simulation.account import mark_of, pay_funding, unlock
from engine.simulation.filters import desk_reason, filter_reason
from engine.simulation.liquidation import liquidate
from engine.simulation.venue import own_order, reply


@kernel
def on_market(v: Any, event: Any) -> None:
    """A recorded market event happens at the venue; one its books refuse happens to nobody."""
    i = i64(event.instrument)
    if i >= v.books.shape[0] or event.kind > FUNDING:  # what is no market (a forecast) happens to no venue
        return
    v.head[0].now_ns = event.venue_ts_ns
    kind = event.kind
    one = v.books[i]
    holding = v.holdings[i]
    flow = 0
    aggressor = 0
    good = False
    if kind == QUOTE or kind == PATH or kind == DEPTH:
        if kind == QUOTE:
            good = books.apply_quote(one, event)
        elif kind == PATH:
            good = books.apply_path(one, event)
            flow = event.qty_lots
        else:
            good = books.apply_depth(one, event)  # true with the batch's last level
        if good:  # a fresh picture: what we took of the old one is behind us
            holding.taken_ask_lots = 0
            holding.taken_bid_lots = 0
    elif kind == TRADE:
        good = books.apply_trade(one, event)
        flow = event.qty_lots
        aggressor = i64(event.side)
    elif kind == FUNDING:
        pay_funding(v, event)
    elif kind == MARK and holding.qty_lots != 0 and event.price_ticks > 0:
        liquidate(v, i, event.price_ticks)
    if not good:
        return
    if holding.qty_lots != 0 and liquidate(v, i, mark_of(one)):
        return
    if v.working[i] != 0:
        matching.match(v, i, flow, aggressor)


@kernel
def on_command(v: Any, command: Any) -> None:
    """A command of ours arrives."""
    v.head[0].now_ns = command.ts_ns
    if command.kind == CANCEL:
        slot = live_slot(v, command.client_id)
        if slot < 0 or v.orders[slot].instrument != command.instrument:
            _answer(v, CANCEL_REJECT, command, reasons.UNKNOWN_ORDER)
        else:
            _drop(v, slot)
    else:
        _place(v, command)


@kernel
def live_slot(v: Any, client_id: int) -> int:
    """Slot of a resting order, or -1."""
    slot = client_id % POOL
    return slot if client_id > 0 and v.orders[slot].client_id == client_id else -1


@kernel
def _drop(v: Any, slot: int) -> None:
    """Cancel a resting order."""
    order = v.orders[slot]
    unlock(v, order)
    matching.remove(v, slot)
    reply(v, CANCEL_ACK, order, 0)
    order.client_id = 0


@kernel
def _answer(v: Any, kind: int, command: Any, reason: int) -> None:
    """An answer to a command that became no order."""
    report = reply(v, kind, own_order(v), reason)
    report.instrument = command.instrument
    report.side = command.side
    report.client_id = command.client_id
    report.price_ticks = command.price_ticks
    report.qty_lots = command.qty_lots
    report.trigger_ticks = command.trigger_ticks
    report.venue_order_id = 0


@kernel
def _place(v: Any, command: Any) -> None:
    """A new order, or a replacement: cancel-replace that stops where the cancel fails. Filters speak before the
    old order is cancelled, the desk after it (see `filters`)."""
    if live_slot(v, command.client_id) >= 0:
        _answer(v, ORDER_REJECT, command, reasons.DUPLICATE_CLIENT_ID)
        return
    older = -1
    if command.ref_id != 0:
        older = live_slot(v, command.ref_id)
        if older < 0 or v.orders[older].instrument != command.instrument:
            _answer(v, ORDER_REJECT, command, reasons.REPLACED_ORDER_GONE)
            return
    slot = command.client_id % POOL
    order = v.orders[slot]
    reason = reasons.MAX_ORDERS
    if order.client_id == 0:
        _write_order(v, order, command)
        reason = filter_reason(v, order)
        if reason != 0:
            order.client_id = 0
    if reason != 0:
        if older >= 0:
            reply(v, CANCEL_REJECT, v.orders[older], reason)
        _answer(v, ORDER_REJECT, command, reason)
        return
    if older >= 0:
        _drop(v, older)
    reason = desk_reason(v, order)
    if reason != 0:
        order.client_id = 0
        _answer(v, ORDER_REJECT, command, reason)
        return
    reply(v, ORDER_ACK, order, 0)
    matching.execute(v, slot)


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
