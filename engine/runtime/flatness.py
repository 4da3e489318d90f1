"""Is a venue flat? Its own answers say so, never our books alone.

Rules
-----
* Orders of ours must be gone from all of the venue's books, and from ours: one in doubt may still fill.
* A position of ours is open as far as the venue has it *and* our fills say that it is ours: what a person closed by
  hand is closed, what a person opened is foreign. Told, and left alone.
* Where something is left there that our fills do not explain, the venue's list of our trades is read before it counts
  as foreign: a fill nobody heard of is ours.
* Too small for the venue to sell (spot) is dust: told, and flat.
* An answer that does not come is no answer; whatever is raised here means "not known".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from engine.contracts.instruments import Instrument
from engine.core import life
from engine.core.state import Core
from engine.store.emergency_file import VenueProgress
from engine.venues.port import OpenOrder, Position, Venue, Wallet

TRADES_BACK_S: Final = 600.0
"""How far back our trades are read where something is left unexplained."""


class Answers(NamedTuple):
    """What a venue said, all of it asked for at the same time."""

    orders: Sequence[OpenOrder]
    positions: Sequence[Position]
    wallets: Sequence[Wallet]


class Books(NamedTuple):
    """What our fills and orders say about one venue."""

    core: Core
    venue: str

    @property
    def instruments(self) -> list[tuple[int, Instrument]]:
        """Those of the venue, with their numbers."""
        return [(i, one) for i, one in enumerate(self.core.instruments) if one.venue == self.venue]

    def lots(self, i: int) -> int:
        """Our position, signed, and whole lots of its coin in a pot."""
        in_pot = int(self.core.state.pots[i].qty_e8) // self.core.instruments[i].lot_base_e8
        return int(self.core.state.positions[i].qty_lots) + in_pot

    @property
    def working(self) -> int:
        """Our orders that may still fill, those in doubt among them."""
        orders = self.core.state.orders
        rows = orders[(orders["status"] != life.FREE) & (orders["status"] < life.FIRST_DONE)]
        return sum(self.core.instruments[int(i)].venue == self.venue for i in rows["instrument"])

    @property
    def is_closed(self) -> bool:
        """Nothing works, and no position is more than dust."""
        return self.working == 0 and all(
            self.lots(i) == 0 or self.is_dust(i, self.lots(i)) for i, _ in self.instruments
        )

    def is_dust(self, i: int, lots: int) -> bool:
        """Spot: less than the venue takes in an order."""
        row, lots = self.core.state.instruments[i], abs(lots)
        if row.is_perp:
            return False
        mark = int(self.core.state.positions[i].mark_ticks) or int(self.core.state.books[i].bid_ticks)
        value_e8 = mark * lots * int(row.value_num) // int(row.value_den)
        return lots < int(row.min_lots) or 0 < value_e8 < int(row.min_notional_e8)

    def held(self) -> tuple[str, ...]:
        """Our positions, in words."""
        return tuple(_words(one, self.lots(i)) for i, one in self.instruments if self.lots(i))


async def look(venue: Venue, core: Core, since_ns: int, before: VenueProgress | None = None) -> VenueProgress:
    """Ask the venue and judge; `before` is what was seen last. Raises KeelError where it cannot be asked; nothing is
    known then."""
    orders, positions, wallets = await asyncio.gather(
        venue.account.open_orders(), venue.account.positions(), venue.account.wallets()
    )
    answers, books = Answers(orders, positions, wallets), Books(core, venue.name)
    seen = judge(books, answers)
    is_known = before is not None and before.flat and before.foreign == seen.foreign
    if not seen.flat or not seen.foreign or is_known:
        return seen
    if await venue.account.fills_since(since_ns - int(TRADES_BACK_S * 1e9)):
        words = "fills nobody had heard of are being booked"
        return VenueProgress(venue=venue.name, flat=None, foreign=seen.foreign, words=words)
    return seen


def judge(books: Books, answers: Answers) -> VenueProgress:
    """What the answers mean beside our books."""
    at_venue = {one.instrument: one.qty_lots for one in answers.positions}
    coins = {one.asset: one.free + one.locked for one in answers.wallets}
    still: list[str] = []
    foreign: list[str] = []
    dust: list[str] = []
    for i, one in books.instruments:
        ours = books.lots(i)
        there = at_venue.get(i, 0) if one.kind == "perp" else _coins(one, coins)
        if there == 0:
            continue
        if ours == 0:
            if not books.is_dust(i, there):
                foreign.append(_words(one, there))
            continue
        left = there if one.kind == "perp" else min(ours, there)
        (dust if books.is_dust(i, left) else still).append(_words(one, left))
    mine = [one for one in answers.orders if one.client_id is not None]
    foreign += [_order_words(books.core, one) for one in answers.orders if one.client_id is None]
    working = books.working
    return VenueProgress(
        venue=books.venue, flat=not still and not mine and not working, orders=max(len(mine), working),
        positions=tuple(still), foreign=tuple(foreign), dust=tuple(dust), words=_doubt(len(mine), working),
    )  # fmt: skip


def _doubt(at_venue: int, working: int) -> str:
    if working > at_venue:
        return f"{working - at_venue} orders the venue has not answered for yet"
    return f"{at_venue - working} orders there that we had taken for done" if at_venue > working else ""


def _coins(one: Instrument, coins: dict[str, Decimal]) -> int:
    return int(coins.get(one.base, Decimal(0)) / one.lot_size)


def _words(one: Instrument, lots: int) -> str:
    return f"{one.quantity(lots).normalize():f} {one.symbol}"


def _order_words(core: Core, order: OpenOrder) -> str:
    one = core.instruments[order.instrument]
    return f"order {order.client_text or order.venue_order_id} of {_words(one, order.qty_lots - order.filled_lots)}"
