"""What a run earned, what it cost, and how far to believe it.

Units by name: `_usd` dollars, `_pct` per cent, `_s` seconds, `_r` multiples of the risk taken; `win_rate`,
`exposure`, `cagr`, `max_drawdown`, `probabilistic_sharpe` and `deflated_sharpe` are fractions (0.1 = 10 %). Times are
ISO 8601 UTC. A figure that does not exist is None and `why_null` says why; NaN and infinity never occur.

For closed trades: net = gross - fees + funding, and slippage is already inside gross. For the whole run:
start + net + open = end. `balances` is the outcome of checking both to 1e-8 in exact decimals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, ParamSpec

import msgspec
import numpy as np

from engine.contracts.ledger import GapRow, Ledger, TradeRow
from engine.contracts.runs import Manifest
from engine.research import breaches, breakdown, equity, statistics
from engine.research.breakdown import CycleSlice, Slice, iso
from engine.research.statistics import Undefined
from engine.research.verdict import judge

P = ParamSpec("P")
CENT_E8: Final = Decimal("0.00000001")
MIN_CAGR_DAYS: Final = 30
NO_TRADES: Final = "no closed trade"
NO_EQUITY: Final = "no equity was recorded"


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Flat on purpose: these names are the JSON names users and tests rely on."""

    run_id: str
    digest: str
    strategies: list[str]
    symbols: int
    grade: str
    simulated: bool
    synthetic: bool
    from_time: str
    to_time: str
    verdict: str
    warnings: list[str]
    quarantined: dict[str, int]  # rows left out, by cause, over all sources
    quarantined_rows: int
    # money
    start_equity_usd: float
    end_equity_usd: float
    net_pnl_usd: float
    gross_pnl_usd: float
    fees_usd: float
    funding_usd: float
    slippage_usd: float
    open_pnl_usd: float
    open_positions: list[str]
    balances: bool
    return_pct: float
    buy_and_hold_pct: float | None
    buy_and_hold_usd: float | None
    cash_pct: float
    market_change_pct: float | None
    # safety
    worst_trade_usd: float | None
    worst_day_usd: float | None
    worst_day_intraday_usd: float | None
    min_reserve_usd: float | None
    min_equity_usd: float | None
    max_equity_usd: float | None
    refusals: int
    refusals_by_reason: dict[str, int]
    refusals_by_source: dict[str, int]
    expired_entries: int  # accepted by the venue, but nothing to fill them
    gaps: int
    gap_list: list[GapRow]
    unlisted_breaches: list[str]
    # daily returns
    days: int
    span_days: float
    trials: int
    sharpe: float | None
    sharpe_ci95: tuple[float, float] | None
    sortino: float | None
    probabilistic_sharpe: float | None
    deflated_sharpe: float | None
    pbo: float | None
    skew: float | None
    kurtosis: float | None
    min_track_record_days: float | None
    cagr: float | None
    calmar: float | None
    max_drawdown: float | None  # fraction of the peak, <= 0
    max_drawdown_pct: float | None
    max_drawdown_usd: float | None
    drawdown_start: str | None
    drawdown_trough: str | None
    drawdown_recovery: str | None
    drawdown_days: float | None
    best_day: str | None
    best_day_usd: float | None
    worst_day: str | None
    days_won: int
    days_drawn: int
    days_lost: int
    # closed trades
    trades: int
    trades_per_day: float | None
    win_rate: float | None
    avg_win_usd: float | None
    avg_loss_usd: float | None
    profit_factor: float | None
    expectancy_usd: float | None
    expectancy_r: float | None
    sqn: float | None
    max_consecutive_wins: int
    max_consecutive_losses: int
    best_trade: str | None
    best_trade_usd: float | None
    worst_trade: str | None
    best_pair: str | None
    best_pair_usd: float | None
    worst_pair: str | None
    worst_pair_usd: float | None
    avg_duration_s: float | None
    avg_duration_winners_s: float | None
    avg_duration_losers_s: float | None
    exposure: float | None
    avg_stake_usd: float | None
    volume_usd: float
    state_changes: list[str]  # when entries stopped or went on, and why
    by_symbol: list[Slice]
    by_strategy: list[Slice]
    by_hour: list[Slice]
    by_exit_reason: list[Slice]
    cycles: list[CycleSlice]  # triangular ones; what filled of those sent is among the trades too
    why_null: dict[str, str]


