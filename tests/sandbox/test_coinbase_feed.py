"""The websockets: numbered messages, books that stay right, users who hear of their orders, and errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from running_coinbase import V3, RunningCoinbase


@pytest.fixture(scope="module")
def running() -> Iterator[RunningCoinbase]:
    started = RunningCoinbase(accounts=2)
    yield started
    started.stop()


def subscribe(channel: str, *products: str, **more: str) -> dict[str, Any]:
    return {"type": "subscribe", "channel": channel, "product_ids": list(products), **more}


def orders(said: list[Any]) -> list[Any]:
    return [one for m in said if m["channel"] == "user" for event in m["events"] for one in event["orders"]]


def test_a_book_kept_from_the_channel_is_the_book(running: RunningCoinbase) -> None:
    shown: dict[str, Any] = {}

    def act() -> None:
        for _ in range(3):
            running.advance(200)
        shown.update(running.ask("/product_book", product_id="BTC-USD")["pricebook"])  # the market stands still now

    def marks(said: list[Any]) -> int:
        return sum(len(one["events"][0].get("updates", [])) > 0 for one in said if one["channel"] == "l2_data")

    # however many of the three moves one message tells: the last of them leads to the book that is shown
    heard = running.hear(
        [subscribe("level2", "BTC-USDC")], lambda said: marks(said) >= 2 and kept_of(said) == levels_of(shown), act
    )
    assert [one["sequence_num"] for one in heard] == list(range(len(heard)))
    books = [event for one in heard if one["channel"] == "l2_data" for event in one["events"]]
    assert {event["product_id"] for event in books} == {"BTC-USD"}  # the one book of both


def kept_of(said: list[Any]) -> dict[str, dict[str, str]]:
    """Both sides of the book that the channel's messages make."""
    books: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
    for event in (event for one in said if one["channel"] == "l2_data" for event in one["events"]):
        for update in event["updates"]:
            side = books[{"bid": "bids", "offer": "asks"}[update["side"]]]
            side[update["price_level"]] = update["new_quantity"]
    return {name: {price: size for price, size in side.items() if float(size) > 0} for name, side in books.items()}


def levels_of(shown: Any) -> dict[str, dict[str, str]]:
    return {name: {level["price"]: level["size"] for level in shown[name]} for name in ("bids", "asks")}


def test_trades_and_tickers_follow_the_market(running: RunningCoinbase) -> None:
    heard = running.hear(
        [subscribe("market_trades", "BTC-USD"), subscribe("ticker", "BTC-USD"), subscribe("ticker_batch", "ETH-USD")],
        lambda said: (
            {("market_trades", "update"), ("ticker", "update")}
            <= {(one["channel"], one["events"][0].get("type")) for one in said}
        ),
        lambda: running.advance(200),
    )
    assert [one["events"][0]["subscriptions"] for one in heard if one["channel"] == "subscriptions"][-1] == {
        "market_trades": ["BTC-USD"], "ticker": ["BTC-USD"], "ticker_batch": ["ETH-USD"]
    }  # fmt: skip
    snapshot = next(one for one in heard if one["channel"] == "market_trades")["events"][0]
    numbers = [int(trade["trade_id"]) for trade in snapshot["trades"]]
    assert snapshot["type"] == "snapshot" and numbers == sorted(numbers, reverse=True) and len(numbers) == 50
    updates = [one["events"][0] for one in heard if one["channel"] == "market_trades"]
    later = next(event for event in updates if event["type"] == "update")
    assert int(later["trades"][-1]["trade_id"]) == numbers[0] + 1
    batch = next(one for one in heard if one["channel"] == "ticker_batch")["events"][0]["tickers"][0]
    assert "best_bid" not in batch and batch["product_id"] == "ETH-USD"


def test_a_user_hears_of_orders_and_hears_again_after_a_reconnect(running: RunningCoinbase) -> None:
    asked = [subscribe("user", jwt=running.websocket_token())]

    def act() -> None:
        number = running.placed("BUY", "limit_limit_gtc", base_size="0.01", limit_price=price, name="seen")
        running.send("POST", f"{V3}/orders/batch_cancel", {"order_ids": [number]})
        running.placed("BUY", "market_market_ioc", product="BTC-USDC", base_size="0.001", name="usdc")

    price = f"{running.touch()[0] * 0.9:.2f}"
    heard = running.hear(
        asked, lambda said: bool(orders(said)) and orders(said)[-1]["status"] == "FILLED", act, user=True
    )
    assert heard[0]["events"][0] == {
        "type": "snapshot", "orders": [],
        "positions": {"perpetual_futures_positions": [], "expiring_futures_positions": []},
    }  # fmt: skip
    seen = [(one["client_order_id"], one["status"], one["product_id"]) for one in orders(heard)]
    assert seen[:3] == [("seen", "OPEN", "BTC-USD"), ("seen", "CANCELLED", "BTC-USD"), ("usdc", "OPEN", "BTC-USDC")]
    assert orders(heard)[0]["limit_price"] == price and orders(heard)[0]["leaves_quantity"] == "0.01"
    assert orders(heard)[-1]["leaves_quantity"] == "0" and orders(heard)[-1]["cumulative_quantity"] == "0.001"
    again = running.hear(asked, lambda said: bool(orders(said)), user=True)
    assert orders(again)[-1] == orders(heard)[-1] or orders(again)[-1]["order_id"] == orders(heard)[-1]["order_id"]
    other = subscribe("user", jwt=running.websocket_token(account=1))
    assert orders(running.hear([other], lambda said: len(said) == 2, user=True)) == []


def test_who_may_not_subscribe_is_told_so(running: RunningCoinbase) -> None:
    refused = [
        (subscribe("user"), "authentication failure"),
        (subscribe("ticker", "BTC-USD", jwt="x"), "authentication failure"),
        (subscribe("nothing", "BTC-USD"), "failure to subscribe"),
        (subscribe("ticker", "FOO-USD"), "failure to subscribe"),
        (subscribe("ticker"), "failure to subscribe"),
        ({"type": "hello"}, "invalid message type"),
    ]
    heard = running.hear([request for request, _ in refused], bool)
    assert heard == [{"type": "error", "message": message} for _, message in refused]
    assert running.hear([subscribe("ticker", "BTC-USD")], bool, user=True)[0]["message"] == "failure to subscribe"


def test_leaving_a_channel_leaves_the_others(running: RunningCoinbase) -> None:
    leave = {"type": "unsubscribe", "channel": "ticker", "product_ids": ["BTC-USD", "ETH-USD"]}
    asked = [subscribe("ticker", "BTC-USD", "ETH-USD"), subscribe("heartbeats"), leave]
    heard = running.hear(asked, lambda said: said[-1]["channel"] == "heartbeats", lambda: running.advance(100))
    said = [one["events"][0]["subscriptions"] for one in heard if one["channel"] == "subscriptions"]
    assert said == [
        {"ticker": ["BTC-USD", "ETH-USD"]}, {"ticker": ["BTC-USD", "ETH-USD"], "heartbeats": ["heartbeats"]},
        {"heartbeats": ["heartbeats"]},
    ]  # fmt: skip
    assert not any(one["channel"] == "ticker" for one in heard[-2:])
