"""From a strategy's wish to an order: size it, pass the gate, place it, or note why not."""

from __future__ import annotations

from typing import Any, NamedTuple

from engine.contracts import reasons
from engine.contracts.records import FOK, LIMIT_ORDER, ROLE_ENTRY
from engine.core import patience, selector
from engine.core.compile import kernel
from engine.core.money import value_down
from engine.core.orders import place
from engine.core.refusal import refuse
from engine.core.risk import check_order, check_state, commit_room_e8, count_order, pending_notional_e8, wallet_room_e8
from engine.core.sizing import least_lots, lots_for


class Terms(NamedTuple):
    """How an entry may be executed; see `engine.core.strategies.spec.EXECUTION`. All floats, as parameters are."""

    cap_bps: float
    patience_s: float
    post_only: float
    reprices: float


@kernel
def terms_of(params: Any) -> Terms:
    """The terms among a strategy's parameters."""
    return Terms(params.entry_cap_bps, params.entry_patience_s, params.post_only, params.reprices)


@kernel
def worst_price(book: Any, side: int, cap_bps: float) -> int:
    """The touch moved against us by `cap_bps`: the most a marketable limit order will pay (or least accept)."""
    touch = book.ask_ticks if side > 0 else book.bid_ticks
    return touch + side * int(touch * cap_bps / 10_000.0)


@kernel
def binding_cap(s: Any, i: int, ticks: int, lots: int) -> tuple[int, int, int]:
    """Where sizing left less than the venue's minimum: the cap of the account or the wallet that did it, if one did."""
    least = s.instruments[i].min_notional_e8
    if lots > 0 and value_down(s.instruments[i], ticks, lots) >= least:
        return 0, 0, 0
    if commit_room_e8(s, i) < least:
        return reasons.RESERVE, least, max(commit_room_e8(s, i), 0)
    if wallet_room_e8(s, i) < least:
        return reasons.VENUE_CASH, least, max(wallet_room_e8(s, i), 0)
    room = s.limits[0].exposure_e8 - s.head[0].exposure_e8 - pending_notional_e8(s)
    if room < least:
        return reasons.EXPOSURE, least, max(room, 0)
    return 0, 0, 0


@kernel
def why_not(s: Any, i: int, strategy: int) -> int:
    """Everything about now that forbids a strategy's entry whatever its size; 0 when there is nothing."""
    reason = check_state(s, i)
    return reasons.NOT_SELECTED if reason == 0 and selector.granted(s, strategy) <= 0.0 else reason


@kernel
def sized(s: Any, i: int, side: int, ticks: int, stop_ticks: int, leverage: int, share: float, terms: Terms) -> int:
    """Lots for a share of the trade limit under these terms."""
    lots = lots_for(s, i, side, ticks, stop_ticks, leverage, share)
    if terms.patience_s > 0.0 and side < 0:  # a patient sale is worth more than one at the worst price
        lots = min(lots, lots_for(s, i, side, patience.own_touch(s, i, side), stop_ticks, leverage, share))
    return lots


@kernel
def enter(
    s: Any, out: Any, i: int, strategy: int, side: int, stop_ticks: int, share: float, terms: Terms, leverage: int
) -> int:
    """Open a position at no worse than `terms.cap_bps` from the touch: at once, or patiently.

    `share` (0..1) is the part of the per-trade loss limit to put at risk, at that worst price. Returns the
    client id, or 0 with the reason noted. The selector scales the share; an entry that this alone makes too small
    for the venue is the smallest it takes, or a strategy with a small share could never be tried.
    """
    reason = why_not(s, i, strategy)
    if reason != 0:
        return refuse(s, out, i, strategy, side, (reason, 0, 0), 0)
    ticks = worst_price(s.books[i], side, terms.cap_bps)
    granted = selector.granted(s, strategy)
    lots = sized(s, i, side, ticks, stop_ticks, leverage, share * granted, terms)
    if granted < 1.0 and lots < least_lots(s, i, side, ticks, stop_ticks):
        asked = sized(s, i, side, ticks, stop_ticks, leverage, share, terms)
        lots = min(asked, least_lots(s, i, side, ticks, stop_ticks))
    room = binding_cap(s, i, ticks, lots)
    if room[0] != 0:
        return refuse(s, out, i, strategy, side, room, lots)
    return submit(s, out, i, strategy, side, ticks, lots, stop_ticks, terms, leverage)


@kernel
def enter_lots(
    s: Any, out: Any, i: int, strategy: int, side: int, lots: int, stop_ticks: int, terms: Terms, leverage: int
) -> int:
    """The same with a fixed quantity, which passes the same gate and is scaled the same."""
    reason = why_not(s, i, strategy)
    if reason != 0:
        return refuse(s, out, i, strategy, side, (reason, 0, 0), lots)
    ticks = worst_price(s.books[i], side, terms.cap_bps)
    granted = selector.granted(s, strategy)
    if granted < 1.0:
        lots = max(int(lots * granted), min(lots, least_lots(s, i, side, ticks, stop_ticks)))
    return submit(s, out, i, strategy, side, ticks, lots, stop_ticks, terms, leverage)


@kernel
def submit(
    s: Any, out: Any, i: int, strategy: int, side: int, ticks: int, lots: int, stop_ticks: int, terms: Terms,
    leverage: int,
) -> int:  # fmt: skip
    """The gate itself: check at the worst price, then place. An impatient entry is a limit there, fill-or-kill: a
    part of it could be too small for the venue to ever let us out again."""
    refusal = check_order(s, i, side, ticks, lots, stop_ticks, leverage)
    if refusal[0] != 0:
        return refuse(s, out, i, strategy, side, refusal, lots)
    if terms.patience_s > 0.0:
        plan = patience.begin(s, i, strategy, side, ticks, lots, stop_ticks, leverage)
        plan.patience_ns = int(terms.patience_s * 1e9)
        plan.post_only = int(terms.post_only)
        plan.reprices_left = int(terms.reprices)
        return patience.place_rest(s, out, i, False, reasons.ENTRY_SIGNAL)
    client_id = place(
        s, out, i, ROLE_ENTRY, side, LIMIT_ORDER, FOK, 0, ticks, lots, stop_ticks, 0, reasons.ENTRY_SIGNAL,
        strategy, leverage,
    )  # fmt: skip
    if client_id == 0:
        return refuse(s, out, i, strategy, side, (reasons.ORDER_POOL_FULL, 0, 0), lots)
    count_order(s)
    return client_id
