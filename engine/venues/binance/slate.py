"""What one message is decoded against and onto."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from engine.contracts.errors import BadInput
from engine.contracts.instruments import Instrument
from engine.venues.binance.asides import Aside
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.decimals import Grid, Sizes
from engine.venues.sheet import Sheet
from engine.venues.undecodable import Undecodable, shown

_NAMES: Final = 64


class Market:
    """One instrument as the codec needs it: `lots` reads our quantities, `sizes` everybody's. The last two fields
    remember the funding due next."""

    __slots__ = ("base", "funding_ms", "lots", "number", "prices", "quote", "rate_e12", "sizes", "symbol")

    def __init__(self, number: int, instrument: Instrument) -> None:
        self.number = number
        self.symbol = venue_symbol(instrument)
        self.base = instrument.base
        self.quote = instrument.quote
        self.prices = Grid(self.symbol, "price", "tick", instrument.tick_size, least=1)
        self.lots = Grid(self.symbol, "quantity", "lot", instrument.lot_size, least=0)
        self.sizes = Sizes(self.symbol, "size", "lot", instrument.lot_size, least=0)
        self.funding_ms = 0
        self.rate_e12 = 0


def venue_symbol(instrument: Instrument) -> str:
    """Binance's spelling: base and quote without anything between them."""
    return f"{instrument.base}{instrument.quote}".upper()


class Slate:
    """Instruments and ids to read with; a sheet of records, asides and counts to write on."""

    __slots__ = ("algo_children", "asides", "client_ids", "ignored", "markets", "sheet")

    def __init__(self, instruments: Sequence[Instrument], client_ids: ClientIds, venue: str | None) -> None:
        self.markets: dict[str, Market] = {}
        for number, instrument in enumerate(instruments):
            if venue is not None and instrument.venue != venue:
                continue
            symbol = venue_symbol(instrument)
            if symbol in self.markets:
                raise BadInput(f"{symbol} is listed twice; one codec reads one venue: name it with venue=")
            self.markets[symbol] = Market(number, instrument)
        self.client_ids = client_ids
        self.sheet = Sheet()
        self.asides: list[Aside] = []
        self.ignored: Counter[str] = Counter()
        self.algo_children: dict[int, int] = {}  # order id of a triggered stop -> our id of the algo order

    def market(self, symbol: str) -> Market:
        """The instrument of a venue symbol. Raises Undecodable for one we do not trade."""
        found = self.markets.get(symbol)
        if found is None:
            raise Undecodable(f"symbol {shown(symbol)!r} is not one of the {len(self.markets)} instruments loaded")
        return found

    def ignore(self, name: str) -> None:
        """Count a message that is understood to be of no interest, or of a type nobody taught us."""
        name = shown(name)
        self.ignored[name if name in self.ignored or len(self.ignored) < _NAMES else "(other)"] += 1
