"""What recorded data would have allowed in triangles: known dislocations, to the basis point and the fee tier."""

from __future__ import annotations

from pathlib import Path

import crossed
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from engine.contracts import records as r
from engine.contracts.errors import BadData, BadInput
from engine.markets.market import Market, market_of_ticks
from engine.research import triangles
from engine.research.quoted import DEPEG_PAIRS, PAIRS, quotes_of_minutes, quotes_of_trades
from engine.research.triangles import Moments, moments, played

FEES = (10.0, 2.5, 0.5, 0.0)
TICKS_WAY = (("BTC/USDT", 1), ("ETH/BTC", 1), ("ETH/USDT", -1))


def left(bps: float, fee_bps: float) -> float:
    """What a dislocation leaves after three fees, in bps."""
    return ((1 + bps / 1e4) * (1 - fee_bps / 1e4) ** 3 - 1) * 1e4


@pytest.fixture(scope="module")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> Market:
    return quotes_of_minutes(crossed.minutes(tmp_path_factory.mktemp("minutes") / "minutes.parquet"), DEPEG_PAIRS)


@pytest.fixture(scope="module")
def ticks(tmp_path_factory: pytest.TempPathFactory) -> Market:
    return quotes_of_trades(crossed.trades(tmp_path_factory.mktemp("trades") / "trades.parquet"), PAIRS)


def test_minutes_that_pay_are_counted_at_each_fee(minutes: Market) -> None:
    found = moments(minutes, crossed.WAY, FEES, 1_000.0)
    assert [(one.fee_bps, one.minutes, one.paying) for one in found] == [
        (10.0, 20, 1),  # 50 bps are more than three times 10
        (2.5, 20, 2),  # and 12 more than three times 2.5
        (0.5, 20, 3),
        (0.0, 20, 3),
    ]
    for one in found:
        assert one.best_bps == pytest.approx(left(50.0, one.fee_bps), abs=0.02), "cents of 20,000 dollars"


def test_the_way_back_counts_as_much(minutes: Market) -> None:
    back = [(symbol, -side) for symbol, side in reversed(crossed.WAY)]
    assert moments(minutes, back, FEES, 1_000.0) == moments(minutes, crossed.WAY, FEES, 1_000.0)


def test_a_quote_that_is_too_old_is_no_chance(tmp_path: Path) -> None:
    table = pq.read_table(crossed.minutes(tmp_path / "whole.parquet"))
    stale = pc.and_(
        pc.equal(table["symbol"], "USDC/USD"),
        pc.equal(table["ts"], pa.scalar(crossed.START_MS + 3 * crossed.MINUTE_MS, table["ts"].type)),
    )
    pq.write_table(table.filter(pc.invert(stale)), tmp_path / "hole.parquet")
    market = quotes_of_minutes(tmp_path / "hole.parquet", DEPEG_PAIRS)
    young, old = (moments(market, crossed.WAY, (10.0,), age)[0] for age in (1_000.0, 90_000.0))
    assert (young.minutes, young.paying) == (19, 0)
    assert (old.minutes, old.paying) == (20, 1), "the quote of the minute before would do at that age"


def test_later_minutes_change_nothing_earlier(tmp_path: Path, minutes: Market) -> None:
    short = quotes_of_minutes(crossed.minutes(tmp_path / "short.parquet", count=10), DEPEG_PAIRS)
    length = short.events
    earlier = r.joined(list(minutes.blocks()), r.RECORD)[:length]
    assert r.joined(list(short.blocks()), r.RECORD).tobytes() == earlier.tobytes()
    assert [one.paying for one in moments(short, crossed.WAY, FEES, 1_000.0)] == [1, 2, 2, 2]
    whole, part = (played(one, (2.5,))[0] for one in (minutes.between(minutes.from_ns, short.to_ns), short))
    assert whole == part and part.begun == 2


def test_minutes_become_quotes_rounded_outwards(minutes: Market) -> None:
    first = r.joined(list(minutes.blocks()), r.RECORD)[:3]
    assert (first["venue_ts_ns"] == (crossed.START_MS + crossed.MINUTE_MS) * 10**6).all(), "known at the minute's end"
    assert first["ts_ns"][0] - first["venue_ts_ns"][0] == 20 * 10**6
    dollars = first[first["instrument"] == 0][0]
    assert (dollars["bid_ticks"], dollars["ask_ticks"]) == (1_999_999, 2_000_001), (
        "0.01 wide at half a cent: a tick each"
    )
    stable = first[first["instrument"] == 2][0]
    assert (stable["bid_ticks"], stable["ask_ticks"]) == (9_999, 10_001)
    assert stable["bid_lots"] == 1e6 / 2 / 0.01, "the depth is of both sides together"


def test_the_engine_takes_what_is_left_and_nothing_else(minutes: Market) -> None:
    dear, cheap, free = played(minutes, (20.0, 2.5, 0.0))
    assert (dear.begun, dear.net_usd) == (0, 0.0)
    assert (cheap.begun, cheap.done, cheap.unwound) == (2, 2, 0), "50 and 12 bps; 2 bps are less than the fees"
    assert free.begun == 3 and free.net_usd > cheap.net_usd > 0.0
    most = 400.0 * (left(50.0, 2.5) + left(12.0, 2.5)) / 1e4
    assert 0.8 * most < cheap.net_usd <= most + 0.01, "at most 400 dollars a cycle"


def test_orders_that_come_a_minute_late_find_nothing(minutes: Market) -> None:
    (late,) = played(minutes, (2.5,), order_latency_ms=60_000.0)
    assert late.begun > 0 and late.done == 0 and late.net_usd <= 0.0


def test_last_trades_as_quotes(ticks: Market) -> None:
    free, dear = moments(ticks, TICKS_WAY, (0.0, 2.5), 1_000.0)
    assert free.paying == free.minutes == 2 and 0.0 < free.best_bps < 4.0, "four bps less three spreads"
    assert dear.paying == 0 and dear.best_bps == pytest.approx(left(free.best_bps, 2.5), abs=1e-6)
    taken = played(ticks, (2.5, 0.0))
    assert taken[0].begun == 0 and taken[1].done > 10 and taken[1].net_usd > 0.0


def test_closes_count_minutes_in_which_all_three_traded(tmp_path: Path) -> None:
    found = triangles.closes(crossed.closes(tmp_path / "candles.parquet"), "binance_us", crossed.WAY, (10.0, 20.0))
    assert [(one.minutes, one.paying) for one in found] == [(5, 1), (5, 0)]
    assert found[0].best_bps == pytest.approx(left(50.0, 10.0), abs=1e-6)
    assert found[1].best_bps == pytest.approx(left(50.0, 20.0), abs=1e-6) and found[1].best_bps < 0


def test_a_market_of_one_moment_counts_it_once() -> None:
    assert triangles._counted(np.array([1, 1, 2]), np.array([1.01, 1.02, 0.99]), (0.0,)) == [
        Moments(fee_bps=0.0, minutes=2, paying=1, best_bps=pytest.approx(200.0))
    ]


def test_what_cannot_be_read_is_refused(tmp_path: Path, minutes: Market) -> None:
    with pytest.raises(BadData, match="gone.parquet"):
        quotes_of_trades(tmp_path / "gone.parquet", PAIRS)
    with pytest.raises(BadData, match="mid_close"):
        quotes_of_minutes(crossed.trades(tmp_path / "trades.parquet", seconds=1), DEPEG_PAIRS)
    with pytest.raises(BadInput, match="order of time"):
        market_of_ticks(DEPEG_PAIRS, np.zeros(0, r.RECORD), minutes.sources[0], 0)
