"""Orders that wait outside the simulated venue, which knows neither take-profits nor lists of orders.

Rules
-----
* A take-profit waits here until the last price reaches its trigger; then it is sent as what it becomes.
* A stop of a list waits here too, so that two orders can share one promise of money. It is put at the venue just
  before the event that triggers it, and meets that event there like any other stop.
* What waits reserves its money in the wallet; a leg of a list only what its sibling has not locked already.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from engine.contracts import records as r
from engine.sandbox.accounts import Order
from engine.sandbox.tape import Tape

TAKE_PROFITS: Final = {"TAKE_PROFIT": "MARKET", "TAKE_PROFIT_LIMIT": "LIMIT"}
"""What each becomes once it is triggered."""
STOPS: Final = ("STOP_LOSS", "STOP_LOSS_LIMIT")


def direction(order_type: str, side: int) -> int:
    """+1 where a rising last price triggers an order, -1 where a falling one does."""
    return -side if order_type in TAKE_PROFITS else side


def promise(tape: Tape, side: int, lots: int, ticks: int, stop_ticks: int) -> int:
    """What an order must have locked, in 1e-8 of the asset it gives."""
    return lots * tape.lot_e8 if side < 0 else tape.cost_e8(ticks or stop_ticks, lots)


def next_due(waiting: Iterable[Order], books: Any, events: Any) -> tuple[int, list[Order]]:
    """How many events pass before one triggers anything, and which orders that one triggers.
    `books` are the account's, before the events."""
    first, due = len(events), []
    for order in waiting:
        at = _reached(order, books[order.symbol], events)
        if at < first:
            first, due = at, [order]
        elif at == first < len(events):
            due.append(order)
    return first, due


def _reached(order: Order, book: Any, events: Any) -> int:
    """Index of the first event whose price triggers the order; their number where none does."""
    kinds, mine = events["kind"], events["instrument"] == order.symbol
    prices = np.where((kinds == r.TRADE) | (kinds == r.PATH), events["price_ticks"], 0)
    if not book.has_trades:  # only quotes so far: until the first trade, the mid is the last price
        traded = np.flatnonzero(mine & (prices > 0))
        quoted = (kinds == r.QUOTE) & (np.arange(len(events)) < (traded[0] if len(traded) else len(events)))
        prices = np.where(quoted, (events["bid_ticks"] + events["ask_ticks"]) >> 1, prices)
    reached = (prices - order.stop_ticks) * direction(order.order_type, order.side) >= 0
    found = np.flatnonzero(mine & (prices > 0) & reached)
    return int(found[0]) if len(found) else len(events)
