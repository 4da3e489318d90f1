"""REST v3 by hand: Binance's own words for everything that is wrong, and every order type."""

from __future__ import annotations

import time
from typing import Any

import pytest
from running_sandbox import Running

MISSING = "Mandatory parameter '{}' was not sent, was empty/null, or malformed."
PRICE = r"Illegal characters found in parameter 'price'; legal range is '^([0-9]{1,20})(\.[0-9]{1,20})?$'."


def touch(running: Running) -> tuple[float, float]:
    found = running.get("/api/v3/ticker/bookTicker", symbol="BTCUSDT")
    return float(found["bidPrice"]), float(found["askPrice"])


def at(price: float) -> str:
    return f"{price:.2f}"


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"symbol": "XXX"}, -1121, "Invalid symbol."),
        ({"symbol": ""}, -1105, "Parameter 'symbol' was empty."),
        ({"side": "HOLD"}, -1117, "Invalid side."),
        ({"type": "GUESS"}, -1116, "Invalid orderType."),
        ({"trailingDelta": "100"}, -2010, "Trailing stop orders are not supported for this symbol."),
        ({"timeInForce": "SOON"}, -1115, "Invalid timeInForce."),
        ({"timeInForce": None}, -1102, MISSING.format("timeInForce")),
        ({"quantity": None}, -1102, MISSING.format("quantity")),
        ({"price": None}, -1102, MISSING.format("price")),
        ({"price": "1e5"}, -1100, PRICE),
        ({"price": "-5"}, -1100, PRICE),
        ({"price": "1.123456789"}, -1111, "Parameter 'price' has too much precision."),
        ({"stopPrice": "5"}, -1106, "Parameter 'stopPrice' sent when not required."),
        ({"price": "80000.001"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": "0"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": "99999999999.00"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"quantity": "0.000001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "9999999"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0.00001"}, -1013, "Filter failure: NOTIONAL"),
        ({"quantity": "900"}, -1013, "Filter failure: NOTIONAL"),
        ({"price": "20000.00"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        ({"quantity": "1"}, -2010, "Account has insufficient balance for requested action."),
        ({"side": "SELL"}, -2010, "Account has insufficient balance for requested action."),
        ({"icebergQty": "0.1"}, -2010, "Iceberg orders are not supported for this symbol."),
        ({"newOrderRespType": "LONG"}, -1130, "Data sent for parameter 'newOrderRespType' is not valid."),
    ],
)
def test_a_bad_order_is_refused_in_the_exchanges_words(
    running: Running, params: dict[str, Any], code: int, message: str
) -> None:
    good = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    wanted = good | {"price": at(touch(running)[0] * 0.9)} | params
    sent = {name: value for name, value in wanted.items() if value is not None}
    for path in ("/api/v3/order", "/api/v3/order/test"):
        status, body, headers = running.call("POST", path, account=1, **sent)
        assert (status, body) == (400, {"code": code, "msg": message})
        assert "simulated" in headers["x-keel-sandbox"]
    assert running.call("GET", "/api/v3/openOrders", account=1)[1] == []


def test_who_is_asking_is_checked_in_order(running: Running) -> None:
    key, _ = running.key()
    now = int(time.time() * 1000)
    path, header = "/api/v3/account", {"X-MBX-APIKEY": key}
    cases: list[tuple[str, dict[str, str], int, int, str]] = [
        ("", {}, 401, -2014, "API-key format invalid."),
        ("", {"X-MBX-APIKEY": "f" * 64}, 401, -2015, "Invalid API-key, IP, or permissions for action."),
        ("", header, 400, -1102, MISSING.format("timestamp")),
        (f"timestamp={now}", header, 400, -1102, MISSING.format("signature")),
        (f"timestamp={now}&recvWindow=70000&signature=x", header, 400, -1131, "recvWindow must be less than 60000"),
        (f"timestamp={now - 9000}&signature=x", header, 400, -1021,
         "Timestamp for this request is outside of the recvWindow."),
        (f"timestamp={now + 9000}&signature=x", header, 400, -1021,
         "Timestamp for this request was 1000ms ahead of the server's time."),
        (f"timestamp={now}&signature=xyz", header, 400, -1100,
         "Illegal characters found in parameter 'signature'; legal range is '^[A-Fa-f0-9]{64}$'."),
        (f"timestamp={now}&signature={'0' * 64}", header, 400, -1022, "Signature for this request is not valid."),
    ]  # fmt: skip
    for query, headers, status, code, message in cases:
        assert running.raw("GET", path, query, headers)[:2] == (status, {"code": code, "msg": message})


