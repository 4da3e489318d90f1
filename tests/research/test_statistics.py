"""Published worked examples first, then properties."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs
from hypothesis.extra import numpy as hnp

from engine.contracts.errors import BadInput
from engine.research import statistics as st

RETURNS = hnp.arrays(np.float64, hs.integers(12, 60), elements=hs.floats(-0.2, 0.2).map(lambda x: round(x, 6)))


def noise(seed: int, days: int, trials: int) -> st.Floats:
    return np.random.default_rng(seed).normal(0.0, 0.01, (days, trials))


def test_deflated_sharpe_of_the_papers_example() -> None:
    """Bailey & López de Prado 2014, "A numerical example": 100 trials, V = 1/2 a year, 1250 days of 250 a year."""
    ceiling = st.expected_maximum_sharpe(100, 0.5 / 250)
    assert ceiling == pytest.approx(0.1132, abs=5e-5)
    daily = 2.5 / 250**0.5
    found = st.deflated_sharpe(daily, 1250, skew=-3.0, kurtosis=10.0, trials=100, variance=0.5 / 250)
    assert found == pytest.approx(0.9004, abs=5e-4)


def test_probabilistic_sharpe_of_the_papers_example() -> None:
    """2012 paper: 24 months of a hedge fund with a monthly ratio of 0.458; skew and fat tails cost 7 points."""
    assert st.probabilistic_sharpe(0.458, 24) == pytest.approx(0.982, abs=5e-4)
    assert st.probabilistic_sharpe(0.458, 24, skew=-2.448, kurtosis=10.164) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(
    ("per_year", "skew", "kurtosis", "years"),
    [(252, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_track_records_of_the_papers_example(per_year: int, skew: float, kurtosis: float, years: float) -> None:
    """2012 paper: how long until an annual ratio of 2 is above 1 with 95 %: daily, weekly, monthly data."""
    root = per_year**0.5
    found = st.minimum_track_record(2 / root, skew, kurtosis, benchmark=1 / root)
    assert found / per_year == pytest.approx(years, abs=6e-3)


def test_sharpe_and_sortino_by_hand() -> None:
    returns = np.array([0.01, -0.01, 0.02, 0.0])
    assert st.sharpe(returns) == pytest.approx(0.005 / np.std(returns, ddof=1) * 365**0.5)
    assert st.sortino(returns) == pytest.approx(0.005 / (1e-4 / 4) ** 0.5 * 365**0.5)


def test_shape_of_a_known_sample() -> None:
    assert st.shape(np.array([-1.0, 1.0] * 5)) == pytest.approx((0.0, 1.0))
    assert st.shape(np.array([0.0, 0.0, 0.0, 1.0])) == pytest.approx((2 / 3**0.5, 7 / 3))


@pytest.mark.parametrize("figure", [st.daily_sharpe, st.sharpe, st.sortino, st.shape, st.sharpe_interval])
@pytest.mark.parametrize("returns", [[], [0.01], [0.001] * 40, [0.0] * 40])
def test_undefined_figures_say_why(figure: object, returns: list[float]) -> None:
    assert callable(figure)
    with pytest.raises(st.Undefined, match=r"returns|losing day"):
        figure(np.array(returns))


@pytest.mark.parametrize("bad", [np.array([0.1, np.nan, 0.2] * 5), np.array([np.inf] * 12), np.zeros((3, 3))])
def test_bad_returns_are_named(bad: st.Floats) -> None:
    with pytest.raises(BadInput, match="returns"):
        st.sharpe_interval(bad)


@given(RETURNS, hs.integers(1, 500))
@settings(max_examples=60, deadline=None)
def test_deflating_never_raises_the_probability(returns: st.Floats, trials: int) -> None:
    try:
        daily, (skew, kurtosis) = st.daily_sharpe(returns), st.shape(returns)
        single = st.probabilistic_sharpe(daily, len(returns), skew, kurtosis)
    except st.Undefined:
        return
    deflated = st.deflated_sharpe(daily, len(returns), skew, kurtosis, trials)
    assert 0.0 <= deflated <= single <= 1.0
    assert st.deflated_sharpe(daily, len(returns), skew, kurtosis, 1) == single
    assert st.deflated_sharpe(daily, len(returns), skew, kurtosis, trials + 1) <= deflated


@given(hs.floats(-0.3, 0.3), hs.integers(3, 5000), hs.floats(-0.3, 0.3), hs.floats(0.0, 0.2))
def test_probability_falls_with_the_benchmark(daily: float, days: int, benchmark: float, more: float) -> None:
    lower = st.probabilistic_sharpe(daily, days, benchmark=benchmark)
    assert 0.0 <= st.probabilistic_sharpe(daily, days, benchmark=benchmark + more) <= lower <= 1.0


@given(hs.floats(0.02, 0.3), hs.floats(-1.0, 1.0), hs.floats(3.0, 9.0))
def test_track_record_is_where_the_probability_reaches_its_confidence(daily: float, skew: float, kurt: float) -> None:
    days = st.minimum_track_record(daily, skew, kurt)
    assert st.probabilistic_sharpe(daily, int(np.ceil(days)) + 1, skew, kurt) >= 0.95
    assert int(days) < 2 or st.probabilistic_sharpe(daily, max(2, int(days)), skew, kurt) <= 0.95


@given(RETURNS)
@settings(max_examples=25, deadline=None)
def test_interval_is_ordered_and_repeats(returns: st.Floats) -> None:
    try:
        low, high = st.sharpe_interval(returns, resamples=300)
    except st.Undefined:
        return
    assert low <= high
    assert (low, high) == st.sharpe_interval(returns, resamples=300)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    samples = np.random.default_rng(3).normal(0.001, 0.01, (80, 250))
    truth = 0.1 * 365**0.5
    hits = [low <= truth <= high for low, high in (st.sharpe_interval(row, resamples=400) for row in samples)]
    assert 0.85 <= np.mean(hits) <= 1.0


def test_resampled_days_keep_their_neighbours() -> None:
    rows = st._stationary_indices(1000, 50, np.random.default_rng(1))
    assert rows.min() >= 0 and rows.max() < 1000
    follows = np.mean((rows[:, 1:] - rows[:, :-1]) % 1000 == 1)
    assert follows == pytest.approx(0.9, abs=0.01)  # mean block length is the cube root, 10


def test_pure_noise_is_overfit_about_half_the_time() -> None:
    found = [st.backtest_overfitting(noise(seed, 160, 20), blocks=8).pbo for seed in range(40)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)


def test_one_truly_better_trial_is_not_overfit() -> None:
    matrix = noise(1, 320, 20)
    matrix[:, 7] += 0.01
    assert st.backtest_overfitting(matrix) == st.Overfitting(0.0, 0.0, 12870)


def test_a_trial_that_only_fits_one_half_is_overfit() -> None:
    """Each trial earns in its own block alone and loses slightly elsewhere: yesterday's winner never repeats."""
    matrix = noise(2, 80, 8) * 0.01 - 0.001
    for trial in range(8):
        matrix[trial * 10 : trial * 10 + 10, trial] += 0.05
    found = st.backtest_overfitting(matrix, blocks=8)
    assert found.pbo > 0.9 and found.loss_probability > 0.9


