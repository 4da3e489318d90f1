"""Orders and fills as ccxt tells them, folded into records: each thing that happened is told once.

Rules
-----
* A fill is known by the venue's trade id; an order's end is told when all fills it names have been told.
* A fill whose order nobody knows yet waits for that order to show itself (the user stream may be ahead of the answer).
* What is not ours is a Notice, once; a close forced by the venue is a FORCED fill, one by whoever stood in for us an
  ADOPTED fill.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.instruments import E8
from engine.venues.binance.client_ids import STAND_IN, ClientIds
from engine.venues.ccxt.board import Board, Listing
from engine.venues.ccxt.facts import Facts
from engine.venues.ccxt.steps import decimal_of
from engine.venues.fills import SeenFills
from engine.venues.port import Inlet, Notice
from engine.venues.sheet import Sheet
from engine.venues.undecodable import Undecodable, shown

ENDS: Final[dict[str, int]] = {
    "canceled": r.CANCEL_ACK, "expired": r.ORDER_EXPIRED, "expired_in_match": r.ORDER_EXPIRED,
    "rejected": r.ORDER_REJECT, "closed": r.FILL,
}  # fmt: skip
"""ccxt's status of an order that is over -> how that is told (FILL: by its fills alone)."""

TRIGGERED: Final = ("triggered", "finished")  # USD-M algo orders: the order they became tells the rest
_UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, Undecodable)
_KEPT: Final = 2048
_SIDES: Final = {"buy": r.BUY, "sell": r.SELL}


@dataclass(eq=False)
class Sent:
    """An order of ours as far as the venue has told of it."""

    client_id: int
    listing: Listing
    side: int
    qty_lots: int
    price_ticks: int = 0
    trigger_ticks: int = 0
    venue_id: str = ""
    is_acked: bool = False
    is_triggered: bool = False
    filled_lots: int = 0
    end: int = 0
    is_asked_for: bool = False  # a look-up of its fills is under way,
    has_news: bool = False  # and more was heard meanwhile
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_over(self) -> bool:
        return self.end != 0


