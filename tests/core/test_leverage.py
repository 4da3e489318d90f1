"""Leverage follows from the stop: liquidation lies behind it, and more leverage never makes a position larger."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import Desk
from streams import perp

from engine.core import leverage
from engine.core.compile import kernel
from engine.core.sizing import lots_for


@kernel(entry=True)
def chosen(s: Any, side: int, ticks: int, stop: int, cap: int, buffer: float, share: float, found: Any) -> None:
    """`found`: the most leverage allowed, the least that pays, and the lots at the most, the least and one below it."""
    most = leverage.most_leverage(s, 0, side, ticks, stop, cap, buffer)
    found[:] = 0
    if most == 0:
        return
    least = leverage.least_leverage(s, 0, side, ticks, stop, share, most)
    found[0], found[1] = most, least
    found[2] = lots_for(s, 0, side, ticks, stop, most, share)
    found[3] = lots_for(s, 0, side, ticks, stop, least, share)
    found[4] = lots_for(s, 0, side, ticks, stop, least - 1, share) if least > 1 else -1


def choose(desk: Desk, side: int, ticks: int, distance: int, cap: int, buffer: float, share: float = 1.0) -> list[int]:
    found = np.zeros(5, np.int64)
    chosen(desk.state, side, ticks, ticks - side * distance, cap, buffer, share, found)
    return [int(k) for k in found]


def desk_of(rate: str = "0.01", most: int = 20, **limits: float) -> Desk:
    wide = {"order_notional_usd": 5000.0, "instrument_exposure_usd": 5000.0, "exposure_usd": 5000.0, "max_leverage": 20}
    made = Desk([perp("PPP", maintenance_margin_rate=Decimal(rate), max_leverage=most)], {}, **(wide | limits))
    made.quote(0, 9_999, 10_001)
    return made


@settings(max_examples=150, deadline=None)
@given(
    side=st.sampled_from([-1, 1]), distance=st.integers(1, 4_000), cap=st.integers(1, 20), most=st.integers(1, 150),
    rate=st.sampled_from(["0.004", "0.01", "0.05", "0.1"]), buffer=st.floats(0, 5), account=st.integers(1, 20),
    better=st.integers(0, 200),
)  # fmt: skip
def test_liquidation_never_lies_before_the_stop(
    side: int, distance: int, cap: int, most: int, rate: str, buffer: float, account: int, better: int
) -> None:
    """At the price it was chosen at, and at every better one the entry may fill at."""
    desk = desk_of(rate, most, max_leverage=float(account))
    chosen_most, least, *_ = choose(desk, side, 10_000, distance, cap, buffer)
    assert chosen_most <= min(cap, most, account) and least <= chosen_most
    m = float(rate)
    for level in range(1, chosen_most + 1):
        for filled in (10_000, 10_000 - side * min(better, distance - 1)):
            gone = filled * (1 - side / level) / (1 - side * m)
            assert (gone - (10_000 - side * distance)) * side <= 1e-6
        gone = 10_000 * (1 - side / level) / (1 - side * m)
        assert (10_000 - gone) * side >= distance * (1 + max(buffer, 0.5)) - 1e-6
    if chosen_most < min(cap, most, account):  # the next one would have been too near
        gone = 10_000 * (1 - side / (chosen_most + 1)) / (1 - side * m)
        assert (10_000 - gone) * side < distance * (1 + max(buffer, 0.5)) + 1e-6


def test_the_least_leverage_that_pays_is_taken() -> None:
    desk = desk_of()
    # $10 at a stop of 0.5 % and what slippage and fees add: about $1,300; $780 are free above what is kept back
    most, least, at_most, at_least, below = choose(desk, 1, 10_000, 50, 20, 0.5)
    assert (most, least) == (20, 3)
    assert at_most == at_least > below


def test_a_wide_stop_needs_no_leverage_and_gets_none() -> None:
    most, least, at_most, at_least, _ = choose(desk_of(), -1, 10_000, 1_000, 20, 0.5)
    assert least == 1 and at_least == at_most > 0
    assert most == 6  # short: 10,000 (1 + 1/6) / 1.01 is 1,551 away; at 7 it is 1,315, less than 1,500


def test_nothing_fits_where_even_one_is_liquidated_before_the_stop() -> None:
    assert choose(desk_of(rate="0.1"), -1, 10_000, 8_000, 20, 0.5)[0] == 0
