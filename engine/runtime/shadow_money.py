"""Exact money for the invariant monitor: written apart from `engine.core.money`, in Python's own integers.

All amounts are integers of 1e-8 USD (`_e8`), prices ticks, quantities lots. Rounding is always against us.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from engine.contracts.instruments import E8, Instrument
from engine.core.limits import BOUNDS, SCALE
from engine.core.state import CASH_ASSETS

NAMES: Final = tuple(name.replace("_usd", "_e8") for name in BOUNDS)
"""The limits, in the order LIMIT records count them."""


def up(value: Fraction) -> int:
    """The next integer that is not below."""
    return -(-value.numerator // value.denominator)


def share(amount: int, part: int, whole: int) -> int:
    """`amount * part / whole`, rounded up; all of it where the part is the whole or more."""
    return amount if part >= whole else -(-amount * part // whole)


def fee(value_e8: int, rate_e8: int) -> int:
    """Fee on a value, rounded up."""
    return -(-value_e8 * rate_e8 // E8)


def per_cent(amount_e8: int, pct: int) -> int:
    """`pct` (1e-4 per cent) of an amount as limits are kept: in steps of 1e-4 USD, rounded down."""
    return (amount_e8 // SCALE) * pct // 100


@dataclass(slots=True)
class Terms:
    """What an instrument's definition and its venue's FILTER records say."""

    instrument: Instrument
    wallet: int
    min_notional_e8: int
    taker_e8: int
    changed_fee: bool = False

    @property
    def is_perp(self) -> bool:
        return self.instrument.kind == "perp"

    @property
    def counts_as_cash(self) -> bool:
        return self.instrument.quote in CASH_ASSETS

    def paid(self, ticks: int, lots: int) -> int:
        """Value rounded up."""
        return up(self.instrument.tick_lot_e8 * ticks * lots)

    def received(self, ticks: int, lots: int) -> int:
        """Value rounded down."""
        value = self.instrument.tick_lot_e8 * ticks * lots
        return value.numerator // value.denominator

    def traded(self, side: int, ticks: int, lots: int) -> int:
        """What a fill on that side is worth to the books."""
        return self.paid(ticks, lots) if side > 0 else self.received(ticks, lots)

    def entry_cost(self, side: int, ticks: int, lots: int, leverage: int) -> int:
        """Cash an entry takes at most: value or margin, and fees."""
        value = self.paid(ticks, lots)
        one_fee = max(fee(value, self.taker_e8), 0)
        if self.is_perp:
            return -(-value // max(leverage, 1)) + 2 * one_fee
        return value + one_fee if side > 0 else one_fee

    def stopped_at(self, stop_ticks: int, side: int, slippage: int) -> int:
        """Where the stop of a position on that side is assumed to fill."""
        return max(stop_ticks - side * fee(stop_ticks, slippage), 1)

    def loss_at_stop(self, side: int, ticks: int, lots: int, stop_ticks: int, slippage: int) -> int:
        """Loss of an entry at `ticks` that is stopped out: price, slippage and both fees."""
        out = self.stopped_at(stop_ticks, side, slippage)
        kept = lots
        if self.instrument.fee_in_base and side > 0 and not self.is_perp:
            kept -= max(fee(lots, self.taker_e8), 0)
        first, last = self.paid(ticks, lots), self.paid(out, lots)
        fees = fee(last, self.taker_e8) + (fee(first, self.taker_e8) if kept == lots else 0)
        if side > 0:
            return first - self.received(out, kept) + fees
        return last - self.received(ticks, lots) + fees

    def result_at_stop(self, lots: int, cost_e8: int, stop_ticks: int, slippage: int) -> int:
        """Open result of signed lots were the stop hit now; without a stop all they cost is at risk."""
        if lots == 0:
            return 0
        if stop_ticks <= 0:
            return -cost_e8
        side = 1 if lots > 0 else -1
        ticks = self.stopped_at(stop_ticks, side, slippage)
        value = self.received(ticks, lots) if side > 0 else self.paid(ticks, -lots)
        return side * (value - cost_e8) - fee(value, self.taker_e8)

    def open_result(self, lots: int, cost_e8: int, mark_ticks: int) -> int:
        """Open result of signed lots at a price."""
        if lots == 0:
            return 0
        return self.received(mark_ticks, lots) - cost_e8 if lots > 0 else cost_e8 - self.paid(mark_ticks, -lots)


def terms_of(instruments: Sequence[Instrument], core: Any) -> list[Terms]:
    """Terms by instrument; which wallet pays, and what FILTER records made of the rules, is the core's to say."""
    made = []
    for one, row in zip(instruments, core.state.instruments, strict=True):
        taker_e8 = int(row["taker_fee_e8"])
        is_changed = taker_e8 != int(one.taker_fee * E8)
        made.append(Terms(one, int(row["wallet"]), int(row["min_notional_e8"]), taker_e8, is_changed))
    return made
