"""An emergency inside the engine: the core is told, and told flat only where every venue's own answers prove it.

Rules
-----
* Five doors (command, HTTP, phone link, SIGUSR1, a file), one path: `engine.store.emergency_file`. The file is looked
  for every `LOOK_S`; SIGUSR1 makes that now, and is an emergency by itself where there is no file.
* The core does the work: entries cancelled, HALTED, every position closed, tried again for ever. Here it is proved.
* Needs neither Redis nor PostgreSQL nor room on the disk.
* A venue that cannot be asked is NOT FLAT: named with the reason, asked on for ever, and a person is told again and
  again. Once proved, only an answer to the contrary takes it back.
* It ends when the core is told to resume, by a person; a file that vanished does not end it.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from engine.contracts import reasons
from engine.contracts.errors import Fatal, KeelError, Retryable
from engine.contracts.instruments import Instrument
from engine.contracts.records import NO_INSTRUMENT, OPERATOR, RECORD
from engine.runtime.alerts import Alert, Alerts
from engine.runtime.flatness import Books, look
from engine.runtime.loop import LiveLoop
from engine.store import emergency_file
from engine.store.emergency_file import FLAT, NOT_FLAT, Progress, Request, VenueProgress
from engine.venues.port import Notice, Venue

LOOK_S: Final = 0.05
ASK_S: Final = 5.0  # a venue that takes longer cannot be asked
FIRST_PAUSE_S: Final = 0.02
FIRST_OPEN_S: Final = 0.5  # while our own books say that something is open: asking uses what the exits need
LOST_PAUSE_S: Final = 2.0  # at most, while it cannot be asked; the cheapest question goes ahead of the others then
OPEN_PAUSE_S: Final = 5.0  # at most
FLAT_PAUSE_S: Final = 30.0  # at most, once it is flat
CLOSING_S: Final = 5.0  # what is not flat by then is told as NOT FLAT
TELL_S: Final = 1.0
KEY: Final = "emergency"


def hear_signal() -> asyncio.Event:
    """From now on SIGUSR1 sets the event instead of ending this process. For the main thread, before the engine shows
    itself to others."""
    called = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, called.set)
    return called


class Emergency:
    """Waits for an emergency and carries it out. `called` is set by SIGUSR1 (see `hear_signal`)."""

    def __init__(
        self,
        home: Path,
        engine: LiveLoop,
        venues: Sequence[Venue],
        instruments: Sequence[Instrument],
        alerts: Alerts,
        notice: Callable[[Notice], None],
        called: asyncio.Event | None = None,
    ) -> None:
        traded = {one.venue for one in instruments}
        self._home = home
        self._engine = engine
        self._venues = [venue for venue in venues if venue.name in traded]
        self._alerts = alerts
        self._notice = notice
        self._called = called or asyncio.Event()
        self._again = asyncio.Event()  # ask all venues now
        self._news = asyncio.Event()  # a venue's state changed
        self._seen: dict[str, VenueProgress] = {}
        self._done = ""  # id of the request that was carried out
        self._trouble = ""

    async def run(self) -> None:
        """Until cancelled. Raises what breaks the core's turn."""
        while True:
            await self._carry_out(await self._asked())

    # --- the request ------------------------------------------------------------------------------

    async def _asked(self) -> Request:
        while True:
            is_called = self._called.is_set()
            self._called.clear()
            request = self._pending() or (self._by_signal() if is_called else None)
            if request is not None and request.id != self._done:
                return request
            await self._look_later()

    async def _look_later(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._called.wait()
        except TimeoutError:
            pass

    def _pending(self) -> Request | None:
        try:
            return emergency_file.pending(self._home)
        except Retryable as error:
            self._mention(str(error))
            return None

    def _by_signal(self) -> Request:
        who, why = "signal", "SIGUSR1"
        try:
            return emergency_file.request(self._home, who, why)
        except (Fatal, Retryable) as error:
            self._mention(f"{error}; the emergency goes on, remembered by this process alone")
            return Request(id=f"signal-{time.time_ns():x}", who=who, why=why, ts_ns=time.time_ns())

    def _mention(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            self._notice(Notice("engine", "emergency", text))

    # --- carrying it out --------------------------------------------------------------------------

    async def _carry_out(self, request: Request) -> None:
        """Until a person resumes, or asks for another one."""
        self._order()
        text = f"asked for by {request.who}: {request.why}. Entries are cancelled, positions closed, nothing opens."
        self._notice(Notice("engine", "emergency", text))
        self._alerts.put(Alert(level="WARNING", title="Emergency", text=text, key=f"{KEY}.asked"))
        self._seen = {venue.name: VenueProgress(venue=venue.name) for venue in self._venues}
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._prove(venue, request.ts_ns)) for venue in self._venues]
            tasks.append(group.create_task(self._tell_on(request, began_s)))
            await self._over(request)
            for task in tasks:
                task.cancel()

    def _order(self) -> None:
        event = np.zeros(1, RECORD)
        event["kind"], event["instrument"], event["reason"] = OPERATOR, NO_INSTRUMENT, reasons.OPERATOR_EMERGENCY
        event["ts_ns"] = self._engine.now_ns()
        self._engine.inject(event)

    async def _over(self, request: Request) -> None:
        while True:
            await self._look_later()
            if self._called.is_set():
                self._called.clear()
                self._again.set()
                self._again.clear()
            standing = self._pending()
            if self._engine.core.state.head[0].flattening == 0:
                self._done = request.id if standing is None else standing.id
                self._alerts.put(Alert(level="INFO", title="Emergency over", text="a person resumed trading", key=KEY))
                return
            if standing is not None and standing.id != request.id:
                return

    # --- the proof --------------------------------------------------------------------------------

    async def _prove(self, venue: Venue, since_ns: int) -> None:
        """Ask one venue, again and again; at once when our books say that it is closed, or it can be reached again."""
        pause_s = FIRST_PAUSE_S
        while True:
            seen, before = await self._look(venue, since_ns), self._seen[venue.name]
            if seen.unreachable and before.flat:
                seen = before
            if seen != before:
                self._seen[venue.name] = seen
                self._news.set()
                pause_s = FIRST_PAUSE_S
            if not seen.unreachable and not Books(self._engine.core, venue.name).is_closed:
                pause_s = max(pause_s, FIRST_OPEN_S)
            await self._pause(venue, pause_s)
            most_s = LOST_PAUSE_S if seen.unreachable else FLAT_PAUSE_S if seen.flat else OPEN_PAUSE_S
            pause_s = min(2 * pause_s, most_s)

    async def _look(self, venue: Venue, since_ns: int) -> VenueProgress:
        before = self._seen[venue.name]
        try:
            async with asyncio.timeout(ASK_S):
                if before.unreachable:
                    await venue.account.wallets()
                return await look(venue, self._engine.core, since_ns, before)
        except TimeoutError:
            why = f"no answer within {ASK_S:g} s"
        except (KeelError, OSError) as error:
            why = str(error) or type(error).__name__
        books = Books(self._engine.core, venue.name)
        return VenueProgress(
            venue=venue.name, flat=False, orders=books.working, positions=books.held(), unreachable=why,
            words="as last heard",
        )  # fmt: skip

    async def _pause(self, venue: Venue, pause_s: float) -> None:
        books, give_up_s = Books(self._engine.core, venue.name), time.monotonic() + pause_s
        was_closed, was_ready = books.is_closed, venue.execution.is_ready
        while (left_s := give_up_s - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(left_s, FIRST_PAUSE_S)):
                    await self._again.wait()
                    return
            except TimeoutError:
                if books.is_closed != was_closed or venue.execution.is_ready > was_ready:
                    return

    # --- telling ----------------------------------------------------------------------------------

    async def _tell_on(self, request: Request, began_s: float) -> None:
        """Write where it stands after every change, and once a second while it is not flat; tell a person."""
        said = ""
        while True:
            self._news.clear()
            told = progress_of(request, list(self._seen.values()), time.monotonic() - began_s)
            try:
                await asyncio.to_thread(emergency_file.report, self._home, told)
            except Fatal as error:
                self._mention(str(error))
            about = str([told.phase, *((v.flat, v.orders, v.positions, v.unreachable != "") for v in told.venues)])
            if about != said and told.flat is not None:
                said = about
                self._say(told)
            try:
                async with asyncio.timeout(None if told.flat else TELL_S):
                    await self._news.wait()
            except TimeoutError:
                pass

    def _say(self, told: Progress) -> None:
        self._notice(Notice("engine", "emergency", told.words))
        level, title = ("WARNING", "Emergency: FLAT") if told.flat else ("CRITICAL", "Emergency: NOT FLAT")
        self._alerts.put(Alert(level=level, title=title, text=told.words, key=KEY))  # type: ignore[arg-type]


