"""The calls that show the futures market, where they differ from spot's."""

from __future__ import annotations

from typing import Any, Final

from engine.sandbox.binance_spot import market_calls as spot
from engine.sandbox.binance_spot.catalogue import chosen
from engine.sandbox.binance_spot.parameters import Parameters
from engine.sandbox.binance_usdm.errors import UsdmError
from engine.sandbox.futures import Futures
from engine.sandbox.perp_tape import FUNDING_MS, PerpTape
from engine.sandbox.tape import text_e8

Json = Any
MOST_KLINES: Final = 1500


def depth(futures: Futures, p: Parameters) -> Json:
    """GET depth."""
    now = futures.clock.now_ms()
    found = spot.book(futures, p.tape(futures.by_name), p.limit(500, 1000))
    return {"lastUpdateId": found.pop("lastUpdateId"), "E": now, "T": now} | found


def trades(futures: Futures, p: Parameters) -> Json:
    """GET trades."""
    return [_without(one, "isBestMatch") for one in spot.trades(futures, p)]


def historical_trades(futures: Futures, p: Parameters) -> Json:
    """GET historicalTrades."""
    return [_without(one, "isBestMatch") for one in spot.historical_trades(futures, p)]


def agg_trades(futures: Futures, p: Parameters) -> Json:
    """GET aggTrades."""
    return [_without(one, "M") for one in spot.agg_trades(futures, p)]


def _without(shape: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in shape.items() if key != name}


def klines(futures: Futures, p: Parameters) -> Json:
    """GET klines: spot's, without those of a second."""
    if p.plain("interval") == "1s":
        raise UsdmError(-1120)
    return spot.klines(futures, p, MOST_KLINES)


def mark_klines(futures: Futures, p: Parameters) -> Json:
    """GET markPriceKlines and indexPriceKlines (by `pair`): the candles of the last price stand in for them."""
    plain = Parameters({"symbol": p.text("pair") or p.text("symbol") or ""} | dict(p.items()))
    return [[*row[:5], "0", row[6], "0", row[8], "0", "0", "0"] for row in klines(futures, plain)]


def continuous_klines(futures: Futures, p: Parameters) -> Json:
    """GET continuousKlines: by `pair`."""
    return klines(futures, Parameters({"symbol": p.text("pair") or ""} | dict(p.items())))


def price_ticker(futures: Futures, p: Parameters) -> Json:
    """GET ticker/price."""
    return _one_or_all(
        futures, p, lambda t: {"symbol": t.name, "price": t.price(t.last_ticks), "time": futures.clock.now_ms()}
    )


def book_ticker(futures: Futures, p: Parameters) -> Json:
    """GET ticker/bookTicker."""

    def shape(tape: PerpTape) -> dict[str, Any]:
        return {
            "symbol": tape.name,
            "bidPrice": tape.price(tape.bid_ticks),
            "bidQty": tape.quantity(tape.bid_lots),
            "askPrice": tape.price(tape.ask_ticks),
            "askQty": tape.quantity(tape.ask_lots),
            "time": futures.clock.now_ms(),
            "lastUpdateId": tape.update_id,
        }

    return _one_or_all(futures, p, shape)


def day_ticker(futures: Futures, p: Parameters) -> Json:
    """GET ticker/24hr: spot's without the touch."""
    absent = ("prevClosePrice", "bidPrice", "bidQty", "askPrice", "askQty")

    def shape(tape: PerpTape) -> dict[str, Any]:
        return {name: value for name, value in spot.day(futures, tape, False).items() if name not in absent}

    return _one_or_all(futures, p, shape)


def premium_index(futures: Futures, p: Parameters) -> Json:
    """GET premiumIndex: mark price and the funding to come."""

    def shape(tape: PerpTape) -> dict[str, Any]:
        mark = text_e8(tape.mark * tape.tick_e8)
        return {
            "symbol": tape.name,
            "markPrice": mark,
            "indexPrice": mark,
            "estimatedSettlePrice": mark,
            "lastFundingRate": rate(tape.rate_e12),
            "interestRate": "0.00010000",
            "nextFundingTime": tape.next_funding_ms,
            "time": futures.clock.now_ms(),
        }

    return _one_or_all(futures, p, shape)


def rate(rate_e12: int) -> str:
    """A 1e-12 rate with eight decimals."""
    return text_e8(rate_e12 // 10_000)


def funding_rates(futures: Futures, p: Parameters) -> Json:
    """GET fundingRate: payments since the start, oldest first."""
    limit, start, end = p.limit(100, 1000), p.integer("startTime") or 0, p.integer("endTime") or 2**62
    found = [
        {
            "symbol": tape.name,
            "fundingTime": time_ms,
            "fundingRate": rate(rate_e12),
            "markPrice": text_e8(mark * futures.tapes[tape.index].tick_e8),
        }
        for tape in chosen(futures, p) or futures.tapes
        for time_ms, rate_e12, mark in futures.tapes[tape.index].rates
        if start <= time_ms <= end
    ]
    found.sort(key=lambda row: row["fundingTime"])  # type: ignore[arg-type,return-value]
    return found[:limit] if start else found[-limit:]


def funding_info(futures: Futures, p: Parameters) -> Json:
    """GET fundingInfo: the interval of every symbol."""
    return [
        {
            "symbol": tape.name,
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": FUNDING_MS // 3_600_000,
            "disclaimer": False,
        }
        for tape in futures.tapes
    ]


def open_interest(futures: Futures, p: Parameters) -> Json:
    """GET openInterest: what the customers here hold."""
    tape = p.tape(futures.by_name)
    lots = sum(abs(trader.positions[tape.index].lots) for trader in futures.accounts.all)
    return {"openInterest": tape.quantity(lots), "symbol": tape.name, "time": futures.clock.now_ms()}


def _one_or_all(futures: Futures, p: Parameters, shape: Any) -> Json:
    found = [shape(futures.tapes[tape.index]) for tape in chosen(futures, p) or futures.tapes]
    return found[0] if "symbol" in p else found
