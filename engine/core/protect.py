"""Positions and their protection: every open quantity has its stop, or is on its way out.

`supervise` is a reconciler: called after anything that touches an instrument, and by the clock where nothing does,
it compares what should be at the venue with what is, and issues the command that closes the difference.

Rules
-----
* What is open and not leaving has a stop that the venue confirmed, at least as large, within `STOP_DEADLINE_NS`;
  else it leaves at the market. Each part that fills later has its own two seconds.
* An exit that ended unfilled is sent again after 2, 4, 8 ... 64 s, for ever; in an emergency it is first a limit near
  the touch, then at once a market order, and sent again every 4 s at the latest. One in doubt is sent again only where
  it cannot sell twice (reduce-only perpetuals); spot waits for the venue's word and then acts at once.
* A time stop is kept by the clock: a position leaves then though no price comes.
* A stop without an answer is waited for as long as the deadline; then the exit goes out beside it.
* A part may leave while the stop stands for the rest: `engine.core.parting`.
"""

from __future__ import annotations

from typing import Any

from engine.contracts import reasons
from engine.contracts.records import GTC, IOC, LIMIT_ORDER, MARKET, REDUCE_ONLY, ROLE_EXIT, ROLE_STOP, STOP_MARKET
from engine.core import life, selector
from engine.core.compile import kernel
from engine.core.limits import SCALE
from engine.core.money import fee_up, value_down
from engine.core.openrisk import ticks_nearer, tighten_stop
from engine.core.orders import ACTIVE, CANCEL_PAUSE_NS, cancel, end_part, find, is_working, place
from engine.core.parting import stop_lots
from engine.core.patience import abandon
from engine.core.portfolio import free_e8
from engine.core.risk import funding_buffer_e8, reserve_e8, wallet_buffer_e8
from engine.core.timers import NEVER, look_at
from engine.core.wallet import wallet_free_e8, wallet_of

SECOND_NS = 1_000_000_000
MAX_STOP_TRIES = 3
MAX_EXIT_DOUBTS = 3  # so many orders of a position in doubt, and no further exit is sent
STOP_DEADLINE_NS = 2 * SECOND_NS


@kernel
def want_exit(s: Any, i: int, reason: int) -> None:
    """Ask for a position to be closed; the first reason stands."""
    p = s.positions[i]
    if p.qty_lots != 0 and p.exit_reason == 0:
        p.exit_reason = reason


@kernel
def cover_funding(s: Any, i: int) -> None:
    """Funding paid is part of a trade's loss and comes out of free cash: the stop moves up by what was paid, and
    a position whose next payment could reach the reserve, or the bottom of its venue's wallet, leaves."""
    p = s.positions[i]
    if p.qty_lots == 0 or p.stop_ticks <= 0:
        return
    short = wallet_free_e8(wallet_of(s, i)) < wallet_buffer_e8(s, i)
    if (short or free_e8(s) < reserve_e8(s) + funding_buffer_e8(s)) and p.funding_e8 < 0:
        want_exit(s, i, reasons.RESERVE_EXIT)
    missing = p.fees_e8 - p.gross_e8 - p.funding_e8 - p.at_stop_e8 - p.limit_e8
    if missing <= 0:
        return
    closer = ticks_nearer(s, i, missing)
    if closer < p.mark_ticks:
        tighten_stop(s, i, p.stop_ticks + p.side * closer)
    if closer >= p.mark_ticks or (p.mark_ticks - p.stop_ticks) * p.side <= 0:
        want_exit(s, i, reasons.FUNDING_EXIT)


@kernel
def watch_target(s: Any, i: int) -> None:
    """Take profit once a *new* price stands at the target: an answer from the venue is no reason to try again."""
    p = s.positions[i]
    due = s.head[0].now_ns >= p.target_after_ns
    if p.target_ticks != 0 and due and (p.mark_ticks - p.target_ticks) * p.side >= 0:
        want_exit(s, i, reasons.TAKE_PROFIT)


