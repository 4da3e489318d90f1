"""One live call: an event in memory, commands and notes out of memory, through a bare C function pointer.

An ordinary call of a compiled function costs microseconds to unwrap its arguments; three addresses do not.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numba
import numpy as np
from numba import carray, types

from engine.contracts.records import RECORD
from engine.core import state
from engine.core.compile import CACHING, DISABLED
from engine.core.memory import Flat, as_flat
from engine.core.output import new_output
from engine.core.step import step

OUTPUT_ROOM: Final = 8192

_STATE: Final = state.flat_type()
_OUTPUT: Final = new_output(1).flat_type


def _step_at(state_at: Any, event_at: Any, output_at: Any) -> int:
    """Step through the one event at `event_at`; returns how many entries the output now holds."""
    out = as_flat(output_at, _OUTPUT)
    step(as_flat(state_at, _STATE), carray(event_at, (1,), RECORD)[0], out)
    return out.count[0]


@lru_cache(maxsize=1)
def _pointer() -> tuple[Callable[[int, int, int], int], Any]:
    """The C function, and the compiled object that must outlive it."""
    signature = types.int64(types.voidptr, types.voidptr, types.voidptr)
    made = numba.cfunc(signature, cache=CACHING, error_model="numpy")(_step_at)
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    return prototype(made.address), made


class LiveCore:
    """Steps a core one event at a time. Write the event into `event[0]`, call `step`, read `out` and empty it.

    One thread, one owner: nothing here locks, allocates or waits.
    """

    def __init__(self, core: state.Core) -> None:
        self.core = core
        self.event: np.ndarray[Any, Any] = np.zeros(1, RECORD)
        self.out: Flat = new_output(OUTPUT_ROOM)
        if not DISABLED:
            self._call, self._keep = _pointer()
        self._addresses = (core.state.table_address, int(self.event.ctypes.data), self.out.table_address)

    def step(self) -> int:
        """Apply `event[0]`. Returns the number of entries in `out`; the caller sets ``out.count[0] = 0``."""
        if DISABLED:
            step(self.core.state, self.event[0], self.out)
            return int(self.out.count[0])
        return self._call(*self._addresses)
