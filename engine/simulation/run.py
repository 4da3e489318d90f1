"""The backtest's inner loop: one clock, four lanes.

Venue side: recorded market events by venue time, our commands by arrival. Engine side: the venue's answers,
timers, and the same market events one feed latency later. The earliest goes first; at the same instant the
venue before the engine, answers before timers before market data.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts.records import CANCEL, FUNDING, NO_INSTRUMENT, PLACE, RECORD, TIMER
from engine.core.compile import kernel
from engine.core.memory import Flat
from engine.core.output import HEADROOM, emit_copy
from engine.core.step import step
from engine.core.timers import NEVER
from engine.simulation.exchange import on_command, on_market
from engine.simulation.venue import send

MORE_MARKET: Final = 0  # the block is used up: give the next one
OUTPUT_FULL: Final = 1  # journal what is in the output and call again
FINISHED: Final = 2
PAUSED: Final = 3


def new_cursor() -> Flat:
    """`at`: next market event of the block at the venue and at the engine; `timer`: room for one TIMER event."""
    arrays = {
        "at": np.zeros(2, np.int64),
        "timer": np.zeros(1, RECORD),
    }
    return Flat("cursor", arrays)


@kernel(entry=True)
def advance(s: Any, v: Any, market: Any, cursor: Any, out: Any, is_last: bool, until_seq: int) -> int:
    """Run until the block of market events is used up on the venue's side, the output is nearly full, the
    engine has taken event `until_seq`, or (`is_last`) everything has happened. Market events are not
    journalled: the run's manifest names their source."""
    count = market.shape[0]
    room = out.records.shape[0] - HEADROOM
    head = s.head[0]
    lanes = v.head[0]
    at_venue = cursor.at[0]
    at_engine = cursor.at[1]
    outcome = -1
    while outcome < 0:
        market_at_venue = market[np.uintp(at_venue)].venue_ts_ns if at_venue < count else NEVER
        command_due = v.sends[np.uintp(lanes.sends_first)].ts_ns if lanes.sends_count > 0 else NEVER
        market_at_engine = market[np.uintp(at_engine)].ts_ns if at_engine < count else NEVER
        answer_due = v.replies[np.uintp(lanes.replies_first)].ts_ns if lanes.replies_count > 0 else NEVER
        timer_due = head.next_timer_ns if at_engine < count else NEVER  # no clock without a market
        venue_ns = min(market_at_venue, command_due)
        engine_ns = min(answer_due, min(timer_due, market_at_engine))
        if at_venue >= count and not is_last:
            outcome = MORE_MARKET
        elif venue_ns == NEVER and engine_ns == NEVER:
            outcome = FINISHED
        elif venue_ns <= engine_ns:
            if market_at_venue <= command_due:
                on_market(v, market[np.uintp(at_venue)])
                at_venue += 1
            else:
                on_command(v, v.sends[np.uintp(lanes.sends_first)])
                lanes.sends_first = (lanes.sends_first + 1) % v.sends.shape[0]
                lanes.sends_count -= 1
        elif head.seq >= until_seq:
            outcome = PAUSED
        elif out.count[0] > room:
            outcome = OUTPUT_FULL
        else:
            before = out.count[0]
            if answer_due <= timer_due and answer_due <= market_at_engine:
                event = v.replies[np.uintp(lanes.replies_first)]
                lanes.replies_first = (lanes.replies_first + 1) % v.replies.shape[0]
                lanes.replies_count -= 1
                emit_copy(s, out, event, head.seq + 1)
                step(s, event, out)
                if is_last and at_engine >= count:
                    before = out.count[0]  # no market, no venue: what is wanted now stays unsent
            elif timer_due <= market_at_engine:
                event = cursor.timer[0]
                event.ts_ns = timer_due
                event.kind = TIMER
                event.instrument = NO_INSTRUMENT
                event.timer_id = head.next_timer_id
                emit_copy(s, out, event, head.seq + 1)
                step(s, event, out)
            else:
                _hear(s, market[np.uintp(at_engine)], out)
                at_engine += 1
            _dispatch(v, out, before)
    cursor.at[0] = at_venue
    cursor.at[1] = at_engine
    return outcome


@kernel(hot=True)
def _hear(s: Any, event: Any, out: Any) -> None:
    """The next of the market lane; what is no market there (a forecast) is journalled."""
    if event.kind > FUNDING:
        emit_copy(s, out, event, s.head[0].seq + 1)
    step(s, event, out)


@kernel(hot=True)
def _dispatch(v: Any, out: Any, first: int) -> None:
    """Send the commands among what was just written."""
    for k in range(first, out.count[0]):
        kind = out.records[k].kind
        if kind == PLACE or kind == CANCEL:
            send(v, out.records[k])