class Sheet:
    """Collects figures by name, and the reason where one does not exist."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.why_null: dict[str, str] = {}

    def put(self, name: str, value: object, why: str = "") -> None:
        if value is None or (isinstance(value, float) and not np.isfinite(value)):
            self.values[name] = None
            self.why_null[name] = why or "not a finite number"
        else:
            self.values[name] = value

    def work_out(self, name: str, figure: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Put what `figure` returns, or null with the reason it raised as Undefined."""
        try:
            self.put(name, figure(*args, **kwargs))
        except Undefined as reason:
            self.put(name, None, str(reason))


def measure(ledger: Ledger, manifest: Manifest, closes: equity.Closes, trials: int = 1) -> Metrics:
    """All figures of one run. `trials` is how many variants were ever tried on this data, this one included."""
    sheet = Sheet()
    curve = equity.curve(ledger.equity, manifest.capital_usd)
    _identity(sheet, manifest, curve)
    _money(sheet, ledger, manifest)
    _benchmarks(sheet, manifest, closes, curve)
    _returns(sheet, curve, trials)
    _drawdown(sheet, curve)
    _trades(sheet, ledger, manifest, curve)
    _safety(sheet, ledger, manifest, curve)
    sheet.put("state_changes", [f"{iso(s.ts_ns)}: {s.before} to {s.after} ({s.reason})" for s in ledger.states])
    verdict, warnings = judge(sheet.values, manifest)
    sheet.values |= {"verdict": verdict, "warnings": warnings, "why_null": dict(sorted(sheet.why_null.items()))}
    return Metrics(**sheet.values)


def _identity(sheet: Sheet, manifest: Manifest, curve: equity.Curve) -> None:
    begin, end = manifest.from_ns, manifest.to_ns
    if len(curve.ts_ns):
        begin, end = int(curve.ts_ns[0]) + 1, int(curve.ts_ns[-1])
    sheet.put("run_id", manifest.run_id)
    sheet.put("digest", manifest.digest)
    sheet.put("strategies", sorted(manifest.strategies))
    sheet.put("symbols", len(manifest.symbols))
    sheet.put("grade", manifest.grade)
    sheet.put("simulated", manifest.simulated)
    sheet.put("synthetic", manifest.synthetic)
    sheet.put("quarantined", dict(sum((Counter(source.quarantined) for source in manifest.sources), Counter())))
    sheet.put("quarantined_rows", sum(sheet.values["quarantined"].values()))
    sheet.put("from_time", iso(begin))
    sheet.put("to_time", iso(end))
    sheet.put("span_days", (end - begin) / equity.DAY_NS)


def _total(amounts: Sequence[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))


def _money(sheet: Sheet, ledger: Ledger, manifest: Manifest) -> None:
    trades = ledger.trades
    gross, fees = _total([t.gross_usd for t in trades]), _total([t.fees_usd for t in trades])
    funding, net = _total([t.funding_usd for t in trades]), _total([t.net_usd for t in trades])
    start = Decimal(str(manifest.capital_usd))
    end = max(ledger.equity, key=lambda row: (row.ts_ns, row.seq)).equity_usd if ledger.equity else start + net
    held = breakdown.open_positions(ledger.fills)
    cycled = any(fill.role == breakdown.LEG for fill in ledger.fills)
    open_pnl = end - start - net if held or cycled else Decimal(0)
    adds_up = all(abs(t.gross_usd - t.fees_usd + t.funding_usd - t.net_usd) <= CENT_E8 for t in trades)
    sheet.put("start_equity_usd", float(start))
    sheet.put("end_equity_usd", float(end))
    sheet.put("net_pnl_usd", float(net))
    sheet.put("gross_pnl_usd", float(gross))
    sheet.put("fees_usd", float(fees))
    sheet.put("funding_usd", float(funding))
    sheet.put("slippage_usd", float(_total([t.slippage_usd for t in trades])))
    sheet.put("open_pnl_usd", float(open_pnl))
    names = breakdown.labels(manifest.instruments)
    told = [f"{names.get(key, key[1])} {qty:f} since {iso(since)}" for key, (qty, since) in held.items()]
    sheet.put("open_positions", told + ["coins that cycles left over"] * (cycled and not held and open_pnl != 0))
    sheet.put("balances", adds_up and abs(start + net + open_pnl - end) <= CENT_E8)
    sheet.put("return_pct", float((end / start - 1) * 100) if start > 0 else 0.0)


