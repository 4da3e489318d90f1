"""Order lists: one cancels the other (OCO), in the form with above and below and in the older one.

Each call takes the exchange, the account and the parameters, and returns JSON.
"""

from __future__ import annotations

from typing import Any, Final

from engine.sandbox.accounts import Account, Order, OrderList
from engine.sandbox.binance_spot.errors import BinanceError
from engine.sandbox.binance_spot.order_shapes import cancelled_list, list_state, new_order
from engine.sandbox.binance_spot.parameters import Parameters, needed
from engine.sandbox.binance_spot.tickets import SIDES, client_order_id, read_ticket
from engine.sandbox.binance_spot.trading import ANSWERS, end, span, spoken
from engine.sandbox.conditions import STOPS, TAKE_PROFITS
from engine.sandbox.exchange import Exchange, OrderRefused, Ticket

Json = Any
LEG_TYPES: Final = ("LIMIT_MAKER", *STOPS, *TAKE_PROFITS)
UNKNOWN_LIST: Final = "Unknown order list sent."
NO_LIST: Final = "Order list does not exist."
WRONG_PRICES: Final = "The relationship of the prices for the orders is not correct."
# (kind of leg, side): on which side of the price it must be, and what is said where it is not
PLACES: Final[dict[tuple[str, int], tuple[str, int]]] = {
    ("limit", 1): ("below", -1165), ("limit", -1): ("above", -1166),
    ("stop", 1): ("above", -1196), ("stop", -1): ("below", -1197),
    ("profit", 1): ("below", -1198), ("profit", -1): ("above", -1199),
}  # fmt: skip
_LEG: Final = {
    "Price": "price",
    "StopPrice": "stopPrice",
    "TimeInForce": "timeInForce",
    "ClientOrderId": "newClientOrderId",
}
_LEG_MORE: Final = {"TrailingDelta": "trailingDelta", "IcebergQty": "icebergQty"}
_OLD_LIMIT: Final = {"price": "price", "limitClientOrderId": "newClientOrderId", "limitIcebergQty": "icebergQty"}
_OLD_STOP: Final = {
    "stopPrice": "stopPrice", "stopLimitPrice": "price", "stopLimitTimeInForce": "timeInForce",
    "stopClientOrderId": "newClientOrderId", "trailingDelta": "trailingDelta", "stopIcebergQty": "icebergQty",
}  # fmt: skip


def place_oco(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """POST orderList/oco."""
    side = SIDES[needed(p.word("side", SIDES), "side")]
    kinds = {}
    for place in ("above", "below"):
        kinds[place] = needed(p.text(f"{place}Type"), f"{place}Type")
        if kinds[place] not in LEG_TYPES:
            raise BinanceError(-1158)
    if set(kinds.values()) == {"LIMIT_MAKER"}:
        raise BinanceError(-1168)
    for place, kind in kinds.items():
        wanted, code = PLACES[_family(kind), side]
        if place != wanted:
            raise BinanceError(code)
    legs = [_leg(p, place, kinds[place]) for place in ("above", "below")]
    return _place(
        exchange, account, p, (read_ticket(exchange, account, legs[0]), read_ticket(exchange, account, legs[1]))
    )


def _family(kind: str) -> str:
    return "limit" if kind == "LIMIT_MAKER" else "stop" if kind in STOPS else "profit"


def _leg(p: Parameters, place: str, kind: str) -> Parameters:
    names = {f"{place}{name}": plain for name, plain in (_LEG | _LEG_MORE).items()}
    return p.renamed(names, ("symbol", "side", "quantity", "selfTradePreventionMode"), {"type": kind})


def place_old_oco(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """POST order/oco: a LIMIT_MAKER and a stop, with limit where `stopLimitPrice` is sent."""
    shared = ("symbol", "side", "quantity", "selfTradePreventionMode")
    for name in ("price", "stopPrice"):
        needed(p.text(name), name)
    stop_type = "STOP_LOSS_LIMIT" if "stopLimitPrice" in p else "STOP_LOSS"
    limit = read_ticket(exchange, account, p.renamed(_OLD_LIMIT, shared, {"type": "LIMIT_MAKER"}))
    stop = read_ticket(exchange, account, p.renamed(_OLD_STOP, shared, {"type": stop_type}))
    return _place(exchange, account, p, (limit, stop) if limit.side < 0 else (stop, limit))


def _place(exchange: Exchange, account: Account, p: Parameters, legs: tuple[Ticket, Ticket]) -> Json:
    """Both legs, the one above the price first."""
    name = client_order_id(p, "listClientOrderId")
    answer = p.word("newOrderRespType", ANSWERS) or "RESULT"
    above, below = (leg.stop_ticks or leg.ticks for leg in legs)
    last = exchange.tapes[legs[0].symbol].last_ticks
    if not below < last < above:
        raise BinanceError(-2010, WRONG_PRICES)
    if legs[0].client_order_id == legs[1].client_order_id or any(
        one.client_list_id == name and not one.is_done for one in account.lists.values()
    ):
        raise BinanceError(-2010, "Duplicate order sent.")
    try:
        made = exchange.place_list(account, legs, name)
    except OrderRefused as error:
        raise spoken(exchange, account, legs[0], error.reason) from None
    reports = [new_order(exchange, order, "RESULT" if answer == "FULL" else answer) for order in made.orders]
    return list_state(exchange, made) | {"orderReports": reports}


def get_list(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """GET orderList by `orderListId` or `origClientOrderId`."""
    found = _named(account, p, "origClientOrderId")
    if found is None:
        raise BinanceError(-2013, message=NO_LIST)
    return list_state(exchange, found)


def cancel_list(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """DELETE orderList."""
    index = p.tape(exchange.by_name).index
    found = _named(account, p, "listClientOrderId")
    if found is None or found.is_done or found.symbol != index:
        raise BinanceError(-2011, message=UNKNOWN_LIST)
    end(exchange, account, _open_leg(found), client_order_id(p, "newClientOrderId"))
    return cancelled_list(exchange, found)


def _open_leg(one: OrderList) -> Order:
    return next(order for order in one.orders if order.is_open)


def open_lists(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """GET openOrderList."""
    return [list_state(exchange, one) for one in account.lists.values() if not one.is_done]


def all_lists(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """GET allOrderList: the newest first, or those from `fromId` or `startTime` on."""
    first, limit = p.integer("fromId"), p.limit(500, 1000)
    if first is not None and ("startTime" in p or "endTime" in p):
        raise BinanceError(-1128)
    start, stop = span(p)
    found = [one for one in account.lists.values() if one.list_id >= (first or 0) and start <= one.time_ms <= stop]
    found = found[:limit] if first is not None or start else found[-limit:]
    return [list_state(exchange, one) for one in reversed(found)]


def _named(account: Account, p: Parameters, name: str) -> OrderList | None:
    number, text = p.integer("orderListId"), p.text(name)
    if number is None and text is None:
        raise BinanceError(-1102, message=f"Param '{name}' or 'orderListId' must be sent, but both were empty/null!")
    if number is not None:
        return account.lists.get(number)
    same = [one for one in account.lists.values() if one.client_list_id == text]
    return max(same, key=lambda one: (not one.is_done, one.list_id), default=None)
