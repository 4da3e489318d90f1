"""How much a Sharpe ratio proves.

Sources, named where they are used:
[SREF] Bailey & López de Prado, "The Sharpe Ratio Efficient Frontier", J. of Risk 15(2), 2012.
[DSR]  Bailey & López de Prado, "The Deflated Sharpe Ratio", J. of Portfolio Management 40(5), 2014.
[PBO]  Bailey, Borwein, López de Prado & Zhu, "The Probability of Backtest Overfitting", J. Comp. Finance 20(4), 2017.
[PR]   Politis & Romano, "The Stationary Bootstrap", JASA 89(428), 1994.
[SPA]  Hansen, "A Test for Superior Predictive Ability", J. Business & Economic Statistics 23(4), 2005.

`returns` is always a one-dimensional float64 array of simple returns, one a day, 0.01 = 1 %.
A Sharpe ratio called `daily` is per day; `sharpe` itself is annualised. Kurtosis is not excess: 3 is normal.
"""

from __future__ import annotations

from itertools import combinations
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.contracts.errors import BadInput

Floats = npt.NDArray[np.float64]

DAYS_PER_YEAR: Final = 365
YEAR_ROOT: Final[float] = float(np.sqrt(DAYS_PER_YEAR))
EULER_GAMMA: Final = 0.5772156649015329
MIN_INTERVAL_DAYS: Final = 10
_NORMAL: Final = NormalDist()
_CHUNK: Final = 256  # resamples or splits worked on at once: bounds the memory


class Undefined(BadInput):
    """The figure does not exist for this input; the message says why. Reaction: show null and the reason."""


class Overfitting(NamedTuple):
    """Outcome of combinatorially symmetric cross-validation."""

    pbo: float  # share of splits whose in-sample winner was at or below the out-of-sample median
    loss_probability: float  # share of splits whose in-sample winner lost money out of sample
    splits: int


def _checked(returns: Floats, least: int) -> Floats:
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1:
        raise BadInput(f"returns must be one-dimensional, not of shape {values.shape}")
    if not np.isfinite(values).all():
        raise BadInput("returns contain a value that is not finite; remove it before measuring")
    if len(values) < least:
        raise Undefined(f"needs at least {least} daily returns, there are {len(values)}")
    return values


def _varies(values: Floats) -> bool:
    """False where the spread of the values is only rounding noise."""
    return bool(np.ptp(values) > 1e-12 * max(1e-3, float(np.abs(values).max())))


def daily_sharpe(returns: Floats) -> float:
    """mean / std(ddof=1) of daily returns, risk-free rate 0. Undefined under 2 days or without variation."""
    values = _checked(returns, 2)
    if not _varies(values):
        raise Undefined("daily returns do not vary")
    return float(values.mean() / values.std(ddof=1))


def sharpe(returns: Floats) -> float:
    """Annualised by the square root of 365: crypto trades every day."""
    return daily_sharpe(returns) * YEAR_ROOT


def sortino(returns: Floats) -> float:
    """mean / sqrt(sum(min(r, 0)^2) / N), annualised; N counts all days, not only the losing ones."""
    values = _checked(returns, 2)
    downside = float(np.sqrt(np.mean(np.minimum(values, 0.0) ** 2)))
    if downside <= 1e-15:
        raise Undefined("no losing day")
    return float(values.mean()) / downside * YEAR_ROOT


def shape(returns: Floats) -> tuple[float, float]:
    """(skewness, kurtosis), population moments; the normal distribution gives (0, 3)."""
    values = _checked(returns, 3)
    if not _varies(values):
        raise Undefined("daily returns do not vary")
    deviations = (values - values.mean()) / values.std()
    return float(np.mean(deviations**3)), float(np.mean(deviations**4))


def sharpe_variance(daily: float, days: int, skew: float = 0.0, kurtosis: float = 3.0) -> float:
    """Sampling variance of an estimated daily Sharpe ratio over `days` returns ([SREF] eq. 4)."""
    if days < 2:
        raise Undefined(f"needs at least 2 daily returns, there are {days}")
    # Never negative for moments of a real sample: kurtosis >= skew^2 + 1.
    return max(0.0, 1.0 - skew * daily + (kurtosis - 1.0) / 4.0 * daily**2) / (days - 1)


def probabilistic_sharpe(
    daily: float, days: int, skew: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0
) -> float:
    """Probability that the true daily Sharpe ratio is above `benchmark` ([SREF] eq. 11)."""
    deviation = sharpe_variance(daily, days, skew, kurtosis) ** 0.5
    if deviation <= 1e-15:
        raise Undefined("the Sharpe ratio has no sampling error to measure against")
    return _NORMAL.cdf((daily - benchmark) / deviation)


