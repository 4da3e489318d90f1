"""What the venue says about our orders: acks, rejects, fills, cancels, doubts."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts.records import (
    ADOPTED,
    CANCEL_ACK,
    CANCEL_REJECT,
    FILL,
    FORCED,
    LIMIT_ORDER,
    ORDER_ACK,
    ORDER_EXPIRED,
    ORDER_REJECT,
    ORDER_TRIGGERED,
    ORDER_UNKNOWN,
    ROLE_ENTRY,
    ROLE_EXIT,
    ROLE_LEG,
    ROLE_STOP,
)
from engine.core import cycles, legs, life, patience, trades
from engine.core.compile import i64, kernel
from engine.core.drawdown import watch_equity
from engine.core.money import share_up, value_down
from engine.core.openrisk import enforce
from engine.core.orders import find, is_working, loss_at_stop, move, release, violation
from engine.core.portfolio import fold_fill

TARGET_PAUSE_NS = 5_000_000_000
KEPT: Final = 1_024
"""Trade ids remembered for each instrument: more than are filled in the minute that a restart asks for again."""

TOLD: Final = np.dtype((np.record, [("count", "<i8"), ("ids", "<i8", (KEPT,))]))
"""The newest trade ids of an instrument; `count` were folded in all."""


@kernel
def _was_told(told: Any, trade_id: int) -> bool:
    """True where a fill of that id was folded before. Fills without an id (0) are never taken for repeated."""
    if trade_id == 0:
        return False
    for k in range(min(told.count, KEPT)):
        if told.ids[k] == trade_id:
            return True
    return False


@kernel
def _remember(told: Any, trade_id: int) -> None:
    if trade_id != 0:
        told.ids[told.count % KEPT] = trade_id
        told.count += 1


@kernel
def _is_lost(s: Any, client_id: int) -> bool:
    """An order of ours of which nothing is known: its command left, and the disk (or the power) lost the entry."""
    return s.head[0].lost_from_id <= client_id < s.head[0].lost_to_id


@kernel
def order_event(s: Any, event: Any, out: Any) -> None:
    """Apply one order event. An order we never sent is a violation, except for forced and adopted fills."""
    kind = event.kind
    if kind == FILL:
        _fill(s, event, out)
        return
    slot = find(s, event.client_id)
    if slot < 0:
        if not _is_lost(s, event.client_id):
            violation(s, out, i64(event.instrument), reasons.UNKNOWN_CLIENT_ID, event.client_id, i64(kind), 0)
        return
    order = s.orders[slot]
    if order.instrument != event.instrument:
        violation(s, out, order.instrument, reasons.BAD_EVENT, event.client_id, i64(kind), i64(event.instrument))
        return
    if kind == ORDER_ACK:
        order.venue_order_id = event.venue_order_id
        move(s, out, event.client_id, life.ACKED)
    elif kind == ORDER_REJECT:
        move(s, out, event.client_id, life.REFUSED)
        _after_reject(s, order, i64(event.reason))
    elif kind == CANCEL_ACK:
        move(s, out, event.client_id, life.CANCEL_DONE)
    elif kind == CANCEL_REJECT:
        move(s, out, event.client_id, life.CANCEL_REFUSED)
    elif kind == ORDER_EXPIRED:
        move(s, out, event.client_id, life.RAN_OUT)
        if order.role == ROLE_STOP and (order.filled_lots > 0 or event.reason == reasons.NO_LIQUIDITY):
            _stopped_out(s, order)  # triggered, but nobody took the rest
        elif order.role == ROLE_EXIT and order.order_type == LIMIT_ORDER and order.reason != reasons.PARTIAL_EXIT:
            _not_at_that_price(s, order)
    elif kind == ORDER_UNKNOWN:
        move(s, out, event.client_id, life.IN_DOUBT)
    elif kind == ORDER_TRIGGERED:
        move(s, out, event.client_id, life.TRIGGERED)
    if order.role == ROLE_ENTRY:
        patience.on_answer(s, out, order, event)


@kernel
def _after_reject(s: Any, order: Any, reason: int) -> None:
    """A refused stop is serious: the one it was to replace stands again, a stop behind the market means out."""
    p = s.positions[order.instrument]
    if order.role == ROLE_STOP:
        if reason == reasons.WOULD_TRIGGER:
            _stopped_out(s, order)
        elif reason != reasons.REPLACED_ORDER_GONE:
            p.stop_tries += 1
    if order.replaces != 0 and p.stop_id == 0:
        older = find(s, order.replaces)
        if older >= 0 and is_working(s.orders[older]) and s.orders[older].role == ROLE_STOP:
            p.stop_id = order.replaces


@kernel
def _not_at_that_price(s: Any, order: Any) -> None:
    """The price left the target before our order came: no exit after all, the stop stands again. In an emergency the
    rest leaves at the market, at once."""
    p = s.positions[order.instrument]
    if p.exit_reason == reasons.EMERGENCY_EXIT:
        p.exit_after_ns = min(p.exit_after_ns, s.head[0].now_ns)
    elif p.exit_reason == reasons.TAKE_PROFIT:
        p.exit_reason = 0
        p.exit_tries = 0
        p.exit_after_ns = 0
        p.target_after_ns = s.head[0].now_ns + TARGET_PAUSE_NS


@kernel
def _stopped_out(s: Any, order: Any) -> None:
    """The price is past the stop: what is still open leaves at the market."""
    p = s.positions[order.instrument]
    if p.exit_reason == 0 and p.qty_lots != 0:
        p.exit_reason = reasons.STOP_LOSS if p.stop_ticks == p.first_stop_ticks else reasons.TRAILING_STOP


@kernel
def _fill(s: Any, event: Any, out: Any) -> None:
    i = i64(event.instrument)
    if _was_told(s.told[i], event.trade_id):  # after a reconnect, a restart, or because both ways told it
        s.head[0].repeated += 1
        return
    slot = find(s, event.client_id)
    side = i64(event.side)
    bits = i64(event.bits)
    if slot < 0 and _is_lost(s, event.client_id):
        bits |= ADOPTED
    if event.qty_lots <= 0 or event.price_ticks <= 0 or (slot < 0 and (bits & (FORCED | ADOPTED)) == 0):
        violation(s, out, i, reasons.UNKNOWN_CLIENT_ID, event.client_id, event.price_ticks, event.qty_lots)
        return
    if slot >= 0 and (s.orders[slot].instrument != i or s.orders[slot].side != side):
        violation(s, out, i, reasons.BAD_EVENT, event.client_id, event.price_ticks, event.qty_lots)
        return
    _remember(s.told[i], event.trade_id)
    if (slot >= 0 and s.orders[slot].role == ROLE_LEG) or (slot < 0 and _is_of_a_pot(s, i, side, event)):
        _fill_leg(s, i, slot, event, out)
        return
    p = s.positions[i]
    was_flat = p.qty_lots == 0
    role = 0
    leverage = p.leverage
    if slot >= 0:
        order = s.orders[slot]
        role = order.role
        leverage = order.leverage
        happening = _count_fill(s, order, event, out)
        if was_flat and role == ROLE_ENTRY:
            trades.begin(s, i, order.strategy, order.trigger_ticks, 0)
        elif was_flat:
            trades.begin(s, i, 0, 0, 0)  # a late exit fill turned us round: owned by nobody, closed by supervise
        _plan(s, i, order, event)
        over = fold_fill(s, i, side, event, leverage)
        move(s, out, event.client_id, happening)
        if role == ROLE_ENTRY:
            patience.on_answer(s, out, order, event)
    else:
        if was_flat and (bits & ADOPTED) != 0:
            trades.begin(s, i, 0, p.adopt_stop_ticks, 0)
        over = fold_fill(s, i, side, event, max(leverage, 1))
    if over > 0:
        violation(s, out, i, reasons.OVERFILL, event.client_id, event.price_ticks, over)
    if p.qty_lots == 0:
        trades.close(s, out, i, role, bits)
    watch_equity(s, out)
    enforce(s)


@kernel
def _is_of_a_pot(s: Any, i: int, side: int, event: Any) -> bool:
    """A fill by no order of ours that is no position's: of a pair that is paid in coins, or of coins in a pot (the
    watchdog sold them)."""
    if s.instruments[i].is_perp != 0:
        return False
    if legs.is_leg(s, i):
        return True
    in_pot = s.pots[i].qty_e8 >= event.qty_lots * s.instruments[i].lot_base_e8
    return side < 0 and s.positions[i].qty_lots < event.qty_lots and in_pot


@kernel
def _fill_leg(s: Any, i: int, slot: int, event: Any, out: Any) -> None:
    """A conversion: coins and cash are exchanged, no position is touched."""
    happening = life.ALL_FILLED
    if slot >= 0:
        happening = _count_fill(s, s.orders[slot], event, out)
    flow = legs.fold_leg(s, out, i, event)
    cycles.count_fill(s, i64(event.client_id), event.qty_lots, flow)
    if slot >= 0:
        move(s, out, event.client_id, happening)
    watch_equity(s, out)
    enforce(s)


@kernel
def _count_fill(s: Any, order: Any, event: Any, out: Any) -> int:
    lots = event.qty_lots
    left = order.qty_lots - order.filled_lots
    if lots > left:
        violation(s, out, order.instrument, reasons.OVERFILL, order.client_id, lots, left)
    release(s, order, min(lots, left))
    order.filled_lots += lots
    if order.role == ROLE_ENTRY:
        patience.count_fill(s, order, lots)
    return life.ALL_FILLED if order.filled_lots >= order.qty_lots else life.PART_FILLED


@kernel
def _plan(s: Any, i: int, order: Any, event: Any) -> None:
    """Add to the trade what the fill says about the plan: risk taken on, slippage, the worst stop fill, a part gone."""
    p = s.positions[i]
    slipped = (event.price_ticks - order.decision_ticks) * order.side
    cost = value_down(s.instruments[i], abs(slipped), event.qty_lots)
    p.slippage_e8 += cost if slipped > 0 else -cost
    if order.role == ROLE_ENTRY:
        p.risk_e8 += share_up(_planned_loss(s, i, order), event.qty_lots, order.qty_lots)
    elif order.role == ROLE_STOP:
        worse = (event.price_ticks - p.worst_stop_fill_ticks) * order.side > 0
        if p.worst_stop_fill_ticks == 0 or worse:
            p.worst_stop_fill_ticks = event.price_ticks
    elif order.role == ROLE_EXIT and order.reason == reasons.PARTIAL_EXIT:
        p.part_lots = max(p.part_lots - event.qty_lots, 0)
        p.parted_lots += event.qty_lots


@kernel
def _planned_loss(s: Any, i: int, order: Any) -> int:
    from_entry = loss_at_stop(s, i, order.side, order.price_ticks, order.qty_lots, order.trigger_ticks)
    return max(from_entry, 0)
