"""Reconciliation: what the core believes is made to agree with what the venues say, at the start and ever after.

Rules
-----
* The venue is the truth. Fills are asked for first, so that a difference is one that no fill of ours explains.
* Everything is repaired by events through the core, or told; twice in a row it changes nothing the second time.
* A question that fails is asked again; it never means flat, none or zero. At the start it must be answered in
  `SETTLE_S`, or the engine does not start.
* Of what is not ours nothing is touched: it is told once, and a foreign perpetual position blocks entries there.
* While it runs, a difference counts when two looks in a row show it and nothing of ours moved between them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np

from engine.contracts import reasons
from engine.contracts.errors import KeelError, Retryable
from engine.contracts.instruments import E8
from engine.contracts.records import (
    ADOPTED,
    BALANCE,
    CANCEL,
    CORRECTION,
    FILL,
    FOREIGN,
    ORDER_REJECT,
    ORDER_UNKNOWN,
    RECORD,
)
from engine.core.state import CASH_ASSETS, Core
from engine.runtime import inflight, union
from engine.runtime.loop import LiveLoop
from engine.store.coreview import name_of
from engine.store.viewrows import ForeignRow
from engine.venues.port import Notice, NoticeKind, OpenOrder, Position, Venue

SETTLE_S: Final = 30.0
PAUSE_S: Final = 0.5
ORDERS_S: Final = 10.0
POSITIONS_S: Final = 30.0
YOUNG_NS: Final = 5_000_000_000
"""An order is missed only so long after it was placed: lists of open orders lag."""
OVERLAP_NS: Final = 60_000_000_000
"""Fills are asked for from so long before the last event: clocks differ, and the core drops what it knows."""
SMALL_E8: Final = E8 // 100
"""Cash that may be missing without a word: fees in other coins are valued at prices of the moment."""

T = TypeVar("T")


class Reconciler:
    """Compares one engine with its venues."""

    def __init__(self, core: Core, engine: LiveLoop, venues: Sequence[Venue], notice: Callable[[Notice], None]) -> None:
        self._core, self._engine, self._venues, self._notice = core, engine, venues, notice
        self._seen: dict[tuple[str, str], Any] = {}  # a difference of the last look -> what moved since
        self._told: set[str] = set()
        self.foreign_orders: dict[str, list[OpenOrder]] = {}
        self.foreign_positions: dict[int, Position] = {}
        self.changes = 0
        """Counts up whenever what is foreign may have changed."""
        self.last_ns = 0
        """Wall time of the last look at everything that was answered in full; 0: never."""

    # --- at the start -------------------------------------------------------------------------------

    async def settle(self, since_ns: int) -> None:
        """Make everything agree. `since_ns`: the last event of the run this one continues, 0 where it continues none.

        Raises Retryable naming the venue that does not answer, Refused where it refuses.
        """
        await asyncio.gather(*(self._settle(venue, since_ns) for venue in self._venues))
        self.last_ns = time.time_ns()

    async def _settle(self, venue: Venue, since_ns: int) -> None:
        begun = time.monotonic()
        await self._insist(venue, begun, lambda: _ready(venue))
        self._doubt(venue)
        if since_ns:  # first: what was closed meanwhile needs no new stop
            await self._insist(venue, begun, lambda: venue.account.fills_since(since_ns - OVERLAP_NS))
            await self._heard()
        await asyncio.gather(*(
            self._insist(venue, begun, partial(self._ask, venue, order))
            for order in union.working(self._core, venue.name)
        ))  # fmt: skip
        await self._heard()
        await self._insist(venue, begun, lambda: self._compare_orders(venue, confirmed=True))
        await self._insist(venue, begun, lambda: self._compare_positions(venue, confirmed=True))

    async def _insist(self, venue: Venue, begun: float, question: Callable[[], Awaitable[T]]) -> T:
        """Ask until it is answered. Raises Retryable once `SETTLE_S` are over."""
        while True:
            try:
                async with asyncio.timeout(SETTLE_S):
                    return await question()
            except (Retryable, TimeoutError) as error:
                if time.monotonic() - begun >= SETTLE_S:
                    raise Retryable(
                        f"{venue.name} cannot be reconciled ({error or 'no answer'}): nothing is traded on what cannot "
                        "be checked; what stands at the venue stays there. Start again once it answers"
                    ) from None
            await asyncio.sleep(PAUSE_S)

    def _doubt(self, venue: Venue) -> None:
        """What was under way when the last process ended may have arrived or not."""
        for order in union.working(self._core, venue.name):
            if order.status in union.DOUBTFUL:
                self._tell(ORDER_UNKNOWN, order.instrument, order.client_id, 0)

    async def _ask(self, venue: Venue, order: union.Order) -> None:
        """Fills and state of one order; one the venue does not know is gone once it can be under way no more."""
        if await venue.execution.ask(order.instrument, order.client_id):
            return
        if time.time_ns() - order.placed_ns >= int(inflight.LATE_S * 1e9):
            self._tell(ORDER_REJECT, order.instrument, order.client_id, reasons.UNKNOWN_ORDER)
        else:
            self._engine.in_flight.recheck([(order.instrument, order.client_id)])

    async def _heard(self) -> None:
        """Whatever was told is in the core now."""
        await asyncio.sleep(0)
        self._engine.pump()

    # --- ever after ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: open orders every `ORDERS_S`, positions and wallets every `POSITIONS_S`, venue by venue."""
        await asyncio.gather(*(self._watch(venue) for venue in self._venues))

    async def _watch(self, venue: Venue) -> None:
        looks, answered = 0, True
        while True:
            await asyncio.sleep(ORDERS_S)
            looks += 1
            try:
                await self._compare_orders(venue, confirmed=False)
                if looks % round(POSITIONS_S / ORDERS_S) == 0:
                    await self._compare_positions(venue, confirmed=False)
                    self.last_ns = time.time_ns()
                answered = True
            except KeelError as error:
                if answered:  # once: a venue that is away is told about by its streams
                    self._say(venue, "lost", f"cannot be reconciled now: {error}; nothing is concluded from that")
                answered = False

    # --- orders -------------------------------------------------------------------------------------

    async def _compare_orders(self, venue: Venue, confirmed: bool) -> None:
        found = await venue.account.open_orders()
        await self._heard()
        before_ns = time.time_ns() - YOUNG_NS
        self._engine.in_flight.recheck(
            [(one.instrument, one.client_id) for one in union.missing(self._core, venue.name, found, before_ns)]
        )
        for order in union.stuck(self._core, venue.name, found, before_ns):  # the cancel, or its answer, is lost
            self._tell(ORDER_UNKNOWN, order.instrument, order.client_id, 0)
        for one in union.orphans(self._core, found):
            if confirmed or self._again(venue, f"orphan {one.client_id}", one.venue_order_id):
                self._cancel_orphan(venue, one)
        strangers = union.foreign(found)
        if self.foreign_orders.get(venue.name, []) != strangers:
            self.foreign_orders[venue.name] = strangers
            self.changes += 1
        for one in strangers:
            what = f"an order that is not ours is open: {one.order_type} {one.client_text or one.venue_order_id!r}"
            self._once(venue, f"{what}; it is left alone", one.instrument)

    def _cancel_orphan(self, venue: Venue, one: OpenOrder) -> None:
        assert one.client_id is not None
        self._say(
            venue, "lost", f"order {one.client_id} of ours is open though it was taken for ended: cancelled",
            one.instrument,
        )  # fmt: skip
        command = np.zeros(1, RECORD)
        command["kind"], command["instrument"], command["client_id"] = CANCEL, one.instrument, one.client_id
        command["side"], command["ts_ns"] = one.side, time.time_ns()
        venue.execution.send(command[0])

    # --- positions and wallets ----------------------------------------------------------------------

    async def _compare_positions(self, venue: Venue, confirmed: bool) -> None:
        moved = union.moving(self._core)
        positions, wallets = await venue.account.positions(), await venue.account.wallets()
        await self._heard()
        if union.moving(self._core) != moved:
            return await self._compare_positions(venue, confirmed) if confirmed else None
        gaps = [
            gap
            for gap in (
                *union.position_gaps(self._core, venue.name, positions),
                *union.coin_gaps(self._core, venue.name, wallets),
            )
            if union.is_settled(self._core, gap.instrument)
            and (confirmed or self._again(venue, f"gap {gap.instrument}", (gap, moved)))
        ]
        if gaps and not confirmed and await self._explained(venue, gaps):
            return None
        for gap in gaps:
            await self._close_gap(venue, gap)
        for home, units in union.pot_gaps(self._core, venue.name, wallets):
            calm = all(union.is_settled(self._core, i) for i in self._mine(venue))
            if calm and (confirmed or self._again(venue, f"pot {home}", (units, moved))):
                self._write_off(venue, home, units)
        short_e8 = union.cash_short_e8(self._core, venue.name, wallets)
        calm = all(union.is_settled(self._core, i) for i in self._mine(venue))
        if short_e8 > SMALL_E8 and calm and (confirmed or self._again(venue, "cash", (short_e8, moved))):
            self._withdraw(venue, short_e8)
        self._note_foreign(venue, positions)

    async def _explained(self, venue: Venue, gaps: Sequence[union.Gap]) -> bool:
        """Fills that nobody told while a stream was down are told now; whether there were any: looked at again then."""
        rows = self._core.state.positions
        since_ns = min(int(rows[gap.instrument]["opened_ns"]) if gap.lost_lots else self.last_ns for gap in gaps)
        if not await venue.account.fills_since(since_ns - OVERLAP_NS):
            return False
        await self._heard()
        return True

    def _note_foreign(self, venue: Venue, positions: Sequence[Position]) -> None:
        mine = self._mine(venue)
        before = self.foreign_positions
        self.foreign_positions = {i: one for i, one in self.foreign_positions.items() if i not in mine} | {
            one.instrument: one for one in positions
            if int(self._core.state.positions[one.instrument]["foreign_lots"]) != 0
        }  # fmt: skip
        self.changes += before != self.foreign_positions

    def foreign_rows(self) -> dict[str, ForeignRow]:
        """What is not ours, for people."""
        orders = [one for some in self.foreign_orders.values() for one in some]
        rows = {f"order {one.venue_order_id}": order_row(self._core, one) for one in orders}
        return rows | {f"position {i}": position_row(self._core, one) for i, one in self.foreign_positions.items()}

    async def _close_gap(self, venue: Venue, gap: union.Gap) -> None:
        """Our part that is gone is booked as closed, at the prices of those who closed it where they can be found."""
        row = self._core.state.positions[gap.instrument]
        if gap.lost_lots:
            side = -1 if int(row["qty_lots"]) > 0 else 1
            since_ns = int(row["opened_ns"])
            told = await venue.account.foreign_fills(gap.instrument, since_ns)
            left = gap.lost_lots
            for fill in reversed(told):
                if left > 0 and int(fill["side"]) == side:
                    left -= self._adopt(fill, min(left, int(fill["qty_lots"])))
            if left > 0:
                self._adopt(self._estimated(gap.instrument, side), left)
            how = "" if left <= 0 else f", {left} of them at an assumed price"
            self._say(
                venue, "foreign", f"{gap.lost_lots} lots of our position are not there any more, closed by no order of "
                f"ours: booked as a manual exit{how}", gap.instrument,
            )  # fmt: skip
        if gap.foreign_lots != int(row["foreign_lots"]):
            record = self._record(FOREIGN, gap.instrument)
            record["qty_lots"] = gap.foreign_lots
            self._engine.inject(record)
            if gap.foreign_lots:
                text = (
                    f"a position of {gap.foreign_lots} lots is not ours: it is left alone, and no entries are made "
                    "there until it is gone or adopted (trading-cli adopt)"
                )
                self._say(venue, "foreign", text, gap.instrument)

    def _adopt(self, fill: Any, lots: int) -> int:
        """Book `lots` of somebody's fill as of our position; the fee in proportion."""
        record = self._record(FILL, int(fill["instrument"]))
        for name in ("side", "price_ticks", "trade_id", "bits", "venue_ts_ns"):
            record[name] = fill[name]
        record["bits"] |= ADOPTED
        record["qty_lots"] = lots
        record["fee_e8"] = int(fill["fee_e8"]) * lots // max(int(fill["qty_lots"]), 1)
        self._engine.inject(record)
        return lots

    def _estimated(self, i: int, side: int) -> Any:
        """A fill at the last price known, with an id that no venue gives."""
        book, row = self._core.state.books[i], self._core.state.positions[i]
        record = self._record(FILL, i)
        record["side"], record["trade_id"] = side, -time.time_ns()
        touch = int(book["bid_ticks"] if side < 0 else book["ask_ticks"])
        record["price_ticks"] = touch or int(row["mark_ticks"]) or int(row["stop_ticks"]) or 1
        record["qty_lots"] = 1
        return record[0]

    def _write_off(self, venue: Venue, home: int, units: int) -> None:
        """Coins of a pot that are not there: booked as a cost."""
        one = self._core.instruments[home]
        record = self._record(BALANCE, home)
        record["index"], record["amount_e8"] = self._core.assets.index(one.base), -units
        record["bits"] = CORRECTION
        self._engine.inject(record)
        self._say(venue, "wallet", f"{units / E8:f} {one.base} of a conversion are not there: booked as a cost")

    def _withdraw(self, venue: Venue, short_e8: int) -> None:
        """Less cash than we have there. From a spot wallet somebody took it: a withdrawal, no loss. A perpetual account
        pays funding and fees that nobody heard of: a loss."""
        i = next(k for k in self._mine(venue) if self._core.instruments[k].quote in CASH_ASSETS)
        is_loss = any(self._core.instruments[k].kind == "perp" for k in self._mine(venue))
        record = self._record(BALANCE, i)
        record["index"] = self._core.assets.index(self._core.instruments[i].quote)
        record["amount_e8"], record["bits"] = -short_e8, CORRECTION if is_loss else 0
        self._engine.inject(record)
        how = "costs nobody told of" if is_loss else "a withdrawal"
        self._say(venue, "wallet", f"${short_e8 / E8:,.2f} less cash than ours is there: booked as {how}")

    def _mine(self, venue: Venue) -> list[int]:
        return [i for i, one in enumerate(self._core.instruments) if one.venue == venue.name]

    # --- telling ------------------------------------------------------------------------------------

    def _again(self, venue: Venue, what: str, found: Any) -> bool:
        """The last look showed the same."""
        key = (venue.name, what)
        before, self._seen[key] = self._seen.get(key), found
        if before == found:
            del self._seen[key]
            return True
        return False

    def _record(self, kind: int, instrument: int) -> Any:
        record = np.zeros(1, RECORD)
        record["kind"], record["instrument"] = kind, instrument
        record["ts_ns"] = record["venue_ts_ns"] = time.time_ns()
        return record

    def _tell(self, kind: int, instrument: int, client_id: int, reason: int) -> None:
        record = self._record(kind, instrument)
        record["client_id"], record["reason"] = client_id, reason
        self._engine.lanes.account(record, 1)

    def _say(self, venue: Venue, kind: NoticeKind, text: str, instrument: int | None = None) -> None:
        self._notice(Notice(venue.name, kind, text, instrument))

    def _once(self, venue: Venue, text: str, instrument: int) -> None:
        if text not in self._told:
            self._told.add(text)
            self._say(venue, "foreign", text, instrument)


def order_row(core: Core, one: OpenOrder) -> ForeignRow:
    """An open order for people."""
    of = core.instruments[one.instrument]
    ticks = one.trigger_ticks or one.price_ticks
    return ForeignRow(
        what="order", instrument=name_of(core, one.instrument), qty=one.side * float(of.quantity(one.qty_lots)),
        price=float(of.price(ticks)) if ticks else None, name=one.client_text,
    )  # fmt: skip


def position_row(core: Core, one: Position) -> ForeignRow:
    """The foreign part of a position for people."""
    lots = int(core.state.positions[one.instrument]["foreign_lots"])
    qty = float(core.instruments[one.instrument].quantity(abs(lots)))
    return ForeignRow(
        what="position", instrument=name_of(core, one.instrument), qty=qty if lots > 0 else -qty,
        price=float(one.entry_price), name="",
    )  # fmt: skip


async def _ready(venue: Venue) -> None:
    """Wait until orders can be sent there and would be heard. Raises Retryable."""
    for _ in range(int(SETTLE_S / 0.01)):
        if venue.execution.is_ready:
            return
        await asyncio.sleep(0.01)
    raise Retryable("its order connection does not stand")
