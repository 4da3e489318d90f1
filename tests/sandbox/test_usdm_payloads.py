"""What the futures venue says beside what Binance said: recorded messages and documented answers, field by field."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_usdm import RunningUsdm
from test_usdm_streams import hear

DATA = Path(os.environ.get("KEEL_DATA_DIR", Path(__file__).parents[2].parent / "shared/data")) / "raw"
CAPTURE, BUSY = DATA / "cryptofeed_BINANCE_FUTURES.ws.1.0.gz", DATA / "hftbacktest_binance_usdm_btcusdt_20240808.gz"
FIXTURES = DATA / "nautilus_binance_coinbase_fixtures.tar.gz"
FUTURES = "crates/adapters/binance/test_data/futures/"
RESPONSES = "tests/integration_tests/adapters/binance/resources/http_responses/http_futures_"
MESSAGES = "tests/integration_tests/adapters/binance/resources/ws_messages/ws_futures_"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings in {DATA}; set KEEL_DATA_DIR")


@pytest.fixture(scope="module")
def usdm() -> Iterator[RunningUsdm]:
    started = RunningUsdm()
    yield started
    started.stop()


def needed(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is not in {DATA}")
    return path


def recorded(path: Path, name: str) -> dict[str, Any]:
    """The first recorded message of that event."""
    with gzip.open(needed(path), "rt") as lines:
        for line in lines:
            if f'"e":"{name}"' in line:
                found: dict[str, Any] = json.loads(line[line.index("{") :])["data"]
                return found
    raise AssertionError(f"{name} is not in {path.name}")


def fixture(name: str) -> Any:
    with tarfile.open(needed(FIXTURES)) as archive:
        file = archive.extractfile(name)
        assert file is not None
        return json.load(file)


def spoken(usdm: RunningUsdm, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(hear(usdm, path, 1)[0])
    return found


def kinds(shape: Any) -> Any:
    """The JSON kinds of a document: a decimal in quotes is a decimal, lists are known by their first element."""
    if isinstance(shape, dict):
        return {name: kinds(value) for name, value in shape.items()}
    if isinstance(shape, list):
        return [kinds(shape[0])] if shape else []
    if isinstance(shape, str):
        return "decimal" if shape.replace(".", "", 1).removeprefix("-").isdigit() else "text"
    return type(shape).__name__


@pytest.mark.parametrize(
    ("path", "capture", "name"),
    [
        ("/public/ws/btcusdt@bookTicker", CAPTURE, "bookTicker"),
        ("/public/ws/btcusdt@depth@100ms", CAPTURE, "depthUpdate"),
        ("/public/ws/btcusdt@trade", BUSY, "trade"),
        ("/market/ws/btcusdt@aggTrade", CAPTURE, "aggTrade"),
        ("/market/ws/btcusdt@kline_1m", CAPTURE, "kline"),
    ],
)
def test_streams_have_the_recorded_fields(usdm: RunningUsdm, path: str, capture: Path, name: str) -> None:
    ours, theirs = spoken(usdm, path), recorded(capture, name)
    if name == "depthUpdate":
        ours |= {"b": [["1.1", "2"]], "a": [["1.1", "2"]]}
        theirs |= {"b": [["1.1", "2"]], "a": [["1.1", "2"]]}
    assert list(ours) == list(theirs) and kinds(ours) == kinds(theirs)


def test_the_book_has_the_recorded_fields(usdm: RunningUsdm) -> None:
    with gzip.open(needed(DATA / "cryptofeed_BINANCE_FUTURES.http.0.0.gz"), "rt") as lines:
        line = next(line for line in lines if "/depth?" in line)
    theirs = json.loads(line[line.index("{") :])
    ours = usdm.get("/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
    assert list(ours) == list(theirs) and kinds(ours) == kinds(theirs)


@pytest.mark.parametrize(
    ("path", "name", "signed"),
    [
        ("v1/premiumIndex", RESPONSES + "market_premium_index.json", False),
        ("v1/ticker/24hr", RESPONSES + "market_ticker_24hr.json", False),
        ("v1/ticker/price", RESPONSES + "market_ticker_price.json", False),
        ("v1/ticker/bookTicker", RESPONSES + "market_book_ticker.json", False),
        ("v1/trades", RESPONSES + "market_trades.json", False),
        ("v1/aggTrades", RESPONSES + "market_agg_trades.json", False),
        ("v1/openInterest", RESPONSES + "market_open_interest.json", False),
        ("v1/exchangeInfo", RESPONSES + "market_exchange_info.json", False),
        ("v1/commissionRate", RESPONSES + "wallet_commission_rate_btcusdt.json", True),
        ("v1/symbolConfig", RESPONSES + "account_symbol_config.json", True),
        ("v1/userTrades", RESPONSES + "account_trades.json", True),
        ("v2/positionRisk", RESPONSES + "account_positions_one_way.json", True),
        ("v2/account", FUTURES + "http_json/account_info_v2.json", True),
        ("v2/balance", FUTURES + "http_json/balance.json", True),
    ],
)
def test_answers_have_the_documented_fields(usdm: RunningUsdm, path: str, name: str, signed: bool) -> None:
    """Every documented field is there and of the same kind; ours may say more."""
    usdm.advance(40)
    usdm.order("BUY", "MARKET", quantity="0.001")
    theirs = fixture(name)
    if path == "v1/exchangeInfo":
        del theirs["symbols"][0]["settlePlan"]  # was there in 2022, is there no more
    ours = usdm.ask(path, symbol="BTCUSDT") if signed else usdm.get(f"/fapi/{path}", symbol="BTCUSDT")
    contained(kinds(theirs), kinds(ours), path)


def contained(theirs: Any, ours: Any, where: str) -> None:
    if isinstance(theirs, dict):
        for name in theirs:
            assert name in ours, f"{where}: {name} is missing"
            contained(theirs[name], ours[name], f"{where}.{name}")
    elif isinstance(theirs, list):
        for one, other in zip(theirs, ours, strict=False):
            contained(one, other, f"{where}[]")
    else:
        assert ours == theirs, f"{where}: {ours}, not {theirs}"


def test_orders_and_events_have_the_documented_fields(usdm: RunningUsdm) -> None:
    usdm.advance(40)
    key, _ = usdm.key()
    listen = usdm.raw("POST", "/fapi/v1/listenKey", "", {"X-MBX-APIKEY": key})[1]["listenKey"]

    def act() -> None:
        limit = {"quantity": "0.001", "price": usdm.price(0.9), "timeInForce": "GTC"}
        contained(kinds(fixture(FUTURES + "http_json/order_response.json")),
                  kinds(usdm.order("BUY", "LIMIT", **limit)[1] | {"time": 1}), "order")  # fmt: skip
        usdm.order("BUY", "MARKET", quantity="0.001")
        usdm.algo("SELL", "STOP_MARKET", triggerPrice=usdm.price(0.9), quantity="0.001")
        algo = fixture(FUTURES + "http_json/open_algo_orders.json")[0]
        algo["orderType"] = algo.pop("type")
        contained(kinds(algo) | {"clientAlgoId": "text"}, kinds(usdm.ask("v1/openAlgoOrders")[0]), "algo")
        usdm.algo("SELL", "STOP_MARKET", triggerPrice=usdm.price(0.99999), quantity="0.001")

    heard = [json.loads(text) for text in hear(usdm, f"/private/ws/{listen}", 8, act)]
    by_name = {one["e"]: one for one in heard}
    trade = next(one for one in heard if one["e"] == "ORDER_TRADE_UPDATE" and one["o"]["x"] == "TRADE")
    contained(
        _without(fixture(FUTURES + "user_data_json/order_update_trade.json"), ("AP", "cr")), kinds(trade), "order"
    )
    account = fixture(FUTURES + "user_data_json/account_update.json")
    contained(kinds(account), kinds(by_name["ACCOUNT_UPDATE"]), "account")
    new = fixture(FUTURES + "user_data_json/algo_update_new.json")
    contained(_without(new, ("ai", "ap", "aq", "act", "rm")), kinds(by_name["ALGO_UPDATE"]), "algo")


def _without(shape: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The kinds of an event without what only other orders carry."""
    shape["o"] = {name: value for name, value in shape["o"].items() if name not in names}
    return kinds(shape)
