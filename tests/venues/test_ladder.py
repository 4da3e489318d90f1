"""The ladder against a naive rebuild, and its sequence rules one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.records import DEPTH, LAST, RECORD
from engine.venues.ladder import GAP, LIVE, WAITING, Diff, Ladder, Snapshot
from engine.venues.undecodable import Undecodable

WHOLE = Snapshot(3, 0, 100, [(99, 1), (98, 2)], [(101, 1), (102, 2)])


def spot(first: int, last: int, bids: list[tuple[int, int]] | None = None) -> Diff:
    return Diff(3, 7, first, last, None, bids or [(97, last)], [])


def perp(previous: int, first: int, last: int) -> Diff:
    return Diff(3, 7, first, last, previous, [(97, last)], [])


def live() -> Ladder:
    ladder = Ladder(3)
    assert ladder.snapshot(WHOLE)
    return ladder


def test_diffs_are_kept_until_the_snapshot_and_those_it_contains_are_dropped() -> None:
    ladder = Ladder(3)
    for diff in (spot(90, 95), spot(96, 100, [(99, 50)]), spot(101, 104), spot(105, 106)):
        assert not ladder.apply(diff)
    assert ladder.state == WAITING
    assert ladder.snapshot(WHOLE)
    assert (ladder.state, ladder.last_id) == (LIVE, 106)
    assert ladder.top()[0] == [(99, 1), (98, 2), (97, 106)]


def test_a_snapshot_older_than_the_diffs_kept_is_not_enough() -> None:
    ladder = Ladder(3)
    ladder.apply(spot(110, 112))
    assert not ladder.snapshot(WHOLE)
    assert ladder.state == WAITING and ladder.top() == ([], [])
    assert ladder.snapshot(WHOLE._replace(last_id=111)), "the diff was kept for the next snapshot"
    assert ladder.last_id == 112


@pytest.mark.parametrize(
    ("diff", "applied", "state"),
    [
        (spot(101, 103), True, LIVE),
        (spot(95, 103), True, LIVE),  # overlaps
        (spot(95, 100), False, LIVE),  # old
        (spot(102, 103), False, GAP),
    ],
)
def test_the_spot_rule(diff: Diff, applied: bool, state: str) -> None:
    ladder = live()
    assert ladder.apply(diff) is applied
    assert ladder.state == state


def test_the_usdm_rule_straddles_the_snapshot_then_follows_pu() -> None:
    ladder = live()
    assert not ladder.apply(perp(80, 81, 99)), "old"
    assert ladder.apply(perp(95, 96, 104)), "straddles 100"
    assert ladder.apply(perp(104, 110, 120)), "ids may jump as long as pu joins"
    assert not ladder.apply(perp(104, 110, 120)), "a repeated diff is old, not a gap"
    assert ladder.state == LIVE
    assert not ladder.apply(perp(121, 122, 130))
    assert (ladder.state, ladder.gaps, ladder.top()) == (GAP, 1, ([], []))


def test_a_usdm_snapshot_between_two_diffs_misses_nothing() -> None:
    ladder = live()
    assert ladder.apply(perp(97, 103, 104)), "ids jump: nothing happened between 97 and the snapshot's 100"
    ladder = live()
    assert not ladder.apply(perp(101, 103, 104)), "the diff that ended on 101 is missing"
    assert ladder.state == GAP


def test_after_a_gap_a_snapshot_and_the_diffs_since_make_it_live_again() -> None:
    ladder = live()
    ladder.apply(spot(105, 106))
    assert not ladder.apply(spot(107, 108))
    assert ladder.snapshot(WHOLE._replace(last_id=105))
    assert (ladder.state, ladder.last_id) == (LIVE, 108)


def test_a_book_that_crosses_itself_is_a_gap() -> None:
    ladder = live()
    assert not ladder.apply(spot(101, 101, [(101, 5)]))
    assert (ladder.state, ladder.gaps) == (GAP, 1)
    assert not live().snapshot(WHOLE._replace(bids=[(101, 1)]))


def test_reset_forgets_everything() -> None:
    ladder = live()
    ladder.reset()
    assert (ladder.state, ladder.top()) == (WAITING, ([], []))


def test_depth_records_are_five_zero_filled_and_the_last_marked() -> None:
    ladder, out = live(), np.zeros(8, RECORD)
    ladder.apply(spot(101, 101, [(99, 0)]))
    assert ladder.write(out, 55) == 5
    got = [
        (r.kind, r.instrument, r.ts_ns, r.venue_ts_ns, r.level, r.bits, r.bid_ticks, r.bid_lots, r.ask_ticks)
        for r in out[:5]
    ]
    assert got == [
        (DEPTH, 3, 55, 7, 0, 0, 98, 2, 101),
        (DEPTH, 3, 55, 7, 1, 0, 0, 0, 102),
        (DEPTH, 3, 55, 7, 2, 0, 0, 0, 0),
        (DEPTH, 3, 55, 7, 3, 0, 0, 0, 0),
        (DEPTH, 3, 55, 7, 4, LAST, 0, 0, 0),
    ]
    ladder.reset()
    assert ladder.write(out, 55) == 0
    with pytest.raises(Undecodable, match="2 records"):
        live().write(out[:2], 55)


levels = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), max_size=12)


@settings(max_examples=80, deadline=None)
@given(start=levels, diffs=st.lists(st.tuples(levels, levels), max_size=20))
def test_it_equals_a_naive_rebuild(
    start: list[tuple[int, int]], diffs: list[tuple[list[tuple[int, int]], ...]]
) -> None:
    """Bids lie in 1..40, asks in 101..140, so that the book never crosses."""
    bids = {price: lots for price, lots in start if lots}
    asks: dict[int, int] = {}
    ladder = Ladder(0)
    assert ladder.snapshot(Snapshot(0, 0, 0, list(bids.items()), []))
    for number, (bid_changes, ask_changes) in enumerate(diffs, 1):
        above = [(price + 100, lots) for price, lots in ask_changes]
        assert ladder.apply(Diff(0, 0, number, number, None, bid_changes, above))
        for side, changes in ((bids, bid_changes), (asks, above)):
            for price, lots in changes:
                side[price] = lots
        expected = (
            sorted(((p, q) for p, q in bids.items() if q), reverse=True)[:5],
            sorted((p, q) for p, q in asks.items() if q)[:5],
        )
        assert ladder.top() == expected
