"""Orders, conditional orders, trades, positions and events as the futures venue writes them."""

from __future__ import annotations

from typing import Any, Final

from engine.sandbox.futures import Futures
from engine.sandbox.perp_tape import PerpTape, decimal
from engine.sandbox.self_trade import ENDED
from engine.sandbox.tape import text_e8
from engine.sandbox.traders import (
    AccountTold,
    AlgoOrder,
    AlgoTold,
    LeverageTold,
    OrderTold,
    PerpFill,
    PerpOrder,
    Told,
    Trader,
)

SIDES: Final = {1: "BUY", -1: "SELL"}
EXPIRED_IN_MATCH: Final = "1"
"""Expire reason of an order that ended so that nobody trades with themselves."""


def average(tape: PerpTape, quote_e8: int, lots: int) -> str:
    """Average price of what was executed."""
    return decimal(quote_e8 * 10**8 // (lots * tape.lot_e8) if lots else 0, max(tape.price_places, 2))


def order_state(futures: Futures, order: PerpOrder) -> dict[str, Any]:
    """An order as GET order, openOrders and allOrders show it."""
    return new_order(futures, order) | {"time": order.time_ms}


def new_order(futures: Futures, order: PerpOrder) -> dict[str, Any]:
    """The answer to a new order, an amendment or a cancel."""
    tape = futures.tapes[order.symbol]
    return {
        "orderId": order.order_id,
        "symbol": tape.name,
        "status": order.status,
        "clientOrderId": order.client_order_id,
        "price": tape.price(order.ticks),
        "avgPrice": average(tape, order.quote_e8, order.executed_lots),
        "origQty": tape.quantity(order.lots),
        "executedQty": tape.quantity(order.executed_lots),
        "cumQty": tape.quantity(order.executed_lots),
        "cumQuote": text_e8(order.quote_e8),
        "timeInForce": order.tif,
        "type": order.order_type,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": SIDES[order.side],
        "positionSide": "BOTH",
        "stopPrice": tape.price(order.stop_ticks),
        "workingType": order.working_type,
        "priceProtect": False,
        "origType": order.orig_type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": order.stp,
        "goodTillDate": 0,
        "updateTime": order.update_ms,
    }


def acknowledged(futures: Futures, order: PerpOrder) -> dict[str, Any]:
    """The answer to a new order that asked for no result: as it was taken, before it met the market."""
    tape = futures.tapes[order.symbol]
    return new_order(futures, order) | {
        "status": "NEW",
        "avgPrice": average(tape, 0, 0),
        "executedQty": tape.quantity(0),
        "cumQty": tape.quantity(0),
        "cumQuote": text_e8(0),
    }


def algo_state(futures: Futures, algo: AlgoOrder) -> dict[str, Any]:
    """A conditional order."""
    tape = futures.tapes[algo.symbol]
    shape = {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_algo_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.order_type,
        "symbol": tape.name,
        "side": SIDES[algo.side],
        "positionSide": "BOTH",
        "timeInForce": algo.tif,
        "quantity": tape.quantity(algo.lots),
        "algoStatus": algo.status,
        "actualOrderId": str(algo.order.order_id) if algo.order else "",
        "actualPrice": _actual(tape, algo)[0],
        "triggerPrice": tape.price(algo.trigger_ticks),
        "price": tape.price(algo.ticks),
        "icebergQuantity": None,
        "selfTradePreventionMode": algo.stp,
        "workingType": algo.working_type,
        "priceMatch": "NONE",
        "closePosition": algo.close_position,
        "priceProtect": algo.price_protect,
        "reduceOnly": algo.reduce_only,
        "createTime": algo.time_ms,
        "updateTime": algo.update_ms,
        "triggerTime": algo.trigger_ms,
        "goodTillDate": 0,
    }
    if algo.callback_bps:
        shape |= {"activatePrice": tape.price(algo.activate_ticks), "callbackRate": f"{algo.callback_bps / 100:g}"}
    return shape


def _actual(tape: PerpTape, algo: AlgoOrder) -> tuple[str, str]:
    """Average price and quantity of what a conditional order did in the end."""
    if algo.order is None or algo.status != "FINISHED":
        return "0", "0"
    lots = algo.order.executed_lots
    return (average(tape, algo.order.quote_e8, lots), tape.quantity(lots)) if lots else ("0", "0")


def own_trade(futures: Futures, order: PerpOrder, fill: PerpFill) -> dict[str, Any]:
    """A trade as userTrades shows it."""
    tape = futures.tapes[order.symbol]
    return {
        "symbol": tape.name,
        "id": fill.trade_id,
        "orderId": order.order_id,
        "side": SIDES[order.side],
        "price": tape.price(fill.ticks),
        "qty": tape.quantity(fill.lots),
        "realizedPnl": text_e8(fill.realised_e8),
        "marginAsset": futures.cash_asset,
        "quoteQty": text_e8(fill.quote_e8),
        "commission": text_e8(fill.fee_e8),
        "commissionAsset": futures.cash_asset,
        "time": fill.time_ms,
        "positionSide": "BOTH",
        "buyer": order.side > 0,
        "maker": fill.is_maker,
    }


# --- events -----------------------------------------------------------------------------------------


def event(futures: Futures, trader: Trader, told: Told) -> dict[str, Any]:
    """What the user stream says."""
    if isinstance(told, OrderTold):
        return order_event(futures, told)
    if isinstance(told, AlgoTold):
        return algo_event(futures, told)
    if isinstance(told, LeverageTold):
        named = {"s": futures.tapes[told.symbol].name, "l": told.leverage}
        return {"e": "ACCOUNT_CONFIG_UPDATE", "E": told.time_ms, "T": told.time_ms, "ac": named}
    return account_event(futures, trader, told)


def order_event(futures: Futures, told: OrderTold) -> dict[str, Any]:
    """ORDER_TRADE_UPDATE."""
    order, fill = told.order, told.fill
    tape = futures.tapes[order.symbol]
    shape: dict[str, Any] = {
        "s": tape.name,
        "c": order.client_order_id,
        "S": SIDES[order.side],
        "o": order.order_type,
        "f": order.tif,
        "q": tape.quantity(order.lots),
        "p": tape.price(order.ticks),
        "ap": average(tape, order.quote_e8, order.executed_lots),
        "sp": tape.price(order.stop_ticks),
        "x": told.event,
        "X": order.status,
        "i": order.order_id,
        "l": tape.quantity(fill.lots if fill else 0),
        "z": tape.quantity(order.executed_lots),
        "L": tape.price(fill.ticks if fill else 0),
        "n": text_e8(fill.fee_e8 if fill else 0),
        "N": futures.cash_asset,
        "T": told.time_ms,
        "t": fill.trade_id if fill else 0,
        "b": "0",
        "a": "0",
        "m": fill.is_maker if fill else False,
        "R": order.reduce_only,
        "wt": order.working_type,
        "ot": order.orig_type,
        "ps": "BOTH",
        "cp": order.close_position,
        "rp": text_e8(fill.realised_e8 if fill else 0),
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": order.stp,
        "pm": "NONE",
        "gtd": 0,
        "er": EXPIRED_IN_MATCH if order.status == ENDED else "0",
    }
    return {"e": "ORDER_TRADE_UPDATE", "T": told.time_ms, "E": told.time_ms, "o": shape}


def algo_event(futures: Futures, told: AlgoTold) -> dict[str, Any]:
    """ALGO_UPDATE."""
    algo = told.algo
    tape = futures.tapes[algo.symbol]
    shape: dict[str, Any] = {
        "caid": algo.client_algo_id,
        "aid": algo.algo_id,
        "at": "CONDITIONAL",
        "o": algo.order_type,
        "s": tape.name,
        "S": SIDES[algo.side],
        "ps": "BOTH",
        "f": algo.tif,
        "q": tape.quantity(algo.lots),
        "X": algo.status,
        "ai": str(algo.order.order_id) if algo.order else "",
        "tp": tape.price(algo.trigger_ticks),
        "p": tape.price(algo.ticks),
        "V": algo.stp,
        "wt": algo.working_type,
        "pm": "NONE",
        "cp": algo.close_position,
        "pP": algo.price_protect,
        "R": algo.reduce_only,
        "tt": algo.trigger_ms,
        "gtd": 0,
    }
    if algo.order is not None:
        price, quantity = _actual(tape, algo)
        shape |= {"ap": price, "aq": quantity, "act": algo.order.order_type}
    if algo.reason:
        shape["rm"] = algo.reason
    return {"e": "ALGO_UPDATE", "T": told.time_ms, "E": told.time_ms, "o": shape}


def account_event(futures: Futures, trader: Trader, told: AccountTold) -> dict[str, Any]:
    """ACCOUNT_UPDATE: the wallet, and the position, which a funding payment on a crossed one leaves out."""
    alone = told.symbol < 0 or (told.reason == "FUNDING_FEE" and not trader.isolated[told.symbol])
    data = {
        "m": told.reason,
        "B": [
            {
                "a": futures.cash_asset,
                "wb": text_e8(trader.wallet_e8),
                "cw": text_e8(cross_wallet_e8(trader)),
                "bc": text_e8(told.change_e8),
            }
        ],
        "P": [] if alone else [_position_event(futures, trader, told.symbol)],
    }
    return {"e": "ACCOUNT_UPDATE", "T": told.time_ms, "E": told.time_ms, "a": data}


def cross_wallet_e8(trader: Trader) -> int:
    """The wallet without the margin of isolated positions."""
    isolated = sum(held.margin_e8 for held, apart in zip(trader.positions, trader.isolated, strict=True) if apart)
    return trader.wallet_e8 - isolated


def _position_event(futures: Futures, trader: Trader, symbol: int) -> dict[str, Any]:
    tape, held, apart = futures.tapes[symbol], trader.positions[symbol], trader.isolated[symbol]
    return {
        "s": tape.name,
        "pa": tape.quantity(held.lots),
        "ep": entry_price(tape, held.entry_e8(tape)),
        "bep": entry_price(tape, held.entry_e8(tape)),
        "cr": text_e8(held.realised_e8),
        "up": text_e8(held.profit_e8(tape, tape.mark)),
        "mt": "isolated" if apart else "cross",
        "iw": text_e8(held.margin_e8) if apart else "0",
        "ps": "BOTH",
        "ma": futures.cash_asset,
    }


def entry_price(tape: PerpTape, price_e8: int) -> str:
    """An average price: the ticks' decimals and three more, at most eight."""
    return decimal(price_e8, min(tape.price_places + 3, 8)) if price_e8 else "0"
