"""Where markets are cut: nothing of a test stretch is known in its training stretch, and no trade counts twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from engine.contracts.errors import BadInput
from engine.research.folds import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, Cut, Fold, belongs, cut_folds, lasting

BEGIN = 1_735_689_600_000_000_000
DAYS = hs.floats(0.5, 400.0)
LENGTHS = hs.none() | hs.floats(0.1, 60.0)
HOURS = hs.floats(0.0, 100.0)
CUTS = hs.builds(
    Cut,
    folds=hs.integers(1, 12),
    train_days=LENGTHS,
    test_days=LENGTHS,
    embargo_hours=HOURS,
    warm_days=hs.floats(0.0, 20.0),
    anchored=hs.booleans(),
)


def folds_or_none(days: float, cut: Cut) -> list[Fold]:
    try:
        return cut_folds(BEGIN, BEGIN + round(days * DAY_NS), cut)
    except BadInput:
        return []


@given(DAYS, CUTS)
def test_every_test_begins_an_embargo_behind_its_training(days: float, cut: Cut) -> None:
    folds = folds_or_none(days, cut)
    for fold in folds:
        assert fold.train.from_ns - fold.train.warm_ns >= BEGIN
        assert fold.train.from_ns < fold.train.to_ns <= fold.test.from_ns - round(cut.embargo_hours * HOUR_NS)
        assert fold.test.from_ns < fold.test.to_ns <= BEGIN + round(days * DAY_NS)
    for one, following in zip(folds, folds[1:], strict=False):
        assert following.test.from_ns == one.test.to_ns, "tests follow each other without hole or overlap"
        assert (
            following.train.from_ns == one.train.from_ns
            if cut.anchored
            else following.train.from_ns > one.train.from_ns
        )


@given(DAYS, CUTS, hs.integers(0, 400 * 24), hs.integers(0, 30 * 24))
def test_a_trade_belongs_to_one_side_of_a_border_at_most(days: float, cut: Cut, opened: int, hours: int) -> None:
    begin = np.array([BEGIN + opened * HOUR_NS])
    end = begin + hours * HOUR_NS
    folds = folds_or_none(days, cut)
    for fold in folds:
        trained, tested = (bool(belongs(begin, end, part)[0]) for part in (fold.train, fold.test))
        assert not (trained and tested)
        if begin[0] < fold.train.to_ns <= end[0]:
            assert not trained and not tested, "open across the border: of neither"
    assert sum(bool(belongs(begin, end, fold.test)[0]) for fold in folds) <= 1


@given(DAYS, CUTS, hs.floats(1.0, 2.0))
def test_more_data_behind_moves_no_fold_of_given_lengths(days: float, cut: Cut, longer: float) -> None:
    if cut.train_days is None or cut.test_days is None:
        return
    folds = folds_or_none(days, cut)
    if folds:
        assert folds_or_none(days * longer, cut) == folds


def test_the_lengths_of_a_cut() -> None:
    folds = cut_folds(BEGIN, BEGIN + 120 * DAY_NS, Cut(folds=4, train_days=40, test_days=15))
    assert [(f.train.from_ns - BEGIN) / DAY_NS for f in folds] == [10, 25, 40, 55]
    assert [(f.test.from_ns - BEGIN) / DAY_NS for f in folds] == [51, 66, 81, 96]
    assert {(f.test.to_ns - f.test.from_ns) / DAY_NS for f in folds} == {15}
    anchored = cut_folds(BEGIN, BEGIN + 120 * DAY_NS, Cut(folds=4, train_days=40, test_days=15, anchored=True))
    assert [(f.train.to_ns - f.train.from_ns) / DAY_NS for f in anchored] == [40, 55, 70, 85]


@pytest.mark.parametrize("cut", [Cut(folds=0), Cut(train_days=119), Cut(embargo_hours=-1), Cut(warm_days=200)])
def test_what_does_not_fit_is_refused(cut: Cut) -> None:
    with pytest.raises(BadInput, match="fold|embargo"):
        cut_folds(BEGIN, BEGIN + 120 * DAY_NS, cut)


def test_minutes_are_cut_only_where_the_cut_says_so() -> None:
    minutes = {"folds": 2, "embargo_hours": 10 / 3600, "warm_days": 65 / 86_400}
    end = BEGIN + 344 * SECOND_NS
    with pytest.raises(BadInput, match="do not fit into 5.7 minutes of data, no stretch under 60 minutes"):
        cut_folds(BEGIN, end, Cut(**minutes))
    folds = cut_folds(BEGIN, end, Cut(**minutes, shortest_hours=1 / 60))
    assert [fold.train.warm_ns for fold in folds] == [65 * SECOND_NS] * 2
    for fold in folds:
        assert BEGIN <= fold.train.from_ns - fold.train.warm_ns
        assert fold.test.from_ns - fold.train.to_ns == 10 * SECOND_NS
        assert fold.test.to_ns <= end and fold.test.to_ns - fold.test.from_ns > MINUTE_NS
    with pytest.raises(BadInput, match="no stretch under 2 minutes"):
        cut_folds(BEGIN, end, Cut(**minutes, shortest_hours=2 / 60))


@pytest.mark.parametrize(
    ("length_ns", "words"),
    [
        (55 * DAY_NS, "55 days"), (36 * HOUR_NS, "36 hours"), (90 * MINUTE_NS, "90 minutes"),
        (67 * SECOND_NS, "67 seconds"), (130 * SECOND_NS, "2.2 minutes"), (0, "0 seconds"),
        (12 * DAY_NS + 12 * HOUR_NS, "12.5 days"),
    ],
)  # fmt: skip
def test_lengths_in_words(length_ns: int, words: str) -> None:
    assert lasting(length_ns) == words
