"""Integer money: the only place where ticks x lots become 1e-8 USD, each with a named rounding."""

from __future__ import annotations

from typing import Any

from engine.core.compile import kernel

RATE = 100_000_000  # fees are 1e-8 fractions


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
    """Fee (or, negative, rebate) on a value, rounded against us."""
    return -((-value_e8 * rate_e8) // RATE)


@kernel
def share_up(amount: int, part: int, whole: int) -> int:
    """``amount * part / whole`` rounded up, without leaving 64 bits for amounts below 9e18 / part.

    Exact for part == whole, so that the last share empties the amount.
    """
    if part >= whole:
        return amount
    quotient = amount // whole
    rest = amount - quotient * whole
    return quotient * part + -((-rest * part) // whole)
