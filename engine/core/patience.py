"""A patient entry: a resting limit that is priced anew when it waited too long, and taken at last.

Rules
-----
* Approved once, for all its orders together: so many lots, at no worse than the price that could have been taken
  at once. Every order of it passes the whole gate again; none asks for more than was approved less what filled.
* One order at a time: the next is sent only once the venue has confirmed that the last is gone, and, where that
  answer does not say how much was left, `SETTLE_NS` later, so that fills on their way count first.
* It rests at the own side's touch for `patience_s`, is cancelled and placed again `reprices` times (a post-only
  order that would have taken counts too), and at last asks for the rest at the worst price, fill-or-kill. Where
  makers pay more than takers nothing rests.
* It is abandoned, with the reason noted, where the price left the range it was approved for, the stop was reached
  or moved, the gate refuses, an order is in doubt, the position is to leave, or its strategy says that taking would
  not pay (`takes`). What has filled stays, protected.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts.records import CANCEL_REJECT, FOK, GTC, LIMIT_ORDER, POST_ONLY, ROLE_ENTRY
from engine.core import life, selector, timers
from engine.core.compile import kernel
from engine.core.orders import CANCEL_PAUSE_NS, POOL, is_working, place
from engine.core.refusal import refuse
from engine.core.risk import check_more, check_order, count_order

SETTLE_NS: Final = 1_000_000_000

PLAN: Final = np.dtype(
    (
        np.record,
        [
            (name, "<i8")
            for name in (
                "client_id",  # the order it works with, or worked with last; 0: no plan under way
                "first_id",  # orders with a smaller id are not of it
                "strategy",
                "side",
                "leverage",
                "stop_ticks",
                "worst_ticks",  # no order of it pays more (accepts less)
                "decision_ticks",  # the far touch when it was decided: slippage is measured against it
                "lots",  # approved, all orders together
                "filled_lots",
                "patience_ns",
                "post_only",
                "reprices_left",
                "takes",  # 0: what did not fill while it rested is not taken at last (its strategy said so)
                "due_ns",  # not 0: the venue has let go of the last order, the rest is placed then
            )
        ],
    )
)


@kernel
def own_touch(s: Any, i: int, side: int) -> int:
    """The best price of our own side: where an order rests without taking."""
    return s.books[i].bid_ticks if side > 0 else s.books[i].ask_ticks


@kernel
def begin(s: Any, i: int, strategy: int, side: int, worst: int, lots: int, stop: int, leverage: int) -> Any:
    """Start a plan for lots the gate approved at the worst price; the caller adds how patient it is."""
    plan = s.plans[i]
    plan.client_id = plan.first_id = s.head[0].next_client_id
    plan.strategy = strategy
    plan.side = side
    plan.leverage = leverage
    plan.stop_ticks = stop
    plan.worst_ticks = worst
    plan.decision_ticks = s.books[i].ask_ticks if side > 0 else s.books[i].bid_ticks
    plan.lots = lots
    plan.filled_lots = 0
    plan.takes = 1
    plan.due_ns = 0
    return plan


@kernel
def place_rest(s: Any, out: Any, i: int, last: bool, reason: int) -> int:
    """Place what is left of a plan that has no order at work: resting at our touch, or (`last`) at the worst
    price, fill-or-kill. Returns the client id; 0, with the reason noted, where the gate refuses."""
    plan = s.plans[i]
    if s.instruments[i].maker_fee_e8 > s.instruments[i].taker_fee_e8:
        last = True  # what the gate reckons with is the taker's fee; and there is nothing to wait for
    lots = plan.lots - plan.filled_lots
    ticks = plan.worst_ticks if last else own_touch(s, i, plan.side)
    tif = FOK if last else GTC
    bits = POST_ONLY if plan.post_only != 0 and not last else 0
    refusal = check_order(s, i, plan.side, ticks, lots, plan.stop_ticks, plan.leverage)
    if refusal[0] != 0:
        return abandon(s, out, i, refusal)
    client_id = place(
        s, out, i, ROLE_ENTRY, plan.side, LIMIT_ORDER, tif, bits, ticks, lots, plan.stop_ticks, 0, reason,
        plan.strategy, plan.leverage,
    )  # fmt: skip
    if client_id == 0:
        return abandon(s, out, i, (reasons.ORDER_POOL_FULL, 0, 0))
    plan.client_id = client_id
    s.orders[client_id % POOL].decision_ticks = plan.decision_ticks
    if not last:
        timers.arm(s, timers.FIRST_ORDER_TIMER + client_id % POOL, s.head[0].now_ns + plan.patience_ns)
    count_order(s)
    return client_id


@kernel
def abandon(s: Any, out: Any, i: int, refusal: tuple[int, int, int]) -> int:
    """End a plan and note why. Whoever finds its order still working cancels it (`protect.supervise`)."""
    plan = s.plans[i]
    refuse(s, out, i, plan.strategy, plan.side, refusal, max(plan.lots - plan.filled_lots, 0))
    plan.client_id = 0
    return 0


@kernel
def count_fill(s: Any, order: Any, lots: int) -> None:
    """Count an entry's fill towards its plan. One that comes after the next order was sent ends the plan: what that
    order asks for would be too much now."""
    plan = s.plans[order.instrument]
    if plan.client_id == 0 or order.client_id < plan.first_id:
        return
    plan.filled_lots += lots
    if order.client_id != plan.client_id:
        plan.client_id = 0


@kernel
def on_answer(s: Any, out: Any, order: Any, event: Any) -> None:
    """What the venue's answer about an entry means for the plan it belongs to."""
    i = order.instrument
    plan = s.plans[i]
    now = s.head[0].now_ns
    if event.kind == CANCEL_REJECT and is_working(order) and order.tif == GTC:
        timers.arm(s, timers.FIRST_ORDER_TIMER + order.client_id % POOL, now + CANCEL_PAUSE_NS)
    if plan.client_id == 0 or plan.client_id != order.client_id or plan.due_ns != 0:
        return
    if order.status == life.UNKNOWN:
        abandon(s, out, i, (reasons.ORDER_IN_DOUBT, 0, 0))
    elif order.status == life.CANCELED and order.cancel_ns != 0:
        told = event.qty_lots > 0 and order.qty_lots - event.qty_lots <= order.filled_lots
        plan.due_ns = now if told else now + SETTLE_NS
    elif is_working(order):
        return
    elif event.reason == reasons.WOULD_TAKE and order.tif == GTC:
        plan.due_ns = now
    else:
        plan.client_id = 0  # filled, or the venue said why not


