"""Run by the tests in the peers' environment: python-binance, with only URLs and keys changed, trades perpetuals.
Reads {"rest", "ws_api", "key", "secret", "price"} as JSON from stdin, prints what it saw as JSON."""

from __future__ import annotations

import json
import sys

from binance.client import Client
from binance.exceptions import BinanceAPIException


def main() -> None:
    given = json.load(sys.stdin)
    Client.FUTURES_URL = given["rest"] + "/fapi"
    client = Client(given["key"], given["secret"], ping=False)
    client.FUTURES_URL = given["rest"] + "/fapi"
    symbol = {"symbol": "BTCUSDT"}
    seen: dict[str, object] = {}
    client.futures_ping()
    seen["symbols"] = [one["symbol"] for one in client.futures_exchange_info()["symbols"]]
    seen["book"] = len(client.futures_order_book(**symbol, limit=5)["bids"])
    seen["mark"] = float(client.futures_mark_price(**symbol)["markPrice"])
    seen["klines"] = len(client.futures_klines(**symbol, interval="1m", limit=3))
    seen["leverage"] = client.futures_change_leverage(**symbol, leverage=7)["leverage"]
    bought = client.futures_create_order(
        **symbol, side="BUY", type="MARKET", quantity="0.005", newOrderRespType="RESULT"
    )
    seen["bought"] = bought["status"]
    stop = client.futures_create_order(
        **symbol, side="SELL", type="STOP_MARKET", stopPrice=given["price"], closePosition="true"
    )
    seen["stop"] = "algoId" in stop
    seen["open"] = len(client.futures_get_open_orders(**symbol))
    seen["algos"] = [one["algoId"] == stop["algoId"] for one in client.futures_get_open_algo_orders(**symbol)]
    seen["cancelled"] = client.futures_cancel_algo_order(algoId=stop["algoId"])["msg"]
    try:
        client.futures_create_order(
            **symbol, side="BUY", type="LIMIT", timeInForce="GTX", price=given["high"], quantity="0.005"
        )
    except BinanceAPIException as error:
        seen["post_only"] = error.code
    seen["position"] = [row["positionAmt"] for row in client.futures_position_information(**symbol)]
    client.futures_create_order(**symbol, side="SELL", type="MARKET", quantity="0.005", reduceOnly="true")
    seen["flat"] = client.futures_position_information(**symbol)
    seen["wallet"] = float(client.futures_account()["totalWalletBalance"])
    seen["balance"] = client.futures_account_balance()[0]["asset"]
    seen["trades"] = len(client.futures_account_trades(**symbol))
    seen["income"] = sorted({row["incomeType"] for row in client.futures_income_history(**symbol)})
    seen["listen"] = len(client.futures_stream_get_listen_key())
    print(json.dumps(seen))


main()
