"""The simulated venue in real time: what happens at it when the market and the wall clock go on.

Rules
-----
* The venue lives by the engine's clock: a market event happens at it when it was heard (`ts_ns`), just before the
  engine sees it; the feed's latency lies before both. `venue_ts_ns` of its answers is of the same clock.
* A command arrives one order latency after it was sent, an answer one reply latency after it happened. What is due
  earlier happens first; at the same instant the market before our commands, as in a backtest (`run.advance`).
* Its clock never runs backwards: whatever comes late happens now.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import numba
import numpy as np
from numba import carray, types

from engine.contracts.instruments import Instrument
from engine.contracts.records import RECORD, RECORD_BYTES
from engine.core import state
from engine.core.compile import CACHING, DISABLED, kernel
from engine.core.limits import Limits
from engine.core.memory import Flat, as_flat
from engine.core.timers import NEVER
from engine.simulation.exchange import on_command, on_market
from engine.simulation.venue import REPLIES, SENDS, SimulationModel, copy_record, new_venue, send

Array = np.ndarray[Any, Any]
_TIMEFRAMES_S: Final = (60, 300, 900)  # of a core that is made only to read instruments and cash off it
_FILTERS: Final = ("min_lots", "max_lots", "min_notional_e8", "maker_fee_e8", "taker_fee_e8")


@kernel
def _arrive(v: Any, until_ns: int) -> None:
    """Commands due until then reach the venue."""
    head = v.head[0]
    while head.sends_count > 0 and v.sends[np.uintp(head.sends_first)].ts_ns <= until_ns:
        command = v.sends[np.uintp(head.sends_first)]
        command.ts_ns = max(command.ts_ns, head.now_ns)
        on_command(v, command)
        head.sends_first = (head.sends_first + 1) % v.sends.shape[0]
        head.sends_count -= 1


@kernel
def _happen(v: Any, events: Any, until_ns: int, moment: Any) -> bool:
    """Market events as they were heard, and all commands due until `until_ns` or the last of them. True where an
    answer was caused, or one is due."""
    head = v.head[0]
    before = head.replies_count
    now_ns = max(until_ns, head.now_ns)
    for k in range(events.shape[0]):
        now_ns = max(events[k].ts_ns, head.now_ns)
        _arrive(v, now_ns - 1)
        copy_record(moment, events[k])
        moment.venue_ts_ns = now_ns
        on_market(v, moment)
    _arrive(v, now_ns)
    head.now_ns = now_ns
    if head.replies_count != before:
        return True
    return head.replies_count > 0 and v.replies[np.uintp(head.replies_first)].ts_ns <= now_ns


def new_account(instruments: Sequence[Instrument], model: SimulationModel, capital_usd: float) -> Flat:
    """A fresh venue with `capital_usd` and no orders. Raises BadInput for a capital outside 1..10,000,000."""
    return new_venue(state.new_core(instruments, Limits(), capital_usd, {}, _TIMEFRAMES_S), model)


_ANY: Final = Instrument(
    symbol="any", venue="any", base="A", quote="B", tick_size=Decimal(1), lot_size=Decimal(1), min_qty=Decimal(1),
    max_qty=Decimal(1),
)  # fmt: skip
_TYPE: Final = new_account([_ANY], SimulationModel(), 1.0).flat_type


def _happen_at(venue_at: Any, events_at: Any, count: int, until_ns: int, moment_at: Any) -> int:
    """`_happen` by addresses."""
    events = carray(events_at, (count,), RECORD)
    return int(_happen(as_flat(venue_at, _TYPE), events, until_ns, carray(moment_at, (1,), RECORD)[0]))


def _send_at(venue_at: Any, command_at: Any) -> int:
    """`venue.send` by addresses."""
    send(as_flat(venue_at, _TYPE), carray(command_at, (1,), RECORD)[0])
    return 0


@lru_cache(maxsize=1)
def _pointers() -> tuple[Any, Any, Any]:
    """Both as C functions, and the compiled objects that must outlive them."""
    voidptr, int64 = types.voidptr, types.int64
    settings = {"cache": CACHING, "error_model": "numpy"}
    happen = numba.cfunc(int64(voidptr, voidptr, int64, int64, voidptr), **settings)(_happen_at)
    sending = numba.cfunc(int64(voidptr, voidptr), **settings)(_send_at)
    pointer, word = ctypes.c_void_p, ctypes.c_int64
    return (
        ctypes.CFUNCTYPE(word, pointer, pointer, word, word, pointer)(happen.address),
        ctypes.CFUNCTYPE(word, pointer, pointer)(sending.address),
        (happen, sending),
    )


class PaperVenue:
    """A simulated venue that market events, commands and the passing of time are told to as they come.

    One thread, one owner. `flat` is the venue's memory; its answers are taken with `answers`.
    """

    def __init__(self, flat: Flat) -> None:
        self.flat = flat
        self._moment: Array = np.zeros(1, RECORD)
        self._command: Array = np.zeros(1, RECORD)
        self._nothing: Array = np.zeros(0, RECORD)
        self._heard: Array = self._nothing  # the array whose address is known
        self._heard_at = self._heard.ctypes.data
        self._lane: Array = flat.replies.view(np.uint8).reshape(-1, RECORD_BYTES)
        if not DISABLED:
            self._happen, self._send, self._keep = _pointers()
        self._at = flat.table_address
        self._moment_at, self._command_at = self._moment.ctypes.data, self._command.ctypes.data

    @property
    def now_ns(self) -> int:
        """The venue's clock."""
        return int(self.flat.head[0].now_ns)

    @property
    def arrival_ns(self) -> int:
        """When the next command arrives; NEVER without one."""
        head = self.flat.head[0]
        return int(self.flat.sends[head.sends_first].ts_ns) if head.sends_count else NEVER

    @property
    def answer_ns(self) -> int:
        """When the next answer is due; NEVER without one."""
        head = self.flat.head[0]
        return int(self.flat.replies[head.replies_first].ts_ns) if head.replies_count else NEVER

    def market(self, events: Array, count: int) -> bool:
        """The first `count` market events (C-contiguous RECORDs) happen. True where there may be answers to take:
        one was caused, or one is due."""
        if DISABLED:
            return bool(_happen(self.flat, events[:count], 0, self._moment[0]))
        if events is not self._heard:
            self._heard, self._heard_at = events, events.ctypes.data
        return self._happen(self._at, self._heard_at, count, 0, self._moment_at) != 0

    def pass_time(self, now_ns: int) -> None:
        """Nothing was heard until `now_ns`: commands due by then arrive."""
        if DISABLED:
            _happen(self.flat, self._nothing, now_ns, self._moment[0])
        else:
            self._happen(self._at, 0, 0, now_ns, self._moment_at)

    def send(self, command: Any, now_ns: int) -> bool:
        """A PLACE or CANCEL leaves now. False where too many are on their way; nothing was sent then."""
        if self.flat.head[0].sends_count >= SENDS:
            return False
        self._command[0] = command
        self._command["ts_ns"] = max(int(command["ts_ns"]), now_ns)
        if DISABLED:
            send(self.flat, self._command[0])
        else:
            self._send(self._at, self._command_at)
        return True

    def waiting(self) -> Array:
        """A copy of the answers on their way, oldest first."""
        head = self.flat.head[0]
        places = (int(head.replies_first) + np.arange(int(head.replies_count))) % REPLIES
        return self._lane[places].reshape(-1).view(RECORD)

    def take(self, count: int) -> None:
        """Forget the `count` oldest answers: they were told."""
        head = self.flat.head[0]
        head.replies_first = (int(head.replies_first) + count) % REPLIES
        head.replies_count = int(head.replies_count) - count

    def change_rule(self, event: Any) -> None:
        """A FILTER record: the venue's rules changed."""
        row, index = int(event["instrument"]), int(event["index"])
        if row < len(self.flat.instruments) and 0 <= index < len(_FILTERS) and event["amount_e8"] >= 0:
            self.flat.instruments[_FILTERS[index]][row] = event["amount_e8"]
