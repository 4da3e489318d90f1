"""From a strategy's wish to an order: size it, pass the gate, place it, or note why not."""

from __future__ import annotations

from typing import Any

from engine.contracts import reasons
from engine.contracts.records import FOK, LIMIT_ORDER, REFUSED, ROLE_ENTRY
from engine.core.compile import kernel
from engine.core.money import value_down
from engine.core.orders import place
from engine.core.output import emit
from engine.core.risk import check_order, check_state, commit_room_e8, count_order, pending_notional_e8
from engine.core.sizing import lots_for


@kernel
def refuse(s: Any, out: Any, i: int, strategy: int, side: int, refusal: tuple[int, int, int], lots: int) -> int:
    """Note a refusal with what was measured and the limit it broke. Always 0: no client id."""
    note = emit(s, out, REFUSED, i)
    note.strategy = strategy
    note.side = side
    note.reason = refusal[0]
    note.measured_e8 = refusal[1]
    note.limit_e8 = refusal[2]
    note.qty_lots = lots
    return 0


@kernel
def worst_price(book: Any, side: int, cap_bps: float) -> int:
    """The touch moved against us by `cap_bps`: the most a marketable limit order will pay (or least accept)."""
    touch = book.ask_ticks if side > 0 else book.bid_ticks
    return touch + side * int(touch * cap_bps / 10_000.0)


@kernel
def binding_cap(s: Any, i: int, ticks: int, lots: int) -> tuple[int, int, int]:
    """Where sizing left less than the venue's minimum: the account-wide cap that did it, if one did."""
    least = s.instruments[i].min_notional_e8
    if lots > 0 and value_down(s.instruments[i], ticks, lots) >= least:
        return 0, 0, 0
    if commit_room_e8(s, i) < least:
        return reasons.RESERVE, least, max(commit_room_e8(s, i), 0)
    room = s.limits[0].exposure_e8 - s.head[0].exposure_e8 - pending_notional_e8(s)
    if room < least:
        return reasons.EXPOSURE, least, max(room, 0)
    return 0, 0, 0


@kernel
def enter(
    s: Any, out: Any, i: int, strategy: int, side: int, stop_ticks: int, share: float, cap_bps: float, leverage: int
) -> int:
    """Open a position at the market, at no worse than `cap_bps` from the touch.

    A limit order, fill-or-kill: a part of it could be too small for the venue to ever let us out again.
    `share` (0..1) is the part of the per-trade loss limit to put at risk. Returns the client id, or 0 with
    the reason noted.
    """
    reason = check_state(s, i)
    if reason != 0:
        return refuse(s, out, i, strategy, side, (reason, 0, 0), 0)
    ticks = worst_price(s.books[i], side, cap_bps)
    lots = lots_for(s, i, side, ticks, stop_ticks, leverage, share)
    room = binding_cap(s, i, ticks, lots)
    if room[0] != 0:
        return refuse(s, out, i, strategy, side, room, lots)
    return submit(s, out, i, strategy, side, ticks, lots, stop_ticks, leverage)


@kernel
def enter_lots(
    s: Any, out: Any, i: int, strategy: int, side: int, lots: int, stop_ticks: int, cap_bps: float, leverage: int
) -> int:
    """The same with a fixed quantity, which passes the same gate."""
    reason = check_state(s, i)
    if reason != 0:
        return refuse(s, out, i, strategy, side, (reason, 0, 0), lots)
    return submit(s, out, i, strategy, side, worst_price(s.books[i], side, cap_bps), lots, stop_ticks, leverage)


@kernel
def submit(
    s: Any, out: Any, i: int, strategy: int, side: int, ticks: int, lots: int, stop_ticks: int, leverage: int
) -> int:
    """The gate itself: check, then place."""
    refusal = check_order(s, i, side, ticks, lots, stop_ticks, leverage)
    if refusal[0] != 0:
        return refuse(s, out, i, strategy, side, refusal, lots)
    client_id = place(
        s, out, i, ROLE_ENTRY, side, LIMIT_ORDER, FOK, 0, ticks, lots, stop_ticks, 0, reasons.ENTRY_SIGNAL,
        strategy, leverage,
    )  # fmt: skip
    if client_id == 0:
        return refuse(s, out, i, strategy, side, (reasons.ORDER_POOL_FULL, 0, 0), lots)
    count_order(s)
    return client_id