@kernel
def watch_growth(s: Any, i: int) -> None:
    """A position that quadrupled leaves before closing it could cost a day's limit: equity is marked without the
    cost of leaving, so the day that pays it must be one that can."""
    p = s.positions[i]
    value = p.cost_e8 + p.unrealised_e8
    if value <= 4 * p.cost_e8:
        return
    cost = fee_up(value, s.instruments[i].taker_fee_e8 + s.limits[0].stop_slippage_bps)
    if 4 * cost * s.head[0].open_positions > s.head[0].day_limit_e8:
        want_exit(s, i, reasons.OUTGROWN_EXIT)


@kernel
def supervise(s: Any, out: Any, i: int) -> None:
    """Bring the venue's orders for an instrument in line with the position."""
    p = s.positions[i]
    if p.entry_id != 0:
        _withdraw_entry(s, out, i)
    if p.qty_lots != 0:
        _protect(s, out, i)
    elif p.stop_id != 0:
        cancel(s, out, p.stop_id, reasons.EXIT_SIGNAL)
    look_at(s, i, _look_again_ns(s, i))


@kernel
def _protect(s: Any, out: Any, i: int) -> None:
    p = s.positions[i]
    if s.head[0].flattening != 0:
        want_exit(s, i, reasons.EMERGENCY_EXIT)
    if p.leave_ns != 0 and s.head[0].now_ns >= p.leave_ns:
        want_exit(s, i, reasons.TIME_STOP)
    naked = p.stop_ticks <= 0 or p.stop_tries >= MAX_STOP_TRIES or _is_overdue(s, i)
    if p.exit_reason == 0 and naked:
        p.exit_reason = reasons.NAKED_POSITION
    if p.exit_reason == 0:
        _keep_stop(s, out, i)
    if p.exit_reason == 0 and p.part_lots != 0:
        _send_part(s, out, i)
    if p.exit_reason != 0:
        p.naked_ns = 0
        if p.exit_id == 0:
            p.part_lots = 0
        _leave(s, out, i)


@kernel
def _withdraw_entry(s: Any, out: Any, i: int) -> None:
    """Cancel a resting entry that is not wanted any more."""
    p = s.positions[i]
    plan = s.plans[i]
    slot = find(s, p.entry_id)
    if slot < 0 or s.orders[slot].tif != GTC:
        return
    reason = 0
    if plan.client_id == p.entry_id:
        if s.head[0].trading_state != ACTIVE:
            reason = reasons.NOT_ACTIVE
        elif selector.granted(s, plan.strategy) <= 0.0:
            reason = reasons.NOT_SELECTED
        elif p.doubts != 0:
            reason = reasons.ORDER_IN_DOUBT
        elif p.exit_reason != 0 or (p.qty_lots == 0 and plan.filled_lots > 0):
            reason = reasons.POSITION_LEAVING
        if reason == 0:
            return
        abandon(s, out, i, (reason, 0, 0))
    cancel(s, out, p.entry_id, reasons.ENTRY_ABANDONED)


@kernel
def _is_overdue(s: Any, i: int) -> bool:
    """True where some part of the position has had no confirmed stop for `STOP_DEADLINE_NS`. A stop that stands for
    what was open when the clock started restarts it for what came later."""
    p = s.positions[i]
    if p.naked_ns == 0:
        return False
    stop = _replaceable(s, p.stop_id)
    if stop > 0:
        order = s.orders[find(s, stop)]
        if order.qty_lots - order.filled_lots >= min(p.naked_lots, abs(p.qty_lots)):
            p.naked_ns = 0
            return False
    return s.head[0].now_ns - p.naked_ns >= STOP_DEADLINE_NS


