"""Customers of the futures venue: positions, orders, conditional orders, income, settings.

All amounts are integers: ticks, lots, 1e-8 quote units (`_e8`), milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.core.memory import Flat
from engine.sandbox.api_keys import KINDS, Key, KeyKind, new_key
from engine.sandbox.customers import Customers, find_order
from engine.sandbox.perp_tape import PerpTape
from engine.sandbox.self_trade import EXPIRE_MAKER

START_LEVERAGE: Final = 20
OPEN: Final = ("NEW", "PARTIALLY_FILLED")


@dataclass(slots=True)
class Position:
    """A position as a fold of fills: signed lots, what they cost, and the margin held for them."""

    lots: int = 0
    cost_e8: int = 0
    margin_e8: int = 0
    leverage: int = START_LEVERAGE
    realised_e8: int = 0
    update_ms: int = 0

    def fold(self, tape: PerpTape, side: int, ticks: int, lots: int, leverage: int) -> int:
        """A fill; returns the profit it realised. What it closes comes first, the rest opens at `leverage`."""
        whole = abs(self.lots)
        closing = min(lots, whole) if self.lots * side < 0 else 0
        realised = 0
        if closing:
            cost, margin = _share_up(self.cost_e8, closing, whole), _share_up(self.margin_e8, closing, whole)
            realised = side * (cost - tape.paid_e8(side, ticks, closing))
            self.cost_e8 -= cost
            self.margin_e8 -= margin
        opening = lots - closing
        if opening:
            if closing == whole:
                self.leverage, self.realised_e8 = leverage, 0
            value = tape.paid_e8(side, ticks, opening)
            self.cost_e8 += value
            self.margin_e8 += -(-value // self.leverage)
        self.lots += side * lots
        self.realised_e8 += realised
        return realised

    def profit_e8(self, tape: PerpTape, mark_ticks: int) -> int:
        """Profit not realised yet, at a mark price."""
        side = 1 if self.lots > 0 else -1
        return side * (tape.paid_e8(-side, mark_ticks, abs(self.lots)) - self.cost_e8) if self.lots else 0

    def entry_e8(self, tape: PerpTape) -> int:
        """Average entry price in 1e-8; 0 while flat."""
        return self.cost_e8 * 10**8 // (abs(self.lots) * tape.lot_e8) if self.lots else 0


def _share_up(amount: int, part: int, whole: int) -> int:
    return -(-amount * part // whole)


@dataclass(frozen=True)
class PerpTicket:
    """An order somebody wants, in ticks and lots."""

    symbol: int
    side: int
    order_type: str
    tif: str
    lots: int
    ticks: int
    client_order_id: str
    reduce_only: bool = False
    stp: str = EXPIRE_MAKER


@dataclass(slots=True)
class PerpFill:
    """A trade of ours."""

    trade_id: int
    ticks: int
    lots: int
    quote_e8: int
    fee_e8: int
    realised_e8: int
    is_maker: bool
    time_ms: int


@dataclass(slots=True)
class PerpOrder:
    """An order at the matching engine. `orig_type` and `stop_ticks` tell of the conditional order it came from."""

    order_id: int
    engine_id: int
    symbol: int
    client_order_id: str
    side: int
    order_type: str
    tif: str
    lots: int
    ticks: int
    reduce_only: bool
    time_ms: int
    leverage: int
    close_position: bool = False
    orig_type: str = ""
    stop_ticks: int = 0
    working_type: str = "CONTRACT_PRICE"
    status: str = "NEW"
    left_lots: int = 0
    quote_e8: int = 0
    update_ms: int = 0
    fills: list[PerpFill] = field(default_factory=list)
    refused_for: int = 0
    algo: AlgoOrder | None = None
    stp: str = EXPIRE_MAKER
    ends_as: str = "CANCELED"

    @property
    def is_resting(self) -> bool:
        """On the book."""
        return self.is_open and self.ticks > 0

    @property
    def executed_lots(self) -> int:
        """Lots traded so far."""
        return sum(fill.lots for fill in self.fills)

    @property
    def is_open(self) -> bool:
        """Still at the exchange."""
        return self.status in OPEN


@dataclass(slots=True)
class AlgoOrder:
    """A conditional order; it becomes `order` when its trigger price is reached. `lots` is 0 for one that closes the
    whole position. Trailing ones follow `extreme_ticks` at `callback_bps` once the price passed `activate_ticks`."""

    algo_id: int
    client_algo_id: str
    symbol: int
    side: int
    order_type: str
    tif: str
    lots: int
    ticks: int
    trigger_ticks: int
    working_type: str
    reduce_only: bool
    close_position: bool
    price_protect: bool
    time_ms: int
    activate_ticks: int = 0
    callback_bps: int = 0
    extreme_ticks: int = 0
    status: str = "NEW"
    update_ms: int = 0
    trigger_ms: int = 0
    order: PerpOrder | None = None
    reason: str = ""
    stp: str = EXPIRE_MAKER

    @property
    def is_waiting(self) -> bool:
        """Not triggered yet."""
        return self.status == "NEW"


@dataclass(frozen=True, slots=True)
class Income:
    """A change of the wallet: REALIZED_PNL, COMMISSION, FUNDING_FEE, INSURANCE_CLEAR or TRANSFER (no symbol: -1)."""

    tran_id: int
    symbol: int
    kind: str
    amount_e8: int
    time_ms: int
    trade_id: int = 0


@dataclass(frozen=True, slots=True)
class OrderTold:
    """Something happened to an order: a copy of it as it was then."""

    event: str
    order: PerpOrder
    fill: PerpFill | None
    time_ms: int


@dataclass(frozen=True, slots=True)
class AlgoTold:
    """Something happened to a conditional order: a copy of it as it was then."""

    algo: AlgoOrder
    time_ms: int


@dataclass(frozen=True, slots=True)
class AccountTold:
    """Wallet and one position changed. `change_e8`: by something other than profit and fees. No position: -1."""

    reason: str
    symbol: int
    change_e8: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class LeverageTold:
    """The leverage of a symbol was set."""

    symbol: int
    leverage: int
    time_ms: int


Told = OrderTold | AlgoTold | AccountTold | LeverageTold


@dataclass
class Trader:
    """One customer. `venue` holds the money and matches the orders; the rest is what the exchange remembers:
    all orders and conditional orders by id, of them the open ones (`working`, by the venue's id) and the waiting ones
    (`pending`)."""

    number: int
    keys: tuple[Key, ...]
    venue: Flat
    positions: list[Position]
    leverages: list[int]
    isolated: list[bool]
    is_revoked: bool = False
    may_withdraw: bool = False
    is_hedged: bool = False
    is_multi_asset: bool = False
    update_ms: int = 0
    orders: dict[int, PerpOrder] = field(default_factory=dict)
    working: dict[int, PerpOrder] = field(default_factory=dict)
    algos: dict[int, AlgoOrder] = field(default_factory=dict)
    pending: dict[int, AlgoOrder] = field(default_factory=dict)
    income: list[Income] = field(default_factory=list)
    countdowns: dict[int, int] = field(default_factory=dict)
    listeners: list[Callable[[Told], None]] = field(default_factory=list)
    listen_key: str = ""
    listen_until_ms: int = 0

    @property
    def wallet_e8(self) -> int:
        """Wallet balance: deposits and everything realised."""
        return int(self.venue.head[0].cash_e8)

    @property
    def locked_e8(self) -> int:
        """Initial margin of open orders."""
        return int(self.venue.head[0].locked_e8)

    @property
    def margin_e8(self) -> int:
        """Margin of all positions."""
        return int(self.venue.head[0].margin_e8)

    @property
    def available_e8(self) -> int:
        """What new orders can use."""
        return max(self.wallet_e8 - self.locked_e8 - self.margin_e8, 0)

    def waiting(self, symbol: int | None = None) -> list[AlgoOrder]:
        """Conditional orders that have not triggered, oldest first."""
        return [one for one in self.pending.values() if symbol in (None, one.symbol)]

    def find(self, symbol: int, order_id: int | None, client_order_id: str | None) -> PerpOrder | None:
        """An order by either id; of several with one client id an open one, else the newest."""
        return find_order(self.orders, symbol, order_id, client_order_id)

    def tell(self, told: Told) -> None:
        """Tell everybody who listens to this customer."""
        for listener in list(self.listeners):
            listener(told)


class Traders(Customers[Trader]):
    """All customers, found by API key."""

    def add(self, venue: Flat, most_leverage: list[int], kinds: Sequence[KeyKind] = KINDS) -> Trader:
        """Open an account with one key of each kind; crossed margin and one-way mode, as the exchange begins."""
        keys = tuple(new_key(kind, len(self.all)) for kind in kinds)
        leverages = [min(START_LEVERAGE, most) for most in most_leverage]
        positions = [Position(leverage=leverage) for leverage in leverages]
        return self.join(Trader(len(self.all), keys, venue, positions, leverages, [False] * len(leverages)))
