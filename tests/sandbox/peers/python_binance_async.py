"""python-binance, asynchronous, Ed25519 key, with its socket manager: prints what it saw as JSON."""

import asyncio
import json
import sys
import urllib.request

from binance import AsyncClient, BinanceSocketManager
from binance.ws.reconnecting_websocket import ReconnectingWebsocket

line = json.load(sys.stdin)
venue = line["venues"]["binance_spot"]
key = next(one for one in venue["accounts"][0]["keys"] if one["type"] == "ED25519")
AsyncClient.API_URL = venue["rest"] + "/api"
AsyncClient.WS_API_URL = venue["ws_api"]
ReconnectingWebsocket.TIMEOUT = 1  # how long leaving a silent socket takes; else ten seconds each
BinanceSocketManager.STREAM_URL = venue["ws"] + "/"


def advance() -> None:
    body = json.dumps({"events": 110}).encode()  # of quotes a client keeps no more than 100 unread
    urllib.request.urlopen(urllib.request.Request(line["control"] + "/advance", body, method="POST"), timeout=10).read()


async def main() -> None:
    client = await AsyncClient.create(key["key"], private_key=key["secret"])
    manager = BinanceSocketManager(client)
    seen: dict[str, object] = {}
    async with (
        manager.symbol_ticker_socket("BTCUSDT"),
        manager.multiplex_socket(["btcusdt@bookTicker", "ethusdt@bookTicker"]) as quotes,
        manager.trade_socket("BTCUSDT") as trades,
    ):
        await asyncio.to_thread(advance)
        seen["quotes"] = sorted({(await quotes.recv())["data"]["s"] for _ in range(60)})
        seen["trade"] = (await trades.recv())["e"]
    async with manager.user_socket() as user:
        bought = await client.create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.00200")
        seen["bought"] = bought["status"]
        events = [await asyncio.wait_for(user.recv(), 10) for _ in range(4)]
        seen["events"] = [one.get("x", one["e"]) for one in events]
    placed = await client.ws_create_order(symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.00100")
    seen["sold"] = placed["status"]
    seen["account"] = (await client.get_account())["accountType"]
    await client.close_connection()
    print(json.dumps(seen))


asyncio.run(asyncio.wait_for(main(), 40))
