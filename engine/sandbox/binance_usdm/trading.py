"""The calls that place, change and show orders: each takes the venue, the customer and the parameters, and returns
JSON. REST and the WS API serve the same calls."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engine.contracts import reasons
from engine.sandbox.binance_spot.errors import BinanceError
from engine.sandbox.binance_spot.parameters import Parameters, needed
from engine.sandbox.binance_usdm.errors import UsdmError
from engine.sandbox.binance_usdm.shapes import acknowledged, new_order, order_state, own_trade
from engine.sandbox.binance_usdm.tickets import lots_of, perp, read_ticket, refused, ticks_of
from engine.sandbox.exchange import OrderRefused
from engine.sandbox.futures import Futures
from engine.sandbox.perp_ledger import FORCED_PREFIX
from engine.sandbox.traders import PerpOrder, PerpTicket, Trader

Json = Any
ANSWERS: Final = ("ACK", "RESULT")
DONE: Final = {"code": 200, "msg": "The operation of cancel all open order is done."}
MOST_PLACED: Final = 5
MOST_CANCELLED: Final = 10
WEEK_MS: Final = 7 * 86_400_000


def place(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """POST order."""
    answer = p.word("newOrderRespType", ANSWERS) or "ACK"
    ticket = read_ticket(futures, trader, p)
    try:
        order = futures.place(trader, ticket)
    except OrderRefused as error:
        raise _spoken(futures, ticket, error.reason) from None
    return new_order(futures, order) if answer == "RESULT" else acknowledged(futures, order)


def test_order(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """POST order/test: everything but the order."""
    ticket = read_ticket(futures, trader, p)
    reason = futures.refusal(trader, ticket)
    if reason:
        raise _spoken(futures, ticket, reason)
    return {}


def _spoken(futures: Futures, ticket: PerpTicket, reason: int) -> BinanceError:
    if reason == reasons.NO_LIQUIDITY and ticket.tif == "FOK":
        return UsdmError(-5021)
    return refused(futures, ticket.symbol, reason, ticket.side)


def _named(futures: Futures, trader: Trader, p: Parameters) -> PerpOrder | None:
    tape = perp(futures, p)
    order_id, name = p.integer("orderId"), p.text("origClientOrderId")
    if order_id is None and name is None:
        raise UsdmError(-1102, message="Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    return trader.find(tape.index, order_id, name)


def get_order(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET order."""
    order = _named(futures, trader, p)
    if order is None:
        raise UsdmError(-2013)
    return order_state(futures, order)


