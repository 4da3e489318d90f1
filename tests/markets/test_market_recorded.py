"""The recorded markets, where they are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.contracts.records import QUOTE
from engine.markets.check import check
from engine.markets.market import open_market


def test_the_wick_to_31000_is_caught_and_nothing_else(recorded: Path) -> None:
    report = check(recorded / "candles/depeg_2023-03_1m_6venues.parquet")
    assert report.quarantined == {"absurd_wick": 1} and report.examples[0].symbol == "binance_us:BTC/USDC"
    assert report.gaps > 0


def test_the_collapse_of_om_is_kept(recorded: Path) -> None:
    market = open_market([recorded / "candles/binance_spot_1h_404pairs_2025H1.parquet"], symbols=["OM/USDT"])
    _, closes = market.closes(0)
    assert market.instruments[0].symbol == "OM/USDT" and (closes[1:] / closes[:-1]).min() < 0.3


def test_four_months_of_39_pairs_stay_in_order(recorded: Path) -> None:
    market = open_market([recorded / "candles/binance_spot_5m_39pairs_2025H1.parquet"])
    assert market.events == 4 * 1_325_568 and market.sources[0].quarantined == {}
    last = seen = 0
    for block in market.blocks():
        assert block["venue_ts_ns"][0] >= last and (np.diff(block["venue_ts_ns"]) >= 0).all()
        last, seen = int(block["venue_ts_ns"][-1]), seen + len(block)
    assert seen == market.events


def test_quotes_without_exchange_time_are_placed_beside_those_with(recorded: Path) -> None:
    market = open_market([recorded / "book/binance_hft_bbo.parquet", recorded / "trades/binance_hft_trades.parquet"])
    assert market.grade == "tick-grade" and [s.quarantined for s in market.sources] == [{}, {}]
    spans = {}
    for block in market.blocks():
        assert (block["ts_ns"] > block["venue_ts_ns"]).all()
        for index in (0, 1):
            times = block["venue_ts_ns"][(block["instrument"] == index) & (block["kind"] == QUOTE)]
            if len(times):
                spans[index] = (spans.get(index, (int(times[0]),))[0], int(times[-1]))
    assert abs(spans[0][0] - spans[1][0]) < 1_500_000_000


def test_every_recorded_file_is_read_or_refused_by_name(recorded: Path) -> None:
    verdicts = {p.name: check(p) for p in sorted((recorded / "candles").glob("*.parquet")) if "404" not in p.name}
    refused = {name for name, report in verdicts.items() if report.verdict == "refused"}
    assert refused == {
        "binance_spot_1h_closes_40pairs_2021_2025.parquet",
        "depeg_2023-03_1m_quotes_spread_depth.parquet",
        "lean_minute_quotes_2017_2022.parquet",
    }
