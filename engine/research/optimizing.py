"""The best of a grid on one market, never without what the searching did to it."""

from __future__ import annotations

from typing import Final

import msgspec

from engine.research.folds import DAY_NS, Stretch
from engine.research.overfitting import Proof, prove
from engine.research.search import Figures, Progress, Values, Workers, best, daily_returns, figures, trials_of
from engine.research.walkforward import Plan, job, on_market, trial_returns

SHOWN: Final = 10


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """One trial and what it came to, in sample."""

    params: Values
    figures: Figures


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """A finished search. `proof` is of the winner's own days, which chose it: `deflated` allows for that, `sharpe` does
    not. `judged` is false where the deflated figure does not exist, and `why` says why: then there is no winner."""

    strategy: str
    trials: int
    winner: Ranked
    leaders: list[Ranked]
    proof: Proof
    judged: bool
    why: str
    shown: bool  # deflated above 95 % and overfitting below one half


def search(plan: Plan, workers: Workers, progress: Progress | None = None) -> Search:
    """Play every trial over the whole market, behind a warm-up."""
    plan = on_market(plan, workers.market)
    params = trials_of(plan.strategy, plan.grid, plan.fixed)
    warm = round(plan.cut.warm_days * DAY_NS)
    warm = min(warm, (workers.market.to_ns - workers.market.from_ns) // 4)
    span = Stretch(workers.market.from_ns + warm, workers.market.to_ns, warm)
    outcomes = workers.play([job(plan, values, span) for values in params], progress)
    found = [Ranked(params=values, figures=figures(one)) for values, one in zip(params, outcomes, strict=True)]
    first = best([one.figures.sharpe for one in found])
    proof = prove(daily_returns(outcomes[first]), trial_returns(outcomes, span), plan.tried_before, plan.seed)
    order = sorted(range(len(found)), key=lambda k: -(found[k].figures.sharpe or 0.0))
    why = proof.why_null.get("deflated", "") or ("" if found[first].figures.trades else "no trial closed a trade")
    return Search(
        strategy=plan.strategy,
        trials=proof.trials,
        winner=found[first],
        leaders=[found[k] for k in order[:SHOWN]],
        proof=proof,
        judged=not why,
        why=why,
        shown=proof.shown,
    )
