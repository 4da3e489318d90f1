"""binance-connector-python (the modular binance-sdk-spot), RSA key, REST and sockets: prints what it saw as JSON."""

import asyncio
import json
import sys
import urllib.request

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_sdk_spot.spot import Spot

line = json.load(sys.stdin)
venue = line["venues"]["binance_spot"]
key = next(one for one in venue["accounts"][0]["keys"] if one["type"] == "RSA")
spot = Spot(
    config_rest_api=ConfigurationRestAPI(api_key=key["key"], private_key=key["secret"], base_path=venue["rest"]),
    config_ws_api=ConfigurationWebSocketAPI(api_key=key["key"], private_key=key["secret"], stream_url=venue["ws_api"]),
    config_ws_streams=ConfigurationWebSocketStreams(stream_url=venue["ws"]),
)


def advance() -> None:
    body = json.dumps({"events": 400}).encode()
    urllib.request.urlopen(urllib.request.Request(line["control"] + "/advance", body, method="POST"), timeout=10).read()


def rest() -> dict[str, object]:
    api = spot.rest_api
    price = float(api.ticker_book_ticker(symbol="BTCUSDT").data().actual_instance.bid_price)
    bought = api.new_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.002).data()
    placed = api.new_order(
        symbol="BTCUSDT", side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.001, price=round(price * 0.95, 2)
    ).data()
    gone = api.delete_order(symbol="BTCUSDT", order_id=placed.order_id).data()
    account = api.get_account(omit_zero_balances=True).data()
    return {
        "bought": bought.status, "placed": placed.status, "gone": gone.status,
        "assets": sorted(one.asset for one in account.balances),
    }  # fmt: skip


async def sockets() -> dict[str, object]:
    heard: asyncio.Queue[object] = asyncio.Queue()
    streams = await spot.websocket_streams.create_connection()
    stream = await streams.book_ticker(symbol="btcusdt")
    stream.on("message", heard.put_nowait)
    await asyncio.to_thread(advance)
    quote = await asyncio.wait_for(heard.get(), 10)
    api = await spot.websocket_api.create_connection()
    answer = await api.order_place(symbol="BTCUSDT", side="SELL", type="MARKET", quantity=0.001)
    await api.close_connection(close_session=True)
    await streams.close_connection(close_session=True)
    return {"quote": quote.s, "sold": answer.data().result.status}


print(json.dumps(rest() | asyncio.run(asyncio.wait_for(sockets(), 40))))
