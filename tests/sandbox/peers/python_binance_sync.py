"""python-binance, blocking, HMAC key: reads the sandbox's start line on stdin, trades, prints what it saw as JSON."""

import json
import sys

from binance.client import Client
from binance.exceptions import BinanceAPIException

line = json.load(sys.stdin)
venue = line["venues"]["binance_spot"]
key = next(one for one in venue["accounts"][0]["keys"] if one["type"] == "HMAC")
Client.API_URL = venue["rest"] + "/api"
client = Client(key["key"], key["secret"])

info = client.get_symbol_info("BTCUSDT")
book = client.get_order_book(symbol="BTCUSDT", limit=5)
ticker = client.get_symbol_ticker(symbol="BTCUSDT")
bid = float(book["bids"][0][0])
candles = client.get_klines(symbol="BTCUSDT", interval=Client.KLINE_INTERVAL_1MINUTE, limit=3)
bought = client.order_market_buy(symbol="BTCUSDT", quantity="0.01000")
limit = client.order_limit_buy(symbol="BTCUSDT", quantity="0.00100", price=f"{bid * 0.95:.2f}")
open_orders = client.get_open_orders(symbol="BTCUSDT")
cancelled = client.cancel_order(symbol="BTCUSDT", orderId=limit["orderId"])
held = client.get_asset_balance("BTC")["free"]
oco = client.create_oco_order(
    symbol="BTCUSDT", side="SELL", quantity="0.00500", aboveType="LIMIT_MAKER", abovePrice=f"{bid * 1.1:.2f}",
    belowType="STOP_LOSS_LIMIT", belowStopPrice=f"{bid * 0.9:.2f}", belowPrice=f"{bid * 0.89:.2f}",
    belowTimeInForce="GTC",
)  # fmt: skip
lists = client.get_open_oco_orders()
ended = client.cancel_order(symbol="BTCUSDT", orderId=oco["orders"][0]["orderId"])
try:
    client.order_market_buy(symbol="BTCUSDT", quantity="900")
    refused = 0
except BinanceAPIException as error:
    refused = error.code
trades = client.get_my_trades(symbol="BTCUSDT")
print(
    json.dumps(
        {
            "filters": sorted(one["filterType"] for one in info["filters"]),
            "levels": len(book["bids"]),
            "price": ticker["price"],
            "candles": len(candles),
            "bought": bought["status"],
            "open": [one["orderId"] == limit["orderId"] for one in open_orders],
            "cancelled": cancelled["status"],
            "held": held,
            "oco": [one["type"] for one in oco["orderReports"]],
            "lists": [one["orderListId"] == oco["orderListId"] for one in lists],
            "ended": ended.get("listOrderStatus", ended.get("status")),
            "refused": refused,
            "trades": len({one["id"] for one in trades}),
        }
    )
)
