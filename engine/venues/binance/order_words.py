"""From a PLACE or CANCEL record to what Binance is told, over the socket (prepared templates) or over HTTP."""

from __future__ import annotations

import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

from engine.contracts.errors import Refused
from engine.contracts.instruments import Instrument
from engine.contracts.records import (
    BUY,
    FOK,
    GTC,
    IOC,
    LIMIT_ORDER,
    MARKET,
    POST_ONLY,
    REDUCE_ONLY,
    ROLE_STOP,
    STOP_LIMIT,
    STOP_MARKET,
)
from engine.venues.binance import client_ids
from engine.venues.binance.dialects import Dialect
from engine.venues.binance.link import Link
from engine.venues.binance.rest import RECV_WINDOW_MS
from engine.venues.binance.slate import venue_symbol
from engine.venues.signing import RequestTemplate, Signer, Value

_UNPACK: Final = struct.Struct("<qHBBHHHHbBHqqqqq").unpack
TIFS: Final = {GTC: "GTC", IOC: "IOC", FOK: "FOK"}
WORST_PCT: Final = 5
"""Limit of a stop-limit order that stands in for a stop-market one, in per cent beyond the trigger."""


class Command(NamedTuple):
    """A command record, unpacked once."""

    ts_ns: int
    strategy: int
    order_type: int
    tif: int
    leverage: int
    role: int
    kind: int
    instrument: int
    side: int
    bits: int
    reason: int
    client_id: int
    price_ticks: int
    qty_lots: int
    trigger_ticks: int
    ref_id: int


def unpack(record: Any) -> Command:
    """The command in a record of any kind of array."""
    return Command(*_UNPACK(record.tobytes()))


class Text:
    """Whole counts of a step as Binance's decimals: `Text(Decimal("0.01"))(6183763) == "61837.63"`."""

    __slots__ = ("_factor", "_places", "_unit")

    def __init__(self, step: Decimal) -> None:
        sign, digits, exponent = step.as_tuple()
        self._places = max(0, -int(exponent))
        self._factor = int(step.scaleb(self._places))
        self._unit = 10**self._places

    def __call__(self, count: int) -> str:
        whole, part = divmod(count * self._factor, self._unit)
        return f"{whole}.{part:0{self._places}d}" if self._places else str(whole)


class _Shape(NamedTuple):
    """A prepared request: `values` gives what changes, in the template's order."""

    template: RequestTemplate
    values: tuple[Callable[[Command, int], Value], ...]