@kernel
def _look_again_ns(s: Any, i: int) -> int:
    """When something is due for a position though no event comes; `NEVER` where only an event can change anything."""
    p = s.positions[i]
    plan = s.plans[i]
    due = NEVER
    if plan.client_id != 0 and plan.due_ns != 0:
        due = plan.due_ns
    if p.entry_id != 0 and plan.client_id != p.entry_id and _replaceable(s, p.entry_id) > 0:
        if s.orders[find(s, p.entry_id)].tif == GTC:  # its cancel was refused
            due = min(due, s.orders[find(s, p.entry_id)].cancel_ns + CANCEL_PAUSE_NS)
    if p.qty_lots == 0:
        if _replaceable(s, p.stop_id) > 0:
            due = min(due, s.orders[find(s, p.stop_id)].cancel_ns + CANCEL_PAUSE_NS)
    elif p.exit_reason == 0:
        if p.naked_ns != 0:
            due = min(due, p.naked_ns + STOP_DEADLINE_NS)
        if p.leave_ns != 0:
            due = min(due, p.leave_ns)
    elif p.exit_id == 0 or _may_ask_again(s, i):
        if p.exit_after_ns <= s.head[0].now_ns:
            due = min(due, _waits_until_ns(s, p.stop_id))
        elif not _is_dust(s, i):  # only a price can help dust
            due = min(due, p.exit_after_ns)
    return due


@kernel
def _replaceable(s: Any, client_id: int) -> int:
    """The id where the order can be replaced now, 0 where there is none, -1 where we must wait for the venue."""
    slot = find(s, client_id)
    if slot < 0 or not is_working(s.orders[slot]):
        return 0
    status = s.orders[slot].status
    return client_id if status == life.ACCEPTED or status == life.PARTIAL else -1


@kernel
def too_small(s: Any, i: int, ticks: int) -> bool:
    """True where the venue would not take an order for the position at this price (reduce-only perpetuals excepted)."""
    instrument = s.instruments[i]
    lots = abs(s.positions[i].qty_lots)
    return instrument.is_perp == 0 and value_down(instrument, ticks, lots) < instrument.min_notional_e8


@kernel
def _is_dust(s: Any, i: int) -> bool:
    """True where the venue has refused an exit and what is left is too small for another."""
    p = s.positions[i]
    return p.exit_tries > 0 and too_small(s, i, s.books[i].bid_ticks if p.qty_lots > 0 else s.books[i].ask_ticks)


@kernel
def _waits_until_ns(s: Any, client_id: int) -> int:
    """How long an order's answer is waited for; `NEVER` where none is due."""
    if _replaceable(s, client_id) >= 0:
        return NEVER
    order = s.orders[find(s, client_id)]
    return max(order.placed_ns, order.cancel_ns) + STOP_DEADLINE_NS


@kernel
def _may_ask_again(s: Any, i: int) -> bool:
    """True where the exit is in doubt and another can do no harm: perpetuals' are reduce-only, and never turn a
    position round. Spot coins are not sold twice: there the venue's word is waited for."""
    p = s.positions[i]
    if s.instruments[i].is_perp == 0 or p.doubts > MAX_EXIT_DOUBTS:
        return False
    slot = find(s, p.exit_id)
    return slot >= 0 and s.orders[slot].status == life.UNKNOWN


@kernel
def _leave(s: Any, out: Any, i: int) -> None:
    p = s.positions[i]
    now = s.head[0].now_ns
    if p.exit_id != 0 and (now < p.exit_after_ns or not _may_ask_again(s, i)):
        return
    if now < p.exit_after_ns:
        last = s.books[i].last_ticks
        if p.stop_ticks > 0 and (last - p.stop_ticks) * p.qty_lots > 0:
            _keep_stop(s, out, i)  # protected again until the exit may be tried again
        return
    stop = _replaceable(s, p.stop_id)
    if stop < 0:
        if now < _waits_until_ns(s, p.stop_id):
            return
        stop = 0  # no answer: out beside it. Where it stands and holds our coins, the venue refuses: tried again
    if p.entry_id != 0:  # never buy and sell at once
        cancel(s, out, p.entry_id, p.exit_reason)
    if _is_dust(s, i):  # kept, tried again where the price may help
        p.exit_after_ns = now + 3600 * SECOND_NS
        return
    touch = s.books[i].bid_ticks if p.qty_lots > 0 else s.books[i].ask_ticks
    lots = abs(p.qty_lots)
    side = -1 if p.qty_lots > 0 else 1
    kind, price = MARKET, touch
    if p.exit_reason == reasons.TAKE_PROFIT:
        kind, price = LIMIT_ORDER, p.target_ticks  # at the target or better, or it was none
    elif p.exit_reason == reasons.EMERGENCY_EXIT and p.exit_tries == 0 and touch > 0:
        kind, price = LIMIT_ORDER, max(touch + side * _cap_ticks(s, touch), 1)  # what it leaves goes at the market
    place(
        s, out, i, ROLE_EXIT, side, kind, IOC, REDUCE_ONLY, price, lots, 0, stop, p.exit_reason, p.strategy,
        p.leverage,
    )  # fmt: skip
    p.exit_tries += 1
    p.exit_after_ns = now + SECOND_NS * (1 << min(p.exit_tries, 2 if s.head[0].flattening != 0 else 6))


