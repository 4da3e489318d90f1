"""What the sandbox says has the keys and the kinds of values of what Coinbase was recorded saying."""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_coinbase import V3, RunningCoinbase

DATA = Path(os.environ.get("KEEL_DATA_DIR", "../shared/data"))
FIXTURES = "crates/adapters/coinbase/test_data/"
ADDED = {"edit_history", "attached_order_configuration", "platform"}
USER_ADDED = {
    "reject_Reason", "completion_percentage", "filled_value", "limit_price", "number_of_fills", "post_only",
    "outstanding_hold_amount", "stop_price", "retail_portfolio_id", "start_time", "end_time",
}  # fmt: skip


@pytest.fixture(scope="module")
def running() -> Iterator[RunningCoinbase]:
    started = RunningCoinbase()
    started.placed("BUY", "market_market_ioc", quote_size="100")
    started.placed("BUY", "limit_limit_gtc", base_size="0.001", limit_price=f"{started.touch()[0] * 0.9:.2f}")
    yield started
    started.stop()


def fixture(name: str) -> Any:
    path = DATA / "raw" / "nautilus_binance_coinbase_fixtures.tar.gz"
    if not path.exists():
        pytest.skip(f"recorded payloads are absent: {path.name} (KEEL_DATA_DIR)")
    with tarfile.open(path) as archive:
        member = archive.extractfile(FIXTURES + name)
        assert member is not None
        return json.load(member)


def kind(value: Any) -> str:
    """Numbers as text keep being text; lists and objects are compared inside."""
    if isinstance(value, str):
        return (
            "number" if re.fullmatch(r"-?\d+(\.\d+)?", value) else "time" if re.match(r"\d{4}-\d\d-", value) else "text"
        )
    return type(value).__name__


def differences(ours: Any, theirs: Any, place: str, added: set[str] = ADDED) -> list[str]:
    """Where two documents have other keys or other kinds of values. Empty texts and nulls say nothing of a kind."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if place.endswith(("order_configuration", "subscriptions")):
            return []
        found = [f"{place}.{name} is missing" for name in theirs.keys() - ours.keys()]
        found += [f"{place}.{name} is new" for name in ours.keys() - theirs.keys() - added]
        for name in ours.keys() & theirs.keys():
            found += differences(ours[name], theirs[name], f"{place}.{name}", added)
        return found
    if isinstance(ours, list) and isinstance(theirs, list):
        return differences(ours[0], theirs[0], f"{place}[0]", added) if ours and theirs else []
    mine, other = kind(ours), kind(theirs)
    if mine == other or "NoneType" in (mine, other) or "" in (ours, theirs) or place.endswith(("_id", "_time")):
        return []
    return [f"{place} is {mine} {ours!r}, not {other} {theirs!r}"]


@pytest.mark.parametrize(
    ("name", "path", "params"),
    [
        ("http_products.json", "/market/products", {}),
        ("http_product.json", "/products/BTC-USD", {}),
        ("http_product_book.json", "/product_book", {"product_id": "BTC-USD", "limit": 5}),
        ("http_ticker.json", "/market/products/BTC-USD/ticker", {"limit": 3}),
        ("http_candles.json", "/products/BTC-USD/candles", {"granularity": "ONE_MINUTE", "start": "S", "end": "E"}),
        ("http_accounts.json", "/accounts", {}),
        ("http_orders_list.json", "/orders/historical/batch", {}),
        ("http_fills.json", "/orders/historical/fills", {}),
    ],
)
def test_rest_answers_have_the_recorded_shape(running: RunningCoinbase, name: str, path: str, params: Any) -> None:
    now = running.now_s()
    times = {"S": str(now - 900), "E": str(now)}
    ours = running.ask(path, **{key: times.get(value, value) for key, value in params.items()})
    extra = {"num_products", "sequence", "has_next"}  # the recordings were cut to what their tests need
    assert differences(ours, fixture(name), name, ADDED | extra) == []


def test_one_order_has_the_recorded_shape(running: RunningCoinbase) -> None:
    for one in running.ask("/orders/historical/batch")["orders"]:
        assert differences({"order": running.named(one["order_id"])}, fixture("http_order.json"), "order") == []


def test_the_market_tells_one_story(running: RunningCoinbase) -> None:
    now = running.now_s()
    span: dict[str, Any] = {"granularity": "FIVE_MINUTE", "start": now - 3600, "end": now}
    candles = running.ask("/market/products/BTC-USD/candles", **span)["candles"]
    starts = [int(one["start"]) for one in candles]
    assert starts == sorted(starts, reverse=True) and all(start % 300 == 0 for start in starts)
    ticker = running.ask("/products/BTC-USD/ticker", limit=1)
    price = running.ask("/products/BTC-USD")["price"]
    assert price == ticker["trades"][0]["price"] == candles[0]["close"]
    book = running.ask("/product_book", product_id="BTC-USD")
    assert book["pricebook"]["bids"][0]["price"] == ticker["best_bid"]
    assert float(book["spread_absolute"]) == pytest.approx(float(ticker["best_ask"]) - float(ticker["best_bid"]))
    assert running.send("GET", f"{V3}/products/BTC-USD/candles", granularity="ONE_MINUTE")[0] == 400
    assert running.send("GET", f"{V3}/products/BTC-USD/candles", **(span | {"start": 0}))[0] == 400
    assert running.ask("/market/products", product_type="FUTURE")["num_products"] == 0
    assert running.send("GET", f"{V3}/market/products", token=None, limit=1)[1]["num_products"] == 1


def subscribe(channel: str, *products: str, **more: str) -> dict[str, Any]:
    return {"type": "subscribe", "channel": channel, "product_ids": list(products), **more}


@pytest.mark.parametrize("name", ["l2_data_snapshot", "l2_data_update", "market_trades", "ticker", "candles"])
def test_websocket_messages_have_the_recorded_shape(running: RunningCoinbase, name: str) -> None:
    theirs = fixture(f"ws_{name}.json")
    channel, wanted = theirs["channel"], theirs["events"][0]["type"]

    def is_it(said: Any) -> bool:
        return bool(said["channel"] == channel and said["events"][0]["type"] == wanted)

    asked = "level2" if channel == "l2_data" else channel
    heard = running.hear(
        [subscribe(asked, "BTC-USD")], lambda said: any(is_it(one) for one in said), lambda: running.advance(300)
    )
    assert differences(next(one for one in heard if is_it(one)), theirs, name) == []


def test_the_user_channel_has_the_recorded_shape(running: RunningCoinbase) -> None:
    heard = running.hear(
        [subscribe("user", jwt=running.websocket_token()), subscribe("heartbeats")],
        lambda said: said[-1]["channel"] == "heartbeats", user=True,
    )  # fmt: skip
    by_channel = {one["channel"]: one for one in heard}
    assert differences(by_channel["user"], fixture("ws_user.json"), "user", USER_ADDED | {"positions"}) == []
    assert differences(by_channel["heartbeats"], fixture("ws_heartbeats.json"), "heartbeats") == []
    assert differences(by_channel["subscriptions"], fixture("ws_subscriptions.json"), "subscriptions") == []