def test_what_is_not_there_says_so(running: Running) -> None:
    assert running.raw("GET", "/api/v3/moon", "", {})[0] == 404
    assert running.raw("PATCH", "/api/v3/ping", "", {})[0] == 405
    assert running.raw("POST", "/api/v3/userDataStream", "", {})[0] == 410
    assert running.call("POST", "/api/v3/orderList/oto", symbol="BTCUSDT")[0] == 404


def test_weights_and_orders_are_counted(running: Running) -> None:
    before = int(running.call("GET", "/api/v3/ping", signed=False)[2]["x-mbx-used-weight-1m"])
    after = running.call("GET", "/api/v3/depth", signed=False, symbol="BTCUSDT", limit=5000)[2]
    assert int(after["x-mbx-used-weight-1m"]) - before == 250 or before > 5000  # a new minute may begin
    headers = running.call("POST", "/api/v3/order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.001")[2]
    assert int(headers["x-mbx-order-count-10s"]) >= 1 and "x-mbx-order-count-1d" in headers


def test_answers_are_as_long_as_asked_for(running: Running) -> None:
    sizes = {}
    for answer in ("ACK", "RESULT", "FULL"):
        status, body = running.order("BUY", "MARKET", quantity="0.001", newOrderRespType=answer)
        sizes[answer] = set(body)
        assert status == 200
    assert sizes["ACK"] < sizes["RESULT"] < sizes["FULL"] and "fills" in sizes["FULL"]
    running.advance(20)
    price = at(touch(running)[1] * 1.01)
    assert running.order("BUY", "LIMIT", quantity="0.001", price=price, timeInForce="GTC")[1]["status"] == "FILLED"


def test_immediate_orders_end_at_once(running: Running) -> None:
    bid, _ = touch(running)
    for tif in ("IOC", "FOK"):
        body = running.order("BUY", "LIMIT", quantity="0.001", price=at(bid * 0.99), timeInForce=tif)[1]
        assert (body["status"], body["executedQty"]) == ("EXPIRED", "0.00000000")
    body = running.order("BUY", "MARKET", quoteOrderQty="100")[1]
    assert 99 < float(body["cummulativeQuoteQty"]) <= 100 and body["origQuoteOrderQty"] == "100.00000000"
    assert body["origQty"] == body["executedQty"]
    status, body = running.order("BUY", "LIMIT_MAKER", quantity="0.001", price=at(bid * 1.1))
    assert (status, body["msg"]) == (400, "Order would immediately match and take.")


def test_stops_are_held_and_counted(running: Running) -> None:
    bid, _ = touch(running)
    running.order("BUY", "MARKET", quantity="0.01")
    status, body = running.order("SELL", "STOP_LOSS", quantity="0.001", stopPrice=at(bid * 1.01))
    assert (status, body["msg"]) == (400, "Stop price would trigger immediately.")
    for k in range(5):
        status, _ = running.order("SELL", "STOP_LOSS", quantity="0.001", stopPrice=at(bid * (0.9 + k / 100)))
        assert status == 200
    status, body = running.order("SELL", "STOP_LOSS", quantity="0.001", stopPrice=at(bid * 0.98))
    assert body["msg"] == "Filter failure: MAX_NUM_ALGO_ORDERS"
    shown = running.call("GET", "/api/v3/openOrders", symbol="BTCUSDT")[1]
    assert [one["isWorking"] for one in shown] == [False] * 5
    locked = {one["asset"]: one for one in running.call("GET", "/api/v3/account")[1]["balances"]}["BTC"]["locked"]
    assert locked == "0.00500000"
    assert len(running.call("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")[1]) == 5
    assert running.call("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")[1]["code"] == -2011


