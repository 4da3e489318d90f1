"""When conditional orders trigger, and what they turn into."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_usdm_books import Books

from engine.contracts import reasons
from engine.contracts import records as r
from engine.sandbox.exchange import OrderRefused
from engine.sandbox.faults import Fault
from engine.sandbox.traders import AlgoOrder, AlgoTold, OrderTold


def opened(side: int = 1) -> Books:
    books = Books()
    books.trade(1, 10)
    books.send(side, 500)
    return books


def algo(books: Books, kind: str, side: int, **fields: Any) -> AlgoOrder:
    given = {"ticks": 0, "trigger_ticks": 0, "working_type": "CONTRACT_PRICE", "reduce_only": False,
             "close_position": False, "lots": 100, "callback_bps": 0, "activate_ticks": 0} | fields  # fmt: skip
    books.number += 1
    return books.futures.algos.place(
        books.trader,
        AlgoOrder(
            0, f"a{books.number}", 0, side, kind, "GTC", given["lots"], given["ticks"], given["trigger_ticks"],
            given["working_type"], given["reduce_only"], given["close_position"], False, 0,
            activate_ticks=given["activate_ticks"], callback_bps=given["callback_bps"],
        ),
    )  # fmt: skip


def trades(books: Books, *prices: int) -> None:
    """One block of public trades, as recorded markets come."""
    events: Any = np.zeros(len(prices), r.RECORD)
    events["kind"], events["qty_lots"], events["side"], events["price_ticks"] = r.TRADE, 10, 1, prices
    books.futures.play(events)


@pytest.mark.parametrize(
    ("kind", "side", "trigger", "quiet", "hit"),
    [
        ("STOP_MARKET", -1, 990, 991, 990),
        ("STOP_MARKET", 1, 1010, 1009, 1012),
        ("TAKE_PROFIT_MARKET", -1, 1010, 1009, 1010),
        ("TAKE_PROFIT_MARKET", 1, 990, 991, 989),
    ],
)
def test_each_direction(kind: str, side: int, trigger: int, quiet: int, hit: int) -> None:
    books = opened()
    one = algo(books, kind, side, trigger_ticks=trigger)
    trades(books, quiet)
    assert one.status == "NEW"
    trades(books, quiet, hit, quiet)
    assert one.status == "FINISHED" and one.order is not None and one.order.status == "FILLED"
    books.check()


@pytest.mark.parametrize("is_early", [False, True])
def test_what_is_told_in_which_order(is_early: bool) -> None:
    books = opened()
    heard: list[str] = []

    def listener(one: Any) -> None:
        if isinstance(one, AlgoTold):
            heard.append(one.algo.status)
        elif isinstance(one, OrderTold):
            heard.append(f"order {one.event}")

    books.trader.listeners.append(listener)
    algo(books, "STOP_MARKET", -1, trigger_ticks=990, close_position=True, lots=0)
    if is_early:
        books.futures.faults.arm(Fault("A4"))
    trades(books, 990)
    orders = ["order TRADE", "order NEW", "TRIGGERED"] if is_early else ["TRIGGERED", "order NEW", "order TRADE"]
    assert heard == ["NEW", "TRIGGERING", *orders, "FINISHED"]
    assert books.trader.positions[0].lots == 0


def test_a_limited_one_rests_as_a_limit_order() -> None:
    books = opened()
    one = algo(books, "TAKE_PROFIT", -1, trigger_ticks=1010, ticks=1030)
    trades(books, 1010)
    assert one.status == "TRIGGERED" and one.order is not None
    assert (one.order.order_type, one.order.ticks, one.order.status) == ("LIMIT", 1030, "NEW")
    books.futures.cancel(books.trader, one.order)
    assert one.status == "FINISHED"  # type: ignore[comparison-overlap]


def test_one_that_closes_ends_with_its_position_and_a_reduce_only_one_is_rejected() -> None:
    books = opened()
    closing = algo(books, "STOP_MARKET", -1, trigger_ticks=990, close_position=True, lots=0)
    reducing = algo(books, "STOP_MARKET", -1, trigger_ticks=990, reduce_only=True)
    books.send(-1, 500)
    assert closing.status == "EXPIRED" and reducing.status == "NEW"
    trades(books, 980)
    assert reducing.status == "REJECTED" and reducing.reason == "Reduce Only reject"


def test_the_mark_price_and_the_last_price_are_told_apart() -> None:
    books = opened()
    by_mark = algo(books, "STOP_MARKET", -1, trigger_ticks=990, working_type="MARK_PRICE")
    trades(books, 980)  # the last price alone
    assert by_mark.status == "NEW"
    books.play(kind=r.MARK, price_ticks=989)
    assert by_mark.status == "FINISHED"


def test_a_trailing_one_follows_and_turns() -> None:
    books = opened()
    one = algo(books, "TRAILING_STOP_MARKET", -1, callback_bps=100, activate_ticks=1010)
    trades(books, 1005, 990, 1009)
    assert one.status == "NEW" and one.extreme_ticks == 0
    trades(books, 1010, 1040, 1035, 1050)
    assert one.status == "NEW" and one.extreme_ticks == 1050 and one.trigger_ticks == 1039
    trades(books, 1040, 1039)
    assert one.status == "FINISHED"


def test_two_in_one_block_trigger_at_their_own_prices() -> None:
    books = opened()
    books.quote(0, 4000)
    far = algo(books, "STOP_MARKET", -1, trigger_ticks=980)
    near = algo(books, "STOP_MARKET", -1, trigger_ticks=990)
    trail = algo(books, "TRAILING_STOP_MARKET", -1, callback_bps=500)
    trades(books, 995, 989, 981, 1001)
    assert (near.status, far.status) == ("FINISHED", "NEW")
    assert trail.extreme_ticks == 1001 and trail.status == "NEW"
    trades(books, 979, 1100)
    assert far.status == "FINISHED" and trail.status == "NEW" and trail.extreme_ticks == 1100
    assert near.order is not None and far.order is not None and near.order.order_id < far.order.order_id


def test_what_would_trigger_at_once_is_refused() -> None:
    books = opened()
    with pytest.raises(OrderRefused) as refused:
        algo(books, "STOP_MARKET", -1, trigger_ticks=1001)
    assert refused.value.reason == reasons.WOULD_TRIGGER
