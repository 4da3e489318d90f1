"""What venues do to orders: races, doubts, duplicates, damage. Events in, exact commands and state out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import Desk
from streams import SECOND_NS, events, instrument, perp

from engine.contracts import reasons
from engine.contracts.records import (
    CANCEL,
    CANCEL_ACK,
    CANCEL_REJECT,
    CLOSED,
    DEPTH,
    FILL,
    MARK,
    NO_INSTRUMENT,
    OPERATOR,
    ORDER_ACK,
    ORDER_EXPIRED,
    ORDER_REJECT,
    ORDER_TRIGGERED,
    ORDER_UNKNOWN,
    PATH,
    PLACE,
    QUOTE,
    ROLE_EXIT,
    ROLE_STOP,
    TRADE,
    VIOLATION,
)
from engine.core import life
from engine.core.orders import ACTIVE, HALTED

WIDE = {"max_data_age_s": 3600.0}


def desk() -> Desk:
    made = Desk([instrument("AAA"), instrument("BBB")], **WIDE)
    made.quote(0, 9_999, 10_000)
    made.quote(1, 9_999, 10_000)
    return made


def commands(records):  # type: ignore[no-untyped-def]
    """(kind, role, side, lots, trigger, replaces) of the commands among records."""
    rows = records[(records["kind"] == PLACE) | (records["kind"] == CANCEL)]
    return [(int(r["kind"]), int(r["role"]), int(r["side"]), int(r["qty_lots"]), int(r["ref_id"])) for r in rows]


def violations(records) -> list[str]:  # type: ignore[no-untyped-def]
    return [reasons.name(int(r)) for r in records["reason"][records["kind"] == VIOLATION]]


def test_a_fill_before_its_ack_opens_the_position_and_its_stop() -> None:
    made = desk()
    entry = made.enter(0, 50, 9_900)
    made.feed()
    assert commands(made.fill(entry, 10_000, 50)) == [(PLACE, ROLE_STOP, -1, 50, 0)]
    assert not commands(made.ack(entry)) and made.order(entry).status == life.FILLED
    assert made.head.trading_state == ACTIVE and made.state.positions[0].qty_lots == 50


def test_a_repeated_ack_changes_nothing() -> None:
    made = desk()
    stop = made.open(0, 50, 10_000, 9_900)
    before = made.core.buffer.copy()
    assert not len(made.ack(stop))
    changed = (made.core.buffer != before).sum()
    assert changed <= 16, "only the sequence number and the clock move"


def test_a_late_fill_after_a_cancel_counts_and_is_protected() -> None:
    made = desk()
    entry = made.enter(0, 50, 9_900)
    made.ack(entry)
    made.ack(entry, CANCEL_ACK)
    assert made.head.reserved_e8 == 0 and made.head.pending_entries == 0
    assert commands(made.fill(entry, 10_000, 20)) == [(PLACE, ROLE_STOP, -1, 20, 0)]
    assert made.order(entry).status == life.CANCELED and made.head.trading_state == ACTIVE


def test_doubt_keeps_the_capital_and_blocks_new_risk_until_the_venue_speaks() -> None:
    made = desk()
    entry = made.enter(0, 50, 9_900)
    reserved = int(made.head.reserved_e8)
    made.ack(entry, ORDER_UNKNOWN)
    assert reserved > 0 and made.head.reserved_e8 == reserved and made.state.positions[0].doubts == 1
    assert made.enter(0, 50, 9_900) == 0 and made.refused() == reasons.ORDER_IN_DOUBT
    assert made.enter(1, 50, 9_900) > 0, "only the instrument in doubt is blocked"
    made.ack(entry, ORDER_EXPIRED)
    assert made.state.positions[0].doubts == 0
    assert made.enter(0, 50, 9_900) > 0


def test_doubt_that_ends_in_a_fill_is_protected() -> None:
    made = desk()
    entry = made.enter(0, 50, 9_900)
    made.ack(entry, ORDER_UNKNOWN)
    assert commands(made.fill(entry, 10_000, 50))[-1] == (PLACE, ROLE_STOP, -1, 50, 0)
    assert made.state.positions[0].doubts == 0


@pytest.mark.parametrize("told_before", [ORDER_ACK, ORDER_EXPIRED, ORDER_REJECT])
def test_a_request_that_timed_out_after_the_stream_had_answered_is_no_violation(told_before: int) -> None:
    made = desk()
    entry = made.enter(0, 50, 9_900)
    made.ack(entry, told_before)
    status = int(made.order(entry).status)
    assert violations(made.ack(entry, ORDER_UNKNOWN)) == []
    assert made.order(entry).status == status and made.state.positions[0].doubts == 0


def test_a_stop_filled_while_it_is_replaced_closes_once() -> None:
    made = desk()
    stop = made.open(0, 50, 10_000, 9_900)
    made.state.positions[0].stop_ticks = 9_950
    assert commands(made.quote(0, 10_019, 10_020)) == [(PLACE, ROLE_STOP, -1, 50, stop)]
    newer = int(made.state.positions[0].stop_id)
    made.ack(stop, ORDER_TRIGGERED)
    assert CLOSED in made.fill(stop, 9_899, 50)["kind"]
    assert commands(made.ack(newer, ORDER_REJECT, reason=reasons.REPLACED_ORDER_GONE)) == []
    p = made.state.positions[0]
    assert (p.qty_lots, p.stop_id, made.head.open_positions, made.head.trading_state) == (0, 0, 0, ACTIVE)


def test_a_refused_replacement_leaves_the_old_stop_in_charge() -> None:
    made = desk()
    stop = made.open(0, 50, 10_000, 9_900)
    made.state.positions[0].stop_ticks = 9_950
    made.quote(0, 10_019, 10_020)
    newer = int(made.state.positions[0].stop_id)
    made.ack(stop, CANCEL_REJECT)
    made.ack(newer, ORDER_REJECT, reason=reasons.MAX_ORDERS)
    p = made.state.positions[0]
    again = made.order(p.stop_id)
    assert again.role == ROLE_STOP and life.FREE < again.status < life.FIRST_DONE


def test_a_stop_refused_three_times_means_out_at_the_market() -> None:
    made = desk()
    entry = made.enter(0, 50, 9_900)
    made.fill(entry, 10_000, 50)
    for _ in range(3):
        said = made.ack(int(made.state.positions[0].stop_id), ORDER_REJECT, reason=reasons.MAX_ORDERS)
    assert commands(said) == [(PLACE, ROLE_EXIT, -1, 50, 0)]
    assert made.state.positions[0].exit_reason == reasons.NAKED_POSITION


def test_a_stop_behind_the_market_means_out_at_once() -> None:
    made = desk()
    entry = made.enter(0, 50, 9_900)
    made.fill(entry, 10_000, 50)
    said = made.ack(int(made.state.positions[0].stop_id), ORDER_REJECT, reason=reasons.WOULD_TRIGGER)
    assert commands(said) == [(PLACE, ROLE_EXIT, -1, 50, 0)]


def test_what_a_thin_book_left_of_a_stop_leaves_at_the_market() -> None:
    """Regression: the core first tried another stop, behind the market."""
    made = desk()
    stop = made.open(0, 50, 10_000, 9_900)
    made.ack(stop, ORDER_TRIGGERED)
    made.fill(stop, 9_899, 20)
    said = made.ack(stop, ORDER_EXPIRED, reason=reasons.NO_LIQUIDITY)
    assert commands(said) == [(PLACE, ROLE_EXIT, -1, 30, 0)]


def test_while_an_exit_waits_to_be_tried_again_the_stop_stands() -> None:
    """Regression: between two tries, up to a minute apart, nothing protected the position."""
    made = desk()
    stop = made.open(0, 50, 10_000, 9_900)
    made.state.positions[0].exit_reason = reasons.EXIT_SIGNAL
    assert commands(made.quote(0, 9_998, 10_000)) == [(PLACE, ROLE_EXIT, -1, 50, stop)]
    leaving = int(made.state.positions[0].exit_id)
    made.ack(stop, CANCEL_ACK)
    made.ack(leaving)
    assert commands(made.ack(leaving, ORDER_EXPIRED)) == [(PLACE, ROLE_STOP, -1, 50, 0)]
    made.ack(int(made.state.positions[0].stop_id))
    assert commands(made.quote(0, 9_998, 10_000, after_ns=10 * SECOND_NS))[0][:2] == (PLACE, ROLE_EXIT)


def test_a_late_exit_fill_that_turns_us_round_is_closed_again() -> None:
    made = Desk([perp()], **WIDE)
    stop = made.open(0, 50, 10_000, 9_900)
    made.state.positions[0].exit_reason = reasons.EXIT_SIGNAL
    made.quote(0, 9_998, 10_000)
    leaving = int(made.state.positions[0].exit_id)
    made.ack(stop, CANCEL_ACK)
    made.fill(leaving, 9_998, 50)
    said = made.fill(stop, 9_899, 50)
    assert made.state.positions[0].qty_lots == -50
    assert commands(said) == [(PLACE, ROLE_EXIT, 1, 50, 0)]
    assert made.state.positions[0].strategy == 0, "it belongs to nobody"


def test_an_emergency_catches_what_fills_after_it() -> None:
    """Regression: an entry in flight during an emergency opened a position that stayed."""
    made = desk()
    entry = made.enter(0, 50, 9_900)
    made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_EMERGENCY)
    assert commands(made.fill(entry, 10_000, 50))[-1][:4] == (PLACE, ROLE_EXIT, -1, 50)


@pytest.mark.parametrize("state", [reasons.OPERATOR_PAUSE, reasons.OPERATOR_REDUCE])
def test_pause_and_reduce_stop_entries_but_never_protection(state: int) -> None:
    made = desk()
    entry = made.enter(0, 50, 9_900)
    made.say(OPERATOR, NO_INSTRUMENT, reason=state)
    assert made.enter(1, 50, 9_900) == 0 and made.refused() == reasons.NOT_ACTIVE
    assert commands(made.fill(entry, 10_000, 50)) == [(PLACE, ROLE_STOP, -1, 50, 0)]
    made.say(OPERATOR, NO_INSTRUMENT, reason=reasons.OPERATOR_RESUME)
    assert made.enter(1, 50, 9_900) > 0


DAMAGE = {
    "fill of an order never sent": (
        {"kind": FILL, "client_id": 77, "price_ticks": 5, "qty_lots": 1}, "UNKNOWN_CLIENT_ID"
    ),
    "ack of an order never sent": ({"kind": ORDER_ACK, "client_id": 77}, "UNKNOWN_CLIENT_ID"),
    "negative client id": ({"kind": CANCEL_ACK, "client_id": -1}, "UNKNOWN_CLIENT_ID"),
    "no such instrument": ({"kind": FILL, "client_id": 1, "instrument": 9, "side": 1}, "BAD_EVENT"),
    "another instrument's ack": ({"kind": ORDER_ACK, "client_id": 1, "instrument": 1}, "BAD_EVENT"),
    "another instrument's fill": (
        {"kind": FILL, "client_id": 1, "instrument": 1, "side": 1, "price_ticks": 5, "qty_lots": 1}, "BAD_EVENT"
    ),
    "the wrong side": ({"kind": FILL, "client_id": 1, "side": -1, "price_ticks": 5, "qty_lots": 1}, "BAD_EVENT"),
    "no quantity": ({"kind": FILL, "client_id": 1, "side": 1, "price_ticks": 5}, "UNKNOWN_CLIENT_ID"),
    "a command as an event": ({"kind": PLACE, "client_id": 1}, "BAD_EVENT"),
    "operator gibberish": ({"kind": OPERATOR, "reason": 999}, "BAD_EVENT"),
    "a strategy that is not": ({"kind": 23, "reason": 40}, "BAD_EVENT"),
    "a parameter that is not": ({"kind": 23, "reason": 1, "index": 900}, "BAD_EVENT"),
    "a parameter out of bounds": ({"kind": 23, "reason": 1, "index": 4, "value_e9": 10**14}, "BAD_EVENT"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_from_the_venue_halts_and_moves_no_money(what: str) -> None:
    columns, expected = DAMAGE[what]
    made = desk()
    made.enter(0, 50, 9_900)
    money = (int(made.head.cash_e8), int(made.head.reserved_e8))
    made.now_ns += 1
    said = made.feed(events(1, ts_ns=made.now_ns, **columns))
    assert violations(said) == [expected] and made.head.trading_state == HALTED
    assert (made.head.cash_e8, made.head.reserved_e8) == money
    assert (made.state.positions["qty_lots"] == 0).all()


def test_a_fill_of_more_than_was_asked_for_counts_and_halts() -> None:
    made = desk()
    entry = made.enter(0, 50, 9_900)
    assert violations(made.fill(entry, 10_000, 60)) == ["OVERFILL"]
    assert made.state.positions[0].qty_lots == 60 and made.head.trading_state == HALTED


BAD_MARKET = {
    "crossed": {"kind": QUOTE, "bid_ticks": 10, "ask_ticks": 9},
    "locked": {"kind": QUOTE, "bid_ticks": 10, "ask_ticks": 10},
    "zero bid": {"kind": QUOTE, "bid_ticks": 0, "ask_ticks": 10},
    "negative size": {"kind": QUOTE, "bid_ticks": 10, "ask_ticks": 11, "bid_lots": -1},
    "absurd ask": {"kind": QUOTE, "bid_ticks": 10, "ask_ticks": 2**62},
    "zero trade": {"kind": TRADE, "price_ticks": 0, "qty_lots": 1},
    "negative trade": {"kind": TRADE, "price_ticks": -5, "qty_lots": 1},
    "absurd trade": {"kind": TRADE, "price_ticks": 2**62, "qty_lots": 1},
    "negative path": {"kind": PATH, "price_ticks": -5, "spread_ticks": 1},
    "negative depth": {"kind": PATH, "price_ticks": 50, "spread_ticks": 1, "depth_lots": -4},
    "sixth level": {"kind": DEPTH, "level": 5, "bid_ticks": 1, "ask_ticks": 2},
    "kind zero": {"kind": 0},
    "mark": {"kind": MARK, "price_ticks": -3},
}


@pytest.mark.parametrize("what", BAD_MARKET)
def test_bad_market_data_changes_neither_prices_nor_money(what: str) -> None:
    made = desk()
    made.open(0, 50, 10_000, 9_900)
    book = [int(made.state.books[0][k]) for k in ("bid_ticks", "ask_ticks", "last_ticks")]
    equity = int(made.head.unrealised_e8)
    said = _feed(made, BAD_MARKET[what])
    assert not len(said)
    assert [int(made.state.books[0][k]) for k in ("bid_ticks", "ask_ticks", "last_ticks")] == book
    assert made.head.unrealised_e8 == equity and made.head.trading_state == ACTIVE


def _feed(made: Desk, columns: dict[str, int]):  # type: ignore[no-untyped-def]
    made.now_ns += 1_000_000
    return made.feed(events(1, ts_ns=made.now_ns, instrument=0, **columns))


WORDS = st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 70) | st.sampled_from([0, 1, 10_000, 2**31, 2**53])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.lists(WORDS, min_size=5, max_size=5)), max_size=20))
def test_garbage_never_crashes_and_never_buys(rows: list[tuple[int, int, list[int]]]) -> None:
    made = Desk([instrument("AAA"), perp("BBB")], **WIDE)
    made.quote(0, 9_999, 10_000)
    made.enter(0, 50, 9_900)
    names = ("client_id", "price_ticks", "qty_lots", "trigger_ticks", "ref_id")
    for kind, i, words in rows:
        made.now_ns += 1_000_000
        columns = dict(zip(names, words, strict=True))
        made.feed(events(1, ts_ns=made.now_ns, kind=kind, instrument=i, side=1, **columns))
    entries = made.state.orders[(made.state.orders["role"] == 1) & (made.state.orders["client_id"] != 0)]
    assert len(entries) == 1
