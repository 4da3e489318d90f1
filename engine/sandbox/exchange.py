"""The exchange behind the wire: one market for all, and for each account a simulated venue per quote asset.

Rules
-----
* Everybody sees the same recorded market; orders of customers move nobody's market and never meet each other.
* Matching, balances, filters and fees are `engine.simulation`'s, the same as in a backtest. Fees of buys are
  taken in the coins bought.
* An account has one wallet for all pairs (`engine.sandbox.wallet`); it starts with the same amount of each quote
  asset that is money (dollars, stablecoins, other currencies) and with nothing of the rest.
* Whatever happens to an order is told to the account's listeners in the order it happened, unless a fault
  says otherwise, before the call that caused it returns.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.errors import BadInput, Refused
from engine.contracts.instruments import Instrument
from engine.core.limits import Limits
from engine.core.orders import POOL
from engine.core.state import new_core
from engine.markets.symbols import STABLES
from engine.sandbox.accounts import Account, Accounts, Fill, Order, Report
from engine.sandbox.clock import Clock
from engine.sandbox.desk import happen, read_book
from engine.sandbox.faults import Faults
from engine.sandbox.tape import MOST_TICKS, Tape, Trade
from engine.sandbox.wallet import Wallet
from engine.simulation.filters import MAX_STOPS_SPOT
from engine.simulation.venue import SimulationModel, new_venue, restore_venue, venue_memory

Levels = list[tuple[int, int]]
BOOK_LEVELS: Final = 20
MOST_VALUE: Final = 4 * 10**18
FILTER_REASONS: Final = (
    reasons.PRICE_FILTER, reasons.LOT_SIZE, reasons.MIN_NOTIONAL, reasons.PERCENT_PRICE, reasons.MAX_ORDERS
)  # fmt: skip
MAX_STOPS: Final = MAX_STOPS_SPOT
MONEY: Final = STABLES | {"JPY", "TRY", "BRL", "KRW", "RUB"}

ENGINE_TYPES: Final = {
    "LIMIT": r.LIMIT_ORDER, "LIMIT_MAKER": r.LIMIT_ORDER, "MARKET": r.MARKET, "STOP_LOSS": r.STOP_MARKET,
    "STOP_LOSS_LIMIT": r.STOP_LIMIT,
}  # fmt: skip
ENGINE_TIFS: Final = {"GTC": r.GTC, "IOC": r.IOC, "FOK": r.FOK}


class OrderRefused(Refused):
    """The simulated venue's reason (`engine.contracts.reasons`) against an order."""

    def __init__(self, reason: int) -> None:
        super().__init__(reasons.name(reason))
        self.reason = reason


@dataclass(frozen=True)
class Ticket:
    """An order somebody wants, in ticks and lots; 0 where a price does not apply."""

    symbol: int
    side: int
    order_type: str
    tif: str
    lots: int
    ticks: int
    stop_ticks: int
    client_order_id: str
    quote_order_e8: int = 0


