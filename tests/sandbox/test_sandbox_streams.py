"""Market streams and the WS API, heard by a plain websocket client."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from running_sandbox import Running

Talk = Callable[[aiohttp.ClientWebSocketResponse], Awaitable[Any]]


def talk(url: str, words: Talk) -> Any:
    async def conversation() -> Any:
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as ws:
            return await asyncio.wait_for(words(ws), 15)

    return asyncio.run(conversation())


async def advance(running: Running, events: int) -> None:
    await asyncio.to_thread(running.advance, events)


async def hear(ws: aiohttp.ClientWebSocketResponse, *kinds: str) -> dict[str, Any]:
    """The first event of each kind (`e`, or of none: `u`)."""
    found: dict[str, Any] = {}
    while set(kinds) - set(found):
        event = json.loads((await ws.receive(10)).data)
        event = event.get("data", event)
        found.setdefault(event.get("e", "bookTicker" if "A" in event else "answer"), event)
    return found


def test_raw_streams_speak(running: Running) -> None:
    names = ("bookTicker", "trade", "aggTrade", "miniTicker", "kline_1m", "depth@100ms")
    path = "/".join(f"btcusdt@{name}" for name in names)

    async def words(ws: aiohttp.ClientWebSocketResponse) -> Any:
        await advance(running, 200)
        return await hear(ws, "bookTicker", "trade", "aggTrade", "24hrMiniTicker", "kline", "depthUpdate")

    heard = talk(f"{running.ws}/ws/{path}", words)
    assert heard["trade"]["t"] == heard["aggTrade"]["a"] and heard["trade"]["s"] == "BTCUSDT"
    assert heard["kline"]["k"]["i"] == "1m" and heard["kline"]["k"]["x"] is False
    assert float(heard["bookTicker"]["b"]) < float(heard["bookTicker"]["a"])


def test_combined_streams_are_asked_for(running: Running) -> None:
    async def words(ws: aiohttp.ClientWebSocketResponse) -> Any:
        answers = []
        requests: list[Any] = [
            {"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker", "ethusdt@trade"], "id": 1},
            {"method": "LIST_SUBSCRIPTIONS", "id": 2},
            {"method": "UNSUBSCRIBE", "params": ["ethusdt@trade"], "id": 3},
            {"method": "LIST_SUBSCRIPTIONS", "id": "x"},
            {"method": "GET_PROPERTY", "params": ["combined"], "id": 5},
            {"method": "SHOUT", "id": 6},
        ]
        for request in requests:
            await ws.send_json(request)
            answers.append(json.loads((await ws.receive(10)).data))
        await ws.send_str("{not json")
        answers.append(json.loads((await ws.receive(10)).data))
        await advance(running, 60)
        return answers, json.loads((await ws.receive(10)).data)

    answers, event = talk(f"{running.ws}/stream", words)
    assert answers[:5] == [
        {"result": None, "id": 1},
        {"result": ["btcusdt@bookTicker", "ethusdt@trade"], "id": 2},
        {"result": None, "id": 3},
        {"result": ["btcusdt@bookTicker"], "id": "x"},
        {"result": True, "id": 5},
    ]
    assert answers[5]["error"]["code"] == 2 and answers[5]["id"] == 6 and answers[6]["error"]["code"] == 3
    assert event["stream"] == "btcusdt@bookTicker" and set(event["data"]) == {"u", "s", "b", "B", "a", "A"}


async def follow(running: Running, ws: aiohttp.ClientWebSocketResponse, rounds: int) -> list[Any]:
    """Depth events, one burst of market events before each."""
    found = []
    for _ in range(rounds):
        await advance(running, 40)
        found.append(json.loads((await ws.receive(10)).data))
    return found


def test_a_book_kept_by_the_documented_way_is_the_book(running: Running) -> None:
    async def words(ws: aiohttp.ClientWebSocketResponse) -> Any:
        events = await follow(running, ws, 2)
        snapshot = await asyncio.to_thread(running.get, "/api/v3/depth", symbol="BTCUSDT", limit=100)
        events += await follow(running, ws, 4)
        final = await asyncio.to_thread(running.get, "/api/v3/depth", symbol="BTCUSDT", limit=100)
        return events, snapshot, final

    events, snapshot, final = talk(f"{running.ws}/ws/btcusdt@depth@100ms", words)
    for before, after in zip(events, events[1:], strict=False):
        assert after["U"] == before["u"] + 1
    book = {side: dict(snapshot[side]) for side in ("bids", "asks")}
    fresh = [event for event in events if event["u"] > snapshot["lastUpdateId"]]
    assert fresh[0]["U"] <= snapshot["lastUpdateId"] + 1 <= fresh[0]["u"]
    for event in fresh:
        for side, letter in (("bids", "b"), ("asks", "a")):
            book[side] |= dict(event[letter])
    kept = {side: {p: q for p, q in levels.items() if float(q)} for side, levels in book.items()}
    assert fresh[-1]["u"] == final["lastUpdateId"]
    assert kept == {side: dict(final[side]) for side in ("bids", "asks")}


def test_partial_depth_and_its_wrapping(running: Running) -> None:
    async def words(ws: aiohttp.ClientWebSocketResponse) -> Any:
        await advance(running, 5)
        return json.loads((await ws.receive(10)).data)

    heard = talk(f"{running.ws}/stream?streams=btcusdt@depth5@100ms", words)
    assert heard["stream"] == "btcusdt@depth5@100ms"
    assert len(heard["data"]["bids"]) == len(heard["data"]["asks"]) == 5 and "lastUpdateId" in heard["data"]


# --- WS API -------------------------------------------------------------------------------------------------


def signed(running: Running, **params: Any) -> dict[str, Any]:
    key, secret = running.key()
    params |= {"apiKey": key, "timestamp": int(time.time() * 1000)}
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
    return params | {"signature": hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()}


class Api:
    """Answers by id, user events in order."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.events: list[Any] = []

    async def ask(self, method: str, params: Any = None, number: Any = 1) -> Any:
        await self.ws.send_json({"id": number, "method": method} | ({"params": params} if params else {}))
        while "event" in (said := json.loads((await self.ws.receive(10)).data)):
            self.events.append(said["event"])
        assert said["id"] == number
        return said

    async def hear(self, events: int) -> list[Any]:
        while len(self.events) < events:
            self.events.append(json.loads((await self.ws.receive(10)).data)["event"])
        return self.events


