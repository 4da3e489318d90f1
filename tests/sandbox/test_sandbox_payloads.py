"""What the sandbox says has the keys and the kinds of values of what the exchange was recorded saying."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from running_sandbox import Running

DATA = Path(os.environ.get("KEEL_DATA_DIR", "../shared/data"))
SPOT = "crates/adapters/binance/test_data/spot/"
OLD_RESOURCES = "tests/integration_tests/adapters/binance/resources/http_responses/"
# keys the exchange no longer sends, or only sends sometimes, and those it added after the recording
GONE = {"trade": {"b", "a"}}
SOMETIMES = {"stopPrice", "icebergQty", "fills", "strategyId", "W", "j"}
ADDED = {"I", "Q", "W", "Y", "V", "F", "g", "M", "preventSor", "uid", "requireSelfTradePrevention", "commissionRates",
         "brokered", "selfTradePreventionMode", "workingTime", "origQuoteOrderQty"}  # fmt: skip


def raw(name: str) -> Path:
    path = DATA / "raw" / name
    if not path.exists():
        pytest.skip(f"recorded payloads are absent: {name} (KEEL_DATA_DIR)")
    return path


def fixture(name: str) -> Any:
    with tarfile.open(raw("nautilus_binance_coinbase_fixtures.tar.gz")) as archive:
        member = archive.extractfile(SPOT + name) if not name.startswith("/") else archive.extractfile(name[1:])
        assert member is not None
        return json.load(member)


def kind(value: Any) -> str:
    """A shape: numbers as text keep being text, lists are judged by their first."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "decimal text" if re.fullmatch(r"-?\d+\.\d+|0", value) else "text"
    if isinstance(value, list):
        return f"[{kind(value[0])}]" if value else "[]"
    return type(value).__name__


