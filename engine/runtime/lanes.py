"""The bounded queue between the venues and the core.

Rules
-----
* Order events, fills, funding, balances and the like wait in the account lane: never dropped, always taken first.
* Market data waits in the market lane. When that is three quarters full, of each instrument only the newest quote,
  depth batch and mark survive (trades do as long as there is room, oldest lost first); what was lost is counted and
  told. Whatever else comes with market data is never lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from engine.contracts.records import DEPTH, KINDS, LAST, MARK, NO_INSTRUMENT, QUOTE, RECORD_BYTES, TRADE
from engine.core.live import new_lane
from engine.core.memory import Flat
from engine.venues.port import Notice, Records

MARKET_ROOM: Final = 16_384  # a full lane is a dozen milliseconds of work: others must get a word in
ACCOUNT_ROOM: Final = 4_096
NEWEST_ONLY: Final = (QUOTE, DEPTH, MARK)
CONFLATABLE: Final = (*NEWEST_ONLY, TRADE)


class _Queue:
    """A lane with a fast way in: plain bytes, no field is looked at."""

    def __init__(self, room: int) -> None:
        self.lane = new_lane(room)
        self.room = room
        self.at = memoryview(self.lane.at)  # [first, end] waiting
        self.memory = self.lane.records.view(np.uint8).data
        self._source: Records = self.lane.records
        self._source_memory = self.memory

    def append(self, records: Records, count: int) -> None:
        """Copy the first `count` records behind what waits; there must be room."""
        if records is not self._source:  # callers reuse their array; a view of it costs more than the copy
            self._source, self._source_memory = records, records.view(np.uint8).data
        end = self.at[1]
        size = count * RECORD_BYTES
        self.memory[end * RECORD_BYTES : end * RECORD_BYTES + size] = self._source_memory[:size]
        self.at[1] = end + count

    def move_up(self) -> None:
        """Let what waits begin at 0."""
        first, end = self.at
        waiting = bytes(self.memory[first * RECORD_BYTES : end * RECORD_BYTES])
        self.memory[: len(waiting)] = waiting
        self.at[0], self.at[1] = 0, end - first


class Lanes:
    """An `Inlet` (see engine.venues.port). `wake` is called when something waits that the loop was not told of."""

    def __init__(self, wake: Callable[[], None], notice: Callable[[Notice], None], room: int = MARKET_ROOM) -> None:
        self._wake = wake
        self._market, self._account = _Queue(room), _Queue(ACCOUNT_ROOM)
        self._high = room * 3 // 4
        self._is_awake = False
        self.notice = notice
        self.conflated: Counter[str] = Counter()
        self.watch_account: Callable[[Records, int], None] = lambda _records, _count: None

    @property
    def market_lane(self) -> Flat:
        """What the core takes after the account lane."""
        return self._market.lane

    @property
    def account_lane(self) -> Flat:
        """What the core takes first."""
        return self._account.lane

    @property
    def waiting(self) -> int:
        """Events in both lanes."""
        (a, b), (c, d) = self._market.at, self._account.at
        return b - a + d - c

    def market(self, records: Records, count: int) -> None:
        """See `Inlet.market`."""
        queue = self._market
        if queue.at[1] + count > self._high:
            self._make_room(queue)
            while queue.at[1] + count > queue.room:  # nothing in it may be lost
                queue = self._market = _grown(queue)
        queue.append(records, count)
        if not self._is_awake:
            self._is_awake = True
            self._wake()

    def account(self, records: Records, count: int) -> None:
        """See `Inlet.account`. A lane that is full grows: losing an order event is not an option."""
        queue = self._account
        if queue.at[1] + count > queue.room:
            queue.move_up()
            while queue.at[1] + count > queue.room:
                queue = self._account = _grown(queue)
        queue.append(records, count)
        self.watch_account(records, count)
        if not self._is_awake:
            self._is_awake = True
            self._wake()

    def taken(self) -> None:
        """Everything was taken: begin at 0 again, and wake the loop for what comes next."""
        for queue in (self._market, self._account):
            if queue.at[0] == queue.at[1]:
                queue.at[0] = queue.at[1] = 0
        self._is_awake = self.waiting > 0

    def _make_room(self, queue: _Queue) -> None:
        queue.move_up()
        if queue.at[1] < self._high // 2:
            return
        waiting = queue.lane.records[: queue.at[1]]
        keep = survivors(waiting, self._high // 2)
        lost = np.bincount(waiting["kind"][~keep], minlength=1)
        for kind in np.nonzero(lost)[0].tolist():
            self.conflated[KINDS[kind].name] += int(lost[kind])
        kept = int(keep.sum())
        rows = waiting.view(np.uint8).reshape(-1, RECORD_BYTES)
        rows[:kept] = rows[keep]
        queue.at[1] = kept


def _grown(queue: _Queue) -> _Queue:
    larger = _Queue(2 * queue.room)
    end = queue.at[1]
    larger.append(queue.lane.records, end)
    queue.at[0] = queue.at[1] = 0  # the loop may be in the midst of taking it: nothing is to be taken twice
    return larger


def survivors(waiting: Records, room: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of the waiting records an overload leaves: of quotes, marks and depth batches the newest of each
    instrument, the newest trades as long as `room` allows, and everything that is none of these."""
    kinds, instruments = waiting["kind"], waiting["instrument"].astype(np.int64)
    keep = ~np.isin(kinds, CONFLATABLE)
    for kind in (QUOTE, MARK):
        keep[_last_of_each(np.nonzero(kinds == kind)[0], instruments)] = True
    depth = np.nonzero(kinds == DEPTH)[0]
    if depth.size:
        ends = (waiting["bits"][depth] & LAST) != 0
        batch = np.cumsum(ends) - ends  # number of the batch each row belongs to
        newest = batch[_last_of_each(np.arange(depth.size), instruments[depth])]
        keep[depth[np.isin(batch, newest)]] = True
    trades = np.nonzero(kinds == TRADE)[0]
    keep[trades[max(0, trades.size - max(room - int(keep.sum()), 0)) :]] = True
    return keep


def _last_of_each(rows: np.ndarray[Any, Any], instruments: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    newest = np.full(NO_INSTRUMENT + 1, -1, np.int64)
    newest[instruments[rows]] = rows  # the last one assigned stays
    return newest[newest >= 0]
