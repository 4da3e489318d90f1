"""A stretch of a market played alone: blind to what lies behind, flat at its beginning, no trade across its borders."""

from __future__ import annotations

from pathlib import Path

import crossed
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from engine.contracts.errors import BadInput
from engine.core.edges import NUMBER as ARBITRAGE
from engine.markets.market import Market, open_market
from engine.markets.synthetic import synthesize
from engine.research.backtest import BacktestRequest, run
from engine.research.folds import DAY_NS, HOUR_NS, Stretch
from engine.research.quoted import PAIRS, quotes_of_trades
from engine.research.stretch import Outcome, Terms, net_e8, play

SYMBOLS = ("BTC/USDT", "ETH/USDT", "AXO/USDT", "BREN/USDT", "CIRO/USDT")
TERMS = Terms(strategies={"crossover": {"fast": 24.0, "slow": 96.0}})
DAYS = 12


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("market") / "market.parquet", seed=5, days=DAYS, symbols=SYMBOLS)


@pytest.fixture(scope="module")
def market(file: Path) -> Market:
    return open_market([file])


def stretch(market: Market, begin: float, end: float, warm: float = 1.0) -> Stretch:
    return Stretch(*(market.from_ns + round(days * DAY_NS) for days in (begin, end)), round(warm * DAY_NS))


def same(one: Outcome, other: Outcome) -> bool:
    arrays = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("ts_ns", "usd", "trades"))
    return arrays and (one.left_out, one.left_out_usd, one.stopped) == (
        other.left_out,
        other.left_out_usd,
        other.stopped,
    )


def test_a_part_of_a_market_is_what_opening_that_part_gives(file: Path, market: Market) -> None:
    begin, end = market.from_ns + 3 * DAY_NS + HOUR_NS, market.from_ns + 5 * DAY_NS
    opened, part = open_market([file], from_ns=begin, to_ns=end), market.between(begin, end)
    assert (part.events, part.from_ns, part.to_ns) == (opened.events, opened.from_ns, opened.to_ns)
    assert b"".join(b.tobytes() for b in part.blocks()) == b"".join(b.tobytes() for b in opened.blocks())
    for ours, theirs in zip(part.closes(1), opened.closes(1), strict=True):
        assert np.array_equal(ours, theirs)
    with pytest.raises(BadInput, match="widen"):
        market.between(market.to_ns, market.to_ns + DAY_NS)


def test_a_whole_market_played_is_the_backtest_of_it(file: Path, market: Market, tmp_path: Path) -> None:
    done = run(BacktestRequest(strategy="crossover", params=TERMS.strategies["crossover"], data=[file], home=tmp_path))
    found = play(market, Stretch(market.from_ns, market.to_ns), TERMS)
    closed = {row.trade_no: row for row in done.ledger.trades}
    assert len(found.trades) > 5 and len(found.trades) + (found.left_out - len(done.metrics.open_positions)) == len(
        closed
    )
    for row in found.trades:
        assert net_e8(row[None])[0] == int(closed[int(row["trade_no"])].net_usd * 10**8)
    assert found.usd[-1] + found.left_out_usd == pytest.approx(done.metrics.end_equity_usd, abs=1e-6)
    noted = {row.ts_ns: float(row.equity_usd) for row in done.ledger.equity}
    apart = [abs(noted[t] - usd) for t, usd in zip(found.ts_ns.tolist(), found.usd, strict=True) if t in noted]
    assert len(apart) > 24 * DAYS / 2 and np.median(apart) == 0.0


def test_the_curve_without_crossing_trades_ends_with_the_closed_ones(market: Market) -> None:
    crossed = 0
    for end in (4.0, 5.5, 7.25, 9.0):
        found = play(market, stretch(market, 2.0, end), TERMS)
        crossed += found.left_out
        assert found.usd[0] == TERMS.capital_usd and found.ts_ns[0] == market.from_ns + 2 * DAY_NS
        assert found.usd[-1] == pytest.approx(TERMS.capital_usd + net_e8(found.trades).sum() / 1e8, abs=1e-6)
        assert (found.trades["opened_ns"] >= found.ts_ns[0]).all() and (
            found.trades["closed_ns"] < found.ts_ns[-1]
        ).all()
    assert crossed, "no trade was ever open at a border: this shows nothing"


