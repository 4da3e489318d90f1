"""What everybody can see of a venue's market, whoever keeps it: the side of an exchange that the public calls and
streams are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from engine.sandbox.accounts import Key
from engine.sandbox.clock import Clock
from engine.sandbox.faults import Faults
from engine.sandbox.tape import Tape, Trade

Levels = list[tuple[int, int]]


class Customers(Protocol):
    """Who trades there."""

    def by_key(self, api_key: str) -> tuple[Any, Key] | None:
        """The account of a key and the key; None for an unknown or revoked one."""


class Show(Protocol):
    """Tapes, clock, faults, and who wants to be told when something changes."""

    clock: Clock
    faults: Faults
    on_quote: list[Callable[[Tape], None]]
    on_trade: list[Callable[[Tape, Trade], None]]
    on_book: list[Callable[[Tape, Levels, Levels], None]]

    @property
    def tapes(self) -> Sequence[Tape]:
        """All symbols, by number."""

    @property
    def by_name(self) -> Mapping[str, Tape]:
        """All symbols, by the venue's name for them."""

    @property
    def accounts(self) -> Customers:
        """The customers."""

    def levels(self, tape: Tape, side: int) -> Levels:
        """(ticks, lots) a taker of `side` meets, best first: asks for +1, bids for -1."""
