"""Every fault of the table, by its number, over the wire."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from running_sandbox import Running

from engine.sandbox.accounts import Report
from engine.sandbox.faults import FAULTS

MINUTE = 60_000


@pytest.fixture(autouse=True)
def disarmed(running: Running) -> Iterator[None]:
    yield
    running.tell("/faults", {}, "DELETE")
    running.fault("A14", skew_ms=0)


def buy(running: Running, account: int = 0, **params: Any) -> tuple[int, Any]:
    wanted = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"} | params
    return running.call("POST", "/api/v3/order", account=account, **wanted)[:2]


def find(running: Running, name: str) -> Any:
    return running.call("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId=name)[1]


def reported(running: Running, act: Any) -> list[tuple[str, int]]:
    """(event, trade id) of what the user stream says while `act` runs."""
    account = running.exchange.accounts.all[0]
    heard: list[Report] = []
    account.listeners.append(heard.append)
    act()
    account.listeners.remove(heard.append)
    return [(one.event, one.fill.trade_id if one.fill else -1) for one in heard]


def test_the_table_is_shown_and_unknown_faults_are_refused(running: Running) -> None:
    assert set(running.tell("/", {}, "GET")["faults"]) == set(FAULTS)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        running.fault("A99")


def test_a1_the_reply_is_lost_but_the_order_stands(running: Running) -> None:
    running.fault("A1")
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        buy(running, newClientOrderId="lost")
    assert find(running, "lost")["status"] == "FILLED"


def test_a2_the_order_is_accepted_after_the_timeout(running: Running) -> None:
    running.fault("A2", delay_ms=50)
    heard: list[Report] = []
    arrived = asyncio.Event()

    def listener(report: Report) -> None:
        heard.append(report)
        arrived.set()

    account = running.exchange.accounts.all[0]
    account.listeners.append(listener)
    status, body = buy(running, newClientOrderId="late")
    assert (status, body["code"]) == (408, -1007)
    running.run(asyncio.wait_for(arrived.wait(), 5))
    account.listeners.remove(listener)
    assert find(running, "late")["status"] == "FILLED" and heard[0].event == "NEW"


def test_a3_a_fill_is_told_twice(running: Running) -> None:
    running.fault("A3")
    said = reported(running, lambda: buy(running))
    assert [event for event, _ in said] == ["NEW", "TRADE", "TRADE"] and said[1] == said[2]


def test_a4_the_fill_is_told_before_the_acceptance(running: Running) -> None:
    running.fault("A4")
    assert [event for event, _ in reported(running, lambda: buy(running))] == ["TRADE", "NEW"]


def test_a5_fills_come_last_first(running: Running) -> None:
    running.fault("A5")
    said = reported(running, lambda: buy(running, quantity="0.09"))
    trades = [number for event, number in said if event == "TRADE"]
    assert len(trades) > 1 and trades == sorted(trades, reverse=True)
    running.call("POST", "/api/v3/order", symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.09")


def test_a6_the_order_fills_as_it_is_cancelled(running: Running) -> None:
    bid = float(running.get("/api/v3/ticker/bookTicker", symbol="BTCUSDT")["bidPrice"])
    limit = {"type": "LIMIT", "timeInForce": "GTC", "price": f"{bid * 0.99:.2f}", "newClientOrderId": "race"}
    assert buy(running, **limit)[1]["status"] == "NEW"
    running.fault("A6")
    status, body, _ = running.call("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="race")
    assert (status, body["code"]) == (400, -2011) and find(running, "race")["status"] == "FILLED"


def test_a7_stops_meet_a_503_and_are_not_there(running: Running) -> None:
    running.fault("A7", order_types=["STOP_LOSS"], count=2)
    bid = float(running.get("/api/v3/ticker/bookTicker", symbol="BTCUSDT")["bidPrice"])
    assert buy(running, quantity="0.002")[0] == 200
    stop = {"side": "SELL", "type": "STOP_LOSS", "stopPrice": f"{bid * 0.9:.2f}", "newClientOrderId": "stop"}
    assert [buy(running, **stop)[0] for _ in range(3)] == [503, 503, 200]


def test_a8_a10_a11_somebody_else_acts(running: Running) -> None:
    said = reported(running, lambda: running.fault("A8", order_types=["STOP_LOSS"]))
    assert [event for event, _ in said] == ["CANCELED"]
    said = reported(running, lambda: running.fault("A11", symbol="ETHUSDT", lots=100))
    assert said[0][0] == "NEW" and said[-1][0] == "TRADE"
    running.fault("A10", symbol="ETHUSDT")
    found = {one["asset"]: one["free"] for one in running.call("GET", "/api/v3/account")[1]["balances"]}
    assert float(found["ETH"]) < 0.01


def test_a12_filters_change_at_once(running: Running) -> None:
    running.fault("A12", symbol="BTCUSDT", min_notional="500")
    assert buy(running)[1] == {"code": -1013, "msg": "Filter failure: NOTIONAL"}
    shown = running.get("/api/v3/exchangeInfo", symbol="BTCUSDT")["symbols"][0]["filters"]
    assert {f["filterType"]: f for f in shown}["NOTIONAL"]["minNotional"] == "500.00000000"
    running.fault("A12", symbol="BTCUSDT", min_notional="5")


def test_a12_ticks_and_steps_change_at_once(running: Running) -> None:
    bid = float(running.get("/api/v3/ticker/bookTicker", symbol="BTCUSDT")["bidPrice"])
    old = {"timeInForce": "GTC", "price": f"{int(bid * 0.95)}.01", "quantity": "0.00123"}
    before = running.order("BUY", "LIMIT", **old)[1]
    running.fault("A12", symbol="BTCUSDT", tick_size="0.10", step_size="0.0001")
    assert running.order("BUY", "LIMIT", **old)[1] == {"code": -1013, "msg": "Filter failure: PRICE_FILTER"}
    new = old | {"price": f"{int(bid * 0.95)}.10"}
    assert running.order("BUY", "LIMIT", **new)[1] == {"code": -1013, "msg": "Filter failure: LOT_SIZE"}
    assert running.order("BUY", "LIMIT", **(new | {"quantity": "0.0012"}))[0] == 200
    assert running.order("BUY", "MARKET", quoteOrderQty="100")[1]["executedQty"].endswith("0000")
    shown = running.get("/api/v3/exchangeInfo", symbol="BTCUSDT")["symbols"][0]["filters"]
    found = {one["filterType"]: one for one in shown}
    assert (found["PRICE_FILTER"]["tickSize"], found["LOT_SIZE"]["stepSize"]) == ("0.10000000", "0.00010000")
    gone = running.call("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=before["orderId"])[1]
    assert gone["status"] == "CANCELED"  # what rested before stays, and can be cancelled
    running.call("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")
    with pytest.raises(OSError, match="400"):
        running.fault("A12", symbol="BTCUSDT", tick_size="0.015")
    running.fault("A12", symbol="BTCUSDT", tick_size="0.01", step_size="0.00001")


def test_a14_the_clock_jumps(running: Running) -> None:
    running.fault("A14", skew_ms=6000)
    assert buy(running)[1]["code"] == -1021
    assert running.get("/api/v3/time")["serverTime"] - time.time() * 1000 > 5000


def listen(running: Running, events: int, stream: str, count: int) -> list[Any]:
    """What a stream says of two bursts of market events; gives up quietly after half a second."""

    async def conversation() -> list[Any]:
        heard: list[Any] = []
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{running.ws}/ws/{stream}") as ws:
            await ws.ping()
            for _ in range(count):
                await asyncio.to_thread(running.advance, events)
                try:
                    heard.append(json.loads((await ws.receive(0.5)).data))
                except TimeoutError:
                    heard.append(None)
            assert not ws.closed
        return heard

    return asyncio.run(conversation())


def test_a15_a_mute_socket_stays_open(running: Running) -> None:
    running.fault("A15", count=-1)
    assert listen(running, 20, "btcusdt@bookTicker", 1) == [None]


def test_a16_a_depth_event_is_missing(running: Running) -> None:
    heard = listen(running, 20, "btcusdt@depth@100ms", 2)
    running.fault("A16")
    gap = listen(running, 20, "btcusdt@depth@100ms", 2)
    assert heard[1]["U"] == heard[0]["u"] + 1 and gap[0] is None and gap[1] is not None


def test_a23_a_revoked_key_is_nobody(running: Running) -> None:
    assert buy(running, account=1)[0] == 200
    running.fault("A23", account=1)
    status, body = buy(running, account=1)
    assert (status, body["code"]) == (401, -2015)


def test_a13_those_who_do_not_wait_are_banned(running: Running) -> None:
    running.fault("A13", count=11)
    answers = [running.call("GET", "/api/v3/ping", signed=False) for _ in range(12)]
    assert [answer[0] for answer in answers] == [429] * 10 + [418] * 2
    assert answers[0][1]["code"] == -1003 and 1 <= int(answers[0][2]["retry-after"]) <= 60
    assert "IP banned until" in answers[-1][1]["msg"] and int(answers[-1][2]["retry-after"]) > 60
    running.fault("A14", skew_ms=3 * MINUTE)  # the ban is over
    assert running.call("GET", "/api/v3/ping", signed=False)[0] == 200


@pytest.mark.parametrize(
    ("fault", "said"),
    [({"fault": "A10"}, "account 1 has no free ETH to sell by hand"), ({"fault": "A11", "lots": 10**6}, "by hand: ")],
)
def test_what_cannot_be_done_by_hand_is_told_in_a_sentence(running: Running, fault: dict[str, Any], said: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        running.tell("/faults", {"account": 1, "symbol": "ETHUSDT"} | fault)
    assert refusal.value.code == 400 and said in json.loads(refusal.value.read())["error"]
