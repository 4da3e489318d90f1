"""Self-trade prevention on spot, over REST and as the user stream tells it; our own codec reads the events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from running_sandbox import Running

from engine.contracts import reasons
from engine.contracts.records import ORDER_EXPIRED, RECORD
from engine.sandbox.binance_spot.order_shapes import execution_report
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.codec import Codec


class Ear:
    """Everything the exchange tells account 0, as the user stream would."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.events: list[dict[str, Any]] = []
        self.account = running.exchange.accounts.all[0]

    def __call__(self, report: Any) -> None:
        self.events.append(execution_report(self.running.exchange, report))

    def told(self) -> list[tuple[int, str, str]]:
        return [(one["i"], one["x"], one["X"]) for one in self.events]


@pytest.fixture
def ear(running: Running) -> Iterator[Ear]:
    running.call("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")
    running.tell("/deposit", {"account": 0, "asset": "BTC", "amount": "1"})
    running.advance(20)  # nothing is taken of the book that stands then
    one = Ear(running)
    one.account.listeners.append(one)
    yield one
    one.account.listeners.remove(one)


def rest_ask(running: Running, quantity: str = "0.00300", more_ticks: int = 0) -> tuple[int, str]:
    """A sell of ours at the best ask (or behind it): id and price."""
    tape = running.exchange.by_name["BTCUSDT"]
    price = tape.price(tape.ask_ticks + more_ticks)
    name = f"keel-{np.random.default_rng().integers(1, 2**40)}"
    status, placed = running.order(
        "SELL", "LIMIT", quantity=quantity, price=price, timeInForce="GTC", newClientOrderId=name
    )
    assert status == 200 and placed["status"] == "NEW", placed
    return placed["orderId"], price


def shown(running: Running, order_id: int) -> Any:
    return running.call("GET", "/api/v3/order", symbol="BTCUSDT", orderId=order_id)[1]


def btc(running: Running) -> tuple[str, str]:
    rows = running.call("GET", "/api/v3/account")[1]["balances"]
    return next((one["free"], one["locked"]) for one in rows if one["asset"] == "BTC")


def test_the_maker_expires_and_the_taker_goes_on(running: Running, ear: Ear) -> None:
    maker, price = rest_ask(running)
    free, locked = btc(running)
    status, taker = running.order("BUY", "MARKET", quantity="0.00100")
    assert (status, taker["status"], taker["selfTradePreventionMode"]) == (200, "FILLED", "EXPIRE_MAKER")
    row = {"makerOrderId": maker, "price": price, "makerPreventedQuantity": "0.00300000"}
    assert [{k: v for k, v in one.items() if k != "preventedMatchId"} for one in taker["preventedMatches"]] == [row]
    ended = shown(running, maker)
    assert (ended["status"], ended["executedQty"]) == ("EXPIRED_IN_MATCH", "0.00000000")
    assert ended["preventedQuantity"] == "0.00300000"
    assert ended["preventedMatchId"] == taker["preventedMatches"][0]["preventedMatchId"]
    assert locked == "0.00300000" and btc(running)[1] == "0.00000000" and float(btc(running)[0]) > float(free)
    assert ear.told()[1:] == [
        (taker["orderId"], "NEW", "NEW"), (maker, "TRADE_PREVENTION", "EXPIRED_IN_MATCH"),
        (taker["orderId"], "TRADE", "FILLED"),
    ]  # fmt: skip
    event = ear.events[2]
    assert (event["A"], event["B"], event["U"], event["Cs"], event["l"], event["w"]) == (
        "0.00300000", "0.00300000", taker["orderId"], "BTCUSDT", "0.00000000", False
    )  # fmt: skip
    assert (event["v"], event["pl"], event["pL"]) == (ended["preventedMatchId"], "0.00100000", price)


