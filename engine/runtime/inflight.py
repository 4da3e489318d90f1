"""Orders whose fate the venue has not told, and the asking until it does.

Rules
-----
* A command without an answer for `ANSWER_S` becomes ORDER_UNKNOWN: capital stays reserved, no new risk there.
* Whatever is unknown is asked for by client id until the venue answers; a network error is no answer.
* An order whose cancel is refused because the venue does not know it ended unheard: what became of it is asked for.
* "No such order" counts only when it is still said `LATE_S` after the send: until then the request may arrive.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from engine.contracts import reasons
from engine.contracts.errors import KeelError, Retryable
from engine.contracts.records import (
    CANCEL_ACK,
    CANCEL_REJECT,
    FILL,
    ORDER_ACK,
    ORDER_EXPIRED,
    ORDER_REJECT,
    ORDER_TRIGGERED,
    ORDER_UNKNOWN,
    RECORD,
)
from engine.venues.port import Execution, Inlet, Notice, Records

ANSWER_S: Final = 2.0
LATE_S: Final = 12.0  # past every receive window: a request that has not arrived by now never will
PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
ANSWERS: Final = frozenset(
    (ORDER_ACK, ORDER_REJECT, FILL, CANCEL_ACK, CANCEL_REJECT, ORDER_EXPIRED, ORDER_TRIGGERED)
)  # fmt: skip


class InFlight:
    """What was sent and not answered. `sent` and `heard` are told of everything that goes out and comes in."""

    def __init__(self, routes: Sequence[Execution], inlet: Inlet, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._routes = routes
        self._inlet = inlet
        self._clock_ns = clock_ns
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, tuple[float, int]] = {}  # client id -> when late, instrument; oldest first
        self._timer: asyncio.TimerHandle | None = None  # one, for the oldest
        self._asking: dict[int, asyncio.Task[None]] = {}
        self._doubted: set[int] = set()  # asked for now, and unknown again meanwhile: asked once more

    @property
    def unanswered(self) -> int:
        """Commands sent and not answered yet, unknown ones included."""
        return len(self._waiting) + len(self._asking)

    def sent(self, instrument: int, client_id: int, replaced_id: int = 0) -> None:
        """A command about order `client_id` is about to leave; of a replacement, the order it replaces."""
        self._forget(client_id)
        late_s = self._loop.time() + ANSWER_S
        self._waiting[client_id] = (late_s, instrument)
        if self._timer is None:
            self._timer = self._loop.call_at(late_s, self._look)
        if replaced_id:
            self._forget(replaced_id)

    def rehearse(self, instrument: int, client_id: int) -> None:
        """As `sent`, leaving nothing behind."""
        self.sent(instrument, client_id)
        self._forget(client_id)

    def heard(self, records: Records, count: int) -> None:
        """Order events of a venue are on their way to the core."""
        for k in range(count):
            kind, client_id = int(records["kind"][k]), int(records["client_id"][k])
            if kind in ANSWERS:
                self._forget(client_id)
                if kind == CANCEL_REJECT and int(records["reason"][k]) == reasons.UNKNOWN_ORDER:
                    self.recheck([(int(records["instrument"][k]), client_id)])
            elif kind == ORDER_UNKNOWN:
                self._forget(client_id)
                if client_id in self._asking:
                    self._doubted.add(client_id)
                else:
                    self._ask(int(records["instrument"][k]), client_id)

    def recheck(self, orders: Sequence[tuple[int, int]]) -> None:
        """Ask about working orders (instrument, client id): their venue was out of hearing for a while."""
        for instrument, client_id in orders:
            if client_id not in self._asking:
                self._ask(instrument, client_id)

    def close(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._asking.values():
            task.cancel()
        self._waiting.clear()

    def _forget(self, client_id: int) -> None:
        self._waiting.pop(client_id, None)

    def _look(self) -> None:
        """Give up on what is late, come back when the next one is."""
        self._timer = None
        now = self._loop.time()
        for client_id, (late_s, instrument) in list(self._waiting.items()):
            if late_s > now:
                self._timer = self._loop.call_at(late_s, self._look)
                return
            del self._waiting[client_id]
            self._tell(instrument, client_id, ORDER_UNKNOWN, 0)

    def _ask(self, instrument: int, client_id: int) -> None:
        task = self._loop.create_task(self._ask_until_told(instrument, client_id))
        self._asking[client_id] = task
        task.add_done_callback(lambda _done: self._told(client_id))

    def _told(self, client_id: int) -> None:
        del self._asking[client_id]
        self._doubted.discard(client_id)

    async def _ask_until_told(self, instrument: int, client_id: int) -> None:
        started, refusal = self._loop.time(), ""
        for attempt in itertools.count():
            self._doubted.discard(client_id)
            try:
                if await self._routes[instrument].ask(instrument, client_id):
                    if client_id not in self._doubted:
                        return
                    started = self._loop.time()
                elif self._loop.time() - started >= LATE_S:
                    self._tell(instrument, client_id, ORDER_REJECT, reasons.UNKNOWN_ORDER)
                    return
            except Retryable:
                pass  # the venue could not be asked: that says nothing about the order
            except KeelError as error:  # a revoked key: the order may live on, and a person can mend that
                if str(error) != refusal:
                    refusal = str(error)
                    text = f"order {client_id} cannot be asked for: {refusal}; asking again until it is told"
                    self._inlet.notice(Notice("engine", "refused", text, instrument))
            await asyncio.sleep(PAUSES_S[min(attempt, len(PAUSES_S) - 1)])

    def _tell(self, instrument: int, client_id: int, kind: int, reason: int) -> None:
        record = np.zeros(1, RECORD)
        record["kind"], record["instrument"], record["client_id"] = kind, instrument, client_id
        record["reason"] = reason
        record["ts_ns"] = record["venue_ts_ns"] = self._clock_ns()
        self._inlet.account(record, 1)
