"""Several quote assets at once over the wire: pairs that agree, balances per asset, fees in the asset received,
faults aimed at one symbol, and dislocations by the control endpoint."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
import time
import urllib.error
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from running_sandbox import Running

from engine.contracts.errors import BadInput
from engine.markets.dislocations import Dislocating
from engine.sandbox.server import CROSS_SYMBOLS, Sandbox, SandboxOptions

ccxt = pytest.importorskip("ccxt")
SYMBOLS = ("BTC/USDT", "ETH/USDT", "ETH/BTC", "USDC/USDT", "BTC/USDC")
E8 = Decimal(10) ** 8


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    started = Running(speed=0.0, symbols=SYMBOLS, minutes=3, history_s=60.0, accounts=3)
    for account in range(3):
        for asset in ("BTC", "ETH"):
            started.tell("/deposit", {"account": account, "asset": asset, "amount": "1"})
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def disarmed(running: Running) -> Iterator[None]:
    yield
    running.tell("/faults", {}, "DELETE")


def order(running: Running, symbol: str, side: str, quantity: str, account: int = 0, **params: Any) -> tuple[int, Any]:
    wanted = {"symbol": symbol, "side": side, "type": "MARKET", "quantity": quantity} | params
    return running.call("POST", "/api/v3/order", account=account, **wanted)[:2]


def balances(running: Running, account: int = 0) -> dict[str, Decimal]:
    found = running.call("GET", "/api/v3/account", account=account)[1]["balances"]
    return {one["asset"]: Decimal(one["free"]) + Decimal(one["locked"]) for one in found}


def test_the_pairs_agree_and_carry_their_own_filters(running: Running) -> None:
    tickers = {one["symbol"]: one for one in running.get("/api/v3/ticker/bookTicker")}
    price = {name: float(one["bidPrice"]) for name, one in tickers.items()}
    assert price["ETHBTC"] * price["BTCUSDT"] / price["ETHUSDT"] == pytest.approx(1, abs=1e-3)
    assert price["BTCUSDC"] * price["USDCUSDT"] / price["BTCUSDT"] == pytest.approx(1, abs=1e-3)
    listed = {one["symbol"]: one for one in running.get("/api/v3/exchangeInfo")["symbols"]}
    assert {name: one["quoteAsset"] for name, one in listed.items()} == {
        "BTCUSDT": "USDT", "ETHUSDT": "USDT", "ETHBTC": "BTC", "USDCUSDT": "USDT", "BTCUSDC": "USDC",
    }  # fmt: skip
    least = {
        name: next(Decimal(f["minNotional"]) for f in one["filters"] if f["filterType"] == "NOTIONAL")
        for name, one in listed.items()
    }
    assert least["BTCUSDT"] == least["BTCUSDC"] == 5 and least["ETHBTC"] == Decimal("0.00005")


@pytest.mark.parametrize(("side", "given", "got"), [("BUY", "BTC", "ETH"), ("SELL", "ETH", "BTC")])
def test_a_fee_is_taken_in_the_asset_received(running: Running, side: str, given: str, got: str) -> None:
    before = balances(running)
    status, answer = order(running, "ETHBTC", side, "0.1")
    assert status == 200 and answer["status"] == "FILLED"
    paid = Decimal(answer["cummulativeQuoteQty"])
    fees = sum((Decimal(one["commission"]) for one in answer["fills"]), Decimal(0))
    assert {one["commissionAsset"] for one in answer["fills"]} == {got} and fees > 0
    after = balances(running)
    moved = {"ETH": Decimal("0.1"), "BTC": paid}
    assert after[given] == before[given] - moved[given] and after[got] == before[got] + moved[got] - fees
    assert {name: after[name] for name in ("USDT", "USDC")} == {name: before[name] for name in ("USDT", "USDC")}
    trades = running.call("GET", "/api/v3/myTrades", symbol="ETHBTC", orderId=answer["orderId"])[1]
    assert {one["commissionAsset"] for one in trades} == {got}
    assert sum(Decimal(one["commission"]) for one in trades) == fees


def test_the_user_stream_tells_both_assets_of_the_pair(running: Running) -> None:
    async def listen() -> list[Any]:
        key, secret = running.key()
        params: dict[str, Any] = {"apiKey": key, "timestamp": int(time.time() * 1000)}
        payload = urlencode(sorted(params.items())).encode()
        params["signature"] = hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()
        async with aiohttp.ClientSession() as session, session.ws_connect(running.ws_api) as socket:
            await socket.send_json({"id": 1, "method": "userDataStream.subscribe.signature", "params": params})
            assert (await socket.receive_json(timeout=5))["status"] == 200
            await asyncio.to_thread(order, running, "ETHBTC", "SELL", "0.05")
            found: list[Any] = []
            while not found or found[-1]["e"] != "outboundAccountPosition" or len(found) < 4:
                found.append((await socket.receive_json(timeout=5))["event"])
            return found

    events = asyncio.run(listen())
    traded = next(one for one in events if one["e"] == "executionReport" and one["x"] == "TRADE")
    assert (traded["s"], traded["N"]) == ("ETHBTC", "BTC") and Decimal(traded["n"]) > 0
    told = events[-1]["B"]
    now = balances(running)
    assert {one["a"]: Decimal(one["f"]) + Decimal(one["l"]) for one in told} == {"ETH": now["ETH"], "BTC": now["BTC"]}


def test_ccxt_trades_a_cross_and_reads_the_fee(running: Running) -> None:
    key, secret = running.key()
    client = ccxt.binance({"apiKey": key, "secret": secret, "enableRateLimit": False})
    client.urls["api"]["public"] = client.urls["api"]["private"] = running.rest + "/api/v3"
    client.urls["api"]["sapi"] = running.rest + "/sapi/v1"
    client.options["fetchMarkets"] = {"types": ["spot"]}
    sold = client.create_order("ETH/BTC", "market", "sell", 0.05)
    assert sold["status"] == "closed" and sold["fee"]["currency"] == "BTC"
    bought = client.create_order("ETH/BTC", "limit", "buy", 0.05, 0.036, {"timeInForce": "IOC"})
    assert bought["filled"] == 0.05 and bought["fee"]["currency"] == "ETH"
    assert bought["fee"]["cost"] == pytest.approx(0.05 * 0.001)
    told = client.fetch_balance()
    assert {name: told[name]["total"] for name in ("BTC", "ETH", "USDT", "USDC")} == {
        name: float(amount) for name, amount in balances(running).items()
    }


def test_a_fault_is_aimed_at_one_leg(running: Running) -> None:
    running.fault("A7", symbol="ETHBTC")
    assert order(running, "BTCUSDT", "BUY", "0.001")[0] == 200
    status, refusal = order(running, "ETHBTC", "SELL", "0.01")
    assert (status, refusal["code"]) == (503, -1001)
    assert order(running, "ETHBTC", "SELL", "0.01")[0] == 200, "it was used up"


@pytest.mark.parametrize("number", ["A1", "A2"])
def test_replies_are_lost_for_one_symbol_only(running: Running, number: str) -> None:
    running.fault(number, symbol="ETHBTC", delay_ms=50)
    assert order(running, "BTCUSDT", "BUY", "0.001")[0] == 200
    arrived = threading.Event()
    running.exchange.accounts.all[0].listeners.append(lambda report: arrived.set())
    if number == "A1":
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            order(running, "ETHBTC", "SELL", "0.01")
    else:
        assert order(running, "ETHBTC", "SELL", "0.01")[1]["code"] == -1007
    assert arrived.wait(5), "it was accepted all the same"
    running.exchange.accounts.all[0].listeners.pop()


def test_a_cancel_loses_its_race_for_one_symbol_only(running: Running) -> None:
    running.fault("A6", symbol="ETHBTC")
    for symbol, quantity, price, wins in (("ETHUSDT", "0.01", "2700", True), ("ETHBTC", "0.01", "0.03", False)):
        resting: dict[str, Any] = {"type": "LIMIT", "timeInForce": "GTC", "price": price}
        placed = order(running, symbol, "BUY", quantity, **resting)[1]
        status = running.call("DELETE", "/api/v3/order", symbol=symbol, orderId=placed["orderId"])[0]
        assert (status == 200) is wins


@pytest.mark.parametrize("lots", [0, 7])
def test_a26_a_leg_fills_in_part_or_not_at_all(running: Running, lots: int) -> None:
    before = balances(running, 1)
    running.fault("A26", symbol="ETHBTC", lots=lots)
    whole = order(running, "ETHUSDT", "SELL", "0.05", account=1)[1]
    assert whole["executedQty"] == "0.05000000"
    short: dict[str, Any] = {"type": "LIMIT", "timeInForce": "IOC", "price": "0.03"}
    status, answer = order(running, "ETHBTC", "SELL", "0.05", account=1, **short)
    filled = Decimal(lots) / 1000
    assert status == 200 and answer["status"] == "EXPIRED" and Decimal(answer["executedQty"]) == filled
    assert balances(running, 1)["ETH"] == before["ETH"] - Decimal("0.05") - filled
    again = order(running, "ETHBTC", "SELL", "0.05", account=1, **short)[1]
    assert again["status"] == "FILLED", "the book is whole again"


def test_a_dislocation_is_asked_for_taken_and_told(running: Running) -> None:
    fair = running.get("/api/v3/ticker/bookTicker", symbol="ETHBTC")
    running.tell("/dislocate", {"symbol": "ETHBTC", "bps": 100, "duration_ms": 60_000, "depth_usd": 300})
    running.advance(40)
    apart = running.get("/api/v3/ticker/bookTicker", symbol="ETHBTC")
    assert float(apart["bidPrice"]) / float(fair["bidPrice"]) == pytest.approx(1.01, abs=2e-3)
    sell: dict[str, Any] = {"type": "LIMIT", "timeInForce": "IOC", "price": apart["bidPrice"]}
    sold = order(running, "ETHBTC", "SELL", "0.2", account=2, **sell)[1]
    assert Decimal(sold["executedQty"]) == Decimal(apart["bidQty"]) < Decimal("0.2")
    after = running.get("/api/v3/ticker/bookTicker", symbol="ETHBTC")
    assert float(after["bidPrice"]) / float(fair["bidPrice"]) == pytest.approx(1, abs=2e-3)
    told = running.tell("/dislocations", {})["begun"][-1]
    assert told["is_taken"] and not told["stands"] and told["symbol"] == "ETHBTC"
    with pytest.raises(urllib.error.HTTPError, match="400"):
        running.tell("/dislocate", {"symbol": "NONE", "bps": 100})


def test_planned_ones_come_by_the_clock_of_the_market_after_the_history() -> None:
    how = Dislocating(per_minute=30, bps=80, duration_ms=500)
    started = Running(speed=0.0, symbols=SYMBOLS, minutes=2, history_s=60.0, dislocations=how)
    assert started.tell("/dislocations", {})["begun"] == []
    started.advance(20_000)
    begun = started.tell("/dislocations", {})["begun"]
    started.stop()
    assert 15 <= len(begun) <= 30 and not any(one["stands"] or one["is_taken"] for one in begun)
    assert {one["symbol"] for one in begun} == {name.replace("/", "") for name in SYMBOLS}


def test_with_dislocations_the_usual_market_is_one_of_crosses() -> None:
    sandbox = Sandbox(SandboxOptions(minutes=1, history_s=0, dislocations=Dislocating(per_minute=6)))
    listed = [tape.instrument.symbol for tape in sandbox.sites["binance_spot"].stage.tapes]  # type: ignore[attr-defined]
    assert listed == sorted(name for name in CROSS_SYMBOLS if ":" not in name) and "binance_usdm" in sandbox.sites


def test_a_recorded_market_is_not_touched(tmp_path: Any) -> None:
    raw = tmp_path / "raw"
    raw.write_text('1723161254087891268 {"u":1,"s":"BTCUSDT","b":"60000.00","B":"1.0","a":"60000.01","A":"1.0"}\n')
    with pytest.raises(BadInput, match="played as it was"):
        Sandbox(SandboxOptions(raw=(raw,), history_s=0, dislocations=Dislocating(per_minute=6)))


def test_coinbase_lists_what_joins_its_dollar_pairs() -> None:
    sandbox = Sandbox(SandboxOptions(symbols=("BTC/USD", "ETH/USD", "ETH/BTC", "BTC/USDT"), minutes=1, history_s=1))
    floor: Any = sandbox.sites["coinbase"].stage
    assert {"BTC-USD", "ETH-USD", "ETH-BTC"} <= set(floor.products) and "BTC-USDT" not in floor.products
    assert list(sandbox.sites["binance_spot"].stage.by_name) == ["BTCUSDT", "ETHBTC"]  # type: ignore[attr-defined]
