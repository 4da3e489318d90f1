"""The calls that show the market; each takes the floor and the query, and returns JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from engine.sandbox.coinbase.amounts import plain, stamp
from engine.sandbox.coinbase.errors import invalid_argument
from engine.sandbox.coinbase.floor import Floor, Product
from engine.sandbox.coinbase.parameters import Query
from engine.sandbox.coinbase.products import product_shape
from engine.sandbox.tape import MINUTE_MS, Bar, Tape, Trade

Json = Any
MOST_CANDLES: Final = 350
MOST_TRADES: Final = 1000
# granularity: minutes
GRANULARITIES: Final[dict[str, int]] = {
    "ONE_MINUTE": 1, "FIVE_MINUTE": 5, "FIFTEEN_MINUTE": 15, "THIRTY_MINUTE": 30, "ONE_HOUR": 60, "TWO_HOUR": 120,
    "FOUR_HOUR": 240, "SIX_HOUR": 360, "ONE_DAY": 1440,
}  # fmt: skip


def server_time(floor: Floor, query: Query) -> Json:
    """GET time."""
    now = floor.clock.now_ms()
    return {"iso": stamp(now), "epochSeconds": str(now // 1000), "epochMillis": str(now)}


def products(floor: Floor, query: Query) -> Json:
    """GET products: all, or those of `product_ids`; there are only spot ones."""
    wanted = query.all("product_ids")
    kind = query.one("product_type")
    found = list(floor.products.values()) if kind in (None, "SPOT", "UNKNOWN_PRODUCT_TYPE") else []
    found = [one for one in found if not wanted or one.product_id in wanted]
    start = query.number("offset", 0, 10**6)
    found = found[start : start + query.number("limit", 1000, 1000)]
    return {"products": [product_shape(floor, one) for one in found], "num_products": len(found), "pagination": None}


def product(floor: Floor, query: Query) -> Json:
    """GET products/{product_id}."""
    return product_shape(floor, floor.product(query.path["product_id"]))


def book_of(floor: Floor, one: Product, limit: int) -> dict[str, Any]:
    """One product's price book."""
    sides = [floor.exchange.levels(one.tape, side)[:limit] for side in (-1, 1)]
    bids, asks = ([_level(one.tape, ticks, lots) for ticks, lots in side] for side in sides)
    return {"product_id": one.product_id, "bids": bids, "asks": asks, "time": stamp(floor.clock.now_ms())}


def _level(tape: Tape, ticks: int, lots: int) -> dict[str, str]:
    return {"price": plain(ticks * tape.tick_e8), "size": plain(lots * tape.lot_e8)}


def product_book(floor: Floor, query: Query) -> Json:
    """GET product_book."""
    one = floor.product(query.one("product_id"))
    tape = one.tape
    middle_e8 = (tape.bid_ticks + tape.ask_ticks) * tape.tick_e8 // 2
    gap = tape.ask_ticks - tape.bid_ticks
    return {
        "pricebook": book_of(floor, one, query.number("limit", 500, 500)),
        "last": plain(tape.last_ticks * tape.tick_e8),
        "mid_market": plain(middle_e8),
        "spread_bps": f"{gap * tape.tick_e8 * 10_000 / middle_e8:.12f}" if middle_e8 else "0",
        "spread_absolute": plain(gap * tape.tick_e8),
    }


def best_bid_ask(floor: Floor, query: Query) -> Json:
    """GET best_bid_ask of `product_ids`, or of all."""
    wanted = query.all("product_ids")
    found = [floor.product(name) for name in wanted] if wanted else list(floor.products.values())
    return {"pricebooks": [book_of(floor, one, 1) for one in found]}


def trade_shape(one: str, tape: Tape, trade: Trade) -> dict[str, str]:
    """A public trade; its side is the maker's."""
    return {
        "trade_id": str(trade.trade_id),
        "product_id": one,
        "price": plain(trade.ticks * tape.tick_e8),
        "size": plain(trade.lots * tape.lot_e8),
        "time": stamp(trade.time_ms),
        "side": "BUY" if trade.is_buyer_maker else "SELL",
    }


def ticker(floor: Floor, query: Query) -> Json:
    """GET products/{product_id}/ticker: the latest trades, newest first, and the touch."""
    one = floor.product(query.path["product_id"])
    start, end = query.time_ms("start") or 0, query.time_ms("end") or 2**62
    chosen = [trade for trade in reversed(one.tape.trades) if start <= trade.time_ms <= end]
    shown = chosen[: query.number("limit", 100, MOST_TRADES)]
    more = {"bid": "", "ask": "", "exchange": "coinbase"}
    return {
        "trades": [trade_shape(one.product_id, one.tape, trade) | more for trade in shown],
        "best_bid": plain(one.tape.bid_ticks * one.tape.tick_e8),
        "best_ask": plain(one.tape.ask_ticks * one.tape.tick_e8),
    }


def candles(floor: Floor, query: Query) -> Json:
    """GET products/{product_id}/candles: newest first, none for a time without trades."""
    one = floor.product(query.path["product_id"])
    minutes = GRANULARITIES.get(query.one("granularity") or "")
    if minutes is None:
        raise invalid_argument("granularity argument is invalid")
    start, end = query.time_ms("start"), query.time_ms("end")
    if start is None or end is None or end < start:
        raise invalid_argument("start and end arguments are invalid")
    if (end - start) // (minutes * MINUTE_MS) > MOST_CANDLES:
        raise invalid_argument(f"number of candles requested should be less than {MOST_CANDLES}")
    bars = joined(one.tape.bars, minutes, one.tape.next_trade_id > 1)
    found = [bar for bar in bars if start <= bar.open_ms <= end][::-1]
    return {"candles": [candle_shape(one.tape, bar) for bar in found[: query.number("limit", 350, MOST_CANDLES)]]}


def candle_shape(tape: Tape, bar: Bar) -> dict[str, str]:
    """A candle; `start` in Unix seconds."""
    prices = {name: getattr(bar, name) for name in ("low", "high", "open", "close")}
    return {
        "start": str(bar.open_ms // 1000),
        **{name: plain(ticks * tape.tick_e8) for name, ticks in prices.items()},
        "volume": plain(bar.lots * tape.lot_e8),
    }


def joined(bars: Iterable[Bar], minutes: int, has_trades: bool) -> list[Bar]:
    """Minute bars made longer, oldest first; those without trades are left out where there are trades at all."""
    length = minutes * MINUTE_MS
    found: list[Bar] = []
    for bar in bars:
        if has_trades and bar.count == 0:
            continue
        opened = bar.open_ms // length * length
        if found and found[-1].open_ms == opened:
            found[-1].add(bar)
            continue
        found.append(Bar(opened, bar.open, bar.high, bar.low, bar.close))
        found[-1].lots, found[-1].count = bar.lots, bar.count
    return found
