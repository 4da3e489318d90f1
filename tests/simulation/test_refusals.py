"""Every refusal of the exchange, cancels, and cancel-replace."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from exchange_desk import Desk, perp, spot

from engine.contracts import records as r
from engine.simulation.filters import MAX_OPEN, MAX_STOPS_SPOT

L, S, SL = r.LIMIT_ORDER, r.STOP_MARKET, r.STOP_LIMIT


@pytest.mark.parametrize(
    ("side", "lots", "order", "reason"),
    [
        (r.BUY, 0, {}, "LOT_SIZE"),
        (r.BUY, 4, {}, "LOT_SIZE"),
        (r.BUY, 100_001, {}, "LOT_SIZE"),
        (r.BUY, 10, {"order_type": L, "price": 0}, "PRICE_FILTER"),
        (r.SELL, 10, {"order_type": S, "trigger": 0}, "PRICE_FILTER"),
        (r.SELL, 10, {"order_type": SL, "trigger": 9_900, "price": 0}, "PRICE_FILTER"),
        (r.BUY, 10, {"order_type": L, "price": 12_001}, "PERCENT_PRICE"),
        (r.BUY, 10, {"order_type": L, "price": 7_999}, "PERCENT_PRICE"),
        (r.SELL, 10, {"order_type": L, "price": 12_001}, "PERCENT_PRICE"),
        (r.SELL, 10, {"order_type": L, "price": 7_999}, "PERCENT_PRICE"),
        (r.SELL, 10, {"order_type": SL, "trigger": 9_900, "price": 7_999}, "PERCENT_PRICE"),
        (r.BUY, 5, {"order_type": L, "price": 9_999}, "MIN_NOTIONAL"),
        (r.SELL, 5, {}, "MIN_NOTIONAL"),  # market orders too: 5 lots at 99.99 are 4.9995
        (r.SELL, 5, {"bits": r.REDUCE_ONLY}, "MIN_NOTIONAL"),
        (r.SELL, 5, {"order_type": S, "trigger": 9_999}, "MIN_NOTIONAL"),
        (r.BUY, 10, {"order_type": L, "price": 10_001, "bits": r.POST_ONLY}, "WOULD_TAKE"),
        (r.SELL, 10, {"order_type": L, "price": 9_999, "bits": r.POST_ONLY}, "WOULD_TAKE"),
        (r.SELL, 10, {"order_type": S, "trigger": 10_000}, "WOULD_TRIGGER"),
        (r.BUY, 10_000, {}, "INSUFFICIENT_BALANCE"),
        (r.SELL, 101, {}, "INSUFFICIENT_BALANCE"),
        (r.SELL, 101, {"bits": r.REDUCE_ONLY}, "INSUFFICIENT_BALANCE"),
    ],
)
def test_refused(side: int, lots: int, order: dict[str, Any], reason: str) -> None:
    desk = Desk(spot(min_qty=Decimal("0.05"), max_qty=Decimal(1_000)), coins_lots=100)
    desk.quote(9_999, 10_001, 100_000, 100_000)
    before = desk.v.head.copy()
    desk.place(side, lots, **order)
    assert desk.answers() == [f"reject 1 {reason}"]
    assert desk.live() == []
    for name in ("cash_e8", "locked_e8", "margin_e8", "live_count"):
        assert desk.head[name] == before[0][name]


def test_on_the_edge_of_every_filter() -> None:
    desk = Desk(spot(min_qty=Decimal("0.05"), max_qty=Decimal(1_000)), cash=1_000_000, coins_lots=100)
    desk.quote(9_999, 10_001)
    for price in (8_000, 12_000):
        desk.limit(r.SELL if price > 10_000 else r.BUY, 10, price)
    desk.limit(r.BUY, 100_000, 8_000)
    desk.limit(r.BUY, 5, 10_000)
    desk.limit(r.BUY, 10, 10_000, bits=r.POST_ONLY)
    desk.stop(r.SELL, 10, 9_999)
    assert desk.answers() == [f"ack {k}" for k in range(1, 7)]


def test_no_quote_yet() -> None:
    desk = Desk()
    desk.place(r.BUY, 10)
    assert desk.answers() == ["reject 1 NO_LIQUIDITY"]


def test_perpetuals_bound_only_the_harmful_side_and_excuse_small_exits() -> None:
    desk = Desk(perp(), cash=100_000)
    desk.quote(9_999, 10_001)
    desk.limit(r.BUY, 10, 5_000)
    desk.limit(r.SELL, 10, 15_000)
    desk.limit(r.BUY, 10, 12_001)
    desk.limit(r.SELL, 10, 7_999)
    desk.place(r.BUY, 10)
    desk.place(r.SELL, 1)
    desk.place(r.SELL, 1, bits=r.REDUCE_ONLY)
    assert [a.split(" fee")[0] for a in desk.answers()] == [
        "ack 1", "ack 2", "reject 3 PERCENT_PRICE", "reject 4 PERCENT_PRICE", "ack 5", "fill 5 10@10001",
        "reject 6 MIN_NOTIONAL", "ack 7", "fill 7 1@9999",
    ]  # fmt: skip


def test_open_orders_are_counted_per_instrument() -> None:
    desk = Desk(spot(), spot("BREN/USDT"), cash=1_000_000)
    for i in (0, 1):
        desk.quote(9_999, 10_001, instrument=i)
    for _ in range(MAX_OPEN):
        desk.limit(r.BUY, 10, 9_000)
    desk.answers()
    desk.limit(r.BUY, 10, 9_000)
    desk.limit(r.BUY, 10, 9_000, instrument=1)
    assert desk.answers() == ["reject 201 MAX_ORDERS", "ack 202"]


def test_stops_waiting_are_counted_apart() -> None:
    desk = Desk(coins_lots=1_000)
    desk.quote(9_999, 10_001)
    for _ in range(MAX_STOPS_SPOT + 1):
        desk.stop(r.SELL, 10, 9_000)
    desk.limit(r.SELL, 10, 11_000)
    assert desk.answers()[-3:] == ["ack 5", "reject 6 MAX_ORDERS", "ack 7"]


def test_client_ids_are_unique_among_open_orders() -> None:
    desk = Desk()
    desk.quote(9_999, 10_001)
    desk.limit(r.BUY, 10, 9_000, client_id=7)
    desk.limit(r.BUY, 20, 9_000, client_id=7)
    desk.cancel(7)
    desk.limit(r.BUY, 30, 9_000, client_id=7)
    assert desk.answers() == ["ack 7", "reject 7 DUPLICATE_CLIENT_ID", "cancel_ack 7", "ack 7"]


def test_cancel_of_what_is_not_there() -> None:
    desk = Desk(spot(), spot("BREN/USDT"))
    desk.quote(9_999, 10_001)
    desk.place(r.BUY, 10)
    desk.cancel(1)
    desk.cancel(99)
    desk.limit(r.BUY, 10, 9_000)
    desk.cancel(2, instrument=1)
    assert [a for a in desk.answers() if "fill" not in a] == [
        "ack 1", "cancel_reject 1 UNKNOWN_ORDER", "cancel_reject 99 UNKNOWN_ORDER", "ack 2",
        "cancel_reject 2 UNKNOWN_ORDER",
    ]  # fmt: skip


def replacing(**changes: Any) -> tuple[Desk, list[str]]:
    desk = Desk(coins_lots=100)
    desk.quote(9_999, 10_001)
    desk.stop(r.SELL, 100, 9_800)
    desk.answers()
    order = {"side": r.SELL, "lots": 100, "order_type": r.STOP_MARKET, "trigger": 9_900, "replaces": 1} | changes
    desk.place(**order)
    return desk, [a.split(" fee")[0] for a in desk.answers()]


def test_replace_cancels_then_places() -> None:
    desk, answers = replacing()
    assert answers == ["cancel_ack 1", "ack 2"]
    assert desk.live() == [2] and desk.holding.locked_lots == 100


def test_replace_by_a_market_order() -> None:
    desk, answers = replacing(order_type=r.MARKET)
    assert answers == ["cancel_ack 1", "ack 2", "fill 2 100@9999"]
    assert desk.live() == [] and desk.holding.locked_lots == 0


def test_replace_stopped_by_a_filter_keeps_the_old_order() -> None:
    desk, answers = replacing(lots=4)
    assert answers == ["cancel_reject 1 MIN_NOTIONAL", "reject 2 MIN_NOTIONAL"]
    assert desk.live() == [1] and desk.holding.locked_lots == 100


@pytest.mark.parametrize(
    ("changes", "reason"), [({"trigger": 10_000}, "WOULD_TRIGGER"), ({"lots": 101}, "INSUFFICIENT_BALANCE")]
)
def test_replace_refused_by_the_desk_has_lost_the_old_order(changes: dict[str, int], reason: str) -> None:
    desk, answers = replacing(**changes)
    assert answers == ["cancel_ack 1", f"reject 2 {reason}"]
    assert desk.live() == [] and desk.holding.locked_lots == 0


@pytest.mark.parametrize("changes", [{"replaces": 5}, {"replaces": 1, "instrument": 1}])
def test_replace_of_what_is_gone_places_nothing(changes: dict[str, int]) -> None:
    desk = Desk(spot(), spot("BREN/USDT"), coins_lots=100)
    for i in (0, 1):
        desk.quote(9_999, 10_001, instrument=i)
    desk.stop(r.SELL, 50, 9_800)
    desk.stop(r.SELL, 50, 9_900, client_id=2, **changes)
    assert desk.answers() == ["ack 1", "reject 2 REPLACED_ORDER_GONE"]
    assert desk.live() == [1]
