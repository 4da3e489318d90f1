"""ccxt, sync and async, with only URLs and keys changed, trades on the sandbox."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from running_sandbox import Running

ccxt = pytest.importorskip("ccxt")
ccxt_async = pytest.importorskip("ccxt.async_support")
PAIR = "BTC/USDT"


def pointed(exchange: Any, running: Running) -> Any:
    """The client with its URLs turned to the sandbox; only spot markets are asked for."""
    api = exchange.urls["api"]
    api["public"] = api["private"] = running.rest + "/api/v3"
    api["sapi"] = running.rest + "/sapi/v1"
    if "ws" in api:
        api["ws"]["spot"] = running.ws + "/ws"
        api["ws"]["ws-api"]["spot"] = running.ws_api
    exchange.options["fetchMarkets"] = {"types": ["spot"]}
    return exchange


def settings(running: Running, kind: str = "HMAC", account: int = 0) -> dict[str, Any]:
    key, secret = running.key(kind, account)
    return {"apiKey": key, "secret": secret, "enableRateLimit": False}


@pytest.fixture(scope="module")
def client(running: Running) -> Any:
    return pointed(ccxt.binance(settings(running)), running)


def test_markets_carry_the_filters(client: Any) -> None:
    market = client.load_markets()[PAIR]
    assert market["spot"] and market["active"]
    assert market["precision"] == {"amount": 1e-05, "price": 0.01, "base": 1e-08, "quote": 1e-08}
    assert market["limits"]["cost"]["min"] == 5
    assert {"BTC", "ETH", "USDT"} <= set(client.fetch_currencies())


def test_the_market_can_be_watched(client: Any) -> None:
    assert client.fetch_time() > 1.7e12
    book = client.fetch_order_book(PAIR, 5)
    assert len(book["bids"]) == 5 and book["bids"][0][0] < book["asks"][0][0]
    ticker = client.fetch_ticker(PAIR)
    assert ticker["bid"] == book["bids"][0][0] and ticker["low"] <= ticker["last"] <= ticker["high"]
    assert client.fetch_bids_asks([PAIR])[PAIR]["ask"] == book["asks"][0][0]
    trades = client.fetch_trades(PAIR, limit=20)
    assert len(trades) == 20 and trades[-1]["price"] == ticker["last"]
    candles = client.fetch_ohlcv(PAIR, "1m", limit=5)
    assert len(candles) == 5 and candles[-2][5] > 0
    assert {round(b[0] - a[0]) for a, b in zip(candles, candles[1:], strict=False)} == {60_000}
    assert set(client.fetch_tickers([PAIR, "ETH/USDT"])) == {PAIR, "ETH/USDT"}


def test_an_order_lives_and_is_cancelled(client: Any) -> None:
    price = client.price_to_precision(PAIR, client.fetch_ticker(PAIR)["bid"] * 0.95)
    order = client.create_order(PAIR, "limit", "buy", 0.01, price)
    assert order["status"] == "open" and order["filled"] == 0
    held = client.fetch_balance()["USDT"]
    assert held["used"] == pytest.approx(float(price) * 0.01)
    assert [one["id"] for one in client.fetch_open_orders(PAIR)] == [order["id"]]
    assert client.fetch_order(order["id"], PAIR)["price"] == float(price)
    assert client.cancel_order(order["id"], PAIR)["status"] == "canceled"
    assert client.fetch_open_orders(PAIR) == []
    assert client.fetch_balance()["USDT"]["used"] == 0
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order(order["id"], PAIR)


def test_money_and_coins_move_exactly(client: Any) -> None:
    before = client.fetch_balance()
    bought = client.create_order(PAIR, "market", "buy", 0.002)
    assert bought["status"] == "closed" and bought["filled"] == 0.002
    fee = sum(trade["fee"]["cost"] for trade in bought["trades"])
    assert {trade["fee"]["currency"] for trade in bought["trades"]} == {"BTC"} and fee == pytest.approx(2e-6)
    after = client.fetch_balance()
    assert before["USDT"]["total"] - after["USDT"]["total"] == pytest.approx(bought["cost"])
    assert after["BTC"]["total"] - before["BTC"]["total"] == pytest.approx(0.002 - fee)
    client.create_market_buy_order_with_cost(PAIR, 50)
    sold = client.create_order(PAIR, "market", "sell", 0.001)
    assert sold["trades"][0]["fee"]["currency"] == "USDT"
    mine = client.fetch_my_trades(PAIR)
    assert [trade["side"] for trade in mine if trade["order"] == sold["id"]][0] == "sell"
    assert client.fetch_orders(PAIR)[-1]["id"] == sold["id"]


def test_refusals_become_ccxt_errors(client: Any) -> None:
    bid = client.fetch_ticker(PAIR)["bid"]
    with pytest.raises(ccxt.InsufficientFunds):
        client.create_order(PAIR, "limit", "buy", 1, client.price_to_precision(PAIR, bid * 0.9))
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        client.create_order(PAIR, "limit", "buy", 0.01, client.price_to_precision(PAIR, bid * 1.1), {"postOnly": True})
    with pytest.raises(ccxt.InvalidOrder):
        client.create_order(PAIR, "limit", "buy", 0.01, client.price_to_precision(PAIR, bid * 0.5))
    with pytest.raises(ccxt.OrderNotFound):
        client.fetch_order("999999", PAIR)


def test_a_stop_waits_for_its_price(client: Any) -> None:
    client.create_order(PAIR, "market", "buy", 0.002)
    bid = client.fetch_ticker(PAIR)["bid"]
    stop, limit = (client.price_to_precision(PAIR, bid * share) for share in (0.97, 0.96))
    order = client.create_order(PAIR, "limit", "sell", 0.001, limit, {"stopLossPrice": stop})
    found = client.fetch_order(order["id"], PAIR)
    assert found["status"] == "open" and found["triggerPrice"] == float(stop)
    assert found["info"]["type"] == "STOP_LOSS_LIMIT" and found["info"]["isWorking"] is False
    edited = client.edit_order(order["id"], PAIR, "limit", "sell", 0.0015, client.price_to_precision(PAIR, bid * 1.05))
    assert edited["status"] == "open"
    assert [one["id"] for one in client.cancel_all_orders(PAIR)] == [edited["id"]]


@pytest.mark.parametrize("kind", ["RSA", "ED25519"])
def test_other_keys_sign_too(running: Running, kind: str) -> None:
    client = pointed(ccxt.binance(settings(running, kind)), running)
    assert client.fetch_balance()["USDT"]["total"] > 0


def test_the_asynchronous_client(running: Running) -> None:
    async def trade() -> tuple[Any, Any]:
        client = pointed(ccxt_async.binance(settings(running, account=1)), running)
        try:
            await client.load_markets()
            bought, balance = await client.create_order(PAIR, "market", "buy", 0.001), await client.fetch_balance()
        finally:
            await client.close()
        return bought, balance

    bought, balance = asyncio.run(trade())
    assert bought["filled"] == 0.001 and balance["BTC"]["total"] == pytest.approx(0.000999)
