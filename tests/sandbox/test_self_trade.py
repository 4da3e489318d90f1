"""Self-trade prevention as arithmetic: which own orders a taker meets, and what either side loses."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from engine.sandbox.self_trade import resting, settle

ASKS = [(100, 5), (101, 5), (102, 5)]


@dataclass
class Own:
    """A resting order of the account."""

    order_id: int
    side: int
    ticks: int
    left_lots: int
    symbol: int = 0
    is_resting: bool = True


def test_only_own_orders_of_the_other_side_within_the_limit_are_reached_best_first() -> None:
    book = [
        Own(1, -1, 102, 1), Own(2, -1, 99, 1), Own(3, 1, 90, 1), Own(4, -1, 99, 1, symbol=1),
        Own(5, -1, 98, 1, is_resting=False), Own(6, -1, 101, 1), Own(7, -1, 99, 1),
    ]  # fmt: skip
    assert [one.order_id for one in resting(book, 0, 1, 101)] == [2, 7, 6]
    assert [one.order_id for one in resting(book, 0, 1, 0)] == [2, 7, 6, 1]
    bids = [Own(1, 1, 90, 1), Own(2, 1, 92, 1), Own(3, 1, 88, 1)]
    assert [one.order_id for one in resting(bids, 0, -1, 90)] == [2, 1]


# mode, lots of the taker, gone: (order id, lots that would trade, taker loses, maker loses) ..., lots sent, ended
CASES = [
    ("NONE", 9, 0, None),
    ("EXPIRE_MAKER", 5, 0, None),  # the book has enough at 100
    ("EXPIRE_MAKER", 6, 0, ([(1, 1, 0, 3)], 6, False)),
    ("EXPIRE_MAKER", 12, 0, ([(1, 3, 0, 3), (2, 2, 0, 4)], 12, False)),
    ("EXPIRE_MAKER", 5, 1, ([(1, 1, 0, 3)], 5, False)),  # one of them was taken before
    ("EXPIRE_TAKER", 12, 0, ([(1, 3, 7, 0)], 5, True)),
    ("EXPIRE_BOTH", 12, 5, ([(1, 3, 12, 3)], 0, True)),
    ("DECREMENT", 12, 0, ([(1, 3, 3, 3)], 9, False)),  # nine are less than the ten before the second order
    ("DECREMENT", 14, 0, ([(1, 3, 3, 3), (2, 1, 1, 1)], 10, True)),
    ("DECREMENT", 7, 0, ([(1, 2, 2, 2)], 5, True)),
]


@pytest.mark.parametrize(("mode", "lots", "gone", "expected"), CASES)
def test_what_either_side_loses(mode: str, lots: int, gone: int, expected: tuple[list[int], int, bool] | None) -> None:
    own = [Own(1, -1, 101, 3), Own(2, -1, 102, 4)]
    found = settle(mode, own, 1, lots, ASKS, gone)
    if expected is None:
        assert found is None
        return
    assert found is not None
    told = [(one.maker.order_id, one.lots, one.taker_lots, one.maker_lots) for one in found.meetings]
    assert (told, found.lots, found.is_ended) == expected


def test_at_the_same_price_an_own_order_comes_before_the_book() -> None:
    found = settle("EXPIRE_TAKER", [Own(1, -1, 100, 1)], 1, 1, ASKS, 0)
    assert found is not None and (found.lots, found.is_ended) == (0, True)


def test_a_seller_meets_own_bids_from_above() -> None:
    found = settle("EXPIRE_BOTH", [Own(1, 1, 98, 2)], -1, 4, [(99, 1), (98, 5)], 0)
    assert found is not None and found.meetings[0][1:] == (2, 3, 2) and found.lots == 1
