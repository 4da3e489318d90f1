"""Replacing an order where the venue cannot: cancel the old one, place the new one once that is confirmed.

Where the cancel is refused, or its fate unknown, the new order is refused here: it was never sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts.records import CANCEL_ACK, CANCEL_REJECT, ORDER_EXPIRED, ORDER_REJECT, ORDER_UNKNOWN
from engine.venues.binance.order_words import Command
from engine.venues.binance.teller import Teller

GONE: Final = (CANCEL_ACK, ORDER_EXPIRED)
KEPT: Final[dict[int, int]] = {
    CANCEL_REJECT: reasons.REPLACED_ORDER_GONE,
    ORDER_UNKNOWN: reasons.VENUE_REFUSED,
}
"""What is told about the old order -> why the new one is not placed."""


class Swaps:
    """New orders that wait for the end of an old one, by the old one's id."""

    def __init__(self, teller: Teller, place: Callable[[Command], None]) -> None:
        self._teller, self._place = teller, place
        self._waiting: dict[int, Command] = {}
        teller.listeners.append(self._heard)

    def begin(self, order: Command) -> None:
        """The cancel of `order.ref_id` is about to leave."""
        self._waiting[order.ref_id] = order

    def _heard(self, records: np.ndarray[Any, Any], count: int) -> None:
        if not self._waiting:
            return
        for kind, client_id in zip(
            records["kind"][:count].tolist(), records["client_id"][:count].tolist(), strict=True
        ):
            if client_id in self._waiting and (kind in GONE or kind in KEPT):
                order = self._waiting.pop(client_id)
                if kind in GONE:
                    self._place(order._replace(ref_id=0))
                else:
                    words = order.client_id, order.price_ticks, order.qty_lots, order.trigger_ticks, 0
                    now = time.time_ns()
                    self._teller.put(ORDER_REJECT, order.instrument, now, order.side, 0, KEPT[kind], *words)
