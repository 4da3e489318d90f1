"""Cycles of three legs: what each leg's end leads to, what is left, and what it may cost."""

from __future__ import annotations

import math
from typing import Any

import pytest
from triangles_desk import (
    BTC,
    BTC_USDC,
    CHEAP,
    CROSS,
    ETH,
    QUOTES,
    USDC,
    check_books,
    desk_of,
    end,
    fill,
    leg,
    notes,
    working,
)

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.errors import BadInput
from engine.core import cycle_state as cycles
from engine.core.strategies.arbitrage import STRATEGY


def begun(**params: float) -> Any:
    """A desk whose cycle USDT -> BTC -> ETH -> USDT has just sent its first leg."""
    desk = desk_of(**params)
    desk.quote(CROSS, *CHEAP)
    first = leg(desk)
    assert (int(first.instrument), int(first.side)) == (BTC, 1)
    return desk


def test_three_legs_bring_home_more_than_went_out() -> None:
    desk = begun()
    assert desk.head.pending_risk_e8 == desk.state.cycle[0].risk_e8 > 0
    fill(desk)
    assert (int(leg(desk).instrument), int(leg(desk).side)) == (CROSS, 1)
    check_books(desk)
    fill(desk)
    assert (int(leg(desk).instrument), int(leg(desk).side)) == (ETH, -1)
    assert desk.head.gross_e8 == 0, "no profit is booked between coins"
    said = fill(desk)
    check_books(desk)
    (closed,) = notes(said, r.CLOSED)
    (outcome,) = notes(said, r.OUTCOME)
    assert outcome.trade_no == closed.trade_no and outcome.strategy == STRATEGY.number
    assert outcome.r_e9 == math.floor((closed.gross_e8 - closed.fees_e8) / closed.risk_e8 * 1e9) > 0
    assert desk.state.expectancy[STRATEGY.number]["trades"].sum() == 1 == desk.state.climate[0].cycles
    (cycle,) = notes(said, r.CYCLE)
    assert closed["reason"] == cycle["reason"] == reasons.CYCLE_DONE
    assert closed["gross_e8"] - closed["fees_e8"] == desk.head.gross_e8 - desk.head.fees_e8 > 0
    assert 150e5 < cycle["realised_e9"] <= cycle["quoted_e9"] < 250e5
    assert desk.head.pending_risk_e8 == desk.head.reserved_e8 == 0
    assert desk.state.cycle[0].stage == cycles.IDLE and not working(desk)


