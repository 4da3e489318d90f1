"""Replay: the journalled events and the referenced market data, merged by seq, through the same `step`."""

from __future__ import annotations

from typing import Any

from engine.core.compile import kernel
from engine.core.output import HEADROOM, emit_copy
from engine.core.step import step

MORE_MARKET = 0
OUTPUT_FULL = 1
FINISHED = 2


@kernel(entry=True)
def inject(s: Any, events: Any, out: Any) -> None:
    """Journal and apply events that come from neither a market nor a venue (operator, clock, approvals)."""
    for k in range(events.shape[0]):
        emit_copy(s, out, events[k], s.head[0].seq + 1)
        step(s, events[k], out)


@kernel(entry=True)
def replay_block(s: Any, market: Any, events: Any, at: Any, out: Any, is_last: bool) -> int:
    """Step through market events and journalled ones (`ENTRY`s) in the order of their seq.

    An event whose seq is next goes first; the numbers between belong to market events, in their order.
    Writes what the original run journalled: the journalled events themselves, commands and notes.
    `at`: next market event, next journalled event.
    """
    count = market.shape[0]
    room = out.records.shape[0] - HEADROOM
    head = s.head[0]
    i = at[0]
    k = at[1]
    outcome = -1
    while outcome < 0:
        if out.count[0] > room:
            outcome = OUTPUT_FULL
        elif k < events.shape[0] and events[k].seq == head.seq + 1:
            event = events[k].record
            emit_copy(s, out, event, head.seq + 1)
            step(s, event, out)
            k += 1
        elif i < count:
            step(s, market[i], out)
            i += 1
        else:
            outcome = FINISHED if is_last else MORE_MARKET
    at[0] = i
    at[1] = k
    return outcome