def test_what_lies_behind_a_stretch_changes_nothing(file: Path, market: Market, tmp_path: Path) -> None:
    table = pq.read_table(file)
    cut = market.from_ns + 7 * DAY_NS
    early = table.filter(pc.less(table["ts"], pc.cast(cut // 1_000_000, table["ts"].type)))
    shorter = tmp_path / "shorter.parquet"
    pq.write_table(early, shorter)
    one, other = (play(m, stretch(market, 3.0, 7.0), TERMS) for m in (market, open_market([shorter])))
    assert len(one.trades) and same(one, other)


def test_warmed_up_means_are_those_of_the_whole_run(market: Market) -> None:
    """Entries made late enough that a run over everything is flat before: the same trades come out of the stretch."""
    whole = play(market, Stretch(market.from_ns, market.to_ns), TERMS)
    part = play(market, stretch(market, 6.0, float(DAYS), warm=6.0), TERMS)
    moments = {(int(r["instrument"]), int(r["opened_ns"])) for r in whole.trades}
    mine = [(int(r["instrument"]), int(r["opened_ns"])) for r in part.trades]
    assert len(mine) > 3 and sum(one in moments for one in mine) / len(mine) > 0.8
    cold = play(market, stretch(market, 6.0, float(DAYS), warm=0.0), TERMS)
    assert min(cold.trades["opened_ns"]) > min(part.trades["opened_ns"])


def test_dearer_fees_cost_that_much_more(market: Market) -> None:
    plain, dear = (
        play(market, stretch(market, 2.0, 6.0), Terms(strategies=TERMS.strategies, fee_factor=f)) for f in (1.0, 2.0)
    )
    assert len(plain.trades) == len(dear.trades) > 0
    assert dear.trades["fees_e8"].sum() == pytest.approx(2 * plain.trades["fees_e8"].sum(), rel=1e-6)


def test_cycles_and_their_coins_that_are_open_at_the_end_count_nowhere(tmp_path: Path) -> None:
    """Whatever the border cuts, the curve ends with what the closed trades came to: a cycle between two legs, and coins
    too few to sell, are taken out."""
    triangle = quotes_of_trades(crossed.trades(tmp_path / "trades.parquet", seconds=300), PAIRS)
    terms = Terms(
        strategies={"arbitrage": {"shadow_cycles": 0, "min_edge_bps": 0.1, "decay_bps": 0}}, fee_factor=0.0,
        timeframes_s=(60, 180, 720),
    )  # fmt: skip
    left_out, moved = 0, 0.0
    for cut_ms in range(100_000, 290_000, 9_870):
        border = triangle.from_ns + cut_ms * 10**6
        found = play(triangle, Stretch(triangle.from_ns + 5 * 10**9, border, 5 * 10**9), terms)
        assert found.usd[-1] == pytest.approx(1000.0 + net_e8(found.trades).sum() / 1e8, abs=1e-6)
        assert set(found.trades["strategy"].tolist()) == {ARBITRAGE}
        left_out, moved = left_out + found.left_out, max(moved, abs(found.left_out_usd))
    assert left_out and moved > 0.0, "no border cut a cycle, and no coins were left over: this shows nothing"


def test_short_stretches_are_marked_more_often(market: Market, tmp_path: Path) -> None:
    triangle = quotes_of_trades(crossed.trades(tmp_path / "trades.parquet", seconds=30), PAIRS)
    brief = play(triangle, Stretch(triangle.from_ns, triangle.to_ns), Terms(strategies={"arbitrage": {}}))
    assert np.median(np.diff(brief.ts_ns)) == 10**9
    day = play(market, stretch(market, 2.0, 3.0), TERMS)
    assert np.median(np.diff(day.ts_ns)) >= 60 * 10**9


def test_the_selector_shares_out_the_risk_of_a_stretch(market: Market) -> None:
    both = {"crossover": TERMS.strategies["crossover"], "momentum": {}}
    free, shared = (
        play(market, stretch(market, 2.0, 8.0), Terms(strategies=both, selector=selector))
        for selector in ({}, {"enabled": 1.0})
    )
    assert len(free.trades) and len(shared.trades)
    assert shared.trades["entry_value_e8"].mean() < free.trades["entry_value_e8"].mean(), "a share of it each"
