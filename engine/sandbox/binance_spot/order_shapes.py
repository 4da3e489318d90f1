"""Orders, trades and reports as the exchange writes them."""

from __future__ import annotations

from typing import Any

from engine.sandbox.accounts import Fill, Order, OrderList, Report
from engine.sandbox.exchange import Exchange
from engine.sandbox.self_trade import PreventedMatch
from engine.sandbox.tape import Tape, text_e8

SIDE_NAMES = {1: "BUY", -1: "SELL"}
NO_GROUP = -1
"""Trade group of an account that is in none."""


def order_state(exchange: Exchange, order: Order) -> dict[str, Any]:
    """An order as GET order, openOrders and allOrders show it."""
    tape = exchange.tapes[order.symbol]
    return {
        "symbol": tape.name,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_order_id,
        **_amounts(tape, order),
        "stopPrice": tape.price(order.stop_ticks),
        "icebergQty": "0.00000000",
        "time": order.time_ms,
        "updateTime": order.update_ms,
        "isWorking": order.working_ms >= 0,
        "workingTime": order.working_ms,
        "origQuoteOrderQty": text_e8(order.quote_order_e8),
        "selfTradePreventionMode": order.stp,
        **_prevented(tape, order),
    }


def _prevented(tape: Tape, order: Order) -> dict[str, Any]:
    """What an order lost to self-trade prevention."""
    if not order.prevented_lots:
        return {}
    return {
        "preventedMatchId": order.prevented[-1].match_id, "preventedQuantity": tape.quantity(order.prevented_lots)
    }  # fmt: skip


def _amounts(tape: Tape, order: Order) -> dict[str, Any]:
    return {
        "price": tape.price(order.ticks),
        "origQty": tape.quantity(order.lots),
        "executedQty": tape.quantity(order.executed_lots),
        "cummulativeQuoteQty": text_e8(order.quote_e8),
        "status": order.status,
        "timeInForce": order.tif,
        "type": order.order_type,
        "side": SIDE_NAMES[order.side],
    }


def new_order(exchange: Exchange, order: Order, answer: str) -> dict[str, Any]:
    """The answer to a new order: ACK, RESULT or FULL."""
    tape = exchange.tapes[order.symbol]
    shape: dict[str, Any] = {
        "symbol": tape.name,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_order_id,
        "transactTime": order.time_ms,
    }
    if answer == "ACK":
        return shape
    shape |= _amounts(tape, order) | {"origQuoteOrderQty": text_e8(order.quote_order_e8)}
    if order.stop_ticks:
        shape["stopPrice"] = tape.price(order.stop_ticks)
    shape |= {"workingTime": order.working_ms, "selfTradePreventionMode": order.stp} | _prevented(tape, order)
    if answer == "FULL":
        shape["fills"] = [_fill(exchange, tape, fill) for fill in order.fills]
    matches = [one for one in order.prevented if one.taker_id == order.order_id]
    if matches:
        kept = ("preventedMatchId", "makerOrderId", "price", "takerPreventedQuantity", "makerPreventedQuantity")
        rows = [prevented_match(tape, one) for one in matches]
        shape["preventedMatches"] = [{name: row[name] for name in kept if name in row} for row in rows]
    return shape


def prevented_match(tape: Tape, one: PreventedMatch) -> dict[str, Any]:
    """A self-trade that did not happen, as myPreventedMatches shows it."""
    lost = {"takerPreventedQuantity": one.taker_lots, "makerPreventedQuantity": one.maker_lots}
    return {
        "symbol": tape.name,
        "preventedMatchId": one.match_id,
        "takerOrderId": one.taker_id,
        "makerSymbol": tape.name,
        "makerOrderId": one.maker_id,
        "tradeGroupId": NO_GROUP,
        "selfTradePreventionMode": one.mode,
        "price": tape.price(one.ticks),
        **{name: tape.quantity(lots) for name, lots in lost.items() if lots},
        "transactTime": one.time_ms,
    }


def _fill(exchange: Exchange, tape: Tape, fill: Fill) -> dict[str, Any]:
    return {
        "price": tape.price(fill.ticks),
        "qty": tape.quantity(fill.lots),
        "commission": text_e8(fill.fee_e8),
        "commissionAsset": fee_asset(exchange, tape, fill),
        "tradeId": fill.trade_id,
    }


def fee_asset(exchange: Exchange, tape: Tape, fill: Fill) -> str:
    """The asset a fee was taken in."""
    return tape.instrument.base if fill.fee_in_base else tape.instrument.quote


def cancelled(exchange: Exchange, order: Order) -> dict[str, Any]:
    """The answer to a cancel."""
    tape = exchange.tapes[order.symbol]
    shape = {
        "symbol": tape.name,
        "origClientOrderId": order.client_order_id,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.cancel_id,
        "transactTime": order.update_ms,
        **_amounts(tape, order),
        "origQuoteOrderQty": text_e8(order.quote_order_e8),
        "selfTradePreventionMode": order.stp,
    }
    return shape | ({"stopPrice": tape.price(order.stop_ticks)} if order.stop_ticks else {})


