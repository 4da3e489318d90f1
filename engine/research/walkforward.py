"""Walk-forward evaluation: choose parameters on one stretch, judge them on the next, again and again.

Every trial of the grid is played on every training stretch; the best by Sharpe ratio (or net result, where the plan
says so) is played on the test stretch, once. What the strategy ships with wins where it is among equals. Only the test
stretches, put one behind the other, say anything about the future; every fold starts flat with the starting capital,
and the folds' growth is chained. Every trial is also played over the whole market: how much choosing among them
overfits is measured on those (`engine.research.overfitting`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from engine.contracts.errors import BadInput
from engine.core.strategies import table
from engine.markets.market import Market
from engine.research import equity
from engine.research.backtest import closes_of, default_timeframes
from engine.research.folds import DAY_NS, Cut, Fold, Stretch, cut_folds
from engine.research.overfitting import Proof, prove
from engine.research.search import (
    Data,
    Figures,
    Job,
    Progress,
    Score,
    Values,
    Workers,
    best,
    daily_returns,
    figures,
    first_of_equals,
    score,
    trials_of,
)  # fmt: skip
from engine.research.statistics import Floats
from engine.research.stretch import Outcome, Terms


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A naive rule that the strategy is held against on the same test stretches."""

    name: str = "crossover"
    strategy: str = "crossover"
    params: Values = {}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to walk: `grid` over the strategy's parameters, over `fixed` ones that differ from the defaults.

    `terms.strategies` may hold others that run beside it. `tried_before` counts variants tried on this data outside
    this search; `seed` is of every resampling; `score` is what trials are chosen by; `late_s` how much later everything
    is heard under stress (empty: parts of a base bar).
    """

    strategy: str
    data: Data
    grid: dict[str, list[float]]
    fixed: Values = {}
    terms: Terms = Terms(strategies={})
    cut: Cut = Cut()
    tried_before: int = 0
    seed: int = 7
    score: Score = "sharpe"
    rule: Rule = Rule()
    late_s: tuple[float, ...] = ()


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One set of parameters on one stretch; `fold` 0 is the whole market, `part` "whole" or "train"."""

    fold: int
    part: str
    number: int  # of the parameters in the grid, from 0
    params: Values
    seed: int
    from_ns: int
    to_ns: int
    figures: Figures


class FoldResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one fold chose and what came of it."""

    fold: Fold
    chosen: int
    params: Values
    inside: Figures
    outside: Figures


class Joined(NamedTuple):
    """Stretches one behind the other: growth chained, the capital first."""

    ts_ns: equity.Times
    usd: Floats


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """A finished walk. `outside` is the joined test stretches, `inside` the first training stretch as it was chosen
    (what happened before the first test). `recommended`: the trial with the best mean rank over the training
    stretches; `told_apart`: whether those ranks differ at all."""

    plan: Plan
    span: Stretch
    trials: list[Trial]
    folds: list[FoldResult]
    inside: Joined
    outside: Joined
    outcomes: list[Outcome]  # of the test stretches
    returns: Floats  # daily, out of sample
    proof: Proof
    recommended: Values
    told_apart: bool


def walk(plan: Plan, workers: Workers, progress: Progress | None = None) -> Walk:
    """Search, choose, judge. Raises BadInput where grid, folds or data do not fit."""
    params = trials_of(plan.strategy, plan.grid, plan.fixed)
    market = workers.market
    plan = on_market(plan, market)
    folds = cut_folds(market.from_ns, market.to_ns, plan.cut)
    shipped = place_of_defaults(plan, params)
    span = Stretch(folds[0].train.from_ns, folds[-1].test.to_ns, folds[0].train.warm_ns)
    whole = workers.play([job(plan, p, span) for p in params], progress, "every trial on the whole market")
    trials = _trials(plan, 0, "whole", params, span, [figures(one) for one in whole])
    scores: list[list[float | None]] = []
    seen: list[Outcome] = []
    for fold in folds:
        text = f"fold {fold.number} of {len(folds)}, training"
        outcomes = workers.play([job(plan, p, fold.train) for p in params], progress, text)
        found = [figures(one) for one in outcomes]
        trials += _trials(plan, fold.number, "train", params, fold.train, found)
        scores.append([score(plan.score, one) for one in found])
        seen.append(outcomes[best(scores[-1], shipped)])
    chosen = [best(row, shipped) for row in scores]
    jobs = [job(plan, params[k], fold.test) for k, fold in zip(chosen, folds, strict=True)]
    tests = workers.play(jobs, progress, "testing")
    results = [
        FoldResult(fold=fold, chosen=k, params=params[k], inside=figures(then), outside=figures(now))
        for fold, k, then, now in zip(folds, chosen, seen, tests, strict=True)
    ]
    outside = join(tests)
    returns = equity.daily(equity.Curve(*outside)).returns
    lasted_ns = sum(fold.test.to_ns - fold.test.from_ns for fold in folds)
    ranks = mean_ranks(scores)
    return Walk(
        plan=plan, span=span, trials=trials, folds=results, inside=join(seen[:1]), outside=outside, outcomes=tests,
        returns=returns, proof=prove(returns, trial_returns(whole, span), plan.tried_before, plan.seed, lasted_ns),
        recommended=params[first_of_equals(ranks, shipped)], told_apart=bool(np.ptp(ranks) > 0.0),
    )  # fmt: skip


def place_of_defaults(plan: Plan, params: Sequence[Values]) -> int | None:
    """The place of the trial that is what the strategy ships with, but for what is fixed; None where there is none."""
    row = next(row for row in table.STRATEGIES if row.name == plan.strategy)
    shipped = row.resolve(plan.fixed)
    return next((place for place, values in enumerate(params) if row.resolve(values) == shipped), None)


def on_market(plan: Plan, market: Market) -> Plan:
    """The plan with the market's own timeframes where it names none."""
    if plan.terms.timeframes_s:
        return plan
    timeframes = default_timeframes(market.grade, closes_of(market))
    return msgspec.structs.replace(plan, terms=msgspec.structs.replace(plan.terms, timeframes_s=timeframes))


