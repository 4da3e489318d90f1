"""The stream of a market: order, path, causality, determinism."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from candle_tables import START_MS, candles
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.errors import BadInput
from engine.contracts.records import FUNDING, JUMP, LAST, PATH, QUOTE, RECORD, TRADE
from engine.markets.market import FeedModel, Market, open_market
from engine.markets.synthetic import synthesize, synthesize_ticks

Write = Callable[..., Path]


def stream(market: Market, size: int = 131_072) -> Any:
    blocks = list(market.blocks(size))
    assert all(b.dtype == RECORD and b.flags.c_contiguous and 0 < len(b) <= size for b in blocks)
    return np.concatenate([b.view("V64") for b in blocks]).view(RECORD)


def test_a_candle_is_four_points(write: Write) -> None:
    columns = candles(2)
    columns["volume"] = np.array([100.0, 101.0])
    events = stream(open_market([write(columns)]))
    assert len(events) == 8 and (events["kind"] == PATH).all()
    first, start = events[:4], START_MS * 1_000_000
    assert (first["venue_ts_ns"] - start).tolist() == [0, 100_000_000_000, 200_000_000_000, 299_999_000_000]
    assert first["bits"].tolist() == [JUMP, 0, 0, LAST]
    assert first["price_ticks"][0] == 10_000 and first["price_ticks"][3] == 10_000
    assert sorted(first["price_ticks"][1:3]) == [9_960, 10_050]
    assert first["qty_lots"].tolist() == [0, 333, 333, 334]
    assert (events["ts_ns"] - events["venue_ts_ns"] == 50_000_000).all()
    assert len(set(events["spread_ticks"][4:])) == 1


def test_the_first_candle_uses_the_models_spread_and_depth(write: Write) -> None:
    model = FeedModel(spread_bps=10, first_depth_usd=1000, feed_latency_ms=1)
    market = open_market([write(candles(3))], model=model)
    first = stream(market)[0]
    assert first["spread_ticks"] == 10  # 10 bps of 10,000 ticks
    assert market.instruments[0].quantity(int(first["depth_lots"])) == 100  # $1000 at 10 USDT
    assert first["ts_ns"] - first["venue_ts_ns"] == 1_000_000


def test_extremes_come_in_both_orders_and_do_not_follow_the_close(tmp_path: Path) -> None:
    market = open_market([synthesize(tmp_path / "m.parquet", seed=1, days=10, symbols=["AXO/USDT"])])
    points = stream(market)["price_ticks"].reshape(-1, 4)
    moved = points[(points[:, 1] != points[:, 2]) & (points[:, 0] != points[:, 3])]
    up_first, rising = moved[:, 1] > moved[:, 2], moved[:, 3] > moved[:, 0]
    assert 0.45 < up_first.mean() < 0.55
    assert abs(np.corrcoef(up_first, rising)[0, 1]) < 0.06


@settings(max_examples=12, deadline=None)
@given(cut=st.integers(1, 288), seed=st.integers(0, 3))
def test_no_look_ahead(cut: int, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is known up to a candle does not change when the rest of the file is cut off."""
    folder = tmp_path_factory.mktemp("cut")
    path = synthesize(folder / "m.parquet", seed=seed, days=1, symbols=["BTC/USDT", "AXO/USDT"])
    whole = open_market([path])
    end = int(whole.from_ns + cut * 300_000_000_000)
    short = open_market([path], to_ns=end, instruments=whole.instruments)
    everything = stream(whole)
    assert stream(short).tobytes() == everything[everything["venue_ts_ns"] < end].tobytes()
    cut_file = _truncated(path, end, folder / "short.parquet")
    assert stream(open_market([cut_file], instruments=whole.instruments)).tobytes() == stream(short).tobytes()


def _truncated(path: Path, end_ns: int, out: Path) -> Path:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    keep = table["ts"].cast("int64").to_numpy() * 1_000_000 < end_ns
    pq.write_table(table.filter(keep), out)
    return out


def test_future_rows_change_nothing_before_them(write: Write) -> None:
    calm, wild = candles(40), candles(40)
    for column in ("open", "high", "low", "close", "volume"):
        wild[column] = wild[column].copy()
        wild[column][25:] *= 2.0
    wild["open"][25], wild["low"][25] = calm["open"][25], calm["low"][25]
    one, two = (stream(open_market([write(c, name=f"{n}.parquet")])) for n, c in (("calm", calm), ("wild", wild)))
    assert one[:100].tobytes() == two[:100].tobytes()
    # at the open of candle 25 the strategy sees its price, but no trace of its range or volume
    assert one[100].tobytes() == two[100].tobytes()
    assert one[104]["spread_ticks"] != two[104]["spread_ticks"] or one[104]["depth_lots"] != two[104]["depth_lots"]


