"""Binance's decimal strings as exact integers; floats never appear.

Rules
-----
* Only plain decimals are numbers: digits with at most one point (a leading minus where a sign makes sense).
  No exponent, no NaN, no blanks, no underscores, no other alphabet's digits.
* A price, or a quantity of our own, that is not a whole number of ticks or lots is an error: the venue changed
  its filters and the instruments must be reloaded.
* Other people's quantities may be finer than today's lot (orders from before a filter change still rest): they are
  cut to whole lots, but never to nothing.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Final

from engine.venues.undecodable import Undecodable, shown

MAX_TICKS: Final = 1 << 55
"""No price or quantity has more ticks or lots than this (the same bound as the core's book)."""

_LONGEST: Final = 40
_CACHED: Final = 8192
_PLAIN: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{0,18})?", re.ASCII)


class Grid(dict[str, int]):
    """Venue text -> whole ticks (or lots): `grid["61837.63000000"] == 6183763`. A dictionary that fills itself.

    Market data repeats the same few texts, so most look-ups never parse. `least` is the smallest count allowed:
    1 for prices, 0 for quantities. Raises Undecodable naming symbol, field, text and step.
    """

    __slots__ = ("_field", "_least", "_scales", "_step", "_symbol", "_unit")

    def __init__(self, symbol: str, field: str, unit: str, step: Decimal, least: int) -> None:
        super().__init__()
        self._symbol, self._field, self._unit, self._step, self._least = symbol, field, unit, step, least
        scales = (Fraction(1, 10**places) / Fraction(step) for places in range(_LONGEST))
        self._scales = tuple((scale.numerator, scale.denominator) for scale in scales)

    def __missing__(self, text: str) -> int:
        count, rest = self._split(text)
        if rest:
            raise Undecodable(
                f"{self._symbol}: {self._field} {shown(text)} is not a whole number of {self._unit}s of "
                f"{self._step}: the venue changed its filters; reload the instruments"
            )
        if len(self) >= _CACHED:
            self.clear()
        self[text] = count
        return count

    def rounded(self, text: str, up: bool) -> int:
        """The nearest whole count on the named side, for numbers that need not lie on the grid (forced fills)."""
        count, rest = self._split(text)
        return max(count + 1 if rest and up else count, self._least)

    def nearest(self, text: str) -> int:
        """The nearest whole count, halves upwards, for numbers that are computed, not quoted (mark prices)."""
        count, rest = self._split(text)
        return count + (2 * rest >= self._scales[len(text.partition(".")[2])][1])

    def or_zero(self, text: str | None) -> int:
        """As `grid[text]`, but a missing text and any zero mean "none" (orders without a price or trigger)."""
        return self[text] if text and text.strip("0.") else 0

    def _split(self, text: str) -> tuple[int, int]:
        """Whole count and remainder (in units of the scale's denominator)."""
        whole, _, fraction = text.partition(".")
        digits = whole + fraction
        if not (digits.isdigit() and digits.isascii() and len(text) < _LONGEST):
            raise Undecodable(f"{self._symbol}: {self._field} {shown(text)!r} is not a plain decimal number")
        numerator, denominator = self._scales[len(fraction)]
        count, rest = divmod(int(digits) * numerator, denominator)
        if count > MAX_TICKS or count + (rest > 0) < self._least:
            raise Undecodable(
                f"{self._symbol}: {self._field} {shown(text)} is absurd; expected at least {self._least} and at most "
                f"2**55 {self._unit}s of {self._step}"
            )
        return count, rest


class Sizes(Grid):
    """Quantities other people show or trade: cut down to whole lots, at least one where there is anything."""

    __slots__ = ()

    def __missing__(self, text: str) -> int:
        count, rest = self._split(text)
        if len(self) >= _CACHED:
            self.clear()
        self[text] = count = count if count or not rest else 1
        return count


def signed(text: str, field: str) -> Decimal:
    """A decimal that may be negative: balances, rates, positions. Raises Undecodable naming the field."""
    if _PLAIN.fullmatch(text) is None:
        raise Undecodable(f"{field} {shown(text)!r} is not a plain decimal number")
    return Decimal(text)


def floor_of(text: str, field: str, places: int) -> int:
    """Whole units of 10**-places in a signed decimal, rounded down."""
    return int((Fraction(signed(text, field)) * 10**places) // 1)


def fee_e8(text: str, field: str) -> int:
    """A fee in 1e-8 units, rounded up (against us) where the venue is finer; a rebate is negative."""
    return -int((-Fraction(signed(text, field)) * 10**8) // 1)


def time_ns(stamp: int) -> int:
    """Exchange time in ns; the venue sends ms, or us on streams opened with timeUnit=MICROSECOND."""
    if 0 <= stamp < 10**14:
        return stamp * 1_000_000
    if stamp < 10**17 and stamp > 0:
        return stamp * 1_000
    raise Undecodable(f"time {stamp} is neither milliseconds nor microseconds since 1970")
