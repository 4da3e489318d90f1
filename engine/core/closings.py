"""Bars closing in a stream of events, outside any core: the books and bars of one timeframe and nothing else.

The same books and bars as in a core's `step`, fed the same events, so that whoever looks at closed bars beside the
core (signal sources) sees what the core sees, and no more.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts.records import FEED_STATUS, FUNDING, NO_INSTRUMENT
from engine.core import bars, book
from engine.core.compile import i64, kernel
from engine.core.memory import Flat

CLOSING: Final = np.dtype(
    (
        np.record,
        [
            ("ts_ns", "<i8"),  # when the engine saw the price that closed the bar; 0: history
            ("instrument", "<i8"),
            ("forgotten", "<i8"),  # 1: no bar; bars of this instrument begin anew, those before do not lead up to them
            ("start_ns", "<i8"),
            ("open_ticks", "<i8"),
            ("high_ticks", "<i8"),
            ("low_ticks", "<i8"),
            ("close_ticks", "<i8"),
            ("volume_lots", "<i8"),
            ("turnover", "<f8"),
        ],
    )
)


def new_watch(instruments: int, timeframe_s: int) -> Flat:
    """Empty books and bars of so many instruments; `at[0]`: next event of the block."""
    arrays = {
        "books": np.zeros(instruments, book.BOOK),
        "bars": np.zeros(instruments, bars.BAR),
        "ring": np.zeros((instruments, bars.RING), bars.CLOSED_BAR),
        "width_ns": np.full(1, timeframe_s * 1_000_000_000, np.int64),
        "at": np.zeros(1, np.int64),
    }
    return Flat("watch", arrays)


@kernel(entry=True)
def watch_closings(w: Any, events: Any, closings: Any) -> int:
    """Take events from `at[0]` on, until all are taken or `closings` is full; returns how many it holds. What is
    neither a market event nor a feed's status is passed over."""
    made = 0
    at = w.at[0]
    while at < events.shape[0] and made < closings.shape[0]:
        event = events[at]
        at += 1
        i = i64(event.instrument)
        if event.kind == FEED_STATUS:
            made += _feed_status(w, event, closings[made])
        elif event.kind < FUNDING and i < w.books.shape[0]:
            lots = book.apply(w.books[i], event)
            bar, price = w.bars[i], w.books[i].last_ticks
            done = w.ring[i, bars.place(bar)]
            if lots >= 0 and bars.feed(bar, done, w.width_ns[0], event.venue_ts_ns, price, lots):
                _tell(w, i, event.ts_ns, closings[made])
                made += 1
    w.at[0] = at
    return made


@kernel
def _feed_status(w: Any, event: Any, told: Any) -> int:
    """As a core takes it; 1 where bars were forgotten, which is told."""
    i = i64(event.instrument)
    if i == NO_INSTRUMENT:
        for k in range(w.books.shape[0]):
            book.distrust(w.books[k])
    elif i < w.books.shape[0]:
        book.distrust(w.books[i])
        if event.reason == reasons.BARS_FORGOTTEN:
            w.bars[i].closed = 0
            w.bars[i].end_ns = 0
            told.ts_ns = event.ts_ns
            told.instrument = i
            told.forgotten = 1
            return 1
    return 0


@kernel
def _tell(w: Any, i: int, ts_ns: int, told: Any) -> None:
    done = w.ring[i, (w.bars[i].closed - 1) % bars.RING]
    told.ts_ns = ts_ns
    told.instrument = i
    told.forgotten = 0
    told.start_ns = done.start_ns
    told.open_ticks = done.open_ticks
    told.high_ticks = done.high_ticks
    told.low_ticks = done.low_ticks
    told.close_ticks = done.close_ticks
    told.volume_lots = done.volume_lots
    told.turnover = done.turnover
