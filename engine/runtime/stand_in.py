"""Acting at one venue in the engine's place: a venue session of its own, what is ours there, single orders.

Rules
-----
* What is ours is what the run had, and every fill of its orders and of ours that it had not counted.
* An order is over when the venue says how it ended; one in doubt is asked for, and no other one follows it before the
  venue told, or `LATE_S` went by: until then it may still arrive.
* Exits are reduce-only where the venue knows that; on spot never more is sold than is ours and than the wallet holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import numpy as np

from engine.contracts import records as r
from engine.contracts.errors import KeelError
from engine.runtime.ours import Ours
from engine.venues.background import reason_of
from engine.venues.port import Notice, OpenOrder, Records, Venue

ANSWER_S: Final = 2.0
LATE_S: Final = 12.0  # past every receive window: a request that has not arrived by now never will
ASK_S: Final = 0.3
PAUSES_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
TOUCH_S: Final = 0.3  # how long an exit waits for a price before it goes without one
ENDS: Final = frozenset((r.ORDER_REJECT, r.CANCEL_ACK, r.ORDER_EXPIRED))


class Look(NamedTuple):
    """The venue's own answers. `orders`: of ours, in all books; `positions`: signed lots of perpetuals; `wallets`:
    free and all units of an asset, in 1e-8; `foreign`: what else is open there, in words."""

    orders: list[OpenOrder]
    positions: dict[int, int]
    wallets: dict[str, tuple[int, int]]
    foreign: tuple[str, ...]


class Sent:
    """An order of ours, or a cancel. `reason` is the venue's where it was refused."""

    def __init__(self, client_id: int, instrument: int, lots: int) -> None:
        self.client_id, self.instrument, self.lots = client_id, instrument, lots
        self.filled, self.reason = 0, 0
        self.is_doubted = False
        self.over = asyncio.Event()
        self.news = asyncio.Event()


