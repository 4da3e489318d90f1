"""Accounts of the sandbox: their memory at the simulated venue, their orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.core.memory import Flat
from engine.sandbox.api_keys import KINDS, Key, new_key
from engine.sandbox.customers import Customers, find_order
from engine.sandbox.self_trade import EXPIRE_MAKER, PreventedMatch
from engine.sandbox.wallet import Wallet


@dataclass(slots=True)
class Fill:
    """A trade of ours. `fee_e8` is in 1e-8 base units where `fee_in_base`, else in 1e-8 quote units."""

    trade_id: int
    ticks: int
    lots: int
    quote_e8: int
    fee_e8: int
    fee_in_base: bool
    is_maker: bool
    time_ms: int


@dataclass(slots=True)
class Order:
    """An order as the exchange remembers it. `order_type`, `tif`, `status` and `stp` are the exchange's own words.
    `prevented` are the self-trades it would have been part of, `prevented_lots` what it lost to them."""

    order_id: int
    engine_id: int
    symbol: int
    client_order_id: str
    side: int
    order_type: str
    tif: str
    lots: int
    ticks: int
    stop_ticks: int
    quote_order_e8: int
    time_ms: int
    status: str = "NEW"
    left_lots: int = 0
    quote_e8: int = 0
    update_ms: int = 0
    working_ms: int = -1
    fills: list[Fill] = field(default_factory=list)
    cancel_id: str = ""
    refused_for: int = 0
    list_id: int = -1
    reserved_e8: int = 0
    ends_as: str = "CANCELED"
    stp: str = EXPIRE_MAKER
    prevented_lots: int = 0
    prevented: list[PreventedMatch] = field(default_factory=list)

    @property
    def executed_lots(self) -> int:
        """Lots traded so far."""
        return sum(fill.lots for fill in self.fills)

    @property
    def is_open(self) -> bool:
        """Still at the exchange."""
        return self.status in ("NEW", "PARTIALLY_FILLED")

    @property
    def is_resting(self) -> bool:
        """On the book: a limit order that does not wait for a trigger."""
        return self.is_open and self.ticks > 0 and self.working_ms >= 0


@dataclass(slots=True)
class OrderList:
    """Orders of which only one shall execute (OCO). `winner` is the one that did, or began to."""

    list_id: int
    symbol: int
    client_list_id: str
    time_ms: int
    orders: list[Order] = field(default_factory=list)
    winner: Order | None = None
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """Something that happened to an order: a copy of the order as it was then. `match`: what was prevented."""

    event: str
    order: Order
    fill: Fill | None
    time_ms: int
    balances: dict[str, tuple[int, int]]
    match: PreventedMatch | None = None


Listener = Callable[[Report], None]
ListListener = Callable[[OrderList], None]


@dataclass
class Account:
    """One customer. The venues of `wallet` hold the balances and match the orders; of those in `working`, the ones
    in `waiting` are not there yet (see `engine.sandbox.conditions`)."""

    number: int
    keys: tuple[Key, ...]
    wallet: Wallet
    is_revoked: bool = False
    may_withdraw: bool = False
    update_ms: int = 0
    orders: dict[int, Order] = field(default_factory=dict)
    working: dict[int, Order] = field(default_factory=dict)
    waiting: dict[int, Order] = field(default_factory=dict)
    lists: dict[int, OrderList] = field(default_factory=dict)
    prevented: list[PreventedMatch] = field(default_factory=list)
    listeners: list[Listener] = field(default_factory=list)
    list_listeners: list[ListListener] = field(default_factory=list)

    @property
    def venue(self) -> Flat:
        """The first venue: the only one where all symbols share a quote asset."""
        return next(iter(self.wallet.venues.values()))

    def find(self, symbol: int, order_id: int | None, client_order_id: str | None) -> Order | None:
        """An order by either id; of several with one client id an open one, else the newest."""
        return find_order(self.orders, symbol, order_id, client_order_id)


class Accounts(Customers[Account]):
    """All customers, found by API key."""

    def add(self, wallet: Wallet) -> Account:
        """Open an account with one key of each kind."""
        number = len(self.all)
        return self.join(Account(number, tuple(new_key(kind, number) for kind in KINDS), wallet))
