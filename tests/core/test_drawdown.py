"""The fall from the peak: what no entry may risk, stops that follow the peak, and what a person's word forgives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import Desk, planned_loss, refusal
from streams import DAY_NS, events, instrument, perp
from triangles_desk import CHEAP, CROSS, desk_of, working

from engine.contracts import reasons
from engine.contracts import records as r
from engine.core.limits import BOUNDS
from engine.core.orders import ACTIVE, REDUCING

E8 = 10**8
WIDE: dict[str, float] = {
    "max_data_age_s": 60, "order_notional_usd": 900, "instrument_exposure_usd": 900, "exposure_usd": 2000,
    "cluster_exposure_usd": 2000, "reserve_usd": 0, "reserve_pct": 0, "day_loss_usd": 100, "day_loss_pct": 10,
    "trade_loss_usd": 100, "trade_loss_pct": 10,
}  # fmt: skip
"""Every other limit is out of the way."""


def desk(*instruments: Any, **limits: float) -> Desk:
    made = Desk(list(instruments) or [instrument("AAA"), instrument("BBB")], **(WIDE | limits))
    for i in range(len(made.core.instruments)):
        made.quote(i, 9_999, 10_000)  # 100 USD; a lot is 1 USD
    return made


def floor_e8(made: Desk) -> int:
    """Equity at which the limit is reached."""
    peak, pct = int(made.head.peak_e8), int(made.state.limits[0].drawdown_pct)
    return peak - peak // 10_000 * pct // 100


def worst_e8(made: Desk) -> int:
    """Equity with all stops hit and all pending entries stopped out, summed up here."""
    head = made.head
    book = head.deposits_e8 + head.gross_e8 - head.fees_e8 + head.funding_e8
    return int(book + made.state.positions["at_stop_e8"].sum() - made.state.orders["risk_e8"].sum())


def notes(said: Any, kind: int, reason: int) -> list[Any]:
    return [one for one in said if one.kind == kind and one.reason == reason]


def resume(made: Desk) -> Any:
    return made.say(r.OPERATOR, r.NO_INSTRUMENT, reason=reasons.OPERATOR_RESUME)


def pause(made: Desk) -> Any:
    return made.say(r.OPERATOR, r.NO_INSTRUMENT, reason=reasons.OPERATOR_PAUSE)


# --- the gate -------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(
    pct=st.floats(0.3, 5.0), fell=st.floats(0.0, 0.9), opened=st.integers(0, 300), pending=st.integers(0, 300),
    stop=st.integers(9_000, 9_990),
)  # fmt: skip
def test_the_gate_leaves_the_worst_case_above_the_limit_and_no_more_room_than_that(
    pct: float, fell: float, opened: int, pending: int, stop: int
) -> None:
    """Whatever was lost since the peak, is open and is pending: most lots that pass, and one more that does not."""
    made = desk(instrument("AAA"), instrument("BBB"), instrument("CCC"), drawdown_pct=pct)
    made.head.peak_e8 = int(1000 * E8 / (1 - fell * pct / 100))
    if opened >= 6 and refusal(made.state, 1, 1, 10_010, opened, 9_950, 1) == 0:
        made.open(1, opened, 10_000, 9_950)
    if pending >= 6 and refusal(made.state, 2, 1, 10_010, pending, 9_950, 1) == 0:
        assert made.enter(2, pending, 9_950)
    made.quote(0, 9_999, 10_000)
    left = worst_e8(made) - floor_e8(made)
    assert made.head.open_positions + made.head.pending_entries == 0 or left > 0
    fits = [n for n in range(6, 851) if planned_loss(made.state, 0, 1, 10_010, n, stop) < left]
    others = {reasons.RESERVE, reasons.EXPOSURE, reasons.NOTIONAL_BELOW_MINIMUM}
    if fits:
        assert refusal(made.state, 0, 1, 10_010, fits[-1], stop, 1) in {0} | others
    if len(fits) < 845:
        more = fits[-1] + 1 if fits else 6
        assert refusal(made.state, 0, 1, 10_010, more, stop, 1) in {reasons.DRAWDOWN_ROOM} | others


def test_a_cycle_is_cut_to_what_is_left_below_the_peak() -> None:
    bounds = []
    for fell in (0.0, 0.8, 0.98):
        made = desk_of(limits={"drawdown_pct": 1.0})
        made.head.peak_e8 = int(1000 * E8 / (1 - fell / 100))
        left = worst_e8(made) - floor_e8(made)
        made.quote(CROSS, *CHEAP)
        bounds.append(int(made.head.pending_risk_e8))
        assert 0 < bounds[-1] < left
    assert bounds[0] > bounds[1] > bounds[2]


def test_no_cycle_begins_at_the_limit_and_entries_stop() -> None:
    made = desk_of(limits={"drawdown_pct": 1.0})
    made.head.peak_e8 = 1000 * E8 * 100 // 99
    said = made.quote(CROSS, *CHEAP)
    assert notes(said, r.REFUSED, reasons.DRAWDOWN_ROOM) and notes(said, r.STATE, reasons.DRAWDOWN_LIMIT)
    assert not working(made) and made.head.trading_state == REDUCING


# --- used up --------------------------------------------------------------------------------------


def used_up() -> Desk:
    """Flat, lost 8 of the 10 USD that it may fall; the last entry did not fit."""
    made = desk(drawdown_pct=1.0)
    stop = made.open(0, 600, 10_000, 9_900)
    made.fill(stop, 9_866, 600)
    assert made.head.open_positions == 0 and made.head.trading_state == ACTIVE
    assert made.enter(0, 600, 9_900) == 0
    return made


def test_where_nothing_is_open_and_an_entry_does_not_fit_entries_stop_and_that_is_told() -> None:
    made = used_up()
    said = made.feed()
    (note,) = notes(said, r.STATE, reasons.DRAWDOWN_LIMIT)
    assert (note.index, note.value_e9) == (ACTIVE, REDUCING) and r.EQUITY in said["kind"]
    (refused,) = notes(said, r.REFUSED, reasons.DRAWDOWN_ROOM)
    assert refused.measured_e8 >= refused.limit_e8 == worst_e8(made) - floor_e8(made) > 0
    assert r.GAP not in said["kind"], "nothing was lost that was not planned"


def test_a_person_who_resumes_then_begins_a_new_peak() -> None:
    made = used_up()
    peak = int(made.head.peak_e8)
    resume(made)
    assert made.head.trading_state == ACTIVE and made.head.peak_e8 == worst_e8(made) < peak
    assert made.enter(0, 600, 9_900)


def test_a_pause_and_a_resume_give_no_room() -> None:
    """Not even just before it is used up."""
    made = desk(drawdown_pct=1.0)
    stop = made.open(0, 600, 10_000, 9_900)
    made.fill(stop, 9_866, 600)
    peak = int(made.head.peak_e8)
    for _ in range(3):
        pause(made)
        assert made.enter(0, 600, 9_900) == 0
        resume(made)
        made.quote(0, 9_999, 10_000, after_ns=DAY_NS)
    assert made.head.peak_e8 == peak and made.enter(0, 600, 9_900) == 0
    assert made.head.trading_state == REDUCING, "the next one that does not fit is told"


def test_while_something_is_open_an_entry_that_does_not_fit_is_only_refused() -> None:
    made = desk(drawdown_pct=1.0)
    made.open(0, 600, 10_000, 9_900)
    made.quote(1, 9_999, 10_000)
    assert made.enter(1, 300, 9_900) == 0 and made.refused() == reasons.DRAWDOWN_ROOM
    assert made.head.trading_state == ACTIVE
    assert made.enter(1, 100, 9_900), "a smaller one fits"


def test_a_new_peak_by_profit_forgets_what_was_used_up() -> None:
    made = used_up()
    made.head.trading_state = ACTIVE
    assert made.head.fallen != 0
    stop = made.open(0, 50, 10_000, 9_900)
    made.quote(0, 14_999, 15_000)
    made.fill(stop, 14_990, 50)
    peak = int(made.head.peak_e8)
    assert made.head.fallen == 0
    pause(made)
    resume(made)
    assert made.head.peak_e8 == peak


# --- what is open follows the peak ----------------------------------------------------------------


def test_as_the_peak_rises_the_stop_comes_nearer_and_the_winner_stays() -> None:
    made = desk(drawdown_pct=1.0)
    stop = made.open(0, 600, 10_000, 9_900)
    said = made.quote(0, 10_099, 10_100)
    p = made.state.positions[0]
    assert p.exit_reason == 0 and 9_900 < p.stop_ticks < 10_099
    assert worst_e8(made) > floor_e8(made)
    (sent,) = [one for one in said if one.kind == r.PLACE]
    assert (sent.role, sent.trigger_ticks, sent.ref_id) == (r.ROLE_STOP, p.stop_ticks, stop)
    assert sent.reason == reasons.TRAILING_STOP


def test_a_short_is_followed_too() -> None:
    made = desk(perp("PPP"), drawdown_pct=1.0)
    entry = made.enter(0, 600, 10_100, side=-1)
    made.fill(entry, 9_999, 600)
    made.ack(int(made.state.positions[0].stop_id))
    made.quote(0, 9_899, 9_900)
    p = made.state.positions[0]
    assert p.exit_reason == 0 and 9_900 < p.stop_ticks < 10_100 and worst_e8(made) > floor_e8(made)


def test_the_stop_does_not_move_with_every_tick() -> None:
    made = desk(drawdown_pct=1.0)
    made.open(0, 600, 10_000, 9_900)
    moved = 0
    for ticks in range(10_001, 10_400):
        for one in made.quote(0, ticks - 1, ticks):
            if one.kind == r.PLACE:
                moved += 1
                made.ack(int(one.client_id))
        assert worst_e8(made) > floor_e8(made)
    assert 5 < moved < 60


def test_who_has_most_to_give_back_gives_way() -> None:
    made = desk(drawdown_pct=2.0)
    made.open(0, 600, 10_000, 9_900)
    made.open(1, 200, 10_000, 9_900)
    made.quote(0, 10_249, 10_250)
    assert made.state.positions[0].stop_ticks > 9_900 == made.state.positions[1].stop_ticks
    assert worst_e8(made) > floor_e8(made)


@settings(max_examples=60)
@given(
    steps=st.lists(st.tuples(st.integers(0, 2), st.integers(-80, 100)), min_size=5, max_size=40),
    pct=st.sampled_from([0.7, 1.0, 3.0]),
)
def test_however_prices_go_the_worst_case_stays_above_the_limit(steps: list[tuple[int, int]], pct: float) -> None:
    """Three positions; a stop that the price reaches fills where it stands, before the price is heard."""
    made = desk(*(instrument(name) for name in ("AAA", "BBB", "CCC")), drawdown_pct=pct)
    mids = [10_000] * 3
    for i in range(3):
        if refusal(made.state, i, 1, 10_010, 150, 9_900, 1) == 0:
            made.open(i, 150, 10_000, 9_900)
    for i, step in steps:
        mids[i] += step
        p = made.state.positions[i]
        if p.qty_lots and mids[i] - 1 <= p.stop_ticks:
            made.fill(int(p.stop_id), int(p.stop_ticks), int(p.qty_lots))
        for one in made.quote(i, mids[i] - 1, mids[i]):
            if one.kind == r.PLACE and one.role == r.ROLE_STOP:
                made.ack(int(one.client_id))
        staying = made.state.positions["exit_reason"][made.state.positions["qty_lots"] != 0]
        assert made.head.fallen == 0 and (worst_e8(made) > floor_e8(made) or (staying != 0).all())
    assert made.head.trading_state == ACTIVE


def test_funding_that_takes_the_room_brings_the_stop_nearer() -> None:
    made = desk(perp("PPP"), drawdown_pct=1.0)
    made.open(0, 600, 10_000, 9_905)
    left = worst_e8(made) - floor_e8(made)
    said = made.feed(events(1, ts_ns=made.now_ns, kind=r.FUNDING, instrument=0, amount_e8=-left - 1, rate_e12=10**9))
    assert made.state.positions[0].stop_ticks > 9_905 and worst_e8(made) > floor_e8(made)
    assert r.GAP not in said["kind"]


def test_where_no_stop_can_help_the_position_leaves() -> None:
    """A fill far behind another's stop took the room; what is open has less to lose than is missing."""
    made = desk(drawdown_pct=1.0)
    first = made.open(0, 200, 10_000, 9_900)
    made.open(1, 100, 10_000, 9_900)
    made.fill(first, 9_500, 200)
    p = made.state.positions[1]
    assert p.exit_reason == reasons.DRAWDOWN_EXIT
    assert made.order(int(p.exit_id)).role == r.ROLE_EXIT