def same_shape(ours: dict[str, Any], theirs: dict[str, Any], gone: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    missing = set(theirs) - set(ours) - SOMETIMES - gone
    more = set(ours) - set(theirs) - ADDED - SOMETIMES
    assert (missing, more) == (set(), set())
    for name in set(ours) & set(theirs):
        mine, other = kind(ours[name]), kind(theirs[name])
        assert mine == other or "NoneType" in (mine, other) or "[]" in (mine, other), (name, mine, other)


@pytest.fixture(scope="module")
def traded(running: Running) -> Iterator[Running]:
    """With a bought coin, an open order and a cancelled one."""
    running.order("BUY", "MARKET", quantity="0.001")
    bid = float(running.get("/api/v3/ticker/bookTicker", symbol="BTCUSDT")["bidPrice"])
    limit = {"quantity": "0.001", "price": f"{bid * 0.9:.2f}", "timeInForce": "GTC"}
    running.order("BUY", "LIMIT", **limit)
    yield running
    running.call("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")


@pytest.mark.parametrize(
    ("recorded", "path", "params"),
    [
        ("http_json/book_ticker_response.json", "ticker/bookTicker", {}),
        ("http_json/depth_response.json", "depth", {}),
        ("http_json/server_time_response.json", "time", {"symbol": None}),
        ("http_json/ticker_24hr_response.json", "ticker/24hr", {}),
        ("http_json/ticker_price_response.json", "ticker/price", {}),
        ("http_json/trades_response.json", "trades", {}),
        ("http_json/avg_price_response.json", "avgPrice", {}),
        ("/" + OLD_RESOURCES + "http_spot_market_agg_trades.json", "aggTrades", {}),
    ],
)
def test_market_calls(traded: Running, recorded: str, path: str, params: dict[str, Any]) -> None:
    wanted = {name: value for name, value in ({"symbol": "BTCUSDT"} | params).items() if value is not None}
    ours, theirs = traded.get(f"/api/v3/{path}", **wanted), fixture(recorded)
    if isinstance(ours, list):
        ours, theirs = ours[0], theirs[0] if isinstance(theirs, list) else theirs
    same_shape(ours, theirs[0] if isinstance(theirs, list) else theirs)


def test_candles(traded: Running) -> None:
    ours = traded.get("/api/v3/klines", symbol="BTCUSDT", interval="1m")[0]
    assert [kind(v) for v in ours] == [kind(v) for v in fixture("http_json/klines_response.json")[0]]


def test_exchange_information(traded: Running) -> None:
    ours, theirs = traded.get("/api/v3/exchangeInfo"), fixture("http_json/exchange_info_response.json")
    assert set(theirs) - set(ours) <= {"sors"}
    same_shape(ours["symbols"][0], theirs["symbols"][0])
    old = fixture("/" + OLD_RESOURCES + "http_spot_market_exchange_info.json")["symbols"][0]["filters"]
    known = {one["filterType"]: one for one in old}
    for one in ours["symbols"][0]["filters"]:
        if one["filterType"] in known:
            assert set(one) == set(known[one["filterType"]])


def test_account_and_orders(traded: Running) -> None:
    same_shape(traded.call("GET", "/api/v3/account")[1], fixture("http_json/account_response.json"))
    trades = traded.call("GET", "/api/v3/myTrades", symbol="BTCUSDT")[1]
    same_shape(trades[0], fixture("http_json/account_trades_response.json")[0])
    listed = traded.call("GET", "/api/v3/openOrders", symbol="BTCUSDT")[1]
    same_shape(listed[0], fixture("http_json/open_orders_response.json")[0])
    bought = traded.order("BUY", "MARKET", quantity="0.001")[1]
    theirs = fixture("http_json/new_order_full_response.json")
    same_shape(bought, theirs)
    same_shape(bought["fills"][0], theirs["fills"][0])
    gone = traded.call("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=listed[0]["orderId"])[1]
    same_shape(gone, fixture("http_json/cancel_order_response.json"))


def test_user_stream(traded: Running) -> None:
    from engine.sandbox.accounts import Report
    from engine.sandbox.binance_spot.order_shapes import account_position, execution_report

    exchange = traded.exchange
    heard: list[Report] = []
    exchange.accounts.all[0].listeners.append(heard.append)
    traded.order("BUY", "MARKET", quantity="0.001")
    exchange.accounts.all[0].listeners.remove(heard.append)
    wrapped = fixture("user_data_json/execution_report_wrapped.json")["event"]
    for report, name in zip(heard, ("new", "trade"), strict=True):
        ours = json.loads(json.dumps(execution_report(exchange, report)))
        same_shape(ours, fixture(f"user_data_json/execution_report_{name}.json"))
        assert set(wrapped) == set(ours)
    same_shape(account_position(exchange, heard[-1]), fixture("user_data_json/account_position.json"))


def recorded_events() -> dict[str, Any]:
    """The first message of each kind of stream in the raw capture."""
    found: dict[str, Any] = {}
    with gzip.open(raw("cryptofeed_BINANCE.ws.1.0.gz"), "rt") as lines:
        for line in lines:
            if '"stream"' in line and "data" in line:
                message = json.loads(line[line.index("{") :])
                found.setdefault(message["stream"].partition("@")[2], message["data"])
    return found


def test_streams(traded: Running) -> None:
    recorded = recorded_events()

    async def conversation() -> dict[str, Any]:
        heard: dict[str, Any] = {}
        names = "/".join(f"btcusdt@{name}" for name in recorded)
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{traded.ws}/stream?streams={names}") as ws:
                await asyncio.to_thread(traded.advance, 100)
                while set(recorded) - set(heard):
                    message = json.loads((await ws.receive(10)).data)
                    heard.setdefault(message["stream"].partition("@")[2], message["data"])
        return heard

    heard = asyncio.run(asyncio.wait_for(conversation(), 15))
    assert len(recorded) >= 4
    for name, theirs in recorded.items():
        same_shape(heard[name], theirs, GONE.get(name, set()))
        if "k" in theirs:
            same_shape(heard[name]["k"], theirs["k"])
