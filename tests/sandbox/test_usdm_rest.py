"""The futures venue's REST, asked by hand: refusals, modes, conditional orders, money, budget."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from running_usdm import RunningUsdm


@pytest.fixture(scope="module")
def usdm() -> Iterator[RunningUsdm]:
    started = RunningUsdm(accounts=2)
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def flat(usdm: RunningUsdm) -> Iterator[None]:
    usdm.advance(30)  # a fresh book: what was taken of the old one is gone until the next quote
    yield
    usdm.flatten()


def limit(usdm: RunningUsdm, share: float, **params: Any) -> dict[str, Any]:
    return {"quantity": "0.01", "price": usdm.price(share), "timeInForce": "GTC"} | params


@pytest.mark.parametrize(
    ("kind", "params", "code"),
    [
        ("STOP_MARKET", {"quantity": "0.01", "stopPrice": "1"}, -4120),
        ("TAKE_PROFIT", {"quantity": "0.01", "stopPrice": "1", "price": "1"}, -4120),
        ("LIMIT_MAKER", {}, -1116),
        ("LIMIT", {"quantity": "0.01", "price": "1"}, -1102),
        ("LIMIT", {"quantity": "0.01", "price": "80000.001", "timeInForce": "GTC"}, -1111),
        ("MARKET", {"quantity": "0"}, -4003),
        ("MARKET", {"quantity": "100000"}, -4005),
        ("MARKET", {"quantity": "0.01", "positionSide": "LONG"}, -4061),
        ("MARKET", {"quantity": "0.01", "reduceOnly": "true"}, -2022),
        ("MARKET", {"quantity": "0.01", "newClientOrderId": "no spaces"}, -4015),
        ("MARKET", {"quantity": "4"}, -2019),
        ("MARKET", {"quantity": "0.00001"}, -4164),
    ],
)
def test_orders_are_refused_with_the_venues_codes(
    usdm: RunningUsdm, kind: str, params: dict[str, str], code: int
) -> None:
    status, found = usdm.order("BUY", kind, **params)
    assert (status, found["code"]) == (400, code)


def test_price_bands_and_post_only(usdm: RunningUsdm) -> None:
    assert usdm.order("BUY", "LIMIT", **limit(usdm, 1.5))[1]["code"] == -4016
    assert usdm.order("SELL", "LIMIT", **limit(usdm, 0.5))[1]["code"] == -4024
    assert usdm.order("BUY", "LIMIT", **limit(usdm, 1.01, timeInForce="GTX"))[1]["code"] == -5022
    assert usdm.order("BUY", "LIMIT", **limit(usdm, 0.9, timeInForce="GTX"))[1]["status"] == "NEW"


def test_fill_or_kill_leaves_no_trace_where_it_cannot_fill(usdm: RunningUsdm) -> None:
    before = usdm.ask("v1/allOrders", symbol="BTCUSDT")
    assert usdm.order("BUY", "LIMIT", **limit(usdm, 1.001, quantity="1", timeInForce="FOK"))[1]["code"] == -5021
    assert usdm.ask("v1/allOrders", symbol="BTCUSDT") == before
    wanted = limit(usdm, 1.001, quantity="0.001", timeInForce="FOK")
    assert usdm.order("BUY", "LIMIT", **wanted)[1]["status"] == "FILLED"


def test_an_unwanted_result_is_an_acknowledgement(usdm: RunningUsdm) -> None:
    status, found = usdm.order("BUY", "MARKET", quantity="0.01", newOrderRespType="ACK", newClientOrderId="ack")
    assert status == 200 and found["status"] == "NEW" and float(found["executedQty"]) == 0
    assert usdm.ask("v1/order", symbol="BTCUSDT", origClientOrderId="ack")["status"] == "FILLED"
    assert usdm.order("SELL", "MARKET", quantity="0.01", newClientOrderId="ack")[0] == 200  # free once it is done


def test_duplicate_ids_of_open_orders_are_refused(usdm: RunningUsdm) -> None:
    assert usdm.order("BUY", "LIMIT", **limit(usdm, 0.9, newClientOrderId="twin"))[0] == 200
    assert usdm.order("BUY", "LIMIT", **limit(usdm, 0.9, newClientOrderId="twin"))[1]["code"] == -4116


def test_hedge_mode_can_only_be_switched_on_while_flat(usdm: RunningUsdm) -> None:
    def switch(to: str) -> Any:
        return usdm.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition=to)[1]

    assert switch("false")["code"] == -4059
    usdm.order("BUY", "LIMIT", **limit(usdm, 0.9))
    assert switch("true")["code"] == -4067
    usdm.flatten()
    usdm.order("BUY", "MARKET", quantity="0.01")
    assert switch("true")["code"] == -4068
    usdm.flatten()
    assert switch("true")["code"] == 200 and usdm.ask("v1/positionSide/dual") == {"dualSidePosition": True}
    assert usdm.order("BUY", "MARKET", quantity="0.01")[1]["code"] == -4061
    assert usdm.algo("SELL", "STOP_MARKET", triggerPrice=usdm.price(0.9), closePosition="true")[1]["code"] == -4061
    assert switch("false")["code"] == 200


def test_margin_type_and_leverage(usdm: RunningUsdm) -> None:
    def margin(to: str) -> Any:
        return usdm.call("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType=to)[1]["code"]

    assert margin("CROSSED") == -4046
    usdm.order("BUY", "MARKET", quantity="0.01")
    assert margin("ISOLATED") == -4048
    (before,) = usdm.ask("v3/positionRisk", symbol="BTCUSDT")
    assert usdm.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=5)[1]["leverage"] == 5
    (after,) = usdm.ask("v3/positionRisk", symbol="BTCUSDT")
    assert float(after["initialMargin"]) > 3 * float(before["initialMargin"])
    assert float(after["liquidationPrice"]) < float(before["liquidationPrice"])
    assert usdm.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=21)[1]["code"] == -4028
    usdm.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=20)


def test_conditional_orders_are_invisible_elsewhere(usdm: RunningUsdm) -> None:
    usdm.order("BUY", "MARKET", quantity="0.01")
    status, stop = usdm.algo("SELL", "STOP_MARKET", triggerPrice=usdm.price(0.9), closePosition="true",
                             clientAlgoId="guard")  # fmt: skip
    assert status == 200 and stop["algoStatus"] == "NEW" and stop["orderType"] == "STOP_MARKET"
    assert usdm.ask("v1/openOrders") == [] == usdm.ask("v1/openOrders", symbol="BTCUSDT")
    named = {"symbol": "BTCUSDT", "origClientOrderId": "guard"}
    assert usdm.call("GET", "/fapi/v1/order", **named)[1]["code"] == -2013
    assert usdm.call("DELETE", "/fapi/v1/order", **named)[1]["code"] == -2011
    assert usdm.call("GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=stop["algoId"])[1]["code"] == -2013
    assert all(one["clientOrderId"] != "guard" for one in usdm.ask("v1/allOrders", symbol="BTCUSDT"))
    usdm.call("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
    assert [one["algoId"] for one in usdm.ask("v1/openAlgoOrders")] == [stop["algoId"]]
    assert usdm.ask("v1/algoOrder", clientAlgoId="guard") == stop
    gone = usdm.call("DELETE", "/fapi/v1/algoOrder", algoId=stop["algoId"])[1]
    assert gone == {"algoId": stop["algoId"], "clientAlgoId": "guard", "code": "200", "msg": "success"}
    assert usdm.call("DELETE", "/fapi/v1/algoOrder", algoId=stop["algoId"])[1]["code"] == -2011
    assert usdm.ask("v1/allAlgoOrders", symbol="BTCUSDT")[-1]["algoStatus"] == "CANCELED"


@pytest.mark.parametrize(
    ("side", "kind", "share", "params", "code"),
    [
        ("SELL", "STOP_MARKET", 1.1, {"quantity": "0.01"}, -2021),
        ("SELL", "TAKE_PROFIT_MARKET", 0.9, {"quantity": "0.01"}, -2021),
        ("SELL", "STOP_MARKET", 0.9, {"closePosition": "true"}, -4509),
        ("SELL", "STOP_MARKET", 0.9, {"quantity": "0.01", "reduceOnly": "true"}, -2022),
        ("SELL", "STOP", 0.9, {"quantity": "0.01"}, -1102),
        ("SELL", "STOP", 0.9, {"closePosition": "true", "price": "1"}, -4136),
        ("SELL", "STOP_MARKET", 0.9, {"closePosition": "true", "quantity": "0.01"}, -1106),
        ("SELL", "TRAILING_STOP_MARKET", 0.9, {"quantity": "0.01", "callbackRate": "20"}, -1130),
    ],
)
def test_conditional_orders_are_refused(
    usdm: RunningUsdm, side: str, kind: str, share: float, params: dict[str, str], code: int
) -> None:
    found = usdm.algo(side, kind, triggerPrice=usdm.price(share), **params)[1]
    assert found["code"] == code


def test_only_ten_may_wait(usdm: RunningUsdm) -> None:
    wanted = {"triggerPrice": usdm.price(0.9), "quantity": "0.01"}
    answers = [usdm.algo("SELL", "STOP_MARKET", **wanted)[1].get("code", 0) for _ in range(11)]
    assert answers == [0] * 10 + [-4045]
    assert usdm.call("DELETE", "/fapi/v1/algoOpenOrders", symbol="BTCUSDT")[1]["code"] == 200
    assert usdm.ask("v1/openAlgoOrders") == []


def test_funding_moves_money_and_the_next_payment(usdm: RunningUsdm) -> None:
    held = float(usdm.order("BUY", "MARKET", quantity="0.01")[1]["executedQty"])
    due = usdm.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")
    before = usdm.ask("v3/account")["totalWalletBalance"]
    usdm.fund("BTCUSDT", "0.001")
    paid = usdm.ask("v1/income", incomeType="FUNDING_FEE")[-1]
    assert float(paid["income"]) == pytest.approx(-held * float(due["markPrice"]) * 0.001)
    after = usdm.ask("v3/account")["totalWalletBalance"]
    assert float(after) - float(before) == pytest.approx(float(paid["income"]), abs=1e-8)
    later = usdm.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")
    assert later["nextFundingTime"] == due["nextFundingTime"] + 8 * 3_600_000
    assert usdm.get("/fapi/v1/fundingRate", symbol="BTCUSDT")[-1]["fundingRate"] == "0.00100000"


def test_candles_end_at_a_minute_and_at_fifteen_hundred(usdm: RunningUsdm) -> None:
    rows = usdm.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=1500)
    assert len(rows) >= 10 and rows == usdm.get("/fapi/v1/continuousKlines", pair="BTCUSDT", interval="1m", limit=5000)
    asked = {"symbol": "BTCUSDT", "interval": "1s"}
    assert usdm.call("GET", "/fapi/v1/klines", signed=False, **asked)[1]["code"] == -1120


def test_batches_answer_each_order(usdm: RunningUsdm) -> None:
    orders = (
        f'[{{"symbol":"BTCUSDT","side":"BUY","type":"LIMIT","timeInForce":"GTC","quantity":"0.01",'
        f'"price":"{usdm.price(0.9)}"}},{{"symbol":"BTCUSDT","side":"BUY","type":"STOP_MARKET"}}]'
    )
    status, found, _ = usdm.call("POST", "/fapi/v1/batchOrders", batchOrders=orders)
    assert status == 200 and found[0]["status"] == "NEW" and found[1]["code"] == -4120
    gone = usdm.call("DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", orderIdList=f"[{found[0]['orderId']},99]")[1]
    assert gone[0]["status"] == "CANCELED" and gone[1]["code"] == -2011


def test_a_countdown_cancels_the_symbols_orders_but_not_its_stops(usdm: RunningUsdm) -> None:
    usdm.order("BUY", "LIMIT", **limit(usdm, 0.9))
    usdm.algo("SELL", "STOP_MARKET", triggerPrice=usdm.price(0.9), quantity="0.01")
    told = usdm.call("POST", "/fapi/v1/countdownCancelAll", symbol="BTCUSDT", countdownTime=60_000)[1]
    assert told == {"symbol": "BTCUSDT", "countdownTime": "60000"}
    usdm.fault("A14", skew_ms=61_000)
    usdm.futures.on_clock()
    usdm.fault("A14", skew_ms=0)
    assert usdm.ask("v1/openOrders") == [] and len(usdm.ask("v1/openAlgoOrders")) == 1


def test_amendments_keep_the_order_and_a_refused_one_keeps_the_old(usdm: RunningUsdm) -> None:
    order = usdm.order("BUY", "LIMIT", **limit(usdm, 0.9))[1]
    wanted = {"symbol": "BTCUSDT", "orderId": order["orderId"], "side": "BUY", "quantity": "0.02"}
    same = {"quantity": "0.01", "price": order["price"]}
    assert usdm.call("PUT", "/fapi/v1/order", **wanted | same)[1]["code"] == -5027
    changed = usdm.call("PUT", "/fapi/v1/order", price=usdm.price(0.91), **wanted)[1]
    assert changed["orderId"] == order["orderId"] and changed["origQty"] == "0.02000"
    assert (
        usdm.call("PUT", "/fapi/v1/order", price=usdm.price(0.5), **wanted | {"quantity": "0.00001"})[1]["code"]
        == -4164
    )
    (still,) = usdm.ask("v1/openOrders")
    assert still["origQty"] == "0.02000" and still["status"] == "NEW"


def test_signatures_times_and_budget(usdm: RunningUsdm) -> None:
    status, found, headers = usdm.call("GET", "/fapi/v3/balance")
    assert status == 200 and found[0]["asset"] == "USDT" and int(headers["x-mbx-used-weight-1m"]) > 0
    key, _ = usdm.key()
    query = f"timestamp={int(time.time() * 1000)}&signature={'0' * 64}"
    assert usdm.raw("GET", "/fapi/v3/balance", query, {"X-MBX-APIKEY": key})[1]["code"] == -1022
    assert usdm.call("GET", "/fapi/v3/balance", timestamp=1)[1]["code"] == -1021
    assert usdm.raw("GET", "/fapi/v3/balance", query, {"X-MBX-APIKEY": "x" * 64})[1]["code"] == -2015
    headers = usdm.call("POST", "/fapi/v1/order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.001")[2]
    assert {"x-mbx-order-count-10s", "x-mbx-order-count-1m"} <= set(headers)


def test_listen_keys_need_the_key_only(usdm: RunningUsdm) -> None:
    key, _ = usdm.key()
    first = usdm.raw("POST", "/fapi/v1/listenKey", "", {"X-MBX-APIKEY": key})[1]["listenKey"]
    assert usdm.raw("POST", "/fapi/v1/listenKey", "", {"X-MBX-APIKEY": key})[1]["listenKey"] == first
    assert usdm.raw("PUT", "/fapi/v1/listenKey", "", {"X-MBX-APIKEY": key})[0] == 200
    other, _ = usdm.key(account=1)
    assert usdm.raw("PUT", "/fapi/v1/listenKey", "", {"X-MBX-APIKEY": other})[1]["code"] == -1125
