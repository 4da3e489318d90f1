"""What the simulated venue said about our orders, kept so that it can be asked again."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts.records import FILL, ORDER_ACK, RECORD, RECORD_BYTES, TIMER

Array = np.ndarray[Any, Any]
KEPT: Final = 2048
"""Answers remembered, the oldest forgotten first: those of some five hundred orders."""


def picked(records: Array, places: Any) -> Array:
    """The rows at `places` (numbers or a mask), byte for byte: numpy's own indexing may unfold overlapping fields."""
    rows = records.view(np.uint8).reshape(-1, RECORD_BYTES)[places]
    return np.ascontiguousarray(rows).reshape(-1).view(RECORD)


class History:
    """The newest answers about orders, each with its number: how many answers had been given before it."""

    def __init__(self) -> None:
        self._records: Array = np.zeros(KEPT, RECORD)
        self._numbers: Array = np.zeros(KEPT, np.int64)
        self._count = 0  # noted so far; the ring's next place is this modulo its length

    def note(self, number: int, answer: Any) -> None:
        """Remember one answer; those that are not about orders (funding) are left out."""
        if ORDER_ACK <= answer["kind"] < TIMER:
            place = self._count % KEPT
            self._records[place], self._numbers[place] = answer, number
            self._count += 1

    def fills(self, told: int, since_ns: int) -> Array:
        """Fills since then among the first `told` answers, oldest first."""
        kept = self._places()
        one = self._records[kept]
        return self._taken(kept, (one["kind"] == FILL) & (one["venue_ts_ns"] >= since_ns), told)

    def of(self, client_id: int, told: int) -> Array:
        """What was said about one order among the first `told` answers, oldest first."""
        kept = self._places()
        return self._taken(kept, self._records["client_id"][kept] == client_id, told)

    def quantity(self, client_id: int) -> int:
        """Lots an order was accepted with; 0 where that is forgotten."""
        accepted = (self._records["client_id"] == client_id) & (self._records["kind"] == ORDER_ACK)
        return int(self._records["qty_lots"][accepted].max(initial=0))

    def saved(self) -> Array:
        """All of it, oldest first."""
        return picked(self._records, self._places())

    def restore(self, records: Array) -> None:
        """Remember `saved` answers, as given before any other."""
        for record in records:
            self.note(-1, record)

    def _places(self) -> Array:
        """Places in the ring, oldest first."""
        first = max(self._count - KEPT, 0)
        return np.arange(first, self._count) % KEPT

    def _taken(self, places: Array, wanted: Array, told: int) -> Array:
        return picked(self._records, places[wanted & (self._numbers[places] < told)])
