"""What people see of a running engine: rows for the live view, made from the core, the journal and the venues."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np

from engine.contracts import reasons
from engine.contracts.records import CANCEL, CYCLE, ENTRY, FILL, ORDER_REJECT, PLACE, REFUSED
from engine.contracts.redaction import clean
from engine.core.state import Core
from engine.runtime.loop import LiveLoop
from engine.runtime.reconcile import Reconciler
from engine.store import coreview, cycleview, selectionview
from engine.store.liveview import LiveWriter
from engine.store.viewrows import ACCOUNT, ENGINE, MARKET, EngineRow, FeedRow, NoticeRow, cell, cells
from engine.venues.port import Notice, StreamHealth, Venue

EVERY_S: Final = 0.25
NOTICES_KEPT: Final = 1_000
SHOWN: Final = (PLACE, CANCEL, REFUSED, ORDER_REJECT, FILL, CYCLE)


class Listener(Protocol):
    """Hears what is told and what was journalled; never waits, never raises."""

    def notice(self, one: Notice) -> None:
        """At once."""

    def journalled(self, entries: np.ndarray[Any, Any]) -> None:
        """ENTRYs, a quarter of a second later at the most."""


class Showing:
    """Fills the live view from the engine, four times a second; `notices` keeps the last things told to people."""

    def __init__(
        self, mode: str, strategies: Sequence[str], venues: Sequence[Venue], log: Callable[[str], None]
    ) -> None:
        self._log = log
        self._mode = mode
        self._strategies = ", ".join(strategies)
        self._venues = venues
        self._started_ns = time.time_ns()
        self._told: deque[tuple[int, Notice]] = deque(maxlen=NOTICES_KEPT)
        self.notices: deque[tuple[int, Notice]] = deque(maxlen=NOTICES_KEPT)
        self._last = (time.monotonic(), 0)
        self._in_force: tuple[LiveWriter | None, bytes] = (None, b"")
        self.listeners: list[Listener] = []
        self.reconciler: Reconciler | None = None
        self._strange = -1
        self.counts: dict[str, int] = {"orders": 0, "fills": 0, "refusals": 0, "rejects": 0}
        self.refusals: dict[str, int] = {}
        self.cycles = cycleview.CycleWatch()

    def notice(self, notice: Notice) -> None:
        """Something to tell people; never waits."""
        notice = notice._replace(text=clean(notice.text))
        for one in self.listeners:
            one.notice(notice)
        self._told.append((time.time_ns(), notice))
        self.notices.append((time.time_ns(), notice))

    async def show_on(self, engine: LiveLoop, view: LiveWriter | None) -> None:
        """Until cancelled; without a `view` only the counts go on."""
        while True:
            self.show(engine, view)
            await asyncio.sleep(EVERY_S)

    def show(self, engine: LiveLoop, view: LiveWriter | None) -> None:
        """One look at everything."""
        blocks = [engine.journalled.popleft() for _ in range(len(engine.journalled))]
        entries = np.frombuffer(b"".join(blocks), ENTRY)
        for one in self.listeners:
            one.journalled(entries)
        records = entries["record"]
        for record in records[_shown(records["kind"])]:
            self._row(engine.core, record, view)
        while self._told:
            stamp, told = self._told.popleft()
            self._log(f"{told.venue} {told.kind}: {told.text}")
            if view is None:
                continue
            name = "" if told.instrument is None else coreview.name_of(engine.core, told.instrument)
            row = NoticeRow(ts_ns=stamp, venue=told.venue, kind=told.kind, text=told.text, instrument=name)
            view.add("notices", cell(row))
        if view is None:
            return
        view.put("positions", cells(coreview.positions(engine.core)))
        view.put("orders", cells(coreview.orders(engine.core)))
        view.put("equity", cells({ACCOUNT: coreview.account(engine.core), ENGINE: self._about(engine)}))
        view.put("feeds", cells(self.feeds()))
        view.put("selection", cells(selectionview.selection(engine.core)))
        view.put("market", cells({MARKET: selectionview.market(engine.core)}))
        view.put("desks", cells(cycleview.desks(engine.core, self.cycles)))
        core = engine.core.state
        seen = (view, core.limits.tobytes() + core.params.tobytes() + core.selector_words.tobytes())
        if seen != self._in_force:
            self._in_force = seen
            view.put("in_force", cells(coreview.in_force(engine.core)))
        if self.reconciler is not None and self.reconciler.changes != self._strange:
            self._strange = self.reconciler.changes
            view.put("foreign", cells(self.reconciler.foreign_rows()))

    def feeds(self) -> dict[str, FeedRow]:
        """Every stream of every venue."""
        return {
            f"{venue.name}:{one.name}": _feed(venue.name, one)
            for venue in self._venues
            for one in (*venue.market.health(), *venue.execution.health())
        }

    def _row(self, core: Core, record: Any, view: LiveWriter | None) -> None:
        kind = int(record.kind)
        if kind in (PLACE, CANCEL):
            self.counts["orders"] += kind == PLACE
            if view is not None:
                view.add("decisions", cell(coreview.decision(core, record)))
        elif kind == FILL:
            self.counts["fills"] += 1
            if view is not None:
                view.add("fills", cell(coreview.fill(core, record)))
        elif kind == CYCLE:
            ended = self.cycles.take(core, record)
            if view is not None and ended is not None:
                view.add("cycles", cell(ended))
        else:
            self.counts["refusals" if kind == REFUSED else "rejects"] += 1
            name = reasons.name(int(record.reason))
            self.refusals[name] = self.refusals.get(name, 0) + 1
            if view is not None:
                view.add("refusals", cell(coreview.refusal(core, record)))

    def _about(self, engine: LiveLoop) -> EngineRow:
        events, now = int(engine.core.state.head[0].seq), time.monotonic()
        then, before = self._last
        self._last = (now, events)
        ticks: list[float | None] = [*engine.latency.percentile_us(50, 99)] or [None, None]
        return EngineRow(
            mode=self._mode, started_ns=self._started_ns, strategies=self._strategies, events=events,
            events_per_s=round((events - before) / max(now - then, 1e-3), 1), queue=engine.lanes.waiting,
            conflated=sum(engine.lanes.conflated.values()), orders=self.counts["orders"],
            tick_to_order_us_p50=ticks[0], tick_to_order_us_p99=ticks[1],
            journal_ok=not engine.journal_fault, notes=engine.journal_fault,
            reconciled_ns=self.reconciler.last_ns if self.reconciler is not None else 0,
        )  # fmt: skip


def _shown(kinds: Any) -> Any:
    found = kinds == SHOWN[0]
    for kind in SHOWN[1:]:
        found |= kinds == kind
    return found


def _feed(venue: str, one: StreamHealth) -> FeedRow:
    return FeedRow(
        venue=venue, stream=one.name, connected=one.connected, data_ns=one.data_ns, messages=one.messages,
        reconnects=one.reconnects, gaps=one.gaps, undecodable=one.undecodable, clock_offset_ms=one.clock_offset_ms,
    )  # fmt: skip