class Reports:
    """The only way of order events into the inlet. `catch_up` is called for an order whose fills are missing."""

    def __init__(self, board: Board, facts: Facts, client_ids: ClientIds, seen: SeenFills) -> None:
        self.board, self._facts, self._ids, self._seen = board, facts, client_ids, seen
        self.inlet: Inlet | None = None
        self.catch_up: Callable[[Sent], None] = lambda sent: None
        self.rates: dict[str, float] = {}  # price in quote units of assets fees are taken in, by ASSET/QUOTE
        self.sent: dict[int, Sent] = {}
        self._by_venue_id: dict[tuple[int, str], int] = {}
        self._waiting: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
        self._closers: dict[tuple[int, str], int] = {}  # orders that close our position and are not ours -> their bit
        self._foreign: dict[str, None] = {}
        self._sheet = Sheet()
        self._out: np.ndarray[Any, Any] = np.zeros(8, r.RECORD)

    # --- ids ----------------------------------------------------------------------------------------

    def text(self, client_id: int) -> str:
        """Our id as this venue takes it. Raises BadInput where it does not fit."""
        return self._ids.encode(client_id).replace("-", self._facts.dash, 1)

    def client_id(self, text: str | None) -> int | None:
        """Our id behind the venue's text; None for a foreign order."""
        return self._ids.decode(self._plain(text)) if text else None

    def _plain(self, text: str) -> str:
        """The venue's text as our ids are written."""
        for prefix in (*self._ids.prefixes, self._ids.prefix + STAND_IN):
            if text.startswith(head := prefix + self._facts.dash):
                return f"{prefix}-{text[len(head) :]}"
        return text

    def bit_of(self, text: str) -> int:
        """What fills of an order that has no id of ours are: FORCED, ADOPTED, or 0: somebody else's."""
        if self._facts.forced and text.startswith(self._facts.forced):
            return r.FORCED
        return r.ADOPTED if self._ids.is_stand_in(self._plain(text)) else 0

    def begin(self, sent: Sent) -> Sent:
        """An order is about to leave."""
        self.sent[sent.client_id] = sent
        if len(self.sent) > _KEPT:
            self._forget_one()
        return sent

    def _forget_one(self) -> None:
        for client_id, old in self.sent.items():
            if old.is_over:
                del self.sent[client_id]
                self._by_venue_id.pop((old.listing.number, old.venue_id), None)
                return

    def owner(self, listing: Listing, venue_id: str) -> int | None:
        """Our id of the venue's order, where we know it."""
        return self._by_venue_id.get((listing.number, venue_id))

    def adopt(self, listing: Listing, venue_id: str, client_id: int) -> None:
        """An order of the venue's is ours (a triggered stop goes on under another id); its fills are told now."""
        key = (listing.number, venue_id)
        self._by_venue_id[key] = client_id
        for trade in self._waiting.pop(key, ()):
            self.trade(trade)

    # --- what the venue tells -------------------------------------------------------------------------

    def order(self, order: Mapping[str, Any], again: bool = False) -> Sent | None:
        """A state of an order; `again` tells it even where it was told. None for what is not ours, or not readable."""
        try:
            return self._order(order, again)
        except _UNREADABLE as error:
            text = f"what is said of order {shown(str(order.get('id')))} cannot be read"
            self.notice("undecodable", f"{text}: {type(error).__name__} {shown(str(error))}")
            return None

    def _order(self, order: Mapping[str, Any], again: bool) -> Sent | None:
        listing = self.board.by_symbol.get(str(order.get("symbol")))
        if listing is None:
            return None
        text, venue_id = order.get("clientOrderId"), str(order.get("id") or "")
        client_id = self.client_id(text) or self.owner(listing, venue_id)
        if client_id is None:
            self._not_ours(listing, str(text or ""), venue_id, order)
            return None
        sent = self.sent.get(client_id) or self.begin(self._seen_first(listing, client_id, order))
        if venue_id and not sent.venue_id:
            sent.venue_id = venue_id
        status = str(order.get("status") or "").lower()
        end = ENDS.get(status, 0)
        if end != r.ORDER_REJECT and (not sent.is_acked or (again and not end)):
            sent.is_acked = True
            self.tell(r.ORDER_ACK, sent, venue_ts_ns=_time_ns(order))
        if venue_id:
            self.adopt(listing, venue_id, client_id)
        self._triggered(sent, order, status)
        self._finish(sent, order, end, again)
        return sent

    def _triggered(self, sent: Sent, order: Mapping[str, Any], status: str) -> None:
        info = order.get("info") or {}
        child = info.get("ai") or info.get("actualOrderId")
        if child and str(child) != "0":
            self.adopt(sent.listing, str(child), sent.client_id)
        is_working = info.get("w") is True and "stop" in str(info.get("o", "")).lower()
        if (status in TRIGGERED or is_working) and sent.trigger_ticks and not sent.is_triggered and not sent.is_over:
            sent.is_triggered = True
            self.tell(r.ORDER_TRIGGERED, sent, venue_ts_ns=_time_ns(order))

    def _finish(self, sent: Sent, order: Mapping[str, Any], end: int, again: bool) -> None:
        named = order.get("filled")
        filled = sent.listing.lots.nearest(named) if named else 0
        if filled > sent.filled_lots and not again:
            sent.has_news = True
            if not sent.is_asked_for:
                self.catch_up(sent)
            return
        if not end or (sent.is_over and not again):
            return
        sent.end = end
        sent.ended.set()
        if end != r.FILL:
            why = reasons.VENUE_REFUSED if end == r.ORDER_REJECT else 0
            if end == r.ORDER_EXPIRED and sent.qty_lots > sent.filled_lots:
                why = reasons.NO_LIQUIDITY
            self.tell(end, sent, why, _time_ns(order))

    def _seen_first(self, listing: Listing, client_id: int, order: Mapping[str, Any]) -> Sent:
        """An order of ours of before a restart."""
        lots, prices = listing.lots, listing.prices
        price, trigger = order.get("price"), order.get("triggerPrice")
        sent = Sent(
            client_id, listing, _SIDES.get(str(order.get("side")), 0), lots.nearest(order.get("amount") or 0),
            prices.nearest(price or 0), prices.nearest(trigger or 0), str(order.get("id") or ""),
        )  # fmt: skip
        sent.answered.set()
        return sent

    def _not_ours(self, listing: Listing, text: str, venue_id: str, order: Mapping[str, Any]) -> None:
        waiting = self._waiting.pop((listing.number, venue_id), [])
        if bit := self.bit_of(text):
            self._closers[(listing.number, venue_id)] = bit
            if len(self._closers) > _KEPT:
                del self._closers[next(iter(self._closers))]
            for trade in waiting:
                self._fill(listing, 0, trade, bit)
            return
        if venue_id in self._foreign:
            return
        self._foreign[venue_id] = None
        if len(self._foreign) > _KEPT:
            del self._foreign[next(iter(self._foreign))]
        self.notice("foreign", f"{listing.symbol}: order {shown(venue_id)} ({shown(text)}) {order.get('side')} "
                    f"{order.get('amount')} is not ours; it is left alone", listing.number)  # fmt: skip

    def trade(self, trade: Mapping[str, Any]) -> bool:
        """One of our trades; True where it was told now."""
        listing = self.board.by_symbol.get(str(trade.get("symbol")))
        if listing is None:
            return False
        order_id = str(trade.get("order") or "")
        info = trade.get("info") or {}
        text = str(info.get("c") or "")
        client_id = self.owner(listing, order_id) or self.client_id(text)
        if client_id is not None:
            return self._fill(listing, client_id, trade, 0)
        if bit := self.bit_of(text) or self._closers.get((listing.number, order_id), 0):
            return self._fill(listing, 0, trade, bit)
        waiting = self._waiting.setdefault((listing.number, order_id), [])
        if all(one.get("id") != trade.get("id") for one in waiting):
            waiting.append(trade)
        if len(self._waiting) > _KEPT:
            del self._waiting[next(iter(self._waiting))]
        return False

    def know(self, instrument: int, trade_ids: Iterable[int]) -> None:
        """These fills were told in an earlier life."""
        self._seen.remember(instrument, trade_ids)

    def is_new(self, listing: Listing, trade: Mapping[str, Any]) -> bool:
        """Whether a trade was not told yet."""
        trade_id = number_of(str(trade.get("id")))
        is_new = self._seen.is_new(listing.number, trade_id)
        if is_new:
            self._seen.forget(listing.number, trade_id)
        return is_new

    def _fill(self, listing: Listing, client_id: int, trade: Mapping[str, Any], bits: int) -> bool:
        trade_id = number_of(str(trade.get("id")))
        if not self._seen.is_new(listing.number, trade_id):
            return False
        try:
            side = _SIDES[str(trade["side"])]
            price, lots = listing.prices.nearest(trade["price"]), listing.lots.nearest(trade["amount"])
            if price <= 0 or lots <= 0:
                raise Undecodable(f"{listing.symbol}: a fill of {lots} lots at {price} ticks")
            fee, fee_bits = self._fee(listing, trade, price, lots)
        except _UNREADABLE as error:
            self._seen.forget(listing.number, trade_id)
            self.notice("undecodable", f"a fill cannot be read, ask for it again: {error}", listing.number)
            return False
        bits |= fee_bits | (r.MAKER if trade.get("takerOrMaker") == "maker" else 0)
        sent = self.sent.get(client_id)
        if sent is not None:
            sent.filled_lots += lots
            if sent.filled_lots >= sent.qty_lots > 0:
                sent.end = sent.end or r.FILL
                sent.ended.set()
        self._put(r.FILL, listing, _time_ns(trade), side, bits, 0, client_id, price, lots, fee, trade_id)
        return True

    def _fee(self, listing: Listing, trade: Mapping[str, Any], price: int, lots: int) -> tuple[int, int]:
        """Fee in 1e-8 units against us, and FEE_IN_BASE where it was taken in coins."""
        one, fee = listing.instrument, trade.get("fee") or {}
        cost, asset = fee.get("cost"), fee.get("currency")
        if cost is None:
            return (0, 0) if not fee else (self._usual(listing, trade, price, lots), 0)
        amount = decimal_of(cost, f"{listing.symbol}: fee")
        if amount == 0 or asset == one.quote:
            return _up(amount), 0
        if asset == one.base:
            return _up(amount), r.FEE_IN_BASE
        rate = self.rates.get(f"{asset}/{one.quote}")
        if rate:
            return _up(amount * Decimal(repr(rate))), 0
        self.notice("rules", f"{listing.symbol}: a fee of {amount} {shown(str(asset))} has no known price in "
                    f"{one.quote}; the usual fee is booked instead", listing.number)  # fmt: skip
        return self._usual(listing, trade, price, lots), 0

    def _usual(self, listing: Listing, trade: Mapping[str, Any], price: int, lots: int) -> int:
        one = listing.instrument
        rate = one.maker_fee if trade.get("takerOrMaker") == "maker" else one.taker_fee
        return _up(Decimal(price * lots) * one.tick_size * one.lot_size * one.contract_size * rate)

    # --- records --------------------------------------------------------------------------------------

    def tell(self, kind: int, sent: Sent, reason: int = 0, venue_ts_ns: int = 0) -> None:
        """One order event."""
        if kind == r.ORDER_REJECT:
            sent.end, sent.is_acked = kind, False
            sent.ended.set()
        self._put(
            kind, sent.listing, venue_ts_ns or time.time_ns(), sent.side, 0, reason, sent.client_id,
            sent.price_ticks, sent.qty_lots, sent.trigger_ticks, number_of(sent.venue_id),
        )  # fmt: skip

    def rule(self, listing: Listing, index: int, amount_e8: int) -> None:
        """FILTER: the venue changed a rule."""
        self._put(r.FILTER, listing, time.time_ns(), 0, 0, 0, index, 0, 0, amount_e8, 0)

    def funding(self, listing: Listing, venue_ts_ns: int, amount_e8: int) -> None:
        """FUNDING that was paid to (+) or by (-) us."""
        self._put(r.FUNDING, listing, venue_ts_ns, 0, 0, 0, 0, 0, 0, amount_e8, 0)

    def notice(self, kind: Any, text: str, instrument: int | None = None) -> None:
        if self.inlet is not None:
            self.inlet.notice(Notice(self.board.venue, kind, text, instrument))

    def _put(self, kind: int, listing: Listing, venue_ts_ns: int, side: int, bits: int, code: int, *words: int) -> None:
        if self.inlet is None:
            return
        self._sheet.begin(self._out, time.time_ns())
        self._sheet.put(kind, listing.number, venue_ts_ns, side, bits, code, *words)
        self.inlet.account(self._out, 1)


def number_of(text: str) -> int:
    """A venue's id as a number that fits a record: itself where it is one, else 63 bits of its hash; 0 for none."""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1 if text else 0


def _up(amount: Decimal) -> int:
    return -int((-Fraction(amount) * E8) // 1)


def _time_ns(told: Mapping[str, Any]) -> int:
    stamp = told.get("lastUpdateTimestamp") or told.get("lastTradeTimestamp") or told.get("timestamp")
    return int(stamp) * 1_000_000 if stamp else time.time_ns()