def _benchmarks(sheet: Sheet, manifest: Manifest, closes: equity.Closes, curve: equity.Curve) -> None:
    ends = curve.ts_ns[[0, -1]] if len(curve.ts_ns) else equity.NO_TIMES
    why = "no usable prices in the span of the run"
    held = equity.buy_and_hold(closes, manifest.symbols, ends, taker_fees(manifest))
    change = equity.buy_and_hold(closes, manifest.symbols, ends, {})
    sheet.put("buy_and_hold_pct", None if held is None else (float(held[-1]) - 1) * 100, why)
    sheet.put("buy_and_hold_usd", None if held is None else (float(held[-1]) - 1) * manifest.capital_usd, why)
    sheet.put("market_change_pct", None if change is None else (float(change[-1]) - 1) * 100, why)
    sheet.put("cash_pct", 0.0)


def taker_fees(manifest: Manifest) -> dict[str, float]:
    """symbol (`breakdown.labels`) -> taker fee as a fraction: what buy-and-hold pays a side."""
    names = breakdown.labels(manifest.instruments)
    return {names[one.venue, one.symbol]: float(one.taker_fee) for one in manifest.instruments}


def _returns(sheet: Sheet, curve: equity.Curve, trials: int) -> None:
    daily = equity.daily(curve)
    returns, days = daily.returns, len(daily.returns)
    sheet.put("days", days)
    sheet.put("trials", trials)
    sheet.work_out("sharpe", statistics.sharpe, returns)
    sheet.work_out("sharpe_ci95", statistics.sharpe_interval, returns)
    sheet.work_out("sortino", statistics.sortino, returns)
    sheet.work_out("skew", lambda: statistics.shape(returns)[0])
    sheet.work_out("kurtosis", lambda: statistics.shape(returns)[1])
    sheet.work_out("probabilistic_sharpe", _probability, returns, 1)
    sheet.work_out("deflated_sharpe", _probability, returns, trials)
    sheet.work_out("min_track_record_days", _track_record, returns)
    sheet.put("pbo", None, "one run alone cannot show it: needs the daily returns of every trial of a search")
    sheet.put("days_won", int((daily.pnl_usd > 0).sum()))
    sheet.put("days_lost", int((daily.pnl_usd < 0).sum()))
    sheet.put("days_drawn", int((daily.pnl_usd == 0).sum()))
    for name, at in (("best_day", np.argmax), ("worst_day", np.argmin)):
        place = int(at(daily.pnl_usd)) if days else None
        sheet.put(name, None if place is None else iso(int(daily.day_ns[place]))[:10], NO_EQUITY)
        sheet.put(f"{name}_usd", None if place is None else float(daily.pnl_usd[place]), NO_EQUITY)


def _probability(returns: statistics.Floats, trials: int) -> float:
    if len(returns) < statistics.MIN_INTERVAL_DAYS:
        raise Undefined(f"needs at least {statistics.MIN_INTERVAL_DAYS} daily returns, there are {len(returns)}")
    return statistics.deflated_sharpe(
        statistics.daily_sharpe(returns), len(returns), *statistics.shape(returns), trials=trials
    )


