"""What became of an order: asked of the venue by our id, in every book it may lie in."""

from __future__ import annotations

from typing import Any, Final

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.errors import KeelError, Retryable
from engine.venues.budgets import Urgency
from engine.venues.ccxt.backoff import BackOff
from engine.venues.ccxt.board import Board, Listing
from engine.venues.ccxt.faults import Failure
from engine.venues.ccxt.reports import Reports, Sent
from engine.venues.ccxt.session import Session
from engine.venues.emulated_stops import EmulatedStops

_LOOK_BACK: Final = 100  # orders looked through where a venue cannot be asked by our id


class Inquiry:
    """Questions about single orders; the answers go out as records."""

    def __init__(self, session: Session, board: Board, reports: Reports, stops: EmulatedStops) -> None:
        self._session, self._board, self._reports, self._stops = session, board, reports, stops
        reports.catch_up = self.catch_up

    async def ask(self, instrument: int, client_id: int) -> bool:
        """See the port."""
        listing = self._board.at(instrument)
        held = self._stops.find(client_id)
        if held is not None:
            self._reports.tell(r.ORDER_ACK, held.order[1])
            return True
        order = await self.find(listing, client_id)
        if order is None:
            return False
        self._reports.adopt(listing, str(order["id"]), client_id)
        for trade in await self._trades(listing, str(order["id"])):
            self._reports.trade(trade)
        child = (order.get("info") or {}).get("actualOrderId")
        if child and str(child) != "0":
            self._reports.adopt(listing, str(child), client_id)
            for trade in await self._trades(listing, str(child)):
                self._reports.trade(trade)
        self._reports.order(order, again=True)
        return True

    async def find(self, listing: Listing, client_id: int) -> dict[str, Any] | None:
        """The order as the venue shows it, under our id; None where no book has it. Raises Retryable, Refused."""
        facts, text = self._session.facts, self._reports.text(client_id)
        sent = self._reports.sent.get(client_id) or Sent(client_id, listing, 0, 0)
        if facts.ids == "client" or sent.venue_id:
            for book in self.books(sent):
                params = book | ({"clientOrderId": text} if facts.ids == "client" else {})
                found = await self._session.attempt(Urgency.EXIT, "fetch_order", sent.venue_id, listing.symbol, params)
                if not isinstance(found, Failure):
                    return dict(found) | {"clientOrderId": text, "symbol": listing.symbol}
                if found.reason != reasons.UNKNOWN_ORDER:
                    raise found.error()
            return None
        for method in ("fetch_open_orders", "fetch_orders"):
            for order in await self._session.ask(method, listing.symbol, None, _LOOK_BACK):
                if order.get("clientOrderId") == text:
                    return dict(order)
        return None

    async def _trades(self, listing: Listing, venue_id: str) -> list[Any]:
        params = {self._session.facts.trades_of_order: venue_id} if self._session.facts.trades_of_order else {}
        trades = await self._session.ask("fetch_my_trades", listing.symbol, None, _LOOK_BACK, params)
        return [trade for trade in trades if str(trade.get("order") or venue_id) == venue_id]

    def catch_up(self, sent: Sent) -> None:
        """An order's fills did not come by themselves: ask for them."""
        sent.is_asked_for = True
        self._session.spawn(self.look_again(sent))

    async def look_again(self, sent: Sent) -> None:
        """Ask until it is answered, and again where more was heard meanwhile."""
        sent.is_asked_for, back_off = True, BackOff()
        try:
            while sent.is_asked_for:
                sent.has_news = False
                try:
                    await self.ask(sent.listing.number, sent.client_id)
                    sent.is_asked_for = sent.has_news
                except Retryable as error:
                    text = f"order {sent.client_id} could not be asked for: {error}; asking again"
                    self._reports.notice("lost", text, sent.listing.number)
                    await back_off.pause()
        except KeelError as error:
            self._reports.notice("refused", f"order {sent.client_id} cannot be asked for: {error}", sent.listing.number)
        finally:
            sent.is_asked_for = False

    def books(self, sent: Sent) -> list[dict[str, Any]]:
        """Where an order may lie, the likelier first."""
        if not self._session.facts.has_algo_book:
            return [{}]
        return [{"trigger": True}, {}] if sent.trigger_ticks and not sent.is_triggered else [{}, {"trigger": True}]
