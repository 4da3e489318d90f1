"""A level-2 book kept from a snapshot and sequence-checked diffs.

Rules
-----
* WAITING: diffs are kept until a snapshot arrives; those it already contains are dropped.
* LIVE: every diff must join the one before it. Spot: `first_id <= last + 1 <= last_id`; USD-M: `previous_id == last`.
  The first diff after a snapshot instead ends on or after the snapshot's id and leaves nothing out before it.
* GAP: a diff is missing or the book came out crossed. The book is empty and shows nothing until the next snapshot.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from engine.contracts.records import DEPTH, LAST
from engine.venues.sheet import Sheet

LEVELS: Final = 5
"""Levels the core keeps a side."""

WAITING: Final = "waiting"
LIVE: Final = "live"
GAP: Final = "gap"

KEPT_DIFFS: Final = 4096
"""Diffs kept while waiting (seven minutes at ten a second); older ones are useless by then."""

Levels = Sequence[tuple[int, int]]
"""(price in ticks, lots) pairs; lots 0 removes the level."""


class Diff(NamedTuple):
    """Changes of one book between two update ids."""

    instrument: int
    venue_ts_ns: int
    first_id: int
    last_id: int
    previous_id: int | None  # USD-M: last_id of the diff before; spot: None
    bids: Levels
    asks: Levels


class Snapshot(NamedTuple):
    """A whole book as of one update id."""

    instrument: int
    venue_ts_ns: int  # 0: the venue does not say
    last_id: int
    bids: Levels
    asks: Levels


class _Side:
    """Lots by price, and the prices in order, best last: changes near the touch move little memory."""

    __slots__ = ("keys", "lots", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.lots: dict[int, int] = {}

    def load(self, levels: Levels) -> None:
        self.lots = {self.sign * price: lots for price, lots in levels if lots > 0}
        self.keys = sorted(self.lots)

    def change(self, levels: Levels) -> None:
        keys, held, sign = self.keys, self.lots, self.sign
        for price, lots in levels:
            key = sign * price
            if lots > 0:
                if key not in held:
                    insort(keys, key)
                held[key] = lots
            elif key in held:
                del held[key]
                del keys[bisect_left(keys, key)]

    def best(self, count: int) -> list[tuple[int, int]]:
        return [(self.sign * key, self.lots[key]) for key in self.keys[: -count - 1 : -1]]


class Ladder:
    """One instrument's book. Feed it `apply` and `snapshot`; read `top` or let it `write` DEPTH records.

    `state` is WAITING, LIVE or GAP; in the first and the last the caller fetches a snapshot. `gaps` counts losses.
    """

    def __init__(self, instrument: int) -> None:
        self.instrument = instrument
        self.state = WAITING
        self.last_id = 0
        self.gaps = 0
        self._bids = _Side(1)
        self._asks = _Side(-1)
        self._kept: deque[Diff] = deque(maxlen=KEPT_DIFFS)
        self._venue_ts_ns = 0
        self._is_first = True
        self._sheet = Sheet()

    def apply(self, diff: Diff) -> bool:
        """Take one diff. True where the book changed and may be shown; False while waiting, stale or after a gap."""
        if self.state != LIVE:
            self._kept.append(diff)
            return False
        if self._is_old(diff):
            return False
        if not self._joins(diff):
            self._lose(diff)
            return False
        self._bids.change(diff.bids)
        self._asks.change(diff.asks)
        self.last_id = diff.last_id
        self._venue_ts_ns = diff.venue_ts_ns
        self._is_first = False
        if self._is_crossed():
            self._lose(None)
            return False
        return True

    def snapshot(self, snapshot: Snapshot) -> bool:
        """Start over from a whole book and the diffs kept since. True where the book is LIVE now.

        False: the snapshot is older than the first diff kept (fetch another), or its own levels are crossed.
        """
        self._bids.load(snapshot.bids)
        self._asks.load(snapshot.asks)
        self.last_id, self._venue_ts_ns = snapshot.last_id, snapshot.venue_ts_ns
        self._is_first = True
        kept, self._kept = self._kept, deque(maxlen=KEPT_DIFFS)
        fresh = [diff for diff in kept if not self._is_old(diff)]
        if self._is_crossed() or (fresh and not self._joins(fresh[0])):
            self.state = WAITING
            self._kept.extend(fresh)
            self._empty()
            return False
        self.state = LIVE
        for diff in fresh:
            self.apply(diff)
        return self.state == LIVE

    def reset(self) -> None:
        """Forget everything: the connection was lost and the next diffs do not follow the last ones."""
        self.state = WAITING
        self._kept.clear()
        self._empty()

    def top(self, count: int = LEVELS) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Best `count` bids and asks as (ticks, lots), best first; empty unless LIVE."""
        return self._bids.best(count), self._asks.best(count)

    def write(self, out: np.ndarray[Any, Any], ts_ns: int) -> int:
        """The best five levels as DEPTH records seen at `ts_ns`. Returns how many; 0 unless both sides have a level.

        Raises Undecodable where `out` holds fewer than are needed.
        """
        self._sheet.begin(out, ts_ns)
        write_depth(self._sheet, self.instrument, self._venue_ts_ns, *self.top())
        return self._sheet.count

    def _is_old(self, diff: Diff) -> bool:
        if self._is_first and diff.previous_id is not None:
            return diff.last_id < self.last_id  # the USD-M rule: the diff that ends on the snapshot's id still counts
        return diff.last_id <= self.last_id

    def _joins(self, diff: Diff) -> bool:
        if diff.previous_id is None:
            return diff.first_id <= self.last_id + 1
        if self._is_first:  # everything before it is in the snapshot; ids jump, so the snapshot's may lie between two
            return diff.previous_id <= self.last_id
        return diff.previous_id == self.last_id

    def _is_crossed(self) -> bool:
        bids, asks = self._bids.keys, self._asks.keys
        return bool(bids and asks and bids[-1] >= -asks[-1])

    def _lose(self, diff: Diff | None) -> None:
        self.state = GAP
        self.gaps += 1
        self._empty()
        if diff is not None:
            self._kept.append(diff)

    def _empty(self) -> None:
        self._bids.load(())
        self._asks.load(())


def write_depth(sheet: Sheet, instrument: int, venue_ts_ns: int, bids: Levels, asks: Levels) -> None:
    """Best levels of a book, best first, as one batch of five DEPTH records; nothing where a side is empty.

    Always five, zeros where there is no level: what the batch does not mention would stay in the core's book.
    """
    if not bids or not asks:
        return
    for level in range(LEVELS):
        bid, bid_lots = bids[level] if level < len(bids) else (0, 0)
        ask, ask_lots = asks[level] if level < len(asks) else (0, 0)
        bits = LAST if level == LEVELS - 1 else 0
        sheet.put(DEPTH, instrument, venue_ts_ns, 0, bits, level, bid, bid_lots, ask, ask_lots, 0)