def test_our_codec_reads_the_end_of_the_maker(running: Running, ear: Ear) -> None:
    maker, _ = rest_ask(running)
    running.order("BUY", "MARKET", quantity="0.00100")
    event = next(one for one in ear.events if one["x"] == "TRADE_PREVENTION")
    one = running.exchange.by_name["BTCUSDT"].instrument
    out: Any = np.zeros(4, RECORD)
    assert Codec([one], ClientIds("keel")).decode(json.dumps(event).encode(), 1, out) == 1
    assert (out[0]["kind"], out[0]["reason"], out[0]["venue_order_id"]) == (ORDER_EXPIRED, reasons.SELF_TRADE, maker)


def test_the_taker_expires_before_anything_fills(running: Running, ear: Ear) -> None:
    maker, price = rest_ask(running)
    _, taker = running.order("BUY", "LIMIT", quantity="0.00100", price=price, timeInForce="GTC",
                             selfTradePreventionMode="EXPIRE_TAKER", newOrderRespType="RESULT")  # fmt: skip
    assert (taker["status"], taker["executedQty"], taker["preventedQuantity"]) == (
        "EXPIRED_IN_MATCH", "0.00000000", "0.00100000"
    )  # fmt: skip
    assert shown(running, maker)["status"] == "NEW" and shown(running, taker["orderId"])["status"] == taker["status"]
    assert ear.told()[1:] == [
        (taker["orderId"], "NEW", "NEW"), (taker["orderId"], "TRADE_PREVENTION", "EXPIRED_IN_MATCH")
    ]  # fmt: skip
    assert len(running.call("GET", "/api/v3/openOrders", symbol="BTCUSDT")[1]) == 1


def test_the_taker_fills_what_the_book_gives_before_its_own_order(running: Running, ear: Ear) -> None:
    tape = running.exchange.by_name["BTCUSDT"]
    at_touch = tape.ask_lots
    maker, _ = rest_ask(running, more_ticks=1)
    quantity = tape.quantity(at_touch + 100)
    _, taker = running.order("BUY", "MARKET", quantity=quantity, selfTradePreventionMode="EXPIRE_BOTH")
    assert (taker["status"], taker["executedQty"]) == ("EXPIRED_IN_MATCH", tape.quantity(at_touch))
    assert taker["preventedQuantity"] == "0.00100000" and shown(running, maker)["status"] == "EXPIRED_IN_MATCH"
    assert [one[1:] for one in ear.told()[1:]] == [
        ("NEW", "NEW"), ("TRADE_PREVENTION", "EXPIRED_IN_MATCH"), ("TRADE", "PARTIALLY_FILLED"),
        ("TRADE_PREVENTION", "EXPIRED_IN_MATCH"),
    ]  # fmt: skip


def test_decrement_takes_the_smaller_quantity_from_both(running: Running, ear: Ear) -> None:
    maker, price = rest_ask(running)
    wanted = {"price": price, "timeInForce": "GTC", "selfTradePreventionMode": "DECREMENT", "newOrderRespType": "FULL"}
    _, small = running.order("BUY", "LIMIT", quantity="0.00100", **wanted)
    assert (small["status"], small["preventedQuantity"]) == ("EXPIRED_IN_MATCH", "0.00100000")
    rests = shown(running, maker)
    assert (rests["status"], rests["preventedQuantity"], btc(running)[1]) == ("NEW", "0.00100000", "0.00200000")
    _, large = running.order("BUY", "LIMIT", quantity="0.00300", **wanted)
    assert (large["preventedQuantity"], large["executedQty"], large["status"]) == (
        "0.00200000", "0.00100000", "FILLED"
    )  # fmt: skip
    ended = shown(running, maker)
    assert (ended["status"], ended["preventedQuantity"]) == ("EXPIRED_IN_MATCH", "0.00300000")
    assert btc(running)[1] == "0.00000000"


