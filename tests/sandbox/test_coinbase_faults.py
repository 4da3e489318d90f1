"""The faults that mean something at Coinbase, by number, over the wire."""

from __future__ import annotations

import asyncio
import time
import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest
from running_coinbase import V3, RunningCoinbase

GTC, MARKET = "limit_limit_gtc", "market_market_ioc"
PATH = f"{V3}/key_permissions"


@pytest.fixture(scope="module")
def running() -> Iterator[RunningCoinbase]:
    started = RunningCoinbase()
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def disarmed(running: RunningCoinbase) -> Iterator[None]:
    yield
    running.tell("/faults", {}, "DELETE")


def cause(running: RunningCoinbase, number: str, **fields: Any) -> None:
    running.fault(number, venue="coinbase", **fields)


def send(running: RunningCoinbase, name: str, form: str = MARKET, **fields: Any) -> tuple[int, Any, dict[str, str]]:
    configuration = {form: fields or {"base_size": "0.001"}}
    order = {"client_order_id": name, "product_id": "BTC-USD", "side": "BUY", "order_configuration": configuration}
    return running.send("POST", f"{V3}/orders", order)


def find(running: RunningCoinbase, name: str) -> Any:
    found = [one for one in running.ask("/orders/historical/batch")["orders"] if one["client_order_id"] == name]
    return found[0] if found else None


def reported(running: RunningCoinbase, act: Any) -> list[tuple[str, str]]:
    """(status, quantity) of what the user channel says while `act` runs."""
    customer, heard = running.floor.customers[0], []

    def listener(draft: Any, order: Any) -> None:
        heard.append((order.status, order.executed_lots))

    customer.listeners.append(listener)
    act()
    customer.listeners.remove(listener)
    return heard


def test_a1_the_reply_is_lost_but_the_order_stands(running: RunningCoinbase) -> None:
    cause(running, "A1")
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        send(running, "lost")
    assert find(running, "lost")["status"] == "FILLED"
    again = send(running, "lost")[1]  # the same client order id: nothing is bought twice
    assert again["success_response"]["order_id"] == find(running, "lost")["order_id"]


def test_a2_the_order_is_accepted_after_the_timeout(running: RunningCoinbase) -> None:
    cause(running, "A2", delay_ms=50)
    arrived = asyncio.Event()
    customer = running.floor.customers[0]

    def listener(draft: Any, order: Any) -> None:
        arrived.set()

    customer.listeners.append(listener)
    assert send(running, "late")[0] == 504
    running.run(asyncio.wait_for(arrived.wait(), 5))
    customer.listeners.remove(listener)
    assert find(running, "late")["status"] == "FILLED"


def test_a3_a4_a5_fills_twice_early_and_backwards(running: RunningCoinbase) -> None:
    running.advance(50)
    cause(running, "A3")
    said = reported(running, lambda: send(running, "a3"))
    assert said[1] == said[2]
    cause(running, "A4")
    assert reported(running, lambda: send(running, "a4"))[-1][0] == "NEW"
    running.advance(50)
    cause(running, "A5")
    filled = [lots for _, lots in reported(running, lambda: send(running, "a5", base_size="0.01"))[1:]]
    assert len(filled) > 1 and filled == sorted(filled, reverse=True)


def test_a6_the_order_fills_as_it_is_cancelled(running: RunningCoinbase) -> None:
    price = f"{running.touch()[0] * 0.99:.2f}"
    number = send(running, "race", GTC, base_size="0.001", limit_price=price)[1]["success_response"]["order_id"]
    cause(running, "A6")
    body = running.send("POST", f"{V3}/orders/batch_cancel", {"order_ids": [number]})[1]
    assert body["results"][0]["failure_reason"] == "UNKNOWN_CANCEL_ORDER"
    assert running.named(number)["status"] == "FILLED"


def test_a7_stops_meet_a_503_and_are_not_there(running: RunningCoinbase) -> None:
    cause(running, "A7", order_types=["STOP_LOSS_LIMIT"])
    ask = running.touch()[1]
    fields = {"base_size": "0.001", "limit_price": f"{ask * 1.2:.2f}", "stop_price": f"{ask * 1.1:.2f}"}
    assert send(running, "plain")[0] == 200
    assert send(running, "stop", "stop_limit_stop_limit_gtc", **fields)[0] == 503 and find(running, "stop") is None
    assert send(running, "stop", "stop_limit_stop_limit_gtc", **fields)[1]["success"]


def test_a8_a10_a11_somebody_else_acts(running: RunningCoinbase) -> None:
    cause(running, "A8", order_types=["STOP_LOSS_LIMIT"])
    assert find(running, "stop")["status"] == "CANCELLED"
    cause(running, "A11", symbol="ETH-USD", lots=100)
    assert find(running, "web_manual_open")["order_configuration"][MARKET]["base_size"] == "0.01"
    cause(running, "A10", symbol="ETH-USD")
    assert running.wallets()["ETH"][0] == 0
    with pytest.raises(urllib.error.HTTPError, match="400"):
        cause(running, "A10", symbol="ETHUSD")


def test_a12_minimums_change_at_once(running: RunningCoinbase) -> None:
    cause(running, "A12", symbol="BTC-USD", min_notional="500")
    assert running.ask("/products/BTC-USD")["quote_min_size"] == "500"
    assert (
        send(running, "small")[1]["error_response"]["preview_failure_reason"] == "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL"
    )
    cause(running, "A12", symbol="BTC-USD", min_notional="1")


def test_a13_the_rate_is_limited(running: RunningCoinbase) -> None:
    cause(running, "A13")
    status, body, headers = running.send("GET", PATH, token=running.bearer("GET", PATH))
    assert (status, body) == (429, {"errors": [{"id": "rate_limit_exceeded", "message": "Too many requests"}]})
    assert headers["x-ratelimit-limit"] == "30" and headers["x-ratelimit-reset"] == "1"
    answers = [running.send("GET", f"{V3}/time", token=None)[0] for _ in range(25)]
    assert answers[:10] == [200] * 10 and 429 in answers


def test_a14_the_clock_jumps(running: RunningCoinbase) -> None:
    skew = running.floor.clock.skew_ms
    token = running.bearer("GET", PATH)
    cause(running, "A14", skew_ms=skew + 125_000)
    status, body, headers = running.send("GET", PATH, token=token)
    assert (status, body, headers["x-keel-reason"]) == (401, "Unauthorized\n", "exp lies in the past")
    now = int(running.send("GET", f"{V3}/time", token=None)[1]["epochMillis"])
    assert now - time.time() * 1000 > 120_000
    cause(running, "A14", skew_ms=skew)


def test_a15_a16_a_mute_channel_and_a_gap(running: RunningCoinbase) -> None:
    request = {"type": "subscribe", "channel": "level2", "product_ids": ["BTC-USD"]}
    beats = {"type": "subscribe", "channel": "heartbeats"}

    def is_beaten(said: list[Any]) -> bool:
        return bool(said[-1]["channel"] == "heartbeats")

    def mute() -> None:
        cause(running, "A15", count=-1)
        running.advance(100)

    heard = running.hear([request, beats], is_beaten, mute)
    assert [one["channel"] for one in heard] == ["l2_data", "subscriptions", "subscriptions", "heartbeats"]
    running.tell("/faults", {}, "DELETE")

    def lose() -> None:
        cause(running, "A16")
        running.advance(100)

    numbers = [one["sequence_num"] for one in running.hear([request, beats], is_beaten, lose)]
    assert numbers == [0, 1, 2, 4]
