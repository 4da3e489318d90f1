"""What the core believes and what a venue says, held against each other: pure functions over both.

Rules
-----
* The union is compared: what only one side knows is a finding as well.
* Ours at a perpetual venue is at most what lies there; what lies there beyond it is foreign.
* Coins of a spot wallet beyond ours are somebody's, and nobody's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np

from engine.contracts.instruments import E8
from engine.core import life
from engine.core.state import CASH_ASSETS, Core
from engine.venues.port import OpenOrder, Position, Wallet

DOUBTFUL: Final = (life.SUBMITTED, life.CANCELING)
"""States in which a command may have left or not, once nobody is left who knows."""
_UNCERTAIN: Final = (life.SUBMITTED, life.CANCELING, life.UNKNOWN)


class Order(NamedTuple):
    """An order of ours that the core takes for working."""

    instrument: int
    client_id: int
    status: int
    placed_ns: int


class Gap(NamedTuple):
    """A position at a venue that is not what the core has. `lost_lots` (>= 0) of ours are not there any more,
    `foreign_lots` (signed) lie there and are not ours."""

    instrument: int
    lost_lots: int
    foreign_lots: int


def working(core: Core, venue: str) -> list[Order]:
    """Orders at a venue that may still fill, as the core sees it."""
    orders = core.state.orders
    mask = (orders["status"] != life.FREE) & (orders["status"] < life.FIRST_DONE)
    return [
        Order(int(one["instrument"]), int(one["client_id"]), int(one["status"]), int(one["placed_ns"]))
        for one in orders[mask]
        if core.instruments[int(one["instrument"])].venue == venue
    ]


def is_working(core: Core, client_id: int) -> bool:
    """Whether the core takes one of our orders for working."""
    order = core.state.orders[client_id % len(core.state.orders)]
    return int(order["client_id"]) == client_id and life.FREE != int(order["status"]) < life.FIRST_DONE


def missing(core: Core, venue: str, found: Sequence[OpenOrder], before_ns: int) -> list[Order]:
    """Orders the core takes for accepted since before `before_ns` that the venue does not show as open."""
    shown = {one.client_id for one in found}
    return [
        one for one in working(core, venue)
        if one.status not in DOUBTFUL and one.placed_ns < before_ns and one.client_id not in shown
    ]  # fmt: skip


def stuck(core: Core, venue: str, found: Sequence[OpenOrder], before_ns: int) -> list[Order]:
    """Orders whose cancel was sent before `before_ns` and which the venue shows as open all the same."""
    shown = {one.client_id for one in found}
    cancel_ns = core.state.orders["cancel_ns"]
    return [
        one for one in working(core, venue)
        if one.status == life.CANCELING and one.client_id in shown
        and int(cancel_ns[one.client_id % len(cancel_ns)]) < before_ns
    ]  # fmt: skip


def orphans(core: Core, found: Sequence[OpenOrder]) -> list[OpenOrder]:
    """Orders of ours that the venue shows as open and the core does not take for working."""
    return [one for one in found if one.client_id is not None and not is_working(core, one.client_id)]


def foreign(found: Sequence[OpenOrder]) -> list[OpenOrder]:
    """Open orders that are not ours."""
    return [one for one in found if one.client_id is None]


def position_gaps(core: Core, venue: str, found: Sequence[Position]) -> Iterator[Gap]:
    """Perpetuals whose position at the venue is not ours and the foreign part already known, together."""
    theirs = {one.instrument: one.qty_lots for one in found}
    for i, one in enumerate(core.instruments):
        if one.venue != venue or one.kind != "perp":
            continue
        row = core.state.positions[i]
        ours, there = int(row["qty_lots"]), theirs.get(i, 0)
        side = 1 if ours >= 0 else -1
        kept = min(max(there * side, 0), abs(ours))
        gap = Gap(i, abs(ours) - kept, there - side * kept)
        if gap.lost_lots or gap.foreign_lots != int(row["foreign_lots"]):
            yield gap


def coin_gaps(core: Core, venue: str, found: Sequence[Wallet]) -> Iterator[Gap]:
    """Spot positions of which the wallet holds less than the core has."""
    held = {one.asset: one.free + one.locked for one in found}
    for base, rows in _by_base(core, venue).items():
        need = sum(_coins_e8(core, i) for i in rows)
        short: Decimal = need - held.get(base, Decimal(0)) * E8
        for i in rows:
            lot = core.instruments[i].lot_base_e8
            lots_short = int((max(short, Decimal(0)) + lot - 1) // lot)
            lost = min(lots_short, int(core.state.positions[i]["qty_lots"]))
            if lost > 0:
                short -= lost * lot
                yield Gap(i, lost, 0)


def pot_gaps(core: Core, venue: str, found: Sequence[Wallet]) -> Iterator[tuple[int, int]]:
    """Pots (see `engine.core.legs`) of which the wallet holds less than positions and pots together: the home pair and
    the missing 1e-8 units. What positions need is theirs first."""
    held = {one.asset: one.free + one.locked for one in found}
    by_base = _by_base(core, venue)
    for i, one in enumerate(core.instruments):
        pot = int(core.state.pots[i]["qty_e8"])
        if pot == 0 or one.venue != venue:
            continue
        there = int(held.get(one.base, Decimal(0)) * E8)
        left = max(there - sum(_coins_e8(core, k) for k in by_base.get(one.base, [])), 0)
        if left < pot:
            yield i, pot - left


def _by_base(core: Core, venue: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for i, one in enumerate(core.instruments):
        if core.state.instruments[i]["base_is_cash"]:
            continue  # counted with the cash
        if one.venue == venue and one.kind == "spot" and int(core.state.positions[i]["qty_lots"]) > 0:
            found.setdefault(one.base, []).append(i)
    return found


def _coins_e8(core: Core, i: int) -> int:
    row = core.state.positions[i]
    return int(row["qty_lots"]) * core.instruments[i].lot_base_e8


def cash_short_e8(core: Core, venue: str, found: Sequence[Wallet]) -> int:
    """1e-8 USD by which a venue's dollars and stablecoins fall short of what the core has there; 0: they do not."""
    mine = [i for i, one in enumerate(core.instruments) if one.venue == venue]
    if not mine:
        return 0
    held = sum((one.free + one.locked for one in found if one.asset in CASH_ASSETS), Decimal(0))
    wallet = core.state.wallets[int(core.state.instruments[mine[0]]["wallet"])]
    return max(int(wallet["cash_e8"]) - int(held * E8), 0)


def is_settled(core: Core, i: int) -> bool:
    """Nothing about instrument `i` waits for the venue's word: what is compared will not change by itself."""
    orders = core.state.orders
    return not ((orders["instrument"] == i) & np.isin(orders["status"], _UNCERTAIN)).any()


def moving(core: Core) -> tuple[Any, ...]:
    """What changes whenever an order or a position does: two looks with the same in between compare the same thing."""
    positions, orders, pots = core.state.positions, core.state.orders, core.state.pots
    return (
        positions["qty_lots"].tobytes(), orders["status"].tobytes(), orders["filled_lots"].tobytes(),
        pots["qty_e8"].tobytes(),
    )  # fmt: skip