def open_order(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET openOrder."""
    order = _named(futures, trader, p)
    if order is None or not order.is_open:
        raise UsdmError(-2013)
    return order_state(futures, order)


def cancel(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """DELETE order."""
    order = _named(futures, trader, p)
    if order is None:
        raise UsdmError(-2011)
    return _cancelled(futures, trader, order)


def _cancelled(futures: Futures, trader: Trader, order: PerpOrder) -> Json:
    try:
        futures.cancel(trader, order)
    except OrderRefused as error:
        raise refused(futures, order.symbol, error.reason) from None
    return new_order(futures, order)


def modify(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """PUT order: price and quantity of an open limit order."""
    order, tape = _named(futures, trader, p), perp(futures, p)
    if order is None or not order.is_open or order.order_type != "LIMIT":
        raise UsdmError(-2013)
    ticks = ticks_of(futures, tape, needed(p.amount_e8("price"), "price"))
    lots = lots_of(futures, tape, needed(p.amount_e8("quantity"), "quantity"))
    if (ticks, lots) == (order.ticks, order.lots):
        raise UsdmError(-5027)
    if lots <= order.executed_lots:  # nothing is left of it
        return _cancelled(futures, trader, order)
    try:
        futures.amend(trader, order, lots, ticks)
    except OrderRefused as error:
        raise refused(futures, order.symbol, error.reason, order.side) from None
    return new_order(futures, trader.orders[order.order_id])


def open_orders(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET openOrders, of one symbol or all; conditional orders are not among them (X3)."""
    index = perp(futures, p).index if "symbol" in p else None
    found = [order for order in trader.working.values() if index in (None, order.symbol)]
    return [order_state(futures, order) for order in sorted(found, key=lambda order: order.order_id)]


def cancel_all(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """DELETE allOpenOrders of a symbol; conditional orders stay."""
    index = perp(futures, p).index
    futures.cancel_all(trader, index)
    return DONE


def countdown(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """POST countdownCancelAll: cancels the symbol's orders unless it is called again in time; 0 stops it."""
    tape, wait_ms = perp(futures, p), needed(p.integer("countdownTime"), "countdownTime")
    trader.countdowns.pop(tape.index, None)
    if wait_ms:
        trader.countdowns[tape.index] = futures.clock.now_ms() + wait_ms
    return {"symbol": tape.name, "countdownTime": str(wait_ms)}


def batch(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """POST batchOrders: each order by itself; what is refused is an error in the list."""
    wanted = _list(needed(p.text("batchOrders"), "batchOrders"), "batchOrders")
    if not 1 <= len(wanted) <= MOST_PLACED or not all(isinstance(one, dict) for one in wanted):
        raise UsdmError(-1130, "batchOrders")
    return [_tried(place, futures, trader, Parameters({k: str(v) for k, v in one.items()})) for one in wanted]


def cancel_batch(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """DELETE batchOrders by `orderIdList` or `origClientOrderIdList`."""
    key, name = ("orderId", "orderIdList") if "orderIdList" in p else ("origClientOrderId", "origClientOrderIdList")
    wanted = _list(needed(p.text(name), name), name)
    if not 1 <= len(wanted) <= MOST_CANCELLED:
        raise UsdmError(-1130, name)
    symbol = perp(futures, p).name
    return [_tried(cancel, futures, trader, Parameters({"symbol": symbol, key: str(one)})) for one in wanted]


def _tried(work: Any, futures: Futures, trader: Trader, p: Parameters) -> Json:
    try:
        return work(futures, trader, p)
    except BinanceError as error:
        return error.body()


def _list(text: str, name: str) -> list[Any]:
    try:
        found: list[Any] = msgspec.json.decode(text, type=list[Any])
    except msgspec.MsgspecError:
        raise UsdmError(-1130, name) from None
    return found


def all_orders(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET allOrders: the newest, or those from `orderId` or `startTime` on."""
    index, limit, first = perp(futures, p).index, p.limit(500, 1000), p.integer("orderId")
    start, end = span(p)
    found = [
        order for order in trader.orders.values()
        if order.symbol == index and order.order_id >= (first or 0) and start <= order.time_ms <= end
    ]  # fmt: skip
    found = found[:limit] if first is not None or start else found[-limit:]
    return [order_state(futures, order) for order in found]


def forced_orders(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET forceOrders: the liquidations."""
    index = perp(futures, p).index if "symbol" in p else None
    found = [
        order for order in trader.orders.values()
        if order.client_order_id.startswith(FORCED_PREFIX) and index in (None, order.symbol)
    ]  # fmt: skip
    return [order_state(futures, order) for order in found[-p.limit(50, 100) :]]


def own_trades(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET userTrades: the newest, or those from `fromId` or `startTime` on, of one order or all."""
    index = perp(futures, p).index if "symbol" in p else None
    limit, first, order_id = p.limit(500, 1000), p.integer("fromId"), p.integer("orderId")
    start, end = span(p)
    found = [
        (fill.trade_id, order, fill)
        for order in trader.orders.values()
        if index in (None, order.symbol) and order_id in (None, order.order_id)
        for fill in order.fills
        if fill.trade_id >= (first or 0) and start <= fill.time_ms <= end
    ]
    found.sort(key=lambda row: row[0])
    found = found[:limit] if first is not None or start else found[-limit:]
    return [own_trade(futures, order, fill) for _, order, fill in found]


def span(p: Parameters) -> tuple[int, int]:
    """`startTime` and `endTime`, at most a week apart."""
    start, end = p.integer("startTime"), p.integer("endTime")
    if start is not None and end is not None and end - start > WEEK_MS:
        raise UsdmError(-1127, 7 * 24)
    return start or 0, 2**62 if end is None else end