def job(plan: Plan, params: Values, stretch: Stretch) -> Job:
    """Those parameters on that stretch, on the plan's terms."""
    strategies = plan.terms.strategies | {plan.strategy: params}
    return Job(stretch, msgspec.structs.replace(plan.terms, strategies=strategies))


def _trials(
    plan: Plan, fold: int, part: str, params: list[Values], stretch: Stretch, found: list[Figures]
) -> list[Trial]:
    return [
        Trial(
            fold=fold, part=part, number=number, params=values, seed=plan.seed, from_ns=stretch.from_ns,
            to_ns=stretch.to_ns, figures=figures,
        )
        for number, (values, figures) in enumerate(zip(params, found, strict=True))
    ]  # fmt: skip


def join(outcomes: list[Outcome]) -> Joined:
    """Curves one behind the other: each begins with what the one before ended with."""
    if not outcomes:
        raise BadInput("nothing to join")
    times: list[equity.Times] = []
    values: list[Floats] = []
    level = float(outcomes[0].usd[0])
    for outcome in outcomes:
        growth = outcome.usd / outcome.usd[0] * level
        skip = 1 if times else 0  # the first mark is the last one's end
        times.append(outcome.ts_ns[skip:])
        values.append(growth[skip:])
        level = float(growth[-1])
    return Joined(np.concatenate(times), np.concatenate(values))


def trial_returns(outcomes: list[Outcome], span: Stretch) -> Floats:
    """[days, trials]: daily returns of every trial over the same span."""
    days = -(-span.to_ns // DAY_NS) - span.from_ns // DAY_NS
    columns = [daily_returns(outcome) for outcome in outcomes]
    if any(len(column) != days for column in columns):
        raise BadInput(f"trials of different lengths: {sorted({len(c) for c in columns})} instead of {days} days")
    return np.stack(columns, axis=1)


def mean_ranks(scores: list[list[float | None]]) -> Floats:
    """Each trial's rank in the mean over the rows, higher is better; what does not exist counts as 0, ties share."""
    matrix = np.array([[0.0 if one is None else one for one in row] for row in scores])
    worse = (matrix[:, :, None] > matrix[:, None, :]).sum(axis=2)
    same = (matrix[:, :, None] == matrix[:, None, :]).sum(axis=2)
    return np.asarray((worse + same / 2).mean(axis=0), dtype=np.float64)
