"""Compiled doors to the simulated venue's memory: what happens at it, and what its book shows."""

from __future__ import annotations

from typing import Any

from engine.contracts.records import FIRST_COMMAND
from engine.core.compile import kernel
from engine.simulation.exchange import on_command, on_market
from engine.simulation.matching import level


@kernel(entry=True)
def happen(v: Any, records: Any) -> int:
    """Let market events and commands happen at the venue, in order, up to the first that it answers; returns how
    many happened. The answers wait in `v.replies`."""
    for k in range(records.shape[0]):
        if records[k].kind >= FIRST_COMMAND:
            on_command(v, records[k])
        else:
            on_market(v, records[k])
        if v.head[0].replies_count > 0:
            return k + 1
    return int(records.shape[0])


@kernel(entry=True)
def read_book(v: Any, i: int, side: int, out: Any) -> int:
    """Write (ticks, lots) of the levels a taker of `side` would meet to `out` [levels, 2]; returns how many.

    The same levels that orders execute against: recorded depth, else the touch's size repeated behind it.
    """
    book = v.books[i]
    count = 0
    if book.bid_ticks <= 0:
        return 0
    for k in range(out.shape[0]):
        ticks, lots = level(v, book, side, k)
        if ticks <= 0:
            break
        if lots > 0:
            out[count, 0] = ticks
            out[count, 1] = lots
            count += 1
    return count
