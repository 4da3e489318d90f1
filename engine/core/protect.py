"""Positions and their protection: every open quantity has its stop, or is on its way out.

`supervise` is a reconciler: called after anything that touches an instrument, it compares what should be
at the venue with what is, and issues at most one command to close the difference.
"""

from __future__ import annotations

from typing import Any

from engine.contracts import reasons
from engine.contracts.records import GTC, IOC, LIMIT_ORDER, MARKET, REDUCE_ONLY, ROLE_EXIT, ROLE_STOP, STOP_MARKET
from engine.core import life
from engine.core.compile import kernel
from engine.core.money import fee_up, value_down
from engine.core.orders import cancel, find, is_working, place
from engine.core.portfolio import free_e8, refresh_at_stop
from engine.core.risk import funding_buffer_e8, reserve_e8

SECOND_NS = 1_000_000_000
MAX_STOP_TRIES = 3


@kernel
def want_exit(s: Any, i: int, reason: int) -> None:
    """Ask for a position to be closed; the first reason stands."""
    p = s.positions[i]
    if p.qty_lots != 0 and p.exit_reason == 0:
        p.exit_reason = reason


@kernel
def tighten_stop(s: Any, i: int, stop_ticks: int) -> bool:
    """Move a stop in the position's favour; anything else is ignored."""
    p = s.positions[i]
    if p.qty_lots == 0 or stop_ticks <= 0:
        return False
    better = stop_ticks > p.stop_ticks if p.qty_lots > 0 else stop_ticks < p.stop_ticks
    if better:
        p.stop_ticks = stop_ticks
        refresh_at_stop(s, i)
    return better


@kernel
def cover_funding(s: Any, i: int) -> None:
    """Funding paid is part of a trade's loss and comes out of free cash: the stop moves up by what was paid, and
    a position whose next payment could reach the reserve leaves."""
    p = s.positions[i]
    if p.qty_lots == 0 or p.stop_ticks <= 0:
        return
    if free_e8(s) < reserve_e8(s) + funding_buffer_e8(s) and p.funding_e8 < 0:
        want_exit(s, i, reasons.RESERVE_EXIT)
    missing = p.fees_e8 - p.gross_e8 - p.funding_e8 - p.at_stop_e8 - p.limit_e8
    if missing <= 0:
        return
    instrument = s.instruments[i]
    per_tick = float(instrument.value_num) * abs(p.qty_lots) / instrument.value_den
    closer = int(1.02 * missing / per_tick) + 2  # slippage and the exit fee move with the stop
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
    if p.qty_lots == 0:
        if p.stop_id != 0:
            cancel(s, out, p.stop_id, reasons.EXIT_SIGNAL)
        return
    if s.head[0].flattening != 0:
        want_exit(s, i, reasons.EMERGENCY_EXIT)
    if p.exit_reason == 0 and (p.stop_ticks <= 0 or p.stop_tries >= MAX_STOP_TRIES):
        p.exit_reason = reasons.NAKED_POSITION
    if p.exit_reason == 0:
        _keep_stop(s, out, i)
    if p.exit_reason != 0:
        _leave(s, out, i)


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
def _leave(s: Any, out: Any, i: int) -> None:
    p = s.positions[i]
    if p.exit_id != 0:
        return
    if s.head[0].now_ns < p.exit_after_ns:
        last = s.books[i].last_ticks
        if p.stop_ticks > 0 and (last - p.stop_ticks) * p.qty_lots > 0:
            _keep_stop(s, out, i)  # protected again until the exit may be tried again
        return
    stop = _replaceable(s, p.stop_id)
    if stop < 0:
        return
    if p.entry_id != 0:  # never buy and sell at once
        cancel(s, out, p.entry_id, p.exit_reason)
    touch = s.books[i].bid_ticks if p.qty_lots > 0 else s.books[i].ask_ticks
    lots = abs(p.qty_lots)
    if p.exit_tries > 0 and too_small(s, i, touch):  # kept as dust, tried again where the price may help
        p.exit_after_ns = s.head[0].now_ns + 3600 * SECOND_NS
        return
    side = -1 if p.qty_lots > 0 else 1
    kind, price = MARKET, touch
    if p.exit_reason == reasons.TAKE_PROFIT:
        kind, price = LIMIT_ORDER, p.target_ticks  # at the target or better, or it was none
    place(
        s, out, i, ROLE_EXIT, side, kind, IOC, REDUCE_ONLY, price, lots, 0, stop, p.exit_reason, p.strategy,
        p.leverage,
    )  # fmt: skip
    p.exit_tries += 1
    p.exit_after_ns = s.head[0].now_ns + SECOND_NS * (1 << min(p.exit_tries, 6))


@kernel
def _keep_stop(s: Any, out: Any, i: int) -> None:
    p = s.positions[i]
    replaces = _replaceable(s, p.stop_id)
    if replaces < 0:
        return
    lots = abs(p.qty_lots)
    if replaces != 0:
        order = s.orders[find(s, replaces)]
        if order.qty_lots - order.filled_lots == lots and order.trigger_ticks == p.stop_ticks:
            return
    elif p.stop_tries >= MAX_STOP_TRIES or too_small(s, i, p.stop_ticks):
        if p.exit_reason == 0:  # no stop is to be had: out, or kept as dust where even that is refused
            p.exit_reason = reasons.NAKED_POSITION
        return
    side = -1 if p.qty_lots > 0 else 1
    reason = reasons.STOP_LOSS if p.stop_ticks == p.first_stop_ticks else reasons.TRAILING_STOP
    place(
        s, out, i, ROLE_STOP, side, STOP_MARKET, GTC, REDUCE_ONLY, p.stop_ticks, lots, p.stop_ticks, replaces, reason,
        p.strategy, p.leverage,
    )  # fmt: skip
