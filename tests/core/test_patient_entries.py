"""Entries that rest: priced anew, taken at last, abandoned where the market left; never more than was approved."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from probes import Desk
from streams import SECOND_NS, instrument, perp
from test_must_holds import storm

from engine.contracts import reasons
from engine.contracts.records import (
    CANCEL,
    CANCEL_ACK,
    CANCEL_REJECT,
    FILL,
    FOK,
    GTC,
    LIMIT,
    MAKER,
    NO_INSTRUMENT,
    OPERATOR,
    ORDER_EXPIRED,
    ORDER_REJECT,
    ORDER_UNKNOWN,
    PLACE,
    POST_ONLY,
    REFUSED,
    ROLE_ENTRY,
    ROLE_EXIT,
    ROLE_STOP,
)
from engine.core import life

WIDE = {"max_data_age_s": 3600.0}


def desk(*instruments: Any, **limits: float) -> Desk:
    made = Desk(list(instruments) or [instrument("AAA"), instrument("BBB")], **(WIDE | limits))
    for i in range(len(made.core.instruments)):
        made.quote(i, 9_999, 10_000)
    return made


def resting(made: Desk, lots: int = 50, reprices: int = 2, post_only: int = 1, **more: Any) -> int:
    """A patient entry of ten seconds, accepted by the venue."""
    entry = made.enter(0, lots, 9_900, patience_s=10, post_only=post_only, reprices=reprices, **more)
    assert entry, f"refused: {reasons.name(made.refused())}"
    made.feed()
    made.ack(entry)
    return entry


def entries(records: Any) -> list[tuple[int, int, int, int]]:
    """(price, lots, time in force, bits) of the entries placed."""
    rows = records[(records["kind"] == PLACE) & (records["role"] == ROLE_ENTRY)]
    return [(int(r["price_ticks"]), int(r["qty_lots"]), int(r["tif"]), int(r["bits"])) for r in rows]


def cancels(records: Any) -> list[str]:
    return [reasons.name(int(r["reason"])) for r in records[records["kind"] == CANCEL]]


def placed(records: Any, role: int) -> list[tuple[int, int]]:
    """(lots, replaces) of the orders of a role."""
    rows = records[(records["kind"] == PLACE) & (records["role"] == role)]
    return [(int(r["qty_lots"]), int(r["ref_id"])) for r in rows]


def refusals(records: Any) -> list[str]:
    return [reasons.name(int(r["reason"])) for r in records[records["kind"] == REFUSED]]


def cancelled(made: Desk, order: int, left: int = 0) -> Any:
    """The venue confirms a cancel; `left` where it tells how much was left."""
    return made.ack(order, CANCEL_ACK, qty_lots=left)


def present(made: Desk) -> int:
    """The client id of the entry at work."""
    return int(made.state.positions[0].entry_id)


def test_it_rests_at_our_own_touch_and_its_worst_price_is_what_was_approved() -> None:
    made = desk()
    made.enter(0, 50, 9_900, patience_s=10, post_only=1, reprices=2)
    assert entries(made.feed()) == [(9_999, 50, GTC, POST_ONLY)]
    assert made.state.plans[0].worst_ticks == 10_010
    assert made.head.reserved_e8 > 0 and made.head.pending_entries == 1


def test_a_short_rests_at_the_ask() -> None:
    made = desk(perp(maker_fee=Decimal("0.0002")))
    made.enter(0, 50, 10_100, side=-1, patience_s=10)
    assert entries(made.feed()) == [(10_000, 50, GTC, 0)]


def test_nothing_rests_where_makers_pay_more_than_takers() -> None:
    made = desk(instrument("AAA", maker_fee=Decimal("0.002"), taker_fee=Decimal("0.001")))
    made.enter(0, 50, 9_900, patience_s=10, reprices=2)
    assert entries(made.feed()) == [(10_010, 50, FOK, 0)]


def test_it_is_priced_anew_only_once_the_cancel_is_confirmed() -> None:
    made = desk()
    entry = resting(made)
    assert cancels(made.wait(9)) == []
    assert cancels(made.wait(2)) == ["ENTRY_TIMEOUT"]
    assert entries(made.quote(0, 10_002, 10_003)) == []
    assert entries(made.wait(60)) == [], "no answer, no other order"
    assert entries(cancelled(made, entry, 50)) == [(10_002, 50, GTC, POST_ONLY)]
    assert made.head.pending_entries == 1


def test_after_its_reprices_the_rest_is_taken_or_nothing() -> None:
    made = desk()
    order, seen = resting(made, reprices=2), []
    for _ in range(3):
        made.wait(10)
        seen += entries(cancelled(made, order, 50))
        order = present(made)
        made.ack(order)
    assert seen == [(9_999, 50, GTC, POST_ONLY), (9_999, 50, GTC, POST_ONLY), (10_010, 50, FOK, 0)]
    made.ack(order, ORDER_EXPIRED, reason=reasons.NO_LIQUIDITY)
    assert entries(made.wait(600)) == [] and made.state.plans[0].client_id == 0
    assert made.head.reserved_e8 == made.head.pending_risk_e8 == made.head.pending_entries == 0


def test_what_filled_is_protected_at_once_and_the_stop_grows_with_the_fills() -> None:
    made = desk()
    entry = resting(made)
    assert placed(made.fill(entry, 9_999, 20), ROLE_STOP) == [(20, 0)]
    stop = int(made.state.positions[0].stop_id)
    made.ack(stop)
    made.wait(10)
    assert entries(cancelled(made, entry, 30)) == [(9_999, 30, GTC, POST_ONLY)], "filled and new are what was approved"
    made.ack(present(made))
    said = made.fill(present(made), 9_999, 25)
    assert placed(said, ROLE_STOP) == [(45, stop)]
    made.ack(int(made.state.positions[0].stop_id))
    assert placed(made.fill(present(made), 9_999, 5), ROLE_STOP)[0][0] == 50
    assert made.state.plans[0].client_id == 0 and made.head.pending_entries == 0


def test_where_the_answer_does_not_say_what_was_left_late_fills_get_their_second() -> None:
    made = desk()
    entry = resting(made)
    made.wait(10)
    assert entries(cancelled(made, entry)) == []
    assert made.enter(0, 5, 9_900) == 0 and made.refused() == reasons.POSITION_OPEN
    made.fill(entry, 9_999, 35)
    assert entries(made.wait(2)) == [(9_999, 15, GTC, POST_ONLY)]


def test_a_fill_that_comes_even_later_ends_the_plan_and_withdraws_the_next_order() -> None:
    made = desk()
    entry = resting(made)
    made.wait(10)
    cancelled(made, entry)
    made.wait(2)
    newer = present(made)
    said = made.fill(entry, 9_999, 20)
    assert cancels(said) == ["ENTRY_ABANDONED"] and placed(said, ROLE_STOP) == [(20, 0)]
    made.ack(int(made.state.positions[0].stop_id))
    assert entries(cancelled(made, newer, 50)) == []
    assert made.state.positions[0].qty_lots == 20


@pytest.mark.parametrize("kind", [ORDER_REJECT, ORDER_EXPIRED])
def test_a_post_only_order_that_would_have_taken_is_priced_anew(kind: int) -> None:
    made = desk()
    made.enter(0, 50, 9_900, patience_s=10, post_only=1, reprices=1)
    made.quote(0, 9_997, 9_998)
    made.feed()
    assert entries(made.ack(present(made), kind, reason=reasons.WOULD_TAKE)) == [(9_997, 50, GTC, POST_ONLY)]
    assert entries(made.ack(present(made), kind, reason=reasons.WOULD_TAKE)) == [(10_010, 50, FOK, 0)]
    assert entries(made.ack(present(made), ORDER_EXPIRED, reason=reasons.NO_LIQUIDITY)) == []


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(ORDER_REJECT, reasons.INSUFFICIENT_BALANCE), (ORDER_EXPIRED, reasons.SELF_TRADE), (CANCEL_ACK, 0)],
)
def test_what_the_venue_refuses_or_takes_away_itself_is_not_tried_again(kind: int, reason: int) -> None:
    made = desk()
    entry = resting(made)
    assert entries(made.ack(entry, kind, reason=reason)) == []
    assert entries(made.wait(60)) == [] and made.state.plans[0].client_id == 0


def _away(made: Desk) -> None:
    made.quote(0, 10_020, 10_021)


def _through(made: Desk) -> None:
    made.quote(0, 9_899, 9_900)


def _moved(made: Desk) -> None:
    made.fill(present(made), 9_999, 20)
    made.ack(int(made.state.positions[0].stop_id))
    made.state.positions[0].stop_ticks = 9_950


def _closed(made: Desk) -> None:
    made.fill(present(made), 9_999, 20)
    stop = int(made.state.positions[0].stop_id)
    made.ack(stop)
    made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_PAUSE)
    made.fill(stop, 9_899, 20)
    made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_RESUME)


def _wide(made: Desk) -> None:
    made.quote(0, 9_950, 10_005)


def _poorer(made: Desk) -> None:
    made.say(LIMIT, NO_INSTRUMENT, index=2, amount_e8=10**7)


def _old(made: Desk) -> None:
    made.say(LIMIT, NO_INSTRUMENT, index=17, amount_e8=10**4)
    made.now_ns += 5 * SECOND_NS


CHANGES = {
    "MOVED_AWAY": _away,
    "STOP_REACHED": _through,
    "STOP_MOVED": _moved,
    "SPREAD_TOO_WIDE": _wide,
    "DAY_LOSS": _poorer,
    "STALE_DATA": _old,
}


@pytest.mark.parametrize("why", CHANGES)
def test_the_rest_is_abandoned_and_the_reason_noted_where(why: str) -> None:
    made = desk()
    entry = resting(made, post_only=0)
    assert cancels(made.wait(10)) == ["ENTRY_TIMEOUT"]
    CHANGES[why](made)
    left = 50 - int(made.order(entry).filled_lots)
    said = cancelled(made, entry, left)
    assert refusals(said) == [why] and entries(said) == []
    assert int(said[said["kind"] == REFUSED]["qty_lots"][0]) == left
    assert entries(made.wait(60)) == [] and made.head.pending_entries == 0


def test_a_pause_withdraws_what_rests_at_once() -> None:
    made = desk()
    entry = resting(made)
    said = made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_PAUSE)
    assert cancels(said) == ["ENTRY_ABANDONED"] and refusals(said) == ["NOT_ACTIVE"]
    assert entries(cancelled(made, entry, 50)) == []


def test_a_pause_leaves_what_is_taken_at_once_alone() -> None:
    made = desk()
    made.enter(0, 50, 9_900)
    made.feed()
    assert cancels(made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_PAUSE)) == []


def test_an_entry_in_doubt_is_abandoned_cancelled_once_and_keeps_its_reserve() -> None:
    made = desk()
    entry = made.enter(0, 50, 9_900, patience_s=10, reprices=2)
    made.feed()
    reserved = int(made.head.reserved_e8)
    said = made.ack(entry, ORDER_UNKNOWN)
    assert refusals(said) == ["ORDER_IN_DOUBT"] and cancels(said) == ["ENTRY_ABANDONED"]
    assert cancels(made.wait(3000)) == [] and made.head.reserved_e8 == reserved > 0
    assert entries(made.ack(entry, CANCEL_ACK, qty_lots=50)) == [] and made.head.reserved_e8 == 0


def test_a_stop_in_doubt_withdraws_the_rest_of_the_entry() -> None:
    made = desk()
    entry = resting(made)
    made.fill(entry, 9_999, 20)
    said = made.ack(int(made.state.positions[0].stop_id), ORDER_UNKNOWN)
    assert refusals(said) == ["ORDER_IN_DOUBT"] and cancels(said) == ["ENTRY_ABANDONED"]


def test_stopped_out_while_the_rest_still_stands_withdraws_it() -> None:
    made = desk()
    entry = resting(made)
    made.fill(entry, 9_999, 20)
    stop = int(made.state.positions[0].stop_id)
    made.ack(stop)
    said = made.fill(stop, 9_899, 20)
    assert cancels(said) == ["ENTRY_ABANDONED"] and refusals(said) == ["POSITION_LEAVING"]
    assert entries(cancelled(made, entry, 30)) == []


def test_a_refused_cancel_is_repeated_after_a_second_not_at_once() -> None:
    made = desk()
    entry = resting(made)
    made.wait(10)
    assert cancels(made.ack(entry, CANCEL_REJECT)) == []
    assert cancels(made.wait(0.9)) == []
    assert cancels(made.wait(0.2)) == ["ENTRY_TIMEOUT"]
    made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_PAUSE)
    assert cancels(made.ack(entry, CANCEL_REJECT)) == []
    assert cancels(made.wait(1.1)) == ["ENTRY_ABANDONED"]


def test_crumbs_too_small_for_any_order_wait_for_more() -> None:
    made = desk()
    entry = resting(made)
    said = made.fill(entry, 9_999, 4)
    assert placed(said, ROLE_STOP) == placed(said, ROLE_EXIT) == []
    assert placed(made.wait(5), ROLE_EXIT) == [], "the venue would take neither stop nor exit"
    assert placed(made.fill(entry, 9_999, 30), ROLE_STOP) == [(34, 0)]
    assert made.state.positions[0].exit_reason == 0


def test_crumbs_that_could_be_sold_but_not_stopped_out_have_two_seconds() -> None:
    made = desk()
    made.quote(0, 10_010, 10_011)
    entry = resting(made)
    said = made.fill(entry, 10_010, 5)  # five dollars and half a cent, at the stop less than five
    assert placed(said, ROLE_STOP) == placed(said, ROLE_EXIT) == []
    said = made.wait(2.1)
    assert placed(said, ROLE_EXIT) == [(5, 0)] and cancels(said) == ["NAKED_POSITION"]


def test_the_rest_passes_the_same_gate_with_what_is_open_counted() -> None:
    """Half filled at the worst price, the limit halved meanwhile: there is no room for the other half."""
    made = desk(trade_loss_usd=2.0)
    entry = resting(made, lots=80)
    made.fill(entry, 9_999, 60)
    made.ack(int(made.state.positions[0].stop_id))
    made.wait(10)
    made.say(LIMIT, NO_INSTRUMENT, index=0, amount_e8=10**8)
    said = cancelled(made, entry, 20)
    assert refusals(said) == ["TRADE_LOSS"] and entries(said) == []


@pytest.mark.parametrize("state", ["submitted", "canceling"])
def test_without_an_answer_the_instrument_stays_blocked_and_the_capital_reserved(state: str) -> None:
    made = desk()
    entry = made.enter(0, 50, 9_900, patience_s=1 if state == "canceling" else 3000, reprices=2)
    made.feed()
    reserved = int(made.head.reserved_e8)
    said = made.wait(2_500)
    assert entries(said) == [] and life.STATES[made.order(entry).status] == state
    assert made.head.reserved_e8 == reserved > 0 and made.head.pending_entries == 1
    made.quote(0, 9_999, 10_000)
    assert made.enter(0, 50, 9_900) == 0 and made.refused() == reasons.POSITION_OPEN


def test_random_markets_do_rest_reprice_and_take() -> None:
    seen = set()
    for seed in range(8):
        played = storm(seed, True)
        orders = played.of(PLACE)
        orders = orders[orders["role"] == ROLE_ENTRY]
        seen |= {(reasons.name(int(o["reason"])), int(o["tif"])) for o in orders}
        seen |= {"maker"} if (played.of(FILL)["bits"] & MAKER).any() else set()
        seen |= {"doubt"} if played.of(ORDER_UNKNOWN).size else set()
    assert {("ENTRY_SIGNAL", GTC), ("ENTRY_REPRICED", GTC), ("ENTRY_REPRICED", FOK), "maker", "doubt"} <= seen
