"""Perpetual rules: margin, reduce-only, funding, liquidation."""

from __future__ import annotations

from decimal import Decimal

import pytest
from exchange_desk import Desk, perp, uncompiled
from hypothesis import given
from hypothesis import strategies as st

from engine.contracts import records as r
from engine.simulation.account import funding_up


def at_market(liquidation_fee_bps: float = 50.0) -> Desk:
    desk = Desk(perp(), cash=100, liquidation_fee_bps=liquidation_fee_bps)
    desk.quote(9_999, 10_001, 10_000, 10_000)
    return desk


def test_margin_and_result_of_a_long() -> None:
    desk = at_market()
    desk.place(r.BUY, 500, leverage=10)
    assert desk.answers() == ["ack 1", "fill 1 500@10001 fee 0.250025"]
    assert desk.usd(desk.head.margin_e8) == Decimal("50.005")
    assert desk.cash == Decimal(100) - Decimal("0.250025")
    desk.quote(10_099, 10_101, 10_000, 10_000)
    desk.place(r.SELL, 200, bits=r.REDUCE_ONLY)
    assert desk.cash == Decimal("99.749975") + Decimal(200 * 98) / 10_000 - Decimal("0.10099")
    assert desk.usd(desk.head.margin_e8) == Decimal("50.005") * 300 / 500


def test_a_short_earns_when_the_price_falls_and_can_turn_round() -> None:
    desk = at_market()
    desk.place(r.SELL, 100, leverage=5)
    desk.quote(8_999, 9_001, 10_000, 10_000)
    desk.place(r.BUY, 150, leverage=2)
    assert desk.holding.qty_lots == 50 and desk.holding.leverage == 2
    assert desk.usd(desk.holding.cost_e8) == Decimal("45.005")
    assert desk.usd(desk.head.margin_e8) == Decimal("22.5025")
    assert desk.cash == Decimal(100) + Decimal("9.98") - Decimal("0.049995") - Decimal("0.0675075")


def test_adding_keeps_the_leverage_of_the_position() -> None:
    desk = at_market()
    desk.place(r.BUY, 100, leverage=10)
    desk.place(r.BUY, 100, leverage=2)
    assert desk.holding.leverage == 10
    assert desk.usd(desk.head.margin_e8) == Decimal("20.002")


def test_margin_is_locked_by_resting_limits_not_by_stops() -> None:
    desk = at_market()
    desk.limit(r.BUY, 500, 9_900, leverage=10)
    assert desk.usd(desk.head.locked_e8) == Decimal("49.5") + Decimal("0.2475")
    desk.stop(r.SELL, 500, 9_800, leverage=10)
    assert desk.usd(desk.head.locked_e8) == Decimal("49.7475")
    desk.limit(r.BUY, 600, 9_900, leverage=10)
    desk.limit(r.BUY, 100, 9_900, leverage=21)  # more than the instrument allows
    assert desk.answers() == ["ack 1", "ack 2", "reject 3 INSUFFICIENT_MARGIN", "reject 4 INSUFFICIENT_MARGIN"]
    desk.cancel(1)
    assert desk.head.locked_e8 == 0


def test_what_the_margin_cannot_bear_at_the_trigger_expires() -> None:
    desk = at_market()
    desk.stop(r.SELL, 600, 9_800, leverage=10)
    desk.place(r.BUY, 800, leverage=10)
    desk.place(r.SELL, 100, bits=r.REDUCE_ONLY)
    desk.answers()
    desk.limit(r.BUY, 280, 9_900, leverage=10)  # takes the last free margin
    desk.quote(9_798, 9_799, 1_000, 1_000)
    answers = [a.split(" fee")[0] for a in desk.answers()]
    assert answers[:3] == ["ack 4", "triggered 1", "fill 1 600@9798"]  # it only reduces: needs nothing
    desk = at_market()
    desk.stop(r.SELL, 1_500, 9_800, leverage=10)  # 1,500 x 98 / 10 is more than we have: refused
    assert desk.answers() == ["reject 1 INSUFFICIENT_MARGIN"]
    desk.stop(r.SELL, 800, 9_800, leverage=10)
    desk.limit(r.SELL, 500, 11_000, leverage=10)
    desk.quote(9_799, 9_800, 1_000, 1_000)
    # 100 - 55.275 locked = 44.725 bears 454 lots of 97.99: a tenth of 444.8746 and 0.2224373
    assert desk.answers()[2:] == ["triggered 2", "fill 2 454@9799 fee 0.2224373", "expired 2 INSUFFICIENT_MARGIN"]


