"""Self-trade prevention on USD-M, what a key may do there, and leverage with an isolated position."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from running_usdm import RunningUsdm

from engine.contracts import reasons
from engine.contracts.records import ORDER_EXPIRED, RECORD
from engine.sandbox.binance_usdm.shapes import event
from engine.sandbox.traders import OrderTold
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.codec import Codec


@pytest.fixture(scope="module")
def usdm() -> Iterator[RunningUsdm]:
    started = RunningUsdm(accounts=2)
    yield started
    started.stop()


@pytest.fixture
def told(usdm: RunningUsdm) -> Iterator[list[dict[str, Any]]]:
    """The order events of account 0, as the user stream would say them."""
    usdm.advance(30)
    trader, heard = usdm.futures.accounts.all[0], []

    def listener(one: Any) -> None:
        if isinstance(one, OrderTold):
            heard.append(event(usdm.futures, trader, one))

    trader.listeners.append(listener)
    yield heard
    trader.listeners.remove(listener)
    usdm.flatten()


def rest_ask(usdm: RunningUsdm, more_ticks: int = 0) -> tuple[int, str]:
    """A sell of ours at the best ask (or behind it): id and price."""
    tape = usdm.futures.by_name["BTCUSDT"]
    price = tape.price(tape.ask_ticks + more_ticks)
    status, placed = usdm.order("SELL", "LIMIT", quantity="0.002", price=price, timeInForce="GTC",
                                newClientOrderId="keel-12")  # fmt: skip
    assert status == 200 and placed["status"] == "NEW", placed
    return placed["orderId"], price


def states(told: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    return [(one["o"]["i"], one["o"]["x"], one["o"]["X"]) for one in told]


def test_the_maker_expires_and_the_taker_goes_on(usdm: RunningUsdm, told: list[dict[str, Any]]) -> None:
    maker, _ = rest_ask(usdm)
    status, taker = usdm.order("BUY", "MARKET", quantity="0.001")
    assert (status, taker["status"], taker["selfTradePreventionMode"]) == (200, "FILLED", "EXPIRE_MAKER")
    ended = usdm.ask("v1/order", symbol="BTCUSDT", orderId=maker)
    assert (ended["status"], float(ended["executedQty"])) == ("EXPIRED_IN_MATCH", 0)
    assert states(told)[:3] == [
        (maker, "NEW", "NEW"), (maker, "EXPIRED", "EXPIRED_IN_MATCH"), (taker["orderId"], "NEW", "NEW")
    ]  # fmt: skip
    assert told[1]["o"]["er"] == "1" and told[2]["o"]["er"] == "0"
    out: Any = np.zeros(4, RECORD)
    codec = Codec([usdm.futures.by_name["BTCUSDT"].instrument], ClientIds("keel"))
    assert codec.decode(json.dumps(told[1]).encode(), 1, out) == 1
    assert (out[0]["kind"], out[0]["reason"], out[0]["client_id"]) == (ORDER_EXPIRED, reasons.SELF_TRADE, 12)


def test_the_taker_expires_before_anything_fills(usdm: RunningUsdm, told: list[dict[str, Any]]) -> None:
    maker, price = rest_ask(usdm)
    _, taker = usdm.order("BUY", "LIMIT", quantity="0.001", price=price, timeInForce="GTC",
                          selfTradePreventionMode="EXPIRE_TAKER")  # fmt: skip
    assert (taker["status"], float(taker["executedQty"])) == ("EXPIRED_IN_MATCH", 0)
    assert states(told)[1:] == [(taker["orderId"], "NEW", "NEW"), (taker["orderId"], "EXPIRED", "EXPIRED_IN_MATCH")]
    assert [one["orderId"] for one in usdm.ask("v1/openOrders", symbol="BTCUSDT")] == [maker]


def test_both_expire_once_the_book_gave_what_it_had_before(usdm: RunningUsdm, told: list[dict[str, Any]]) -> None:
    tape = usdm.futures.by_name["BTCUSDT"]
    shown = tape.ask_lots
    maker, _ = rest_ask(usdm, more_ticks=1)
    _, taker = usdm.order("BUY", "MARKET", quantity=tape.quantity(shown + 100), selfTradePreventionMode="EXPIRE_BOTH")
    assert (taker["status"], taker["executedQty"]) == ("EXPIRED_IN_MATCH", tape.quantity(shown))
    assert usdm.ask("v1/order", symbol="BTCUSDT", orderId=maker)["status"] == "EXPIRED_IN_MATCH"
    assert usdm.ask("v1/openOrders", symbol="BTCUSDT") == []


def test_fok_has_no_mode_and_gtx_takes_nothing(usdm: RunningUsdm, told: list[dict[str, Any]]) -> None:
    maker, price = rest_ask(usdm)
    wanted = {"quantity": "0.001", "price": price}
    _, taker = usdm.order("BUY", "LIMIT", timeInForce="FOK", selfTradePreventionMode="EXPIRE_TAKER", **wanted)
    assert (taker["status"], taker["selfTradePreventionMode"]) == ("FILLED", "NONE")
    assert usdm.order("BUY", "LIMIT", timeInForce="GTX", **wanted)[1]["code"] == -5022
    assert usdm.ask("v1/order", symbol="BTCUSDT", orderId=maker)["status"] == "NEW"


def test_a_conditional_order_is_settled_as_what_it_becomes(usdm: RunningUsdm, told: list[dict[str, Any]]) -> None:
    maker, _ = rest_ask(usdm)
    tape = usdm.futures.by_name["BTCUSDT"]
    stop = usdm.algo("BUY", "STOP_MARKET", quantity="0.001", triggerPrice=tape.price(int(tape.ask_ticks * 1.1)),
                     selfTradePreventionMode="EXPIRE_TAKER")[1]  # fmt: skip
    assert stop["selfTradePreventionMode"] == "EXPIRE_TAKER"
    trader = usdm.futures.accounts.all[0]
    usdm.futures.algos.trigger(trader, trader.algos[stop["algoId"]])
    one = usdm.ask("v1/algoOrder", algoId=stop["algoId"])
    became = usdm.ask("v1/order", symbol="BTCUSDT", orderId=one["actualOrderId"])
    assert (one["algoStatus"], became["status"]) == ("FINISHED", "EXPIRED_IN_MATCH")
    assert usdm.ask("v1/order", symbol="BTCUSDT", orderId=maker)["status"] == "NEW"


def test_the_keys_right_to_withdraw_is_told(usdm: RunningUsdm) -> None:
    def told() -> tuple[bool, bool]:
        found = usdm.call("GET", "/sapi/v1/account/apiRestrictions")[1]
        return found["enableWithdrawals"], found["enableFutures"]

    assert told() == (False, True)
    usdm.tell("/rights", {"venue": "binance_usdm", "account": 0, "withdraw": True})
    assert told() == (True, True)
    usdm.tell("/rights", {"venue": "binance_usdm", "account": 0, "withdraw": False})
    assert told() == (False, True)


def test_leverage_is_not_lowered_under_an_isolated_position(usdm: RunningUsdm, told: list[dict[str, Any]]) -> None:
    def leverage(to: int) -> Any:
        return usdm.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=to)[1]

    assert usdm.call("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")[1]["code"] == 200
    leverage(5)
    usdm.order("BUY", "MARKET", quantity="0.001")
    assert leverage(3) == {
        "code": -4161, "msg": "Leverage reduction is not supported in Isolated Margin Mode with open positions."
    }  # fmt: skip
    assert leverage(6)["leverage"] == 6
    usdm.flatten()
    assert leverage(3)["leverage"] == 3
    assert usdm.call("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="CROSSED")[1]["code"] == 200
