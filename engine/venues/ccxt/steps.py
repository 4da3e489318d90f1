"""ccxt's numbers as exact counts of ticks or lots, and back.

ccxt hands out floats made of the venue's decimals: the shortest text of such a float is the venue's decimal again
(up to 15 digits), so no accuracy is lost on the way.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Final

from engine.venues.binance.decimals import MAX_TICKS
from engine.venues.undecodable import Undecodable, shown

_CACHED: Final = 8192
Number = float | int | str


def decimal_of(value: Number, what: str) -> Decimal:
    """The venue's decimal behind a number. Raises Undecodable naming what it is."""
    if isinstance(value, float) and not isfinite(value):
        raise Undecodable(f"{what} {value} is no number")
    try:
        return Decimal(str(value))
    except ArithmeticError:
        raise Undecodable(f"{what} {shown(value)!r} is no number") from None


class Steps:
    """Whole steps (ticks, lots) of one quantity of one symbol."""

    def __init__(self, what: str, step: Decimal) -> None:
        self._what, self._step = what, step
        self._whole: dict[Number, int] = {}

    def exact(self, value: Number) -> int:
        """The count; raises Undecodable where the value lies between two steps or is absurd."""
        count = self._whole.get(value)
        if count is None:
            parts = self._parts(value)
            if parts.denominator != 1:
                raise Undecodable(
                    f"{self._what} {shown(value)} is not a whole number of steps of {self._step}: the venue changed "
                    "its rules; reload the instruments"
                )
            if len(self._whole) >= _CACHED:
                self._whole.clear()
            count = self._whole[value] = int(parts)
        return count

    def nearest(self, value: Number) -> int:
        """The nearest count, halves upwards: computed prices (marks), liquidations."""
        return int(self._parts(value) + Fraction(1, 2))

    def down(self, value: Number) -> int:
        """Whole steps in a size other people show; never nothing where there is something."""
        parts = self._parts(value)
        return max(int(parts), int(parts > 0))

    def text(self, count: int) -> str:
        """A count as the venue wants to read it."""
        return format(count * self._step, "f")

    def _parts(self, value: Number) -> Fraction:
        parts = Fraction(decimal_of(value, self._what)) / Fraction(self._step)
        if not 0 <= parts <= MAX_TICKS:
            raise Undecodable(f"{self._what} {shown(value)} is absurd; steps are {self._step}")
        return parts