def test_a_client_id_lives_once_at_a_time(running: Running) -> None:
    limit = {"quantity": "0.001", "price": at(touch(running)[0] * 0.9), "timeInForce": "GTC"}
    assert running.order("BUY", "LIMIT", newClientOrderId="twin", **limit)[0] == 200
    assert running.order("BUY", "LIMIT", newClientOrderId="twin", **limit)[1]["msg"] == "Duplicate order sent."
    assert running.order("BUY", "LIMIT", newClientOrderId="bad id!", **limit)[1]["code"] == -1100
    twin = {"symbol": "BTCUSDT", "origClientOrderId": "twin"}
    assert running.call("DELETE", "/api/v3/order", **twin)[1]["status"] == "CANCELED"
    assert running.order("BUY", "LIMIT", newClientOrderId="twin", **limit)[0] == 200
    assert running.call("DELETE", "/api/v3/order", **twin)[0] == 200


def test_cancel_replace_in_all_its_ways(running: Running) -> None:
    bid, _ = touch(running)
    limit = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.001"}
    first = running.call("POST", "/api/v3/order", price=at(bid * 0.9), **limit)[1]["orderId"]

    def replace(mode: str, **params: Any) -> tuple[int, Any]:
        wanted = limit | {"price": at(bid * 0.91), "cancelReplaceMode": mode} | params
        return running.call("POST", "/api/v3/order/cancelReplace", **wanted)[:2]

    status, body = replace("STOP_ON_FAILURE", cancelOrderId=first)
    assert (status, body["cancelResult"], body["newOrderResult"]) == (200, "SUCCESS", "SUCCESS")
    second = body["newOrderResponse"]["orderId"]
    assert replace("STOP_ON_FAILURE", cancelOrderId=second, quantity="0.00001")[1]["code"] == -1013
    status, body = replace("STOP_ON_FAILURE", cancelOrderId=first)
    assert (status, body["code"], body["data"]["newOrderResult"]) == (400, -2022, "NOT_ATTEMPTED")
    status, body = replace("ALLOW_FAILURE", cancelOrderId=first)
    assert (status, body["code"], body["data"]["newOrderResult"]) == (409, -2021, "SUCCESS")
    status, body = replace("STOP_ON_FAILURE", cancelOrderId=second, quantity="5")
    assert (status, body["data"]["cancelResult"], body["data"]["newOrderResult"]) == (409, "SUCCESS", "FAILURE")
    running.call("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")


def test_market_calls_refuse_nonsense(running: Running) -> None:
    for path, params, code in (
        ("klines", {"interval": "7m"}, -1120),
        ("klines", {}, -1102),
        ("depth", {"limit": 0}, -1130),
        ("aggTrades", {"fromId": 1, "startTime": 5}, -1128),
        ("ticker/price", {"symbols": '["BTCUSDT"]'}, -1128),
    ):
        assert running.call("GET", f"/api/v3/{path}", signed=False, symbol="BTCUSDT", **params)[1]["code"] == code


def test_candles_of_every_length_add_up(running: Running) -> None:
    minutes = running.get("/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=1000)
    for interval in ("3m", "5m", "1h", "1d", "1w", "1M"):
        found = running.get("/api/v3/klines", symbol="BTCUSDT", interval=interval)
        assert sum(float(k[5]) for k in found) == pytest.approx(sum(float(k[5]) for k in minutes))
        assert found[-1][4] == minutes[-1][4] and all(k[0] < k[6] for k in found)
