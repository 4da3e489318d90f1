"""Our figures beside other people's: purgedcv, skfolio and arch must say the same of the same returns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine.research import statistics as st
from engine.research.folds import DAY_NS, HOUR_NS, Stretch, belongs

purgedcv = pytest.importorskip("purgedcv")
measures = pytest.importorskip("skfolio.measures")
selection = pytest.importorskip("skfolio.model_selection")
bootstrap = pytest.importorskip("arch.bootstrap")

SEEDS = (1, 2, 3)


def trials(seed: int, days: int = 120, count: int = 12, drift: float = 0.0) -> st.Floats:
    generator = np.random.default_rng(seed)
    market = generator.standard_t(5, (days, 1)) * 0.004
    return market + generator.normal(drift, 0.01, (days, count))


@pytest.mark.parametrize("seed", SEEDS)
def test_overfitting_as_purgedcv_counts_it(seed: int) -> None:
    returns = trials(seed)
    theirs = purgedcv.probability_of_backtest_overfitting(returns.T, n_splits=8)
    ours = st.backtest_overfitting(returns, blocks=8)
    assert ours.splits == theirs.n_combos == 70
    level = float((theirs.logits == 0).mean())  # a rank exactly in the middle: overfit in the paper and here
    assert ours.pbo == pytest.approx(theirs.pbo + level if level else theirs.pbo)


@pytest.mark.parametrize("seed", SEEDS)
def test_overfitting_over_skfolios_splits(seed: int) -> None:
    """The same probability, counted by hand over the splits of another library."""
    returns, overfit = trials(seed), []
    for inside, outsides in selection.CombinatorialPurgedCV(n_folds=8, n_test_folds=4).split(returns):
        outside = np.concatenate(outsides)
        winner = int(np.argmax(returns[inside].mean(axis=0) / returns[inside].std(axis=0, ddof=1)))
        ratios = returns[outside].mean(axis=0) / returns[outside].std(axis=0, ddof=1)
        rank = (ratios < ratios[winner]).sum() + 1
        overfit.append(rank / (returns.shape[1] + 1) <= 0.5)
    assert len(overfit) == 70
    assert st.backtest_overfitting(returns, blocks=8).pbo == pytest.approx(np.mean(overfit))


@pytest.mark.parametrize("seed", SEEDS)
def test_sharpe_probabilities_as_both_count_them(seed: int) -> None:
    returns = trials(seed, days=800, drift=0.001)
    daily = np.array([st.daily_sharpe(column) for column in returns.T])
    best, count = returns[:, int(daily.argmax())], returns.shape[1]
    variance = float(daily.var(ddof=1))
    shape = st.shape(best)
    ours = st.deflated_sharpe(st.daily_sharpe(best), len(best), *shape, trials=count, variance=variance)
    assert ours == pytest.approx(purgedcv.deflated_sharpe_ratio(best, count, variance), abs=2e-3)
    assert ours == pytest.approx(measures.deflated_sharpe_ratio(best, daily), abs=2e-3)
    plain = st.probabilistic_sharpe(st.daily_sharpe(best), len(best), *shape)
    assert plain == pytest.approx(purgedcv.probabilistic_sharpe_ratio(best, 0.0), abs=2e-3)
    assert plain == pytest.approx(measures.probabilistic_sharpe_ratio(best), abs=2e-3)


@pytest.mark.parametrize("seed", SEEDS[:2])
@pytest.mark.parametrize("drift", [0.0, 0.0015])
def test_superior_ability_as_arch_tests_it(seed: int, drift: float) -> None:
    """arch does not divide by the deviation; columns of one deviation make the two tests the same."""
    returns = trials(seed, days=216, drift=drift)
    returns = returns / returns.std(axis=0) * 0.01
    benchmark = np.zeros(len(returns))
    test = bootstrap.SPA(benchmark, -returns, block_size=round(len(returns) ** (1 / 3)), reps=2000, seed=seed)
    test.compute()
    ours = st.superior_predictive_ability(returns, benchmark, resamples=2000, seed=seed)
    assert ours == pytest.approx(test.pvalues["consistent"], abs=0.06)


def test_what_is_purged_is_what_purgedcv_purges() -> None:
    """A training trade whose span meets the test stretch is dropped there, and belongs to no training stretch here."""
    generator = np.random.default_rng(4)
    opened = np.sort(generator.integers(0, 20 * DAY_NS, 400))
    closed = opened + generator.integers(1, 60, 400) * HOUR_NS
    border = 12 * DAY_NS
    times, ends = pd.Series(pd.to_datetime(opened)), pd.Series(pd.to_datetime(closed))
    before, after = np.flatnonzero(opened < border), np.flatnonzero(opened >= border)
    first_test = int(opened[after].min())
    theirs = purgedcv.purge(before, after, times, ends)
    ours = np.flatnonzero(belongs(opened, closed, Stretch(0, first_test)))
    assert len(ours) < len(before), "trades cross the border, or this shows nothing"
    assert set(ours) <= set(theirs.tolist())
    assert all(closed[k] == first_test for k in set(theirs.tolist()) - set(ours.tolist()))