# --- passed ---------------------------------------------------------------------------------------


def test_a_price_beyond_the_stops_that_passes_the_limit_is_listed_once() -> None:
    made = desk(drawdown_pct=1.0)
    made.open(0, 600, 10_000, 9_900)
    said = made.quote(0, 9_799, 9_800)
    (gap,) = notes(said, r.GAP, reasons.GAP_DRAWDOWN)
    assert gap.instrument == r.NO_INSTRUMENT and gap.loss_e8 == 1_206 * 10**6  # 600 USD marked at 97.99
    assert gap.planned_e8 == 10 * E8 and made.head.trading_state == REDUCING
    assert not notes(made.quote(0, 9_698, 9_699), r.GAP, reasons.GAP_DRAWDOWN)


def test_it_is_listed_in_any_trading_state() -> None:
    made = desk(drawdown_pct=1.0)
    made.open(0, 600, 10_000, 9_900)
    pause(made)
    said = made.quote(0, 9_799, 9_800)
    assert notes(said, r.GAP, reasons.GAP_DRAWDOWN) and r.STATE not in said["kind"]


def test_after_it_one_word_of_a_person_is_enough() -> None:
    """Regression: where equity came back above the limit, the old peak stood and nothing could be entered."""
    made = desk(drawdown_pct=1.0)
    stop = made.open(0, 600, 10_000, 9_900)
    made.quote(0, 9_799, 9_800)
    made.fill(stop, 9_900, 600)
    assert worst_e8(made) > floor_e8(made) and made.head.trading_state == REDUCING
    resume(made)
    assert made.head.peak_e8 == worst_e8(made)
    made.quote(0, 9_999, 10_000)
    assert made.enter(0, 600, 9_900)


