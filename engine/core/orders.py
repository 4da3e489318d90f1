"""Our orders: what we asked for, what we reserved for it, what became of it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts.reasons import ENTRY_SIGNAL, NO_SUCH_TRANSITION, PARTIAL_EXIT, PROTOCOL_VIOLATION, TAKE_PROFIT
from engine.contracts.records import (
    CANCEL,
    NO_INSTRUMENT,
    PLACE,
    ROLE_ENTRY,
    ROLE_EXIT,
    ROLE_LEG,
    ROLE_STOP,
    STATE,
    VIOLATION,
)
from engine.core import life, outcomes, timers
from engine.core.compile import i64, kernel
from engine.core.money import fee_up, share_up, value_down, value_up
from engine.core.output import emit
from engine.core.portfolio import note_free, stop_fill_ticks
from engine.core.wallet import count_margins, move_money

POOL: Final = 256
CANCEL_PAUSE_NS: Final = 1_000_000_000
"""A cancel that was refused is not repeated sooner."""

PART_PAUSE_NS: Final = 5_000_000_000
"""A part that could not leave is not tried again sooner; each further try waits twice as long, six times at most."""

ACTIVE: Final = 0
REDUCING: Final = 1
HALTED: Final = 2
TRADING_STATES: Final = ("ACTIVE", "REDUCING", "HALTED")

ORDER: Final = np.dtype(
    (
        np.record,
        [
            (name, "<i8")
            for name in (
                "client_id",  # 0: the slot was never used
                "status",  # engine.core.life
                "instrument",
                "strategy",
                "side",
                "role",
                "order_type",
                "tif",
                "bits",
                "price_ticks",  # limit, or the worst price a market order was priced at
                "qty_lots",
                "trigger_ticks",  # stops: trigger; entries: the protective stop that will follow
                "filled_lots",
                "replaces",  # client id this order takes the place of, atomically
                "reserve_e8",  # cash still reserved for what is unfilled
                "risk_e8",  # loss at the stop still pending for what is unfilled
                "leverage",
                "decision_ticks",  # price the decision was made at; slippage is measured against it
                "reason",
                "placed_ns",
                "cancel_ns",  # when its cancel was last sent, 0: never
                "venue_order_id",
            )
        ],
    )
)


@kernel
def is_working(order: Any) -> bool:
    """True while the order may still fill by the rules (late fills excepted)."""
    return order.status != life.FREE and order.status < life.FIRST_DONE


@kernel
def find(s: Any, client_id: int) -> int:
    """Slot of an order of ours, or -1."""
    if client_id <= 0:
        return -1
    slot = client_id % POOL
    return slot if s.orders[slot].client_id == client_id else -1


@kernel
def next_id(s: Any) -> int:
    """A client id whose slot is free to use, or 0 when every slot is working."""
    first = s.head[0].next_client_id
    for step in range(POOL):
        if not is_working(s.orders[(first + step) % POOL]):
            return first + step
    return 0


@kernel
def entry_cost(instrument: Any, side: int, ticks: int, lots: int, leverage: int) -> int:
    """Cash an entry can need at most: value or margin, and the taker fee."""
    value = value_up(instrument, ticks, lots)
    fee = max(fee_up(value, instrument.taker_fee_e8), 0)
    if instrument.is_perp != 0:
        return -(-value // max(leverage, 1)) + 2 * fee
    return value + fee if side > 0 else fee


@kernel
def leg_cost(instrument: Any, side: int, ticks: int, lots: int) -> int:
    """Cash a leg can need at most, its fee included; 0 where it is paid in coins."""
    if side > 0:
        return entry_cost(instrument, side, ticks, lots, 1) if instrument.quote_is_cash != 0 else 0
    return lots * instrument.lot_base_e8 if instrument.base_is_cash != 0 else 0


@kernel
def kept_lots(instrument: Any, side: int, lots: int) -> int:
    """Lots that a filled entry leaves to sell: a fee taken in base costs whole lots, however small it is."""
    if instrument.fee_in_base == 0 or side < 0 or instrument.is_perp != 0:
        return lots
    return lots - max(fee_up(lots, instrument.taker_fee_e8), 0)


@kernel
def loss_at_stop(s: Any, i: int, side: int, ticks: int, lots: int, stop_ticks: int) -> int:
    """Loss of an entry at `ticks` that is stopped out: price, slippage at the stop and both taker fees."""
    instrument = s.instruments[i]
    out_ticks = stop_fill_ticks(s, stop_ticks, side)
    kept = kept_lots(instrument, side, lots)
    if side > 0:
        paid = value_up(instrument, ticks, lots)
        back = value_down(instrument, out_ticks, kept)
    else:
        paid = value_up(instrument, out_ticks, lots)
        back = value_down(instrument, ticks, lots)
    fees = fee_up(value_up(instrument, ticks, lots), instrument.taker_fee_e8) if kept == lots else 0
    fees += fee_up(value_up(instrument, out_ticks, lots), instrument.taker_fee_e8)
    return paid - back + fees


@kernel
def place(
    s: Any, out: Any, i: int, role: int, side: int, order_type: int, tif: int, bits: int, price: int, lots: int,
    trigger: int, replaces: int, reason: int, strategy: int, leverage: int,
) -> int:  # fmt: skip
    """Issue a PLACE command and apply it as a fact. Returns the client id, 0 when the pool is full."""
    client_id = next_id(s)
    if client_id == 0:
        return 0
    command = emit(s, out, PLACE, i)
    command.strategy = strategy
    command.order_type = order_type
    command.tif = tif
    command.leverage = leverage
    command.role = role
    command.side = side
    command.bits = bits
    command.reason = reason
    command.client_id = client_id
    command.price_ticks = price
    command.qty_lots = lots
    command.trigger_ticks = trigger
    command.ref_id = replaces
    apply_place(s, out, command)
    return client_id


@kernel
def apply_place(s: Any, out: Any, command: Any) -> None:
    """What a PLACE command makes true: the order exists, its cash and its risk are reserved."""
    head = s.head[0]
    i = i64(command.instrument)
    order = s.orders[command.client_id % POOL]
    instrument = s.instruments[i]
    head.next_client_id = command.client_id + 1
    order.client_id = command.client_id
    order.status = life.SUBMITTED
    order.instrument = i
    order.strategy = i64(command.strategy)
    order.side = i64(command.side)
    order.role = i64(command.role)
    order.order_type = i64(command.order_type)
    order.tif = i64(command.tif)
    order.bits = i64(command.bits)
    order.price_ticks = command.price_ticks
    order.qty_lots = command.qty_lots
    order.trigger_ticks = command.trigger_ticks
    order.filled_lots = 0
    order.replaces = command.ref_id
    order.leverage = i64(command.leverage)
    order.reason = i64(command.reason)
    order.placed_ns = head.now_ns
    order.cancel_ns = 0
    order.venue_order_id = 0
    order.reserve_e8 = 0
    order.risk_e8 = 0
    book = s.books[i]
    order.decision_ticks = book.ask_ticks if order.side > 0 else book.bid_ticks
    p = s.positions[i]
    if order.role == ROLE_ENTRY:
        if order.reason == ENTRY_SIGNAL:
            outcomes.decide(s, i)
        order.reserve_e8 = entry_cost(instrument, order.side, order.price_ticks, order.qty_lots, order.leverage)
        order.risk_e8 = loss_at_stop(s, i, order.side, order.price_ticks, order.qty_lots, order.trigger_ticks)
        move_money(s, i, 0, order.reserve_e8, 0)
        head.pending_risk_e8 += order.risk_e8
        head.pending_entries += 1
        count_margins(s, i, 1)
        p.entry_id = order.client_id
        note_free(s)
    elif order.role == ROLE_STOP:
        order.decision_ticks = order.trigger_ticks
        p.stop_id = order.client_id
    elif order.role == ROLE_EXIT:
        p.exit_id = order.client_id
        if order.reason == TAKE_PROFIT or order.reason == PARTIAL_EXIT:
            order.decision_ticks = order.price_ticks  # a target was decided on long before the touch came there
    elif order.role == ROLE_LEG:
        order.reserve_e8 = leg_cost(instrument, order.side, order.price_ticks, order.qty_lots)
        move_money(s, i, 0, order.reserve_e8, 0)
        note_free(s)
    if order.replaces != 0:
        move(s, out, order.replaces, life.CANCEL_SENT)


@kernel
def cancel(s: Any, out: Any, client_id: int, reason: int) -> None:
    """Issue a CANCEL command. Cancels bypass risk; a finished or already cancelling order is left alone, one in
    doubt is cancelled once, and a refused cancel is repeated after a pause."""
    slot = find(s, client_id)
    if slot < 0 or not is_working(s.orders[slot]) or s.orders[slot].status == life.CANCELING:
        return
    order = s.orders[slot]
    paused = s.head[0].now_ns < order.cancel_ns + CANCEL_PAUSE_NS
    if order.cancel_ns != 0 and (paused or order.status == life.UNKNOWN):
        return
    command = emit(s, out, CANCEL, order.instrument)
    command.strategy = order.strategy
    command.role = order.role
    command.side = order.side
    command.reason = reason
    command.client_id = client_id
    move(s, out, client_id, life.CANCEL_SENT)


@kernel
def move(s: Any, out: Any, client_id: int, happening: int) -> bool:
    """Take one step in the life-cycle table; False (and a halt) where there is no row."""
    slot = find(s, client_id)
    if slot < 0:
        return False
    order = s.orders[slot]
    before = order.status
    after = life.NEXT[before, happening]
    if after == life.NO_ROW:
        violation(s, out, order.instrument, NO_SUCH_TRANSITION, client_id, before, happening)
        return False
    if (before == life.UNKNOWN) != (after == life.UNKNOWN):
        p = s.positions[order.instrument]
        p.doubts += 1 if after == life.UNKNOWN else -1
        if after != life.UNKNOWN:  # the venue spoke: an exit that waited for that may be tried at once
            p.exit_after_ns = min(p.exit_after_ns, s.head[0].now_ns)
    if happening == life.CANCEL_SENT:
        order.cancel_ns = s.head[0].now_ns
    order.status = after
    if before < life.FIRST_DONE <= after:
        _finish(s, order)
    return True


@kernel
def _finish(s: Any, order: Any) -> None:
    head = s.head[0]
    release(s, order, order.qty_lots)
    p = s.positions[order.instrument]
    if order.role == ROLE_ENTRY:
        head.pending_entries -= 1
        count_margins(s, order.instrument, -1)
        if p.entry_id == order.client_id:
            p.entry_id = 0
    elif order.role == ROLE_STOP and p.stop_id == order.client_id:
        p.stop_id = 0
    elif order.role == ROLE_EXIT and p.exit_id == order.client_id:
        p.exit_id = 0
        if order.reason == PARTIAL_EXIT:
            end_part(s, p)
    timers.disarm(s, timers.FIRST_ORDER_TIMER + order.client_id % POOL)


@kernel
def end_part(s: Any, p: Any) -> None:
    """Nothing of a part is on its way any more: the stop is for all of the position again."""
    p.part_lots = 0
    p.part_after_ns = s.head[0].now_ns + (PART_PAUSE_NS << min(p.part_tries, 6))
    p.part_tries += 1


@kernel
def release(s: Any, order: Any, lots: int) -> None:
    """Give back the reserve and the pending risk of `lots` that filled or will never fill."""
    open_lots = order.qty_lots - order.filled_lots
    if order.reserve_e8 == 0 and order.risk_e8 == 0:
        return
    reserve = share_up(order.reserve_e8, lots, max(open_lots, 1))
    risk = share_up(order.risk_e8, lots, max(open_lots, 1))
    order.reserve_e8 -= reserve
    order.risk_e8 -= risk
    move_money(s, order.instrument, 0, -reserve, 0)
    s.head[0].pending_risk_e8 -= risk


@kernel
def violation(s: Any, out: Any, i: int, reason: int, client_id: int, what: int, how: int) -> None:
    """Something happened that the protocol excludes: note it and halt."""
    note = emit(s, out, VIOLATION, i)
    note.reason = reason
    note.client_id = client_id
    note.price_ticks = what
    note.qty_lots = how
    s.head[0].violations += 1
    set_state(s, out, HALTED, PROTOCOL_VIOLATION)


@kernel
def set_state(s: Any, out: Any, state: int, reason: int) -> None:
    """Change the trading state and note it; no note where nothing changes."""
    head = s.head[0]
    if head.trading_state == state:
        return
    note = emit(s, out, STATE, NO_INSTRUMENT)
    note.reason = reason
    note.index = head.trading_state
    note.value_e9 = state
    head.trading_state = state
    if state != ACTIVE:
        head.exits_due = 1  # resting entries are withdrawn
