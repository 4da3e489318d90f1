"""The exchange behind the wire: one market for all, and for each account a simulated venue per quote asset.

Rules
-----
* Everybody sees the same recorded market; orders of customers move nobody's market and never fill each other. What
  would be a self-trade is prevented (`engine.sandbox.prevention`).
* Matching, balances, filters and fees are `engine.simulation`'s, the same as in a backtest. Fees of buys are
  taken in the coins bought (Binance), or like all others in the quote asset (`fees_in_coins=False`, Coinbase).
* An account has one wallet for all pairs (`engine.sandbox.wallet`); it starts with the same amount of each quote
  asset that is money (dollars, stablecoins, other currencies) and with nothing of the rest.
* Dislocations are laid over the market before anybody sees it (`engine.sandbox.dislocated`).
* Orders, and what customers are told of them, are `engine.sandbox.counter`'s.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts import reasons
from engine.contracts.errors import BadInput
from engine.contracts.instruments import Instrument
from engine.core.limits import Limits
from engine.core.state import new_core
from engine.markets.dislocations import Dislocation
from engine.markets.symbols import STABLES
from engine.sandbox.accounts import Account, Accounts, Order
from engine.sandbox.clock import Clock
from engine.sandbox.counter import MAX_STOPS
from engine.sandbox.desk import happen
from engine.sandbox.dislocated import Dislocated
from engine.sandbox.faults import Faults
from engine.sandbox.prevention import FairCounter
from engine.sandbox.show import BOOK_LEVELS, Levels, announce
from engine.sandbox.tape import MOST_TICKS, Tape, Trade
from engine.sandbox.ticket import OrderRefused, Ticket
from engine.sandbox.wallet import Wallet
from engine.simulation.venue import SimulationModel, keep_apart, new_venue

__all__ = ["FILTER_REASONS", "MAX_STOPS", "Exchange", "Levels", "OrderRefused", "Ticket"]

MOST_VALUE: Final = 4 * 10**18
FILTER_REASONS: Final = (
    reasons.PRICE_FILTER, reasons.LOT_SIZE, reasons.MIN_NOTIONAL, reasons.PERCENT_PRICE, reasons.MAX_ORDERS
)  # fmt: skip
MONEY: Final = STABLES | {"JPY", "TRY", "BRL", "KRW", "RUB"}


class Exchange(FairCounter):
    """Market, accounts and orders. Not thread-safe: one loop calls it."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        clock: Clock,
        accounts: int,
        cash: float,
        fees_in_coins: bool = True,
        dislocations: Sequence[Dislocation] = (),
    ) -> None:
        if any(one.kind != "spot" for one in instruments):
            raise BadInput("symbols: spot pairs are needed, not perpetuals")
        listed = [msgspec.structs.replace(one, fee_in_base=fees_in_coins) for one in instruments]
        self._model = SimulationModel(book_levels=BOOK_LEVELS)
        self._core = new_core(listed, Limits(), cash, {}, (60, 300, 3600))
        tapes = [Tape(k, one) for k, one in enumerate(listed)]
        super().__init__(clock, Faults(), tapes, self._new_venue(), self._new_venue())
        self.by_name = {tape.name: tape for tape in self.tapes}
        if len(self.by_name) != len(self.tapes):
            raise BadInput("data: a symbol is there twice (from two venues); name one with --symbols venue:PAIR")
        self.on_quote: list[Callable[[Tape], None]] = []
        self.on_trade: list[Callable[[Tape, Trade], None]] = []
        self.on_book: list[Callable[[Tape, Levels, Levels], None]] = []
        self.quotes = sorted({one.quote for one in instruments})
        self._quote_of = np.array([self.quotes.index(one.quote) for one in instruments])
        given = {name: int(self._public.head[0].cash_e8) for name in self.quotes if name in MONEY}
        self.dislocated = Dislocated(listed, dislocations)
        self.on_fill.append(self.dislocated.take)
        self.accounts = Accounts()
        for _ in range(accounts):
            self.accounts.add(Wallet(self.tapes, {name: self._new_venue() for name in self.quotes}, given))

    def _new_venue(self) -> Any:
        venue = new_venue(self._core, self._model)
        keep_apart(venue)
        return venue

    # --- the market -------------------------------------------------------------------------------

    def play(self, events: Any, time_ms: int | None = None) -> None:
        """Let recorded market events happen, shown as of the wire clock or (history) as of `time_ms`."""
        self._show(self.dislocated.shown(events), time_ms)

    def place(self, account: Account, ticket: Ticket) -> Order:
        """As at the counter; what it took of a dislocation is gone from everybody's book at once."""
        try:
            return super().place(account, ticket)
        finally:
            self._show(self.dislocated.due())

    def _show(self, events: Any, time_ms: int | None = None) -> None:
        happen(self._public, events)
        now = self.clock.now_ms() if time_ms is None else time_ms
        announce(self, events, now)
        for quote, part in self._by_quote(events):
            for account in self.accounts.all:
                self._happen(account, quote, part)

    def _by_quote(self, events: Any) -> list[tuple[str, Any]]:
        """The events by quote asset, in their order where one venue may pay for what happens at another."""
        if not len(events):  # nothing of a dislocation is due
            return []
        if len(self.quotes) == 1:
            return [(self.quotes[0], events)]
        events = events[events["instrument"] < len(self.tapes)]
        numbers = self._quote_of[events["instrument"]]
        if all(sum(not self._is_idle(one, quote) for quote in self.quotes) < 2 for one in self.accounts.all):
            return [(self.quotes[k], events[numbers == k]) for k in np.unique(numbers).tolist()]
        cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(events)]
        return [(self.quotes[numbers[start]], events[start:end]) for start, end in itertools.pairwise(cuts)]

    # --- balances and filters ---------------------------------------------------------------------------------

    def deposit(self, account: Account, asset: str, amount_e8: int) -> None:
        """Add to a balance (or, negative, take from it). Raises BadInput for an unknown asset."""
        account.wallet.add(asset, amount_e8)

    def change_filters(self, tape: Tape, min_notional_e8: int | None, min_lots: int | None) -> None:
        """New minimums for a symbol at once, as exchanges do without notice (X6)."""
        customers = [venue for account in self.accounts.all for venue in account.wallet.venues.values()]
        for venue in (self._public, self._probe, *customers):
            row = venue.instruments[tape.index]
            row.min_notional_e8 = row.min_notional_e8 if min_notional_e8 is None else min_notional_e8
            row.min_lots = row.min_lots if min_lots is None else min_lots

    def filters(self, tape: Tape) -> Any:
        """The filters in force: a row of `engine.core.state.INSTRUMENT`."""
        return self._public.instruments[tape.index]

    def max_price_ticks(self, tape: Tape) -> int:
        """Highest price an order may carry."""
        return min(MOST_TICKS, tape.ticks_for(int(self.filters(tape).max_lots), MOST_VALUE))
