"""The calls that act for an account: each takes the exchange, the account and the parameters, and returns JSON.

REST and the WS API serve the same calls.
"""

from __future__ import annotations

from typing import Any, Final

from engine.contracts import reasons
from engine.sandbox.accounts import Account, Order
from engine.sandbox.binance_spot.errors import BinanceError, refused
from engine.sandbox.binance_spot.order_shapes import (
    cancelled,
    cancelled_list,
    new_order,
    order_state,
    own_trade,
    prevented_match,
)
from engine.sandbox.binance_spot.parameters import Parameters, needed
from engine.sandbox.binance_spot.tickets import client_order_id, read_ticket
from engine.sandbox.exchange import FILTER_REASONS, Exchange, OrderRefused, Ticket
from engine.sandbox.tape import text_e8

Json = Any
DAY_MS: Final = 86_400_000
ANSWERS: Final = ("ACK", "RESULT", "FULL")
RESTRICTIONS: Final = ("ONLY_NEW", "ONLY_PARTIALLY_FILLED")
REPLACE_MODES: Final = ("STOP_ON_FAILURE", "ALLOW_FAILURE")


def account_state(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """GET account."""
    only_some = p.word("omitZeroBalances", ("true", "false")) == "true"
    rates = exchange.tapes[0].instrument
    maker, taker = int(rates.maker_fee * 10_000), int(rates.taker_fee * 10_000)
    return {
        "makerCommission": maker,
        "takerCommission": taker,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {**_rates(exchange, 0), "buyer": "0.00000000", "seller": "0.00000000"},
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": account.update_ms,
        "accountType": "SPOT",
        "balances": [
            {"asset": name, "free": text_e8(free), "locked": text_e8(locked)}
            for name, (free, locked) in sorted(exchange.balances(account).items())
            if free or locked or not only_some
        ],
        "permissions": ["SPOT"],
        "uid": 1000 + account.number,
    }


def _rates(exchange: Exchange, symbol: int) -> dict[str, str]:
    row = exchange.filters(exchange.tapes[symbol])
    return {"maker": text_e8(int(row.maker_fee_e8)), "taker": text_e8(int(row.taker_fee_e8))}


def commission(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """GET account/commission."""
    tape = p.tape(exchange.by_name)
    none = dict.fromkeys(("maker", "taker", "buyer", "seller"), "0.00000000")
    return {
        "symbol": tape.name,
        "standardCommission": none | _rates(exchange, tape.index),
        "specialCommission": none,
        "taxCommission": none,
        "discount": {
            "enabledForAccount": False, "enabledForSymbol": False, "discountAsset": "BNB", "discount": "0.00000000",
        },
    }  # fmt: skip


def place(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """POST order."""
    ticket, answer = read_ticket(exchange, account, p), _answer(p)
    return new_order(exchange, send(exchange, account, ticket), answer)


def send(exchange: Exchange, account: Account, ticket: Ticket) -> Order:
    """Place an order, with the exchange's words where it is refused."""
    try:
        return exchange.place(account, ticket)
    except OrderRefused as error:
        raise spoken(exchange, account, ticket, error.reason) from None


def spoken(exchange: Exchange, account: Account, ticket: Ticket, reason: int) -> BinanceError:
    """The exchange's error for a reason of the simulated venue."""
    is_stops = reason == reasons.MAX_ORDERS and exchange.has_all_stops(account, ticket.symbol)
    return BinanceError(-1013, "MAX_NUM_ALGO_ORDERS") if is_stops else refused(reason)


def _answer(p: Parameters) -> str:
    chosen = p.word("newOrderRespType", ANSWERS)
    return chosen or ("FULL" if p.text("type") in ("MARKET", "LIMIT") else "ACK")


def test_order(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """POST order/test: everything but the order."""
    ticket, _ = read_ticket(exchange, account, p), _answer(p)
    reason = exchange.refusal(account, ticket)
    if reason:
        raise spoken(exchange, account, ticket, reason)
    if p.word("computeCommissionRates", ("true", "false")) != "true":
        return {}
    found = commission(exchange, account, p)
    return {
        "standardCommissionForOrder": found["standardCommission"],
        "specialCommissionForOrder": found["specialCommission"],
        "taxCommissionForOrder": found["taxCommission"],
        "discount": found["discount"],
    }


def get_order(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """GET order."""
    order = _named(exchange, account, p)
    if order is None:
        raise BinanceError(-2013)
    return order_state(exchange, order)


def cancel(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """DELETE order."""
    order = _named(exchange, account, p)
    restriction = p.word("cancelRestrictions", RESTRICTIONS)
    cancel_id = client_order_id(p, "newClientOrderId")
    if order is None or not order.is_open:
        raise BinanceError(-2011)
    if restriction is not None and restriction != f"ONLY_{order.status}":
        raise BinanceError(-2011, message="Order was not canceled due to cancel restrictions.")
    end(exchange, account, order, cancel_id)
    return cancelled(exchange, order)


def end(exchange: Exchange, account: Account, order: Order, cancel_id: str) -> None:
    """Cancel an order, with the exchange's words where it is not open."""
    try:
        exchange.cancel(account, order, cancel_id)
    except OrderRefused as error:
        raise refused(error.reason) from None


def _named(
    exchange: Exchange, account: Account, p: Parameters, names: tuple[str, str] = ("orderId", "origClientOrderId")
) -> Order | None:
    """The order a request names."""
    tape = p.tape(exchange.by_name)
    order_id, client_id = p.integer(names[0]), p.text(names[1])
    if order_id is None and client_id is None:
        sentence = f"Param '{names[1]}' or '{names[0]}' must be sent, but both were empty/null!"
        raise BinanceError(-1102, message=sentence)
    return account.find(tape.index, order_id, client_id)


def cancel_replace(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """POST order/cancelReplace. Filters speak before anything is cancelled."""
    mode = needed(p.word("cancelReplaceMode", REPLACE_MODES), "cancelReplaceMode")
    ticket, answer = read_ticket(exchange, account, p), _answer(p)
    older = _named(exchange, account, p, ("cancelOrderId", "cancelOrigClientOrderId"))
    reason = exchange.refusal(account, ticket)
    if reason in FILTER_REASONS:
        raise spoken(exchange, account, ticket, reason)
    found: dict[str, Any] = {"cancelResult": "FAILURE", "newOrderResult": "NOT_ATTEMPTED"}
    try:
        if older is None or not older.is_open:
            raise BinanceError(-2011)
        end(exchange, account, older, client_order_id(p, "cancelNewClientOrderId"))
        found |= {"cancelResult": "SUCCESS", "cancelResponse": cancelled(exchange, older)}
    except BinanceError as error:
        found["cancelResponse"] = error.body()
    found["newOrderResponse"] = None
    if found["cancelResult"] == "SUCCESS" or mode == "ALLOW_FAILURE":
        try:
            order = send(exchange, account, ticket)
            found |= {"newOrderResult": "SUCCESS", "newOrderResponse": new_order(exchange, order, answer)}
        except BinanceError as error:
            found |= {"newOrderResult": "FAILURE", "newOrderResponse": error.body()}
    return _replaced(found)


def _replaced(found: dict[str, Any]) -> Json:
    """Both worked: the answer; one did: -2021, 409; none: -2022, 400."""
    worked = [found["cancelResult"], found["newOrderResult"]].count("SUCCESS")
    if worked == 2:
        return found
    if worked == 1:
        raise BinanceError(-2021, data=found)
    raise BinanceError(-2022, data=found)


def open_orders(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """GET openOrders, of one symbol or all."""
    index = p.tape(exchange.by_name).index if "symbol" in p else None
    found = [order for order in account.working.values() if index is None or order.symbol == index]
    return [order_state(exchange, order) for order in sorted(found, key=lambda order: order.order_id)]


def cancel_all(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """DELETE openOrders of a symbol."""
    index = p.tape(exchange.by_name).index
    found = [order for order in account.working.values() if order.symbol == index]
    if not found:
        raise BinanceError(-2011)
    name, ended = client_order_id(Parameters({}), "newClientOrderId"), []
    for order in found:
        if order.is_open:  # else its list took it along
            end(exchange, account, order, name)
            one = account.lists.get(order.list_id)
            ended.append(cancelled(exchange, order) if one is None else cancelled_list(exchange, one))
    return ended


def all_orders(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """GET allOrders: the newest, or those from `orderId` or `startTime` on."""
    index, limit, first = p.tape(exchange.by_name).index, p.limit(500, 1000), p.integer("orderId")
    start, end = span(p)
    found = [
        order for order in account.orders.values()
        if order.symbol == index and order.order_id >= (first or 0) and start <= order.time_ms <= end
    ]  # fmt: skip
    found = found[:limit] if first is not None or start else found[-limit:]
    return [order_state(exchange, order) for order in found]


def own_trades(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """GET myTrades: the newest, or those from `fromId` or `startTime` on, of one order or all."""
    index, limit, first = p.tape(exchange.by_name).index, p.limit(500, 1000), p.integer("fromId")
    order_id = p.integer("orderId")
    start, end = span(p)
    found = [
        (fill.trade_id, order, fill)
        for order in account.orders.values()
        if order.symbol == index and order_id in (None, order.order_id)
        for fill in order.fills
        if fill.trade_id >= (first or 0) and start <= fill.time_ms <= end
    ]
    found.sort(key=lambda row: row[0])
    found = found[:limit] if first is not None or start else found[-limit:]
    return [own_trade(exchange, order, fill) for _, order, fill in found]


def prevented_matches(exchange: Exchange, account: Account, p: Parameters) -> Json:
    """GET myPreventedMatches: one by `preventedMatchId`, or those of an order, from `fromPreventedMatchId` on."""
    tape, limit = p.tape(exchange.by_name), p.limit(500, 1000)
    number, order_id = p.integer("preventedMatchId"), p.integer("orderId")
    first = p.integer("fromPreventedMatchId") or 0
    if (number is None) == (order_id is None):
        raise BinanceError(-1128)
    found = [
        one for one in account.prevented
        if one.symbol == tape.index and one.match_id >= first and number in (None, one.match_id)
        and order_id in (None, one.taker_id, one.maker_id)
    ]  # fmt: skip
    return [prevented_match(tape, one) for one in found[:limit]]


def span(p: Parameters) -> tuple[int, int]:
    """`startTime` and `endTime` (ms, both inclusive)."""
    start, end = p.integer("startTime"), p.integer("endTime")
    if start is not None and end is not None and end - start > DAY_MS:
        raise BinanceError(-1127, 24)
    return start or 0, 2**62 if end is None else end
