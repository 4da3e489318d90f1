"""How much a searched result proves: figures that know how many variants were tried.

Sources: `engine.research.statistics` names [DSR], [PBO] and [SPA].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from engine.contracts.errors import BadInput
from engine.research import statistics
from engine.research.folds import DAY_NS, lasting
from engine.research.statistics import Floats, Undefined

CONFIDENCE: Final = 0.95
SPA_RESAMPLES: Final = 1000
LEAST_DAYS: Final = 30


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of an out-of-sample record and of the search behind it; None where one does not exist, and why.

    sharpe_ci95: percentile interval by stationary bootstrap. probabilistic: P(true Sharpe > 0) of the out-of-sample
    days. deflated: the same above what the best of `trials` skill-less variants would show, whose spread is that of
    the trials' own Sharpe ratios. best_sharpe, best_deflated: of the best trial on the whole market: what a search
    without a walk would have shown. pbo: probability that choosing among the trials overfits. spa_cash: p-value of
    "no trial is better than cash".
    """

    trials: int
    days: int
    sharpe: float | None
    sharpe_ci95: tuple[float, float] | None
    probabilistic: float | None
    deflated: float | None
    best_sharpe: float | None
    best_deflated: float | None
    pbo: float | None
    loss_probability: float | None
    blocks: int
    spa_cash: float | None
    mean_ci95_pct: tuple[float, float] | None  # of the mean daily return, in per cent
    why_null: dict[str, str]
    lasted_ns: int = 0  # how long the out-of-sample record is; 0: whole days

    @property
    def shown(self) -> bool:
        """True where an edge is shown: interval above zero, deflated above 95 %, overfitting below one half."""
        interval, deflated, pbo = self.sharpe_ci95, self.deflated, self.pbo
        return (
            interval is not None and interval[0] > 0
            and deflated is not None and deflated >= CONFIDENCE
            and (pbo is None or pbo < 0.5) and self.days >= LEAST_DAYS
        )  # fmt: skip

    @property
    def length(self) -> str:
        """How long the out-of-sample record is, in words."""
        return lasting(self.lasted_ns or self.days * DAY_NS)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        counted = f"{self.trials:,} variant{'' if self.trials == 1 else 's'} tried, {self.length} out of sample"
        if self.shown:
            return f"The evidence favours an edge ({counted})."
        if self.sharpe_ci95 is not None and self.sharpe_ci95[1] < 0:
            return f"No evidence of edge: the evidence is against one ({counted})."
        return f"No evidence of edge ({counted})."


def prove(outside: Floats, trials: Floats, tried_before: int = 0, seed: int = 7, lasted_ns: int = 0) -> Proof:
    """`outside`: daily returns out of sample. `trials` [days, trials]: daily returns of every variant on the whole
    market. `tried_before` counts variants tried elsewhere on this data; `lasted_ns`: how long `outside` is."""
    count = trials.shape[1] + tried_before
    why: dict[str, str] = {}

    def or_null(name: str, figure: Callable[[], object]) -> object:
        try:
            return figure()
        except (Undefined, BadInput) as reason:
            why[name] = str(reason)
            return None

    sharpes = np.array([_daily_or_zero(column) for column in trials.T])
    variance = float(sharpes.var(ddof=1)) if len(sharpes) > 1 else None
    best = trials[:, int(sharpes.argmax())]
    blocks = blocks_for(len(trials))
    overfit = or_null("pbo", lambda: statistics.backtest_overfitting(trials, blocks))
    if overfit is None:
        why["loss_probability"] = why["pbo"]
    found = {
        "sharpe": or_null("sharpe", lambda: statistics.sharpe(outside)),
        "sharpe_ci95": or_null("sharpe_ci95", lambda: statistics.sharpe_interval(outside, seed=seed)),
        "probabilistic": or_null("probabilistic", lambda: probability(outside, 1, None)),
        "deflated": or_null("deflated", lambda: probability(outside, count, variance)),
        "best_sharpe": or_null("best_sharpe", lambda: statistics.sharpe(best)),
        "best_deflated": or_null("best_deflated", lambda: probability(best, count, variance)),
        "pbo": None if overfit is None else overfit.pbo,  # type: ignore[attr-defined]
        "loss_probability": None if overfit is None else overfit.loss_probability,  # type: ignore[attr-defined]
        "spa_cash": or_null("spa_cash", lambda: _superior(trials, np.zeros(len(trials)), seed)),
        "mean_ci95_pct": or_null("mean_ci95_pct", lambda: statistics.mean_interval(outside * 100, seed=seed)),
    }
    lengths = {"days": len(outside), "lasted_ns": lasted_ns}
    return Proof(trials=count, blocks=blocks, why_null=why, **lengths, **found)  # type: ignore[arg-type]


def probability(returns: Floats, trials: int, variance: float | None) -> float:
    """Deflated Sharpe ratio of daily returns [DSR]; with one trial the probabilistic one."""
    if len(returns) < statistics.MIN_INTERVAL_DAYS:
        raise Undefined(f"needs at least {statistics.MIN_INTERVAL_DAYS} daily returns, there are {len(returns)}")
    daily, shape = statistics.daily_sharpe(returns), statistics.shape(returns)
    return statistics.deflated_sharpe(daily, len(returns), *shape, trials=trials, variance=variance)


def blocks_for(days: int) -> int:
    """Blocks of the cross-validation: 16, fewer where a block would hold under five days; never under 4."""
    return max(4, min(16, days // 5 // 2 * 2))


def _superior(trials: Floats, benchmark: Floats, seed: int) -> float:
    return statistics.superior_predictive_ability(trials, benchmark, SPA_RESAMPLES, seed)


def _daily_or_zero(returns: Floats) -> float:
    try:
        return statistics.daily_sharpe(returns)
    except Undefined:
        return 0.0
