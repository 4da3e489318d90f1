"""Markets made to hurt, through the whole backtest: crashes, gaps, wicks, holes, odd prices, thin and costly books.

Everything is judged from the ledger alone, by arithmetic written here and not by the engine's own figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.contracts.ledger import OrderRow
from engine.core.limits import Limits
from engine.markets.feedmodel import FeedModel
from engine.research.backtest import BacktestRequest, BacktestResult, run
from engine.research.replay import replay
from engine.simulation.venue import SimulationModel

START_MS = 1_735_689_600_000  # 2025-01-01, a midnight
BAR_MS = 300_000
DAY_NS = 86_400_000_000_000
BARS_A_DAY = 288
NO_DRAWDOWN_STOP = Limits(drawdown_pct=100)  # keep trading: the point is to be hurt again and again

# parameters that trade as often as they are let
EAGER: dict[str, dict[str, float]] = {
    "momentum": {
        "universe": 500, "max_spread_bps": 200, "min_breadth": 0, "min_turnover_usd": 0, "fast": 2, "slow": 3,
        "agree": 1, "breakout_bars": 2, "surge": 0, "surge_span": 2, "atr_span": 2, "stop_atr": 0.5,
        "min_stop_pct": 0.05, "max_stop_pct": 50, "cooldown_bars": 0, "risk_share": 1, "entry_cap_bps": 50,
        "min_place": 0, "min_btc_trend": -50, "max_btc_range_pct": 100, "pump_volume": 0, "max_correlated_risk": 10,
    },
    "crossover": {"fast": 2, "slow": 5, "stop_pct": 2, "notional_usd": 300, "entry_cap_bps": 50},
}  # fmt: skip


def candles(
    symbol: str, closes: np.ndarray, *, jumps: dict[int, float] | None = None, wick: float = 0.002,
    seed: int = 0, decimals: int = 6, bar_ms: int = BAR_MS, start: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Candles through `closes` (one more than bars); `jumps`: bar -> factor between its open and the close before."""
    noise = np.random.default_rng(seed)
    opens, ends = closes[:-1].copy(), closes[1:].copy()
    for bar, factor in (jumps or {}).items():
        opens[bar:] *= factor
        ends[bar:] *= factor
    n = len(opens)
    high = np.maximum(opens, ends) * (1 + np.abs(noise.normal(0, wick, n)))
    low = np.minimum(opens, ends) * (1 - np.abs(noise.normal(0, wick, n)))
    table = pd.DataFrame({"open": opens, "high": high, "low": low, "close": ends}).round(decimals)
    table["volume"] = 1e6 / opens * (1 + 3 * noise.random(n))
    table.insert(0, "ts", START_MS + bar_ms * (start + np.arange(n, dtype=np.int64)))
    table.insert(0, "symbol", symbol)
    table.insert(0, "venue", "binance")
    return table


def walk(n: int, first: float, seed: int, sd: float = 0.004, drift: float = 0.0) -> np.ndarray:
    steps = np.random.default_rng(seed).normal(drift, sd, n)
    return first * np.exp(np.concatenate([[0.0], np.cumsum(steps)]))


def calm(days: int = 10) -> list[pd.DataFrame]:
    return [candles(f"A{i}USDT", walk(days * BARS_A_DAY, 1 + i, i), seed=i) for i in range(5)]


def crashing_together() -> list[pd.DataFrame]:
    jumps = {day * BARS_A_DAY + 100 * (day % 2): 0.5 if day % 3 == 0 else 0.9 for day in range(1, 10)}
    return [
        candles(f"A{i}USDT", walk(10 * BARS_A_DAY, 1 + i, i, 0.002, 0.0008), jumps=jumps, seed=i, decimals=7)
        for i in range(5)
    ]


def flash_wicks() -> list[pd.DataFrame]:
    tables = [candles(f"A{i}USDT", walk(10 * BARS_A_DAY, 1 + i, i, 0.002, 0.0005), seed=i) for i in range(5)]
    for table in tables:
        table.loc[100::97, "low"] = (table.loc[100::97, "low"] * 0.2).round(6)
    return tables