def test_a_tighter_limit_is_no_gap() -> None:
    made = desk(drawdown_pct=3.0)
    made.open(0, 450, 10_000, 9_900)
    made.open(1, 450, 10_000, 9_900)
    made.quote(0, 9_909, 9_910)
    said = made.say(r.LIMIT, r.NO_INSTRUMENT, index=list(BOUNDS).index("drawdown_pct"), amount_e8=4_000)
    assert r.GAP not in said["kind"] and notes(said, r.STATE, reasons.DRAWDOWN_LIMIT)
    leaving = made.state.positions["exit_reason"]
    assert set(leaving.tolist()) == {reasons.DRAWDOWN_EXIT}, "no stop keeps equity above where it has fallen already"


def test_money_taken_out_is_no_gap() -> None:
    made = desk(drawdown_pct=1.0)
    stop = made.open(0, 600, 10_000, 9_900)
    made.fill(stop, 9_866, 600)
    usdt = made.core.assets.index("USDT")
    said = made.say(r.BALANCE, r.NO_INSTRUMENT, index=usdt, amount_e8=-500 * E8)
    assert r.GAP not in said["kind"] and notes(said, r.STATE, reasons.DRAWDOWN_LIMIT)


@pytest.mark.parametrize("pct", [5.0, 100.0])
def test_a_fresh_account_has_its_room(pct: float) -> None:
    made = desk(drawdown_pct=pct)
    assert made.enter(0, 300, 9_900) == 1 and made.head.trading_state == ACTIVE
