"""The live core: events out of a lane, one after the other, and everything to be journalled into a spool.

An ordinary call of a compiled function costs microseconds to unwrap its arguments; a bare C function pointer with
one address, of a table of what it needs, does not. One call takes as many events as it may, and stops behind the first
that wants something sent: what is sent must be journalled before.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numba
import numpy as np
from numba import types

from engine.contracts.records import ENTRY, FIRST_COMMAND, FIRST_NOTE, NO_INSTRUMENT, RECORD, RECORD_BYTES, TIMER
from engine.core import state
from engine.core.compile import CACHING, DISABLED
from engine.core.memory import Flat, as_flat
from engine.core.output import HEADROOM, emit_copy, new_output
from engine.core.step import step

OUTPUT_ROOM: Final = 2 * HEADROOM
SPOOL_ROOM: Final = 4 * HEADROOM
LANE_ROOM: Final = 65_536
_WORDS: Final = RECORD_BYTES // 8

FINISHED: Final = 0  # the lane is empty
WANTS: Final = 1  # the last event wants something sent: journal, then send `commands`
FULL: Final = 2  # the spool is nearly full: journal it


def new_lane(capacity: int = LANE_ROOM) -> Flat:
    """Events waiting for the core: `records[at[0]:at[1]]`."""
    return Flat("lane", {"records": np.zeros(capacity, RECORD), "at": np.zeros(2, np.int64)})


def _new_spool(out: Flat) -> Flat:
    """`entries`: what is to be journalled, as words; `made`: the last event and what it caused, as words."""
    arrays = {
        "entries": np.zeros((SPOOL_ROOM, 1 + _WORDS), np.int64),
        "made": out.records.view(np.int64).reshape(-1, _WORDS),
        "count": np.zeros(1, np.int64),
    }
    return Flat("spool", arrays)


_STATE: Final = state.flat_type()
_OUTPUT: Final = new_output(1).flat_type
_LANE: Final = new_lane(1).flat_type
_SPOOL: Final = _new_spool(new_output(1)).flat_type


def _take(s: Any, lane: Any, out: Any, spool: Any) -> int:
    """Step through the lane; see FINISHED, WANTS, FULL."""
    while lane.at[0] < lane.at[1]:
        written = spool.count[0]
        if written + HEADROOM > SPOOL_ROOM:
            return FULL
        event = lane.records[lane.at[0]]
        lane.at[0] += 1
        out.count[0] = 0
        emit_copy(s, out, event, s.head[0].seq + 1)
        step(s, event, out)
        wants = FINISHED
        for k in range(out.count[0]):
            spool.entries[written, 0] = out.seqs[k]
            for word in range(_WORDS):
                spool.entries[written, 1 + word] = spool.made[k, word]
            written += 1
            if k > 0 and FIRST_COMMAND <= out.records[k].kind < FIRST_NOTE:
                wants = WANTS
        spool.count[0] = written
        if wants != FINISHED:
            return WANTS
    return FINISHED


def _take_at(frame_at: Any) -> int:
    """`_take` by the address of four addresses: of state, lane, output and spool."""
    at = numba.carray(frame_at, 4, np.int64)
    return _take_compiled(
        as_flat(at[0], _STATE), as_flat(at[1], _LANE), as_flat(at[2], _OUTPUT), as_flat(at[3], _SPOOL)
    )


_take_compiled: Any = _take if DISABLED else numba.njit(_take, error_model="numpy", no_cpython_wrapper=True)


@lru_cache(maxsize=1)
def _pointer() -> tuple[Callable[[int], int], Any]:
    """The C function, and the compiled object that must outlive it. It keeps the interpreter's lock: to give it away
    for a microsecond is to wait for it for milliseconds while another thread is busy."""
    made = numba.cfunc(types.int64(types.voidptr), cache=CACHING, error_model="numpy")(_take_at)
    return ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(made.address), made


class LiveCore:
    """Takes events from lanes and spools what must be journalled.

    One thread, one owner: nothing here locks, allocates or waits. The owner journals `spooled()`, calls `clear()`,
    and only then sends `commands()`.
    """

    def __init__(self, core: state.Core) -> None:
        self.core = core
        self._out: Flat = new_output(OUTPUT_ROOM)
        self._spool = _new_spool(self._out)
        self._entries: np.ndarray[Any, Any] = self._spool.entries.reshape(-1).view(ENTRY)
        self._count = self._spool.count.data
        self._head = memoryview(core.state.head.view(np.int64))
        self._timer_word = int(core.state.head.dtype.fields["next_timer_ns"][1]) // 8
        if not DISABLED:
            self._call, self._keep = _pointer()
        self._frames: dict[int, np.ndarray[Any, Any]] = {}
        self._frame_at: dict[int, int] = {}

    def take(self, lane: Flat) -> int:
        """Take events from the lane: all of them (FINISHED), or until one wants something sent (WANTS), or the
        spool is nearly full (FULL)."""
        if DISABLED:
            return _take(self.core.state, lane, self._out, self._spool)
        try:
            return self._call(self._frame_at[lane.table_address])
        except KeyError:
            return self._call(self._frame_of(lane))

    def _frame_of(self, lane: Flat) -> int:
        """Where the addresses lie that taking from this lane needs."""
        flats = (self.core.state, lane, self._out, self._spool)
        frame = self._frames[lane.table_address] = np.array([one.table_address for one in flats], np.int64)
        at = self._frame_at[lane.table_address] = int(frame.ctypes.data)
        return at

    @property
    def waiting(self) -> int:
        """Entries spooled and not cleared."""
        return self._count[0]

    @property
    def next_timer_ns(self) -> int:
        """When the core wants to be told the time (a TIMER event of `timer`)."""
        return self._head[self._timer_word]

    def timer(self, now_ns: int) -> np.ndarray[Any, Any]:
        """The TIMER event that is due, dated `now_ns`."""
        event = np.zeros(1, RECORD)
        event["ts_ns"], event["kind"], event["instrument"] = now_ns, TIMER, NO_INSTRUMENT
        event["timer_id"] = self.core.state.head[0].next_timer_id
        return event

    def spooled(self) -> np.ndarray[Any, Any]:
        """What is to be journalled: a view, valid until `clear`."""
        return self._entries[: self._count[0]]

    def clear(self) -> None:
        """Forget what was spooled."""
        self._count[0] = 0

    @property
    def cause(self) -> Any:
        """The event that made `take` return WANTS; a view, valid until the next `take`."""
        return self._out.records[0]

    def commands(self) -> list[Any]:
        """The commands of the event that made `take` return WANTS, in order; views, valid until the next `take`."""
        made = self._out.records[1 : int(self._out.count[0])]
        return [record for record in made if FIRST_COMMAND <= record.kind < FIRST_NOTE]


def put(lane: Flat, events: np.ndarray[Any, Any]) -> None:
    """Append events to a lane that has room for them (moving up what waits where that helps). Raises IndexError."""
    first, end = lane.at.tolist()
    if end + len(events) > len(lane.records):
        lane.records[: end - first] = lane.records[first:end]
        lane.at[:] = (0, end - first)
        end -= first
    if end + len(events) > len(lane.records):
        raise IndexError(f"the lane has no room for {len(events)} events")
    lane.records[end : end + len(events)] = events
    lane.at[1] = end + len(events)