def test_a_quiet_market_is_left_alone() -> None:
    desk = desk_of(min_edge_bps=0.1, decay_bps=0.0)
    for i, (bid, ask) in QUOTES.items():
        assert not len(notes(desk.quote(i, bid, ask), r.PLACE))


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("how", [r.ORDER_EXPIRED, r.ORDER_REJECT])
def test_a_leg_that_gets_nothing_turns_the_cycle_back(failing: int, how: int) -> None:
    desk = begun()
    bound = int(desk.state.cycle[0].risk_e8)
    for _ in range(failing):
        fill(desk)
    said = end(desk, how)
    if failing:
        back = leg(desk)
        assert int(back.side) == -1 and int(back.instrument) == (BTC if failing == 1 else ETH)
        check_books(desk)
        said = fill(desk)
    (cycle,) = notes(said, r.CYCLE)
    assert cycle["reason"] == (reasons.CYCLE_UNWOUND if failing else reasons.CYCLE_MISSED)
    net = desk.head.gross_e8 - desk.head.fees_e8
    assert -bound <= net and (failing or net == 0)
    assert desk.head.pending_risk_e8 == 0 and desk.state.cycle[0].stage == cycles.IDLE
    check_books(desk)
    small = desk.state.instruments["min_notional_e8"][BTC]
    assert (desk.state.pots["cost_e8"] < small).all(), "nothing is left but dust"


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_part_goes_on_and_the_rest_is_sold(failing: int) -> None:
    desk = begun()
    for _ in range(failing):
        fill(desk)
    fill(desk, int(leg(desk).qty_lots) // 3)
    for _ in range(8):
        check_books(desk)
        if not working(desk):
            break
        fill(desk)
    assert desk.state.cycle[0].stage == cycles.IDLE
    small = desk.state.instruments["min_notional_e8"][BTC]
    assert (desk.state.pots["cost_e8"] < small).all(), "nothing is left but dust"


@pytest.mark.parametrize("doubtful", [0, 1, 2, 3])
def test_a_leg_in_doubt_is_waited_for(doubtful: int) -> None:
    desk = begun()
    for _ in range(min(doubtful, 2)):
        fill(desk)
    if doubtful == 3:
        end(desk)  # the order in doubt is then the sale of what is left
    order = leg(desk)
    client_id = int(order.client_id)
    desk.ack(client_id, r.ORDER_UNKNOWN)
    assert not len(notes(desk.wait(30), r.PLACE)), "nothing is sent while the venue has not spoken"
    for i in QUOTES:
        desk.quote(i, *QUOTES[i])
    assert [int(one.client_id) for one in working(desk)] == [client_id]
    fill(desk)
    for _ in range(4):
        check_books(desk)
        if working(desk):
            fill(desk)
    assert desk.state.cycle[0].stage == cycles.IDLE and desk.head.pending_risk_e8 == 0


def test_what_is_left_is_sold_at_the_market_in_the_end() -> None:
    desk = begun()
    fill(desk)
    desk.quote(BTC, 4_900_000, 4_900_100)  # two per cent below what was paid
    end(desk)
    assert not working(desk), "not for that, while there is patience"
    said = desk.wait(10)
    (sale,) = notes(said, r.PLACE)
    assert sale["order_type"] == r.MARKET and sale["instrument"] == BTC
    end(desk)
    assert len(notes(desk.wait(2), r.PLACE)) == 1, "tried again"
    said = fill(desk, ticks=4_900_000)
    assert desk.state.cycle[0].stage == cycles.IDLE
    check_books(desk)
    (closed,) = notes(said, r.CLOSED)
    assert closed["reason"] == reasons.CYCLE_UNWOUND and closed["gross_e8"] < 0


def test_an_emergency_sells_at_once_and_sends_no_further_leg() -> None:
    desk = begun()
    first = leg(desk)
    desk.say(r.OPERATOR, r.NO_INSTRUMENT, reason=reasons.OPERATOR_EMERGENCY)
    assert [int(one.client_id) for one in working(desk)] == [int(first.client_id)]
    fill(desk)
    sale = leg(desk)
    assert (int(sale.instrument), int(sale.side), int(sale.order_type)) == (BTC, -1, r.LIMIT_ORDER)
    end(desk)
    assert int(leg(desk).order_type) == r.MARKET
    said = fill(desk, ticks=5_000_000)
    (closed,) = notes(said, r.CLOSED)
    assert closed["reason"] == reasons.EMERGENCY_EXIT
    desk.quote(CROSS, *CHEAP)
    assert not working(desk), "nothing new while trading is halted"
    check_books(desk)


def test_stablecoins_left_over_go_back_where_they_came_from() -> None:
    desk = desk_of()
    desk.quote(BTC_USDC, 4_900_000, 4_900_100)  # USDT -> USDC -> BTC -> USDT pays
    first = leg(desk)
    assert (int(first.instrument), int(first.side)) == (USDC, 1)
    fill(desk)
    assert int(leg(desk).instrument) == BTC_USDC
    end(desk)
    back = leg(desk)
    assert (int(back.instrument), int(back.side)) == (USDC, -1)
    fill(desk)
    assert desk.state.cycle[0].stage == cycles.IDLE
    check_books(desk)


def test_dust_is_kept_at_cost_and_swept_when_it_is_worth_an_order() -> None:
    desk = begun()
    fill(desk)
    fill(desk, int(leg(desk).qty_lots) - 200)  # 0.002 ETH or 4 USD of BTC stay: too little to sell
    fill(desk)
    assert desk.state.cycle[0].stage == cycles.IDLE and not working(desk)
    kept = int(desk.state.pots[BTC].cost_e8)
    assert 3e8 < kept < 5e8
    desk.quote(BTC, 9_000_000, 9_000_100)
    sale = leg(desk)
    assert (int(sale.instrument), int(sale.side)) == (BTC, -1)
    (closed,) = notes(fill(desk, ticks=9_000_000), r.CLOSED)
    assert closed["reason"] == reasons.POT_SWEPT and closed["gross_e8"] > 0
    check_books(desk)


def test_a_book_that_was_taken_from_is_not_believed_again() -> None:
    desk = begun()
    for _ in range(3):
        fill(desk)
    desk.quote(ETH, *QUOTES[ETH])
    assert not working(desk), "BTC and ETH/BTC have not been heard since"
    desk.quote(CROSS, *CHEAP)
    desk.quote(BTC, *QUOTES[BTC])
    assert len(working(desk)) == 1


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_positions": 1.0}, 0),
        ({"orders_per_minute": 2.0}, reasons.ORDER_RATE),
        ({"reserve_usd": 999.0, "reserve_pct": 0.0}, reasons.RESERVE),
        ({"exposure_usd": 5.0}, reasons.EXPOSURE),
        ({"max_spread_bps": 0.5}, reasons.SPREAD_TOO_WIDE),
        ({"trade_loss_usd": 0.05}, reasons.TRADE_LOSS),
    ],
)
def test_the_gate_is_the_one_of_any_entry(limits: dict[str, float], reason: int) -> None:
    desk = desk_of(limits=limits)
    said = desk.quote(CROSS, *CHEAP)
    assert [int(one["reason"]) for one in notes(said, r.REFUSED)] == ([reason] if reason else [])
    assert len(working(desk)) == (0 if reason else 1)


