"""Where a life ends by itself: SIGKILL from inside, at one instruction. Installed in a forked life only."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engine.contracts import reasons
from engine.contracts import records as r
from engine.journal import atomic, frames
from engine.journal.segments import JournalWriter
from engine.runtime import reconcile, service
from engine.runtime.lanes import Lanes
from engine.runtime.loop import LiveLoop
from engine.runtime.reconcile import Reconciler
from engine.venues.binance.execution import BinanceExecution

UNDER_WAY_S = 0.0015
Want = Mapping[str, int]
"""Fields of a record, and what they hold."""
ORDERS: dict[str, Want] = {
    "entry": {"kind": r.PLACE, "role": r.ROLE_ENTRY},
    "stop": {"kind": r.PLACE, "role": r.ROLE_STOP},
    "exit": {"kind": r.PLACE, "role": r.ROLE_EXIT},
    "cancel": {"kind": r.CANCEL},
    "leg": {"kind": r.PLACE, "role": r.ROLE_LEG, "reason": reasons.CYCLE_LEG},
    "way back": {"kind": r.PLACE, "role": r.ROLE_LEG, "reason": reasons.UNWIND_LEG},
}
"""Commands, in the journal and on their way to the venue."""
FILES = {"opening": "/opening/", "manifest": "manifest.json", "rotation": ".keel", "snapshot": "/snapshots/"}
ANSWERS = (r.ORDER_ACK, r.ORDER_REJECT, r.CANCEL_ACK, r.CANCEL_REJECT, r.ORDER_EXPIRED)


class Trap:
    """Counts how often a place is passed, once it is armed, and ends the process at the `count`th time. What arms it:
    its `birth`, the tests' `word`, or the first leg of a `cycle`. `after_s`: of a place that is a moment, how long
    after its beginning."""

    def __init__(self, name: str, count: int, armed_by: str, after_s: float = 0.0) -> None:
        self.name, self.count, self.armed_by, self.after_s = name, count, armed_by, after_s
        self.is_armed = armed_by == "birth"

    def arm(self, by: str) -> None:
        """Count from now on, if that is what it waits for."""
        self.is_armed = self.is_armed or by == self.armed_by

    def is_due(self) -> bool:
        """Passed once more; True at the time it counts."""
        if not self.is_armed:
            return False
        self.count -= 1
        return self.count == 0

    def passed(self) -> None:
        """The place is passed."""
        if self.is_due():
            die()


def die() -> None:
    """As `kill -9` from outside, at this instruction."""
    os.kill(os.getpid(), signal.SIGKILL)


def install(trap: Trap) -> None:
    """Put the trap where its name says. Raises KeyError for a name without a place."""
    _PLACES[trap.name](trap)
    if trap.armed_by == "cycle":
        _when_journalled(ORDERS["leg"], lambda: trap.arm("cycle"))


def _around(owner: Any, name: str, before: Callable[..., None] | None, after: Callable[..., None] | None) -> None:
    """Call `before` and `after` with the arguments of a function or method, around it."""
    plain = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if before is not None:
            before(*arguments, **named)
        found = plain(*arguments, **named)
        if after is not None:
            after(*arguments, **named)
        return found

    setattr(owner, name, wrapped)


# --- the journal ----------------------------------------------------------------------------------


def _holds(entries: Any, want: Want) -> bool:
    records = entries["record"]
    return bool(np.logical_and.reduce([records[name] == value for name, value in want.items()]).any())


def _when_journalled(want: Want, then: Callable[[], None], when: str = "after") -> None:
    def look(_journal: Any, entries: Any) -> None:
        if _holds(entries, want):
            then()

    _around(JournalWriter, "append", look if when == "before" else None, look if when == "after" else None)


def _journalled(trap: Trap, want: Want, when: str = "after") -> None:
    _when_journalled(want, trap.passed, when)


def _amid(trap: Trap) -> None:
    """At a moment after a leg was journalled, whatever it does then: a thread of its own keeps the time."""

    def begin() -> None:
        if trap.is_due():
            threading.Timer(trap.after_s, die).start()

    _when_journalled(ORDERS["leg"], begin)


def _torn(trap: Trap, want: Want) -> None:
    """The frame that holds the command is written in part."""

    def look(journal: Any, entries: Any) -> None:
        if not len(entries) or not _holds(entries, want) or not trap.is_due():
            return
        payload = memoryview(entries.view("u1").data)
        whole = frames.encode_frame_head(journal._place, len(entries), payload) + bytes(payload)
        os.write(journal._file, whole[: len(whole) * 2 // 3])
        die()

    _around(JournalWriter, "_write_frame", look, None)


def _segment(trap: Trap, first: bool, when: str) -> None:
    def look(_journal: Any, number: int) -> None:
        if (number == 0) == first:
            trap.passed()

    _around(JournalWriter, "_start_segment", look if when == "before" else None, look if when == "after" else None)


# --- files that are replaced -------------------------------------------------------------------------


def _file(trap: Trap, which: str, when: str) -> None:
    """While a file is written: `begun` (a temporary file holds a part), `written` (all), `renamed`."""
    part = FILES[which]

    def is_it(path: Any) -> bool:
        text = str(path)
        return part in text and not (which == "rotation" and text.endswith("000000.keel"))

    if when == "begun":
        plain = atomic.replace_file

        def begun(path: Path, chunks: Any) -> None:
            def some() -> Any:
                for chunk in chunks:
                    yield chunk
                    if is_it(path):
                        trap.passed()

            plain(path, some())

        atomic.replace_file = begun
        return

    def look(_source: Any, target: Any) -> None:
        if is_it(target):
            trap.passed()

    _around(os, "replace", look if when == "written" else None, look if when == "renamed" else None)


# --- orders and answers --------------------------------------------------------------------------------


def _sent(trap: Trap, want: Want, under_way: bool = False) -> None:
    def look(_execution: Any, command: Any) -> None:
        if all(int(command[name]) == value for name, value in want.items()):
            if not under_way:
                trap.passed()
            elif trap.is_due():
                asyncio.get_running_loop().call_later(UNDER_WAY_S, die)

    _around(BinanceExecution, "send", None, look)


def _heard(trap: Trap, kinds: tuple[int, ...]) -> None:
    def look(_lanes: Any, records: Any, count: int) -> None:
        if any(int(kind) in kinds for kind in records["kind"][:count]):
            trap.passed()

    _around(Lanes, "account", look, None)


# --- starting, reconciling -------------------------------------------------------------------------------


def _step(trap: Trap, name: str) -> None:
    """After a question of the reconciliation was answered."""
    plain = getattr(Reconciler, name)

    async def wrapped(*arguments: Any, **named: Any) -> Any:
        found = await plain(*arguments, **named)
        trap.passed()
        return found

    setattr(Reconciler, name, wrapped)


def _told(trap: Trap) -> None:
    """Before the reconciliation tells the core something."""
    _around(Reconciler, "_tell", lambda *_: trap.passed(), None)
    _around(Reconciler, "_adopt", lambda *_: trap.passed(), None)


def _going_on(trap: Trap) -> None:
    """The first events of a run that continues another are journalled."""
    _around(LiveLoop, "inject", None, lambda *_: trap.passed())


def _orders(name: str, want: Want) -> dict[str, Callable[[Trap], None]]:
    return {
        f"{name} decided": partial(_journalled, want=want, when="before"),
        f"{name} journalled": partial(_journalled, want=want),
        f"{name} torn": partial(_torn, want=want),
        f"{name} sent": partial(_sent, want=want),
        f"{name} under way": partial(_sent, want=want, under_way=True),
    }


def _files(which: str) -> dict[str, Callable[[Trap], None]]:
    return {f"{which} {when}": partial(_file, which=which, when=when) for when in ("begun", "written", "renamed")}


_PLACES: dict[str, Callable[[Trap], None]] = {
    **{name: place for of, want in ORDERS.items() for name, place in _orders(of, want).items()},
    **{name: place for which in FILES for name, place in _files(which).items()},
    "answer heard": partial(_heard, kinds=ANSWERS),
    "fill heard": partial(_heard, kinds=(r.FILL,)),
    "fill journalled": partial(_journalled, want={"kind": r.FILL}),
    "end journalled": partial(_journalled, want={"kind": r.CLOSED}),
    "amid": _amid,
    "rotation begun": partial(_segment, first=False, when="before"),
    "rotation done": partial(_segment, first=False, when="after"),
    "first segment": partial(_segment, first=True, when="after"),
    "recovered": lambda trap: _around(service, "carry_over", lambda *_: trap.passed(), None),
    "started going on": _going_on,
    "reconciliation step": partial(_step, name="_insist"),
    "reconciliation told": _told,
    "look at orders": partial(_step, name="_compare_orders"),
    "look at positions": partial(_step, name="_compare_positions"),
}


def hurry() -> None:
    """What takes long in a real life takes a fraction of a second in this one: snapshots, rotation, looks."""
    from engine.runtime import inflight, snapshots

    inflight.LATE_S = 0.6
    snapshots.LOOK_S, snapshots.EVERY_S = 0.02, 0.1
    reconcile.ORDERS_S, reconcile.POSITIONS_S = 0.15, 0.3
    service.JournalWriter = partial(JournalWriter, segment_bytes=12_000)