def expected_maximum_sharpe(trials: int, variance: float) -> float:
    """Daily Sharpe ratio the best of `trials` skill-less strategies is expected to show ([DSR] eq. 1).

    `variance` is that of the trials' daily Sharpe ratios. One trial selects nothing: 0.
    """
    if trials < 1:
        raise BadInput(f"trials = {trials}: count every variant ever tried, at least this one")
    if not variance >= 0.0:
        raise BadInput(f"variance = {variance} must not be negative")
    if trials == 1:
        return 0.0
    best = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    beyond = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * np.e))
    return float(variance**0.5 * ((1.0 - EULER_GAMMA) * best + EULER_GAMMA * beyond))


def deflated_sharpe(
    daily: float,
    days: int,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    trials: int = 1,
    variance: float | None = None,
) -> float:
    """Probability of skill after allowing for the number of trials ([DSR] eq. 2).

    Where the trials' own variance is not known, the sampling variance of this Sharpe ratio stands in:
    trials that differ by luck alone.
    """
    spread = sharpe_variance(daily, days, skew, kurtosis) if variance is None else variance
    return probabilistic_sharpe(daily, days, skew, kurtosis, expected_maximum_sharpe(trials, spread))


def minimum_track_record(
    daily: float, skew: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0, confidence: float = 0.95
) -> float:
    """Days needed before the Sharpe ratio is above `benchmark` with `confidence` ([SREF] eq. 13)."""
    if not daily > benchmark:
        raise Undefined("the Sharpe ratio is not above the benchmark: no track record is long enough")
    spread = 1.0 - skew * daily + (kurtosis - 1.0) / 4.0 * daily**2
    return 1.0 + spread * (_NORMAL.inv_cdf(confidence) / (daily - benchmark)) ** 2


def sharpe_interval(
    returns: Floats, confidence: float = 0.95, resamples: int = 2000, seed: int = 7
) -> tuple[float, float]:
    """Percentile interval of the annualised Sharpe ratio by stationary bootstrap [PR].

    Blocks of geometric length, mean N^(1/3), wrapped around the end, keep runs of bad days together.
    Deterministic for a given seed. Undefined under 10 days, or where resamples tend not to vary.
    """
    values = _checked(returns, MIN_INTERVAL_DAYS)
    if not _varies(values):
        raise Undefined("daily returns do not vary")
    generator = np.random.default_rng(seed)
    found: list[Floats] = []
    for start in range(0, resamples, _CHUNK):
        drawn = values[_stationary_indices(len(values), min(_CHUNK, resamples - start), generator)]
        deviation = drawn.std(axis=1, ddof=1)
        usable = deviation > 1e-12
        found.append(drawn.mean(axis=1)[usable] / deviation[usable])
    ratios = np.concatenate(found) * YEAR_ROOT
    if len(ratios) < 0.9 * resamples:
        raise Undefined("too few days with a profit or loss to resample")
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(ratios, [tail, 1.0 - tail])
    return float(low), float(high)


def mean_interval(
    values: Floats, confidence: float = 0.95, resamples: int = 2000, seed: int = 7
) -> tuple[float, float]:
    """Percentile interval of the mean, in the unit of `values`, by the same resampling as `sharpe_interval`."""
    checked = _checked(values, MIN_INTERVAL_DAYS)
    generator = np.random.default_rng(seed)
    means = _resampled_means(checked[:, None], resamples, generator)[:, 0]
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def superior_predictive_ability(returns: Floats, benchmark: Floats, resamples: int = 2000, seed: int = 7) -> float:
    """Consistent p-value of "none of the trials is better than the benchmark" ([SPA] section 2).

    `returns` is [days, trials], `benchmark` [days], both daily. Differences are studentised with the variance that the
    stationary bootstrap of blocks N^(1/3) implies [PR]; trials far behind the benchmark do not weaken the test.
    Undefined under 10 days, or where no trial ever differs from the benchmark.
    """
    better = np.asarray(returns, dtype=np.float64) - np.asarray(benchmark, dtype=np.float64)[:, None]
    days = len(better)
    if not np.isfinite(better).all():
        raise BadInput("returns contain a value that is not finite; remove it before measuring")
    if days < MIN_INTERVAL_DAYS:
        raise Undefined(f"needs at least {MIN_INTERVAL_DAYS} daily returns, there are {days}")
    better = better[:, np.ptp(better, axis=0) > 1e-12]
    if not better.shape[1]:
        raise Undefined("no trial differs from the benchmark")
    mean, deviation = better.mean(axis=0), _bootstrap_deviation(better)
    score = days**0.5 * mean / deviation
    centre = np.where(score >= -((2.0 * np.log(np.log(days))) ** 0.5), mean, 0.0)
    means = _resampled_means(better, resamples, np.random.default_rng(seed))
    luck = (days**0.5 * (means - centre) / deviation).max(axis=1)
    return float((np.maximum(luck, 0.0) >= max(0.0, float(score.max()))).mean())