def falling_at_midnight() -> list[pd.DataFrame]:
    jumps = {day * BARS_A_DAY: 0.93 for day in range(1, 10)}
    return [
        candles(f"A{i}USDT", walk(10 * BARS_A_DAY, 1 + i, i, 0.001, 0.002), jumps=jumps, wick=0.001, seed=i)
        for i in range(5)
    ]


def holes_and_delistings() -> list[pd.DataFrame]:
    tables = []
    for i, table in enumerate(calm()):
        keep = np.random.default_rng(i).random(len(table)) > 0.1
        keep[700 : 700 + 3 * BARS_A_DAY] = False
        keep[: 300 * i] = False
        keep[len(table) - 200 * i :] = keep[len(table) - 200 * i :] & (i == 0)
        tables.append(table[keep])
    return tables


def tiny_prices() -> list[pd.DataFrame]:
    return [candles(f"P{i}USDT", walk(2000, 1e-6 * (i + 1), i), wick=0.003, seed=i, decimals=8) for i in range(4)]


def huge_prices() -> list[pd.DataFrame]:
    return [candles(f"H{i}USDT", walk(2000, 1e6 * (i + 1), i), wick=0.003, seed=i, decimals=2) for i in range(4)]


def mixed_lengths() -> list[pd.DataFrame]:
    return [
        candles(f"A{i}USDT", walk(3000 // length, 1 + i, i), seed=i, decimals=5, bar_ms=BAR_MS * length)
        for i, length in enumerate((1, 3, 12, 1))
    ]


MARKETS: dict[str, Callable[[], list[pd.DataFrame]]] = {
    "calm": calm,
    "crashing together": crashing_together,
    "flash wicks": flash_wicks,
    "falling at midnight": falling_at_midnight,
    "holes and delistings": holes_and_delistings,
    "tiny prices": tiny_prices,
    "huge prices": huge_prices,
    "mixed lengths": mixed_lengths,
}


@pytest.fixture(scope="session")
def markets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("hostile")
    paths = {}
    for name, make in MARKETS.items():
        paths[name] = folder / f"{name}.parquet"
        pd.concat(make()).to_parquet(paths[name], index=False)
    return paths


def trade(data: Path, strategy: str, home: Path, **more: object) -> BacktestResult:
    arguments: dict[str, object] = {"limits": NO_DRAWDOWN_STOP, "params": EAGER[strategy]} | more
    return run(BacktestRequest(strategy=strategy, data=[data], home=home, **arguments))  # type: ignore[arg-type]


def assert_kept_within_limits(result: BacktestResult) -> None:
    """No trade and no day beyond the tighter of $ and % that no gap row lists; the reserve untouched; books balance."""
    ledger, limits = result.ledger, result.manifest.limits
    capital = Decimal(str(result.manifest.capital_usd))
    listed = {gap.trade_no for gap in ledger.gaps if gap.symbol}
    judged = [gap.ts_ns for gap in ledger.gaps if not gap.symbol]  # days: noted at the next midnight, or at the end
    times = np.array([row.ts_ns for row in ledger.equity])
    equity = [row.equity_usd for row in ledger.equity]

    def day_start(moment_ns: int) -> Decimal:
        k = int(np.searchsorted(times, moment_ns // DAY_NS * DAY_NS, "left"))
        return equity[k] if k < len(times) and times[k] <= moment_ns else capital

    for one in ledger.trades:
        limit = min(
            Decimal(str(limits["trade_loss_usd"])),
            day_start(one.opened_ns) * Decimal(str(limits["trade_loss_pct"])) / 100,
        )
        assert one.trade_no in listed or -one.net_usd <= limit + Decimal("0.01"), one
    before = capital
    for day in range(int(times[0]) // DAY_NS, int(times[-1]) // DAY_NS + 1):
        ends = [e for t, e in zip(times, equity, strict=True) if day * DAY_NS < t <= (day + 1) * DAY_NS]
        if not ends:
            continue
        limit = min(Decimal(str(limits["day_loss_usd"])), before * Decimal(str(limits["day_loss_pct"])) / 100)
        noted = any(day * DAY_NS < t <= (day + 1) * DAY_NS + 3_600_000_000_000 for t in judged)
        assert noted or before - ends[-1] <= limit + Decimal("0.02"), (pd.Timestamp(day * DAY_NS), before, ends[-1])
        before = ends[-1]
    assert min(row.free_usd for row in ledger.equity) >= min(Decimal(200), capital)
    assert result.metrics.balances


@pytest.mark.parametrize("strategy", sorted(EAGER))
@pytest.mark.parametrize("market", sorted(MARKETS))
def test_limits_hold_and_the_run_replays(market: str, strategy: str, markets: dict[str, Path], tmp_path: Path) -> None:
    result = trade(markets[market], strategy, tmp_path)
    assert result.ledger.fills
    assert_kept_within_limits(result)
    again = replay(result.run_dir)
    assert again.ok and again.digest == result.metrics.digest


@pytest.mark.parametrize(
    ("more", "trades"),
    [
        ({"feed": FeedModel(maker_fee=0.0, taker_fee=0.0)}, True),
        ({"feed": FeedModel(maker_fee=0.04, taker_fee=0.04)}, True),
        ({"feed": FeedModel(depth_volume_share=2e-5, first_depth_usd=20.0)}, True),
        (
            {
                "feed": FeedModel(feed_latency_ms=60_000),
                "simulation": SimulationModel(order_latency_ms=60_000, reply_latency_ms=60_000),
            },
            True,
        ),
        ({"capital_usd": 100_000.0}, True),
        ({"capital_usd": 300.0}, True),
        ({"capital_usd": 50.0}, False),  # less than the reserve: nothing may be committed
    ],
    ids=["free", "dear", "thin", "a minute late", "rich", "poor", "below the reserve"],
)
def test_limits_hold_under_hostile_terms(
    more: dict[str, object], trades: bool, markets: dict[str, Path], tmp_path: Path
) -> None:
    result = trade(markets["crashing together"], "momentum", tmp_path, **more)
    assert bool(result.ledger.fills) == trades
    assert_kept_within_limits(result)


@pytest.mark.parametrize("market", ["calm", "crashing together", "holes and delistings", "mixed lengths"])
def test_order_of_rows_and_symbols_does_not_matter(market: str, markets: dict[str, Path], tmp_path: Path) -> None:
    table = pd.read_parquet(markets[market])
    shuffled = tmp_path / "shuffled.parquet"
    table.sample(frac=1.0, random_state=1).sort_values("ts", kind="stable").to_parquet(shuffled, index=False)
    backwards = tmp_path / "backwards.parquet"
    table.sort_values(["symbol", "ts"], ascending=[False, True]).to_parquet(backwards, index=False)
    digests = {trade(p, "momentum", tmp_path).metrics.digest for p in (markets[market], shuffled, backwards)}
    assert len(digests) == 1


def wishes(result: BacktestResult, before_ns: int) -> list[tuple[object, ...]]:
    def one(o: OrderRow) -> tuple[object, ...]:
        return (o.ts_ns, o.symbol, o.role, o.side, o.price, o.qty, o.trigger)

    return [one(o) for o in result.ledger.orders if o.ts_ns < before_ns]


@pytest.mark.parametrize("strategy", sorted(EAGER))
@pytest.mark.parametrize("market", ["crashing together", "flash wicks", "falling at midnight"])
def test_a_file_cut_short_gives_the_same_orders_before_the_cut(
    market: str, strategy: str, markets: dict[str, Path], tmp_path: Path
) -> None:
    cut_ms = START_MS + 6 * BARS_A_DAY * BAR_MS
    table = pd.read_parquet(markets[market])
    short = tmp_path / "short.parquet"
    table[table["ts"] < cut_ms].to_parquet(short, index=False)
    whole = trade(markets[market], strategy, tmp_path)
    cut = trade(short, strategy, tmp_path)
    told = trade(markets[market], strategy, tmp_path, to_ns=cut_ms * 1_000_000)
    known = wishes(whole, cut_ms * 1_000_000)
    assert known
    assert known == wishes(cut, cut_ms * 1_000_000) == wishes(told, cut_ms * 1_000_000)


@pytest.mark.parametrize("market", ["calm", "crashing together", "flash wicks"])
def test_no_fill_is_better_than_its_market(market: str, markets: dict[str, Path], tmp_path: Path) -> None:
    """Never below a candle's low when buying or above its high when selling; no stop better than its trigger."""
    table = pd.read_parquet(markets[market])
    result = trade(markets[market], "momentum", tmp_path)
    bars = {symbol: rows.set_index("ts") for symbol, rows in table.groupby("symbol")}
    orders = {order.client_id: order for order in result.ledger.orders}
    for fill in result.ledger.fills:
        venue_ms = (fill.ts_ns - 50_000_000) // 1_000_000  # the reply took 50 ms
        bar = bars[fill.symbol.replace("/", "")].loc[venue_ms // BAR_MS * BAR_MS]
        price = float(fill.price)
        assert price >= bar["low"] if fill.side == "buy" else price <= bar["high"], fill
        if fill.role == "stop":
            assert fill.price <= orders[fill.client_id].trigger, fill


@pytest.mark.parametrize("strategy", sorted(EAGER))
def test_figures_follow_from_the_fills(strategy: str, markets: dict[str, Path], tmp_path: Path) -> None:
    result = trade(markets["calm"], strategy, tmp_path)
    ledger, metrics = result.ledger, result.metrics
    cash, gross, fees, nets = Decimal(1000), Decimal(0), Decimal(0), []
    running: dict[str, tuple[Decimal, Decimal, Decimal]] = {}
    for fill in sorted(ledger.fills, key=lambda f: (f.seq, f.trade_id)):
        signed = fill.qty if fill.side == "buy" else -fill.qty
        cash -= signed * fill.price + fill.fee_usd
        held, flow, paid = running.pop(fill.symbol, (Decimal(0), Decimal(0), Decimal(0)))
        held, flow, paid = held + signed, flow - signed * fill.price, paid + fill.fee_usd
        if held:
            running[fill.symbol] = (held, flow, paid)
        else:
            gross, fees = gross + flow, fees + paid
            nets.append(float(flow - paid))
    assert ledger.equity[-1].cash_usd == cash
    assert len(nets) == metrics.trades
    assert math.isclose(float(gross), metrics.gross_pnl_usd, abs_tol=1e-9)
    assert math.isclose(float(fees), metrics.fees_usd, abs_tol=1e-9)
    assert math.isclose(float(gross - fees), metrics.net_pnl_usd, abs_tol=1e-9)
    won, lost = sum(n for n in nets if n > 0), sum(n for n in nets if n < 0)
    assert metrics.profit_factor == pytest.approx(won / -lost, rel=1e-9)
    assert metrics.worst_trade_usd == pytest.approx(min(nets), rel=1e-9)

    marks = pd.Series([float(r.equity_usd) for r in ledger.equity], index=[r.ts_ns for r in ledger.equity])
    marks = marks.groupby(level=0).last()
    first = marks.index[0] // DAY_NS * DAY_NS
    midnights = range(first + DAY_NS, marks.index[-1], DAY_NS)
    daily = np.array([1000.0, *(marks[marks.index <= m].iloc[-1] for m in midnights), marks.iloc[-1]])
    returns = daily[1:] / daily[:-1] - 1
    assert metrics.days == len(returns)
    assert metrics.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(365), rel=1e-9)
    downside = math.sqrt(float((np.minimum(returns, 0) ** 2).mean()))
    assert metrics.sortino == pytest.approx(returns.mean() / downside * math.sqrt(365), rel=1e-9)
    every = np.concatenate([[1000.0], marks.to_numpy()])
    fall = float((every / np.maximum.accumulate(every) - 1).min())
    assert metrics.max_drawdown == pytest.approx(fall, rel=1e-9)
    assert metrics.worst_day_usd == pytest.approx(float(np.diff(daily).min()), rel=1e-9)
