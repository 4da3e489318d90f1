"""python-binance, asynchronous, its futures sockets and WS API: prints what it saw as JSON.

With an HMAC key: on the futures WS API this client encodes Ed25519 signatures as for an URL, which no exchange reads.
"""

import asyncio
import json
import sys
import urllib.request

from binance import AsyncClient, BinanceSocketManager
from binance.ws.reconnecting_websocket import ReconnectingWebsocket

line = json.load(sys.stdin)
venue = line["venues"]["binance_usdm"]
account = venue["accounts"][0]
AsyncClient.FUTURES_URL = venue["rest"] + "/fapi"
AsyncClient.WS_FUTURES_URL = venue["ws_api"]
AsyncClient.API_URL = line["venues"]["binance_spot"]["rest"] + "/api"  # it pings spot when it is made
BinanceSocketManager.FSTREAM_URL = venue["ws"] + "/"
ReconnectingWebsocket.TIMEOUT = 1


def advance() -> None:
    body = json.dumps({"events": 200}).encode()
    urllib.request.urlopen(urllib.request.Request(line["control"] + "/advance", body, method="POST"), timeout=10).read()


async def main() -> None:
    client = await AsyncClient.create(account["key"], account["secret"])
    manager = BinanceSocketManager(client)
    seen: dict[str, object] = {}
    async with (
        manager.symbol_ticker_futures_socket("BTCUSDT") as quotes,
        manager.futures_multiplex_socket(["btcusdt@aggTrade", "btcusdt@markPrice@1s"]) as trades,
    ):
        await asyncio.to_thread(advance)
        seen["quote"] = (await asyncio.wait_for(quotes.recv(), 10))["data"]["e"]
        market: set[str] = set()
        while len(market) < 2:
            market.add((await asyncio.wait_for(trades.recv(), 10))["data"]["e"])
        seen["market"] = sorted(market)
    async with manager.futures_user_socket() as user:
        bought = await client.futures_create_order(
            symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.00200", newOrderRespType="RESULT"
        )
        seen["bought"] = bought["status"]
        events = [await asyncio.wait_for(user.recv(), 10) for _ in range(3)]
        seen["events"] = [one["o"]["x"] if "o" in one else one["e"] for one in events]
    sold = await client.ws_futures_create_order(
        symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.00200", newOrderRespType="RESULT"
    )
    seen["sold"] = sold["status"]
    seen["flat"] = await client.futures_position_information(symbol="BTCUSDT")
    await client.close_connection()
    print(json.dumps(seen))


asyncio.run(asyncio.wait_for(main(), 40))
