"""The monitor's pots: coins that conversions bought, folded from fills apart from `engine.core.legs`.

Rules
-----
* What is paid is taken at its share of the pot's cost, dollars and stablecoins at par; what is bought has that cost.
* A fee taken out of what arrives is its share of the cost; against cash the difference is the result.
* A cycle's loss bound is what its note says when it begins, until the note that it ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from engine.contracts import reasons
from engine.contracts import records as r
from engine.core.state import Core
from engine.journal.plain import Row
from engine.runtime.shadow_money import share

if TYPE_CHECKING:
    from engine.runtime.shadow_books import Books

ENDS: Final = (reasons.CYCLE_DONE, reasons.CYCLE_UNWOUND, reasons.CYCLE_MISSED, reasons.EMERGENCY_EXIT)
GRACE_NS: Final = 70_000_000_000
"""A sale is tried again after 64 s at the latest."""


@dataclass(slots=True)
class Pot:
    """Coins and what they cost."""

    qty_e8: int = 0
    cost_e8: int = 0


@dataclass(slots=True)
class Place:
    """Where one side of a pair lies: a pot, the cash (None, True), or nowhere (None, False)."""

    asset: str
    pot: Pot | None
    is_cash: bool


@dataclass(slots=True)
class Pots:
    """Made by `pots_of`."""

    pots: list[Pot]
    bases: list[Place]
    quotes: list[Place]
    risk_e8: int = 0
    held_ns: dict[int, int] = field(default_factory=dict)

    @property
    def cost_e8(self) -> int:
        return sum(one.cost_e8 for one in self.pots)

    @property
    def is_empty(self) -> bool:
        return all(one.qty_e8 == 0 for one in self.pots)

    def is_conversion(self, books: Books, row: Row, role: int | None) -> bool:
        """Whether a fill of an order of that role (None: of no order of ours) is one."""
        i = row.instrument
        if role is not None:
            return role == r.ROLE_LEG
        if books.terms[i].is_perp:
            return False
        if not books.terms[i].counts_as_cash:
            return True
        enough = self.pots[i].qty_e8 >= row.w2 * books.terms[i].instrument.lot_base_e8
        return row.side < 0 and books.held[i].lots < row.w2 and enough

    def reserve_e8(self, books: Books, row: Row) -> int:
        """Cash a leg takes at most."""
        i = row.instrument
        if row.side > 0:
            return books.terms[i].entry_cost(1, row.w1, row.w2, 1) if self.quotes[i].is_cash else 0
        return row.w2 * books.terms[i].instrument.lot_base_e8 if self.bases[i].is_cash else 0

    def convert(self, books: Books, row: Row) -> None:
        """Book a fill."""
        i = row.instrument
        units = row.w2 * books.terms[i].instrument.lot_base_e8
        value = books.terms[i].traded(row.side, row.w1, row.w2)
        if row.side > 0:
            source, target, paid, got = self.quotes[i], self.bases[i], value, units
        else:
            source, target, paid, got = self.bases[i], self.quotes[i], units, value
        is_of_target = bool(row.bits & r.FEE_IN_BASE) == (row.side > 0)
        cost = self._take(books, row, source, paid)
        if not is_of_target and row.w3:
            books.totals.fees_e8 += self._take(books, row, source, row.w3)
        self._put(books, row, target, got, row.w3 if is_of_target else 0, cost)

    def _take(self, books: Books, row: Row, place: Place, amount: int) -> int:
        books.balances[place.asset] -= amount
        if place.is_cash:
            books.purses[books.terms[row.instrument].wallet].cash_e8 -= amount
            return amount
        held = place.pot.qty_e8 if place.pot is not None else 0
        if amount > held:
            books.tell("OVERFILL", row.instrument, row.w0, f"{amount} of {place.asset} were sold, {held} were there")
        if place.pot is None:
            return 0
        cost = share(place.pot.cost_e8, amount, held) if amount > 0 else 0
        place.pot.qty_e8 -= min(amount, held)
        place.pot.cost_e8 -= cost
        return cost

    def _put(self, books: Books, row: Row, place: Place, amount: int, fee: int, cost: int) -> None:
        books.balances[place.asset] += amount - fee
        if place.is_cash:
            books.purses[books.terms[row.instrument].wallet].cash_e8 += amount - fee
            books.totals.gross_e8 += amount - cost
            books.totals.fees_e8 += fee
            return
        lost = share(cost, fee, amount) if fee > 0 else 0
        if place.pot is None:
            lost = cost
        else:
            place.pot.qty_e8 += amount - fee
            place.pot.cost_e8 += cost - lost
        books.totals.fees_e8 += lost

    def write_off(self, books: Books, row: Row) -> None:
        """A correction says that coins are gone."""
        place = self.bases[row.instrument]
        if place.pot is None or place.asset != books.assets[row.w0] or row.w3 >= 0:
            return
        gone = min(-row.w3, place.pot.qty_e8)
        if gone > 0:
            cost = share(place.pot.cost_e8, gone, place.pot.qty_e8)
            place.pot.qty_e8 -= gone
            place.pot.cost_e8 -= cost
            books.totals.fees_e8 += cost

    def note(self, row: Row) -> None:
        """A cycle began or ended."""
        if row.bits & r.SHADOW:
            return
        if row.reason == reasons.CYCLE_BEGUN:
            self.risk_e8 = row.w4
        elif row.reason in ENDS:
            self.risk_e8 = 0

    def open_result(self, books: Books, i: int, mark_ticks: int) -> int:
        """Open result of a pot at a price; without one it counts at cost."""
        if mark_ticks <= 0:
            return 0
        terms, pot = books.terms[i], self.pots[i]
        lots, rest = divmod(pot.qty_e8, terms.instrument.lot_base_e8)
        part = terms.received(mark_ticks, 1) * rest // terms.instrument.lot_base_e8
        return terms.received(mark_ticks, lots) + part - pot.cost_e8

    def look(self, books: Books, i: int, now_ns: int, mark_ticks: int, patience_ns: int) -> str:
        """What is wrong with a pot at `now_ns`: coins worth selling that nobody has been selling; empty: nothing."""
        terms = books.terms[i]
        lots = self.pots[i].qty_e8 // terms.instrument.lot_base_e8
        worth = terms.received(mark_ticks, lots) if mark_ticks > 0 else 0
        legs = [one for one in books.orders.values() if one.role == r.ROLE_LEG]
        if 10 * worth < 13 * terms.min_notional_e8 or any(one.is_working for one in legs):
            self.held_ns.pop(i, None)
            return ""
        since = max([self.held_ns.setdefault(i, now_ns), *(one.ended_ns for one in legs)])
        if now_ns - since <= patience_ns + GRACE_NS:
            return ""
        return f"coins worth {worth} (1e-8 USD) lie in a pot and have not been sold for {(now_ns - since) / 1e9:.0f} s"


def pots_of(core: Core) -> Pots:
    """Pots as the core has them now; which pot a pair's coins lie in is its to say."""
    pots = [Pot(int(one["qty_e8"]), int(one["cost_e8"])) for one in core.state.pots]
    bases, quotes = [], []
    for one, row in zip(core.instruments, core.state.instruments, strict=True):
        base, quote = int(row["base_home"]), int(row["quote_home"])
        bases.append(Place(one.base, pots[base] if base >= 0 else None, bool(row["base_is_cash"])))
        quotes.append(Place(one.quote, pots[quote] if quote >= 0 else None, bool(row["quote_is_cash"])))
    return Pots(pots, bases, quotes, int(core.state.cycle[0]["risk_e8"]))