def test_reduce_only_never_turns_a_position_round() -> None:
    desk = at_market()
    desk.stop(r.SELL, 100, 9_900, bits=r.REDUCE_ONLY)
    desk.place(r.BUY, 100, leverage=10)
    desk.place(r.BUY, 100, bits=r.REDUCE_ONLY)
    desk.stop(r.SELL, 100, 9_900, bits=r.REDUCE_ONLY)
    desk.stop(r.SELL, 100, 9_900, bits=r.REDUCE_ONLY)
    desk.place(r.SELL, 70, bits=r.REDUCE_ONLY)
    desk.quote(9_899, 9_901, 10_000, 10_000)
    assert [a.split(" fee")[0] for a in desk.answers()] == [
        "reject 1 REDUCE_ONLY_REJECTED", "ack 2", "fill 2 100@10001", "reject 3 REDUCE_ONLY_REJECTED", "ack 4",
        "ack 5", "ack 6", "fill 6 70@9999",
        "triggered 4", "fill 4 30@9899", "expired 4 REDUCE_ONLY_REJECTED",
        "triggered 5", "expired 5 REDUCE_ONLY_REJECTED",
    ]  # fmt: skip
    assert desk.holding.qty_lots == 0 and desk.head.margin_e8 == 0


@pytest.mark.parametrize(
    ("side", "rate_e12", "amount"),
    [
        (r.BUY, 100_000_000, "-0.02"),  # 0.01 % of 200 USD
        (r.SELL, 100_000_000, "0.02"),
        (r.BUY, -100_000_000, "0.02"),
        (r.SELL, -100_000_000, "-0.02"),
        (r.BUY, 1, "-0.00000001"),  # 2e-10 USD, rounded against us
        (r.SELL, 1, "0"),
        (r.BUY, 123_456_789, "-0.02469136"),  # to the last digit of the rate
    ],
)
def test_funding(side: int, rate_e12: int, amount: str) -> None:
    desk = at_market()
    desk.place(side, 200, leverage=10)
    before = desk.cash
    desk.answers()
    desk.happen(r.FUNDING, rate_e12=rate_e12, price_ticks=10_000)
    (paid,) = desk.records()
    assert desk.usd(paid["amount_e8"]) == Decimal(amount) == desk.cash - before
    assert (paid["kind"], paid["rate_e12"], paid["price_ticks"]) == (r.FUNDING, rate_e12, 10_000)


def test_funding_without_a_mark_uses_the_mid_and_without_a_position_nothing() -> None:
    desk = at_market()
    desk.happen(r.FUNDING, rate_e12=10**8)
    assert desk.answers() == []
    desk.place(r.BUY, 100, leverage=10)
    desk.happen(r.FUNDING, rate_e12=10**8)
    assert int(desk.records()[-1]["amount_e8"]) == -1_000_000


def test_liquidation_of_a_long() -> None:
    desk = at_market(liquidation_fee_bps=50.0)
    desk.place(r.BUY, 500, leverage=10)
    desk.stop(r.SELL, 500, 8_000, bits=r.REDUCE_ONLY)
    desk.answers()
    # 100.01 x (1 - 1/10) / (1 - 0.01) = 90.918...
    desk.quote(9_091, 9_093, 10_000, 10_000)
    assert desk.answers() == []
    desk.quote(9_090, 9_092, 10_000, 10_000)
    assert desk.answers() == ["expired 2 LIQUIDATION", "fill 0 500@9091 fee 2.500025 forced"]
    # 500 lots lost 9.10 each: 45.50 of the 50.005; the fee of 0.55 % (2.500025) fits in what is left
    assert desk.cash == Decimal(100) - Decimal("0.250025") - Decimal("45.5") - Decimal("2.500025")
    assert desk.holding.qty_lots == desk.holding.cost_e8 == desk.holding.margin_e8 == desk.head.margin_e8 == 0


@pytest.mark.parametrize("side", [r.BUY, r.SELL])
def test_a_jump_past_bankruptcy_costs_no_more_than_the_margin(side: int) -> None:
    desk = at_market()
    desk.place(side, 500, leverage=10)
    margin, before = desk.usd(desk.head.margin_e8), desk.cash
    desk.answers()
    far = 5_000 if side == r.BUY else 15_000
    desk.quote(far - 1, far + 1)
    (answer,) = desk.answers()
    # 100.01 - 10.001 = 90.009, rounded to the tick in our favour: 90.01; 99.99 + 9.999 = 109.989: 109.98
    assert answer.startswith("fill 0 500@9001 " if side == r.BUY else "fill 0 500@10998 ")
    assert before - margin <= desk.cash < before - margin + Decimal("0.000001")
    assert desk.head.margin_e8 == 0


def test_a_recorded_mark_liquidates() -> None:
    desk = at_market()
    desk.place(r.SELL, 500, leverage=10)
    desk.answers()
    desk.happen(r.MARK, price_ticks=10_889)  # 99.99 x 1.1 / 1.01 = 108.9
    assert desk.answers() == []
    desk.happen(r.MARK, price_ticks=10_890)
    assert desk.answers()[0].startswith("fill 0 500@10890")


@given(st.integers(0, 10**15), st.integers(-3 * 10**10, 3 * 10**10))
def test_funding_is_exact(value_e8: int, rate_e12: int) -> None:
    assert uncompiled(funding_up)(value_e8, rate_e12) == -(-value_e8 * rate_e12 // 10**12)
