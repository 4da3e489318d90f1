"""Positions are a fold of fills: the core's integers against an independent fold in exact fractions."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import Desk, liquidation
from streams import instrument, perp

from engine.contracts.records import BALANCE, CORRECTION, FEE_IN_BASE, FILL, FORCED, FUNDING
from engine.core.compile import DISABLED
from engine.core.money import fee_up, share_up

E8 = 10**8
TICK_LOT = 10**4  # both instruments: 0.01 x 0.01 USD in 1e-8
plain_share = share_up if DISABLED else share_up.py_func
plain_fee = fee_up if DISABLED else fee_up.py_func


def ceil(value: Fraction) -> int:
    return -((-value.numerator) // value.denominator)


class Account:
    """The slow version: one instrument, exact, straight from the definitions."""

    def __init__(self, is_perp: bool) -> None:
        self.is_perp = is_perp
        self.cash = Fraction(1000 * E8)
        self.lots = 0
        self.cost = Fraction(0)
        self.gross = self.fees = self.funding = 0

    def fill(self, side: int, ticks: int, lots: int, fee: int) -> None:
        if self.lots * side >= 0:
            self._open(side, ticks, lots)
        else:
            closing = min(lots, abs(self.lots))
            self._close(side, ticks, closing)
            if lots > closing:
                self._open(side, ticks, lots - closing)
        self.cash -= fee
        self.fees += fee

    def _open(self, side: int, ticks: int, lots: int) -> None:
        value = ticks * lots * TICK_LOT
        self.cost += value
        self.lots += side * lots
        if not self.is_perp:
            self.cash -= side * value

    def _close(self, side: int, ticks: int, lots: int) -> None:
        value = ticks * lots * TICK_LOT
        cost = ceil(Fraction(self.cost) * lots / abs(self.lots))
        self.cost -= cost
        self.lots += side * lots
        self.gross += -side * (value - cost)
        self.cash += -side * (value - cost) if self.is_perp else -side * value


FILLS = st.lists(
    st.tuples(st.sampled_from([1, -1]), st.integers(50, 4000), st.integers(1, 900), st.integers(-3000, 90_000)),
    min_size=1, max_size=12,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(fills=FILLS, is_perp=st.booleans(), paid=st.integers(-(10**7), 10**7), deposit=st.integers(-(10**9), 10**10))
def test_money_is_never_lost_or_made(
    fills: list[tuple[int, int, int, int]], is_perp: bool, paid: int, deposit: int
) -> None:
    desk = Desk([perp() if is_perp else instrument()])
    desk.quote(0, 1000, 1002)
    slow = Account(is_perp)
    for side, ticks, lots, fee in fills:
        if not is_perp and side < 0:
            lots = min(lots, slow.lots)  # spot cannot be sold short
            if lots == 0:
                continue
        desk.say(FILL, side=side, price_ticks=ticks, qty_lots=lots, fee_e8=fee, bits=FORCED)
        slow.fill(side, ticks, lots, fee)
        head, p = desk.head, desk.state.positions[0]
        assert (p.qty_lots, p.cost_e8) == (slow.lots, slow.cost)
        assert (head.cash_e8, head.gross_e8, head.fees_e8) == (slow.cash, slow.gross, slow.fees)
        spot_cost = 0 if is_perp else p.cost_e8
        assert head.cash_e8 + spot_cost == head.deposits_e8 + head.gross_e8 - head.fees_e8 + head.funding_e8
        mark = 1000 if p.qty_lots > 0 else 1002
        assert head.unrealised_e8 == mark * TICK_LOT * p.qty_lots - (1 if p.qty_lots > 0 else -1) * p.cost_e8
    before = desk.head.cash_e8
    desk.say(FUNDING, amount_e8=paid)
    desk.say(BALANCE, 65535, index=desk.core.assets.index("USDT"), amount_e8=deposit)
    head = desk.head
    assert head.cash_e8 == before + paid + deposit and head.funding_e8 == paid
    assert head.deposits_e8 == 1000 * E8 + deposit


@settings(max_examples=60, deadline=None)
@given(lots=st.lists(st.integers(1, 40), min_size=1, max_size=6), rate=st.sampled_from([0, 10**5, 6 * 10**5, 2000]))
def test_fees_in_base_break_whole_lots_but_never_coins(lots: list[int], rate: int) -> None:
    desk = Desk([instrument(fee_in_base=True)])
    desk.quote(0, 1000, 1002)
    coins = 0
    for count in lots:
        fee = -(-count * 10**6 * rate // E8)  # a lot is 1e6 of 1e-8 base units
        coins += count * 10**6 - fee
        desk.say(FILL, side=1, price_ticks=1000, qty_lots=count, fee_e8=fee, bits=FORCED | FEE_IN_BASE)
    p = desk.state.positions[0]
    assert p.qty_lots == coins // 10**6, "every whole lot we hold can be sold, and not one more"
    assert p.qty_lots * 10**6 + p.dust_e8 == coins
    assert desk.state.balances[desk.core.assets.index("AAA")] == coins
    assert desk.head.cash_e8 + p.cost_e8 == desk.head.deposits_e8 - desk.head.fees_e8


def test_a_deposit_is_not_profit_and_a_correction_is() -> None:
    desk = Desk([instrument()])
    desk.quote(0, 1000, 1002)
    usdt = desk.core.assets.index("USDT")
    desk.say(BALANCE, 65535, index=usdt, amount_e8=500 * E8)
    assert desk.head.cash_e8 - desk.head.day_start_e8 == 0 and desk.head.peak_e8 == 1500 * E8
    desk.say(BALANCE, 65535, index=usdt, amount_e8=-700 * E8)
    assert desk.head.cash_e8 - desk.head.day_start_e8 == 0 and desk.head.peak_e8 == 800 * E8
    desk.say(BALANCE, 65535, index=usdt, amount_e8=-3 * E8, bits=CORRECTION)
    assert desk.head.cash_e8 - desk.head.day_start_e8 == -3 * E8 and desk.head.fees_e8 == 3 * E8


def test_coins_deposited_are_not_dollars() -> None:
    desk = Desk([instrument()])
    desk.quote(0, 1000, 1002)
    desk.say(BALANCE, 65535, index=desk.core.assets.index("AAA"), amount_e8=5 * E8)
    assert desk.head.cash_e8 == 1000 * E8 and desk.state.balances[desk.core.assets.index("AAA")] == 5 * E8


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("leverage", [1, 2, 3, 10, 20])
@pytest.mark.parametrize("rate", ["0.004", "0.01", "0.025"])
def test_liquidation_is_where_margin_and_loss_meet_maintenance(side: int, leverage: int, rate: str) -> None:
    """Binance's isolated formula: LP = (WB + cum - side Q EP) / (Q (MMR - side)), with WB = Q EP / L and cum = 0."""
    desk = Desk([perp(maintenance_margin_rate=Decimal(rate))])
    entry, quantity, mmr = 20_000.0, 3.0, float(rate)
    wallet = quantity * entry / leverage
    published = (wallet - side * quantity * entry) / (quantity * (mmr - side))
    found = liquidation(desk.state, 0, side, entry, leverage)
    assert math.isclose(found, published, rel_tol=1e-12, abs_tol=1e-6)
    left = wallet + side * quantity * (found - entry)
    assert math.isclose(left, quantity * found * mmr, rel_tol=1e-9, abs_tol=1e-6)


@settings(max_examples=300, deadline=None)
@given(amount=st.integers(0, 4 * 10**18), whole=st.integers(1, 2**61), part=st.integers(0, 2**61))
def test_a_share_is_exact_however_fine_the_lots(amount: int, whole: int, part: int) -> None:
    exact = amount if part >= whole else -(-amount * part // whole)
    assert int(plain_share(amount, part, whole)) == exact


@settings(max_examples=200, deadline=None)
@given(value=st.integers(0, 10**17), rate=st.integers(-(10**6), 5 * 10**6))
def test_a_fee_is_exact_and_against_us(value: int, rate: int) -> None:
    assert int(plain_fee(value, rate)) == -(-value * rate // E8)