def test_files_of_many_kinds_merge_in_time_order(write: Write, tmp_path: Path) -> None:
    quotes, trades = synthesize_ticks(tmp_path, seed=5, minutes=2, symbols=("AXO/USDT",))
    five = write(candles(40), candles(40, "BREN/USDT"), name="five.parquet")
    one = write(candles(100, "CIRO/USDT:USDT", "binance_usdm", 60_000), name="one.parquet")
    rates = {"venue": ["binance_usdm"] * 2, "symbol": ["CIRO/USDT:USDT", "ELSE/USDT:USDT"],
             "ts": np.array([START_MS + 3_600_000] * 2), "funding_rate": [0.0001, 0.0002]}  # fmt: skip
    market = open_market([one, quotes, write(rates, name="funding.parquet"), trades, five])
    events = stream(market, 777)
    assert len(events) == market.events == 40 * 8 + 100 * 4 + 2400 + 600 + 1
    assert set(events["kind"]) == {PATH, QUOTE, TRADE, FUNDING}
    assert (np.diff(events["venue_ts_ns"]) >= 0).all() and (np.diff(events["ts_ns"]) >= 0).all()
    assert (events["ts_ns"] > events["venue_ts_ns"]).all()
    tied = np.diff(events["venue_ts_ns"]) == 0
    assert (np.diff(events["instrument"].astype(int))[tied] >= 0).all()
    rate = events[events["kind"] == FUNDING][0]
    assert rate["rate_e12"] == 100_000_000 and market.instruments[int(rate["instrument"])].kind == "perp"
    assert market.grade == "candle-grade" and market.synthetic
    assert [s.kind for s in market.sources] == ["candles", "synthetic", "funding", "synthetic", "candles"]


def test_ticks_keep_prices_and_sides(tmp_path: Path) -> None:
    market = open_market([*synthesize_ticks(tmp_path, seed=5, minutes=1)])
    events = stream(market)
    assert market.grade == "tick-grade"
    quotes, trades = events[events["kind"] == QUOTE], events[events["kind"] == TRADE]
    assert (quotes["bid_ticks"] < quotes["ask_ticks"]).all() and (quotes["bid_lots"] >= 1).all()
    assert (
        set(trades["side"]) == {-1, 1} and (trades["qty_lots"] >= 1).all() and (np.diff(trades["trade_id"]) == 1).all()
    )
    times, prices = market.closes(0)
    assert len(times) == len(prices) >= 1 and abs(prices[0] / 90_000 - 1) < 0.05


def test_the_stretch_replays_itself(write: Write) -> None:
    path = write(candles(60), candles(30, "BREN/USDT"))
    start = START_MS * 1_000_000 + 7 * 300_000_000_000 - 5
    market = open_market([path], from_ns=start, to_ns=start + 10 * 300_000_000_000 + 7)
    again = open_market([path], from_ns=market.from_ns, to_ns=market.to_ns, instruments=market.instruments)
    assert market.events == 2 * 10 * 4
    assert stream(market).tobytes() == stream(again).tobytes() == stream(market, 7).tobytes()
    times, prices = market.closes(0)
    assert times[0] == market.from_ns + 300_000_000_000 and prices[0] == candles(60)["close"][7]
    with pytest.raises(BadInput, match="from/to"):
        open_market([path], from_ns=1, to_ns=2)


def test_an_instruments_path_does_not_depend_on_its_company(write: Write) -> None:
    path = write(candles(30, "ZED/USDT"), candles(30, "AXO/USDT"))
    alone, both = open_market([path], symbols=["ZEDUSDT"]), open_market([path])
    assert [i.symbol for i in both.instruments] == ["AXO/USDT", "ZED/USDT"]
    mine = stream(both)
    mine = mine[mine["instrument"] == 1].copy()
    mine["instrument"] = 0
    assert mine.tobytes() == stream(alone).tobytes()


def test_symbols_are_found_in_all_spellings(write: Write) -> None:
    path = write(candles(5, "BTC/USDT"), candles(5, "BTC/USDT", "kraken"), candles(5, "BTCUSDT", "binance_usdm"))

    def found(*symbols: str) -> list[tuple[str, str]]:
        return [(i.venue, i.symbol) for i in open_market([path], symbols=symbols).instruments]

    assert found("kraken:BTC/USDT") == [("kraken", "BTC/USDT")]
    assert found("BTC/USDT") == [("binance_spot", "BTC/USDT"), ("kraken", "BTC/USDT")]
    assert len(found("BTCUSDT")) == 3
    assert found("binance_usdm:BTCUSDT", "BTC/USDT:USDT") == [("binance_usdm", "BTC/USDT:USDT")]
    with pytest.raises(BadInput, match=r"'BTC/USDC' is not in the data; nearest valid names: .*BTC/USDT"):
        found("BTC/USDC")


def test_two_files_of_the_same_candles_are_refused(write: Write) -> None:
    paths = [write(candles(9), name="a.parquet"), write(candles(9), name="b.parquet")]
    with pytest.raises(BadInput, match=r"two candle files cover binance_spot:AXO/USDT"):
        open_market(paths)


@pytest.mark.parametrize(
    ("field", "value"),
    [("feed_latency_ms", 0.0), ("spread_bps", -1.0), ("depth_volume_share", float("nan")), ("taker_fee", 1.0)],
)
def test_the_feed_model_is_bounded(field: str, value: float) -> None:
    with pytest.raises(BadInput, match=rf"feed\.{field}"):
        FeedModel(**{field: value})  # type: ignore[arg-type]


_DIGEST = """
import hashlib, sys
from pathlib import Path
from engine.markets.market import open_market
digest = hashlib.sha256()
for block in open_market([Path(a) for a in sys.argv[1:]]).blocks(1000):
    digest.update(block.tobytes())
print(digest.hexdigest())
"""


def test_compiled_and_uncompiled_give_the_same_bytes(tmp_path: Path) -> None:
    paths = [synthesize(tmp_path / "m.parquet", seed=2, days=1, symbols=["BTC/USDT", "USDC/USDT"])]
    paths += synthesize_ticks(tmp_path, seed=2, minutes=1)
    compiled = hashlib.sha256(b"".join(b.tobytes() for b in open_market(paths).blocks(1000))).hexdigest()
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": root}
    arguments = [sys.executable, "-c", _DIGEST, *map(str, paths)]
    plain = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True, cwd=root)
    assert plain.stdout.strip() == compiled
