"""What ccxt's own websocket client makes of the same bytes, offline: quotes, fills, orders."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import ccxt.pro
import pytest
from binance_rig import SPOT, USDM, Rig, filled, instrument, recorded, spot_event, usdm_event

from engine.contracts.records import BUY, FEE_IN_BASE, MAKER

EXCHANGE = ccxt.pro.binance()


def market(symbol: str, is_spot: bool) -> dict[str, Any]:
    own = {"id": symbol.replace("/", ""), "symbol": symbol, "spot": is_spot, "contract": not is_spot}
    return own | {"option": False, "inverse": False, "linear": not is_spot}


@pytest.mark.parametrize(
    ("kind", "one"),
    [
        ("spot", instrument("BTC/USDT", "0.01", "0.00000001")),
        ("usdm", instrument("BTC/USDT", "0.1", "0.001", "perp")),
    ],
)
def test_quotes(kind: str, one: Any) -> None:
    """Both prices and both sizes of five hundred recorded quotes."""
    rig, seen = Rig([one]), 0
    for line in recorded(f"hftbacktest_binance_{kind}_btcusdt_20240808.gz"):
        message = line.partition(b" ")[2]
        if b"@bookTicker" not in message[:40]:
            continue
        (ours,) = rig(message)
        theirs = EXCHANGE.parse_ws_ticker(json.loads(message)["data"] | {"e": "bookTicker"}, kind)
        for side, size in (("bid", "bidVolume"), ("ask", "askVolume")):
            assert one.price(int(ours[f"{side}_ticks"])) == Decimal(str(theirs[side]))
            assert one.quantity(int(ours[f"{side}_lots"])) == Decimal(str(theirs[size]))
        seen += 1
        if seen == 500:
            return


@pytest.mark.parametrize(
    ("event", "is_spot"),
    [
        (filled(n="1.24975000", N="USDT"), True),
        (filled(n="0.00050000", N="ETH", m=True), True),
        (filled(n="0.00050000", N="ETH", S="SELL"), True),
        (
            usdm_event(s="ETHUSDT", x="TRADE", X="FILLED", l="0.001", L="9910.6", n="0.0049", N="USDT", t=5, m=True),
            False,
        ),
    ],
)
def test_fills(event: dict[str, Any], is_spot: bool) -> None:
    one = (SPOT if is_spot else USDM)[1]
    (ours,) = Rig(SPOT if is_spot else USDM)(event)
    theirs = EXCHANGE.parse_ws_trade(event if is_spot else event["o"], market("ETH/USDT", is_spot))
    bits = int(ours["bits"])
    assert one.price(int(ours["price_ticks"])) == Decimal(str(theirs["price"]))
    assert one.quantity(int(ours["qty_lots"])) == Decimal(str(theirs["amount"]))
    assert Decimal(int(ours["fee_e8"])) / 10**8 == Decimal(str(theirs["fee"]["cost"]))
    assert ("ETH" if bits & FEE_IN_BASE else "USDT") == theirs["fee"]["currency"]
    assert ("maker" if bits & MAKER else "taker") == theirs["takerOrMaker"]
    assert ("buy" if ours["side"] == BUY else "sell") == theirs["side"]
    assert (str(ours["trade_id"]), int(ours["venue_ts_ns"])) == (theirs["id"], theirs["timestamp"] * 1_000_000)


@pytest.mark.parametrize(
    ("status", "kind", "theirs"),
    [
        ("NEW", "order_ack", "open"),
        ("CANCELED", "cancel_ack", "canceled"),
        ("REJECTED", "order_reject", "rejected"),
        ("EXPIRED", "order_expired", "expired"),
    ],
)
def test_orders(status: str, kind: str, theirs: str) -> None:
    event = spot_event(x=status, X=status)
    (ours,) = Rig(SPOT)(event)
    parsed = EXCHANGE.parse_ws_order(event, market("ETH/USDT", True))
    assert (ours["kind"], parsed["status"]) == (kind, theirs)
    assert (f"keel-{ours['client_id']}", str(ours["venue_order_id"])) == (parsed["clientOrderId"], parsed["id"])
    assert SPOT[1].price(int(ours["price_ticks"])) == Decimal(str(parsed["price"]))
    assert SPOT[1].quantity(int(ours["qty_lots"])) == Decimal(str(parsed["amount"]))


def test_a_cancel_names_the_order_it_cancelled() -> None:
    event = spot_event(x="CANCELED", X="CANCELED", c="the-cancel", C="keel-7")
    assert Rig(SPOT)(event)[0]["client_id"] == 7
    assert EXCHANGE.parse_ws_order(event, market("ETH/USDT", True))["clientOrderId"] == "keel-7"
