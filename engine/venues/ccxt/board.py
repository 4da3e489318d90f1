"""The instruments of one venue, by our number and by ccxt's symbol."""

from __future__ import annotations

from collections.abc import Sequence

from engine.contracts.errors import BadInput
from engine.contracts.instruments import Instrument
from engine.venues.ccxt.steps import Steps


class Listing:
    """One instrument with its scales. `instrument` is replaced when the venue changes a rule."""

    def __init__(self, number: int, instrument: Instrument) -> None:
        self.number = number
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.prices = Steps(f"{self.symbol}: price", instrument.tick_size)
        self.lots = Steps(f"{self.symbol}: quantity", instrument.lot_size)


class Board:
    """What is traded. Before `bind` the numbers are those of `load`'s answer."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.by_number: dict[int, Listing] = {}
        self.by_symbol: dict[str, Listing] = {}

    def bind(self, instruments: Sequence[Instrument]) -> list[Listing]:
        """Take this venue's among the engine's instruments, under the engine's numbers."""
        found = [Listing(number, one) for number, one in enumerate(instruments) if one.venue == self.venue]
        wanted = {listing.number: listing.instrument for listing in found}
        if {number: listing.instrument for number, listing in self.by_number.items()} != wanted:
            self.by_number = {listing.number: listing for listing in found}
            self.by_symbol = {listing.symbol: listing for listing in found}
        return list(self.by_number.values())

    def at(self, number: int) -> Listing:
        """Raises BadInput for an instrument of another venue."""
        listing = self.by_number.get(number)
        if listing is None:
            raise BadInput(f"instrument {number} is not one of {self.venue}'s: {', '.join(self.by_symbol) or 'none'}")
        return listing