@given(hs.integers(0, 1000), hs.integers(2, 6))
@settings(max_examples=20, deadline=None)
def test_overfitting_equals_the_plain_definition(seed: int, trials: int) -> None:
    """Against a slow version that follows the paper line by line."""
    matrix = noise(seed, 24, trials)
    pieces = np.array_split(np.arange(24), 4)
    overfit = []
    for chosen in combinations(range(4), 2):
        days = np.concatenate([pieces[i] for i in chosen])
        inside = matrix[days].mean(axis=0) / matrix[days].std(axis=0, ddof=1)
        rest = np.delete(matrix, days, axis=0)
        outside = rest.mean(axis=0) / rest.std(axis=0, ddof=1)
        relative = (1 + np.sum(outside < outside[np.argmax(inside)])) / (trials + 1)
        overfit.append(np.log(relative / (1 - relative)) <= 1e-12)
    assert st.backtest_overfitting(matrix, blocks=4).pbo == pytest.approx(np.mean(overfit))


@pytest.mark.parametrize(
    ("shape", "blocks", "says"),
    [((40, 1), 4, "2 trials"), ((40,), 4, "2 trials"), ((40, 3), 5, "even"), ((40, 3), 2, "even"), ((7, 3), 4, "few")],
)
def test_overfitting_refuses_what_it_cannot_measure(shape: tuple[int, ...], blocks: int, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        st.backtest_overfitting(np.zeros(shape), blocks)


def test_idle_trials_count_as_zero() -> None:
    assert st.backtest_overfitting(np.zeros((40, 3)), blocks=4).loss_probability == 0.0


@pytest.mark.parametrize(("trials", "variance", "says"), [(0, 0.1, "trials"), (5, -0.1, "variance")])
def test_expected_maximum_refuses_nonsense(trials: int, variance: float, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        st.expected_maximum_sharpe(trials, variance)


def test_no_record_is_long_enough_for_a_losing_strategy() -> None:
    with pytest.raises(st.Undefined, match="not above"):
        st.minimum_track_record(-0.01)
