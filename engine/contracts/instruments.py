"""What can be traded, and the venue's rules for it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Literal

import msgspec

from engine.contracts.errors import BadInput

E8 = 100_000_000


class Instrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One tradable symbol of one venue.

    Sizes are in the units the venue uses: `tick_size` quote units per base unit, `lot_size` and the
    quantity bounds in contracts (spot: base units), `min_notional` quote units, fees and the
    maintenance margin rate as fractions (0.001 = 0.1 %), the price band as multiples of the mid.
    """

    symbol: str
    venue: str
    base: str
    quote: str
    kind: Literal["spot", "perp"] = "spot"
    tick_size: Decimal
    lot_size: Decimal
    min_qty: Decimal
    max_qty: Decimal
    min_notional: Decimal = Decimal(5)
    band_up: Decimal = Decimal("1.2")
    band_down: Decimal = Decimal("0.8")
    contract_size: Decimal = Decimal(1)
    maker_fee: Decimal = Decimal("0.001")
    taker_fee: Decimal = Decimal("0.001")
    maintenance_margin_rate: Decimal = Decimal("0.01")
    max_leverage: int = 1
    cluster: str = "alt"
    fee_in_base: bool = False

    def __post_init__(self) -> None:
        for field in ("tick_size", "lot_size", "min_qty", "max_qty", "contract_size"):
            value = getattr(self, field)
            if not (value.is_finite() and value > 0):
                raise BadInput(f"{self.symbol}: {field} must be a positive number, not {value}")
        if self.min_qty > self.max_qty:
            raise BadInput(f"{self.symbol}: min_qty {self.min_qty} is above max_qty {self.max_qty}")
        for field in ("maker_fee", "taker_fee"):
            value = getattr(self, field)
            if not (value.is_finite() and Decimal("-0.01") < value < Decimal("0.05")):
                raise BadInput(f"{self.symbol}: {field} {value} is not a fraction (0.001 means 0.1 %)")
        if not Decimal(0) < self.band_down < 1 < self.band_up:
            raise BadInput(f"{self.symbol}: the price band must satisfy 0 < band_down < 1 < band_up")
        if not 1 <= self.max_leverage <= 150:
            raise BadInput(f"{self.symbol}: max_leverage {self.max_leverage} is outside 1..150")

    @property
    def lot_base_e8(self) -> int:
        """Base units in one lot, in 1e-8 base units. Raises BadInput where a lot is finer than 1e-8."""
        units = Fraction(self.lot_size) * Fraction(self.contract_size) * E8
        if units.denominator != 1:
            raise BadInput(f"{self.symbol}: lot_size {self.lot_size} is finer than 1e-8 base units")
        return units.numerator

    @property
    def tick_lot_e8(self) -> Fraction:
        """Value of one tick times one lot in 1e-8 quote units, exact."""
        return Fraction(self.tick_size) * Fraction(self.lot_size) * Fraction(self.contract_size) * E8

    def price(self, ticks: int) -> Decimal:
        """Price in quote units of an integer tick count."""
        return ticks * self.tick_size

    def quantity(self, lots: int) -> Decimal:
        """Quantity in venue units of an integer lot count."""
        return lots * self.lot_size
