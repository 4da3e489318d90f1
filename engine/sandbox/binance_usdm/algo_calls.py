"""The Algo Order API: conditional orders, which the ordinary calls neither take nor show (X2, X3)."""

from __future__ import annotations

from typing import Any

from engine.contracts import reasons
from engine.sandbox.binance_spot.parameters import Parameters
from engine.sandbox.binance_usdm.errors import UsdmError
from engine.sandbox.binance_usdm.shapes import algo_state
from engine.sandbox.binance_usdm.tickets import perp, read_algo, refused
from engine.sandbox.binance_usdm.trading import span
from engine.sandbox.exchange import OrderRefused
from engine.sandbox.futures import Futures
from engine.sandbox.traders import AlgoOrder, Trader

Json = Any


def place(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """POST algoOrder."""
    algo = read_algo(futures, trader, p)
    try:
        futures.algos.place(trader, algo)
    except OrderRefused as error:
        if error.reason == reasons.MAX_ORDERS:
            raise UsdmError(-4045) from None
        if error.reason == reasons.REDUCE_ONLY_REJECTED and algo.close_position:
            raise UsdmError(-4509) from None
        raise refused(futures, algo.symbol, error.reason, algo.side) from None
    return algo_state(futures, algo)


def _named(trader: Trader, p: Parameters) -> AlgoOrder | None:
    number, name = p.integer("algoId"), p.text("clientAlgoId")
    if number is None and name is None:
        raise UsdmError(-1102, message="Param 'algoId' or 'clientAlgoId' must be sent, but both were empty/null!")
    if number is not None:
        return trader.algos.get(number)
    same = [one for one in trader.algos.values() if one.client_algo_id == name]
    return max(same, key=lambda one: (one.is_waiting, one.algo_id), default=None)


def get(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET algoOrder."""
    algo = _named(trader, p)
    if algo is None:
        raise UsdmError(-2013)
    return algo_state(futures, algo)


def cancel(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """DELETE algoOrder."""
    algo = _named(trader, p)
    if algo is None or not algo.is_waiting:
        raise UsdmError(-2011)
    futures.algos.cancel(trader, algo)
    return {"algoId": algo.algo_id, "clientAlgoId": algo.client_algo_id, "code": "200", "msg": "success"}


def open_algos(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET openAlgoOrders, of one symbol or all."""
    index = perp(futures, p).index if "symbol" in p else None
    number = p.integer("algoId")
    return [algo_state(futures, one) for one in trader.waiting(index) if number in (None, one.algo_id)]


def all_algos(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """GET allAlgoOrders of a symbol."""
    index, limit, first = perp(futures, p).index, p.limit(500, 1000), p.integer("algoId")
    start, end = span(p)
    found = [
        one for one in trader.algos.values()
        if one.symbol == index and one.algo_id >= (first or 0) and start <= one.time_ms <= end
    ]  # fmt: skip
    found = found[:limit] if first is not None or start else found[-limit:]
    return [algo_state(futures, one) for one in found]


def cancel_all(futures: Futures, trader: Trader, p: Parameters) -> Json:
    """DELETE algoOpenOrders of a symbol."""
    for algo in trader.waiting(perp(futures, p).index):
        futures.algos.cancel(trader, algo)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}
