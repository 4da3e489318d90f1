"""Where customers hand in their orders: at the venue, waiting, or in lists, and what became of them.

Rules
-----
* Whatever happens to an order is told to the account's listeners in the order it happened, unless a fault
  says otherwise, before the call that caused it returns.
* Of a list one order executes: the moment it begins to (its first fill, its trigger), the others end.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts import records as r
from engine.core.memory import Flat
from engine.core.orders import POOL
from engine.sandbox.accounts import Account, Fill, Order, OrderList, Report
from engine.sandbox.clock import Clock
from engine.sandbox.conditions import STOPS, TAKE_PROFITS, direction, next_due, promise
from engine.sandbox.desk import hand_in, happen
from engine.sandbox.faults import Faults
from engine.sandbox.reports import arranged
from engine.sandbox.tape import Tape
from engine.sandbox.ticket import OrderRefused, Ticket, cancel_of, command_of
from engine.simulation.filters import MAX_STOPS_SPOT
from engine.simulation.venue import restore_venue, venue_memory

MAX_STOPS: Final = MAX_STOPS_SPOT


class Counter:
    """`public` is the venue everybody sees, `probe` one to try things at."""

    def __init__(self, clock: Clock, faults: Faults, tapes: Sequence[Tape], public: Flat, probe: Flat) -> None:
        self.clock = clock
        self.faults = faults
        self.tapes = tapes
        self._public: Any = public
        self._probe: Any = probe
        self.on_fill: list[Callable[[Order, Fill], None]] = []
        self._next_order_id = self._next_engine_id = self._next_fill_id = self._next_list_id = self._next_match_id = 1

    def balances(self, account: Account, symbol: int | None = None) -> dict[str, tuple[int, int]]:
        """Asset -> (free, locked) in 1e-8; of one symbol's two assets, or of all."""
        one = None if symbol is None else self.tapes[symbol].instrument
        names = account.wallet.assets if one is None else (one.base, one.quote)
        return {name: account.wallet.balance(name) for name in names}

    def quote_of(self, symbol: int) -> str:
        """Quote asset of a symbol."""
        return self.tapes[symbol].instrument.quote

    def has_all_stops(self, account: Account, symbol: int) -> bool:
        """Whether untriggered stops are at their maximum."""
        waiting = [o for o in account.working.values() if o.symbol == symbol and o.working_ms < 0]
        return len(waiting) >= MAX_STOPS

    # --- what happens at a venue -----------------------------------------------------------------

    def _is_idle(self, account: Account, quote: str) -> bool:
        """Whether nothing but its books can change at that venue of an account."""
        waits = any(self.quote_of(order.symbol) == quote for order in account.waiting.values())
        return not waits and account.wallet.is_idle(quote)

    def _happen(self, account: Account, quote: str, events: Any) -> None:
        """Market events at one venue of an account; whatever it answers is told before the next of them."""
        if self._is_idle(account, quote):
            happen(account.wallet.venues[quote], events)
            return
        books, at = account.wallet.venues[quote].books, 0
        while at < len(events):
            before, due = next_due(account.waiting.values(), books, events[at:])
            if before > 0:
                at += self._step(account, quote, events[at : at + before])
                continue
            for order in due:
                self._arm(account, order)
            at += self._step(account, quote, events[at : at + 1])
            for order in due:
                self._trigger(account, order)

    def _step(self, account: Account, quote: str, records: Any) -> int:
        """Events or commands up to the first that is answered; what is answered is told. Returns how many happened."""
        count = happen(account.wallet.lend(quote), records)
        account.wallet.take_back(quote)
        self._tell(account, self._answers(account, quote))
        return int(count)

    # --- orders -----------------------------------------------------------------------------------

    def place(self, account: Account, ticket: Ticket) -> Order:
        """Send an order to the venue and report what became of it. Raises OrderRefused."""
        if ticket.order_type in TAKE_PROFITS:
            return self._place_waiting(account, ticket)
        if ticket.stop_ticks and self.has_all_stops(account, ticket.symbol):
            raise OrderRefused(reasons.MAX_ORDERS)
        order = self._new_order(account, ticket)
        account.working[order.engine_id] = order
        reports = self._send(account, order, ticket)
        if order.status == "REJECTED":
            raise OrderRefused(order.refused_for)
        self._tell(account, reports)
        return order

    def _new_order(self, account: Account, ticket: Ticket) -> Order:
        now = self.clock.now_ms()
        number = self._free_id(account.wallet.venues[self.quote_of(ticket.symbol)])
        return Order(
            0, number, ticket.symbol, ticket.client_order_id, ticket.side, ticket.order_type, ticket.tif, ticket.lots,
            ticket.ticks, ticket.stop_ticks, ticket.quote_order_e8, now,
            left_lots=ticket.lots, update_ms=now, working_ms=-1 if ticket.stop_ticks else now, stp=ticket.stp,
        )  # fmt: skip

    def _send(self, account: Account, order: Order, ticket: Ticket) -> list[Report]:
        """Put an order at the venue; what it answers."""
        quote = self.quote_of(order.symbol)
        thin = self.faults.take("A26", ticket.order_type, symbol=self.tapes[order.symbol].name)
        command = command_of(ticket, order.engine_id, self.clock.now_ms())
        hand_in(account.wallet.lend(quote), command, None if thin is None else thin.lots)
        account.wallet.take_back(quote)
        return self._answers(account, quote)

    def refusal(self, account: Account, ticket: Ticket) -> int:
        """The reason why the venue would refuse an order, or 0; nothing happens."""
        if ticket.order_type in TAKE_PROFITS:
            return self._waiting_refusal(account, ticket) or self._shortage(account, ticket)
        if ticket.stop_ticks and self.has_all_stops(account, ticket.symbol):
            return reasons.MAX_ORDERS
        quote = self.quote_of(ticket.symbol)
        restore_venue(self._probe, venue_memory(account.wallet.lend(quote)))
        happen(self._probe, command_of(ticket, self._free_id(self._probe), self.clock.now_ms()))
        head = self._probe.head[0]
        first = self._probe.replies[int(head.replies_first)]
        head.replies_count = 0
        return int(first.reason) if first.kind == r.ORDER_REJECT else 0

    def cancel(self, account: Account, order: Order, cancel_id: str) -> None:
        """Cancel an open order. Raises OrderRefused (UNKNOWN_ORDER) where it is not open (any more)."""
        name = self.tapes[order.symbol].name
        if order.is_open and order.ticks > 0 and self.faults.take("A6", order.order_type, symbol=name):
            self._fill_now(account, order)
        if not order.is_open:
            raise OrderRefused(reasons.UNKNOWN_ORDER)
        order.cancel_id = cancel_id
        self._tell(account, self._end(account, order, "CANCELED"))

    def _end(self, account: Account, order: Order, status: str) -> list[Report]:
        """Take an open order away, wherever it is, and with it the rest of its list."""
        order.ends_as = status
        if order.engine_id in account.waiting:
            self._release(account, order)
            del account.working[order.engine_id]
            order.status, order.update_ms = status, self.clock.now_ms()
            return [self._report(account, order, status), *self._follow(account, order)]
        quote = self.quote_of(order.symbol)
        happen(account.wallet.lend(quote), cancel_of(order.symbol, order.engine_id, self.clock.now_ms()))
        account.wallet.take_back(quote)
        return self._answers(account, quote)

    def _fill_now(self, account: Account, order: Order) -> None:
        """A trade through the order's limit, seen by this account alone."""
        event: Any = np.zeros(1, r.RECORD)
        event["kind"], event["instrument"], event["side"] = r.TRADE, order.symbol, -order.side
        event["price_ticks"], event["qty_lots"] = order.ticks - order.side, order.left_lots
        self._happen(account, self.quote_of(order.symbol), event)

    def _free_id(self, venue: Any) -> int:
        """An id whose slot at the venue is free, so that 256 orders can be open at once."""
        for _ in range(POOL):
            number = self._next_engine_id
            self._next_engine_id += 1
            if venue.orders[number % POOL].client_id == 0:
                return number
        raise OrderRefused(reasons.ORDER_POOL_FULL)

    # --- what became of them ----------------------------------------------------------------------

    def _answers(self, account: Account, quote: str) -> list[Report]:
        """Take the venue's answers and note them on the orders."""
        venue = account.wallet.venues[quote]
        head, size = venue.head[0], len(venue.replies)
        first, count = int(head.replies_first), int(head.replies_count)
        head.replies_first, head.replies_count = (first + count) % size, 0
        now = self.clock.now_ms()
        reports = []
        for k in range(count):
            record = venue.replies[(first + k) % size]
            order = account.working.get(int(record.client_id))
            if order is not None:
                reports += self._note(account, order, record, now)
        return reports

    def _note(self, account: Account, order: Order, record: Any, now: int) -> list[Report]:
        """What an answer of the venue did to an order, and through it to the rest of its list."""
        kind, fill, event = int(record.kind), None, ""
        if kind == r.ORDER_REJECT and not order.order_id:
            order.status, order.refused_for = "REJECTED", int(record.reason)
        elif kind == r.ORDER_REJECT:  # one that waited, and cannot be paid for any more
            order.status = event = "EXPIRED"
        elif kind == r.ORDER_ACK and not order.order_id:
            self._register(account, order)
            event = "NEW"
        elif kind == r.ORDER_TRIGGERED or (kind == r.ORDER_ACK and order.order_type in TAKE_PROFITS):
            order.working_ms = now
            event = "NEW"
        elif kind == r.FILL:
            fill = self._filled(order, record, now)
            event = "TRADE"
        elif kind == r.CANCEL_ACK:
            order.status = event = order.ends_as
        elif kind == r.ORDER_EXPIRED:
            order.status = event = "EXPIRED"
        order.update_ms = account.update_ms = now
        if not order.is_open:
            del account.working[order.engine_id]
        if not event:
            return []
        report = self._report(account, order, event, fill)
        return [report] if event == "NEW" else [report, *self._follow(account, order)]

    def _report(self, account: Account, order: Order, event: str, fill: Fill | None = None) -> Report:
        copied = copy.copy(order)
        copied.fills = list(order.fills)
        return Report(event, copied, fill, self.clock.now_ms(), self.balances(account, order.symbol))

    def _register(self, account: Account, order: Order) -> None:
        order.order_id = self._next_order_id
        self._next_order_id += 1
        account.orders[order.order_id] = order

    def _filled(self, order: Order, record: Any, now: int) -> Fill:
        ticks, lots, bits = int(record.price_ticks), int(record.qty_lots), int(record.bits)
        tape = self.tapes[order.symbol]
        value = tape.cost_e8(ticks, lots) if order.side > 0 else tape.value_e8(ticks, lots)
        in_base, is_maker = bool(bits & r.FEE_IN_BASE), bool(bits & r.MAKER)
        fill = Fill(self._next_fill_id, ticks, lots, value, int(record.fee_e8), in_base, is_maker, now)
        self._next_fill_id += 1
        order.fills.append(fill)
        order.left_lots -= lots
        order.quote_e8 += value
        order.status = "FILLED" if order.left_lots == 0 else "PARTIALLY_FILLED"
        for hears in self.on_fill:
            hears(order, fill)
        return fill

    def _tell(self, account: Account, reports: list[Report]) -> None:
        if not reports:
            return
        for report in arranged(self.faults, reports, self.tapes[reports[0].order.symbol].name):
            for listener in list(account.listeners):
                listener(report)
        for number in {report.order.list_id for report in reports if report.order.list_id in account.lists}:
            one = account.lists[number]
            if not one.is_done and not any(order.is_open for order in one.orders):
                one.is_done = True
                self._tell_list(account, one)

    def _tell_list(self, account: Account, one: OrderList) -> None:
        for listener in list(account.list_listeners):
            listener(one)

    # --- orders that wait -------------------------------------------------------------------------

    def place_list(self, account: Account, tickets: tuple[Ticket, Ticket], client_list_id: str) -> OrderList:
        """Two orders of one symbol, side and size of which one shall execute; those with a trigger come first.
        Raises OrderRefused: then neither is there."""
        waiting = [ticket for ticket in tickets if ticket.stop_ticks]
        at_venue = [ticket for ticket in tickets if not ticket.stop_ticks]
        for ticket in tickets:
            reason = self._waiting_refusal(account, ticket) if ticket.stop_ticks else self.refusal(account, ticket)
            if reason:
                raise OrderRefused(reason)
        tape = self.tapes[tickets[0].symbol]
        needs = [promise(tape, one.side, one.lots, one.ticks, one.stop_ticks) for one in tickets]
        locked = max((promise(tape, one.side, one.lots, one.ticks, 0) for one in at_venue), default=0)
        asset = tape.instrument.base if tickets[0].side < 0 else tape.instrument.quote
        if max(needs) > account.wallet.balance(asset)[0]:
            raise OrderRefused(reasons.INSUFFICIENT_BALANCE)
        made = OrderList(self._next_list_id, tape.index, client_list_id, self.clock.now_ms())
        self._next_list_id += 1
        account.lists[made.list_id] = made
        reports = []
        for ticket in waiting + at_venue:
            order = self._new_order(account, ticket)
            order.list_id = made.list_id
            made.orders.append(order)
            if ticket.stop_ticks:
                reports.append(self._wait(account, order, max(needs) - locked))
                locked = max(needs)
            else:
                account.working[order.engine_id] = order
                reports += self._send(account, order, ticket)
        self._tell_list(account, made)
        self._tell(account, reports)
        return made

    def _place_waiting(self, account: Account, ticket: Ticket) -> Order:
        reason = self.refusal(account, ticket)
        if reason:
            raise OrderRefused(reason)
        order = self._new_order(account, ticket)
        need = promise(self.tapes[order.symbol], order.side, order.lots, order.ticks, order.stop_ticks)
        self._tell(account, [self._wait(account, order, need)])
        return order

    def _wait(self, account: Account, order: Order, reserved_e8: int) -> Report:
        self._register(account, order)
        account.working[order.engine_id] = account.waiting[order.engine_id] = order
        self._reserve(account, order, reserved_e8)
        return self._report(account, order, "NEW")

    def _reserve(self, account: Account, order: Order, amount_e8: int) -> None:
        one = self.tapes[order.symbol].instrument
        account.wallet.reserve(one.base if order.side < 0 else one.quote, amount_e8 - order.reserved_e8)
        order.reserved_e8 = amount_e8

    def _release(self, account: Account, order: Order) -> None:
        self._reserve(account, order, 0)
        del account.waiting[order.engine_id]

    def _waiting_refusal(self, account: Account, ticket: Ticket) -> int:
        """What filters and market say against an order that would wait, whatever it costs."""
        book = self._public.books[ticket.symbol]
        ahead = (ticket.stop_ticks - int(book.last_ticks)) * direction(ticket.order_type, ticket.side)
        becomes = TAKE_PROFITS.get(ticket.order_type, ticket.order_type)
        trigger = 0 if ticket.order_type in TAKE_PROFITS else ticket.stop_ticks
        reason = self.refusal(account, replace(ticket, order_type=becomes, stop_ticks=trigger))
        if reason not in (0, reasons.INSUFFICIENT_BALANCE):
            return reason
        if ahead <= 0:
            return reasons.WOULD_TRIGGER
        return reasons.MAX_ORDERS if self.has_all_stops(account, ticket.symbol) else 0

    def _shortage(self, account: Account, ticket: Ticket) -> int:
        tape = self.tapes[ticket.symbol]
        asset = tape.instrument.base if ticket.side < 0 else tape.instrument.quote
        need = promise(tape, ticket.side, ticket.lots, ticket.ticks, ticket.stop_ticks)
        return reasons.INSUFFICIENT_BALANCE if need > account.wallet.balance(asset)[0] else 0

    def _arm(self, account: Account, order: Order) -> None:
        """The next event triggers an order: the rest of its list goes, and a stop is put at the venue to meet it."""
        if order.engine_id not in account.waiting:
            return
        one = account.lists.get(order.list_id)
        reports = []
        if one is not None:
            one.winner = order
            for other in one.orders:
                if other is not order and other.is_open:
                    reports += self._end(account, other, "EXPIRED")
        if order.order_type in STOPS:
            reports += self._put(account, order, order.order_type, order.stop_ticks)
        self._tell(account, reports)

    def _trigger(self, account: Account, order: Order) -> None:
        """A take-profit was reached: it is sent as what it becomes."""
        if order.engine_id in account.waiting:
            self._tell(account, self._put(account, order, TAKE_PROFITS[order.order_type], 0))

    def _put(self, account: Account, order: Order, order_type: str, stop_ticks: int) -> list[Report]:
        """Put an order at the venue that waited."""
        self._release(account, order)
        venue = account.wallet.venues[self.quote_of(order.symbol)]
        del account.working[order.engine_id]
        order.engine_id = self._free_id(venue)
        account.working[order.engine_id] = order
        name, side = order.client_order_id, order.side
        ticket = Ticket(order.symbol, side, order_type, order.tif, order.lots, order.ticks, stop_ticks, name)
        return self._send_as_is(account, order, ticket)

    def _send_as_is(self, account: Account, order: Order, ticket: Ticket) -> list[Report]:
        """Put (a part of) an order at the venue that the filters have passed already."""
        venue = account.wallet.venues[self.quote_of(order.symbol)]
        row = venue.instruments[order.symbol]
        kept = row.copy()
        row.min_lots, row.min_notional_e8, row.max_lots = 1, 0, max(int(row.max_lots), order.lots)
        row.band_up_e4, row.band_down_e4 = 10**6, 0
        reports = self._send(account, order, ticket)
        venue.instruments[order.symbol] = kept
        return reports

    def _follow(self, account: Account, order: Order) -> list[Report]:
        """Something happened to an order of a list: the others end the same way (expired, where it executes)."""
        one = account.lists.get(order.list_id)
        if one is None or one.winner not in (None, order):
            return []
        one.winner = order
        status = "CANCELED" if order.status == "CANCELED" else "EXPIRED"
        reports = []
        for other in one.orders:
            if other is not order and other.is_open:
                other.cancel_id = order.cancel_id
                reports += self._end(account, other, status)
        return reports
