"""Weights against the table ccxt keeps of them (the exchange's own client where that is newer); windows; A8."""

from __future__ import annotations

import pytest
from running_sandbox import Running

from engine.sandbox.binance_spot.parameters import Parameters
from engine.sandbox.binance_spot.rest import CALLS

ccxt = pytest.importorskip("ccxt")
NEWER = {"trades": 25, "historicalTrades": 25, "aggTrades": 4, "ticker": 4}
"""As binance-sdk-spot 13.2.0 documents them; ccxt still has less."""
WEIGHT_PER_COST = 5
"""ccxt counts in fifths of a request weight of the spot API."""


@pytest.mark.parametrize(
    "call", [call for call in CALLS if call.path.startswith("/api/v3")], ids=lambda call: call.path
)
def test_a_call_weighs_what_ccxt_says(call: object) -> None:
    method, path = call.method.lower(), call.path.removeprefix("/api/v3/")  # type: ignore[attr-defined]
    tables = ccxt.binance().describe()["api"]
    known = [tables[name][method][path] for name in ("public", "private") if path in tables[name].get(method, {})]
    if not known:
        pytest.skip(f"ccxt has no {method} {path}")
    cost = known[0]["cost"] if isinstance(known[0], dict) else known[0]
    weigh = call.weight  # type: ignore[attr-defined]
    weight = weigh if isinstance(weigh, int) else weigh(Parameters({"symbol": "BTCUSDT"}))
    assert weight == pytest.approx(NEWER.get(path, cost * WEIGHT_PER_COST))


def test_windows(running: Running) -> None:
    last = running.get("/api/v3/ticker/price", symbol="BTCUSDT")["price"]
    one = running.get("/api/v3/ticker", symbol="BTCUSDT", windowSize="5m")
    assert one["closeTime"] - one["openTime"] == 300_000 and one["lastPrice"] == last and one["count"] > 0
    assert "weightedAvgPrice" in one and "bidPrice" not in one
    both = running.get("/api/v3/ticker", symbols='["BTCUSDT","ETHUSDT"]', windowSize="7d", type="MINI")
    assert [row["symbol"] for row in both] == ["BTCUSDT", "ETHUSDT"] and "priceChange" not in both[0]
    day = running.get("/api/v3/ticker/tradingDay", symbol="BTCUSDT", timeZone="+05:30")
    assert (day["openTime"] + 19_800_000) % 86_400_000 == 0 and day["closeTime"] - day["openTime"] == 86_399_999
    for params in ({"symbol": "BTCUSDT", "windowSize": "60m"}, {}):
        assert running.call("GET", "/api/v3/ticker", signed=False, **params)[0] == 400


def test_all_orders_of_an_account_are_cancelled_with_their_lists(running: Running) -> None:
    running.tell("/deposit", {"account": 0, "asset": "BTC", "amount": "0.01"})
    price = float(running.get("/api/v3/ticker/price", symbol="BTCUSDT")["price"])
    sell = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.01"}
    legs = {"price": f"{price * 1.05:.2f}", "stopPrice": f"{price * 0.95:.2f}"}
    assert running.call("POST", "/api/v3/order/oco", **sell, **legs)[0] == 200
    running.fault("A8")
    assert running.call("GET", "/api/v3/openOrders")[1] == []