@kernel
def left_range(s: Any, i: int, last: bool) -> int:
    """Why the market, or the position, is no longer the one the plan was approved for; 0 where it is."""
    plan = s.plans[i]
    p = s.positions[i]
    book = s.books[i]
    if p.exit_reason != 0 or (p.qty_lots == 0 and plan.filled_lots > 0):
        return reasons.POSITION_LEAVING
    if p.qty_lots != 0 and p.stop_ticks != plan.stop_ticks:
        return reasons.STOP_MOVED
    if (own_touch(s, i, plan.side) - plan.stop_ticks) * plan.side <= 0:
        return reasons.STOP_REACHED
    price = own_touch(s, i, plan.side)
    if last:
        price = book.ask_ticks if plan.side > 0 else book.bid_ticks
    return reasons.MOVED_AWAY if (price - plan.worst_ticks) * plan.side > 0 else 0


@kernel
def carry_on(s: Any, out: Any, i: int) -> None:
    """Place the rest of a plan whose last order is gone, once that is due."""
    plan = s.plans[i]
    if plan.client_id == 0 or plan.due_ns == 0 or s.head[0].now_ns < plan.due_ns:
        return
    plan.due_ns = 0
    if plan.filled_lots >= plan.lots:
        plan.client_id = 0
        return
    last = plan.reprices_left <= 0
    plan.reprices_left -= 1
    reason = check_more(s, i)
    if reason == 0:
        reason = left_range(s, i, last)
    if reason == 0 and selector.granted(s, plan.strategy) <= 0.0:
        reason = reasons.NOT_SELECTED
    if reason == 0 and last and plan.takes == 0:
        reason = reasons.TAKING_NOT_PAID
    if reason != 0:
        abandon(s, out, i, (reason, 0, 0))
        return
    place_rest(s, out, i, last, reasons.ENTRY_REPRICED)
