"""What the simulated venue said about our orders, kept so that it can be asked again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
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
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=KEPT)

    def note(self, number: int, answer: Any) -> None:
        """Remember one answer; those that are not about orders (funding) are left out."""
        if ORDER_ACK <= answer["kind"] < TIMER:
            self._kept.append((number, answer.tobytes()))

    def fills(self, told: int) -> Iterator[Any]:
        """Fills among the first `told` answers, oldest first."""
        return (one for one in self._records(told) if one["kind"] == FILL)

    def of(self, client_id: int, told: int) -> list[Any]:
        """What was said about one order among the first `told` answers, oldest first."""
        return [one for one in self._records(told) if one["client_id"] == client_id]

    def quantity(self, client_id: int) -> int:
        """Lots an order was accepted with; 0 where that is forgotten."""
        accepted = [one for one in self._records(None) if one["client_id"] == client_id and one["kind"] == ORDER_ACK]
        return int(accepted[0]["qty_lots"]) if accepted else 0

    def saved(self) -> Array:
        """All of it as RECORDs."""
        return np.frombuffer(bytearray(b"").join(content for _, content in self._kept), RECORD)

    def restore(self, records: Array) -> None:
        """Remember `saved` answers, as given before any other."""
        for record in records:
            self._kept.append((-1, record.tobytes()))

    def _records(self, told: int | None) -> Iterator[Any]:
        return (np.frombuffer(content, RECORD)[0] for number, content in self._kept if told is None or number < told)
