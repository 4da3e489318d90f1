"""A fill is told once, and the memory of it is bounded."""

from __future__ import annotations

from engine.venues.fills import SeenFills


def test_a_fill_is_new_once_for_each_instrument() -> None:
    seen = SeenFills()
    assert [seen.is_new(0, 7), seen.is_new(0, 7), seen.is_new(1, 7), seen.is_new(1, 7)] == [True, False, True, False]


def test_only_the_newest_are_kept_for_each_instrument() -> None:
    seen = SeenFills(kept=2)
    for trade_id in (1, 2, 3):
        assert seen.is_new(0, trade_id)
    assert seen.is_new(1, 1)
    assert not seen.is_new(0, 3)
    assert not seen.is_new(0, 2)
    assert seen.is_new(0, 1)


def test_a_fill_that_could_not_be_told_is_new_again() -> None:
    seen = SeenFills()
    assert seen.is_new(0, 7)
    seen.forget(0, 7)
    seen.forget(5, 1)
    assert seen.is_new(0, 7)
