"""Conversions: whatever is filled, nothing is lost or made."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import Desk
from triangles_desk import (
    BTC_USDC,
    CHEAP,
    CROSS,
    QUOTES,
    check_books,
    desk_of,
    end,
    fill,
    leg,
    notes,
    pairs,
    trading,
    working,
)

from engine.contracts import reasons
from engine.contracts import records as r
from engine.core import carrying, state
from engine.core import cycle_state as cycles
from engine.core.limits import Limits

FAMES = (300, 900, 1800)
STEP = st.tuples(st.sampled_from(["fill", "part", "miss", "reject", "doubt", "wait"]), st.integers(1, 99))


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(STEP, min_size=3, max_size=12), in_base=st.booleans(),
    fee=st.sampled_from(["0.001", "0", "-0.0001"]),
)  # fmt: skip
def test_books_hold_after_every_end_of_every_leg(steps: list[tuple[str, int]], in_base: bool, fee: str) -> None:
    desk = desk_of({"fee_in_base": in_base, "taker_fee": Decimal(fee)})
    desk.quote(CROSS, *CHEAP)
    for how, part in steps:
        if not working(desk):
            for i in QUOTES:
                desk.quote(i, *(CHEAP if i == CROSS else QUOTES[i]), after_ns=100_000_000)
        elif how == "fill":
            fill(desk)
        elif how == "part":
            fill(desk, max(int(leg(desk).qty_lots) * part // 100, 1))
        elif how == "miss":
            end(desk)
        elif how == "reject":
            end(desk, r.ORDER_REJECT)
        elif how == "doubt":
            end(desk, r.ORDER_UNKNOWN)
        else:
            desk.wait(part / 10)
        check_books(desk)
        assert len(working(desk)) <= 1
        assert desk.head.violations == 0 and desk.head.pending_risk_e8 == desk.state.cycle[0].risk_e8


def test_more_coins_than_there_are_is_a_violation() -> None:
    desk = desk_of()
    desk.quote(CROSS, *CHEAP)
    order = leg(desk)
    fill(desk)
    sale = leg(desk)  # of BTC, all there are
    desk.fill(int(sale.client_id), int(sale.price_ticks) * 2, int(sale.qty_lots))
    assert desk.head.violations == 1 and desk.head.trading_state == 2
    assert int(order.filled_lots) == int(order.qty_lots)


def test_coins_sold_by_the_watchdog_come_out_of_the_pot() -> None:
    desk = desk_of()
    desk.quote(CROSS, *CHEAP)
    fill(desk)
    end(desk, r.ORDER_UNKNOWN)
    pot = desk.state.pots[0]
    lots = int(pot.qty_e8) // int(desk.state.instruments[0].lot_base_e8)
    desk.say(r.FILL, 0, side=-1, price_ticks=5_000_000, qty_lots=lots, fee_e8=0, bits=r.ADOPTED)
    assert desk.state.positions[0].qty_lots == 0 and pot.qty_e8 < int(desk.state.instruments[0].lot_base_e8)
    check_books(desk)


def decisions(order: list[int], cut: int | None = None) -> list[tuple[object, ...]]:
    """What a scripted market makes of pairs listed in another order: every command, by symbol."""
    listed = [pairs()[k] for k in order]
    desk = Desk(listed, trading(), max_data_age_s=60)
    rng = random.Random(7)
    said: list[tuple[object, ...]] = []
    for k in range(200 if cut is None else cut):
        i = rng.randrange(5)
        bid, ask = (CHEAP if rng.random() < 0.3 else QUOTES[i]) if i == CROSS else QUOTES[i]
        made = desk.quote(order.index(i), bid, ask, after_ns=50_000_000)
        names = [listed[one["instrument"]].symbol for one in made[made["kind"] == r.PLACE]]
        said += [(k, name, int(one["price_ticks"]), int(one["qty_lots"]), int(one["side"]))
                 for name, one in zip(names, made[made["kind"] == r.PLACE], strict=True)]  # fmt: skip
        while working(desk):
            if rng.random() < 0.2:
                end(desk)
            else:
                fill(desk, max(int(leg(desk).qty_lots) * rng.randrange(30, 101) // 100, 1))
            said.append((k, len(working(desk)), int(desk.head.cash_e8), int(desk.head.fees_e8)))
    return said


@pytest.mark.parametrize("order", [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3]])
def test_the_order_of_symbols_changes_nothing(order: list[int]) -> None:
    whole = decisions([0, 1, 2, 3, 4])
    assert len(whole) > 10
    assert decisions(order) == whole


def test_the_future_changes_nothing() -> None:
    whole = decisions([0, 1, 2, 3, 4])
    for cut in (50, 90, 130):
        assert decisions([0, 1, 2, 3, 4], cut) == [one for one in whole if int(str(one[0])) < cut]


def take_over(desk: Desk, order: list[int]) -> None:
    """Another run goes on with the same account; its pairs are listed in another order."""
    listed = [pairs()[k] for k in order]
    new = state.new_core(listed, Limits(max_data_age_s=60), 1000.0, {}, FAMES)
    carrying.carry_over(desk.core, new, desk.now_ns)
    assert new.state.head[0].pending_risk_e8 == desk.head.pending_risk_e8
    desk.core, desk.state = new, new.state


def test_a_cycle_carried_over_is_unwound() -> None:
    desk = desk_of()
    desk.quote(CROSS, *CHEAP)
    fill(desk)
    cost = int(desk.state.pots[0].cost_e8)
    take_over(desk, [2, 1, 0])
    assert desk.state.cycle[0].stage == cycles.LEG, "the venue has not spoken"
    assert int(desk.state.pots[2].cost_e8) == cost > 0
    end(desk)  # the leg under way got nothing
    sale = leg(desk)
    assert (int(sale.instrument), int(sale.side)) == (2, -1)
    fill(desk)
    assert desk.state.cycle[0].stage == cycles.IDLE and desk.head.pending_risk_e8 == 0


@pytest.mark.parametrize("got", ["nothing", "a part", "all"])
@pytest.mark.parametrize("legs_done", [0, 1, 2])
def test_stablecoins_carried_over_go_back_as_well(legs_done: int, got: str) -> None:
    desk = desk_of()
    desk.quote(BTC_USDC, 4_900_000, 4_900_100)  # USDT -> USDC -> BTC -> USDT pays
    for _ in range(legs_done):
        fill(desk)
    risk = int(desk.head.pending_risk_e8)
    take_over(desk, [4, 3, 2, 1, 0])
    told = end(desk) if got == "nothing" else fill(desk, int(leg(desk).qty_lots) // 2 if got == "a part" else 0)
    while working(desk):
        assert desk.head.pending_risk_e8 == risk
        assert (int(leg(desk).instrument), int(leg(desk).side)) in ((1, -1), (4, -1)), "USDC and BTC are sold for USDT"
        told = fill(desk)
        check_books(desk)
    (note,) = notes(told, r.CYCLE)
    wanted = reasons.CYCLE_MISSED if (legs_done, got) == (0, "nothing") else reasons.CYCLE_UNWOUND
    assert note["reason"] == (reasons.CYCLE_DONE if legs_done == 2 and got != "nothing" else wanted)
    assert desk.state.cycle[0].stage == cycles.IDLE and desk.head.pending_risk_e8 == 0
    held = {name: int(desk.state.balances[k]) for k, name in enumerate(desk.core.assets)}
    assert held["USDC"] < 5 * 10**8 and held["BTC"] < 10**4, "less than an order may be worth"
