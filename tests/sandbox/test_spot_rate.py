"""Made-up quotes at a chosen rate: all arrive, numbered without a gap, and their times can be told."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest
from running_sandbox import Running
from test_sandbox_streams import Api, signed, talk


@pytest.mark.parametrize("even", [False, True])
def test_every_quote_arrives_and_has_a_time(running: Running, even: bool) -> None:
    async def words(ws: aiohttp.ClientWebSocketResponse) -> Any:
        await asyncio.to_thread(running.tell, "/rate", {"quotes_per_s": 4000, "seconds": 0.25, "even": even})
        heard = []
        sent: Any = {"played": 0, "is_over": False}
        while len(heard) < sent["played"] or not sent["is_over"]:
            if len(heard) < sent["played"]:
                heard.append((json.loads((await ws.receive(10)).data)["data"], time.monotonic_ns()))
            else:
                sent = await asyncio.to_thread(running.tell, "/sent", {})
        return heard, sent

    heard, sent = talk(f"{running.ws}/stream?streams=btcusdt@bookTicker/ethusdt@bookTicker", words)
    assert sent["symbols"] == ["BTCUSDT", "ETHUSDT"] and len(heard) == sent["played"]
    assert 100 < len(heard) <= 1000, "a busy machine plays fewer of the thousand"
    for place, symbol in enumerate(sent["symbols"], 1):
        mine = [(quote["u"], at) for quote, at in heard if quote["s"] == symbol]
        assert [number for number, _ in mine] == list(range(mine[0][0], mine[0][0] + len(mine)))
        for number, at in mine[:: len(mine) // 10]:
            left = next(write[0] for write in sent["writes"] if write[place] >= number)
            assert left < at < left + 5e9


def test_the_arrival_of_an_order_is_told(running: Running) -> None:
    async def words(ws: aiohttp.ClientWebSocketResponse) -> Any:
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001", "newClientOrderId": "t7"}
        before = time.monotonic_ns()
        assert (await Api(ws).ask("order.place", signed(running, **order)))["status"] == 200
        return before, time.monotonic_ns()

    before, after = talk(running.ws_api, words)
    name, at = running.tell("/arrivals", {})["arrivals"][-1]
    assert name == "t7" and before < at < after


@pytest.mark.parametrize(
    "wrong", [{"quotes_per_s": 0, "seconds": 1}, {"quotes_per_s": 1, "seconds": 0}, {"seconds": 1}]
)
def test_a_rate_out_of_bounds_is_refused(running: Running, wrong: dict[str, float]) -> None:
    with pytest.raises(OSError, match="400"):
        running.tell("/rate", wrong)


def test_limits_can_be_lifted_for_a_bench(running: Running) -> None:
    running.tell("/limits", {"orders": 2})
    answers = [running.order("BUY", "MARKET", quantity="0.001")[0] for _ in range(3)]
    running.tell("/limits", {"orders": 100_000, "weight": 1_000_000})
    assert answers[-1] == 429 and running.order("BUY", "MARKET", quantity="0.001")[0] == 200
    running.tell("/limits", {})