def own_trade(exchange: Exchange, order: Order, fill: Fill) -> dict[str, Any]:
    """A trade as myTrades shows it."""
    tape = exchange.tapes[order.symbol]
    return {
        "symbol": tape.name,
        "id": fill.trade_id,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "price": tape.price(fill.ticks),
        "qty": tape.quantity(fill.lots),
        "quoteQty": text_e8(fill.quote_e8),
        "commission": text_e8(fill.fee_e8),
        "commissionAsset": fee_asset(exchange, tape, fill),
        "time": fill.time_ms,
        "isBuyer": order.side > 0,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def execution_report(exchange: Exchange, report: Report) -> dict[str, Any]:
    """What happened to an order, as the user stream says it."""
    order, fill = report.order, report.fill
    tape = exchange.tapes[order.symbol]
    is_cancel = report.event == "CANCELED" and bool(order.cancel_id)
    shape: dict[str, Any] = {
        "e": "executionReport",
        "E": report.time_ms,
        "s": tape.name,
        "c": order.cancel_id if is_cancel else order.client_order_id,
        "S": SIDE_NAMES[order.side],
        "o": order.order_type,
        "f": order.tif,
        "q": tape.quantity(order.lots),
        "p": tape.price(order.ticks),
        "P": tape.price(order.stop_ticks),
        "F": "0.00000000",
        "g": order.list_id,
        "C": order.client_order_id if is_cancel else "",
        "x": report.event,
        "X": order.status,
        "r": "NONE",
        "i": order.order_id,
        "l": tape.quantity(fill.lots if fill else 0),
        "z": tape.quantity(order.executed_lots),
        "L": tape.price(fill.ticks if fill else 0),
        "n": text_e8(fill.fee_e8) if fill else "0",
        "N": fee_asset(exchange, tape, fill) if fill else None,
        "T": report.time_ms,
        "t": fill.trade_id if fill else -1,
        "I": 2 * order.order_id + len(order.fills),
        "w": order.is_open and order.working_ms >= 0,
        "m": fill.is_maker if fill else False,
        "M": False,
        "O": order.time_ms,
        "Z": text_e8(order.quote_e8),
        "Y": text_e8(fill.quote_e8 if fill else 0),
        "Q": text_e8(order.quote_order_e8),
        "V": order.stp,
    }
    shape |= {"W": order.working_ms} if order.working_ms >= 0 else {}
    return shape if report.match is None else shape | _prevention(tape, order, report.match)


def _prevention(tape: Tape, order: Order, match: PreventedMatch) -> dict[str, Any]:
    """The further fields of an event TRADE_PREVENTION: what this match took, and what would have traded."""
    is_taker = order.order_id == match.taker_id
    lots = match.taker_lots if is_taker else match.maker_lots
    return {
        "v": match.match_id,
        "A": tape.quantity(order.prevented_lots),
        "B": tape.quantity(lots),
        "u": NO_GROUP,
        "U": match.maker_id if is_taker else match.taker_id,
        "Cs": tape.name,
        "pl": tape.quantity(match.lots),
        "pL": tape.price(match.ticks),
        "pY": text_e8(tape.value_e8(match.ticks, match.lots)),
    }


def list_state(exchange: Exchange, one: OrderList) -> dict[str, Any]:
    """An order list as orderList, openOrderList and allOrderList show it."""
    name = exchange.tapes[one.symbol].name
    return {
        "orderListId": one.list_id,
        "contingencyType": "OCO",
        "listStatusType": "ALL_DONE" if one.is_done else "EXEC_STARTED",
        "listOrderStatus": "ALL_DONE" if one.is_done else "EXECUTING",
        "listClientOrderId": one.client_list_id,
        "transactionTime": one.time_ms,
        "symbol": name,
        "orders": [
            {"symbol": name, "orderId": order.order_id, "clientOrderId": order.client_order_id} for order in one.orders
        ],
    }


def cancelled_list(exchange: Exchange, one: OrderList) -> dict[str, Any]:
    """A list that has just been cancelled."""
    return list_state(exchange, one) | {"orderReports": [cancelled(exchange, order) for order in one.orders]}


def list_status(exchange: Exchange, one: OrderList) -> dict[str, Any]:
    """What happened to an order list, as the user stream says it."""
    state, now = list_state(exchange, one), exchange.clock.now_ms()
    return {
        "e": "listStatus",
        "E": now,
        "s": state["symbol"],
        "g": one.list_id,
        "c": state["contingencyType"],
        "l": state["listStatusType"],
        "L": state["listOrderStatus"],
        "r": "NONE",
        "C": one.client_list_id,
        "T": now,
        "O": [{"s": each["symbol"], "i": each["orderId"], "c": each["clientOrderId"]} for each in state["orders"]],
    }


def account_position(exchange: Exchange, report: Report) -> dict[str, Any]:
    """The balances that may have changed with it."""
    return {
        "e": "outboundAccountPosition",
        "E": report.time_ms,
        "u": report.time_ms,
        "B": [{"a": name, "f": text_e8(free), "l": text_e8(held)} for name, (free, held) in report.balances.items()],
    }
