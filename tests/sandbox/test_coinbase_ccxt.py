"""ccxt's coinbase, sync, async and pro, with only URLs and keys changed, trades on the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from running_coinbase import RunningCoinbase

ccxt = pytest.importorskip("ccxt")
ccxt_async = pytest.importorskip("ccxt.async_support")
ccxt_pro = pytest.importorskip("ccxt.pro")
PAIR = "BTC/USD"


@pytest.fixture(scope="module")
def running() -> Iterator[RunningCoinbase]:
    started = RunningCoinbase(speed=0.0)
    yield started
    started.stop()


def pointed(exchange: Any, running: RunningCoinbase) -> Any:
    """The client with its URLs turned to the sandbox."""
    exchange.urls["api"]["rest"] = running.coinbase["rest"]
    if "ws" in exchange.urls["api"]:
        exchange.urls["api"]["ws"] = running.coinbase["ws"]
    return exchange


def settings(running: RunningCoinbase, kind: str = "ES256") -> dict[str, Any]:
    name, secret = running.pair(kind)
    return {"apiKey": name, "secret": secret}


@pytest.fixture(scope="module")
def client(running: RunningCoinbase) -> Any:
    return pointed(ccxt.coinbase(settings(running)), running)


def test_markets_carry_steps_minimums_and_fees(client: Any) -> None:
    markets = client.load_markets()
    assert set(markets) == {"BTC/USD", "ETH/USD", "BTC/USDC", "ETH/USDC"}
    market = markets[PAIR]
    assert market["spot"] and market["active"] and (market["taker"], market["maker"]) == (0.001, 0.001)
    assert market["precision"]["price"] == 0.01 and market["limits"]["cost"]["min"] > 0
    assert {"BTC", "ETH", "USD", "USDC"} <= set(client.currencies)


def test_the_market_can_be_watched(client: Any) -> None:
    assert client.fetch_time() > 1.7e12
    book = client.fetch_order_book(PAIR, 5)
    assert len(book["bids"]) == 5 and book["bids"][0][0] < book["asks"][0][0]
    ticker = client.fetch_ticker(PAIR)
    assert (ticker["bid"], ticker["ask"]) == (book["bids"][0][0], book["asks"][0][0])
    trades = client.fetch_trades(PAIR, limit=20)
    assert len(trades) == 20 and trades[-1]["price"] == ticker["last"]
    candles = client.fetch_ohlcv(PAIR, "1m", limit=5)
    assert len(candles) >= 4 and candles[-1][4] == ticker["last"]
    assert set(client.fetch_tickers([PAIR, "ETH/USD"])) == {PAIR, "ETH/USD"}
    assert client.fetch_bids_asks([PAIR])[PAIR]["ask"] == book["asks"][0][0]


def test_an_order_lives_and_is_cancelled(client: Any) -> None:
    price = float(client.price_to_precision(PAIR, client.fetch_order_book(PAIR, 1)["bids"][0][0] * 0.95))
    made = client.create_order(PAIR, "limit", "buy", 0.01, price, {"postOnly": True})
    order = client.fetch_order(made["id"], PAIR)
    assert (order["status"], order["filled"], order["price"], order["postOnly"]) == ("open", 0, price, True)
    held = client.fetch_balance({"v3": True})["USD"]
    assert held["used"] == pytest.approx(price * 0.01 * 1.001) and held["total"] == 10_000
    assert [one["id"] for one in client.fetch_open_orders(PAIR)] == [made["id"]]
    client.cancel_order(made["id"], PAIR)
    assert client.fetch_open_orders(PAIR) == []
    assert client.fetch_canceled_orders(PAIR)[-1]["id"] == made["id"]
    with pytest.raises(ccxt.BadRequest):
        client.cancel_order(made["id"], PAIR)


def test_money_and_coins_move(client: Any) -> None:
    before = client.fetch_balance()["USD"]["total"]
    bought = client.fetch_order(client.create_market_buy_order_with_cost(PAIR, 300)["id"], PAIR)
    assert bought["status"] == "closed" and bought["fee"]["currency"] == "USD"
    spent = before - client.fetch_balance()["USD"]["total"]
    assert spent == pytest.approx(bought["cost"] + float(bought["fee"]["cost"])) and 298 < spent <= 300
    sold = client.create_order(PAIR, "market", "sell", 0.001)
    mine = client.fetch_my_trades(PAIR)
    assert [trade["side"] for trade in mine if trade["order"] == sold["id"]][0] == "sell"
    assert sum(trade["amount"] for trade in mine if trade["order"] == bought["id"]) == pytest.approx(bought["filled"])
    assert client.fetch_closed_orders(PAIR)[-1]["id"] == sold["id"]
    assert client.fetch_trading_fees()[PAIR]["taker"] == 0.001


def test_stops_wait_in_both_directions(client: Any) -> None:
    bid = client.fetch_order_book(PAIR, 1)["bids"][0][0]
    loss = client.create_order(PAIR, "limit", "sell", 0.001, bid * 0.8, {"stopLossPrice": bid * 0.9})
    assert client.fetch_order(loss["id"])["triggerPrice"] == pytest.approx(bid * 0.9, abs=0.01)
    gain = client.create_order(PAIR, "limit", "sell", 0.001, bid * 1.2, {"takeProfitPrice": bid * 1.1})
    assert {one["id"] for one in client.fetch_open_orders(PAIR)} == {loss["id"], gain["id"]}
    client.cancel_orders([loss["id"], gain["id"]])


def test_refusals_become_ccxt_errors(client: Any, running: RunningCoinbase) -> None:
    ask = client.fetch_order_book(PAIR, 1)["asks"][0][0]
    with pytest.raises(ccxt.InsufficientFunds):
        client.create_order(PAIR, "limit", "buy", 5, ask * 0.9)
    with pytest.raises(ccxt.ExchangeError, match="PREVIEW_INVALID_LIMIT_PRICE_POST_ONLY"):
        client.create_order(PAIR, "limit", "buy", 0.01, ask * 1.1, {"postOnly": True})
    with pytest.raises(ccxt.InvalidOrder, match="ABOVE_LAST_TRADE_PRICE"):
        client.create_order(PAIR, "limit", "sell", 0.001, ask, {"stopLossPrice": ask * 1.2})
    stranger = pointed(ccxt.coinbase(settings(running) | {"apiKey": "organizations/a/apiKeys/b"}), running)
    with pytest.raises(ccxt.AuthenticationError):
        stranger.fetch_accounts()


def test_the_newer_kind_of_key_works_too(running: RunningCoinbase) -> None:
    client = pointed(ccxt.coinbase(settings(running, "EdDSA")), running)
    assert {one["code"] for one in client.fetch_accounts()} == {"BTC", "ETH", "USD", "USDC"}


def test_async_trades_as_well(running: RunningCoinbase) -> None:
    async def conversation() -> tuple[Any, Any]:
        client = pointed(ccxt_async.coinbase(settings(running)), running)
        try:
            book = await client.fetch_order_book("BTC/USDC", 1)
            made = await client.create_order("BTC/USDC", "limit", "buy", 0.001, book["bids"][0][0] * 0.9)
            await client.cancel_order(made["id"])
            return made, await client.fetch_order(made["id"])
        finally:
            await client.close()

    made, order = asyncio.run(conversation())
    assert (order["id"], order["status"], order["symbol"]) == (made["id"], "canceled", "BTC/USDC")


def test_pro_watches_books_tickers_trades_and_orders(running: RunningCoinbase) -> None:
    async def conversation() -> dict[str, Any]:
        client = pointed(ccxt_pro.coinbase(settings(running)), running)
        try:
            async with asyncio.timeout(15):
                await client.load_markets()
                found = {"book": (await client.watch_order_book(PAIR)).copy()}
                await asyncio.to_thread(running.advance, 100)
                found["ticker"] = await client.watch_ticker(PAIR)
                found["trades"] = await client.watch_trades(PAIR)
                later = asyncio.create_task(client.watch_orders(PAIR))
                await asyncio.sleep(0)
                price = found["ticker"]["bid"] * 0.9
                made = await client.create_order(PAIR, "limit", "buy", 0.001, price)
                orders = await later
                while not orders or orders[-1]["id"] != made["id"]:
                    orders = await client.watch_orders(PAIR)
                found["order"], found["made"] = dict(orders[-1]), made
                await client.cancel_order(made["id"])
                found["usdc"] = (await client.watch_order_book("BTC/USDC")).copy()
                return found
        finally:
            await client.close()

    found = asyncio.run(conversation())
    assert found["book"]["bids"][0][0] < found["book"]["asks"][0][0] and len(found["book"]["bids"]) >= 5
    assert found["ticker"]["last"] > 0 and found["trades"][-1]["price"] > 0
    assert found["order"]["id"] == found["made"]["id"] and found["order"]["status"] == "open"
    assert found["usdc"]["bids"][0][0] == pytest.approx(found["ticker"]["bid"], rel=0.01)
