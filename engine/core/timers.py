"""Timers: a small fixed table. The caller turns what is due into a TIMER event, so time is an event too."""

from __future__ import annotations

from typing import Any, Final

from engine.core.compile import kernel

SLOTS: Final = 320  # one an order slot, and the periodic ones
NEVER: Final = 2**62

MARK_EQUITY: Final = 0  # timer ids below 16 own the slot of the same number
JUDGE_DAY: Final = 1  # told by whoever ends a run in mid-day
LOOK: Final = 2  # the earliest moment at which a position is to be looked at though nothing happens
CYCLE: Final = 3  # a cycle under way waits for this moment
FIRST_ORDER_TIMER: Final = 16  # id = 16 + order slot

HOUR_NS: Final = 3_600_000_000_000


@kernel
def arm(s: Any, timer_id: int, due_ns: int) -> None:
    """Set (or move) a timer; `NEVER` disarms it."""
    s.timers[timer_id] = due_ns
    head = s.head[0]
    if due_ns < head.next_timer_ns:
        head.next_timer_ns = due_ns
        head.next_timer_id = timer_id
    elif timer_id == head.next_timer_id:
        _find_next(s)


@kernel
def _find_next(s: Any) -> None:
    head = s.head[0]
    head.next_timer_ns = NEVER
    head.next_timer_id = 0
    for k in range(SLOTS):
        if s.timers[k] < head.next_timer_ns:
            head.next_timer_ns = s.timers[k]
            head.next_timer_id = k


@kernel
def look_at(s: Any, i: int, due_ns: int) -> None:
    """Look at position `i` at that time even if nothing happens until then; `NEVER`: no need to."""
    p = s.positions[i]
    before = p.look_ns
    if before == due_ns:
        return
    p.look_ns = due_ns
    if due_ns < s.timers[LOOK]:
        arm(s, LOOK, due_ns)
    elif before == s.timers[LOOK]:
        arm(s, LOOK, next_look(s))


@kernel
def next_look(s: Any) -> int:
    """The earliest moment at which a position is to be looked at."""
    due = NEVER
    for i in range(s.head[0].instruments):
        due = min(due, s.positions[i].look_ns)
    return due


@kernel
def disarm(s: Any, timer_id: int) -> None:
    """Forget a timer."""
    if s.timers[timer_id] != NEVER:
        arm(s, timer_id, NEVER)
