"""What everybody sees of one perpetual: the spot tape plus mark price and funding."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from engine.contracts.instruments import E8
from engine.sandbox.tape import Tape

FUNDING_MS: Final = 8 * 3_600_000
KEPT_RATES: Final = 1000


def places(step_e8: int) -> int:
    """Decimals of a step: 0.10 -> 1, 1 -> 0."""
    digits = f"{step_e8 % E8:08d}".rstrip("0")
    return len(digits)


def decimal(amount_e8: int, digits: int) -> str:
    """A 1e-8 integer as text with so many decimals, cut off: (123456789, 2) -> ``1.23``."""
    sign = "-" if amount_e8 < 0 else ""
    whole, rest = divmod(abs(amount_e8), E8)
    return f"{sign}{whole}.{rest:08d}"[: -(8 - digits) or None] if digits else f"{sign}{whole}"


@dataclass(slots=True)
class PerpTape(Tape):
    """Prices and quantities are written with the decimals of tick and lot. `mark_ticks` is 0 until a mark price was
    recorded: the mid stands in for it. Rates are 1e-12; `next_funding_ms` is when `rate_e12` will be paid."""

    price_places: int = 0
    quantity_places: int = 0
    mark_ticks: int = 0
    rate_e12: int = 0
    next_funding_ms: int = 0
    is_funded_by_market: bool = False
    rates: list[tuple[int, int, int]] = field(default_factory=list)
    """(time, rate, mark in ticks) of past payments."""

    def __post_init__(self) -> None:
        Tape.__post_init__(self)
        self.price_places, self.quantity_places = places(self.tick_e8), places(self.lot_e8)

    def price(self, ticks: int) -> str:
        """Price as the exchange writes it."""
        return decimal(ticks * self.tick_e8, self.price_places)

    def quantity(self, lots: int) -> str:
        """Quantity as the exchange writes it."""
        return decimal(lots * self.lot_e8, self.quantity_places)

    @property
    def mark(self) -> int:
        """The mark price in ticks: the recorded one, else the mid; 0 before the first quote."""
        return self.mark_ticks or (self.bid_ticks + self.ask_ticks) >> 1

    def paid_e8(self, side: int, ticks: int, lots: int) -> int:
        """Value of an execution in 1e-8 quote units, rounded against the customer: up for buys, down for sells."""
        worth = self.instrument.tick_lot_e8
        value = ticks * lots * worth.numerator
        return -(-value // worth.denominator) if side > 0 else value // worth.denominator

    def fund(self, rate_e12: int, mark_ticks: int, now: int, is_past: bool = False) -> None:
        """A payment happened: note it; the next one is eight hours later (one of the past moves nothing)."""
        self.rates.append((now, rate_e12, mark_ticks))
        del self.rates[:-KEPT_RATES]
        if not is_past:
            self.next_funding_ms += FUNDING_MS
