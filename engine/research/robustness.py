"""How much of a result is luck, cheap assumptions or a small account: the test stretches played again, changed.

Everything but the order of trades is played through the core again: an order that arrives later meets another market,
dearer fees change what is sized, a larger account meets the depth there was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from engine.core.limits import BOUNDS as LIMIT_BOUNDS
from engine.core.limits import Limits
from engine.core.strategies import table
from engine.research import equity
from engine.research.search import Job, Progress, Values, Workers
from engine.research.statistics import Floats
from engine.research.stretch import E8, Outcome, Terms, net_e8
from engine.research.walkforward import Plan, Walk, join
from engine.research.yardsticks import growth_pct
from engine.simulation.venue import BOUNDS as VENUE_BOUNDS

FEE_FACTORS: Final = (1.0, 1.5, 2.0)
LATE_BARS: Final = (0.0, 0.2, 1.0)  # heard so much of a base bar later, where the plan names no seconds
SLIPPAGE_BPS: Final = (0.0, 5.0)  # every taker's fill so much worse, stops on top of their own slippage
CAPITAL_FACTORS: Final = (1.0, 5.0, 10.0, 100.0)
JITTERS: Final = 20
JITTER: Final = 2.0  # times the latest of them
SHUFFLES: Final = 2000
Band = tuple[float, float, float]


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """The test stretches on changed terms: `change` says what was changed, by how much."""

    change: dict[str, float]
    return_pct: float
    max_drawdown_pct: float
    trades: int
    refusals: int
    slippage_usd: float
    fees_usd: float


class MonteCarlo(msgspec.Struct, frozen=True, kw_only=True):
    """5 %, 50 % and 95 % of each distribution, in per cent of the capital. `order`: the closed trades in random order,
    which changes only how deep the account fell; `drawn`: as many trades drawn with replacement; `jitter`: everything
    heard late by another time, each a run of its own."""

    trades: int
    order_drawdown_pct: Band | None
    drawn_return_pct: Band | None
    loss_probability: float | None  # share of draws that lost money
    jitter_return_pct: Band | None
    jitters: int
    jitter_s: float  # by how much at most


def shuffled(trades: Floats, capital_usd: float, seed: int, count: int = SHUFFLES) -> tuple[Floats, Floats]:
    """`trades`: net results in USD. ([count] deepest fall of shuffled orders, [count] result of draws), per cent."""
    generator = np.random.default_rng(seed)
    orders = generator.permuted(np.broadcast_to(trades, (count, len(trades))), axis=1)
    paths = capital_usd + np.concatenate([np.zeros((count, 1)), np.cumsum(orders, axis=1)], axis=1)
    falls = (paths / np.maximum.accumulate(paths, axis=1) - 1.0).min(axis=1) * 100
    drawn = generator.choice(trades, (count, len(trades))).sum(axis=1) / capital_usd * 100
    return falls, drawn


def late_s(plan: Plan) -> tuple[float, ...]:
    """How much later everything is heard under stress, in seconds."""
    return plan.late_s or tuple(bars * plan.terms.timeframes_s[0] for bars in LATE_BARS)


def monte_carlo(walk: Walk, workers: Workers, progress: Progress | None = None, jitters: int = JITTERS) -> MonteCarlo:
    """Order of trades, draws of trades, and everything heard late by up to two base bars (twice the latest that the
    plan names), each run by another time."""
    terms, seed = walk.plan.terms, walk.plan.seed
    nets = np.concatenate([net_e8(outcome.trades) for outcome in walk.outcomes]) / E8
    falls, drawn = shuffled(nets, terms.capital_usd, seed) if len(nets) > 1 else (np.empty(0), np.empty(0))
    most_s = JITTER * max(late_s(walk.plan))
    late = np.random.default_rng(seed).uniform(0.0, most_s, jitters)
    changed = [msgspec.structs.replace(terms, late_s=terms.late_s + seconds) for seconds in late.tolist()]
    results = [
        one.return_pct for one in _play_again(walk, workers, [({}, c) for c in changed], progress, "entry jitter")
    ]
    return MonteCarlo(
        trades=len(nets),
        order_drawdown_pct=_band(falls),
        drawn_return_pct=_band(drawn),
        loss_probability=float((drawn < 0).mean()) if len(drawn) else None,
        jitter_return_pct=_band(np.array(results)),
        jitters=jitters,
        jitter_s=most_s,
    )


def stress(
    walk: Walk,
    workers: Workers,
    progress: Progress | None = None,
    *,
    fees: Sequence[float] = FEE_FACTORS,
    slippage_bps: Sequence[float] = SLIPPAGE_BPS,
) -> list[Again]:
    """Fees x lateness x slippage of every taker: each combination played again. An order with a limit that the slipped
    book does not reach gets nothing, as at a venue."""
    terms = walk.plan.terms
    wanted: list[tuple[dict[str, float], Terms]] = []
    for fee in fees if terms.fee_factor > 0.0 else (1.0,):
        for late in late_s(walk.plan):
            for slip in slippage_bps:
                bps = min(terms.simulation.taker_slippage_bps + slip, VENUE_BOUNDS["taker_slippage_bps"][2])
                changed = msgspec.structs.replace(
                    terms,
                    simulation=msgspec.structs.replace(terms.simulation, taker_slippage_bps=bps),
                    fee_factor=terms.fee_factor * fee,
                    late_s=terms.late_s + late,
                )
                wanted.append(({"fees": fee, "late_s": late, "slippage_bps": slip}, changed))
    return _play_again(walk, workers, wanted, progress, "stress")


def capacity(
    walk: Walk, workers: Workers, progress: Progress | None = None, factors: Sequence[float] = CAPITAL_FACTORS
) -> list[Again]:
    """The account and every limit in dollars times each factor; what is the share of the account stays."""
    terms = walk.plan.terms
    wanted = [
        (
            {"capital": factor},
            msgspec.structs.replace(
                terms, capital_usd=terms.capital_usd * factor, limits=scaled_limits(terms.limits, factor)
            ),
        )
        for factor in factors
    ]
    return _play_again(walk, workers, wanted, progress, "capacity")


def scaled_limits(limits: Limits, factor: float) -> Limits:
    """Every limit in dollars times `factor`, as far as its bounds allow."""
    money = {
        name: min(getattr(limits, name) * factor, high)
        for name, (_, _, high, _, _) in LIMIT_BOUNDS.items()
        if name.endswith("_usd")
    }
    return msgspec.structs.replace(limits, **money)


def scaled_params(strategy: str, params: Values, factor: float) -> Values:
    """Parameters that are sizes in USD, times `factor`; what is not given counts with its default."""
    row = next(row for row in table.STRATEGIES if row.name == strategy)
    sizes = {p.name: min(params.get(p.name, p.default) * factor, p.high) for p in row.params if p.unit == "USD"}
    return params | sizes


def _play_again(
    walk: Walk,
    workers: Workers,
    wanted: Sequence[tuple[dict[str, float], Terms]],
    progress: Progress | None,
    text: str,
) -> list[Again]:
    """The walk's test stretches with what each fold chose, on each of the wanted terms."""
    plan, jobs = walk.plan, []
    for change, terms in wanted:
        for result in walk.folds:
            params = scaled_params(plan.strategy, result.params, change.get("capital", 1.0))
            strategies = terms.strategies | {plan.strategy: params}
            jobs.append(Job(result.fold.test, msgspec.structs.replace(terms, strategies=strategies)))
    outcomes, size = workers.play(jobs, progress, text), len(walk.folds)
    return [_summed(change, outcomes[k * size : (k + 1) * size]) for k, (change, _) in enumerate(wanted)]


def _summed(change: dict[str, float], outcomes: list[Outcome]) -> Again:
    joined = join(outcomes)
    deepest = equity.deepest_drawdown(equity.Curve(*joined))
    return Again(
        change=change,
        return_pct=growth_pct(joined),
        max_drawdown_pct=deepest.fraction * 100 if deepest else 0.0,
        trades=sum(len(one.trades) for one in outcomes),
        refusals=sum(one.refusals for one in outcomes),
        slippage_usd=sum(int(one.trades["slippage_e8"].sum()) for one in outcomes) / E8,
        fees_usd=sum(int(one.trades["fees_e8"].sum()) for one in outcomes) / E8,
    )


def _band(values: Floats) -> Band | None:
    if not len(values):
        return None
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return float(low), float(middle), float(high)
