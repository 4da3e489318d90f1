"""Raw recorded messages as a market: what was quoted and traded comes out again with its prices, sizes and ids."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from running_sandbox import Running
from running_usdm import RunningUsdm
from test_sandbox_streams import advance, talk

from engine.contracts.errors import BadData, BadInput
from engine.sandbox.recorded import open_raw

DATA = Path(os.environ.get("KEEL_DATA_DIR", "../shared/data"))
QUOTE = '{{"u":{u},"s":"LRCBTC","b":"0.00000637","B":"6500.00000000","a":"0.00000639","A":"{size}"}}'
LINES = [
    "wss://stream.binance.com:9443/stream?streams=lrcbtc@bookTicker <",
    "1633998512.06: " + QUOTE.format(u=259345543, size="12.50000000"),
    '1633998512.07: {"stream":"lrcbtc@trade","data":{"e":"trade","E":1,"s":"LRCBTC","t":77,"p":"0.00000639",'
    '"q":"3.00000000","T":1,"m":false,"M":true}}',
    '1633998512.08: {"stream":"lrcbtc@aggTrade","data":{"e":"aggTrade","E":1,"s":"LRCBTC","a":5,"p":"0.00000639",'
    '"q":"3.00000000","f":77,"l":77,"T":1,"m":false,"M":true}}',
    '1633998512.09: {"stream":"lrcbtc@depth","data":{"e":"depthUpdate","E":1,"s":"LRCBTC","U":1,"u":2,"b":[],"a":[]}}',
    '1633998512.10: {"stream":"lrcbtc@bookTicker","data":' + QUOTE.format(u=259345550, size="9.00000000") + "}",
]


def written(folder: Path, lines: list[str]) -> Path:
    path = folder / "raw.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def heard(running: Running, streams: str, events: int, count: int) -> list[Any]:
    async def words(ws: aiohttp.ClientWebSocketResponse) -> Any:
        await advance(running, events)
        return [json.loads((await ws.receive(10)).data) for _ in range(count)]

    said: list[Any] = talk(f"{running.ws}/stream?streams={streams}", words)
    return said


def test_messages_come_out_as_recorded(tmp_path: Path) -> None:
    running = Running(raw=(written(tmp_path, LINES),), speed=0.0, history_s=0.0)
    assert running.get("/api/v3/depth", symbol="LRCBTC", limit=1) == {
        "lastUpdateId": 259345543, "bids": [["0.00000637", "6500.00000000"]], "asks": [["0.00000639", "12.50000000"]]
    }  # fmt: skip
    said = [one["data"] for one in heard(running, "lrcbtc@bookTicker/lrcbtc@trade", 2, 2)]
    assert (said[0]["t"], said[0]["p"], said[0]["q"], said[0]["m"]) == (77, "0.00000639", "3.00000000", False)
    assert said[1] == json.loads(QUOTE.format(u=259345550, size="9.00000000"))
    running.stop()


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    market = open_raw([written(tmp_path, LINES)])
    assert market.events == 3 and market.skipped == {"no message": 1, "depthUpdate": 1}
    (one,) = market.instruments
    assert one.symbol == "LRC/BTC" and (float(one.tick_size), float(one.lot_size)) == (1e-8, 0.1)


PERP_LINES = [
    '1633998512.06: {"e":"bookTicker","u":9,"s":"LRCBTC","b":"0.0000063","B":"65","a":"0.0000064","A":"12","T":1}',
    '1633998512.07: {"e":"trade","E":1,"T":1,"s":"LRCBTC","t":7,"p":"0.0000064","q":"3","X":"MARKET","m":false}',
    '1633998512.08: {"e":"aggTrade","E":1,"s":"ETHUSDT","a":5,"p":"2000.1","q":"3","f":7,"l":7,"T":1,"m":true}',
]


def test_messages_of_usdm_are_perpetuals(tmp_path: Path) -> None:
    path = written(tmp_path, LINES + PERP_LINES)
    market = open_raw([path])
    assert [(one.symbol, one.kind, one.venue) for one in market.instruments] == [
        ("ETH/USDT:USDT", "perp", "binance_usdm"), ("LRC/BTC", "spot", "binance"),
        ("LRC/BTC:BTC", "perp", "binance_usdm"),
    ]  # fmt: skip
    assert [one.symbol for one in open_raw([path], ["LRC/BTC:BTC"]).instruments] == ["LRC/BTC:BTC"]
    assert [one.symbol for one in open_raw([path], ["LRC/BTC"]).instruments] == ["LRC/BTC"]


@pytest.mark.skipif(not (DATA / "raw").exists(), reason="recorded messages are absent (KEEL_DATA_DIR)")
def test_a_real_recording_of_usdm_is_played_on_usdm() -> None:
    paths = tuple(DATA / "raw" / f"hftbacktest_binance_{name}_btcusdt_20240808.gz" for name in ("spot", "usdm"))
    running = RunningUsdm(raw=paths, symbols=(), history_s=5.0)
    assert set(running.line["venues"]) == {"binance_spot", "binance_usdm"}
    assert (running.futures.by_name["BTCUSDT"].tick_e8, running.exchange.by_name["BTCUSDT"].tick_e8) == (10**7, 10**6)
    shown = running.get("/fapi/v1/ticker/bookTicker", symbol="BTCUSDT")
    assert 61_000 < float(shown["bidPrice"]) < float(shown["askPrice"]) < 62_500
    assert running.order("BUY", "MARKET", quantity="0.01")[1]["status"] == "FILLED"
    running.stop()


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        ('1633998512.06: {"u":1,"s":"LRCBTC","b":"x","B":"1","a":"1","A":"1"}', BadData, "line 1"),
        ('1633998512.06: {"u":1,"s":', BadData, "line 1"),
        ("nothing", BadData, "no quote and no trade"),
    ],
)
def test_damage_is_named(tmp_path: Path, line: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        open_raw([written(tmp_path, [line])])


def test_symbols_that_are_not_recorded_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="BTCUSDT is not in the recording"):
        open_raw([written(tmp_path, LINES)], ["BTC/USDT"])
    with pytest.raises(BadData, match="cannot be read"):
        open_raw([tmp_path / "absent.gz"])


@pytest.mark.skipif(not (DATA / "raw").exists(), reason="recorded messages are absent (KEEL_DATA_DIR)")
def test_a_real_recording_comes_out_again_and_orders_meet_it() -> None:
    path = DATA / "raw" / "hftbacktest_binance_spot_btcusdt_20240808.gz"
    running = Running(raw=(path,), speed=0.0, history_s=5.0)
    said = [one["data"] for one in heard(running, "btcusdt@bookTicker/btcusdt@trade", 400, 400)]
    recorded: dict[int, Any] = {}
    with gzip.open(path, "rt") as file:
        for _, line in zip(range(4000), file, strict=False):
            data = json.loads(line.partition(" ")[2]).get("data", {})
            if data.get("e") != "depthUpdate":
                recorded[data.get("u", data.get("t"))] = data
    for one in said:
        theirs = recorded[one.get("u", one.get("t"))]
        names = ("s", "t", "p", "q", "m", "M") if one.get("e") == "trade" else tuple(theirs)
        assert {name: one[name] for name in names} == {name: theirs[name] for name in names}
    quote = next(one for one in reversed(said) if "A" in one)
    bought = running.order("BUY", "MARKET", quantity="0.00100")[1]
    assert bought["fills"][0]["price"] == quote["a"]
    running.stop()
