"""The live loop: lanes -> core -> journal -> dispatcher, all on one asyncio loop.

Rules
-----
* What the world can see is journalled first: a command is sent only after it and every event before it were written.
* Everything is written at the end of the turn that took it (`logbook.py`). That keeps the code in the processor's
  caches, so that a turn with an order is no slower than one without.
* Nothing here waits: not for a venue, a database, a log or the disk's sync.
* Where the journal cannot be written, entries are refused on the spot; exits and cancels still go out.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts.errors import KeelError
from engine.contracts.records import (
    BUY,
    CANCEL_REJECT,
    FOK,
    LIMIT_ORDER,
    ORDER_REJECT,
    ORDER_UNKNOWN,
    PLACE,
    RECORD,
    ROLE_ENTRY,
    TRADE,
)
from engine.core import state, timers
from engine.core.live import FINISHED, WANTS, LiveCore, new_lane, put
from engine.journal.segments import JournalWriter
from engine.runtime.inflight import InFlight
from engine.runtime.lanes import MARKET_ROOM, Lanes
from engine.runtime.latency import Latency
from engine.runtime.logbook import Logbook
from engine.venues.port import Execution, Notice, Records, Rehearsing

SEEN_BLOCKS: Final = 16_384
REHEARSE_NS: Final = 1_000_000
REHEARSAL_ID: Final = (1 << 63) - 1
"""Client id of the order that is never sent."""
_COMMAND: Final = struct.Struct("<14xHHH4xq24xq").unpack  # role, kind, instrument, client_id, ref_id of a record
_CAUSE: Final = struct.Struct("<q8xH46x").unpack  # ts_ns, kind; a field of a record by its name costs microseconds


class LiveLoop:
    """One core, one journal, any number of venues. Everything is called from the loop's own thread."""

    def __init__(
        self,
        core: state.Core,
        journal: JournalWriter,
        routes: Sequence[Execution],
        notice: Callable[[Notice], None],
        clock_ns: Callable[[], int] = time.time_ns,
        room: int = MARKET_ROOM,
    ) -> None:
        """`routes[i]` is where orders for instrument `i` go. `notice` takes what people should be told."""
        self.core = core
        self._live = LiveCore(core)
        self.logbook = Logbook(journal, notice)
        self._routes = routes
        self._notice = notice
        self._clock_ns = clock_ns
        self._loop = asyncio.get_running_loop()
        self._timer_lane = new_lane(16)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_ns = timers.NEVER
        self.broken: asyncio.Future[None] = self._loop.create_future()  # fails with what broke a turn
        self.lanes = Lanes(self._wake, notice, room)
        self.in_flight = InFlight(routes, self.lanes, clock_ns)
        self.lanes.watch_account = self.in_flight.heard
        self.latency = Latency()
        self._rehearsed_ns = 0
        self._rehearsals = [
            (route.rehearse, blank_entry(instrument))
            for instrument, route in enumerate(routes)
            if isinstance(route, Rehearsing) and route not in routes[:instrument]
        ]
        self.journalled: deque[bytes] = deque(maxlen=SEEN_BLOCKS)  # ENTRYs, for those who show them
        self.taps: list[Callable[[bytes], None]] = []  # who must hear every block, in the turn: they only keep it

    def now_ns(self) -> int:
        """The engine's clock: wall ns UTC."""
        return self._clock_ns()

    # --- events in --------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._loop.call_soon(self.pump)

    def pump(self) -> None:
        """Take everything that waits: what is due, then account events, then market data."""
        now = self._clock_ns()
        if now >= self._live.next_timer_ns:
            self._take_timers(now)
        account, market = self.lanes.account_lane, self.lanes.market_lane
        self._take(account)
        self._take(market)
        self._flush()
        self.lanes.taken()
        if self.lanes.waiting:  # a venue answered while it was being asked
            self._wake()
        if self._live.next_timer_ns != self._timer_due_ns:
            self._arm_timer()
        if now - self._rehearsed_ns >= REHEARSE_NS:
            self._rehearsed_ns = now
            self._rehearse()

    def inject(self, events: Records) -> None:
        """Take events that come from no venue (people, approvals, warming up), now and in order."""
        lane = new_lane(len(events))
        put(lane, events)
        self._take(lane)
        self._flush()
        self._arm_timer()

    def _take(self, lane: Any) -> None:
        try:
            while (outcome := self._live.take(lane)) != FINISHED:
                self._flush()
                if outcome == WANTS:
                    self._send()
        except Exception as error:  # half a turn is no state to trade on from
            if not self.broken.done():
                self.broken.set_exception(error)
                self.broken.exception()  # raised below too: asyncio need not say that nobody looked
            raise

    def _take_timers(self, now_ns: int) -> None:
        while now_ns >= self._live.next_timer_ns:
            self._timer_lane.at[:] = 0
            put(self._timer_lane, self._live.timer(now_ns))
            self._take(self._timer_lane)

    def _arm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_due_ns = due = self._live.next_timer_ns
        if due < timers.NEVER:
            self._timer = self._loop.call_later(max(due - self._clock_ns(), 0) / 1e9, self._ring)

    def _ring(self) -> None:
        self._timer_due_ns = 0  # it rang, perhaps before its time (clocks differ, and are set): armed anew if so
        self.pump()

    # --- the journal ------------------------------------------------------------------------------

    def _flush(self) -> None:
        entries = self._live.spooled()
        if not len(entries):
            return
        self.logbook.write(entries)
        block = entries.tobytes()
        self.journalled.append(block)
        for tap in self.taps:
            tap(block)
        self._live.clear()

    @property
    def journal_fault(self) -> str:
        """Why the journal cannot be written now; empty where it can."""
        return self.logbook.fault

    # --- commands out -----------------------------------------------------------------------------

    def _send(self) -> None:
        caused_ns, cause = _CAUSE(self._live.cause.tobytes())
        for command in self._live.commands():
            role, kind, instrument, client_id, ref_id = _COMMAND(command.tobytes())
            replaced_id = ref_id if kind == PLACE else 0
            if self.journal_fault and kind == PLACE and role == ROLE_ENTRY:
                self._answer(command, CANCEL_REJECT, reasons.JOURNAL_FAILED, replaced_id)
                self._answer(command, ORDER_REJECT, reasons.JOURNAL_FAILED, client_id)
                continue
            self.in_flight.sent(instrument, client_id, replaced_id)
            try:
                self._routes[instrument].send(command)
            except KeelError as error:  # one venue's trouble is not the others'
                self._notice(Notice("engine", "refused", f"order {client_id} may not have left: {error}", instrument))
                self._answer(command, ORDER_UNKNOWN, reasons.VENUE_REFUSED, replaced_id)
                self._answer(command, ORDER_UNKNOWN, reasons.VENUE_REFUSED, client_id)
        if cause <= TRADE:
            self.latency.note(self._clock_ns() - caused_ns)

    def _rehearse(self) -> None:
        """Go through `_send` with an order that is not sent, once in a while: see `Rehearsing`."""
        _CAUSE(self._live.cause.tobytes())
        self._live.commands()
        for rehearse, blank in self._rehearsals:
            _, _, instrument, client_id, _ = _COMMAND(blank.tobytes())
            self.in_flight.rehearse(instrument, client_id)
            rehearse(blank)

    def _answer(self, command: Any, kind: int, reason: int, client_id: int) -> None:
        """Tell the core what became of an order of a command that did not leave; 0: there is none."""
        if not client_id:
            return
        answer = np.zeros(1, RECORD)
        answer["kind"], answer["instrument"], answer["client_id"] = kind, command.instrument, client_id
        answer["ts_ns"] = answer["venue_ts_ns"] = self._clock_ns()
        answer["reason"] = reason
        self.lanes.account(answer, 1)

    def close(self) -> None:
        """Take what waits, mark the end of the run, write everything; the journal stays the caller's to close."""
        if not self.broken.done():
            self.pump()
            last = np.zeros(2, RECORD)
            last[:] = self._live.timer(self._clock_ns())
            last["timer_id"] = (timers.MARK_EQUITY, timers.JUDGE_DAY)
            self.inject(last)
        self.in_flight.close()
        self.logbook.close()
        if self._timer is not None:
            self._timer.cancel()


def blank_entry(instrument: int) -> Any:
    """The entry that is rehearsed."""
    made = np.zeros(1, RECORD)
    made["kind"], made["role"], made["instrument"], made["client_id"] = PLACE, ROLE_ENTRY, instrument, REHEARSAL_ID
    made["order_type"], made["tif"], made["side"], made["price_ticks"], made["qty_lots"] = LIMIT_ORDER, FOK, BUY, 1, 1
    return made[0]
