"""Everybody with an account at one simulated venue, and their orders by either id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from engine.contracts.errors import BadInput
from engine.sandbox.api_keys import Key, new_key


class Customer(Protocol):
    """What every venue's customers have."""

    keys: tuple[Key, ...]
    is_revoked: bool


class Numbered(Protocol):
    """What every venue's orders have."""

    @property
    def symbol(self) -> int: ...

    @property
    def order_id(self) -> int: ...

    @property
    def client_order_id(self) -> str: ...

    @property
    def is_open(self) -> bool: ...


C = TypeVar("C", bound=Customer)
One = TypeVar("One", bound=Numbered)


class Customers(Generic[C]):
    """All customers of a venue."""

    def __init__(self) -> None:
        self.all: list[C] = []
        self._by_key: dict[str, tuple[C, Key]] = {}
        self._revoked: set[str] = set()

    def join(self, one: C) -> C:
        """Another customer, found by number and keys from now on."""
        self.all.append(one)
        self._by_key.update({key.api_key: (one, key) for key in one.keys})
        return one

    def numbered(self, number: int) -> C:
        """A customer by number. Raises BadInput."""
        if not 0 <= number < len(self.all):
            raise BadInput(f"account = {number}: there are accounts 0..{len(self.all) - 1}")
        return self.all[number]

    def by_key(self, api_key: str) -> tuple[C, Key] | None:
        """Customer and key; None for an unknown or revoked one."""
        found = self._by_key.get(api_key)
        return None if found is None or found[0].is_revoked or api_key in self._revoked else found

    def hand_out(self, number: int) -> tuple[str, str]:
        """One more key (HMAC) for an account: key and secret. Raises BadInput."""
        one = self.numbered(number)
        made = new_key("HMAC")
        self._by_key[made.api_key] = (one, made)
        return made.api_key, made.secret

    def revoke(self, api_key: str) -> None:
        """One key alone is taken back. Raises BadInput where there is none."""
        if api_key not in self._by_key:
            raise BadInput("no account has that key")
        self._revoked.add(api_key)


def find_order(orders: Mapping[int, One], symbol: int, order_id: int | None, client_order_id: str | None) -> One | None:
    """An order by either id; of several with one client id an open one, else the newest."""
    if order_id is not None:
        order = orders.get(order_id)
        return order if order is not None and order.symbol == symbol else None
    same = [one for one in orders.values() if one.symbol == symbol and one.client_order_id == client_order_id]
    return max(same, key=lambda one: (one.is_open, one.order_id), default=None)