def progress_of(request: Request, venues: Sequence[VenueProgress], seconds: float, by: str = "engine") -> Progress:
    """What the venues' states mean together."""
    is_flat = all(one.flat for one in venues)
    is_lost = any(one.unreachable for one in venues) or seconds >= CLOSING_S
    flat = True if is_flat else False if is_lost else None
    return Progress(
        request=request.id, phase=FLAT if is_flat else NOT_FLAT if is_lost else "closing", flat=flat, by=by,
        seconds=round(seconds, 3), ts_ns=time.time_ns(), venues=tuple(venues), words=words_of(venues, flat, seconds),
    )  # fmt: skip


def words_of(venues: Sequence[VenueProgress], flat: bool | None, seconds: float) -> str:
    """The same for a person, in a line."""
    parts = [part for one in venues if (part := _venue_words(one))]
    if flat:
        asked = ", ".join(one.venue for one in venues)
        return "; ".join([f"FLAT after {seconds:.2f} s, proved by what {asked} answered", *parts])
    head = "closing" if flat is None else f"NOT FLAT after {seconds:.0f} s"
    return f"{head}: {'; '.join(parts) or 'the venues are being asked'}. It is tried again until it is flat."


def _venue_words(one: VenueProgress) -> str:
    found = [f"{one.orders} orders"] if one.orders else []
    found += one.positions
    said = []
    if one.unreachable:
        said.append(f"cannot be asked ({one.unreachable}); as last heard open: {', '.join(found) or 'nothing'}")
    elif found:
        said.append(f"open: {', '.join(found)}" + (f" ({one.words})" if one.words else ""))
    if one.foreign:
        said.append(f"not ours, left alone: {', '.join(one.foreign)}")
    if one.dust:
        said.append(f"too small to sell: {', '.join(one.dust)}")
    return f"{one.venue} {', '.join(said)}" if said else ""
