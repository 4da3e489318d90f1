"""ccxt.pro watches the sandbox and trades on it over the WS API, with only URLs and keys changed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from running_sandbox import Running
from test_ccxt_clients import PAIR, pointed, settings

ccxt_pro = pytest.importorskip("ccxt.pro")


async def moved(running: Running, watching: Any) -> Any:
    """What a watch call gives while the market moves on."""
    task = asyncio.ensure_future(watching)
    while not task.done():
        await asyncio.to_thread(running.advance, 20)
        await asyncio.wait([task], timeout=0.1)
    return task.result()


def test_the_market_is_watched(running: Running) -> None:
    async def watch() -> Any:
        client = pointed(ccxt_pro.binance(settings(running)), running)
        try:
            await client.load_markets()
            found = [
                await moved(running, client.watch_order_book(PAIR)),
                await moved(running, client.watch_trades(PAIR)),
                await moved(running, client.watch_ticker(PAIR)),
                await moved(running, client.watch_bids_asks([PAIR])),
                await moved(running, client.watch_ohlcv(PAIR, "1m")),
            ]
        finally:
            await client.close()
        return found

    book, trades, ticker, touch, candles = asyncio.run(asyncio.wait_for(watch(), 20))
    assert book["bids"][0][0] < book["asks"][0][0] and book["nonce"]
    assert trades[0]["symbol"] == PAIR and ticker["last"] > 0 and touch[PAIR]["bid"] > 0 and len(candles[0]) == 6


def test_orders_and_balances_are_watched(running: Running) -> None:
    async def trade() -> Any:
        client = pointed(ccxt_pro.binance(settings(running)), running)
        try:
            await client.load_markets()
            await client.ensure_user_data_stream_ws_subscribe_signature("spot")
            watching = asyncio.ensure_future(client.watch_orders(PAIR))
            balances = asyncio.ensure_future(client.watch_balance())
            placed = await client.create_order_ws(PAIR, "market", "buy", 0.001)
            return placed, await watching, await balances
        finally:
            await client.close()

    placed, orders, balance = asyncio.run(asyncio.wait_for(trade(), 20))
    assert placed["status"] == "closed" and orders[-1]["id"] == placed["id"]
    assert balance["BTC"]["free"] > 0
