"""What the same days gave without the strategy: buying and holding, cash, a naive rule, and the same trades at random.

Every result has an interval: its returns drawn again by stationary bootstrap, by day where there are ten days, else by
the marks of the account.

The random yardstick keeps the exposure: as many trades, each of the same size, side and length, on a symbol and at a
moment drawn at random inside the test stretches, both fees paid. It pays no spread, which favours it. How many draws
did better says how much of a result is more than having been in the market.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from engine.markets.market import Market
from engine.research import equity, statistics
from engine.research.breakdown import labels
from engine.research.folds import Stretch
from engine.research.search import Job, Progress, Workers
from engine.research.statistics import Floats, Undefined
from engine.research.stretch import E8, Outcome, Terms
from engine.research.walkforward import Joined, Walk, join

DRAWS: Final = 1000
Interval = tuple[float, float]


class Yardsticks(msgspec.Struct, frozen=True, kw_only=True):
    """Per cent of the capital over the joined test stretches, `_ci95_pct` with their intervals. `random_better`: share
    of random draws that ended higher than the strategy. `spa_rule`: p-value of "the strategy is not better than the
    naive rule", daily."""

    days: int
    strategy_pct: float
    strategy_ci95_pct: Interval | None
    cash_pct: float
    buy_and_hold_pct: float | None
    buy_and_hold_ci95_pct: Interval | None
    random_pct: float | None
    random_ci95_pct: Interval | None
    random_better: float | None
    rule: str | None
    rule_pct: float | None
    rule_ci95_pct: Interval | None
    spa_rule: float | None
    held: Joined | None
    ruled: Joined | None


def measure(walk: Walk, workers: Workers, progress: Progress | None = None) -> Yardsticks:
    """All yardsticks of a finished walk."""
    tests = [result.fold.test for result in walk.folds]
    whole = Stretch(tests[0].from_ns, tests[-1].to_ns)
    result, plan, seed = growth_pct(walk.outside), walk.plan, walk.plan.seed
    draws = at_random(workers.market, walk.outcomes, whole, plan.terms.capital_usd, seed)
    held = hold(workers.market, walk.outside, plan.terms)
    ruled = None
    if (plan.strategy, {}) != (plan.rule.strategy, plan.rule.params):
        terms = msgspec.structs.replace(plan.terms, strategies={plan.rule.strategy: plan.rule.params})
        outcomes = workers.play([Job(test, terms) for test in tests], progress, "the naive rule")
        ruled = join(outcomes)
    return Yardsticks(
        days=len(walk.returns),
        strategy_pct=result,
        strategy_ci95_pct=result_interval(walk.outside, seed),
        cash_pct=0.0,
        buy_and_hold_pct=None if held is None else growth_pct(held),
        buy_and_hold_ci95_pct=None if held is None else result_interval(held, seed),
        random_pct=float(draws.mean()) if len(draws) else None,
        random_ci95_pct=_band(draws) if len(draws) else None,
        random_better=float((draws > result).mean()) if len(draws) else None,
        rule=None if ruled is None else plan.rule.name,
        rule_pct=None if ruled is None else growth_pct(ruled),
        rule_ci95_pct=None if ruled is None else result_interval(ruled, seed),
        spa_rule=None if ruled is None else _better_than(walk, ruled),
        held=held,
        ruled=ruled,
    )


def growth_pct(joined: Joined) -> float:
    """Change from the first to the last value, per cent of the first."""
    return float(joined.usd[-1] / joined.usd[0] - 1) * 100


def result_interval(joined: Joined, seed: int) -> Interval | None:
    """95 % interval of the whole result in per cent: the mean return of a day times the days, or of a mark times the
    marks where there are under ten days; None where there are under ten of either, or nothing moved."""
    daily = equity.daily(equity.Curve(*joined)).returns
    marked = np.diff(joined.usd) / joined.usd[:-1]
    returns = daily if len(daily) >= statistics.MIN_INTERVAL_DAYS else marked
    if not returns.any():
        return None
    try:
        low, high = statistics.mean_interval(returns * 100, seed=seed)
    except Undefined:
        return None
    return low * len(returns), high * len(returns)


def hold(market: Market, over: Joined, terms: Terms) -> Joined | None:
    """Equal shares of everything, bought at the beginning of the test stretches and sold at their end, fees paid."""
    names = labels(market.instruments)
    closes = {names[one.venue, one.symbol]: market.closes(i) for i, one in enumerate(market.instruments)}
    fees = {names[one.venue, one.symbol]: float(one.taker_fee) * terms.fee_factor for one in market.instruments}
    growth = equity.buy_and_hold(closes, list(closes), over.ts_ns, fees)
    return None if growth is None else Joined(over.ts_ns, growth * terms.capital_usd)


def at_random(
    market: Market, outcomes: list[Outcome], whole: Stretch, capital_usd: float, seed: int, draws: int = DRAWS
) -> Floats:
    """Results [draws] in per cent of the same trades on symbols and at moments drawn at random; empty without any."""
    trades = np.concatenate([outcome.trades for outcome in outcomes])
    prices = [market.closes(i) for i in sorted(set(trades["instrument"].tolist()))]
    prices = [(ts, price) for ts, price in prices if len(ts) and ts[0] < whole.to_ns and ts[-1] > whole.from_ns]
    if not len(trades) or not prices:
        return np.empty(0)
    generator = np.random.default_rng(seed)
    length = (trades["closed_ns"] - trades["opened_ns"])[None, :]
    room = np.maximum(whole.to_ns - whole.from_ns - length, 1)
    begin = whole.from_ns + (generator.random((draws, len(trades))) * room).astype(np.int64)
    which = generator.integers(0, len(prices), begin.shape)
    change = np.zeros(begin.shape)
    for k, (ts, price) in enumerate(prices):
        mine = which == k
        ends = (begin + length)[mine]
        change[mine] = _price_at(ts, price, ends) / _price_at(ts, price, begin[mine]) - 1.0
    value = trades["entry_value_e8"] / E8
    result = trades["side"] * change * value - trades["fees_e8"] / E8
    return np.asarray(result.sum(axis=1) / capital_usd * 100, dtype=np.float64)


def _price_at(ts: equity.Times, price: Floats, moments: equity.Times) -> Floats:
    """The last close at each moment, the first where there is none before."""
    found = price[np.maximum(np.searchsorted(ts, moments, side="right") - 1, 0)]
    return np.asarray(found, dtype=np.float64)


def _band(draws: Floats) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _better_than(walk: Walk, ruled: Joined) -> float | None:
    returns = equity.daily(equity.Curve(*ruled)).returns
    try:
        return statistics.superior_predictive_ability(walk.returns[:, None], returns, seed=walk.plan.seed)
    except Undefined:
        return None
