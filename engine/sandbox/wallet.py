"""An account's money: one free amount per asset, shared by all pairs it is traded in.

The simulated venue knows one kind of cash, so an account has one venue per quote asset. What is free lies here;
a venue is lent the free amounts of its assets before something happens at it, and gives them back after, so that
ETH bought for BTC can be sold for USDT at once. What is locked stays with the venue whose orders locked it.
Orders that wait outside a venue (`engine.sandbox.conditionals`) reserve here what they will need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.contracts.errors import BadInput
from engine.core.memory import Flat
from engine.sandbox.tape import Tape


class Wallet:
    """`venues` are the account's, by quote asset. All amounts are 1e-8 units of their asset."""

    def __init__(self, tapes: Sequence[Tape], venues: Mapping[str, Flat], cash_e8: Mapping[str, int]) -> None:
        self.venues = venues
        names = {tape.instrument.base for tape in tapes} | set(venues)
        self.assets = {name: number for number, name in enumerate(sorted(names))}
        self._free: Any = np.zeros(len(self.assets), np.int64)
        self._reserved = dict.fromkeys(self.assets, 0)
        self._rows: dict[str, Any] = {}
        self._bases: dict[str, Any] = {}
        for quote, venue in venues.items():
            mine = [tape for tape in tapes if tape.instrument.quote == quote]
            self._rows[quote] = np.array([tape.index for tape in mine])
            self._bases[quote] = np.array([self.assets[tape.instrument.base] for tape in mine])
            venue.head[0].cash_e8 = 0
        for name, amount in cash_e8.items():
            self.add(name, amount)
        for quote in venues:
            self.lend(quote)

    def lend(self, quote: str) -> Flat:
        """Write what is free into the venue of that quote asset, and return it."""
        venue, rows = self.venues[quote], self._rows[quote]
        head, held = venue.head[0], venue.holdings
        head.cash_e8 = self._free[self.assets[quote]] + head.locked_e8 + head.margin_e8
        locked = held["locked_lots"][rows] * venue.instruments["lot_base_e8"][rows]
        held["base_e8"][rows] = self._free[self._bases[quote]] + locked
        return venue

    def take_back(self, quote: str) -> None:
        """Read what is free after something happened at that venue."""
        venue, rows = self.venues[quote], self._rows[quote]
        head, held = venue.head[0], venue.holdings
        self._free[self.assets[quote]] = head.cash_e8 - head.locked_e8 - head.margin_e8
        locked = held["locked_lots"][rows] * venue.instruments["lot_base_e8"][rows]
        self._free[self._bases[quote]] = held["base_e8"][rows] - locked

    def is_idle(self, quote: str) -> bool:
        """Whether market events cannot touch the money at that venue: no orders, no positions."""
        venue = self.venues[quote]
        return int(venue.head[0].live_count) == 0 and not venue.holdings["qty_lots"].any()

    def add(self, asset: str, amount_e8: int) -> None:
        """Add to a free amount (or, negative, take from it). Raises BadInput for an unknown asset."""
        if asset not in self.assets:
            raise BadInput(f"asset = {asset!r} is not traded here")
        self._free[self.assets[asset]] += amount_e8
        if asset in self.venues:
            self.lend(asset)

    def reserve(self, asset: str, amount_e8: int) -> None:
        """Lock a free amount for an order that waits (negative: release it)."""
        self._free[self.assets[asset]] -= amount_e8
        self._reserved[asset] += amount_e8

    def balance(self, asset: str) -> tuple[int, int]:
        """(free, locked) of an asset."""
        locked = self._reserved[asset]
        if asset in self.venues:
            locked += int(self.venues[asset].head[0].locked_e8)
        number = self.assets[asset]
        for quote, venue in self.venues.items():
            rows = self._rows[quote][self._bases[quote] == number]
            locked += int((venue.holdings["locked_lots"][rows] * venue.instruments["lot_base_e8"][rows]).sum())
        return int(self._free[number]), locked
