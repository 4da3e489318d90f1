"""The split sockets, the user stream and the WS API; Keel's own codec understands everything that is said."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import numpy as np
import pytest
from running_usdm import RunningUsdm

from engine.contracts import records as r
from engine.venues.binance import asides
from engine.venues.binance.client_ids import ClientIds, Request
from engine.venues.binance.codec import Codec
from engine.venues.ladder import Diff


@pytest.fixture(scope="module")
def usdm() -> Iterator[RunningUsdm]:
    started = RunningUsdm(accounts=2)
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def flat(usdm: RunningUsdm) -> Iterator[None]:
    usdm.advance(30)
    yield
    usdm.flatten()


def codec(usdm: RunningUsdm) -> Codec:
    return Codec([tape.instrument for tape in usdm.futures.tapes], ClientIds("keel"))


def decoded(one: Codec, text: str) -> list[Any]:
    out: Any = np.zeros(8, r.RECORD)
    return [r.as_dict(out[k]) for k in range(one.decode(text.encode(), time.time_ns(), out))]


async def said(usdm: RunningUsdm, path: str, wanted: int, act: Any = None) -> list[str]:
    """The first messages of a socket while the market moves (or `act` runs once)."""
    heard: list[str] = []
    async with aiohttp.ClientSession() as session, session.ws_connect(usdm.ws + path) as ws:
        if act is not None:
            await asyncio.to_thread(act)
        for _ in range(100):
            if len(heard) >= wanted:
                break
            if act is None:
                await asyncio.to_thread(usdm.advance, 20)
            try:
                heard.append((await ws.receive(0.3)).data)
            except TimeoutError:
                if act is not None:
                    break
    return heard


def hear(usdm: RunningUsdm, path: str, wanted: int, act: Any = None) -> list[str]:
    return asyncio.run(said(usdm, path, wanted, act))


async def silence(usdm: RunningUsdm, path: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(usdm.ws + path) as ws:
        await ws.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker", "btcusdt@aggTrade"], "id": 1})
        assert (await ws.receive_json())["result"] is None
        await asyncio.to_thread(usdm.advance, 60)
        with pytest.raises(TimeoutError):
            await ws.receive(0.2)


@pytest.mark.parametrize("path", ["/ws", "/stream?streams=btcusdt@bookTicker", "/ws/btcusdt@aggTrade"])
def test_the_paths_before_the_split_connect_and_stay_silent(usdm: RunningUsdm, path: str) -> None:
    asyncio.run(silence(usdm, path))


def test_each_path_says_its_own_streams_only(usdm: RunningUsdm) -> None:
    both = "/stream?streams=btcusdt@bookTicker/btcusdt@aggTrade/btcusdt@trade"
    assert {json.loads(one)["data"]["e"] for one in hear(usdm, "/public" + both, 12)} == {"bookTicker", "trade"}
    assert {json.loads(one)["data"]["e"] for one in hear(usdm, "/market" + both, 4)} == {"aggTrade"}


def test_our_codec_reads_the_market(usdm: RunningUsdm) -> None:
    one, kinds, diffs = codec(usdm), set(), []
    texts = hear(usdm, "/public/stream?streams=btcusdt@bookTicker/btcusdt@trade", 60)
    for text in texts + hear(usdm, "/public/stream?streams=btcusdt@depth@100ms/btcusdt@depth5@100ms", 4):
        kinds |= {record["kind"] for record in decoded(one, text)}
        diffs += [aside for aside in one.asides if isinstance(aside, Diff)]
    assert {"quote", "trade", "depth"} <= kinds and diffs
    names = "btcusdt@aggTrade/btcusdt@markPrice@1s/btcusdt@kline_1m/btcusdt@miniTicker/btcusdt@ticker"
    kinds = set()
    for _ in range(20):  # marks come by the clock, everything else by the market: so many messages may hold none
        heard = hear(usdm, f"/market/stream?streams={names}", 160)
        kinds |= {record["kind"] for text in heard for record in decoded(one, text)}
        if {"trade", "mark"} <= kinds and "kline" in one.ignored:
            break
    assert {"trade", "mark"} <= kinds and "kline" in one.ignored
    snapshot = one.snapshot(json.dumps(usdm.get("/fapi/v1/depth", symbol="BTCUSDT")).encode(), "BTCUSDT")
    assert snapshot.bids[0][0] < snapshot.asks[0][0]


def listen_key(usdm: RunningUsdm) -> str:
    key, _ = usdm.key()
    found: str = usdm.raw("POST", "/fapi/v1/listenKey", "", {"X-MBX-APIKEY": key})[1]["listenKey"]
    return found


def history(usdm: RunningUsdm) -> None:
    """An entry, a stop that triggers, a limit that is cancelled, funding, a forced close."""
    usdm.order("BUY", "MARKET", quantity="0.002", newClientOrderId="keel-1")
    usdm.algo("SELL", "STOP_MARKET", triggerPrice=usdm.price(0.9), closePosition="true", clientAlgoId="keel-2")
    usdm.call("DELETE", "/fapi/v1/algoOrder", clientAlgoId="keel-2")
    usdm.order("SELL", "LIMIT", quantity="0.001", price=usdm.price(1.1), timeInForce="GTC", newClientOrderId="keel-3")
    usdm.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="keel-3")
    usdm.fund("BTCUSDT", "0.0001")
    trader = usdm.futures.accounts.all[0]

    async def closed() -> None:
        usdm.futures.liquidate(trader, 0)

    usdm.run(closed())


@pytest.mark.parametrize("form", ["/private/ws/{}", "/private/ws?listenKey={}", "/private/stream?streams={}"])
def test_our_codec_reads_the_user_stream(usdm: RunningUsdm, form: str) -> None:
    usdm.call("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    heard = hear(usdm, form.format(listen_key(usdm)), 30, lambda: history(usdm))
    one, records, noted = codec(usdm), [], []
    for text in heard:
        records += decoded(one, text)
        noted += list(one.asides)
    seen = [(record["kind"], record.get("client_id", 0)) for record in records]
    acks = [("order_ack", 1), ("order_ack", 2), ("cancel_ack", 2), ("order_ack", 3), ("cancel_ack", 3)]
    assert [pair for pair in seen if pair in acks] == acks
    assert ("fill", 1) in seen and ("fill", 0) in seen  # ours, and the forced one
    forced = [record for record in records if record["kind"] == "fill"][-1]
    assert int(forced["bits"]) & r.FORCED
    (funding,) = [record for record in records if record["kind"] == "funding"]
    assert int(funding["amount_e8"]) < 0
    wallets = [aside for aside in noted if isinstance(aside, asides.Wallet)]
    assert wallets[-1].holdings[0].quantity == 0 and wallets[0].cause == "ORDER"
    usdm.call("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="CROSSED")


def test_a_listen_key_that_ends_says_so(usdm: RunningUsdm) -> None:
    path, (key, _) = f"/private/ws/{listen_key(usdm)}", usdm.key()
    (text,) = hear(usdm, path, 1, lambda: usdm.raw("DELETE", "/fapi/v1/listenKey", "", {"X-MBX-APIKEY": key}))
    assert json.loads(text)["e"] == "listenKeyExpired"
    assert hear(usdm, path, 1, lambda: usdm.order("BUY", "MARKET", quantity="0.001")) == []


def request(usdm: RunningUsdm, method: str, number: str, **params: Any) -> dict[str, Any]:
    key, secret = usdm.key()
    given = {"apiKey": key, "timestamp": int(time.time() * 1000)} | params
    text = "&".join(f"{name}={given[name]}" for name in sorted(given))
    given["signature"] = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {"id": number, "method": method, "params": given}


def test_the_ws_api_places_and_cancels_and_our_codec_reads_its_answers(usdm: RunningUsdm) -> None:
    sell = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.001"}
    place, cancel = Request("p", 0, 7).encode(), Request("c", 0, 7).encode()
    limit = sell | {"type": "LIMIT", "timeInForce": "GTC", "price": usdm.price(1.1), "newClientOrderId": "keel-7"}
    stop = {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "triggerPrice": usdm.price(0.9), "clientAlgoId": "keel-8"}
    asked = [
        request(usdm, "order.place", place, **limit),
        request(usdm, "order.status", "s", symbol="BTCUSDT", origClientOrderId="keel-7"),
        request(usdm, "order.cancel", cancel, symbol="BTCUSDT", origClientOrderId="keel-7"),
        request(usdm, "order.cancel", cancel, symbol="BTCUSDT", origClientOrderId="keel-7"),
        request(usdm, "order.place", Request("p", 0, 8).encode(), **sell, type="STOP_MARKET"),
        request(usdm, "algoOrder.place", Request("p", 0, 8).encode(), **sell, **stop),
        request(usdm, "algoOrder.cancel", Request("c", 0, 8).encode(), clientAlgoId="keel-8"),
        request(usdm, "v2/account.status", "a"),
        request(usdm, "nothing", "n"),
    ]

    async def conversation() -> list[str]:
        async with aiohttp.ClientSession() as session, session.ws_connect(usdm.ws_api) as ws:
            for one in asked:
                await ws.send_json(one)
            return [(await ws.receive(5)).data for _ in asked]

    answers = asyncio.run(conversation())
    plain = [json.loads(one) for one in answers]
    assert [one["status"] for one in plain] == [200, 200, 200, 400, 400, 200, 200, 200, 400]
    assert plain[4]["error"]["code"] == -4120 and plain[7]["result"]["assets"][0]["asset"] == "USDT"
    one = codec(usdm)
    kinds = [[record["kind"] for record in decoded(one, text)] for text in answers[:7]]
    assert kinds == [
        ["order_ack"], [], ["cancel_ack"], ["cancel_reject"], ["order_reject"], ["order_ack"], ["cancel_ack"],
    ]  # fmt: skip
