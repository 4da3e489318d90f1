"""Which fills were told already: one fill, one record, on however many ways the venue tells it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

KEPT: Final = 4096
"""Newest trade ids kept for each instrument; enough for every fill between two reconciliations."""


class SeenFills:
    """Trade ids of our fills, the newest `kept` of each instrument. One for all parts of a venue."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._seen: dict[int, dict[int, None]] = {}

    def is_new(self, instrument: int, trade_id: int) -> bool:
        """True the first time this is asked about a trade; it counts as told from then on."""
        seen = self._seen.get(instrument)
        if seen is None:
            seen = self._seen[instrument] = {}
        if trade_id in seen:
            return False
        seen[trade_id] = None
        if len(seen) > self._kept:
            del seen[next(iter(seen))]
        return True

    def remember(self, instrument: int, trade_ids: Iterable[int]) -> None:
        """These count as told."""
        for trade_id in trade_ids:
            self.is_new(instrument, trade_id)

    def knows(self, instrument: int, trade_id: int) -> bool:
        """The trade counts as told."""
        return trade_id in self._seen.get(instrument, {})

    def forget(self, instrument: int, trade_id: int) -> None:
        """The fill was not told after all (its record could not be made)."""
        self._seen.get(instrument, {}).pop(trade_id, None)
