"""The counter that lets no account trade with itself (`engine.sandbox.self_trade` has the rules).

A stop that triggers at the simulated venue is not looked at: it takes from the recorded book only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.sandbox.accounts import Account, Order, Report
from engine.sandbox.counter import Counter
from engine.sandbox.desk import happen, read_book
from engine.sandbox.self_trade import ENDED, Meeting, PreventedMatch, Settlement, resting, settle
from engine.sandbox.show import BOOK_LEVELS
from engine.sandbox.tape import Tape
from engine.sandbox.ticket import OrderRefused, Ticket, cancel_of

PREVENTED: Final = "TRADE_PREVENTION"


class FairCounter(Counter):
    """A counter where a taker is settled with its account's own resting orders before it is sent."""

    def levels(self, tape: Tape, side: int) -> list[tuple[int, int]]:
        """(ticks, lots) a taker of `side` meets, best first: asks for +1, bids for -1."""
        found: Any = np.zeros((BOOK_LEVELS, 2), np.int64)
        count = read_book(self._public, tape.index, side, found)
        return [(int(ticks), int(lots)) for ticks, lots in found[:count].tolist()]

    def refusal(self, account: Account, ticket: Ticket) -> int:
        """As without own orders; one that must not take is refused where it would take an own order too."""
        reason = super().refusal(account, ticket)
        return reason or (reasons.WOULD_TAKE if self._takes_own(account, ticket) else 0)

    def place(self, account: Account, ticket: Ticket) -> Order:
        """Send an order, past the account's own ones, and report what became of it. Raises OrderRefused."""
        settled = self._settled(account, ticket)
        if settled is None and not self._takes_own(account, ticket):
            return super().place(account, ticket)
        reason = self.refusal(account, ticket)
        if reason or settled is None:
            raise OrderRefused(reason or reasons.WOULD_TAKE)
        order = self._new_order(account, ticket)
        matches = [self._match(order, self._next_order_id, one) for one in settled.meetings]
        ended = [
            report
            for one, match in zip(settled.meetings, matches, strict=True)
            for report in self._take_from_maker(account, one, match)
        ]
        account.working[order.engine_id] = order
        sent = self._send_rest(account, order, ticket, settled)
        account.prevented += matches
        order.prevented = matches
        own = self._take_from_taker(account, order, settled, matches)
        now = self.balances(account, order.symbol)
        self._tell(account, [*sent[:1], *(replace(one, balances=now) for one in ended), *sent[1:], *own])
        if order.status == "REJECTED":
            raise OrderRefused(order.refused_for)
        return order

    def _takes_own(self, account: Account, ticket: Ticket) -> bool:
        """Whether an order that must not take would take an own one."""
        if ticket.order_type != "LIMIT_MAKER":
            return False
        return bool(resting(account.working.values(), ticket.symbol, ticket.side, ticket.ticks))

    def _settled(self, account: Account, ticket: Ticket) -> Settlement | None:
        """What becomes of the order and of those it would meet; None where it meets none."""
        if ticket.stop_ticks or ticket.order_type == "LIMIT_MAKER":
            return None
        makers = resting(account.working.values(), ticket.symbol, ticket.side, ticket.ticks)
        if not makers:
            return None
        holding = account.wallet.venues[self.quote_of(ticket.symbol)].holdings[ticket.symbol]
        gone = int(holding.taken_ask_lots if ticket.side > 0 else holding.taken_bid_lots)
        levels = self.levels(self.tapes[ticket.symbol], ticket.side)
        return settle(ticket.stp, makers, ticket.side, ticket.lots, levels, gone)

    def _match(self, order: Order, taker_id: int, one: Meeting) -> PreventedMatch:
        maker = one.maker
        number = self._next_match_id
        self._next_match_id += 1
        return PreventedMatch(
            number, order.symbol, taker_id, maker.order_id, order.stp, maker.ticks, one.lots, one.taker_lots,
            one.maker_lots, self.clock.now_ms(),
        )  # fmt: skip

    def _take_from_maker(self, account: Account, one: Meeting, match: PreventedMatch) -> list[Report]:
        """What the resting order loses; the rest of its list ends with it."""
        maker: Order = one.maker
        if not one.maker_lots:
            return []
        maker.prevented_lots += one.maker_lots
        maker.prevented = [*maker.prevented, match]
        if one.maker_lots < maker.left_lots:
            self._shrink(account, maker, maker.left_lots - one.maker_lots)
            return [replace(self._report(account, maker, PREVENTED), match=match)]
        reports = self._end(account, maker, ENDED)
        return [replace(each, event=PREVENTED, match=match) if each.event == ENDED else each for each in reports]

    def _shrink(self, account: Account, order: Order, lots: int) -> None:
        """Leave so many lots of a resting order, which loses its place in the queue."""
        quote = self.quote_of(order.symbol)
        del account.working[order.engine_id]  # nobody is told that the venue cancels it
        happen(account.wallet.lend(quote), cancel_of(order.symbol, order.engine_id, self.clock.now_ms()))
        account.wallet.take_back(quote)
        self._answers(account, quote)
        order.engine_id = self._free_id(account.wallet.venues[quote])
        order.left_lots = lots
        account.working[order.engine_id] = order
        again = Ticket(order.symbol, order.side, "LIMIT", "GTC", lots, order.ticks, 0, order.client_order_id)
        self._send_as_is(account, order, again)

    def _send_rest(self, account: Account, order: Order, ticket: Ticket, settled: Settlement) -> list[Report]:
        """The part of a taker that may go to the book: none of one that must fill whole and cannot."""
        lots = 0 if settled.is_ended and ticket.tif == "FOK" else settled.lots
        if not lots:
            self._register(account, order)
            return [self._report(account, order, "NEW")]
        if not settled.is_ended:
            order.left_lots = lots
        tif = "IOC" if settled.is_ended and ticket.ticks else ticket.tif
        return self._send_as_is(account, order, replace(ticket, lots=lots, tif=tif))

    def _take_from_taker(
        self, account: Account, order: Order, settled: Settlement, matches: list[PreventedMatch]
    ) -> list[Report]:
        """What the taker loses; with the last of it, it ends."""
        reports = []
        for match in matches:
            if not match.taker_lots:
                continue
            order.prevented_lots += match.taker_lots
            if settled.is_ended and match is matches[-1] and order.is_open:
                order.status, order.left_lots = ENDED, 0
                del account.working[order.engine_id]
            reports.append(replace(self._report(account, order, PREVENTED), match=match))
        return reports
