"""Order lists over the wire: REST, the WS API, and user events that our own decoder reads."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
from running_sandbox import Running
from test_sandbox_streams import Api, signed, talk

from engine.contracts import records as r
from engine.venues.binance.asides import OrderList
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.codec import Codec


@pytest.fixture(scope="module", autouse=True)
def coins(running: Running) -> None:
    running.tell("/deposit", {"account": 0, "asset": "BTC", "amount": "0.05"})


def last(running: Running) -> float:
    return float(running.get("/api/v3/ticker/price", symbol="BTCUSDT")["price"])


def legs(running: Running, **changes: Any) -> dict[str, Any]:
    price = last(running)
    return {
        "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.05", "aboveType": "LIMIT_MAKER",
        "abovePrice": f"{price * 1.05:.2f}", "belowType": "STOP_LOSS_LIMIT", "belowStopPrice": f"{price * 0.95:.2f}",
        "belowPrice": f"{price * 0.94:.2f}", "belowTimeInForce": "GTC",
    } | changes  # fmt: skip


def test_the_life_of_a_list(running: Running) -> None:
    status, made, headers = running.call("POST", "/api/v3/orderList/oco", **legs(running), listClientOrderId="mine")
    assert status == 200 and (made["contingencyType"], made["listOrderStatus"]) == ("OCO", "EXECUTING")
    stop, limit = made["orderReports"]
    assert (stop["type"], limit["type"]) == ("STOP_LOSS_LIMIT", "LIMIT_MAKER")
    assert (stop["workingTime"], stop["status"]) == (-1, "NEW") and "stopPrice" in stop and "stopPrice" not in limit
    assert {one["orderListId"] for one in (stop, limit)} == {made["orderListId"]}
    assert int(headers["x-mbx-order-count-10s"]) == 2
    balances = {one["asset"]: one for one in running.call("GET", "/api/v3/account")[1]["balances"]}
    assert (balances["BTC"]["free"], balances["BTC"]["locked"]) == ("0.00000000", "0.05000000")
    plain = {name: value for name, value in made.items() if name != "orderReports"}
    assert running.call("GET", "/api/v3/orderList", origClientOrderId="mine")[1] == plain
    assert running.call("GET", "/api/v3/openOrderList")[1] == [plain]
    assert {one["orderListId"] for one in running.call("GET", "/api/v3/openOrders", symbol="BTCUSDT")[1]} == {
        made["orderListId"]
    }
    _, gone, _ = running.call("DELETE", "/api/v3/orderList", symbol="BTCUSDT", orderListId=made["orderListId"])
    assert gone["listStatusType"] == "ALL_DONE" and [one["status"] for one in gone["orderReports"]] == ["CANCELED"] * 2
    assert running.call("GET", "/api/v3/openOrderList")[1] == []
    assert running.call("GET", "/api/v3/allOrderList")[1][0]["listOrderStatus"] == "ALL_DONE"


def test_the_older_form_and_cancelling_everything(running: Running) -> None:
    price = last(running)
    older = {
        "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.02", "price": f"{price * 1.05:.2f}",
        "stopPrice": f"{price * 0.95:.2f}",
    }  # fmt: skip
    assert [one["type"] for one in running.call("POST", "/api/v3/order/oco", **older)[1]["orderReports"]] == [
        "STOP_LOSS", "LIMIT_MAKER"
    ]  # fmt: skip
    (ended,) = running.call("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")[1]
    assert ended["listOrderStatus"] == "ALL_DONE" and len(ended["orderReports"]) == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aboveType": "MARKET"}, -1158),
        ({"belowType": "LIMIT_MAKER"}, -1168),
        ({"aboveType": "STOP_LOSS", "belowType": "TAKE_PROFIT"}, -1197),
        ({"side": "BUY"}, -1165),
        ({"aboveType": None}, -1102),
        ({"aboveTimeInForce": "GTC"}, -1106),
        ({"quantity": "0.0000001"}, -1013),
        ({"quantity": "0.06"}, -2010),
        ({"belowStopPrice": "999999.99"}, -2010),
        ({"belowTrailingDelta": "10"}, -2010),
    ],
)
def test_a_bad_list_is_refused_whole(running: Running, changes: dict[str, Any], code: int) -> None:
    wanted = {name: value for name, value in legs(running, **changes).items() if value is not None}
    status, body, _ = running.call("POST", "/api/v3/orderList/oco", **wanted)
    assert (status, body["code"]) == (400, code)
    assert running.call("GET", "/api/v3/openOrders")[1] == []


def test_lists_that_are_not_there(running: Running) -> None:
    assert running.call("GET", "/api/v3/orderList", orderListId=999)[1] == {
        "code": -2013, "msg": "Order list does not exist."
    }  # fmt: skip
    assert running.call("DELETE", "/api/v3/orderList", symbol="BTCUSDT", orderListId=999)[1] == {
        "code": -2011, "msg": "Unknown order list sent."
    }  # fmt: skip
    assert running.call("GET", "/api/v3/orderList")[1]["code"] == -1102


@pytest.mark.parametrize("kind", ["STOP_LOSS_LIMIT", "LIMIT_MAKER"])
def test_a_fault_for_stops_waits_for_lists_too(running: Running, kind: str) -> None:
    running.fault("A7", order_types=[kind])
    assert running.call("POST", "/api/v3/orderList/oco", **legs(running))[0] == 503
    assert running.call("GET", "/api/v3/openOrderList")[1] == []


def test_a_lost_answer_is_found_by_its_name(running: Running) -> None:
    running.fault("A1", order_types=["STOP_LOSS_LIMIT"])
    with pytest.raises(OSError):
        running.call("POST", "/api/v3/orderList/oco", **legs(running), listClientOrderId="lost")
    found = running.call("GET", "/api/v3/orderList", origClientOrderId="lost")[1]
    assert found["listOrderStatus"] == "EXECUTING"
    running.fault("A8", order_types=["STOP_LOSS_LIMIT"])  # the venue cancels the stop, and the list with it
    assert running.call("GET", "/api/v3/orderList", origClientOrderId="lost")[1]["listOrderStatus"] == "ALL_DONE"


def test_our_decoder_reads_what_the_user_stream_says(running: Running) -> None:
    async def words(ws: Any) -> Any:
        api = Api(ws)
        await api.ask("userDataStream.subscribe.signature", signed(running))
        names = {"aboveClientOrderId": "keel-2", "belowClientOrderId": "keel-1"}
        made = await api.ask("orderList.place.oco", signed(running, **legs(running), **names))
        number = made["result"]["orderListId"]
        status = await api.ask("orderList.status", signed(running, orderListId=number))
        gone = await api.ask("orderList.cancel", signed(running, symbol="BTCUSDT", orderListId=number))
        return made, status, gone, await api.hear(10)

    made, status, gone, events = talk(running.ws_api, words)
    assert [answer["status"] for answer in (made, status, gone)] == [200] * 3
    codec = Codec(running.sandbox.sites["binance_spot"].stage._core.instruments, ClientIds("keel"))
    out: Any = np.zeros(64, r.RECORD)
    lists, kinds = [], []
    for event in events:
        count = codec.decode(json.dumps({"subscriptionId": 0, "event": event}).encode(), time.time_ns(), out)
        kinds += out["kind"][:count].tolist()
        lists += [aside for aside in codec.asides if isinstance(aside, OrderList)]
    assert [(one.status, one.order_status) for one in lists] == [
        ("EXEC_STARTED", "EXECUTING"), ("ALL_DONE", "ALL_DONE")
    ]  # fmt: skip
    assert {one.list_id for one in lists} == {made["result"]["orderListId"]}
    assert kinds == [r.ORDER_ACK] * 2 + [r.CANCEL_ACK] * 2