def test_orders_over_the_ws_api_and_what_the_user_stream_says(running: Running) -> None:
    async def words(ws: aiohttp.ClientWebSocketResponse) -> Any:
        api = Api(ws)
        assert (await api.ask("ping"))["result"] == {}
        assert (await api.ask("time", number="t"))["result"]["serverTime"] > 1.7e12
        subscribed = await api.ask("userDataStream.subscribe.signature", signed(running))
        bid = float(running.get("/api/v3/ticker/bookTicker", symbol="BTCUSDT")["bidPrice"])
        wanted = {"symbol": "BTCUSDT", "side": "BUY", "newClientOrderId": "mine-1"}
        limit = {"type": "LIMIT", "timeInForce": "GTC", "price": f"{bid * 0.99:.2f}", "quantity": "0.00100"}
        placed = await api.ask("order.place", signed(running, **wanted, **limit))
        status = await api.ask("order.status", signed(running, symbol="BTCUSDT", origClientOrderId="mine-1"))
        named = {"symbol": "BTCUSDT", "orderId": placed["result"]["orderId"], "newClientOrderId": "c-1"}
        gone = await api.ask("order.cancel", signed(running, **named))
        market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
        bought = await api.ask("order.place", signed(running, **market))
        account = await api.ask("account.status", signed(running))
        counts = await api.ask("account.rateLimits.orders", signed(running))
        assert [one["interval"] for one in counts["result"]] == ["SECOND", "DAY"] and counts["result"][1]["count"] >= 2
        return subscribed, placed, status, gone, bought, account, await api.hear(8)

    subscribed, placed, status, gone, bought, account, events = talk(running.ws_api, words)
    assert subscribed["status"] == 200 and subscribed["result"] == {"subscriptionId": 0}
    assert placed["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT"
    assert status["result"]["status"] == "NEW" and gone["result"]["status"] == "CANCELED"
    reports = [event for event in events if event["e"] == "executionReport"]
    assert [(one["x"], one["X"]) for one in reports] == [
        ("NEW", "NEW"), ("CANCELED", "CANCELED"), ("NEW", "NEW"), ("TRADE", "FILLED")
    ]  # fmt: skip
    assert (reports[1]["c"], reports[1]["C"]) == ("c-1", "mine-1")
    assert reports[3]["t"] == bought["result"]["fills"][0]["tradeId"] and reports[3]["N"] == "BTC"
    last = {balance["a"]: balance["f"] for balance in events[7]["B"]}
    assert last == {one["asset"]: one["free"] for one in account["result"]["balances"] if one["asset"] in last}


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("order.place", {"symbol": "NOPE", "side": "BUY", "type": "MARKET", "quantity": "1"}, -1121),
        ("order.status", {"symbol": "BTCUSDT", "orderId": 987654}, -2013),
        ("order.cancel", {"symbol": "BTCUSDT", "orderId": 987654}, -2011),
        ("order.dance", {}, -1130),
    ],
)
def test_the_ws_api_refuses_in_the_same_words(running: Running, method: str, params: Any, code: int) -> None:
    async def words(ws: aiohttp.ClientWebSocketResponse) -> Any:
        return await Api(ws).ask(method, signed(running, **params))

    answer = talk(running.ws_api, words)
    assert answer["status"] == 400 and answer["error"]["code"] == code


def test_garbage_on_the_ws_api_is_answered(running: Running) -> None:
    async def words(ws: aiohttp.ClientWebSocketResponse) -> Any:
        answers = []
        for said in ("{", "[]", '{"id":4}', '{"id":5,"method":"time","params":[1]}'):
            await ws.send_str(said)
            answers.append(json.loads((await ws.receive(10)).data))
        return answers

    assert [answer["error"]["code"] for answer in talk(running.ws_api, words)] == [-1135] * 4
