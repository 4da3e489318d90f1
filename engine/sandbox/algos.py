"""The desk of conditional orders: takes them, lets them wait, turns them into orders, follows what became of those.

Rules
-----
* A conditional order reserves nothing and is unknown to the matching engine until it triggers.
* One that closes the whole position, or may only reduce one, needs the position to be there when it is placed; one
  that closes the whole position ends (EXPIRED) with it. A reduce-only one that finds no position is REJECTED.
* A liquidation ends all that wait for its symbol.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

from engine.contracts import reasons
from engine.sandbox.exchange import OrderRefused
from engine.sandbox.traders import AlgoOrder, AlgoTold, OrderTold, PerpTicket, Told, Trader
from engine.sandbox.triggers import reference_ticks
from engine.simulation.filters import MAX_STOPS_PERP

if TYPE_CHECKING:
    from engine.sandbox.futures import Futures

FIRST_ID: Final = 1_000_000_000_000_001
LIMITED: Final = ("STOP", "TAKE_PROFIT")
"""Types that become limit orders; the others become market orders."""
REJECTIONS: Final = {
    reasons.REDUCE_ONLY_REJECTED: "Reduce Only reject",
    reasons.INSUFFICIENT_MARGIN: "Margin is insufficient.",
}


class AlgoDesk:
    """Conditional orders of all customers."""

    def __init__(self, futures: Futures) -> None:
        self._futures = futures
        self._next_id = FIRST_ID

    def place(self, trader: Trader, algo: AlgoOrder) -> AlgoOrder:
        """Take a conditional order; its id is given here. Raises OrderRefused."""
        tape, held = self._futures.tapes[algo.symbol], trader.positions[algo.symbol]
        if len(trader.waiting(algo.symbol)) >= MAX_STOPS_PERP:
            raise OrderRefused(reasons.MAX_ORDERS)
        if (algo.reduce_only or algo.close_position) and held.lots * algo.side >= 0:
            raise OrderRefused(reasons.REDUCE_ONLY_REJECTED)
        now = reference_ticks(tape, algo.working_type)
        if now <= 0:
            raise OrderRefused(reasons.NO_LIQUIDITY)
        if algo.order_type == "TRAILING_STOP_MARKET":
            algo.activate_ticks = algo.activate_ticks or now
        else:
            rises = algo.order_type.startswith("STOP") == (algo.side > 0)
            if now >= algo.trigger_ticks if rises else now <= algo.trigger_ticks:
                raise OrderRefused(reasons.WOULD_TRIGGER)
        algo.algo_id = self._next_id
        self._next_id += 1
        trader.algos[algo.algo_id] = trader.pending[algo.algo_id] = algo
        self._tell(trader, algo, "NEW")
        return algo

    def cancel(self, trader: Trader, algo: AlgoOrder) -> None:
        """Cancel one that waits. Raises OrderRefused (UNKNOWN_ORDER)."""
        if not algo.is_waiting:
            raise OrderRefused(reasons.UNKNOWN_ORDER)
        self._tell(trader, algo, "CANCELED")

    def trigger(self, trader: Trader, algo: AlgoOrder) -> None:
        """The trigger price was reached: send what the order turns into."""
        algo.trigger_ms = self._futures.clock.now_ms()
        self._tell(trader, algo, "TRIGGERING")
        held = trader.positions[algo.symbol].lots
        reduces = algo.reduce_only or algo.close_position
        lots = abs(held) if algo.close_position else algo.lots
        is_limit = algo.order_type in LIMITED
        ticket = PerpTicket(
            algo.symbol, algo.side, "LIMIT" if is_limit else "MARKET", algo.tif if is_limit else "GTC", lots,
            algo.ticks if is_limit else 0, algo.client_algo_id, reduces, algo.stp,
        )  # fmt: skip
        try:
            if lots == 0:
                raise OrderRefused(reasons.REDUCE_ONLY_REJECTED)
            self._futures.place(trader, ticket, algo)
        except OrderRefused as error:
            algo.reason = REJECTIONS.get(error.reason, str(error))
            self._tell(trader, algo, "REJECTED")

    def follow(self, trader: Trader, told: list[Told]) -> None:
        """Conditional orders that follow from what was told: their orders ended, or their position did."""
        for one in told:
            if not isinstance(one, OrderTold):
                continue
            algo = one.order.algo
            if algo is not None and not one.order.is_open and algo.status == "TRIGGERED":
                self._tell(trader, algo, "FINISHED")
            if one.fill is None or trader.positions[one.order.symbol].lots:
                continue
            for waiting in trader.waiting(one.order.symbol):
                if waiting.close_position or one.event == "CALCULATED":
                    self._tell(trader, waiting, "EXPIRED")

    def _tell(self, trader: Trader, algo: AlgoOrder, status: str) -> None:
        algo.status, algo.update_ms = status, self._futures.clock.now_ms()
        if not algo.is_waiting:
            trader.pending.pop(algo.algo_id, None)
        trader.tell(AlgoTold(copy.copy(algo), algo.update_ms))
