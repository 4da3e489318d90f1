"""coinbase-advanced-py, REST and websockets: prints what it saw as JSON. The REST client speaks https only, so its
`base_url` is a TLS address in front of the sandbox, which REQUESTS_CA_BUNDLE vouches for."""

import json
import queue
import sys
import urllib.request
from uuid import uuid4

from coinbase.rest import RESTClient
from coinbase.websocket import WSClient, WSUserClient

line = json.load(sys.stdin)
venue, kind = line["venues"]["coinbase"], sys.argv[1]
key = next(one for one in venue["accounts"][int(sys.argv[2])]["keys"] if one["type"] == kind)
keys = {"api_key": key["key"], "api_secret": key["secret"]}
client = RESTClient(**keys, base_url=line["tls"], rate_limit_headers=True)
public = RESTClient(base_url=line["tls"])


def advance() -> None:
    body = json.dumps({"events": 400}).encode()
    urllib.request.urlopen(urllib.request.Request(line["control"] + "/advance", body, method="POST"), timeout=10).read()


def rest() -> dict[str, object]:
    ask = float(client.get_best_bid_ask(product_ids=["BTC-USD"]).pricebooks[0].asks[0].price)
    low = f"{ask * 0.9:.2f}"
    rights = client.get_api_key_permissions()
    bought = client.market_order_buy(client_order_id=str(uuid4()), product_id="BTC-USD", quote_size="200")
    placed = client.limit_order_gtc_buy(
        client_order_id=f"mine-{kind}", product_id="BTC-USDC", base_size="0.001", limit_price=low, post_only=True
    )
    again = client.limit_order_gtc_buy(
        client_order_id=f"mine-{kind}", product_id="BTC-USDC", base_size="0.001", limit_price=low, post_only=True
    )
    number = placed.success_response["order_id"]
    stop = client.stop_limit_order_gtc_sell(
        client_order_id=str(uuid4()), product_id="BTC-USD", base_size="0.001", limit_price=low,
        stop_price=f"{ask * 0.95:.2f}", stop_direction="STOP_DIRECTION_STOP_DOWN",
    )  # fmt: skip
    opened = [one.product_id for one in client.list_orders(order_status=["OPEN"]).orders]
    cancelled = client.cancel_orders(order_ids=[number, stop.success_response["order_id"]]).results
    refused = client.limit_order_gtc_buy(
        client_order_id=str(uuid4()), product_id="BTC-USD", base_size="0.01", limit_price=f"{ask * 1.1:.2f}",
        post_only=True,
    )  # fmt: skip
    now = client.get_unix_time()
    end = int(now.epoch_seconds)
    return {
        "rights": [rights.can_view, rights.can_trade, rights.can_transfer],
        "portfolio": client.get_portfolios().portfolios[0].uuid == rights.portfolio_uuid,
        "wallets": sorted(one.currency for one in client.get_accounts().accounts),
        "bought": client.get_order(bought.success_response["order_id"]).order.status,
        "same": again.success_response["order_id"] == number,
        "open": sorted(opened),
        "cancelled": [one.success for one in cancelled],
        "refused": refused.error_response["error"],
        "fills": client.get_fills(product_ids=["BTC-USD"]).fills[0].liquidity_indicator,
        "preview": client.preview_market_order_buy(product_id="BTC-USD", quote_size="10").errs,
        "fee": client.get_transaction_summary().fee_tier["taker_fee_rate"],
        "limit": client.get_product("BTC-USD").rate_limit_limit,
        "levels": len(client.get_product_book("BTC-USD", limit=3).pricebook.bids),
        "public": [one.product_id for one in public.get_public_products(product_ids=["ETH-USD"]).products],
        "candles": len(public.get_public_candles("BTC-USD", str(end - 600), str(end), "ONE_MINUTE").candles) > 5,
        "trades": len(public.get_public_market_trades("BTC-USD", limit=4).trades),
    }


def listen() -> dict[str, object]:
    said: queue.Queue[str] = queue.Queue()
    market = WSClient(**keys, base_url=venue["ws"], on_message=said.put, retry=False)
    market.open()
    market.subscribe(["BTC-USD"], ["level2", "ticker", "market_trades", "heartbeats"])
    user = WSUserClient(**keys, base_url=venue["ws_user"], on_message=said.put, retry=False)
    user.open()
    user.user(["BTC-USD"])
    advance()
    client.market_order_sell(client_order_id=f"sold-{kind}", product_id="BTC-USD", base_size="0.0005")
    wanted = {("l2_data", "update"), ("ticker", "update"), ("market_trades", "update"), ("user", "update")}
    statuses: list[str] = []
    while wanted or "FILLED" not in statuses:
        message = json.loads(said.get(timeout=10))
        for event in message["events"]:
            wanted.discard((message["channel"], event.get("type", "")))
            statuses += [one["status"] for one in event.get("orders", []) if one["client_order_id"] == f"sold-{kind}"]
    for one in (market, user):
        one.close()
    return {"sold": statuses[-1]}


print(json.dumps(rest() | listen()))
