"""Figures by hand on tiny ledgers, then what must hold on any ledger."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs
from sample_run import DAY_NS, HOUR_NS, START_NS, empty, fills, manifest, sample

from engine.contracts.ledger import EquityRow, GapRow, Ledger, StateRow, TradeRow
from engine.contracts.runs import Source
from engine.research import breakdown, equity
from engine.research.metrics import Metrics, measure
from engine.research.report.figures import price_charts
from engine.research.report.render import as_json

D = Decimal
MULTIPLES = hs.one_of(hs.none(), hs.floats(-50, 50), hs.sampled_from([math.nan, math.inf, -math.inf]))


def closed(number: int, net: str, symbol: str = "SOLUSDT", r: float | None = None, **more: Any) -> TradeRow:
    """A one-hour long trade with a fee of 0.3 and funding of -0.1; gross follows from net."""
    start = more.pop("opened_ns", START_NS + number * 2 * HOUR_NS)
    row: dict[str, Any] = {
        "trade_no": number, "seq": number, "opened_ns": start, "closed_ns": start + HOUR_NS, "symbol": symbol,
        "venue": "binance", "strategy": "momentum", "side": "long", "qty": D(2), "entry_price": D(50),
        "exit_price": D(51), "stop_price": D(49), "gross_usd": D(net) + D("0.4"), "fees_usd": D("0.3"),
        "funding_usd": D("-0.1"), "net_usd": D(net), "slippage_usd": D("0.05"), "risk_usd": D(2), "r_multiple": r,
        "mae_usd": D(-1), "mfe_usd": D(1), "exit_reason": "STOP_LOSS",
    }  # fmt: skip
    return TradeRow(**(row | more))


def marked(*points: tuple[float, str]) -> list[EquityRow]:
    """Rows at (days after the start, equity)."""
    return [
        EquityRow(
            seq=i, ts_ns=START_NS + round(day * DAY_NS), equity_usd=D(usd), cash_usd=D(usd), free_usd=D(usd) - 300,
            day_pnl_usd=D(0), open_risk_usd=D(0),
        )
        for i, (day, usd) in enumerate(points)
    ]  # fmt: skip


def book(trades: Sequence[TradeRow] = (), rows: Sequence[EquityRow] = (), gaps: Sequence[GapRow] = ()) -> Ledger:
    return Ledger(
        orders=[], fills=[f for t in trades for f in fills(t)], trades=list(trades), equity=list(rows), refusals=[],
        gaps=list(gaps), states=[],
    )  # fmt: skip


def gap(trade_no: int, day: float) -> GapRow:
    return GapRow(
        seq=1, ts_ns=START_NS + round(day * DAY_NS), symbol="SOLUSDT", strategy="momentum", trade_no=trade_no,
        cause="GAP_BETWEEN_CANDLES", loss_usd=D(12), planned_usd=D(10), stop_price=D(49),
    )  # fmt: skip


def of(ledger: Ledger, closes: equity.Closes | None = None, trials: int = 1) -> Metrics:
    return measure(ledger, manifest(4, ["SOLUSDT", "AVAXUSDT"]), closes or {}, trials)


TRADES = [closed(1, "4", r=2.0), closed(2, "-2", r=-1.0), closed(3, "-1", "AVAXUSDT", r=-0.5), closed(4, "3")]


def test_trade_figures_by_hand() -> None:
    m = of(book(TRADES, marked((0, "1000"), (1, "1004"))))
    assert (m.trades, m.win_rate, m.avg_win_usd, m.avg_loss_usd) == (4, 0.5, 3.5, -1.5)
    assert m.profit_factor == pytest.approx(7 / 3)
    assert m.expectancy_usd == 1.0
    assert m.expectancy_r == pytest.approx(0.5 / 3)
    assert m.sqn == pytest.approx(3**0.5 * np.mean([2, -1, -0.5]) / np.std([2, -1, -0.5], ddof=1))
    assert (m.max_consecutive_wins, m.max_consecutive_losses) == (1, 2)
    assert (m.best_trade, m.best_trade_usd, m.worst_trade_usd) == ("#1 SOLUSDT", 4.0, -2.0)
    assert (m.best_pair, m.best_pair_usd, m.worst_pair, m.worst_pair_usd) == ("SOLUSDT", 5.0, "AVAXUSDT", -1.0)
    assert (m.avg_duration_s, m.avg_stake_usd, m.volume_usd) == (3600.0, 100.0, 4 * 2 * 101.0)
    assert m.exposure == pytest.approx(4 / 24)
    assert [(s.key, s.trades) for s in m.by_hour if s.trades] == [("02", 1), ("04", 1), ("06", 1), ("08", 1)]


def test_money_balances_to_the_last_digit() -> None:
    m = of(book(TRADES, marked((0, "1000"), (1, "1004"))))
    assert m.balances
    assert (m.gross_pnl_usd, m.fees_usd, m.funding_usd, m.net_pnl_usd) == pytest.approx((5.6, 1.2, -0.4, 4.0))
    assert (m.slippage_usd, m.open_pnl_usd, m.return_pct) == pytest.approx((0.2, 0.0, 0.4))
    wrong = of(book(TRADES, marked((0, "1000"), (1, "1004.00000002"))))
    assert not wrong.balances
    assert any("does not add up" in warning for warning in wrong.warnings)


def test_a_trade_whose_parts_do_not_add_up_is_found() -> None:
    crooked = msgspec.structs.replace(TRADES[0], fees_usd=D("0.30000002"))
    assert not of(book([crooked], marked((0, "1000"), (1, "1004")))).balances


def test_open_positions_carry_the_difference() -> None:
    ledger = book(TRADES, marked((0, "1000"), (1, "1010")))
    entry = fills(closed(9, "0"))[0]
    m = of(msgspec.structs.replace(ledger, fills=[*ledger.fills, entry]))
    assert m.balances
    assert m.open_pnl_usd == 6.0
    assert m.open_positions == ["SOLUSDT 2 since 2025-01-01T18:00:00Z"]
    assert m.exposure == pytest.approx((4 + 6) / 24)


def test_daily_returns_are_taken_at_midnight() -> None:
    rows = marked((0.5, "1000"), (0.9, "1010"), (1, "1020"), (1.2, "900"), (1.9, "1071"), (2.1, "1070"), (2.5, "1091"))
    daily = equity.daily(equity.curve(rows, 1000.0))
    assert (daily.day_ns - START_NS).tolist() == [0, DAY_NS, 2 * DAY_NS]
    assert daily.pnl_usd.tolist() == [20.0, 51.0, 20.0]
    assert daily.returns == pytest.approx([0.02, 0.05, 20 / 1071])


def test_days_without_a_row_repeat_the_last_equity() -> None:
    daily = equity.daily(equity.curve(marked((0, "1000"), (0.5, "990"), (3.5, "995")), 1000.0))
    assert daily.pnl_usd.tolist() == [-10.0, 0.0, 0.0, 5.0]


def test_a_run_that_ends_at_midnight_has_no_empty_day() -> None:
    daily = equity.daily(equity.curve(marked((0, "1000"), (1, "1001"), (2, "1003")), 1000.0))
    assert daily.pnl_usd.tolist() == [1.0, 2.0]


def test_a_lost_account_has_returns_of_zero_afterwards() -> None:
    daily = equity.daily(equity.curve(marked((0, "1000"), (1, "-5"), (2, "-6")), 1000.0))
    assert daily.returns.tolist() == [-1.005, 0.0]
    assert of(book([], marked((0, "1000"), (40, "-5")))).why_null["cagr"] == "the account was lost"


def test_drawdown_is_found_between_midnights() -> None:
    rows = marked((0, "1000"), (0.3, "1100"), (0.4, "880"), (0.6, "990"), (1, "1100"), (1.5, "1000"))
    m = of(book([], rows))
    assert (m.max_drawdown_pct, m.max_drawdown_usd) == pytest.approx((-20.0, -220.0))
    assert m.drawdown_start == "2025-01-01T07:12:00Z"
    assert m.drawdown_trough == "2025-01-01T09:36:00Z"
    assert m.drawdown_recovery == "2025-01-02T00:00:00Z"
    assert m.drawdown_days == pytest.approx(0.7)


def test_cagr_and_calmar_by_hand() -> None:
    m = of(book([], marked((0, "1000"), (10, "900"), (73, "1100"))))
    assert m.cagr == pytest.approx(1.1**5 - 1)
    assert m.calmar == pytest.approx((1.1**5 - 1) / 0.1)
    assert of(book([], marked((0, "1000"), (29, "1100")))).why_null["cagr"].startswith("not shown under 30 days")


def test_buy_and_hold_pays_one_round_trip() -> None:
    ts = START_NS + np.arange(3, dtype=np.int64) * DAY_NS
    closes = {"SOLUSDT": (ts, np.array([10.0, 11.0, 12.0])), "AVAXUSDT": (ts, np.array([20.0, np.nan, 18.0]))}
    m = of(book([], marked((0, "1000"), (2, "1000"))), closes)
    assert m.market_change_pct == pytest.approx((1.2 + 0.9) / 2 * 100 - 100)
    assert m.buy_and_hold_pct == pytest.approx((1.2 + 0.9) / 2 * 0.999**2 * 100 - 100)


def test_a_late_listing_waits_as_cash() -> None:
    ts = START_NS + np.array([2, 3], dtype=np.int64) * DAY_NS
    grid = START_NS + np.arange(5, dtype=np.int64) * DAY_NS
    growth = equity.buy_and_hold({"X": (ts, np.array([5.0, 10.0]))}, ["X", "MISSING"], grid, {})
    assert growth is not None and growth.tolist() == [1.0, 1.0, 1.0, 2.0, 2.0]


def test_losses_past_a_limit_need_a_gap() -> None:
    trades = [closed(1, "-12"), closed(2, "-11")]
    rows = marked((0, "1000"), (1, "977"))
    day = msgspec.structs.replace(gap(0, 1), symbol="", loss_usd=D(23), planned_usd=D(20))
    assert of(book(trades, rows, [gap(1, 0.5), gap(2, 0.5), day])).unlisted_breaches == []
    m = of(book(trades, rows))
    assert m.unlisted_breaches == [
        "trade 1 SOLUSDT lost $12.00, the limit is $10.00",
        "trade 2 SOLUSDT lost $11.00, the limit is $10.00",
        "2025-01-01 lost $23.00, the day limit is $20.00",
    ]
    assert sum("without a recorded gap" in warning for warning in m.warnings) == 3


@pytest.mark.parametrize(("judged", "end"), [(1.0, 3.0), (0.5, 0.5), (1.0, 1.0)])
def test_a_day_is_judged_at_the_midnight_after_it_or_where_the_run_ends(judged: float, end: float) -> None:
    points = [(0.0, "1000"), (judged, "970"), (end, "970")]
    row = msgspec.structs.replace(gap(0, judged), symbol="", loss_usd=D(30), planned_usd=D(20))
    assert of(book([], marked(*points), [row])).unlisted_breaches == []
    assert of(book([], marked(*points))).unlisted_breaches == ["2025-01-01 lost $30.00, the day limit is $20.00"]


def test_a_gap_row_of_another_day_or_of_a_smaller_loss_explains_nothing() -> None:
    rows = marked((0, "1000"), (1, "1000"), (2, "970"), (3, "970"))
    row = msgspec.structs.replace(gap(0, 1), symbol="", loss_usd=D(30), planned_usd=D(20))
    assert len(of(book([], rows, [row])).unlisted_breaches) == 1
    smaller = msgspec.structs.replace(row, ts_ns=row.ts_ns + DAY_NS, loss_usd=D(25))
    assert len(of(book([], rows, [smaller])).unlisted_breaches) == 1


def test_the_tighter_of_dollars_and_per_cent_counts() -> None:
    limits = {"trade_loss_usd": 10.0, "trade_loss_pct": 1.0, "day_loss_usd": 20.0, "day_loss_pct": 2.0}
    run = msgspec.structs.replace(manifest(4, ["SOLUSDT"]), limits=limits)
    trades = [closed(1, "-9.60", opened_ns=START_NS + DAY_NS + HOUR_NS)]
    rows = marked((0, "1000"), (1, "950"), (2, "930.90"), (3, "930.90"))
    assert measure(book(trades, rows), run, {}).unlisted_breaches == [
        "trade 1 SOLUSDT lost $9.60, the limit is $9.50",
        "2025-01-01 lost $50.00, the day limit is $20.00",
        "2025-01-02 lost $19.10, the day limit is $19.00",
    ]


def test_a_fall_from_the_peak_past_its_limit_needs_a_gap_since_that_peak() -> None:
    run = msgspec.structs.replace(manifest(4, ["SOLUSDT"]), limits={"drawdown_pct": 5.0})
    rows = marked((0, "1000"), (1, "1010"), (2, "959.50"), (3, "970"))
    told = ["equity was 5.00 % below its peak on 2025-01-03, the limit is 5 %"]
    row = msgspec.structs.replace(gap(0, 1.5), symbol="", cause="GAP_DRAWDOWN", loss_usd=D(51), planned_usd=D(50))
    assert measure(book([], rows), run, {}).unlisted_breaches == told
    assert measure(book([], rows, [row]), run, {}).unlisted_breaches == []
    earlier = msgspec.structs.replace(row, ts_ns=START_NS + DAY_NS // 2)
    assert measure(book([], rows, [earlier]), run, {}).unlisted_breaches == told
    above = marked((0, "1000"), (1, "1010"), (2, "959.51"), (3, "970"))
    assert measure(book([], above), run, {}).unlisted_breaches == []


def test_a_person_who_lets_trading_go_on_may_begin_a_new_peak() -> None:
    run = msgspec.structs.replace(manifest(4, ["SOLUSDT"]), limits={"drawdown_pct": 5.0})
    lifted = StateRow(seq=1, ts_ns=START_NS + DAY_NS, before="REDUCING", after="ACTIVE", reason="OPERATOR_RESUME")
    ledger = book([], marked((0, "1000"), (1, "960"), (2, "940"), (3, "911")))
    assert len(measure(ledger, run, {}).unlisted_breaches) == 1
    resumed = msgspec.structs.replace(ledger, states=[lifted])
    assert [one[:19] for one in measure(resumed, run, {}).unlisted_breaches] == ["equity was 5.10 % b"]
    calmer = msgspec.structs.replace(book([], marked((0, "1000"), (1, "960"), (2, "940"))), states=[lifted])
    assert measure(calmer, run, {}).unlisted_breaches == []


def test_implausible_results_are_flagged() -> None:
    rising = marked(*[(day, str(1000 + 10 * day + day % 2)) for day in range(41)])
    m = of(book([closed(i, "10" if i else "-0.5") for i in range(41)], rising))
    assert any("Implausible: Sharpe" in warning for warning in m.warnings)
    assert any("Implausible: profit factor" in warning for warning in m.warnings)
    few = of(book(TRADES, marked((0, "1000"), (1, "1004"))))
    assert any("Too few trades: 4" in warning for warning in few.warnings)


def test_more_trials_deflate() -> None:
    ledger, run, closes = sample(count=40, days=60)
    one, many = measure(ledger, run, closes), measure(ledger, run, closes, trials=50)
    assert one.deflated_sharpe == one.probabilistic_sharpe == many.probabilistic_sharpe
    assert (
        many.deflated_sharpe is not None
        and one.deflated_sharpe is not None
        and many.deflated_sharpe < one.deflated_sharpe
    )
    assert many.trials == 50


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_an_empty_run_has_reasons_instead_of_figures(rows: int) -> None:
    m = measure(*empty(rows))
    assert (m.trades, m.net_pnl_usd, m.balances, m.fees_usd) == (0, 0.0, True, 0.0)
    for name in "sharpe sortino cagr profit_factor expectancy_usd sqn deflated_sharpe pbo worst_trade_usd".split():
        assert getattr(m, name) is None
        assert m.why_null[name]


def test_every_null_has_its_reason_and_only_nulls_do() -> None:
    for run in (sample(count=30, days=40), empty(), empty(3)):
        m = msgspec.to_builtins(measure(*run))
        assert {name for name, value in m.items() if value is None} == set(m["why_null"])


@given(
    hs.lists(hs.tuples(hs.integers(-1500, 2500), hs.integers(0, 60), MULTIPLES), max_size=30),
    hs.lists(hs.integers(-5000, 5000), min_size=1, max_size=80),
)
@settings(max_examples=60, deadline=None)
def test_any_ledger_gives_strict_json(nets: list[tuple[int, int, float | None]], steps: list[int]) -> None:
    """No NaN or infinity in the JSON, breakdowns sum to the whole, probabilities stay within 0..1."""
    trades = [
        closed(i, str(D(cents) / 100), ("SOLUSDT", "AVAXUSDT")[i % 2], r, opened_ns=START_NS + hour * HOUR_NS)
        for i, (cents, hour, r) in enumerate(nets)
    ]
    levels = np.cumsum([100_000, *steps])
    rows = marked(*[(i * 0.7, str(D(int(level)) / 100)) for i, level in enumerate(levels)])
    m = of(book(trades, rows), trials=3)

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} in the JSON")

    document = json.loads(as_json(m), parse_constant=refuse)
    assert document["trades"] == len(nets)
    for slices in (m.by_symbol, m.by_strategy, m.by_hour, m.by_exit_reason):
        assert sum(s.trades for s in slices) == m.trades
        assert math.fsum(s.net_usd for s in slices) == pytest.approx(m.net_pnl_usd, abs=1e-9)
    assert m.gross_pnl_usd - m.fees_usd + m.funding_usd == pytest.approx(m.net_pnl_usd, abs=1e-9)
    assert m.days_won + m.days_drawn + m.days_lost == m.days
    for share in (m.probabilistic_sharpe, m.deflated_sharpe, m.win_rate, m.exposure):
        assert share is None or 0.0 <= share <= 1.0
    assert m.max_drawdown_pct is not None and m.max_drawdown_pct <= 0.0


@given(hs.lists(hs.tuples(hs.integers(0, 50), hs.integers(0, 20)), max_size=12))
def test_busy_time_is_the_size_of_the_union(spans: list[tuple[int, int]]) -> None:
    covered = {moment for begin, length in spans for moment in range(begin, begin + length) if 5 <= moment < 40}
    assert breakdown.busy_ns([(begin, begin + length) for begin, length in spans], 5, 40) == len(covered)


@given(hs.integers(0, 400), hs.integers(4, 60))
def test_thinning_keeps_the_ends_and_the_extremes(count: int, most: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    ts, kept = equity.thinned(np.arange(count, dtype=np.int64), values, most)
    assert len(kept) <= max(most, 0) and np.all(np.diff(ts) > 0)
    if count:
        assert (kept.min(), kept.max(), kept[0], kept[-1]) == (values.min(), values.max(), values[0], values[-1])
    assert values[ts].tolist() == kept.tolist()


def test_a_flip_restarts_the_clock_of_a_position() -> None:
    buy, sell = fills(closed(1, "0"))
    big = msgspec.structs.replace(sell, qty=D(3))
    assert breakdown.open_positions([buy, big]) == {("binance", "SOLUSDT"): (D(-1), big.ts_ns)}
    assert breakdown.open_positions([buy, sell]) == {}


def test_exit_reasons_use_the_words_traders_know() -> None:
    assert [breakdown.exit_word(w) for w in ("TRAILING_STOP", "TIME_STOP", "END_OF_DATA", "NEW_ONE")] == [
        "trailing_stop_loss", "time_limit", "force_exit: end of data", "new_one",
    ]  # fmt: skip


def test_quarantined_rows_and_dropped_wicks_are_told_first() -> None:
    bad = Source(
        path="data/a.parquet", sha256="00", kind="candles", rows=300, quarantined={"not_a_number": 1, "absurd_wick": 5},
        wicks=["binance:BTC/USDT 2025-01-01 00:10 UTC low 9 high 31 close 10"],
    )  # fmt: skip
    other = msgspec.structs.replace(bad, path="b.parquet", quarantined={"absurd_wick": 1})
    run = msgspec.structs.replace(manifest(4, ["SOLUSDT"]), sources=[bad, other])
    m = measure(book(TRADES, marked((0, "1000"), (1, "1004"))), run, {})
    assert (m.quarantined, m.quarantined_rows) == ({"not_a_number": 1, "absurd_wick": 6}, 7)
    assert m.warnings[0] == "6 of 300 rows were quarantined: not_a_number 1, absurd_wick 5 (a.parquet)."
    assert m.warnings[1].startswith("Bars dropped as absurd wicks: binance:BTC/USDT 2025-01-01 00:10")
    assert " and 4 more" in m.warnings[1] and "and" not in m.warnings[3].split("close 10")[1]


@pytest.mark.parametrize(("capital", "share", "told"), [(200.0, 0.0, True), (201.0, 0.0, False), (1000.0, 99.0, False)])
def test_a_reserve_that_takes_all_capital_is_told(capital: float, share: float, told: bool) -> None:
    limits = {"reserve_usd": 200.0, "reserve_pct": share}
    run = msgspec.structs.replace(manifest(4, ["SOLUSDT"]), limits=limits, capital_usd=capital)
    warnings = measure(empty()[0], run, {}).warnings
    said = "The reserve of $200.00 leaves nothing to trade with: the capital is $200.00."
    assert (said in warnings) is told


def test_synthetic_markets_are_evidence_of_nothing() -> None:
    points = [(day, str(1000 + 10 * day + 4 * (day % 2))) for day in range(200)]
    ledger = book([closed(i, "10") for i in range(40)], marked(*points))
    real = measure(ledger, msgspec.structs.replace(manifest(4, ["SOLUSDT"]), synthetic=False), {})
    assert "The evidence favours it" in real.verdict
    made = measure(ledger, manifest(4, ["SOLUSDT"]), {})
    assert made.verdict.endswith(" On synthetic data this says nothing about real markets.")
    assert "evidence" not in made.verdict


def test_one_symbol_on_two_venues_stays_two() -> None:
    run = empty()[1]
    here = run.instruments[0]
    there = msgspec.structs.replace(here, venue="bitget", taker_fee=D("0.01"))
    run = msgspec.structs.replace(run, instruments=[here, there], symbols=["binance:SOLUSDT", "bitget:SOLUSDT"])
    ts = START_NS + np.arange(2, dtype=np.int64) * DAY_NS
    closes = {"binance:SOLUSDT": (ts, np.array([10.0, 11.0])), "bitget:SOLUSDT": (ts, np.array([10.0, 20.0]))}
    ledger = book([closed(1, "4"), closed(2, "-2", venue="bitget")], marked((0, "1000"), (1, "1002")))
    m = measure(ledger, run, closes)
    assert m.market_change_pct == pytest.approx(55.0)
    assert m.buy_and_hold_pct == pytest.approx((1.1 * 0.999**2 + 2 * 0.99**2) / 2 * 100 - 100)
    assert [(s.key, s.net_usd) for s in m.by_symbol] == [("binance:SOLUSDT", 4.0), ("bitget:SOLUSDT", -2.0)]
    assert (m.best_trade, m.worst_trade) == ("#1 binance:SOLUSDT", "#2 bitget:SOLUSDT")
    charts = price_charts(ledger, run, closes)
    assert {name: chart["data"][0]["y"] for name, chart in charts.items()} == {
        "binance:SOLUSDT": [10.0, 11.0], "bitget:SOLUSDT": [10.0, 20.0],
    }  # fmt: skip
