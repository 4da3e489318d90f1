"""The futures venue behind the wire: one market for all, one simulated venue per customer, conditional orders.

Rules
-----
* Everybody sees the same recorded market; orders of customers move nobody's market and never fill each other.
* Matching, margin, funding and liquidation are `engine.simulation`'s, the same as in a backtest. `Position` folds the
  same fills a second time for what the exchange tells about them; both must agree to the last 1e-8.
* Conditional orders wait here, outside the matching engine; the event that carries the trigger price happens first,
  then what they turn into is sent.
* Whatever happens is told to the customer's listeners in the order it happened, unless a fault says otherwise,
  before the call that caused it returns.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.errors import BadInput
from engine.contracts.instruments import Instrument
from engine.core.limits import Limits
from engine.core.orders import POOL
from engine.core.state import new_core
from engine.sandbox.algos import AlgoDesk
from engine.sandbox.api_keys import KINDS, KeyKind
from engine.sandbox.clock import Clock
from engine.sandbox.desk import happen, read_book
from engine.sandbox.exchange import OrderRefused
from engine.sandbox.faults import Faults
from engine.sandbox.perp_ledger import PerpLedger
from engine.sandbox.perp_prevention import PerpPrevention, mode_of
from engine.sandbox.perp_tape import FUNDING_MS, PerpTape
from engine.sandbox.reports import arranged
from engine.sandbox.self_trade import NONE
from engine.sandbox.show import BOOK_LEVELS, Levels, announce
from engine.sandbox.tape import MOST_TICKS, Trade
from engine.sandbox.traders import (
    AccountTold,
    AlgoOrder,
    AlgoTold,
    OrderTold,
    PerpOrder,
    PerpTicket,
    Told,
    Trader,
    Traders,
)
from engine.sandbox.triggers import first_triggered
from engine.simulation.venue import SimulationModel, new_venue, restore_venue, venue_memory

MOST_VALUE_E8: Final = 4 * 10**18
ENGINE_TYPES: Final = {"LIMIT": r.LIMIT_ORDER, "MARKET": r.MARKET}
ENGINE_TIFS: Final = {"GTC": r.GTC, "IOC": r.IOC, "FOK": r.FOK, "GTX": r.GTC}
USUAL_RATE: Final = 0.0001
RATE_SPREAD: Final = 0.00005
"""Funding where the market records none: drawn around the usual 0.01 %, by seed, symbol and payment."""


class Futures:
    """Market, customers and orders. Not thread-safe: one loop calls it."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        clock: Clock,
        accounts: int,
        cash: float,
        seed: int = 1,
        kinds: Sequence[KeyKind] = KINDS,
    ) -> None:
        quotes = sorted({one.quote for one in instruments})
        if len(quotes) != 1 or any(one.kind != "perp" for one in instruments):
            raise BadInput(f"symbols: perpetuals of one quote asset are needed, not {', '.join(quotes)}; use --symbols")
        self.clock = clock
        self.faults = Faults()
        self.cash_asset = quotes[0]
        self.tapes = [PerpTape(k, one) for k, one in enumerate(instruments)]
        self.by_name = {tape.name: tape for tape in self.tapes}
        if len(self.by_name) != len(self.tapes):
            raise BadInput("data: a perpetual is there twice (from two venues); name one with --symbols venue:PAIR")
        self.on_quote: list[Callable[[Any], None]] = []
        self.on_trade: list[Callable[[Any, Trade], None]] = []
        self.on_book: list[Callable[[Any, Levels, Levels], None]] = []
        self.seed = seed
        self._model = SimulationModel(book_levels=BOOK_LEVELS)
        self._core = new_core(list(instruments), Limits(), cash, {}, (60, 300, 3600))
        self._public, self._probe = self._new_venue(), self._new_venue()
        self.accounts = Traders()
        for _ in range(accounts):
            trader = self.accounts.add(self._new_venue(), [one.max_leverage for one in instruments], kinds)
            trader.update_ms = clock.now_ms()
        self.algos = AlgoDesk(self)
        self._prevention = PerpPrevention(self)
        self._ledger = PerpLedger(self)
        self._next_engine_id = 1
        self._levels = np.zeros((BOOK_LEVELS, 2), np.int64)
        for tape in self.tapes:
            tape.next_funding_ms = (clock.now_ms() // FUNDING_MS + 1) * FUNDING_MS
            tape.rate_e12 = self._drawn_rate(tape)

    def _new_venue(self) -> Any:
        return new_venue(self._core, self._model)

    # --- the market -------------------------------------------------------------------------------

    def play(self, events: Any, time_ms: int | None = None) -> None:
        """Let recorded market events happen, shown as of the wire clock or (history) as of `time_ms`."""
        now = self.clock.now_ms() if time_ms is None else time_ms
        happen(self._public, events)
        self._note_marks(events, now, time_ms is not None)
        announce(self, events, now)
        for trader in self.accounts.all:
            self._play_for(trader, events)

    def _play_for(self, trader: Trader, events: Any) -> None:
        at = 0
        while at < len(events):
            waiting = trader.waiting()
            if waiting:
                count, hit = first_triggered(events[at:], self.tapes, waiting)
            else:
                count, hit = len(events) - at, []
            self._happen(trader, events[at : at + count])
            at += count
            for algo in hit:
                if algo.is_waiting:  # nothing before it closed the position
                    self.algos.trigger(trader, algo)

    def _note_marks(self, events: Any, now: int, is_past: bool) -> None:
        """Mark prices and funding payments onto the tapes."""
        for k in np.flatnonzero((events["kind"] == r.MARK) | (events["kind"] == r.FUNDING)).tolist():
            event = events[k]
            tape = self.tapes[int(event["instrument"])] if int(event["instrument"]) < len(self.tapes) else None
            if tape is None:
                continue
            price = int(event["price_ticks"])
            if int(event["kind"]) == r.FUNDING:
                tape.is_funded_by_market = True
                tape.fund(int(event["rate_e12"]), price if price > 0 else tape.mark, now, is_past)
                tape.rate_e12 = int(event["rate_e12"])
            elif price > 0:
                tape.mark_ticks = price

    def fund(self, tape: PerpTape, rate_e12: int) -> None:
        """A funding payment now: at a positive rate longs pay shorts, on the value at the mark price."""
        event: Any = np.zeros(1, r.RECORD)
        event["kind"], event["instrument"], event["rate_e12"] = r.FUNDING, tape.index, rate_e12
        event["price_ticks"] = tape.mark
        for trader in self.accounts.all:
            self._happen(trader, event)
        tape.fund(rate_e12, tape.mark, self.clock.now_ms())
        tape.rate_e12 = self._drawn_rate(tape)

    def _drawn_rate(self, tape: PerpTape) -> int:
        draw = random.Random(f"{self.seed} {tape.name} {len(tape.rates)}").gauss(USUAL_RATE, RATE_SPREAD)
        return round(draw * 1e8) * 10_000

    def on_clock(self) -> None:
        """What happens because time passes: funding of markets that record none, countdowns, listen keys."""
        now = self.clock.now_ms()
        for tape in self.tapes:
            if now >= tape.next_funding_ms and tape.mark > 0:
                if tape.is_funded_by_market:
                    tape.next_funding_ms += FUNDING_MS
                else:
                    self.fund(tape, tape.rate_e12)
        for trader in self.accounts.all:
            for symbol, deadline in list(trader.countdowns.items()):
                if now >= deadline:
                    del trader.countdowns[symbol]
                    self.cancel_all(trader, symbol)

    def levels(self, tape: Any, side: int) -> Levels:
        """(ticks, lots) a taker of `side` meets, best first: asks for +1, bids for -1."""
        count = read_book(self._public, tape.index, side, self._levels)
        return [(int(ticks), int(lots)) for ticks, lots in self._levels[:count].tolist()]

    # --- orders -----------------------------------------------------------------------------------

    def place(self, trader: Trader, ticket: PerpTicket, algo: AlgoOrder | None = None) -> PerpOrder:
        """Send an order to the venue and report what became of it. Raises OrderRefused."""
        reason = self.refusal(trader, ticket) if ticket.tif == "FOK" else 0
        if reason:
            raise OrderRefused(reason)
        settled = self._prevention.settled(trader, ticket)
        if settled is not None:
            return self._prevention.place(trader, ticket, algo, settled)
        order = self.drafted(trader, ticket, algo)
        self.send(trader, order, ticket)
        return order

    def drafted(self, trader: Trader, ticket: PerpTicket, algo: AlgoOrder | None) -> PerpOrder:
        """The order a ticket describes, before anybody took it."""
        now, leverage = self.clock.now_ms(), trader.leverages[ticket.symbol]
        order = PerpOrder(
            0, self._free_id(trader), ticket.symbol, ticket.client_order_id, ticket.side, ticket.order_type,
            ticket.tif, ticket.lots, ticket.ticks, ticket.reduce_only, now, leverage, orig_type=ticket.order_type,
            left_lots=ticket.lots, update_ms=now, algo=algo, stp=mode_of(ticket.tif, ticket.stp),
        )  # fmt: skip
        if algo is not None:
            order.orig_type, order.stop_ticks = algo.order_type, algo.trigger_ticks
            order.working_type, order.close_position = algo.working_type, algo.close_position
        return order

    def send(self, trader: Trader, order: PerpOrder, ticket: PerpTicket) -> None:
        """Put (what may go there of) an order at the venue. Raises OrderRefused."""
        command = self._command(trader, ticket, order.leverage)
        command["client_id"] = order.engine_id
        trader.working[order.engine_id] = order
        self._happen(trader, command)
        if order.status == "REJECTED":
            raise OrderRefused(order.refused_for)

    def take(self, trader: Trader, order: PerpOrder) -> None:
        """Accept an order of which nothing goes to the venue."""
        self.told(trader, self._ledger.accept(order, trader))

    def told(self, trader: Trader, told: list[Told]) -> None:
        """Something happened: tell it, and let conditional orders follow."""
        self.tell(trader, told)
        self.algos.follow(trader, told)

    def amend(self, trader: Trader, order: PerpOrder, lots: int, ticks: int) -> None:
        """Change price and quantity of an open limit order, which loses its place in the queue. Raises OrderRefused."""
        ticket = PerpTicket(
            order.symbol, order.side, order.order_type, order.tif, lots - order.executed_lots, ticks,
            order.client_order_id, order.reduce_only,
        )  # fmt: skip
        command = self._command(trader, ticket, order.leverage)
        command["ref_id"] = order.engine_id
        changed = copy.copy(order)
        changed.engine_id, changed.lots, changed.ticks = int(command["client_id"][0]), lots, ticks
        changed.left_lots, changed.fills, changed.stp = ticket.lots, order.fills, NONE
        trader.working[changed.engine_id] = changed
        self._ledger.amending = order.engine_id
        self._happen(trader, command)
        self._ledger.amending = 0
        if changed.status == "REJECTED":
            if order.status == "REPLACED":  # the old order is gone all the same
                order.status = "CANCELED"
                self.tell(trader, [OrderTold("CANCELED", copy.copy(order), None, self.clock.now_ms())])
            raise OrderRefused(changed.refused_for)

    def refusal(self, trader: Trader, ticket: PerpTicket) -> int:
        """The reason why the venue would refuse an order, or 0; nothing happens. One that must fill at once or not at
        all, and could not, is refused for NO_LIQUIDITY."""
        restore_venue(self._probe, venue_memory(trader.venue))
        happen(self._probe, self._command(trader, ticket, trader.leverages[ticket.symbol]))
        head, size = self._probe.head[0], len(self._probe.replies)
        answers = [self._probe.replies[(int(head.replies_first) + k) % size] for k in range(int(head.replies_count))]
        if answers[0].kind == r.ORDER_REJECT:
            return int(answers[0].reason)
        expires = any(one.kind == r.ORDER_EXPIRED for one in answers)
        return reasons.NO_LIQUIDITY if ticket.tif == "FOK" and expires else 0

    def cancel(self, trader: Trader, order: PerpOrder) -> None:
        """Cancel an open order. Raises OrderRefused (UNKNOWN_ORDER) where it is not open (any more)."""
        name = self.tapes[order.symbol].name
        if order.is_open and order.ticks > 0 and self.faults.take("A6", order.order_type, symbol=name):
            self._fill_now(trader, order)
        if not order.is_open:
            raise OrderRefused(reasons.UNKNOWN_ORDER)
        self.end(trader, order)

    def end(self, trader: Trader, order: PerpOrder) -> None:
        """Take an open order off the book; it ends as its `ends_as` says."""
        command: Any = np.zeros(1, r.RECORD)
        command["kind"], command["instrument"] = r.CANCEL, order.symbol
        command["client_id"], command["ts_ns"] = order.engine_id, self.clock.now_ms() * 1_000_000
        self._happen(trader, command)

    def cancel_all(self, trader: Trader, symbol: int) -> None:
        """Cancel the open orders of a symbol; conditional orders stay."""
        for order in [one for one in trader.working.values() if one.symbol == symbol]:
            try:
                self.cancel(trader, order)
            except OrderRefused:  # it filled as its cancel arrived
                continue

    def _fill_now(self, trader: Trader, order: PerpOrder) -> None:
        """A trade through the order's limit, seen by this customer alone."""
        event: Any = np.zeros(1, r.RECORD)
        event["kind"], event["instrument"], event["side"] = r.TRADE, order.symbol, -order.side
        event["price_ticks"], event["qty_lots"] = order.ticks - order.side, order.left_lots
        self._happen(trader, event)

    def liquidate(self, trader: Trader, symbol: int) -> None:
        """The mark price reaches the position's liquidation price, for this customer alone. Raises BadInput."""
        limit = self.liquidation_ticks(trader, symbol)
        if limit <= 0:
            raise BadInput(f"account {trader.number} holds no {self.tapes[symbol].name} that could be liquidated")
        event: Any = np.zeros(1, r.RECORD)
        event["kind"], event["instrument"] = r.MARK, symbol
        event["price_ticks"] = int(limit) if trader.positions[symbol].lots > 0 else int(limit) + 1
        self._happen(trader, event)

    def liquidation_ticks(self, trader: Trader, symbol: int) -> float:
        """The mark price in ticks at which a position is closed; 0 where there is none."""
        held = trader.positions[symbol]
        if not held.lots:
            return 0.0
        side = 1 if held.lots > 0 else -1
        row, worth = self.filters(self.tapes[symbol]), self.tapes[symbol].instrument.tick_lot_e8
        rate = int(row.maintenance_e8) / 1e8
        return max((held.cost_e8 - side * held.margin_e8) / (float(abs(held.lots) * worth) * (1 - side * rate)), 0.0)

    def _command(self, trader: Trader, ticket: PerpTicket, leverage: int) -> Any:
        command: Any = np.zeros(1, r.RECORD)
        command["kind"], command["instrument"], command["side"] = r.PLACE, ticket.symbol, ticket.side
        command["order_type"], command["tif"] = ENGINE_TYPES[ticket.order_type], ENGINE_TIFS[ticket.tif]
        post_only = r.POST_ONLY if ticket.tif == "GTX" else 0
        command["bits"] = post_only | (r.REDUCE_ONLY if ticket.reduce_only else 0)
        command["price_ticks"], command["qty_lots"] = ticket.ticks, ticket.lots
        command["client_id"], command["leverage"] = self._free_id(trader), leverage
        command["ts_ns"] = self.clock.now_ms() * 1_000_000
        return command

    def _free_id(self, trader: Trader) -> int:
        """An id whose slot at the venue is free."""
        for _ in range(POOL):
            number = self._next_engine_id
            self._next_engine_id += 1
            if trader.venue.orders[number % POOL].client_id == 0:
                return number
        raise OrderRefused(reasons.ORDER_POOL_FULL)

    def _happen(self, trader: Trader, records: Any) -> None:
        """Events or commands at a customer's venue; whatever it answers is told before the next of them."""
        at = 0
        while at < len(records):
            at += happen(trader.venue, records[at:])
            if trader.venue.head[0].replies_count:
                self.told(trader, self._ledger.answers(trader))

    def tell(self, trader: Trader, told: list[Told]) -> None:
        """Tell a burst: conditional orders, then orders as it happened to them, then the account. A3, A4 and A5 change
        that; with A4 fills come before their order's acceptance, and before the conditional order's triggering, which
        another service of the exchange tells."""
        orders = [one for one in told if isinstance(one, OrderTold)]
        if orders:
            orders = arranged(self.faults, orders, self.tapes[orders[0].order.symbol].name)
        algos = [one for one in told if isinstance(one, AlgoTold)]
        rest = [one for one in told if not isinstance(one, OrderTold | AlgoTold)]
        is_early = bool(orders) and orders[0].event == "TRADE"
        for one in [*orders, *algos, *rest] if is_early else [*algos, *orders, *rest]:
            trader.tell(one)

    # --- money and rules --------------------------------------------------------------------------

    def deposit(self, trader: Trader, amount_e8: int) -> None:
        """Add to the wallet (or, negative, take from it)."""
        trader.venue.head[0].cash_e8 += amount_e8
        now = self.clock.now_ms()
        self._ledger.note_income(trader, -1, "TRANSFER", amount_e8, now)
        reason = "DEPOSIT" if amount_e8 > 0 else "WITHDRAW"
        trader.tell(AccountTold(reason, -1, amount_e8, now))

    def set_leverage(self, trader: Trader, symbol: int, leverage: int) -> None:
        """Leverage for new orders, and for an open position, whose margin becomes what it asks for. Raises OrderRefused
        (INSUFFICIENT_MARGIN) where the wallet cannot bear it."""
        held, venue = trader.positions[symbol], trader.venue
        margin = -(-held.cost_e8 // leverage) if held.lots else 0
        more = margin - held.margin_e8
        if held.lots and more > trader.available_e8:
            raise OrderRefused(reasons.INSUFFICIENT_MARGIN)
        if held.lots:
            venue.holdings[symbol].margin_e8 += more
            venue.holdings[symbol].leverage = held.leverage = leverage
            venue.head[0].margin_e8 += more
            held.margin_e8 = margin
        trader.leverages[symbol] = leverage

    def change_filters(self, tape: PerpTape, min_notional_e8: int | None, min_lots: int | None) -> None:
        """New minimums for a symbol at once, as exchanges do without notice (X6)."""
        for venue in (self._public, self._probe, *(trader.venue for trader in self.accounts.all)):
            row = venue.instruments[tape.index]
            row.min_notional_e8 = row.min_notional_e8 if min_notional_e8 is None else min_notional_e8
            row.min_lots = row.min_lots if min_lots is None else min_lots

    def filters(self, tape: PerpTape) -> Any:
        """The filters in force: a row of `engine.core.state.INSTRUMENT`."""
        return self._public.instruments[tape.index]

    def max_price_ticks(self, tape: PerpTape) -> int:
        """Highest price an order may carry."""
        worth = max(int(tape.instrument.tick_lot_e8), 1)
        return min(MOST_TICKS, MOST_VALUE_E8 // (int(self.filters(tape).max_lots) * worth))
