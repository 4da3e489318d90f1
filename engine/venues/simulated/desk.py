"""Our simulated account at one venue: market records and commands in, answers out when they are due.

Rules
-----
* Whatever was due before a market record happens before it, and is told before it. When the market is silent, the
  clock's alarm does the same: one alarm is set, for what is due next.
* With a folder to save in, an answer is told once the account that gave it is on disk: what the engine was told, a
  restarted venue knows. Saving takes a thread and is hidden by the reply latency as a rule.
* Answers are numbered from 0 in the order they were caused; they are told in that order.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.contracts.errors import BadInput, Retryable
from engine.contracts.instruments import Instrument
from engine.contracts.reasons import RATE_LIMITED
from engine.contracts.records import CANCEL, CANCEL_REJECT, FILL, FILTER, FUNDING, ORDER_ACK, ORDER_REJECT, RECORD
from engine.core.orders import POOL
from engine.core.state import CASH_ASSETS
from engine.core.timers import NEVER
from engine.simulation.paper import PaperVenue, new_account
from engine.simulation.venue import SimulationModel
from engine.venues.fills import SeenFills
from engine.venues.port import Inlet, Notice
from engine.venues.simulated import saved
from engine.venues.simulated.clock import Alarm, Clock
from engine.venues.simulated.history import History, picked

Array = np.ndarray[Any, Any]
_ALL: Final = sys.maxsize


class Desk:
    """One simulated account. It opens with the instruments; questions before that raise Retryable."""

    def __init__(
        self, name: str, model: SimulationModel, capital_usd: float, folder: Path | None, clock: Clock
    ) -> None:
        self.name = name
        self.clock = clock
        self.told = 0  # answers told
        self.told_ns = 0
        self.history = History()
        self.seen = SeenFills()
        self.instruments: Sequence[Instrument] = ()
        self.was_restored = False
        self._model, self._capital_usd, self._folder = model, capital_usd, folder
        self._paper: PaperVenue | None = None
        self._inlet: Inlet | None = None
        self._noted = 0  # answers in the history
        self._safe = _ALL if folder is None else 0  # answers that may be told: their account is saved
        self._unsaved = asyncio.Event()
        self._alarm: Alarm | None = None
        self._alarm_ns = NEVER

    @property
    def paper(self) -> PaperVenue:
        """The simulated venue. Raises Retryable before it opened."""
        if self._paper is None:
            raise Retryable(f"{self.name}: the simulated account opens when the venue runs; ask again then")
        return self._paper

    @property
    def mine(self) -> list[tuple[int, Instrument]]:
        """This venue's instruments with their numbers."""
        return [(k, one) for k, one in enumerate(self.instruments) if one.venue == self.name]

    @property
    def cash_asset(self) -> str:
        """What the account's cash is called: the commonest quote asset of its instruments."""
        quotes = [one.quote for _, one in self.mine]
        return max(sorted(set(quotes)), key=quotes.count)

    @property
    def is_running(self) -> bool:
        """Open, and somebody is there to be told."""
        return self._inlet is not None

    def open(self, instruments: Sequence[Instrument]) -> None:
        """Open the account, as it was saved where it was. Once; a second time changes nothing.

        Raises BadInput where a symbol is paid in what cannot be bought for dollars here, and what `saved.read` raises.
        """
        if self._paper is not None:
            return
        flat = new_account(instruments, self._model, self._capital_usd)
        for number, one in enumerate(instruments):
            if one.venue == self.name and one.quote not in CASH_ASSETS and flat.quote_row[number] < 0:
                raise BadInput(
                    f"{self.name}: {one.symbol} is paid in {one.quote}; a simulated account begins with dollars "
                    f"({', '.join(CASH_ASSETS)}): add a pair that sells {one.quote} for it, or leave the symbol out"
                )
        if self._folder is not None:
            earlier = saved.read(self._folder, instruments, flat)
            self.was_restored = earlier is not None
            if earlier is not None:
                self.history.restore(earlier)
        self.instruments = list(instruments)
        self._paper = PaperVenue(flat)

    # --- what happens -----------------------------------------------------------------------------

    def market(self, records: Array, count: int) -> None:
        """Market records were heard: they happen here before the engine sees them."""
        if self.paper.market(records, count):
            self._turn(self.paper.now_ns)

    def rules(self, records: Array, count: int) -> None:
        """FILTER records hold for the simulated venue too."""
        for record in records[:count]:
            if record["kind"] == FILTER:
                self.paper.change_rule(record)

    def send(self, command: Any) -> None:
        """A command of ours leaves now."""
        now_ns = self.clock.now_ns()
        if self.paper.send(command, now_ns):
            self._arm()
        elif self._inlet is not None:
            refused: Array = np.zeros(1, RECORD)
            refused["kind"] = CANCEL_REJECT if command["kind"] == CANCEL else ORDER_REJECT
            refused["ts_ns"] = refused["venue_ts_ns"] = now_ns
            refused["reason"] = RATE_LIMITED
            for name in ("instrument", "side", "client_id", "price_ticks", "qty_lots"):
                refused[name] = command[name]
            self._inlet.account(refused, 1)

    def is_under_way(self, client_id: int) -> bool:
        """Whether a command about this order has not arrived yet, or an answer was not told yet."""
        head, sends = self.paper.flat.head[0], self.paper.flat.sends
        places = (int(head.sends_first) + np.arange(int(head.sends_count))) % len(sends)
        waiting = self.paper.waiting()
        answers = waiting["client_id"][waiting["kind"] != FUNDING]
        return bool((sends["client_id"][places] == client_id).any() or (answers == client_id).any())

    def standing(self, instrument: int, client_id: int) -> Array:
        """An ORDER_ACK of an order that stands at the venue, made anew; empty where none does. Only for orders whose
        own answers are forgotten: it tells what is left of them."""
        record: Array = np.zeros(1, RECORD)
        orders = self.paper.flat.orders
        order = orders[client_id % POOL]
        if client_id <= 0 or (order.client_id, order.instrument) != (client_id, instrument):
            return record[:0]
        record["kind"], record["ts_ns"] = ORDER_ACK, self.clock.now_ns()
        record["venue_ts_ns"], record["qty_lots"] = self.paper.now_ns, order.left_lots
        for name in ("instrument", "side", "client_id", "price_ticks", "trigger_ticks", "venue_order_id"):
            record[name] = order[name]
        return record

    def tell(self, records: Array) -> int:
        """Tell the engine what it asked for, fills only where they are new to it; returns how many were told."""
        new = [k for k in range(len(records)) if records["kind"][k] != FILL or self._is_new(records[k])]
        if new and self._inlet is not None:
            self._inlet.account(picked(records, new), len(new))
        return len(new)

    async def round_trip(self) -> None:
        """Wait as long as a question and its answer take."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        head = self.paper.flat.head[0]
        due_ns = self.clock.now_ns() + int(head.order_latency_ns) + int(head.reply_latency_ns)
        alarm = self.clock.call_at(due_ns, lambda: None if done.done() else done.set_result(None))
        try:
            await done
        finally:
            alarm.cancel()

    # --- answers ----------------------------------------------------------------------------------

    def _turn(self, now_ns: int) -> None:
        """Note what is new, tell what is due, and set the alarm for what comes next."""
        waiting = self.paper.waiting()
        fresh = self.told + len(waiting) - self._noted
        if fresh:
            for answer in waiting[len(waiting) - fresh :]:
                self.history.note(self._noted, answer)
                self._noted += 1
            self._unsaved.set()
        due = int(np.searchsorted(waiting["ts_ns"], now_ns, side="right"))
        due = min(due, self._safe - self.told)
        if due > 0 and self._inlet is not None:
            self.paper.take(due)
            self.told += due
            self.told_ns = now_ns
            self.tell(waiting[:due])
        self._arm()

    def _is_new(self, fill: Any) -> bool:
        return self.seen.is_new(int(fill["instrument"]), int(fill["trade_id"]))

    def _arm(self) -> None:
        """One alarm, for what is due next; answers that wait for the disk are told when that is done."""
        due_ns = self.paper.arrival_ns if self._inlet is not None else NEVER
        if self._inlet is not None and self.told < self._safe:
            due_ns = min(due_ns, self.paper.answer_ns)
        if due_ns == self._alarm_ns:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_ns, self._alarm = due_ns, None
        if due_ns != NEVER:
            self._alarm = self.clock.call_at(due_ns, self._rung)

    def _rung(self) -> None:
        self._alarm, self._alarm_ns = None, NEVER
        now_ns = self.clock.now_ns()
        self.paper.pass_time(now_ns)
        self._turn(self.paper.now_ns)

    # --- running and saving -----------------------------------------------------------------------

    async def run(self, inlet: Inlet) -> None:
        """Tell `inlet` until cancelled, saving what changes. Raises Fatal where it cannot be saved."""
        self._inlet = inlet
        inlet.notice(Notice(self.name, "emulated", self._greeting()))
        self._rung()
        try:
            if self._folder is None:
                await asyncio.get_running_loop().create_future()
            else:
                await self._keep_saving(self._folder)
        finally:
            self._inlet = None
            self._arm()

    def _greeting(self) -> str:
        origin = "as it was saved" if self.was_restored else f"with fresh capital of ${self._capital_usd:,.2f}"
        return (
            f"{self.name}: orders and account are SIMULATED ({origin}); prices are the venue's, no order leaves this "
            f"machine; assumed latency {self._model.order_latency_ms:g} + {self._model.reply_latency_ms:g} ms"
        )

    async def _keep_saving(self, folder: Path) -> None:
        writing: asyncio.Future[Path] | None = None
        try:
            while True:
                await self._unsaved.wait()
                self._unsaved.clear()
                mark, parts = self._noted, saved.parts_of(self.paper.flat, self.history.saved())
                writing = asyncio.ensure_future(asyncio.to_thread(saved.write, folder, self.instruments, parts))
                await asyncio.shield(writing)
                self._safe = mark
                self._turn(max(self.clock.now_ns(), self.paper.now_ns))
        finally:
            if writing is not None and not writing.done():
                await writing
            saved.write(folder, self.instruments, saved.parts_of(self.paper.flat, self.history.saved()))
