"""Order lists and take-profits: one promise of money, one winner, at once, whatever happens to either leg."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sandbox_exchange import coin, events, quote, trade

from engine.contracts import reasons
from engine.contracts.instruments import E8
from engine.sandbox.accounts import OrderList, Report
from engine.sandbox.clock import Clock
from engine.sandbox.exchange import Exchange, OrderRefused, Ticket
from engine.sandbox.faults import Fault


class Floor:
    """A customer who holds 5 AXO bought at 100.1; the last price is 100."""

    def __init__(self) -> None:
        self.exchange = Exchange([coin()], Clock(), 1, 10_000.0)
        self.account = self.exchange.accounts.all[0]
        self.play(quote(9_990, 10_010), trade(10_000, 1, 1))
        self.exchange.deposit(self.account, "AXO", 5 * E8)
        self.heard: list[str] = []
        self.account.listeners.append(self._hear)
        self.account.list_listeners.append(self._hear_list)

    def _hear(self, report: Report) -> None:
        self.heard.append(f"{report.order.client_order_id} {report.event} {report.order.status}")

    def _hear_list(self, one: OrderList) -> None:
        self.heard.append("list done" if one.is_done else "list begun")

    def said(self) -> list[str]:
        found = list(self.heard)
        self.heard.clear()
        return found

    def play(self, *rows: dict[str, int]) -> None:
        self.exchange.play(events(*rows))

    def ticket(self, name: str, kind: str, side: int, ticks: int, stop: int, lots: int = 500) -> Ticket:
        return Ticket(0, side, kind, "GTC", lots, ticks, stop, name)

    def protect(self, stop_kind: str = "STOP_LOSS", stop_ticks: int = 0) -> OrderList:
        legs = (
            self.ticket("high", "LIMIT_MAKER", -1, 10_500, 0), self.ticket("low", stop_kind, -1, stop_ticks, 9_500),
        )  # fmt: skip
        return self.exchange.place_list(self.account, legs, "list")

    def coins(self) -> tuple[int, int]:
        return self.exchange.balances(self.account)["AXO"]


BEGUN = ["list begun", "low NEW NEW", "high NEW NEW"]


def test_both_legs_sell_the_same_coins() -> None:
    floor = Floor()
    made = floor.protect()
    assert floor.coins() == (0, 5 * E8) and floor.said() == BEGUN
    assert [order.client_order_id for order in made.orders] == ["low", "high"]
    with pytest.raises(OrderRefused, match="INSUFFICIENT_BALANCE"):
        floor.exchange.place(floor.account, floor.ticket("x", "LIMIT", -1, 10_600, 0, 100))


def test_the_stop_triggers_and_the_limit_is_gone() -> None:
    floor = Floor()
    floor.protect()
    floor.said()
    floor.play(quote(9_480, 9_500), trade(9_490, 3, -1), quote(10_600, 10_620), trade(10_610, 900, 1))
    assert floor.said() == ["high EXPIRED EXPIRED", "low NEW NEW", "low TRADE FILLED", "list done"]
    assert floor.coins() == (0, 0) and floor.account.working == {}
    assert [fill.ticks for order in floor.account.orders.values() for fill in order.fills] == [9_480]


def test_a_partly_filled_limit_expires_the_stop() -> None:
    floor = Floor()
    floor.protect()
    floor.said()
    floor.play(trade(10_600, 200, 1), quote(9_480, 9_500), trade(9_490, 3, -1))
    assert floor.said() == ["high TRADE PARTIALLY_FILLED", "low EXPIRED EXPIRED"]
    assert floor.coins() == (0, 3 * E8)
    floor.play(trade(10_600, 900, 1))
    assert floor.said() == ["high TRADE FILLED", "list done"] and floor.coins() == (0, 0)


@pytest.mark.parametrize("leg", ["low", "high"])
def test_cancelling_either_leg_cancels_both(leg: str) -> None:
    floor = Floor()
    made = floor.protect()
    floor.said()
    order = next(one for one in made.orders if one.client_order_id == leg)
    floor.exchange.cancel(floor.account, order, "bye")
    other = "high" if leg == "low" else "low"
    assert floor.said() == [f"{leg} CANCELED CANCELED", f"{other} CANCELED CANCELED", "list done"]
    assert floor.coins() == (5 * E8, 0) and {one.cancel_id for one in made.orders} == {"bye"}


def test_a_cancel_that_meets_a_fill_is_refused_and_the_stop_is_gone() -> None:
    floor = Floor()
    made = floor.protect()
    floor.exchange.faults.arm(Fault("A6"))
    with pytest.raises(OrderRefused, match="UNKNOWN_ORDER"):
        floor.exchange.cancel(floor.account, made.orders[1], "bye")
    assert [order.status for order in made.orders] == ["EXPIRED", "FILLED"] and floor.coins() == (0, 0)


def test_a_stop_limit_rests_where_it_is_not_met() -> None:
    floor = Floor()
    made = floor.protect("STOP_LOSS_LIMIT", 9_450)
    floor.said()
    floor.play(quote(9_300, 9_320), trade(9_310, 3, -1))
    assert floor.said() == ["high EXPIRED EXPIRED", "low NEW NEW"] and floor.coins() == (0, 5 * E8)
    floor.play(trade(9_460, 200, 1))
    assert floor.said() == ["low TRADE PARTIALLY_FILLED"]
    floor.exchange.cancel(floor.account, made.orders[0], "")
    assert floor.said() == ["low CANCELED CANCELED", "list done"] and floor.coins() == (3 * E8, 0)


def test_two_legs_with_triggers() -> None:
    floor = Floor()
    legs = (floor.ticket("high", "TAKE_PROFIT", -1, 0, 10_500), floor.ticket("low", "STOP_LOSS", -1, 0, 9_500))
    floor.exchange.place_list(floor.account, legs, "list")
    assert floor.said() == ["list begun", "high NEW NEW", "low NEW NEW"] and floor.coins() == (0, 5 * E8)
    floor.play(quote(10_520, 10_540), trade(10_530, 3, 1), trade(9_000, 1, -1))
    assert floor.said() == ["low EXPIRED EXPIRED", "high NEW NEW", "high TRADE FILLED", "list done"]
    assert floor.coins() == (0, 0)


def test_a_list_to_buy_locks_the_dearer_leg() -> None:
    floor = Floor()
    legs = (
        floor.ticket("high", "STOP_LOSS_LIMIT", 1, 10_600, 10_500), floor.ticket("low", "LIMIT_MAKER", 1, 9_500, 0),
    )  # fmt: skip
    floor.exchange.place_list(floor.account, legs, "list")
    dearer = 500 * 10_600 * 10_000
    assert floor.exchange.balances(floor.account)["USDT"] == (10_000 * E8 - dearer, dearer)
    floor.play(quote(10_490, 10_510), trade(10_500, 1, 1))
    floor.play(quote(10_590, 10_610), trade(10_600, 1, 1))
    assert floor.exchange.balances(floor.account)["USDT"][1] == 0 and floor.coins()[0] > 9 * E8


def test_a_filter_that_tightened_does_not_stop_a_stop() -> None:
    floor = Floor()
    floor.protect()
    floor.exchange.change_filters(floor.exchange.tapes[0], 10_000 * E8, 50_000)
    floor.play(quote(9_480, 9_500), trade(9_490, 3, -1))
    assert floor.coins() == (0, 0)
    with pytest.raises(OrderRefused, match="LOT_SIZE"):
        floor.exchange.place(floor.account, floor.ticket("x", "LIMIT", 1, 9_000, 0, 100))


def test_a_take_profit_waits_for_its_price() -> None:
    floor = Floor()
    order = floor.exchange.place(floor.account, floor.ticket("tp", "TAKE_PROFIT_LIMIT", -1, 10_480, 10_500, 300))
    assert order.working_ms == -1 and floor.coins() == (2 * E8, 3 * E8)
    with pytest.raises(OrderRefused, match="WOULD_TRIGGER"):
        floor.exchange.place(floor.account, floor.ticket("tp2", "TAKE_PROFIT", -1, 0, 9_900, 100))
    floor.play(trade(10_499, 1, 1))
    assert floor.said() == ["tp NEW NEW"]
    floor.play(quote(10_490, 10_510), trade(10_500, 1, 1))
    assert floor.said() == ["tp NEW NEW", "tp TRADE FILLED"] and floor.coins() == (2 * E8, 0)


def test_a_refused_leg_leaves_nothing() -> None:
    floor = Floor()
    for high, low in ((10_500, 9_995), (13_000, 9_500)):
        legs = (floor.ticket("high", "LIMIT_MAKER", -1, high, 0), floor.ticket("low", "STOP_LOSS", -1, 0, low, 600))
        with pytest.raises(OrderRefused):
            floor.exchange.place_list(floor.account, legs, "list")
    assert floor.coins() == (5 * E8, 0) and floor.account.working == {} == floor.account.lists and floor.said() == []


def test_six_triggers_are_too_many_wherever_they_wait() -> None:
    floor = Floor()
    for number in range(5):
        kind, stop = ("STOP_LOSS", 9_000) if number % 2 else ("TAKE_PROFIT", 10_900)
        floor.exchange.place(floor.account, floor.ticket(f"s{number}", kind, -1, 0, stop, 50))
    for kind, stop in (("STOP_LOSS", 9_000), ("TAKE_PROFIT", 10_900)):
        with pytest.raises(OrderRefused) as refusal:
            floor.exchange.place(floor.account, floor.ticket("more", kind, -1, 0, stop, 50))
        assert refusal.value.reason == reasons.MAX_ORDERS


MOVES = st.lists(st.tuples(st.integers(9_300, 10_700), st.integers(1, 400), st.sampled_from([-1, 1])), max_size=40)


@settings(max_examples=80, deadline=None)
@given(MOVES, st.sampled_from(["STOP_LOSS", "STOP_LOSS_LIMIT"]), st.integers(1, 9))
def test_never_more_is_sold_than_there_was(moves: list[tuple[int, int, int]], kind: str, burst: int) -> None:
    floor = Floor()
    made = floor.protect(kind, 9_480 if kind.endswith("LIMIT") else 0)
    rows: list[Any] = [row for p, n, side in moves for row in (quote(p - 5, p + 5, n), trade(p, n, side))]
    for start in range(0, len(rows), burst):
        floor.play(*rows[start : start + burst])
        free, locked = floor.coins()
        sold = sum(order.executed_lots for order in made.orders)
        assert free >= 0 and locked >= 0 and free + locked == 5 * E8 - sold * 10**6
        assert sum(order.executed_lots > 0 for order in made.orders) <= 1
        assert locked == max((order.left_lots for order in made.orders if order.is_open), default=0) * 10**6
    assert made.is_done == (not any(order.is_open for order in made.orders))
    assert np.count_nonzero([line == "list done" for line in floor.heard]) == made.is_done
