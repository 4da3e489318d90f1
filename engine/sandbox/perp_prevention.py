"""Keeps a futures customer's takers from their own resting orders (`engine.sandbox.self_trade` has the rules).

FOK and GTX orders have no mode: the first pass own orders, the second are refused where they would take one. What
rests ends before the taker is taken; of a conditional order it is the taker it becomes that counts.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from engine.contracts import reasons
from engine.sandbox.self_trade import ENDED, NONE, Settlement, resting, settle
from engine.sandbox.ticket import OrderRefused
from engine.sandbox.traders import AlgoOrder, OrderTold, PerpOrder, PerpTicket, Trader

if TYPE_CHECKING:
    from engine.sandbox.futures import Futures

WITHOUT_MODE: Final = ("FOK", "GTX")


class PerpPrevention:
    """Settles takers with own orders before they are sent."""

    def __init__(self, futures: Futures) -> None:
        self._futures = futures

    def settled(self, trader: Trader, ticket: PerpTicket) -> Settlement | None:
        """What becomes of an order and of those it would meet; None where it meets none. Raises OrderRefused
        (WOULD_TAKE) for one that must not take."""
        futures = self._futures
        makers = resting(trader.working.values(), ticket.symbol, ticket.side, ticket.ticks)
        if makers and ticket.tif == "GTX":
            raise OrderRefused(reasons.WOULD_TAKE)
        if not makers or ticket.tif in WITHOUT_MODE:
            return None
        holding = trader.venue.holdings[ticket.symbol]
        gone = int(holding.taken_ask_lots if ticket.side > 0 else holding.taken_bid_lots)
        levels = futures.levels(futures.tapes[ticket.symbol], ticket.side)
        return settle(ticket.stp, makers, ticket.side, ticket.lots, levels, gone)

    def place(self, trader: Trader, ticket: PerpTicket, algo: AlgoOrder | None, settled: Settlement) -> PerpOrder:
        """Send what may be sent of an order, after those it would meet have ended. Raises OrderRefused."""
        futures = self._futures
        reason = futures.refusal(trader, ticket)
        if reason:
            raise OrderRefused(reason)
        for one in settled.meetings:
            if one.maker_lots:
                one.maker.ends_as = ENDED
                futures.end(trader, one.maker)
        order = futures.drafted(trader, ticket, algo)
        if settled.lots:
            tif = "IOC" if settled.is_ended and ticket.ticks else ticket.tif
            futures.send(trader, order, replace(ticket, lots=settled.lots, tif=tif))
        else:
            futures.take(trader, order)
        if settled.is_ended and order.is_open:
            order.status, order.left_lots = ENDED, 0
            trader.working.pop(order.engine_id, None)
            futures.told(trader, [OrderTold("EXPIRED", copy.copy(order), None, futures.clock.now_ms())])
        return order


def mode_of(tif: str, wanted: str) -> str:
    """The mode an order is shown with."""
    return NONE if tif in WITHOUT_MODE else wanted
