"""Replay: the journalled events and the referenced market data, merged by seq, through the same `step`."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.contracts.records import ENTRY, RECORD
from engine.core.compile import kernel
from engine.core.output import HEADROOM, emit_copy
from engine.core.step import step

MORE_MARKET = 0
OUTPUT_FULL = 1
FINISHED = 2


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


def step_all(s: Any, events: np.ndarray[Any, Any], out: Any) -> int:
    """Step through an array of events, journalling none of them, until it ends or the output may not hold another
    event's worth. Returns how many were taken."""
    at = np.zeros(2, np.int64)
    replay_block(s, events, np.zeros(0, ENTRY), at, out, True)
    return int(at[0])


def inject(s: Any, events: np.ndarray[Any, Any], out: Any) -> None:
    """Journal and apply events that come from neither a market nor a venue (operator, clock, approvals). Raises
    IndexError where the output is full."""
    entries = np.zeros(len(events), ENTRY)
    entries["seq"] = int(s.head[0].seq) + 1 + np.arange(len(events))
    entries["record"] = events
    if replay_block(s, np.zeros(0, RECORD), entries, np.zeros(2, np.int64), out, True) != FINISHED:
        raise IndexError("output buffer full")