def _bootstrap_deviation(values: Floats) -> Floats:
    """Standard deviation of sqrt(N) times the mean of each column under the stationary bootstrap ([PR] eq. 8)."""
    days = len(values)
    stay = 1.0 - days ** (-1.0 / 3.0)
    centred = values - values.mean(axis=0)
    variance = (centred**2).mean(axis=0)
    for lag in range(1, days):
        weight = (1 - lag / days) * stay**lag + lag / days * stay ** (days - lag)
        variance += 2.0 * weight * (centred[:-lag] * centred[lag:]).sum(axis=0) / days
    return np.asarray(np.sqrt(np.maximum(variance, 1e-30)), dtype=np.float64)


def _resampled_means(values: Floats, resamples: int, generator: np.random.Generator) -> Floats:
    """[resamples, columns]: means of stationary resamples of the rows."""
    days = len(values)
    found: list[Floats] = []
    for start in range(0, resamples, _CHUNK):
        rows = _stationary_indices(days, min(_CHUNK, resamples - start), generator)
        counts = np.apply_along_axis(np.bincount, 1, rows, minlength=days)
        found.append(counts @ values / days)
    return np.concatenate(found)


def _stationary_indices(length: int, rows: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """int64 [rows, length]: each row walks through 0..length-1 and jumps with probability length^(-1/3)."""
    jumps = generator.random((rows, length)) < length ** (-1.0 / 3.0)
    jumps[:, 0] = True
    starts = generator.integers(0, length, (rows, length))
    steps = np.arange(length)
    last_jump = np.maximum.accumulate(np.where(jumps, steps, 0), axis=1)
    walked = np.take_along_axis(starts, last_jump, axis=1) + (steps - last_jump)
    return np.asarray(walked % length, dtype=np.int64)


def backtest_overfitting(returns: Floats, blocks: int = 16) -> Overfitting:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation [PBO].

    `returns` is [T days, N trials]. The days are cut into `blocks` pieces; every choice of half of them
    is once in-sample and the rest out-of-sample. Trials are compared by Sharpe ratio; one that does not
    vary counts as 0. Raises BadInput for an odd or too small `blocks`, fewer than 2 trials or 2 days a block.
    """
    matrix = np.asarray(returns, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] < 2:
        raise BadInput(f"returns must be [days, at least 2 trials], not of shape {matrix.shape}")
    if blocks < 4 or blocks % 2:
        raise BadInput(f"blocks = {blocks} must be an even number of at least 4")
    if matrix.shape[0] < 2 * blocks:
        raise BadInput(f"{matrix.shape[0]} days are too few for {blocks} blocks; use fewer blocks")
    if not np.isfinite(matrix).all():
        raise BadInput("returns contain a value that is not finite; remove it before measuring")
    choices = np.array(list(combinations(range(blocks), blocks // 2)))
    inside = np.zeros((len(choices), blocks))
    np.put_along_axis(inside, choices, 1.0, axis=1)
    sums = _BlockSums(matrix, blocks)
    overfit, lost = 0, 0
    for start in range(0, len(choices), _CHUNK):
        chosen = inside[start : start + _CHUNK]
        rows = np.arange(len(chosen))
        winner = np.argmax(sums.sharpe(chosen), axis=1)
        outside = sums.sharpe(1.0 - chosen)
        mark = outside[rows, winner][:, None]
        # Average rank over ties; at or below the middle (logit <= 0) is a split that was overfit.
        rank = (outside < mark).sum(axis=1) + ((outside == mark).sum(axis=1) + 1) / 2.0
        overfit += int((rank / (matrix.shape[1] + 1) <= 0.5).sum())
        lost += int((mark < 0.0).sum())
    return Overfitting(overfit / len(choices), lost / len(choices), len(choices))


class _BlockSums:
    """Sums per block, from which the Sharpe ratio of any set of blocks is a matrix product."""

    def __init__(self, matrix: Floats, blocks: int) -> None:
        self.centre = matrix.mean(axis=0)  # centred first: the difference of large squares would lose digits
        pieces = np.array_split(matrix - self.centre, blocks)
        self.count = np.array([float(len(piece)) for piece in pieces])
        self.total = np.array([piece.sum(axis=0) for piece in pieces])
        self.square = np.array([(piece**2).sum(axis=0) for piece in pieces])
        self.noise = 1e-12 * max(1e-3, float(np.abs(matrix).max()))

    def sharpe(self, chosen: Floats) -> Floats:
        """Daily Sharpe ratio [splits, trials] of the blocks marked 1 in `chosen` [splits, blocks]."""
        count = (chosen @ self.count)[:, None]
        mean = chosen @ self.total / count
        variance = np.maximum(chosen @ self.square / count - mean**2, 0.0) * count / (count - 1.0)
        deviation = np.sqrt(variance)
        flat = deviation <= self.noise
        ratio = (mean + self.centre) / np.where(flat, 1.0, deviation)
        return np.asarray(np.where(flat, 0.0, ratio), dtype=np.float64)
