"""Single bad rows are dropped and counted; the good ones stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from candle_tables import START_MS, candles
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.errors import BadData
from engine.markets.check import check
from engine.markets.files import read_sheet
from engine.markets.market import open_market
from engine.markets.rows import judge

Write = Callable[..., Path]
NAN = float("nan")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"close": NAN}, "not_a_number"),
        ({"high": float("inf")}, "not_a_number"),
        ({"volume": NAN}, "not_a_number"),
        ({"low": 0.0}, "price_not_positive"),
        ({"open": -1.0}, "price_not_positive"),
        ({"volume": -1.0}, "negative_volume"),
        ({"high": 1.0}, "high_below_low"),
        ({"close": 11.5}, "outside_range"),
        ({"ts": START_MS + 9 * 300_000}, "duplicate_timestamp"),
        ({"ts": START_MS + 3 * 300_000}, "backward_timestamp"),
        ({"ts": START_MS + 999 * 300_000}, "backward_timestamp"),
        ({"ts": START_MS + 9 * 300_000 + 60_000}, "overlapping_bar"),
        ({"ts": 0}, "bad_timestamp"),
        ({"high": 31_000.0}, "absurd_wick"),
        ({"low": 0.001}, "absurd_wick"),
        ({"high": 1e16}, "number_too_large"),
        ({"symbol": "???"}, "no_symbol"),
    ],
)
def test_one_bad_candle_is_quarantined_alone(changes: dict[str, Any], cause: str, write: Write) -> None:
    columns = candles(40)
    for column, value in changes.items():
        columns[column] = np.array(columns[column], dtype=object if column == "symbol" else None)
        columns[column][10] = value
    path = write(columns)
    report = check(path)
    assert (report.verdict, report.quarantined, report.good_rows) == ("usable", {cause: 1}, 39)
    assert [(e.row, e.cause) for e in report.examples] == [(10, cause)]
    market = open_market([path])
    assert market.events == 39 * 4 and market.sources[0].quarantined == {cause: 1}


def test_a_real_collapse_is_kept(write: Write) -> None:
    columns = candles(40)
    for column in ("high", "low", "open", "close"):
        columns[column] = columns[column].copy()
        columns[column][20:] *= 0.24
    columns["open"][20], columns["high"][20] = candles(40)["open"][20], candles(40)["high"][20]
    assert check(write(columns)).verdict == "good"


def test_a_major_is_held_to_a_tighter_wick_than_a_small_cap(write: Write) -> None:
    def report(symbol: str) -> dict[str, int]:
        columns = candles(40, symbol, step_ms=60_000)
        columns["high"][10] *= 1.25
        return check(write(columns, name=f"{symbol[:3]}.parquet")).quarantined

    assert report("BTC/USDT") == {"absurd_wick": 1}
    assert report("AXO/USDT") == {}


@pytest.mark.parametrize(("step_ms", "low", "kept"), [
    (60_000, 0.7, True), (300_000, 0.55, True), (300_000, 0.45, False), (900_000, 0.3, True),
])  # fmt: skip
def test_a_crash_of_a_major_is_kept_unless_it_halves_in_minutes(
    step_ms: int, low: float, kept: bool, write: Write
) -> None:
    columns = candles(40, "BTC/USDT", step_ms=step_ms)
    columns["low"][10] *= low
    assert check(write(columns)).quarantined == ({} if kept else {"absurd_wick": 1})


def test_dropped_wicks_are_named(write: Write) -> None:
    columns = candles(40, "BTC/USDT", step_ms=60_000)
    columns["high"][[10, 12, 14, 16]] = 31.0
    source = open_market([write(columns)]).sources[0]
    assert source.quarantined == {"absurd_wick": 4} and len(source.wicks) == 3
    assert source.wicks[0].startswith("binance_spot:BTC/USDT 2025-01-01 00:10 UTC low 9.")
    assert " high 31 close " in source.wicks[0]


@pytest.mark.parametrize(("bad", "refused"), [(4, False), (5, True)])
def test_a_file_with_more_than_a_tenth_of_bad_rows_is_refused(bad: int, refused: bool, write: Write) -> None:
    columns = candles(40)
    columns["close"][3 : 3 + bad] = NAN
    path = write(columns)
    report = check(path)
    assert (report.verdict, report.quarantined) == ("refused" if refused else "usable", {"not_a_number": bad})
    if refused:
        said = r"market\.parquet: 5 of 40 rows are bad \(12\.5%.*: not_a_number 5; look .* trading-cli data check"
        with pytest.raises(BadData, match=said):
            open_market([path])
    else:
        assert open_market([path]).events == 36 * 4


def test_gaps_are_counted_not_filled(write: Write) -> None:
    columns = {k: np.delete(np.asarray(v), [10, 11, 30]) for k, v in candles(40).items()}
    report = check(write(columns))
    assert (report.verdict, report.gaps, report.missing_bars) == ("good", 2, 3)
    assert report.symbols[0].longest_gap_s == 600 and report.symbols[0].step_s == 300


def quotes(rows: int = 30) -> dict[str, Any]:
    stamps = START_MS + 100 * np.arange(rows, dtype=np.int64)
    return {
        "venue": ["binance_spot"] * rows, "symbol": ["BTCUSDT"] * rows, "ts_exch_ms": stamps,
        "ts_local_ns": stamps * 1_000_000 - 1_270_000_000, "update_id": np.arange(rows, dtype=np.int64) + 5,
        "bid": np.full(rows, 99.5), "bid_size": np.full(rows, 2.0),
        "ask": np.full(rows, 99.75), "ask_size": np.full(rows, 0.3),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value", "cause"),
    [
        ("bid", 100.0, "crossed_quote"),
        ("bid", 99.75, "locked_quote"),
        ("ask", NAN, "not_a_number"),
        ("bid", 0.0, "price_not_positive"),
        ("ask_size", 0.0, "size_not_positive"),
        ("update_id", 14, "duplicate_timestamp"),
        ("update_id", 2, "backward_timestamp"),
        ("ts_exch_ms", START_MS - 5, "backward_timestamp"),
        ("ts_exch_ms", START_MS + 99_999, "backward_timestamp"),
    ],
)
def test_one_bad_quote_is_quarantined_alone(column: str, value: float, cause: str, write: Write) -> None:
    columns = quotes()
    columns[column] = columns[column].copy()
    columns[column][10] = value
    report = check(write(columns))
    assert (report.quarantined, report.good_rows, report.kind) == ({cause: 1}, 29, "quotes")


def test_a_quote_without_exchange_time_is_placed_by_the_measured_clock_offset(write: Write) -> None:
    columns = quotes()
    columns["ts_exch_ms"] = np.array([*columns["ts_exch_ms"][:20], *[0] * 10])
    events = next(open_market([write(columns)]).blocks())
    assert events["venue_ts_ns"].tolist() == (quotes()["ts_exch_ms"] * 1_000_000).tolist()
    assert (events["ts_ns"] > events["venue_ts_ns"]).all()
    del columns["ts_local_ns"]
    assert check(write(columns, name="bare.parquet")).quarantined == {"bad_timestamp": 10}


def test_a_bad_side_and_a_bad_rate_are_quarantined(write: Write) -> None:
    base = {"venue": ["v"] * 3, "symbol": ["BTC/USDT"] * 3}
    stamps = START_MS + np.arange(3)
    trades = {**base, "ts_exch_ms": stamps, "price": [1.0] * 3, "size": [1.0] * 3, "side": [1, 0, -1]}
    assert check(write(trades, name="t.parquet")).quarantined == {"bad_side": 1}
    rates = {**base, "ts": stamps, "funding_rate": [0.0001, NAN, 5.0]}
    assert check(write(rates, name="f.parquet")).quarantined == {"not_a_number": 1, "rate_out_of_range": 1}


_VALUES = st.sampled_from([NAN, 0.0, -1.0, 1e-300, 1e300, float("inf"), -float("inf"), 31_000.0])
_COLUMNS = st.sampled_from(["open", "high", "low", "close", "volume"])


@settings(max_examples=40, deadline=None)
@given(damage=st.dictionaries(st.integers(1, 58), st.tuples(_COLUMNS, _VALUES), max_size=6))
def test_good_rows_survive_any_damage_to_others(
    damage: dict[int, tuple[str, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    columns = candles(60)
    for row, (column, value) in damage.items():
        columns[column] = columns[column].copy()
        columns[column][row] = value
    path = tmp_path_factory.mktemp("damage") / "m.parquet"
    pq.write_table(pa.table({k: pa.array(v) for k, v in columns.items()}), path)
    judged = judge(read_sheet(path))
    dropped = set(judged.sheet.row[judged.cause != 0].tolist())
    assert dropped <= set(damage)
    assert sum(judged.counts().values()) == len(dropped)
    market = open_market([path])
    assert market.events == 4 * (60 - sum(market.sources[0].quarantined.values()))
    for block in market.blocks(50):
        assert (
            (block["price_ticks"] > 0).all() and (block["spread_ticks"] > 0).all() and (block["depth_lots"] > 0).all()
        )


@settings(max_examples=40, deadline=None)
@given(
    stamps=st.lists(
        st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(START_MS, START_MS + 10**7)), min_size=2, max_size=40
    )
)
def test_no_time_stamps_crash_and_what_is_left_is_in_order(
    stamps: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    columns = candles(len(stamps)) | {"ts": np.array(stamps, np.int64)}
    path = tmp_path_factory.mktemp("stamps") / "m.parquet"
    pq.write_table(pa.table({k: pa.array(v) for k, v in columns.items()}), path)
    report = check(path)
    if report.verdict == "refused":
        return
    last = 0
    for block in open_market([path]).blocks(16):
        assert block["venue_ts_ns"][0] >= last and (np.diff(block["venue_ts_ns"]) >= 0).all()
        last = int(block["venue_ts_ns"][-1])