class OrderWords:
    """The words for one venue's orders. `frame` is for the hot path, `words` gives the same for HTTP."""

    def __init__(self, link: Link, signer: Signer) -> None:
        self._link, self._signer, self._dialect = link, signer, link.dialect
        self._encode = link.client_ids.encode
        self._symbols = {n: venue_symbol(one) for n, one in link.mine.items()}
        self._prices = {n: Text(one.tick_size) for n, one in link.mine.items()}
        self._lots = {n: Text(one.lot_size) for n, one in link.mine.items()}
        self._shapes: dict[tuple[int, ...], _Shape] = {}

    def is_algo(self, order: Command) -> bool:
        """The order to cancel lies in the book of conditional orders: as remembered, else as its role says."""
        types = self._dialect.algo_types
        if not types:
            return False
        known = self._link.algo_book.get(order.client_id)
        return order.order_type in types or order.role == ROLE_STOP if known is None else known

    def prepare(self) -> None:
        """Make the shapes that are used most, so that no first order waits for them."""
        known = dict(self._link.algo_book)  # the blanks are no orders
        for number in self._link.mine:
            blank = Command(0, 0, MARKET, GTC, 0, 0, 0, number, BUY, 0, 0, 1, 1, 1, 1, 0)
            for side in (1, -1):
                for order_type in (MARKET, LIMIT_ORDER, STOP_MARKET):
                    self.place(blank._replace(side=side, order_type=order_type), 0)
            self.cancel(blank, 0)
        self._link.algo_book.clear()
        self._link.algo_book.update(known)

    def place(self, order: Command, now_ms: int) -> tuple[str, bytes]:
        """Request id and frame of a PLACE; with `ref_id`, of a replacement."""
        is_replace = bool(order.ref_id)
        if self._dialect.algo_types:
            self._link.note_book(order.client_id, order.order_type in self._dialect.algo_types)
        key = (order.instrument, order.side, order.order_type, order.tif, order.bits, is_replace)
        shape = self._shapes.get(key) or self._shape(key, order)
        return self._frame(shape, client_ids.REPLACE if is_replace else client_ids.PLACE, order, order.ref_id, now_ms)

    def cancel(self, order: Command, now_ms: int) -> tuple[str, bytes]:
        """Request id and frame of a CANCEL."""
        key = (order.instrument, self.is_algo(order))
        shape = self._shapes.get(key) or self._shape(key, order)
        return self._frame(shape, client_ids.CANCEL, order, 0, now_ms)

    def _frame(self, shape: _Shape, action: str, order: Command, replaced: int, now_ms: int) -> tuple[str, bytes]:
        text = f"{action}-{order.instrument}-{order.client_id}-{replaced}"  # a client_ids.Request, encoded
        return text, shape.template.frame(text, *[value(order, now_ms) for value in shape.values])

    def _shape(self, key: tuple[int, ...], order: Command) -> _Shape:
        is_place = len(key) > 2
        words = self.place_words(order) if is_place else self.cancel_words(order)
        variable = {name: self._value(name, order) for name in words if name in _VARIABLE}
        fixed = {name: value for name, value in words.items() if name not in variable}
        fixed["recvWindow"] = RECV_WINDOW_MS
        names = (*variable, "timestamp")
        template = RequestTemplate(self._signer, self._link.rest.key, self._method(order, is_place), fixed, names)
        shape = self._shapes[key] = _Shape(template, (*variable.values(), lambda _, now_ms: now_ms))
        return shape

    def _method(self, order: Command, is_place: bool) -> str:
        if is_place:
            algo = order.order_type in self._dialect.algo_types
            return "algoOrder.place" if algo else "order.cancelReplace" if order.ref_id else "order.place"
        return "algoOrder.cancel" if self.is_algo(order) else "order.cancel"

    def _value(self, name: str, order: Command) -> Callable[[Command, int], Value]:
        encode = self._encode
        prices, lots = self._prices[order.instrument], self._lots[order.instrument]
        stand_in = self._stands_in(order)
        table: dict[str, Callable[[Command, int], Value]] = {
            "quantity": lambda one, _: lots(one.qty_lots),
            "price": lambda one, _: prices(worst_ticks(one) if stand_in else one.price_ticks),
            "stopPrice": lambda one, _: prices(one.trigger_ticks),
            "triggerPrice": lambda one, _: prices(one.trigger_ticks),
            "cancelOrigClientOrderId": lambda one, _: encode(one.ref_id),
        }
        return table.get(name, lambda one, _: encode(one.client_id))

    # --- the words --------------------------------------------------------------------------------------

    def place_words(self, order: Command) -> dict[str, Value]:
        """Parameters of a new order (with `ref_id`, of its replacement). Raises Refused for a type not taken."""
        dialect, kind = self._dialect, order.order_type
        prices = self._prices[order.instrument]
        is_algo, stand_in = kind in dialect.algo_types, self._stands_in(order)
        name, tif = self._type(order)
        words: dict[str, Value] = {"symbol": self._symbols[order.instrument], "side": _side(order), "type": name}
        if tif:
            words["timeInForce"] = tif
        words["quantity"] = self._lots[order.instrument](order.qty_lots)
        if kind in (LIMIT_ORDER, STOP_LIMIT) or stand_in:
            words["price"] = prices(worst_ticks(order) if stand_in else order.price_ticks)
        if kind in (STOP_MARKET, STOP_LIMIT):
            words["triggerPrice" if is_algo else "stopPrice"] = prices(order.trigger_ticks)
        if dialect.algo_types and order.bits & REDUCE_ONLY:
            words["reduceOnly"] = "true"
        if is_algo:
            return {**words, "algoType": "CONDITIONAL", "clientAlgoId": self._encode(order.client_id)}
        words |= {"newOrderRespType": "ACK", "newClientOrderId": self._encode(order.client_id)}
        if order.ref_id:
            words |= {
                "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrigClientOrderId": self._encode(order.ref_id),
            }  # fmt: skip
        return words

    def cancel_words(self, order: Command) -> dict[str, Value]:
        """Parameters of a cancel."""
        name = "clientAlgoId" if self.is_algo(order) else "origClientOrderId"
        return {"symbol": self._symbols[order.instrument], name: self._encode(order.client_id)}

    def _type(self, order: Command) -> tuple[str, str]:
        """Binance's type and time in force."""
        kind, dialect = order.order_type, self._dialect
        if kind not in dialect.order_types:
            raise Refused(f"{self._link.venue}: order type {kind} is none of contracts.records")
        if kind == LIMIT_ORDER and order.bits & POST_ONLY:
            return dialect.post_only
        if self._stands_in(order):
            return dialect.order_types[STOP_LIMIT], "GTC"
        return dialect.order_types[kind], TIFS.get(order.tif, "GTC") if kind in (LIMIT_ORDER, STOP_LIMIT) else ""

    def _stands_in(self, order: Command) -> bool:
        """The symbol takes no stop-market orders: a stop-limit order far beyond the trigger stands in."""
        if order.order_type != STOP_MARKET:
            return False
        return stop_stands_in(self._dialect, self._link, self._link.mine[order.instrument])


def stop_stands_in(dialect: Dialect, link: Link, one: Instrument) -> bool:
    """The venue has only stop-limit orders for this instrument."""
    rules = link.rules.get(one.symbol)
    names = dialect.order_types
    return rules is not None and names[STOP_MARKET] not in rules.order_types and names[STOP_LIMIT] in rules.order_types


def worst_ticks(order: Command) -> int:
    """Limit of a stand-in, on the side that fills."""
    return order.trigger_ticks * (100 + order.side * WORST_PCT) // 100


def _side(order: Command) -> str:
    return "BUY" if order.side == BUY else "SELL"


_VARIABLE: Final = frozenset(
    ("quantity", "price", "stopPrice", "triggerPrice", "newClientOrderId", "clientAlgoId", "origClientOrderId",
     "cancelOrigClientOrderId")
)  # fmt: skip
