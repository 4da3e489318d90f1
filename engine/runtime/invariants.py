"""The invariant monitor: watches a running engine from its journal, with books of its own, and halts it.

Rules
-----
* It is told nothing by strategies and calls nothing of the core's arithmetic: see `engine.runtime.shadow_books`.
* It runs between turns of the loop: `hear` takes every flushed block, `look` books them all and compares. What it
  then finds in the core's memory is what the records must bear out, exactly.
* A violation is told once, through `halt`, when the look is over. Nothing is put right: a person looks. Trading
  resumed by a person begins the books anew, and what is still wrong is told again.
* Where nobody looked for so long that `ROOM_BYTES` wait, they are dropped, the books begin anew from the core's memory,
  and that is said through `say`.
* While the loop itself stood still (no look for `STALL_NS`) nobody could have protected anything: no clock counts that.
* `run` is a part for `Service.keep`: a defect of the monitor is a violation too (MONITOR_FAILED), and it begins again
  from the core's memory.

Codes and what to do: docs/invariants.md.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.instruments import Instrument
from engine.contracts.records import ENTRY, NO_INSTRUMENT
from engine.core.limits import WORD_BOUNDS
from engine.core.orders import ACTIVE
from engine.core.state import Core
from engine.journal.plain import Row
from engine.runtime.shadow_books import opened
from engine.runtime.shadow_compare import differences
from engine.runtime.shadow_gate import Day, judge_cycle, judge_entry, judge_worst
from engine.runtime.shadow_guard import Guard

EVERY_S: Final = 0.25
TOLD: Final = 1_000
STALL_NS: Final = 1_000_000_000
ROOM_BYTES: Final = 32 * 1024 * 1024
"""Of blocks that nobody looked at: 466,000 records."""
_ROW: Final = struct.Struct("<qqHBBHHHHbBHqqqqq")
_ANSWERS: Final = (
    r.ORDER_ACK, r.ORDER_REJECT, r.CANCEL_ACK, r.CANCEL_REJECT, r.ORDER_EXPIRED, r.ORDER_UNKNOWN, r.ORDER_TRIGGERED,
)  # fmt: skip
_OURS: Final = (*_ANSWERS, r.FILL, r.FUNDING, r.PLACE, r.CANCEL)
_KEPT: Final = (*_OURS, r.BALANCE, r.LIMIT, r.FILTER, r.OPERATOR, r.STATE, r.EQUITY, r.CYCLE)
_WATCHED: Final = ("head", "positions", "orders", "wallets", "balances", "limits", "pots", "cycle")

Array = np.ndarray[Any, Any]


class Violation(NamedTuple):
    """An invariant that does not hold. `instrument` is `NO_INSTRUMENT` where it is the account's."""

    code: str
    instrument: int
    text: str


