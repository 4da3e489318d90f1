"""ccxt's futures client, sync, async and pro, with only URLs and keys changed, trades on the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from running_usdm import RunningUsdm

ccxt = pytest.importorskip("ccxt")
ccxt_async = pytest.importorskip("ccxt.async_support")
ccxt_pro = pytest.importorskip("ccxt.pro")
PAIR = "BTC/USDT:USDT"


@pytest.fixture(scope="module")
def usdm() -> Iterator[RunningUsdm]:
    started = RunningUsdm(accounts=3)
    yield started
    started.stop()


def pointed(exchange: Any, usdm: RunningUsdm) -> Any:
    """The client with its URLs turned to the sandbox."""
    api = exchange.urls["api"]
    for name in list(api):
        if name.startswith("fapiP"):
            version = name[-2:].lower() if name[-2] == "V" else "v1"
            api[name] = f"{usdm.rest}/fapi/{version}"
    if "ws" in api:
        api["ws"]["linear"] = usdm.ws + "/ws"
        api["ws"]["ws-api"]["linear"] = usdm.ws_api
    exchange.options["fetchCurrencies"] = False  # spot's wallet has another host
    exchange.has["fetchCurrencies"] = False
    return exchange


def settings(usdm: RunningUsdm, kind: str = "HMAC", account: int = 0) -> dict[str, Any]:
    key, secret = usdm.key(kind, account)
    return {"apiKey": key, "secret": secret, "enableRateLimit": False}


@pytest.fixture(scope="module")
def client(usdm: RunningUsdm) -> Any:
    return pointed(ccxt.binanceusdm(settings(usdm)), usdm)


@pytest.fixture
def flat(usdm: RunningUsdm) -> Iterator[None]:
    yield
    usdm.flatten()


def test_markets_carry_the_filters(client: Any) -> None:
    market = client.load_markets()[PAIR]
    assert market["swap"] and market["linear"] and market["active"] and market["settle"] == "USDT"
    assert market["precision"] == {"amount": 1e-05, "price": 0.01, "base": 1e-08, "quote": 1e-08}
    assert market["limits"]["cost"]["min"] == 5


def test_the_market_can_be_watched(client: Any) -> None:
    assert client.fetch_time() > 1.7e12
    book = client.fetch_order_book(PAIR, 5)
    assert len(book["bids"]) == 5 and book["bids"][0][0] < book["asks"][0][0]
    assert client.fetch_bids_asks([PAIR])[PAIR]["ask"] == book["asks"][0][0]
    ticker = client.fetch_ticker(PAIR)
    assert ticker["low"] <= ticker["last"] <= ticker["high"]
    trades = client.fetch_trades(PAIR, limit=20)
    assert len(trades) == 20 and trades[-1]["price"] == ticker["last"]
    candles = client.fetch_ohlcv(PAIR, "1m", limit=5)
    assert len(candles) == 5 and candles[-2][5] > 0
    funding = client.fetch_funding_rate(PAIR)
    assert abs(funding["fundingRate"]) < 0.001 and funding["markPrice"] > 0
    assert client.fetch_mark_price(PAIR)["markPrice"] == pytest.approx(funding["markPrice"])
    assert client.fetch_open_interest(PAIR)["openInterestAmount"] >= 0


def test_a_position_opens_and_closes(client: Any, flat: None) -> None:
    before = client.fetch_balance()["USDT"]
    assert client.set_leverage(10, PAIR)["leverage"] in (10, "10")
    client.set_margin_mode("isolated", PAIR)
    bought = client.create_order(PAIR, "market", "buy", 0.01)
    assert bought["status"] == "closed" and bought["filled"] == 0.01
    (position,) = client.fetch_positions([PAIR])
    assert position["side"] == "long" and position["contracts"] == 0.01 and position["entryPrice"] > 0
    assert position["liquidationPrice"] < position["entryPrice"]
    assert position["initialMargin"] == pytest.approx(bought["cost"] / 10, rel=1e-3)
    sold = client.create_order(PAIR, "market", "sell", 0.01, None, {"reduceOnly": True})
    assert sold["status"] == "closed" and client.fetch_positions([PAIR]) == []
    client.set_margin_mode("cross", PAIR)
    mine = client.fetch_my_trades(PAIR)
    fees = sum(trade["fee"]["cost"] for trade in mine)
    profit = sum(float(trade["info"]["realizedPnl"]) for trade in mine)
    after = client.fetch_balance()["USDT"]
    assert after["total"] - before["total"] == pytest.approx(profit - fees, abs=1e-8)
    kinds = {row["info"]["incomeType"] for row in client.fetch_ledger("USDT", params={"type": "swap"})}
    assert {"COMMISSION", "REALIZED_PNL"} <= kinds


def test_orders_live_are_changed_and_cancelled(client: Any, usdm: RunningUsdm) -> None:
    order = client.create_order(PAIR, "limit", "buy", 0.01, float(usdm.price(0.95)))
    assert order["status"] == "open"
    edited = client.edit_order(order["id"], PAIR, "limit", "buy", 0.02, float(usdm.price(0.94)))
    assert edited["id"] == order["id"] and edited["amount"] == 0.02
    assert [one["id"] for one in client.fetch_open_orders(PAIR)] == [order["id"]]
    assert client.fetch_order(order["id"], PAIR)["price"] == float(usdm.price(0.94))
    assert client.cancel_order(order["id"], PAIR)["status"] == "canceled"
    assert client.fetch_open_orders(PAIR) == []
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order(order["id"], PAIR)


def test_a_stop_lives_in_the_other_book(client: Any, usdm: RunningUsdm, flat: None) -> None:
    client.create_order(PAIR, "market", "buy", 0.01)
    trigger = float(usdm.price(0.97))
    stop = client.create_order(PAIR, "market", "sell", 0.01, None, {"stopLossPrice": trigger, "reduceOnly": True})
    assert client.fetch_open_orders(PAIR) == []
    (found,) = client.fetch_open_orders(PAIR, params={"trigger": True})
    assert found["id"] == stop["id"] and found["triggerPrice"] == trigger
    assert client.fetch_order(stop["id"], PAIR, {"trigger": True})["status"] == "open"
    with pytest.raises(ccxt.OrderNotFound):
        client.fetch_order(stop["id"], PAIR)
    client.cancel_order(stop["id"], PAIR, {"trigger": True})
    assert client.fetch_open_orders(PAIR, params={"trigger": True}) == []


def test_refusals_become_ccxt_errors(client: Any, usdm: RunningUsdm) -> None:
    """Where ccxt chooses the class by the exchange's host name, the code must be the exchange's."""
    with pytest.raises(ccxt.ExchangeError, match="-2019"):
        client.create_order(PAIR, "limit", "buy", 5, float(usdm.price(0.99)))
    with pytest.raises(ccxt.InvalidOrder, match="-5022"):
        client.create_order(PAIR, "limit", "buy", 0.01, float(usdm.price(1.01)), {"postOnly": True})
    with pytest.raises(ccxt.ExchangeError, match="-2022"):
        client.create_order(PAIR, "market", "sell", 0.01, None, {"reduceOnly": True})
    with pytest.raises(ccxt.ExchangeError, match="-4164"):
        client.create_order(PAIR, "limit", "buy", 0.00001, float(usdm.price(0.99)))


def test_leverage_margin_and_mode_settings(client: Any) -> None:
    assert client.fetch_position_mode(PAIR)["hedged"] is False
    assert client.fetch_leverage_tiers([PAIR])[PAIR][0]["maxLeverage"] == 20
    assert client.fetch_leverages([PAIR])[PAIR]["longLeverage"] >= 1
    assert client.fetch_trading_fee(PAIR)["taker"] == 0.0005
    with pytest.raises(ccxt.BadRequest):
        client.set_leverage(125, PAIR)


@pytest.mark.parametrize("kind", ["RSA", "ED25519"])
def test_other_keys_sign_too(usdm: RunningUsdm, kind: str) -> None:
    client = pointed(ccxt.binanceusdm(settings(usdm, kind)), usdm)
    assert client.fetch_balance()["USDT"]["total"] > 0


def test_the_asynchronous_client(usdm: RunningUsdm) -> None:
    async def trade() -> tuple[Any, Any]:
        client = pointed(ccxt_async.binanceusdm(settings(usdm, account=1)), usdm)
        try:
            await client.load_markets()
            bought = await client.create_order(PAIR, "market", "buy", 0.001)
            return bought, await client.fetch_positions([PAIR])
        finally:
            await client.close()

    bought, positions = asyncio.run(trade())
    assert bought["filled"] == 0.001 and positions[0]["contracts"] == 0.001


async def moved(usdm: RunningUsdm, watching: Any) -> Any:
    """What a watch call gives while the market moves on."""
    task = asyncio.ensure_future(watching)
    while not task.done():
        await asyncio.to_thread(usdm.advance, 20)
        await asyncio.wait([task], timeout=0.1)
    return task.result()


def test_pro_watches_the_market(usdm: RunningUsdm) -> None:
    async def watch() -> Any:
        client = pointed(ccxt_pro.binanceusdm(settings(usdm)), usdm)
        try:
            await client.load_markets()
            return [
                await moved(usdm, client.watch_order_book(PAIR)),
                await moved(usdm, client.watch_trades(PAIR)),
                await moved(usdm, client.watch_ticker(PAIR)),
                await moved(usdm, client.watch_bids_asks([PAIR])),
                await moved(usdm, client.watch_ohlcv(PAIR, "1m")),
                await moved(usdm, client.watch_mark_price(PAIR)),
            ]
        finally:
            await client.close()

    book, trades, ticker, touch, candles, mark = asyncio.run(asyncio.wait_for(watch(), 20))
    assert book["bids"][0][0] < book["asks"][0][0] and book["nonce"]
    assert trades[0]["symbol"] == PAIR and ticker["last"] > 0 and touch[PAIR]["bid"] > 0 and len(candles[0]) == 6
    assert mark["markPrice"] > 0


def test_pro_watches_orders_positions_and_balance(usdm: RunningUsdm) -> None:
    async def trade() -> Any:
        client = pointed(ccxt_pro.binanceusdm(settings(usdm, account=2)), usdm)
        client.options["watchPositions"] = {"fetchPositionsSnapshot": False}
        client.options["watchBalance"] = {"fetchBalanceSnapshot": False, "awaitBalanceSnapshot": False}
        try:
            await client.load_markets()
            watching = [
                asyncio.ensure_future(work)
                for work in (client.watch_orders(PAIR), client.watch_positions([PAIR]), client.watch_balance())
            ]
            await asyncio.to_thread(_listened, usdm, 2)
            placed = await client.create_order_ws(PAIR, "market", "buy", 0.001)
            return placed, *(await asyncio.gather(*watching))
        finally:
            await client.close()

    placed, orders, positions, balance = asyncio.run(asyncio.wait_for(trade(), 20))
    assert placed["status"] == "closed" and orders[-1]["id"] == placed["id"]
    assert positions[-1]["contracts"] == 0.001 and positions[-1]["side"] == "long"
    assert balance["USDT"]["total"] > 0


def _listened(usdm: RunningUsdm, account: int) -> None:
    """Wait until the account's user stream is connected."""
    trader = usdm.futures.accounts.all[account]

    async def connected() -> None:
        while not trader.listeners:
            await asyncio.sleep(0.01)

    usdm.run(connected())
