"""What quotes and trades say from tick to tick: each running value beside the same thing computed from all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import flow
from engine.core.book import BOOK
from engine.core.compile import kernel
from engine.core.strategies.scalping import STATE

SECOND_NS = 1_000_000_000
START = 1_000 * SECOND_NS


@kernel(entry=True)
def quoting(m: Any, book: Any, now_ns: int, book_s: float, volatility_s: float) -> bool:
    return flow.take_quote(m[0], book[0], now_ns, book_s, volatility_s)


@kernel(entry=True)
def trading(m: Any, book: Any, now_ns: int, flow_s: float, volatility_s: float) -> None:
    flow.take_trade(m[0], book[0], now_ns, flow_s, volatility_s)


@kernel(entry=True)
def deepening(m: Any, book: Any) -> None:
    flow.take_depth(m[0], book[0])


@kernel(entry=True)
def pressing(m: Any, now_ns: int, flow_s: float, volatility_s: float) -> float:
    return flow.pressure(m[0], now_ns, flow_s, volatility_s)


@kernel(entry=True)
def microprice(m: Any, book: Any) -> float:
    return flow.microprice_ticks(m[0], book[0])


class Feed:
    """One instrument's flow, fed by hand with `book_s`, `flow_s` and `volatility_s`."""

    def __init__(self, book_s: float = 1.0, flow_s: float = 5.0, volatility_s: float = 60.0) -> None:
        self.rows, self.books = np.zeros(1, STATE), np.zeros(1, BOOK)
        self.m, self.book = self.rows[0], self.books[0]
        self.times = (book_s, flow_s, volatility_s)

    def quote(self, at_s: float, bid: int, ask: int, bid_lots: int = 10, ask_lots: int = 10) -> bool:
        self.book.bid_ticks, self.book.ask_ticks = bid, ask
        self.book.bid_lots, self.book.ask_lots = bid_lots, ask_lots
        now = START + int(at_s * SECOND_NS)
        return bool(quoting(self.rows, self.books, now, self.times[0], self.times[2]))

    def trade(self, at_s: float, side: int, lots: int) -> None:
        self.book.traded_side, self.book.traded_lots = side, lots
        trading(self.rows, self.books, START + int(at_s * SECOND_NS), self.times[1], self.times[2])

    def pressure(self, at_s: float) -> float:
        return float(pressing(self.rows, START + int(at_s * SECOND_NS), self.times[1], self.times[2]))


def test_the_microprice_leans_to_the_thinner_side() -> None:
    feed = Feed()
    feed.quote(0, 100, 104, bid_lots=30, ask_lots=10)
    # (100 x 10 + 104 x 30) / 40 = 103, one tick above the mid
    assert microprice(feed.rows, feed.books) == pytest.approx(1.0)


def test_the_lean_is_the_mean_over_the_time_it_was_shown() -> None:
    feed = Feed(book_s=4.0)
    feed.quote(0, 100, 101, 30, 10)
    assert feed.m.leaning == 0.0 and feed.m.shown == 0.5
    feed.quote(4, 100, 101, 10, 10)  # a half was shown for four seconds: half of the way to it
    assert feed.m.leaning == pytest.approx(0.25) and feed.m.shown == 0.0
    feed.quote(12, 100, 101, 10, 10)
    assert feed.m.leaning == pytest.approx(0.25 / 3)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 5), st.integers(-50, 50)), min_size=1, max_size=60))
def test_volatility_is_the_mean_square_of_changes_over_a_second_or_more(steps: list[tuple[float, int]]) -> None:
    """Younger than its time constant it is the plain mean by time over what was sampled."""
    feed = Feed(volatility_s=3600.0)
    at, mid = 0.0, 1_000
    feed.quote(0.0, mid - 1, mid + 1)
    sampled_at, sampled_mid, squares = START, mid, 0.0
    for wait, move in steps:
        at, mid = at + wait, mid + move
        now = START + int(at * SECOND_NS)
        taken = feed.quote(at, mid - 1, mid + 1)
        assert taken == (now - sampled_at >= SECOND_NS)
        if taken:
            squares += (mid - sampled_mid) ** 2
            sampled_at, sampled_mid = now, mid
    if sampled_at > START:
        assert feed.m.variance == pytest.approx(squares / ((sampled_at - START) * 1e-9), rel=1e-9, abs=1e-12)
    assert feed.m.variance >= 0.0


def test_flicker_inside_a_second_is_no_volatility() -> None:
    feed = Feed()
    for k in range(100):
        feed.quote(k * 0.01, 100 + k % 2 * 50, 101 + k % 2 * 50)
    feed.quote(1.0, 100, 101)
    assert feed.m.variance == 0.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 3), st.sampled_from([-1, 1]), st.integers(0, 1000)), max_size=60))
def test_pressure_is_bounded_and_mirrored(trades: list[tuple[float, int, int]]) -> None:
    feed, mirror = Feed(), Feed()
    for one in (feed, mirror):
        one.quote(0, 100, 101)
    at = 0.0
    for wait, side, lots in trades:
        at += wait
        feed.trade(at, side, lots)
        mirror.trade(at, -side, lots)
    assert -1.0 <= feed.pressure(at) <= 1.0
    assert feed.pressure(at) == -mirror.pressure(at)
    assert abs(feed.pressure(at + 200)) <= abs(feed.pressure(at + 100))


def test_one_sided_trading_is_full_pressure_and_dies_away() -> None:
    feed = Feed(flow_s=5.0, volatility_s=60.0)
    feed.quote(0, 100, 101)
    feed.trade(0, 1, 10)
    assert feed.pressure(0) == feed.pressure(29) == 0.0  # what is usual is not known yet
    for k in range(1, 120):
        feed.trade(k, 1 if k >= 110 else (1 if k % 2 else -1), 10)
    assert feed.pressure(119) == 1.0
    assert 0.0 < feed.pressure(300) < 0.3


def test_a_silence_begins_everything_anew() -> None:
    feed = Feed()
    feed.quote(0, 100, 101, 30, 10)
    feed.quote(2, 140, 141, 30, 10)
    feed.trade(2, 1, 100)
    assert feed.m.variance > 0.0
    feed.quote(2 + flow.SILENCE_NS / SECOND_NS + 1, 500, 501, 10, 10)
    assert feed.m.variance == feed.m.leaning == feed.m.bought == feed.m.traded == 0.0
    assert feed.m.sample_ticks == 500.5


def test_trades_before_the_first_quote_say_nothing() -> None:
    feed = Feed()
    feed.trade(0, 1, 100)
    assert feed.m.traded == 0.0 and feed.pressure(1) == 0.0


def test_depth_leans_over_all_its_levels() -> None:
    feed = Feed()
    feed.book.depth_bid_lots[:] = (10, 20, 30, 0, 0)
    feed.book.depth_ask_lots[:] = (10, 0, 0, 0, 10)
    deepening(feed.rows, feed.books)
    assert feed.m.deep == pytest.approx(40 / 80)
    feed.book.depth_bid_lots[:] = feed.book.depth_ask_lots[:] = 0
    deepening(feed.rows, feed.books)
    assert feed.m.deep == 0.0