class Monitor:
    """Made with the core, before its first record. Everything is called from the loop's own thread."""

    def __init__(
        self,
        core: Core,
        instruments: Sequence[Instrument],
        halt: Callable[[Violation], None],
        whole: bool = True,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """`instruments` as the core was made with. `halt` takes each distinct violation once. `whole`: the journal has
        every event, as a live one has; a backtest's leaves the market out. `say` takes what is no violation."""
        self._whole, self._say = whole, say
        self._core, self._instruments, self._halt = core, tuple(instruments), halt
        self._told: set[tuple[str, int, object]] = set()
        self._due: list[Violation] = []
        self.violations: list[Violation] = []
        self.inbox: deque[bytes] = deque()
        self._waiting_bytes = 0
        self.is_behind = False
        self._looked_ns = 0
        self._open()

    def _open(self) -> None:
        """Begin with what the core holds now."""
        head = self._core.state.head[0]
        numbers = {name: int(head[name]) for name in head.dtype.names}
        self.books = opened(self._core, self._instruments, self._tell)
        self.day = Day(self.books, numbers)
        self.seq, self.now_ns = numbers["seq"], numbers["now_ns"]
        self._state = numbers["trading_state"]
        self._guard = Guard(self.books)
        self._peak = numbers["peak_e8"] if self.books.is_flat else None  # prices move it while something is open
        self._least_peak: int | None = numbers["peak_e8"]  # it was no less; None: a person resumed, not known yet
        self._group, self._has_entry, self._may_lift, self._is_resumed = self.seq, False, False, False
        self._memory = (-1, b"")
        self.is_failed = False

    # --- as a part of the service -----------------------------------------------------------------

    def hear(self, block: bytes) -> None:
        """A flushed block of ENTRYs. Costs an append."""
        if self.is_behind:
            return
        self.inbox.append(block)
        self._waiting_bytes += len(block)
        if self._waiting_bytes > ROOM_BYTES:
            self.is_behind = True
            self.inbox.clear()

    async def run(self, clock_ns: Callable[[], int]) -> None:
        """Look four times a second until cancelled. Whatever it fails with is a violation, and raised to the caller."""
        if self.is_failed:
            self._begin_anew()
        while True:
            try:
                self.look(clock_ns())
            except Exception as error:
                self.is_failed = True
                self._tell("MONITOR_FAILED", NO_INSTRUMENT, type(error), f"the invariant monitor failed: {error!r}")
                self._hand_on()
                raise
            await asyncio.sleep(EVERY_S)

    def look(self, now_ns: int) -> None:
        """Book everything heard, then check. Call it between the engine's turns."""
        stood_ns = now_ns - self._looked_ns
        if self._looked_ns and stood_ns > STALL_NS:
            self._guard.postpone(stood_ns)
        self._looked_ns = now_ns
        if self.is_behind:
            self._begin_anew()
            self._say("the invariant monitor fell behind; unchecked records are dropped, the core's memory is believed")
        elif self.inbox:
            blocks = b"".join(self.inbox)
            self.inbox.clear()
            self._waiting_bytes = 0
            self.take(np.frombuffer(blocks, ENTRY))
        self.check(now_ns)
        is_resumed = self._is_resumed
        self._is_resumed = False
        self._hand_on()
        if is_resumed and self._told:
            self._told.clear()
            self._begin_anew()

    def _begin_anew(self) -> None:
        self.inbox.clear()
        self._waiting_bytes, self.is_behind = 0, False
        self._open()

    def _hand_on(self) -> None:
        """Tell what was found. Halting is an event: it must not come in the middle of a comparison."""
        due, self._due = self._due, []
        for one in due:
            self._halt(one)

    # --- records ----------------------------------------------------------------------------------

    def take(self, entries: Array) -> None:
        """Book journalled ENTRYs: whole blocks, in order, none twice."""
        if not len(entries):
            return
        records = entries["record"]
        kinds, seqs = records["kind"], entries["seq"]
        is_event = kinds < r.FIRST_COMMAND
        self._in_order(seqs[is_event])
        times = np.maximum.accumulate(records["ts_ns"])
        kept = np.isin(kinds, _KEPT)
        packed = entries[kept].tobytes() if kept.all() else b"".join(entries[k].tobytes() for k in kept.nonzero()[0])
        for values, ts_ns in zip(_ROW.iter_unpack(packed), times[kept].tolist(), strict=True):
            self._one(Row(*values), ts_ns)
        self._end_group()
        self._pass(int(times[-1]))

    def _in_order(self, seqs: Array) -> None:
        if not len(seqs):
            return
        steps = np.diff(seqs, prepend=self.seq)
        if self._whole and (steps != 1).any():
            k = int((steps != 1).argmax())
            self._tell("RECORDS_MISSING", NO_INSTRUMENT, 0, f"record {int(seqs[k])} does not follow the one before it")
        self.seq = int(seqs[-1])

    def _pass(self, ts_ns: int) -> None:
        """Engine time goes on."""
        self.now_ns = max(self.now_ns, ts_ns)
        self.day.roll(self.now_ns)

    def _one(self, row: Row, ts_ns: int) -> None:
        if row.seq != self._group:
            self._end_group()
            self._group = row.seq
        self._pass(ts_ns)
        if row.kind in _OURS and row.instrument >= len(self.books.held):
            self._tell(
                "WRONG_INSTRUMENT", NO_INSTRUMENT, row.seq, f"record {row.seq} is of instrument {row.instrument}"
            )
        elif row.kind in _ANSWERS:
            self.books.answer(row)
        else:
            _TAKERS[row.kind](self, row._replace(ts_ns=self.now_ns))

    def _end_group(self) -> None:
        """The event and everything it led to are booked."""
        if self._has_entry:
            judge_worst(self.books, self.day, self._least_peak, self._group)
        for i in self.books.touched | self._guard.waiting:
            self._protection(i, self.now_ns)
            if self.books.held[i].lots != 0:
                self._peak = None
        if not self.books.pots.is_empty:
            self._peak = None
        self.books.touched.clear()
        self._has_entry = self._may_lift = False

    def _place(self, row: Row) -> None:
        if row.role == r.ROLE_ENTRY:
            judge_entry(self.books, self.day, self._state, row)
            self._has_entry = True
        self.books.place(row)

    def _cycle(self, row: Row) -> None:
        if row.reason == reasons.CYCLE_BEGUN:
            judge_cycle(self.books, self.day, self._state, row)
            self._has_entry = True
        self.books.pots.note(row)

    def _cancel(self, row: Row) -> None:
        self.books.cancel(row)

    def _fill(self, row: Row) -> None:
        self._peak = None
        self.books.fill(row, self.day.trade_limit_e8())

    def _fund(self, row: Row) -> None:
        if row.w3 != 0:
            self._peak = None
            self.books.fund(row)

    def _balance(self, row: Row) -> None:
        deposit = self.books.balance(row)
        self._peak = None
        self._least_peak = None if self._least_peak is None else self._least_peak + deposit
        self.day.refit(deposit)

    def _limit(self, row: Row) -> None:
        names = list(self.books.limits)
        if 0 <= row.w0 < len(names) and WORD_BOUNDS[row.w0][0] <= row.w3 <= WORD_BOUNDS[row.w0][1]:
            self.books.limits[names[row.w0]] = row.w3
            self.day.refit(0)

    def _filter(self, row: Row) -> None:
        self.books.filter(row)

    def _operator(self, row: Row) -> None:
        if row.reason == reasons.OPERATOR_RESUME:
            self._may_lift = self._is_resumed = True
            self._peak = self._least_peak = None

    def _state_note(self, row: Row) -> None:
        before, after = row.w0, row.w1
        if before != self._state:
            self._tell("STATE", NO_INSTRUMENT, row.seq, f"trading was in state {self._state}, a note says {before}")
        if after < before and not (after == ACTIVE and self._may_lift):
            self._tell("STATE_LIFTED", NO_INSTRUMENT, row.seq, f"trading went from {before} to {after} by itself")
        self._state = after

    def _equity(self, row: Row) -> None:
        self.day.told(row.w0 - row.w3)
        self._least_peak = None if self._least_peak is None else max(self._least_peak, row.w0)

    # --- checks -----------------------------------------------------------------------------------

    def check(self, now_ns: int) -> None:
        """Compare with the core, and look at the clocks. Only while every record the core made was taken."""
        for i in range(len(self.books.held)):
            self._protection(i, max(now_ns, self.now_ns))
        self._pots_sold(max(now_ns, self.now_ns))
        head = self._core.state.head[0]
        if self._whole and int(head["seq"]) != self.seq:
            text = f"the core took {int(head['seq'])} events, {self.seq} were told"
            self._tell("RECORDS_MISSING", NO_INSTRUMENT, 0, text)
            return
        self.day.settle(int(head["day_start_e8"]), int(head["day_limit_e8"]))
        self._see_peak(int(head["peak_e8"]))
        day = {
            "day_start_e8": self.day.start_e8, "day_limit_e8": self.day.limit_e8, "day_end_ns": self.day.end_ns,
            "day_fees_e8": self.day.fees_e8, "day_funding_e8": self.day.funding_e8, "trading_state": self._state,
            "peak_e8": self._peak,
        }  # fmt: skip
        count = len(self._told)
        for one in differences(self._core, self.books, day):
            text = f"{one.name} is {one.core} in the core, {one.books} by the records"
            self._tell(one.code, one.instrument, one.name, text)
        self._unchanged(count)

    def _see_peak(self, peak_e8: int) -> None:
        """While nothing is open the peak may only go up to what there is: a correction is seen with the next hour."""
        self._least_peak = peak_e8 if self._least_peak is None else self._least_peak
        if not self.books.is_flat:
            return
        if self._peak is None or peak_e8 == max(self._peak, self.books.totals.book_e8):
            self._peak = peak_e8

    def _unchanged(self, told_before: int) -> None:
        """Without an event nothing changes."""
        memory = b"".join(getattr(self._core.state, name).tobytes() for name in _WATCHED)
        now = int(self._core.state.head[0]["seq"])
        seq, before = self._memory
        if seq == now and memory != before and len(self._told) == told_before:
            self._tell("MEMORY", NO_INSTRUMENT, self.seq, "the core's memory changed without an event")
        self._memory = (now, memory)

    def _protection(self, i: int, now_ns: int) -> None:
        mark = int(self._core.state.positions[i]["mark_ticks"])
        held = self.books.held[i]
        if (wrong := self._guard.look(i, now_ns, mark)) != "":
            self._tell("UNPROTECTED", i, held.opened_ns, wrong)

    def _pots_sold(self, now_ns: int) -> None:
        pots = self.books.pots
        patience_ns = int(self._core.state.arbitrage_params[0]["max_seconds"] * 1e9)
        for i, pot in enumerate(pots.pots):
            if pot.qty_e8 == 0:
                continue
            mark = int(self._core.state.pots[i]["mark_ticks"])
            if (wrong := pots.look(self.books, i, now_ns, mark, patience_ns)) != "":
                self._tell("POT_HELD", i, pot.cost_e8, wrong)

    def _tell(self, code: str, instrument: int, subject: object, text: str) -> None:
        """Once for each code, instrument and subject."""
        key = (code, instrument, subject)
        if key in self._told or len(self._told) >= TOLD:
            return
        self._told.add(key)
        name = self._instruments[instrument].symbol + ": " if instrument < len(self._instruments) else ""
        violation = Violation(code, instrument, name + text)
        self.violations.append(violation)
        self._due.append(violation)


_TAKERS: Final[dict[int, Callable[[Monitor, Row], None]]] = {
    r.PLACE: Monitor._place,
    r.CANCEL: Monitor._cancel,
    r.FILL: Monitor._fill,
    r.FUNDING: Monitor._fund,
    r.BALANCE: Monitor._balance,
    r.LIMIT: Monitor._limit,
    r.FILTER: Monitor._filter,
    r.OPERATOR: Monitor._operator,
    r.STATE: Monitor._state_note,
    r.EQUITY: Monitor._equity,
    r.CYCLE: Monitor._cycle,
}
