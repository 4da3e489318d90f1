"""What a black-box acceptance once found, each as the market that showed it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_hostile_markets import BAR_MS, EAGER, NO_DRAWDOWN_STOP, START_MS, candles, crashing_together, walk

from engine.contracts.errors import BadInput
from engine.core.limits import Limits
from engine.markets.feedmodel import FeedModel
from engine.research.backtest import BacktestRequest, BacktestResult, run
from engine.simulation.venue import SimulationModel

PATIENT = EAGER["momentum"] | {
    "fast": 20, "slow": 60, "min_stop_pct": 0.3, "max_hours": 2000, "target_r": 50, "trail_start_r": 20,
}  # fmt: skip


def written(folder: Path, name: str, *tables: pd.DataFrame) -> Path:
    path = folder / f"{name}.parquet"
    pd.concat(tables).to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("rate", [0.0003, 0.0005, 0.001, 0.02, 0.1])
def test_many_small_fundings_never_lose_more_than_a_trade_may(tmp_path: Path, rate: float) -> None:
    """A perpetual that hardly moved lost $22 through fundings of 0.05 % an hour, and drew cash below the reserve."""
    bars = 288 * 10
    rising = np.exp(np.linspace(0, 0.02, bars + 1))
    tables = [
        candles(f"A{i}USDT", (100 * (1 + i) * rising).round(4), wick=0.00003, seed=i, decimals=4) for i in range(4)
    ]
    perps = written(tmp_path, "perps", *[table.assign(venue="binance_usdm") for table in tables])
    hours = START_MS + 12 * BAR_MS * np.arange(240, dtype=np.int64)
    paid = [
        pd.DataFrame({"venue": "binance_usdm", "symbol": f"A{i}USDT", "ts": hours, "funding_rate": rate})
        for i in range(4)
    ]
    result = run(
        BacktestRequest(
            strategy="momentum", data=[perps, written(tmp_path, "funding", *paid)], home=tmp_path, params=PATIENT,
            limits=NO_DRAWDOWN_STOP,
        )
    )  # fmt: skip
    assert result.metrics.funding_usd < -10, "a market without funding proves nothing"
    if rate < 0.01:
        assert min(trade.net_usd for trade in result.ledger.trades) > Decimal(-10)
        assert result.ledger.gaps == []
    else:  # one payment alone passes the limit: listed, and the reserve stands
        assert {gap.cause for gap in result.ledger.gaps} <= {"GAP_FUNDING"}
    assert min(row.free_usd for row in result.ledger.equity) >= 200


def test_what_cannot_be_sold_is_not_sent_again_and_again(tmp_path: Path) -> None:
    """An unsellable rest in a thin book had its stop refused and re-sent every 150 ms: a million orders."""
    file = written(tmp_path, "thin", *crashing_together())
    thin = FeedModel(depth_volume_share=1e-6, first_depth_usd=1.0)
    result = run(
        BacktestRequest(
            strategy="momentum",
            data=[file],
            home=tmp_path,
            params=EAGER["momentum"],
            limits=NO_DRAWDOWN_STOP,
            feed=thin,
        )
    )
    again = [o for o in result.ledger.orders if o.refusal == "MIN_NOTIONAL"]
    assert len(again) < 500
    assert len(result.ledger.orders) < 10_000


def test_a_target_inside_a_candle_fills_at_the_target(tmp_path: Path) -> None:
    """Take-profits sold the candle's high, because the engine sees the ends of a move only."""
    tables = [candles(f"A{i}USDT", walk(3000, 1 + i, i, 0.004, 0.0003), seed=i, wick=0.01) for i in range(5)]
    params = EAGER["momentum"] | {"target_r": 1.0, "min_stop_pct": 1.0}
    result = run(
        BacktestRequest(
            strategy="momentum", data=[written(tmp_path, "wicks", *tables)], home=tmp_path, params=params,
            limits=NO_DRAWDOWN_STOP,
        )
    )  # fmt: skip
    won = [t for t in result.ledger.trades if t.exit_reason == "TAKE_PROFIT"]
    over = [float(t.exit_price / (2 * t.entry_price - t.stop_price)) - 1 for t in won]
    assert len(over) > 20
    assert max(over) < 0.0005, "no better than the target and a rounding"
    assert min(over) > -0.0005


@pytest.mark.parametrize(("feed_ms", "reply_ms"), [(50, 50), (20, 50), (50, 20)])
def test_the_cause_of_a_gap_does_not_depend_on_latency(tmp_path: Path, feed_ms: float, reply_ms: float) -> None:
    """A fall between two candles was called a jump inside one when the fill was known before the opening."""
    bars = 288 * 2 + 60
    tables = []
    for i in range(3):
        rise = np.concatenate([np.zeros(288 * 2), np.linspace(0, 0.015, 61)])
        noise = np.random.default_rng(i).normal(0, 0.0004, bars + 1)
        tables.append(
            candles(f"A{i}USDT", (1 + i) * np.exp(rise + noise), jumps={288 * 2 + 40: 0.5}, seed=i, wick=3e-4)
        )
    params = EAGER["momentum"] | {"fast": 5, "slow": 10, "min_stop_pct": 1.5, "target_r": 50, "trail_start_r": 20,
                                  "agree": 3, "breakout_bars": 3}  # fmt: skip
    result = run(
        BacktestRequest(
            strategy="momentum", data=[written(tmp_path, "fall", *tables)], home=tmp_path, params=params,
            limits=NO_DRAWDOWN_STOP, feed=FeedModel(feed_latency_ms=feed_ms),
            simulation=SimulationModel(reply_latency_ms=reply_ms),
        )
    )  # fmt: skip
    assert {gap.cause for gap in result.ledger.gaps} == {"GAP_BETWEEN_CANDLES"}


def test_the_drawdown_that_stopped_entries_is_in_the_curve(tmp_path: Path) -> None:
    """Hourly marks showed a deepest drawdown smaller than the one that had stopped the run."""
    result: BacktestResult = run(
        BacktestRequest(
            strategy="momentum", data=[written(tmp_path, "fall", *crashing_together())], home=tmp_path,
            params=EAGER["momentum"], limits=Limits(),
        )
    )  # fmt: skip
    assert [state.reason for state in result.ledger.states] == ["DRAWDOWN_LIMIT"]
    assert result.metrics.max_drawdown is not None
    assert result.metrics.max_drawdown <= -0.05


@pytest.mark.parametrize("strategy", ["momentum", "crossover"])
def test_a_fast_mean_slower_than_the_slow_one_is_refused(tmp_path: Path, strategy: str) -> None:
    with pytest.raises(BadInput, match=r"fast = 200 must be below slow = 10"):
        run(
            BacktestRequest(
                strategy=strategy, data=[tmp_path / "none.parquet"], home=tmp_path, params={"fast": 200, "slow": 10}
            )
        )
