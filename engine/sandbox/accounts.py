"""Accounts of the sandbox: their keys, their memory at the simulated venue, their orders.

An account has one key of each kind (HMAC, Ed25519, RSA), all with the same rights: trading, and no withdrawals unless
the control endpoint says so (nothing can be withdrawn in any case).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from engine.contracts.errors import BadInput
from engine.core.memory import Flat
from engine.sandbox.self_trade import EXPIRE_MAKER, PreventedMatch
from engine.sandbox.wallet import Wallet

KeyKind = Literal["HMAC", "ED25519", "RSA"]
KINDS: Final[tuple[KeyKind, ...]] = ("HMAC", "ED25519", "RSA")


@dataclass(frozen=True)
class Key:
    """An API key. `secret` is the client's half: hex text (HMAC) or a PKCS#8 PEM."""

    kind: KeyKind
    api_key: str
    secret: str = field(repr=False)

    def is_signature(self, payload: bytes, signature: str) -> bool:
        """Whether the client's half made this signature: lower- or upper-case hex (HMAC), else base64."""
        if self.kind == "HMAC":
            made = hmac.new(self.secret.encode(), payload, hashlib.sha256).hexdigest()
            return hmac.compare_digest(made.encode(), signature.lower().encode())
        try:
            given = base64.b64decode(signature, validate=True)
        except ValueError:
            return False
        private = serialization.load_pem_private_key(self.secret.encode(), None)
        try:
            if isinstance(private, rsa.RSAPrivateKey):
                private.public_key().verify(given, payload, padding.PKCS1v15(), hashes.SHA256())
            elif isinstance(private, ed25519.Ed25519PrivateKey):
                private.public_key().verify(given, payload)
        except InvalidSignature:
            return False
        return True


def new_key(kind: KeyKind) -> Key:
    """A fresh random key."""
    api_key = secrets.token_hex(32)
    if kind == "HMAC":
        return Key(kind, api_key, secrets.token_hex(32))
    private: Any = ed25519.Ed25519PrivateKey.generate() if kind == "ED25519" else rsa.generate_private_key(65537, 2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Key(kind, api_key, pem.decode())


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
        if order_id is not None:
            order = self.orders.get(order_id)
            return order if order is not None and order.symbol == symbol else None
        same = [o for o in self.orders.values() if o.symbol == symbol and o.client_order_id == client_order_id]
        return max(same, key=lambda o: (o.is_open, o.order_id), default=None)


class Accounts:
    """All customers, found by API key."""

    def __init__(self) -> None:
        self.all: list[Account] = []
        self._by_key: dict[str, tuple[Account, Key]] = {}

    def add(self, wallet: Wallet) -> Account:
        """Open an account with one key of each kind."""
        account = Account(len(self.all), tuple(new_key(kind) for kind in KINDS), wallet)
        self.all.append(account)
        self._by_key.update({key.api_key: (account, key) for key in account.keys})
        return account

    def numbered(self, number: int) -> Account:
        """An account by its number. Raises BadInput."""
        if not 0 <= number < len(self.all):
            raise BadInput(f"account = {number}: there are accounts 0..{len(self.all) - 1}")
        return self.all[number]

    def by_key(self, api_key: str) -> tuple[Account, Key] | None:
        """Account and key; None for an unknown or revoked one."""
        found = self._by_key.get(api_key)
        return None if found is None or found[0].is_revoked else found
