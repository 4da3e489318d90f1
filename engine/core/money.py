"""Integer money: the only place where ticks x lots become 1e-8 USD, each with a named rounding."""

from __future__ import annotations

from typing import Any

from engine.core.compile import kernel

RATE = 100_000_000  # fees are 1e-8 fractions
MOST = 4e18  # ticks x lots x value_num


@kernel
def fits(instrument: Any, ticks: int, lots: int) -> bool:
    """True where the value of lots at a price can be computed in 64 bits, with a margin."""
    return abs(float(ticks) * float(lots)) * instrument.value_num < MOST


@kernel
def value_down(instrument: Any, ticks: int, lots: int) -> int:
    """Value in 1e-8 quote units, rounded down: what we receive."""
    return (ticks * lots * instrument.value_num) // instrument.value_den


@kernel
def value_up(instrument: Any, ticks: int, lots: int) -> int:
    """Value in 1e-8 quote units, rounded up: what we pay."""
    return -((-ticks * lots * instrument.value_num) // instrument.value_den)


@kernel
def fee_up(value_e8: int, rate_e8: int) -> int:
    """Fee (or, negative, rebate) on a value, rounded against us; exact for every value that fits 64 bits."""
    whole = value_e8 // RATE
    return whole * rate_e8 - ((-(value_e8 - whole * RATE) * rate_e8) // RATE)


@kernel
def share_up(amount: int, part: int, whole: int) -> int:
    """``amount * part / whole`` rounded up (0 <= part), all of it for part >= whole.

    Multiplied bit by bit: with fine lots ``amount * part`` passes 64 bits long before its parts do.
    """
    if part >= whole:
        return amount
    quotient = amount // whole
    rest = amount - quotient * whole
    share = 0
    left = 0  # amount * (the bits of part taken so far) = share * whole + left
    for k in range(62, -1, -1):
        share *= 2
        left *= 2
        if (part >> k) & 1:
            share += quotient
            left += rest
        if left >= 2 * whole:
            share += 1
            left -= whole
        if left >= whole:
            share += 1
            left -= whole
    return share + (1 if left > 0 else 0)