def _track_record(returns: statistics.Floats) -> float:
    return statistics.minimum_track_record(statistics.daily_sharpe(returns), *statistics.shape(returns))


def _drawdown(sheet: Sheet, curve: equity.Curve) -> None:
    deepest = equity.deepest_drawdown(curve)
    why = "equity never fell below its peak" if len(curve.usd) else NO_EQUITY
    no_fall = 0.0 if len(curve.usd) else None
    sheet.put("max_drawdown", deepest.fraction if deepest else no_fall, why)
    sheet.put("max_drawdown_pct", deepest.fraction * 100 if deepest else no_fall, why)
    sheet.put("max_drawdown_usd", deepest.usd if deepest else no_fall, why)
    sheet.put("drawdown_start", iso(deepest.start_ns) if deepest else None, why)
    sheet.put("drawdown_trough", iso(deepest.trough_ns) if deepest else None, why)
    back = deepest.recovery_ns if deepest else None
    sheet.put("drawdown_recovery", iso(back) if back else None, "not recovered by the end" if deepest else why)
    until = (back or int(curve.ts_ns[-1])) if deepest else 0
    sheet.put("drawdown_days", (until - deepest.start_ns) / equity.DAY_NS if deepest else None, why)
    sheet.work_out("cagr", _growth, curve)
    growth = sheet.values["cagr"]
    falls = growth is not None and deepest is not None
    sheet.put(
        "calmar",
        growth / abs(deepest.fraction) if falls and deepest else None,
        sheet.why_null.get("cagr", why),
    )


def _growth(curve: equity.Curve) -> float:
    if not len(curve.usd):
        raise Undefined(NO_EQUITY)
    days = float(curve.ts_ns[-1] - curve.ts_ns[0]) / equity.DAY_NS
    if days < MIN_CAGR_DAYS:
        raise Undefined(f"not shown under {MIN_CAGR_DAYS} days, this run has {days:.1f}")
    if curve.usd[-1] <= 0 or curve.usd[0] <= 0:
        raise Undefined("the account was lost")
    return float((curve.usd[-1] / curve.usd[0]) ** (statistics.DAYS_PER_YEAR / days) - 1)


def _trades(sheet: Sheet, ledger: Ledger, manifest: Manifest, curve: equity.Curve) -> None:
    trades = sorted(ledger.trades, key=lambda t: (t.closed_ns, t.trade_no))
    nets = [t.net_usd for t in trades]
    multiples = [t.r_multiple for t in trades if t.r_multiple is not None and np.isfinite(t.r_multiple)]
    seconds = [((t.closed_ns - t.opened_ns) / 1e9, t.net_usd) for t in trades]
    won, lost = [n for n in nets if n > 0], [n for n in nets if n < 0]
    sheet.put("trades", len(trades))
    sheet.put("trades_per_day", len(trades) / span if (span := sheet.values["span_days"]) > 0 else None, NO_EQUITY)
    sheet.put("win_rate", len(won) / len(trades) if trades else None, NO_TRADES)
    sheet.work_out("avg_win_usd", breakdown.average, won, "no winning trade")
    sheet.work_out("avg_loss_usd", breakdown.average, lost, "no losing trade")
    sheet.work_out("profit_factor", breakdown.profit_factor, nets)
    sheet.work_out("expectancy_usd", breakdown.average, nets, NO_TRADES)
    sheet.work_out("expectancy_r", breakdown.average, multiples, "no trade with a known risk")
    sheet.work_out("sqn", breakdown.system_quality, multiples)
    sheet.put("max_consecutive_wins", breakdown.longest_streak([n > 0 for n in nets]))
    sheet.put("max_consecutive_losses", breakdown.longest_streak([n < 0 for n in nets]))
    sheet.work_out("avg_duration_s", breakdown.average, [s for s, _ in seconds], NO_TRADES)
    sheet.work_out("avg_duration_winners_s", breakdown.average, [s for s, n in seconds if n > 0], "no winning trade")
    sheet.work_out("avg_duration_losers_s", breakdown.average, [s for s, n in seconds if n < 0], "no losing trade")
    names = breakdown.labels(manifest.instruments)
    _extremes(sheet, trades, names)
    _activity(sheet, ledger, manifest, curve)
    sheet.put("by_symbol", breakdown.by_symbol(trades, names))
    sheet.put("by_strategy", breakdown.by_strategy(trades, sorted(manifest.strategies)))
    sheet.put("by_hour", breakdown.by_hour(trades))
    sheet.put("by_exit_reason", breakdown.by_exit_reason(trades))
    sheet.put("cycles", breakdown.by_desk(ledger.cycles))