class StandIn:
    """To be used within ``async with``. `venue` is opened under `ClientIds.stand_in()` and is closed at the end."""

    def __init__(self, venue: Venue, ours: Ours, say: Callable[[str], None]) -> None:
        self.venue, self.ours = venue, ours
        self.numbers = ours.at(venue.name)
        self.lots = {number: ours.lots.get(number, 0) for number in self.numbers}
        self.touches: dict[int, tuple[int, int]] = {}
        self._say = say
        self._told: set[tuple[int, int]] = set(ours.booked)
        self._sent: dict[int, Sent] = {}
        self._next_id = time.time_ns() // 1_000  # above client_ids.FIRST_STAND_IN since 2005, and rising
        self._priced = asyncio.Event()
        self._is_caught_up = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        stack = self._stack
        stack.push_async_callback(self.venue.close)
        for part in (self.venue.execution.run, self.venue.market.run):
            keeping = keep(self.venue.name, partial(part, self.ours.instruments, self), self._say)
            stack.push_async_callback(end, asyncio.create_task(keeping))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    # --- the inlet --------------------------------------------------------------------------------

    def market(self, records: Records, count: int) -> None:
        """Only the touch is of interest."""
        for k in range(count):
            if records["kind"][k] == r.QUOTE:
                bid, ask = int(records["bid_ticks"][k]), int(records["ask_ticks"][k])
                if bid > 0 and ask > 0:
                    self.touches[int(records["instrument"][k])] = bid, ask
                    self._priced.set()

    def account(self, records: Records, count: int) -> None:
        """Fills change what is ours; everything about an order of ours is news of it."""
        for k in range(count):
            record = records[k]
            kind = int(record["kind"])
            sent = self._sent.get(int(record["client_id"]))
            if kind == r.FILL:
                self._filled(record, sent)
            elif sent is not None and kind == r.ORDER_UNKNOWN:
                sent.is_doubted = True
                sent.news.set()
            elif sent is not None and (kind in ENDS or kind == r.CANCEL_REJECT):
                sent.reason = int(record["reason"])
                sent.over.set()
                sent.news.set()

    def notice(self, notice: Notice) -> None:
        """What the venue says to people."""
        if notice.kind not in ("connected", "emulated", "foreign"):
            self._say(f"{notice.venue}: {notice.text}")

    def _filled(self, record: Any, sent: Sent | None) -> None:
        number, lots, trade = int(record["instrument"]), int(record["qty_lots"]), int(record["trade_id"])
        if (number, trade) in self._told:
            return
        if trade:
            self._told.add((number, trade))
        one = self.ours.instruments[number]
        self.lots[number] = self.lots.get(number, 0) + int(record["side"]) * lots
        if int(record["bits"]) & r.FEE_IN_BASE and one.kind == "spot":
            self.lots[number] = max(self.lots[number] - -(-int(record["fee_e8"]) // one.lot_base_e8), 0)
        if sent is not None:
            sent.filled += lots
            if sent.filled >= sent.lots > 0:
                sent.over.set()
            sent.news.set()

    # --- questions --------------------------------------------------------------------------------

    async def look(self) -> Look:
        """Ask the venue for everything. Raises Retryable, Refused: no answer is never an empty one."""
        account = self.venue.account
        is_spot = any(self.ours.instruments[n].kind == "spot" for n in self.numbers)
        is_perp = any(self.ours.instruments[n].kind == "perp" for n in self.numbers)
        async with asyncio.TaskGroup() as group:
            work = group.create_task
            orders = work(_told(account.open_orders()))
            positions = work(_told(account.positions())) if is_perp else None
            wallets = work(_told(account.wallets())) if is_spot else None
            fills = work(_told(self._catch_up()))
        for task in (orders, positions, wallets, fills):
            if task is not None and isinstance(error := task.result(), KeelError):
                raise error
        everything = _answer(orders)
        held = {one.instrument: one.qty_lots for one in _answer(positions)} if positions else {}
        found = {
            one.asset: (int(one.free * 10**8), int((one.free + one.locked) * 10**8))
            for one in (_answer(wallets) if wallets else ())
        }
        mine = [one for one in everything if one.client_id is not None]
        strange = [f"order {one.client_text}" for one in everything if one.client_id is None]
        for number, lots in held.items():
            if rest := lots - self.left(number, held, found):
                strange.append(self.spoken(number, rest))
        return Look(mine, held, found, tuple(strange))

    async def _catch_up(self) -> None:
        """Hear of the fills nobody told us; once that was done with the user stream standing, the stream tells."""
        is_ready = self.venue.execution.is_ready
        if not (is_ready and self._is_caught_up):
            self._is_caught_up = False
            await self.venue.account.fills_since(self.ours.since_ns)
            self._is_caught_up = is_ready

    def left(self, number: int, positions: dict[int, int], wallets: dict[str, tuple[int, int]]) -> int:
        """Signed lots of ours that the venue says are still there."""
        mine, one = self.lots.get(number, 0), self.ours.instruments[number]
        if one.kind == "spot":
            return max(min(mine, wallets.get(one.base, (0, 0))[1] // one.lot_base_e8), 0)
        there = positions.get(number, 0)
        return (1 if mine > 0 else -1) * min(abs(mine), abs(there)) if mine * there > 0 else 0

    def spoken(self, number: int, lots: int) -> str:
        """A quantity in words: ``-0.25 BTC/USDT:USDT``."""
        one = self.ours.instruments[number]
        return f"{one.quantity(lots):+f} {one.symbol}"

    async def touch(self, number: int) -> tuple[int, int] | None:
        """Best bid and ask, waited for a moment; None without."""
        try:
            async with asyncio.timeout(TOUCH_S):
                while number not in self.touches:
                    self._priced.clear()
                    await self._priced.wait()
        except TimeoutError:
            return None
        return self.touches[number]

    # --- orders -----------------------------------------------------------------------------------

    async def cancel(self, order: OpenOrder) -> None:
        """Cancel an order of ours, and wait for an answer; what became of it is to be looked for at the venue."""
        assert order.client_id is not None
        sent = Sent(order.client_id, order.instrument, order.qty_lots - order.filled_lots)
        command = self._command(r.CANCEL, sent, order.side, r.MARKET)
        command["role"] = r.ROLE_STOP if order.book == "algo" else r.ROLE_ENTRY
        await self._send(command, sent)

    async def exit(self, number: int, lots: int, price_ticks: int) -> Sent:
        """Reduce a position by signed `lots` of it, at once: up to a price, or (0) at the market. Returns how it went;
        what is left is to be looked for at the venue."""
        sent = Sent(self._new_id(), number, abs(lots))
        order_type = r.LIMIT_ORDER if price_ticks else r.MARKET
        command = self._command(r.PLACE, sent, -1 if lots > 0 else 1, order_type)
        command["role"], command["bits"], command["qty_lots"] = r.ROLE_EXIT, r.REDUCE_ONLY, abs(lots)
        command["tif"], command["price_ticks"] = r.IOC if price_ticks else r.GTC, price_ticks
        await self._send(command, sent)
        return sent

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _command(self, kind: int, sent: Sent, side: int, order_type: int) -> Any:
        record = np.zeros(1, r.RECORD)
        record["ts_ns"], record["kind"], record["instrument"] = time.time_ns(), kind, sent.instrument
        record["side"], record["client_id"], record["order_type"] = side, sent.client_id, order_type
        return record

    async def _send(self, command: Any, sent: Sent) -> None:
        """Send, and wait for what becomes of it: of a placed order until it is over, or can be no more."""
        self._sent[sent.client_id] = sent
        self.venue.execution.send(command[0])
        give_up_s = time.monotonic() + LATE_S
        try:
            async with asyncio.timeout(ANSWER_S):
                while not sent.over.is_set() and not sent.is_doubted:
                    await sent.news.wait()
                    sent.news.clear()
        except TimeoutError:
            pass
        while command["kind"][0] == r.PLACE and not sent.over.is_set() and time.monotonic() < give_up_s:
            try:
                await self.venue.execution.ask(sent.instrument, sent.client_id)
            except KeelError:
                pass  # the venue cannot be asked: that says nothing about the order
            if not sent.over.is_set():
                await asyncio.sleep(ASK_S)


async def keep(who: str, part: Callable[[], Coroutine[Any, Any, None]], say: Callable[[str], None]) -> None:
    """Run a part until it returns; one that fails is told about and begun again."""
    for attempt in range(1_000_000):
        work = asyncio.create_task(part())
        try:
            await asyncio.wait((work,))
        finally:
            await end(work)
        if not work.cancelled() and work.exception() is None:
            return
        say(f"{who}: a part stopped ({reason_of(None if work.cancelled() else work.exception())}); starting again")
        await asyncio.sleep(PAUSES_S[min(attempt, len(PAUSES_S) - 1)])


async def _told(question: Coroutine[Any, Any, Any]) -> Any:
    """The answer, or the error as one: of several questions each is heard."""
    try:
        return await question
    except KeelError as error:
        return error


def _answer(task: asyncio.Task[Any]) -> Any:
    return task.result()


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it is gone."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
