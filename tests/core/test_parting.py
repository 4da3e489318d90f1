"""A part of a position leaves, the rest stays behind its stop: on spot and perpetuals, whatever the venue does."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import Desk
from streams import EAGER, SECOND_NS, Weather, instrument, perp, play, random_stream
from test_invariant_desk import Watched
from test_must_holds import check_books, check_losses, storm_terms
from test_shadow_books import Story

from engine.contracts import reasons
from engine.contracts.records import (
    CLOSED,
    FILL,
    IOC,
    ORDER_EXPIRED,
    ORDER_REJECT,
    ORDER_UNKNOWN,
    PLACE,
    REDUCE_ONLY,
    ROLE_EXIT,
    ROLE_STOP,
)
from engine.core import life
from engine.core.compile import kernel
from engine.core.limits import Limits
from engine.core.orders import PART_PAUSE_NS
from engine.core.parting import break_even_ticks, want_part
from engine.core.portfolio import stop_fill_ticks
from engine.runtime.shadow_guard import Guard

WIDE = {"max_data_age_s": 3600.0}
BOTH = pytest.mark.parametrize("one", [instrument(), perp()], ids=["spot", "perpetual"])


@kernel(entry=True)
def parting(s: Any, i: int, lots: int, ticks: int) -> tuple[bool, int, int]:
    """(asked for?, break-even, where a stop at break-even is assumed to fill)."""
    even = break_even_ticks(s, i)
    return want_part(s, i, lots, ticks), even, stop_fill_ticks(s, even, 1)


def opened(one: Any, lots: int = 80) -> Desk:
    """Bought at 10,000 behind a confirmed stop at 9,900, the price now 10,200."""
    made = Desk([one], **WIDE)
    made.open(0, lots, 10_000, 9_900)
    made.quote(0, 10_200, 10_201)
    return made


def ask(made: Desk, lots: int = 30, ticks: int = 10_190) -> bool:
    return bool(parting(made.state, 0, lots, ticks)[0])


def position(made: Desk) -> Any:
    return made.state.positions[0]


def sent(records: Any, role: int) -> list[tuple[int, int, int]]:
    """(lots, price or trigger, replaces) of the orders of a role."""
    rows = records[(records["kind"] == PLACE) & (records["role"] == role)]
    price = "price_ticks" if role == ROLE_EXIT else "trigger_ticks"
    return [(int(r["qty_lots"]), int(r[price]), int(r["ref_id"])) for r in rows]


def offered(one: Any) -> tuple[Desk, Any]:
    """The part is on its way; what was sent with it."""
    made = opened(one)
    assert ask(made)
    said = made.quote(0, 10_201, 10_202)
    if not one.kind == "perp":
        assert sent(said, ROLE_EXIT) == []
        said = made.ack(int(position(made).stop_id))
    return made, said


def test_spot_makes_the_stop_smaller_before_the_part_is_offered() -> None:
    made = opened(instrument())
    before = int(position(made).stop_id)
    assert ask(made)
    assert sent(made.quote(0, 10_201, 10_202), ROLE_STOP) == [(50, 9_900, before)]
    said = made.ack(int(position(made).stop_id))
    assert sent(said, ROLE_EXIT) == [(30, 10_190, 0)]
    order = made.order(int(position(made).exit_id))
    assert (order.tif, order.bits & REDUCE_ONLY, order.reason) == (IOC, REDUCE_ONLY, reasons.PARTIAL_EXIT)


def test_a_perpetual_keeps_its_whole_stop_until_the_part_has_left() -> None:
    made, said = offered(perp())
    assert sent(said, ROLE_STOP) == [] and sent(said, ROLE_EXIT) == [(30, 10_190, 0)]
    stop = int(position(made).stop_id)
    assert sent(made.fill(int(position(made).exit_id), 10_195, 30), ROLE_STOP) == [(50, 9_900, stop)]


@BOTH
def test_the_rest_stays_open_and_behind_its_stop(one: Any) -> None:
    made, _ = offered(one)
    said = made.fill(int(position(made).exit_id), 10_195, 30)
    p = position(made)
    assert (p.qty_lots, p.parted_lots, p.part_lots, p.exit_reason) == (50, 30, 0, 0)
    assert p.gross_e8 == 30 * 195 * 10**4 and (said["kind"] == CLOSED).sum() == 0
    if one.kind == "perp":
        made.ack(int(p.stop_id))
    stop = made.order(int(p.stop_id))
    assert stop.qty_lots - stop.filled_lots == 50 and p.naked_ns == 0
    assert sent(made.wait(600), ROLE_EXIT) == []
    assert sent(made.quote(0, 10_202, 10_203), ROLE_STOP) == []


@BOTH
@pytest.mark.parametrize("answer", [ORDER_EXPIRED, ORDER_REJECT])
def test_a_part_that_did_not_leave_goes_behind_the_stop_again(one: Any, answer: int) -> None:
    made, _ = offered(one)
    stop = int(position(made).stop_id)
    said = made.ack(int(position(made).exit_id), answer, reason=reasons.NO_LIQUIDITY)
    assert sent(said, ROLE_STOP) == ([] if one.kind == "perp" else [(80, 9_900, stop)])
    made.ack(int(position(made).stop_id))
    assert (position(made).part_lots, position(made).exit_reason, position(made).naked_ns) == (0, 0, 0)
    assert not ask(made), "not at once"
    made.wait(PART_PAUSE_NS / SECOND_NS)
    made.quote(0, 10_200, 10_201)
    assert ask(made)


def test_each_further_try_waits_longer() -> None:
    made, _ = offered(perp())
    pauses = []
    for _ in range(9):
        made.ack(int(position(made).exit_id), ORDER_EXPIRED)
        pauses.append((int(position(made).part_after_ns) - made.now_ns) // SECOND_NS)
        made.wait(pauses[-1])
        made.quote(0, 10_200, 10_201)
        assert ask(made)
        made.quote(0, 10_201, 10_202)
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 320, 320]


def test_a_part_that_filled_in_part_leaves_the_remainder_to_the_stop() -> None:
    made, _ = offered(instrument())
    exit_id, stop = int(position(made).exit_id), int(position(made).stop_id)
    assert sent(made.fill(exit_id, 10_190, 10), ROLE_STOP) == [], "20 are still on their way, 50 behind the stop"
    assert sent(made.ack(exit_id, ORDER_EXPIRED), ROLE_STOP) == [(70, 9_900, stop)]
    assert position(made).parted_lots == 10


def test_two_seconds_without_a_whole_stop_mean_that_all_of_it_leaves() -> None:
    made, _ = offered(instrument())
    made.ack(int(position(made).exit_id), ORDER_UNKNOWN)
    made.wait(2.1)
    assert position(made).exit_reason == reasons.NAKED_POSITION
    assert sent(made.wait(60), ROLE_EXIT) == [], "coins in doubt are not sold twice"
    stop = int(position(made).stop_id)
    assert sent(made.ack(int(position(made).exit_id), ORDER_EXPIRED), ROLE_EXIT) == [(80, 10_201, stop)]


@BOTH
def test_whoever_wants_all_of_it_waits_for_the_part_alone(one: Any) -> None:
    made, _ = offered(one)
    position(made).exit_reason = reasons.EXIT_SIGNAL
    assert sent(made.quote(0, 10_202, 10_203), ROLE_EXIT) == []
    stop = int(position(made).stop_id)
    said = made.fill(int(position(made).exit_id), 10_195, 30)
    assert sent(said, ROLE_EXIT) == [(50, 10_202, stop)]


def test_a_stop_that_takes_the_rest_meanwhile_leaves_the_part_on_its_way() -> None:
    made, _ = offered(instrument())
    exit_id = int(position(made).exit_id)
    assert sent(made.fill(int(position(made).stop_id), 9_900, 50), ROLE_STOP) == []
    said = made.fill(exit_id, 10_190, 30)
    assert position(made).qty_lots == 0 and said["reason"][said["kind"] == CLOSED].tolist() == [reasons.PARTIAL_EXIT]


def test_a_price_that_left_before_the_offer_is_none() -> None:
    made = opened(instrument())
    assert ask(made)
    made.quote(0, 10_201, 10_202)
    stop = int(position(made).stop_id)
    made.quote(0, 10_100, 10_101)
    said = made.ack(stop)
    assert sent(said, ROLE_EXIT) == [] and sent(said, ROLE_STOP) == [(80, 9_900, stop)]


@pytest.mark.parametrize(
    ("lots", "why"),
    [(0, "nothing"), (80, "all of it"), (81, "more"), (4, "too small a part"), (76, "too small a rest")],
)
def test_nothing_is_parted_that_could_not_be_sold(lots: int, why: str) -> None:
    made = opened(instrument())  # ten cents a lot and tick: an order must be worth five dollars
    made.state.instruments[0].min_notional_e8 = 5 * 10**8
    assert not ask(made, lots), why
    assert ask(made, 30)


def test_nothing_is_parted_while_something_else_is_under_way() -> None:
    for name, value in (("exit_reason", 104), ("exit_id", 77), ("entry_id", 77), ("part_lots", 3), ("doubts", 1)):
        made = opened(instrument())
        position(made)[name] = value
        assert not ask(made), name


@settings(max_examples=40, deadline=None)
@given(
    lots=st.integers(1, 3000), price=st.integers(50, 500_000), fee=st.sampled_from(["0", "0.0002", "0.001", "0.02"]),
    slippage=st.sampled_from([0.0, 15.0, 300.0]),
)  # fmt: skip
def test_a_stop_at_break_even_loses_nothing(lots: int, price: int, fee: str, slippage: float) -> None:
    one = instrument(taker_fee=Decimal(fee))
    made = Desk([one], stop_slippage_bps=slippage, **WIDE)
    p = position(made)
    p.qty_lots, p.side, p.cost_e8, p.stop_ticks = lots, 1, price * lots * 10**4, 1
    _, even, fills_at = parting(made.state, 0, 0, 1)
    back = fills_at * lots * 10**4
    paid = price * lots * 10**4
    assert back - paid - float(fee) * (back + paid) >= -1
    assert even <= price * (1 + float(fee)) / ((1 - float(fee)) * (1 - slippage / 1e4)) + 3, "and not far above"


# --- whole sessions -----------------------------------------------------------------------------------

STAGED = {"first_exit_share": 0.4, "first_target_r": 0.6, "target_r": 3.0, "trail_start_r": 2.0, "stop_atr": 1.5}


def staged(strategies: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {"momentum": strategies["momentum"] | STAGED}


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32))
def test_storms_leave_books_stops_and_losses_right(seed: int) -> None:
    stream, told, terms = storm_terms(seed)
    terms["strategies"] = staged(terms["strategies"])
    played = play(stream, told, **terms)
    check_books(played)
    check_losses(played, Limits(trade_loss_usd=50, day_loss_usd=100))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), doubts=st.sampled_from([0, 3]))
def test_the_invariant_monitor_never_alarms_and_doubts_sell_no_coin_twice(seed: int, doubts: int) -> None:
    markets = [instrument(fee_in_base=True), perp()]
    stream = random_stream(seed, markets, Weather(hours=15, volatility=0.003, jump_chance=0.005, ticks=seed % 2 == 0))
    story = Story(stream, strategies=staged(EAGER), doubts=doubts)
    story.play()
    assert story.session.found == {}
    assert story.monitor is not None and story.monitor.violations == []


def test_the_monitor_counts_a_part_on_its_way_for_that_part_only() -> None:
    made = Watched()
    made.ack(made.unprotected())
    assert ask(made, 20, 9_990)
    made.quote(0, 9_999, 10_000)
    made.ack(int(position(made).stop_id))
    assert made.look() == [] and position(made).exit_id != 0
    books = made.monitor.books
    guard, now_ns = Guard(books), made.now_ns
    assert guard.look(0, now_ns) == guard.look(0, now_ns + 9 * SECOND_NS) == ""
    books.orders[int(position(made).stop_id)].status = life.CANCELED
    assert guard.look(0, now_ns) == "" and "no confirmed stop" in guard.look(0, now_ns + 9 * SECOND_NS)


def test_parts_do_leave_and_the_rest_ends_without_a_loss() -> None:
    """Fees in base too, with lots so fine that none is broken whole for a fee. No stop is jumped over."""
    fine = {"lot_size": Decimal("0.000001"), "min_qty": Decimal("0.000001")}
    markets = [instrument("AAA"), perp("BBB"), instrument("CCC", fee_in_base=True, **fine)]
    parted = ended = 0
    for seed in range(6):
        played = play(random_stream(seed, markets, Weather(hours=40, volatility=0.002)), strategies=staged(EAGER))
        check_books(played)
        exits = played.of(PLACE)[played.of(PLACE)["reason"] == reasons.PARTIAL_EXIT]["client_id"]
        fills = played.of(FILL)[np.isin(played.of(FILL)["client_id"], exits)]
        for fill in fills:
            closed = played.of(CLOSED)
            later = closed[(closed["instrument"] == fill["instrument"]) & (closed["ts_ns"] >= fill["ts_ns"])]
            if len(later) and later[0]["reason"] == reasons.TRAILING_STOP:
                ended += 1
                assert later[0]["gross_e8"] - later[0]["fees_e8"] + later[0]["funding_e8"] > 0
        parted += len(fills)
    assert parted > 20 and ended > 5
