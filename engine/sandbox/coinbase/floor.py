"""The trading floor: products over shared books, customers with their portfolio, and what Coinbase knows of an order.

Rules
-----
* Every USD product has a USDC twin (and the other way round) on the same book: what happens to the one happens to
  the other, in the same call. Where both are recorded, the USD recording is played for both.
* An order keeps its `Draft`: the configuration it was sent with, its id, and when it ends by itself.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import msgspec

from engine.contracts import records as r
from engine.contracts.instruments import Instrument
from engine.core.orders import POOL
from engine.sandbox.accounts import Account, Order, Report
from engine.sandbox.clock import Clock
from engine.sandbox.coinbase.amounts import plain
from engine.sandbox.coinbase.errors import not_found
from engine.sandbox.coinbase.keys import KeyRing
from engine.sandbox.exchange import Exchange, OrderRefused, Ticket
from engine.sandbox.tape import Tape

TWINS: Final[Mapping[str, str]] = {"USD": "USDC", "USDC": "USD"}
REPEATED: Final = 3
"""Events a customer hears again who subscribes again."""
BAND: Final = {"band_up": Decimal(10), "band_down": Decimal("0.1")}
"""Coinbase lets limit prices stand far from the market (multiples of the mid)."""


@dataclass(frozen=True)
class Product:
    """What can be traded. `book` is the product whose name public messages carry: BTC-USD for BTC-USDC."""

    product_id: str
    tape: Tape
    book: str


@dataclass
class Draft:
    """What Coinbase knows of an order beyond the matching: `form` is the name of its configuration."""

    order_id: str
    client_order_id: str
    product: Product
    form: str
    configuration: dict[str, Any]
    end_ms: int = 0
    number: int = 0
    is_over_time: bool = False


Listener = Callable[[Draft, Order], None]


@dataclass
class Customer:
    """One customer: one user, one portfolio, one account at the exchange."""

    account: Account
    user_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    portfolio_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    drafts: dict[str, Draft] = field(default_factory=dict)
    by_client_id: dict[str, Draft] = field(default_factory=dict)
    by_number: dict[int, Draft] = field(default_factory=dict)
    listeners: list[Listener] = field(default_factory=list)
    recent: deque[tuple[Draft, Order]] = field(default_factory=lambda: deque(maxlen=REPEATED))
    placing: Draft | None = None
    was_heard: bool = False

    def order_of(self, draft: Draft) -> Order:
        """The order as it is now."""
        return self.account.orders[draft.number]

    def wallet_id(self, asset: str) -> str:
        """Id of the account of one currency."""
        return str(uuid.uuid5(uuid.UUID(self.portfolio_id), asset))


class Floor:
    """Products, customers and the exchange behind them."""

    def __init__(self, instruments: Sequence[Instrument], clock: Clock, customers: int, cash: float) -> None:
        listed, self._copies, self._unheard = _with_twins(instruments)
        self.exchange = Exchange(listed, clock, customers, cash, fees_in_coins=False)
        self.clock, self.faults = clock, self.exchange.faults
        names = {f"{tape.instrument.base}-{tape.instrument.quote}": tape for tape in self.exchange.tapes}
        self.products = {name: Product(name, tape, _book(name, names)) for name, tape in names.items()}
        self.ring = KeyRing(customers)
        self.customers = [Customer(account) for account in self.exchange.accounts.all]
        for customer in self.customers:
            customer.account.listeners.append(_Ear(self, customer))

    def is_revoked(self, number: int) -> bool:
        """Whether the keys of a customer are."""
        return self.customers[number].account.is_revoked

    def product(self, name: object) -> Product:
        """A product by its id. Raises HttpError 404."""
        found = self.products.get(name) if isinstance(name, str) else None
        if found is None:
            raise not_found(f'ProductID "{name}" could not be found')
        return found

    def play(self, events: Any, time_ms: int | None = None) -> None:
        """Let market events happen, for both twins."""
        for number in self._unheard:
            events = events[events["instrument"] != number]
        parts = [events]
        for number, twin in self._copies:
            copied = events[events["instrument"] == number]
            copied["instrument"] = twin
            parts.append(copied)
        self.exchange.play(r.joined(parts, r.RECORD) if len(parts) > 1 else events, time_ms)

    def place(self, customer: Customer, draft: Draft, ticket: Ticket) -> Order:
        """Send an order. Raises OrderRefused, and then leaves no trace of it."""
        customer.placing = draft
        customer.by_client_id[draft.client_order_id] = draft
        try:
            order = self.exchange.place(customer.account, ticket)
        except OrderRefused:
            del customer.by_client_id[draft.client_order_id]
            raise
        finally:
            customer.placing = None
        if draft.end_ms and order.is_open:
            wait_s = max(draft.end_ms - self.clock.now_ms(), 0) / 1000
            asyncio.get_running_loop().call_later(wait_s, self._end, customer, draft)
        return order

    def _end(self, customer: Customer, draft: Draft) -> None:
        """The time of a good-until order is over."""
        order = customer.order_of(draft)
        if order.is_open:
            draft.is_over_time = True
            self.exchange.cancel(customer.account, order, "")

    def hold_e8(self, customer: Customer, order: Order) -> int:
        """What an open order holds: quote of a buy, base of a sell, in 1e-8."""
        if not order.is_open:
            return 0
        tape = self.exchange.tapes[order.symbol]
        if order.side < 0:
            return order.left_lots * tape.lot_e8
        if order.reserved_e8:
            return order.reserved_e8
        venue = customer.account.wallet.venues[tape.instrument.quote]
        slot = venue.orders[order.engine_id % POOL]
        return int(slot.locked_e8) if slot.client_id == order.engine_id else 0

    def draft_of(self, customer: Customer, order: Order) -> Draft:
        """What is known of an order; one made by hand gets its draft when it is first heard of."""
        draft = customer.by_number.get(order.order_id)
        if draft is not None:
            return draft
        draft = customer.placing
        if draft is None or draft.client_order_id != order.client_order_id:
            draft = self._by_hand(order)
        draft.number = order.order_id
        customer.by_number[order.order_id] = customer.drafts[draft.order_id] = draft
        return draft

    def _by_hand(self, order: Order) -> Draft:
        tape = self.exchange.tapes[order.symbol]
        product = self.products[f"{tape.instrument.base}-{tape.instrument.quote}"]
        size = {"base_size": plain(order.lots * tape.lot_e8)}
        return Draft(str(uuid.uuid4()), order.client_order_id, product, "market_market_ioc", size)


@dataclass(frozen=True)
class _Ear:
    """Hears what happens to a customer's orders and passes it on with what Coinbase knows of them."""

    floor: Floor
    customer: Customer

    def __call__(self, report: Report) -> None:
        draft = self.floor.draft_of(self.customer, report.order)
        self.customer.recent.append((draft, report.order))
        for listener in list(self.customer.listeners):
            listener(draft, report.order)


def _with_twins(instruments: Sequence[Instrument]) -> tuple[list[Instrument], list[tuple[int, int]], list[int]]:
    """All instruments; (number, its twin's number) of those whose events happen twice; those never listened to."""
    listed = [msgspec.structs.replace(one, **BAND) for one in instruments]
    places = {(one.base, one.quote): k for k, one in enumerate(listed)}
    copies: list[tuple[int, int]] = []
    unheard: list[int] = []
    for k, one in enumerate(instruments):
        twin = TWINS.get(one.quote)
        if twin is None:
            continue
        other = places.get((one.base, twin))
        if other is None:
            copies.append((k, len(listed)))
            listed.append(msgspec.structs.replace(listed[k], quote=twin, symbol=f"{one.base}/{twin}"))
        elif one.quote == "USD":
            copies.append((k, other))
            unheard.append(other)
    return listed, copies, unheard


def _book(name: str, names: Mapping[str, Tape]) -> str:
    base, _, quote = name.partition("-")
    return f"{base}-USD" if quote == "USDC" and f"{base}-USD" in names else name