@kernel
def _cap_ticks(s: Any, touch: int) -> int:
    """How far from the touch an emergency's first exit may fill: as far as an entry may."""
    return int(touch * (s.limits[0].fat_finger_bps / (10_000.0 * SCALE)))


@kernel
def _start_clock(p: Any, now_ns: int) -> None:
    """From now on, unless it runs already, what is open waits for a stop."""
    if p.naked_ns == 0:
        p.naked_ns = now_ns
        p.naked_lots = abs(p.qty_lots)


@kernel
def _send_part(s: Any, out: Any, i: int) -> None:
    """Offer the part, once the stop stands for the rest of it."""
    p = s.positions[i]
    if p.exit_id != 0 or _replaceable(s, p.stop_id) <= 0:
        return
    if (p.mark_ticks - p.part_ticks) * p.side < 0:  # the price left it meanwhile
        end_part(s, p)
        _keep_stop(s, out, i)
        return
    side = -1 if p.qty_lots > 0 else 1
    place(
        s, out, i, ROLE_EXIT, side, LIMIT_ORDER, IOC, REDUCE_ONLY, p.part_ticks, p.part_lots, 0, 0,
        reasons.PARTIAL_EXIT, p.strategy, p.leverage,
    )  # fmt: skip


@kernel
def _keep_stop(s: Any, out: Any, i: int) -> None:
    p = s.positions[i]
    lots = stop_lots(s, i)
    if lots <= 0:  # the stop took the rest; what is left is on its way
        _start_clock(p, s.head[0].now_ns)
        return
    replaces = _replaceable(s, p.stop_id)
    if replaces < 0:
        _start_clock(p, s.head[0].now_ns)
        return
    if replaces != 0:
        order = s.orders[find(s, replaces)]
        if order.qty_lots - order.filled_lots == lots and order.trigger_ticks == p.stop_ticks:
            if lots == abs(p.qty_lots):
                p.naked_ns = 0
            return
    elif p.stop_tries >= MAX_STOP_TRIES or too_small(s, i, p.stop_ticks):
        if s.plans[i].client_id != 0 and (p.mark_ticks - p.stop_ticks) * p.side > 0:
            if not too_small(s, i, p.mark_ticks):
                _start_clock(p, s.head[0].now_ns)  # it could be sold, if not stopped out
            return  # the first crumbs of an entry: more is to come
        if p.exit_reason == 0:  # no stop is to be had: out, or kept as dust where even that is refused
            p.exit_reason = reasons.NAKED_POSITION
        return
    _start_clock(p, s.head[0].now_ns)
    side = -1 if p.qty_lots > 0 else 1
    reason = reasons.STOP_LOSS if p.stop_ticks == p.first_stop_ticks else reasons.TRAILING_STOP
    place(
        s, out, i, ROLE_STOP, side, STOP_MARKET, GTC, REDUCE_ONLY, p.stop_ticks, lots, p.stop_ticks, replaces, reason,
        p.strategy, p.leverage,
    )  # fmt: skip