def test_none_lets_the_taker_pass_and_other_accounts_are_no_own_orders(running: Running, ear: Ear) -> None:
    maker, _ = rest_ask(running)
    _, taker = running.order("BUY", "MARKET", quantity="0.00100", selfTradePreventionMode="NONE")
    assert taker["status"] == "FILLED" and "preventedMatches" not in taker
    other = running.call("POST", "/api/v3/order", account=1, symbol="BTCUSDT", side="BUY", type="MARKET",
                         quantity="0.00100")[1]  # fmt: skip
    assert other["status"] == "FILLED" and shown(running, maker)["status"] == "NEW"
    body = running.order("BUY", "MARKET", quantity="0.00100", selfTradePreventionMode="TRANSFER")[1]
    assert body == {"code": -1013, "msg": "This symbol does not allow the specified self-trade prevention mode."}


def test_post_only_is_refused_where_it_would_take_an_own_order(running: Running, ear: Ear) -> None:
    _, price = rest_ask(running)
    for path in ("order", "order/test"):
        body = running.call("POST", f"/api/v3/{path}", symbol="BTCUSDT", side="BUY", type="LIMIT_MAKER",
                            quantity="0.00100", price=price)[1]  # fmt: skip
        assert body == {"code": -2010, "msg": "Order would immediately match and take."}


def test_one_order_of_a_list_takes_the_other_along(running: Running, ear: Ear) -> None:
    tape = running.exchange.by_name["BTCUSDT"]
    ask, low = tape.price(tape.ask_ticks + 1), tape.price(int(tape.bid_ticks * 0.9))
    made = running.call(
        "POST", "/api/v3/orderList/oco", symbol="BTCUSDT", side="SELL", quantity="0.00300", aboveType="LIMIT_MAKER",
        abovePrice=ask, belowType="STOP_LOSS", belowStopPrice=low,
    )[1]  # fmt: skip
    _, taker = running.order("BUY", "LIMIT", quantity=tape.quantity(tape.ask_lots + 100), price=ask, timeInForce="IOC")
    assert taker["preventedMatches"] and running.call("GET", "/api/v3/openOrderList")[1] == []
    states = sorted(shown(running, one["orderId"])["status"] for one in made["orders"])
    assert states == ["EXPIRED", "EXPIRED_IN_MATCH"] and btc(running)[1] == "0.00000000"


def test_what_was_prevented_can_be_asked_for(running: Running, ear: Ear) -> None:
    maker, price = rest_ask(running)
    taker = running.order("BUY", "MARKET", quantity="0.00100", selfTradePreventionMode="EXPIRE_BOTH")[1]["orderId"]

    def asked(**params: Any) -> Any:
        return running.call("GET", "/api/v3/myPreventedMatches", symbol="BTCUSDT", **params)[1]

    (one,) = asked(orderId=taker)
    assert one == {
        "symbol": "BTCUSDT", "preventedMatchId": one["preventedMatchId"], "takerOrderId": taker,
        "makerSymbol": "BTCUSDT", "makerOrderId": maker, "tradeGroupId": -1, "selfTradePreventionMode": "EXPIRE_BOTH",
        "price": price, "takerPreventedQuantity": "0.00100000", "makerPreventedQuantity": "0.00300000",
        "transactTime": one["transactTime"],
    }  # fmt: skip
    number = one["preventedMatchId"]
    assert asked(orderId=maker) == asked(preventedMatchId=number) == [one]
    assert asked(orderId=maker, fromPreventedMatchId=number + 1) == []
    assert asked()["code"] == -1128


def test_orders_of_the_minute_are_counted(running: Running) -> None:
    status, found, headers = running.call("GET", "/api/v3/rateLimit/order")
    assert status == 200 and [(one["interval"], one["intervalNum"], one["limit"]) for one in found] == [
        ("SECOND", 10, 100), ("DAY", 1, 200_000)
    ]  # fmt: skip
    before = found[1]["count"]
    running.order("BUY", "MARKET", quantity="0.00100")
    again = running.call("GET", "/api/v3/rateLimit/order")[1]
    assert again[1]["count"] == before + 1 and all(one["rateLimitType"] == "ORDERS" for one in again)