def _extremes(sheet: Sheet, trades: Sequence[TradeRow], names: dict[tuple[str, str], str]) -> None:
    pairs = breakdown.by_symbol(trades, names)
    best = max(trades, key=lambda t: t.net_usd, default=None)
    worst = min(trades, key=lambda t: t.net_usd, default=None)
    for name, trade in (("best_trade", best), ("worst_trade", worst)):
        sheet.put(name, f"#{trade.trade_no} {breakdown.label(names, trade)}" if trade else None, NO_TRADES)
        sheet.put(f"{name}_usd", float(trade.net_usd) if trade else None, NO_TRADES)
    for name, at in (("best_pair", 0), ("worst_pair", -1)):
        sheet.put(name, pairs[at].key if pairs else None, NO_TRADES)
        sheet.put(f"{name}_usd", pairs[at].net_usd if pairs else None, NO_TRADES)


def _activity(sheet: Sheet, ledger: Ledger, manifest: Manifest, curve: equity.Curve) -> None:
    size = {(i.venue, i.symbol): i.contract_size for i in manifest.instruments}
    stakes = [t.entry_price * t.qty * size.get((t.venue, t.symbol), Decimal(1)) for t in ledger.trades]
    sheet.work_out("avg_stake_usd", breakdown.average, stakes, NO_TRADES)
    volume = _total([f.price * f.qty * size.get((f.venue, f.symbol), Decimal(1)) for f in ledger.fills])
    sheet.put("volume_usd", float(volume))
    if len(curve.ts_ns) < 2 or curve.ts_ns[-1] - curve.ts_ns[0] < 2:
        sheet.put("exposure", None, NO_EQUITY)
        return
    begin, end = int(curve.ts_ns[0]) + 1, int(curve.ts_ns[-1])
    spans = [(t.opened_ns, t.closed_ns) for t in ledger.trades]
    spans += [(since, end) for _, since in breakdown.open_positions(ledger.fills).values()]
    sheet.put("exposure", breakdown.busy_ns(spans, begin, end) / (end - begin))


def _safety(sheet: Sheet, ledger: Ledger, manifest: Manifest, curve: equity.Curve) -> None:
    rows = ledger.equity
    sheet.put("worst_day_intraday_usd", min((float(r.day_pnl_usd) for r in rows), default=None), NO_EQUITY)
    sheet.put("min_reserve_usd", min((float(r.free_usd) for r in rows), default=None), NO_EQUITY)
    sheet.put("min_equity_usd", float(curve.usd.min()) if len(curve.usd) else None, NO_EQUITY)
    sheet.put("max_equity_usd", float(curve.usd.max()) if len(curve.usd) else None, NO_EQUITY)
    sheet.put("refusals", len(ledger.refusals))
    sheet.put("refusals_by_reason", dict(Counter(r.reason for r in ledger.refusals).most_common()))
    sheet.put("refusals_by_source", dict(Counter(r.source for r in ledger.refusals).most_common()))
    expired = [o for o in ledger.orders if o.role == "entry" and o.status == "expired" and not o.filled_qty]
    sheet.put("expired_entries", len(expired))
    sheet.put("gaps", len(ledger.gaps))
    sheet.put("gap_list", ledger.gaps)
    sheet.put("unlisted_breaches", breaches.unlisted(ledger, manifest.limits, curve))