class Exchange:
    """Market, accounts and orders. Not thread-safe: one loop calls it."""

    def __init__(self, instruments: Sequence[Instrument], clock: Clock, accounts: int, cash: float) -> None:
        if any(one.kind != "spot" for one in instruments):
            raise BadInput("symbols: spot pairs are needed, not perpetuals")
        paid_in_coins = [msgspec.structs.replace(one, fee_in_base=True) for one in instruments]
        self.clock = clock
        self.faults = Faults()
        self.tapes = [Tape(k, one) for k, one in enumerate(paid_in_coins)]
        self.by_name = {tape.name: tape for tape in self.tapes}
        if len(self.by_name) != len(self.tapes):
            raise BadInput("data: a symbol is there twice (from two venues); name one with --symbols venue:PAIR")
        self.on_quote: list[Callable[[Tape], None]] = []
        self.on_trade: list[Callable[[Tape, Trade], None]] = []
        self.on_book: list[Callable[[Tape, Levels, Levels], None]] = []
        self._model = SimulationModel(book_levels=BOOK_LEVELS)
        self._core = new_core(paid_in_coins, Limits(), cash, {}, (60, 300, 3600))
        self._public, self._probe = self._new_venue(), self._new_venue()
        self.quotes = sorted({one.quote for one in instruments})
        self._quote_of = np.array([self.quotes.index(one.quote) for one in instruments])
        given = {name: int(self._public.head[0].cash_e8) for name in self.quotes if name in MONEY}
        self.accounts = Accounts()
        for _ in range(accounts):
            self.accounts.add(Wallet(self.tapes, {name: self._new_venue() for name in self.quotes}, given))
        self._next_order_id = self._next_engine_id = self._next_fill_id = 1
        self._levels = np.zeros((BOOK_LEVELS, 2), np.int64)

    def _new_venue(self) -> Any:
        return new_venue(self._core, self._model)

    # --- the market -------------------------------------------------------------------------------

    def play(self, events: Any, time_ms: int | None = None) -> None:
        """Let recorded market events happen, shown as of the wire clock or (history) as of `time_ms`."""
        happen(self._public, events)
        now = self.clock.now_ms() if time_ms is None else time_ms
        self._show(events, now)
        for quote, part in self._by_quote(events):
            for account in self.accounts.all:
                self._happen(account, quote, part)

    def _by_quote(self, events: Any) -> list[tuple[str, Any]]:
        """The events by quote asset, in their order: what happens at one venue may pay for what happens at another."""
        if len(self.quotes) == 1:
            return [(self.quotes[0], events)] if len(events) else []
        events = events[events["instrument"] < len(self.tapes)]
        numbers = self._quote_of[events["instrument"]]
        cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(events)]
        return [
            (self.quotes[numbers[start]], events[start:end]) for start, end in itertools.pairwise(cuts) if start < end
        ]

    def _happen(self, account: Account, quote: str, records: Any) -> None:
        """Events or commands at one venue of an account; whatever it answers is told before the next of them."""
        if account.wallet.is_idle(quote) and records["kind"][0] < r.FIRST_COMMAND:
            happen(account.wallet.venues[quote], records)
            return
        at = 0
        while at < len(records):
            at += happen(account.wallet.lend(quote), records[at:])
            account.wallet.take_back(quote)
            self._tell(account, self._answers(account, quote))

    def _show(self, events: Any, now: int) -> None:
        columns = ("kind", "instrument", "side", "level", "bits", "client_id", "price_ticks", "qty_lots")
        rows = zip(*(events[name].tolist() for name in (*columns, "trigger_ticks", "ref_id")), strict=True)
        for kind, index, side, level, bits, w0, w1, w2, w3, w4 in rows:
            if index >= len(self.tapes):
                continue
            tape = self.tapes[index]
            shown, trade = False, None
            if kind == r.QUOTE:
                shown = tape.quote(w0, w1, w2, w3, now)
            elif kind == r.TRADE:
                trade = tape.trade(w1, w2, side, now)
            elif kind == r.PATH:
                bid = w1 - (max(w3, 1) >> 1)
                shown = tape.quote(bid, w4, bid + max(w3, 1), w4, now)
                trade = tape.trade(w1, w2, 0, now)
            elif kind == r.DEPTH and level == 0:
                shown = tape.quote(w0, w1, w2, w3, now)
            elif kind == r.DEPTH and bits & r.LAST:
                tape.update_id += 1
            if shown:
                for quoted in self.on_quote:
                    quoted(tape)
            if trade is not None:
                for traded in self.on_trade:
                    traded(tape, trade)

    def levels(self, tape: Tape, side: int) -> list[tuple[int, int]]:
        """(ticks, lots) a taker of `side` meets, best first: asks for +1, bids for -1."""
        count = read_book(self._public, tape.index, side, self._levels)
        return [(int(ticks), int(lots)) for ticks, lots in self._levels[:count].tolist()]

    # --- orders -----------------------------------------------------------------------------------

    def place(self, account: Account, ticket: Ticket) -> Order:
        """Send an order to the venue and report what became of it. Raises OrderRefused."""
        command = self._command(account, ticket)
        now = self.clock.now_ms()
        order = Order(
            0, int(command["client_id"][0]), ticket.symbol, ticket.client_order_id, ticket.side,
            ticket.order_type, ticket.tif, ticket.lots, ticket.ticks, ticket.stop_ticks, ticket.quote_order_e8, now,
            left_lots=ticket.lots, update_ms=now, working_ms=-1 if ticket.stop_ticks else now,
        )  # fmt: skip
        quote = self.quote_of(ticket.symbol)
        happen(account.wallet.lend(quote), command)
        account.wallet.take_back(quote)
        account.working[order.engine_id] = order
        reports = self._answers(account, quote)
        if order.status == "REJECTED":
            raise OrderRefused(order.refused_for)
        self._tell(account, reports)
        return order

    def refusal(self, account: Account, ticket: Ticket) -> int:
        """The reason why the venue would refuse an order, or 0; nothing happens."""
        restore_venue(self._probe, venue_memory(account.wallet.lend(self.quote_of(ticket.symbol))))
        happen(self._probe, self._command(account, ticket))
        head = self._probe.head[0]
        first = self._probe.replies[int(head.replies_first)]
        return int(first.reason) if first.kind == r.ORDER_REJECT else 0

    def cancel(self, account: Account, order: Order, cancel_id: str) -> None:
        """Cancel an open order. Raises OrderRefused (UNKNOWN_ORDER) where it is not open (any more)."""
        if order.is_open and order.ticks > 0 and self.faults.take("A6", order.order_type):
            self._fill_now(account, order)
        if not order.is_open:
            raise OrderRefused(reasons.UNKNOWN_ORDER)
        order.cancel_id = cancel_id
        command: Any = np.zeros(1, r.RECORD)
        command["kind"], command["instrument"] = r.CANCEL, order.symbol
        command["client_id"], command["ts_ns"] = order.engine_id, self.clock.now_ms() * 1_000_000
        self._happen(account, self.quote_of(order.symbol), command)

    def _fill_now(self, account: Account, order: Order) -> None:
        """A trade through the order's limit, seen by this account alone."""
        event: Any = np.zeros(1, r.RECORD)
        event["kind"], event["instrument"], event["side"] = r.TRADE, order.symbol, -order.side
        event["price_ticks"], event["qty_lots"] = order.ticks - order.side, order.left_lots
        self._happen(account, self.quote_of(order.symbol), event)

    def _command(self, account: Account, ticket: Ticket) -> Any:
        command: Any = np.zeros(1, r.RECORD)
        command["kind"], command["instrument"], command["side"] = r.PLACE, ticket.symbol, ticket.side
        command["order_type"], command["tif"] = ENGINE_TYPES[ticket.order_type], ENGINE_TIFS[ticket.tif]
        command["bits"] = r.POST_ONLY if ticket.order_type == "LIMIT_MAKER" else 0
        command["price_ticks"], command["trigger_ticks"] = ticket.ticks, ticket.stop_ticks
        venue = account.wallet.venues[self.quote_of(ticket.symbol)]
        command["qty_lots"], command["client_id"] = ticket.lots, self._free_id(venue)
        command["ts_ns"] = self.clock.now_ms() * 1_000_000
        return command

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
                report = self._note(account, order, record, now)
                if report is not None:
                    reports.append(report)
        return reports

    def _note(self, account: Account, order: Order, record: Any, now: int) -> Report | None:
        kind, fill, event = int(record.kind), None, ""
        if kind == r.ORDER_REJECT:
            order.status, order.refused_for = "REJECTED", int(record.reason)
        elif kind == r.ORDER_ACK:
            order.order_id = self._next_order_id
            self._next_order_id += 1
            account.orders[order.order_id] = order
            event = "NEW"
        elif kind == r.ORDER_TRIGGERED:
            order.working_ms = now
            event = "NEW"
        elif kind == r.FILL:
            fill = self._filled(order, record, now)
            event = "TRADE"
        elif kind == r.CANCEL_ACK:
            order.status = event = "CANCELED"
        elif kind == r.ORDER_EXPIRED:
            order.status = event = "EXPIRED"
        order.update_ms = account.update_ms = now
        if not order.is_open:
            del account.working[order.engine_id]
        if not event:
            return None
        return Report(event, self._copy(order), fill, now, self.balances(account, order.symbol))

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
        return fill

    def _copy(self, order: Order) -> Order:
        copied = copy.copy(order)
        copied.fills = list(order.fills)
        return copied

    def _tell(self, account: Account, reports: list[Report]) -> None:
        for report in self._arranged(reports):
            for listener in list(account.listeners):
                listener(report)

    def _arranged(self, reports: list[Report]) -> list[Report]:
        """The reports of one burst in the order they are sent: as they happened, unless A3, A4 or A5 is armed."""
        fills = [one for one in reports if one.event == "TRADE"]
        if fills and self.faults.take("A3"):
            reports = [one for report in reports for one in ([report] * (2 if report.event == "TRADE" else 1))]
        if fills and any(one.event == "NEW" for one in reports) and self.faults.take("A4"):
            reports = sorted(reports, key=lambda one: one.event != "TRADE")
        if len(fills) > 1 and self.faults.take("A5"):
            backwards = iter(fills[::-1])
            reports = [next(backwards, one) if one.event == "TRADE" else one for one in reports]
        return reports

    # --- balances ---------------------------------------------------------------------------------

    def balances(self, account: Account, symbol: int | None = None) -> dict[str, tuple[int, int]]:
        """Asset -> (free, locked) in 1e-8; of one symbol's two assets, or of all."""
        one = None if symbol is None else self.tapes[symbol].instrument
        names = account.wallet.assets if one is None else (one.base, one.quote)
        return {name: account.wallet.balance(name) for name in names}

    def deposit(self, account: Account, asset: str, amount_e8: int) -> None:
        """Add to a balance (or, negative, take from it). Raises BadInput for an unknown asset."""
        account.wallet.add(asset, amount_e8)

    def quote_of(self, symbol: int) -> str:
        """Quote asset of a symbol."""
        return self.tapes[symbol].instrument.quote

    def change_filters(self, tape: Tape, min_notional_e8: int | None, min_lots: int | None) -> None:
        """New minimums for a symbol at once, as exchanges do without notice (X6)."""
        customers = [venue for account in self.accounts.all for venue in account.wallet.venues.values()]
        for venue in (self._public, self._probe, *customers):
            row = venue.instruments[tape.index]
            row.min_notional_e8 = row.min_notional_e8 if min_notional_e8 is None else min_notional_e8
            row.min_lots = row.min_lots if min_lots is None else min_lots

    def filters(self, tape: Tape) -> Any:
        """The filters in force: a row of `engine.core.state.INSTRUMENT`."""
        return self._public.instruments[tape.index]

    def has_all_stops(self, account: Account, symbol: int) -> bool:
        """Whether untriggered stops are at their maximum."""
        waiting = [o for o in account.working.values() if o.symbol == symbol and o.working_ms < 0]
        return len(waiting) >= MAX_STOPS

    def max_price_ticks(self, tape: Tape) -> int:
        """Highest price an order may carry."""
        return min(MOST_TICKS, tape.ticks_for(int(self.filters(tape).max_lots), MOST_VALUE))