def test_no_cycle_through_a_stablecoin_off_its_dollar() -> None:
    desk = desk_of()
    said = desk.quote(USDC, 9_900, 9_901)
    desk.quote(BTC_USDC, 4_900_000, 4_900_100)
    assert {int(one["reason"]) for one in notes(said, r.REFUSED)} == {reasons.DEPEGGED}
    assert not working(desk)
    desk.quote(CROSS, *CHEAP)
    assert int(leg(desk).instrument) == BTC, "the way without it is open"


def test_size_keeps_the_loss_within_its_share() -> None:
    desk = begun(share=0.1)
    assert 0.9e8 < int(desk.state.cycle[0].risk_e8) <= 1e8


def test_shadow_comes_first_and_comes_back() -> None:
    desk = desk_of(shadow_cycles=2, judged_cycles=1, leg_ms=10)
    for _ in range(2):
        desk.quote(CROSS, *QUOTES[CROSS], after_ns=2_000_000_000)
        for i in (BTC, ETH):
            desk.quote(i, *QUOTES[i])
        desk.quote(CROSS, *CHEAP)
        assert not working(desk)
        said = desk.wait(1)
        shadow = notes(said, r.CYCLE)
        assert shadow[0]["bits"] == r.SHADOW and shadow[0]["realised_e9"] > 0
    assert shadow[-1]["reason"] == reasons.SHADOW_PASSED
    for i in (BTC, ETH):
        desk.quote(i, *QUOTES[i], after_ns=1_000_000_000)
    desk.quote(CROSS, *CHEAP)
    fill(desk)
    end(desk)
    said = fill(desk)
    assert notes(said, r.CYCLE)[-1]["reason"] == reasons.BACK_TO_SHADOW
    assert not desk.state.arbitrage[0].is_trading


@pytest.mark.parametrize(
    "given", [{"min_edge_bps": 0.0}, {"share": 2.0}, {"unwind_bps": float("nan")}, {"shadow_cycles": 2.5}, {"edge": 1}]
)
def test_absurd_parameters_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        STRATEGY.resolve(given)


def test_every_end_of_an_order_has_a_row() -> None:
    outcomes = range(len(cycles.OUTCOMES))
    assert set(cycles.AFTER) == {(stage, one) for stage in (cycles.LEG, cycles.UNWIND) for one in outcomes}
