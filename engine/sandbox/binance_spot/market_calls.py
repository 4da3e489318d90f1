"""The calls that show the market: each takes the exchange and the request's parameters, and returns JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from engine.sandbox.binance_spot.catalogue import chosen
from engine.sandbox.binance_spot.errors import BinanceError
from engine.sandbox.binance_spot.parameters import Parameters, needed
from engine.sandbox.show import Show
from engine.sandbox.tape import MINUTE_MS, SECOND_MS, Bar, Tape, Trade, text_e8

Json = Any
DAY_MS: Final = 86_400_000
SECONDS: Final = "1s"
# interval: minutes; weeks begin on Monday, months on their first; seconds are kept apart
INTERVALS: Final[dict[str, int]] = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "6h": 360, "8h": 480,
    "12h": 720, "1d": 1440, "3d": 4320, "1w": 10080, "1M": 0, SECONDS: 0,
}  # fmt: skip
_MONDAY_MS: Final = 4 * DAY_MS


def ping(exchange: Show, p: Parameters) -> Json:
    """GET ping."""
    return {}


def server_time(exchange: Show, p: Parameters) -> Json:
    """GET time."""
    return {"serverTime": exchange.clock.now_ms()}


def depth(exchange: Show, p: Parameters) -> Json:
    """GET depth: as many levels as there are, at most `limit`."""
    return book(exchange, p.tape(exchange.by_name), p.limit(100, 5000))


def book(exchange: Show, tape: Tape, limit: int) -> dict[str, Any]:
    """The book's best levels (bids, asks), as a snapshot that the depth streams must take into account."""
    bids, asks = exchange.levels(tape, -1)[:limit], exchange.levels(tape, 1)[:limit]
    for shown in exchange.on_book:
        shown(tape, bids, asks)
    return {
        "lastUpdateId": tape.update_id,
        "bids": [[tape.price(ticks), tape.quantity(lots)] for ticks, lots in bids],
        "asks": [[tape.price(ticks), tape.quantity(lots)] for ticks, lots in asks],
    }


def trades(exchange: Show, p: Parameters) -> Json:
    """GET trades, oldest first."""
    tape = p.tape(exchange.by_name)
    return [_trade(tape, one) for one in list(tape.trades)[-p.limit(500, 1000) :]]


def historical_trades(exchange: Show, p: Parameters) -> Json:
    """GET historicalTrades: the same from `fromId` on, as far back as they are kept."""
    tape, limit, first = p.tape(exchange.by_name), p.limit(500, 1000), p.integer("fromId")
    if first is None:
        return [_trade(tape, one) for one in list(tape.trades)[-limit:]]
    return [_trade(tape, one) for one in tape.trades if one.trade_id >= first][:limit]


def _trade(tape: Tape, one: Trade) -> dict[str, Any]:
    return {
        "id": one.trade_id,
        "price": tape.price(one.ticks),
        "qty": tape.quantity(one.lots),
        "quoteQty": text_e8(tape.value_e8(one.ticks, one.lots)),
        "time": one.time_ms,
        "isBuyerMaker": one.is_buyer_maker,
        "isBestMatch": True,
    }


def agg_trades(exchange: Show, p: Parameters) -> Json:
    """GET aggTrades: every trade is an aggregate of its own."""
    tape, limit = p.tape(exchange.by_name), p.limit(500, 1000)
    first, start, end = p.integer("fromId"), p.integer("startTime"), p.integer("endTime")
    if first is not None and (start is not None or end is not None):
        raise BinanceError(-1128)
    if first is None and start is None and end is None:
        found = list(tape.trades)[-limit:]
    else:
        found = [
            one for one in tape.trades
            if one.trade_id >= (first or 0) and (start or 0) <= one.time_ms and (end is None or one.time_ms <= end)
        ]  # fmt: skip
    return [agg_trade(tape, one) for one in found[:limit]]


def agg_trade(tape: Tape, one: Trade) -> dict[str, Any]:
    """An aggregate trade as REST writes it."""
    return {
        "a": one.trade_id,
        "p": tape.price(one.ticks),
        "q": tape.quantity(one.lots),
        "f": one.trade_id,
        "l": one.trade_id,
        "T": one.time_ms,
        "m": one.is_buyer_maker,
        "M": True,
    }


def klines(exchange: Show, p: Parameters, most: int = 1000) -> Json:
    """GET klines: made of the minutes since the history began, or the latest seconds."""
    tape, limit = p.tape(exchange.by_name), p.limit(500, most)
    interval = needed(p.word("interval", INTERVALS), "interval")
    start, end = p.integer("startTime"), p.integer("endTime")
    tape.fill_minutes(exchange.clock.now_ms())
    found = [
        bar for bar in (tape.seconds if interval == SECONDS else grouped(tape.bars, interval))
        if (start or 0) <= bar.open_ms and (end is None or bar.open_ms <= end)
    ]  # fmt: skip
    found = found[:limit] if start is not None else found[-limit:]
    return [_kline(tape, bar, interval) for bar in found]


def opening_ms(time_ms: int, interval: str) -> int:
    """When the candle that holds this time began."""
    if interval == SECONDS:
        return time_ms // SECOND_MS * SECOND_MS
    if interval == "1M":
        day = datetime.fromtimestamp(time_ms // 1000, UTC)
        return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * 1000
    length = INTERVALS[interval] * MINUTE_MS
    offset = _MONDAY_MS if interval == "1w" else 0
    return (time_ms - offset) // length * length + offset


def closing_ms(open_ms: int, interval: str) -> int:
    """The last millisecond of the candle that began then."""
    if interval == SECONDS:
        return open_ms + SECOND_MS - 1
    if interval == "1M":
        return opening_ms(open_ms + 32 * DAY_MS, interval) - 1
    return open_ms + INTERVALS[interval] * MINUTE_MS - 1


def grouped(bars: Iterable[Bar], interval: str) -> list[Bar]:
    """Minutes as candles of the interval."""
    found: list[Bar] = []
    for bar in bars:
        start = opening_ms(bar.open_ms, interval)
        if not found or found[-1].open_ms != start:
            found.append(Bar(start, bar.open, bar.high, bar.low, bar.close))
        found[-1].add(bar)
    return found


def _kline(tape: Tape, bar: Bar, interval: str) -> list[Any]:
    return [
        bar.open_ms,
        tape.price(bar.open),
        tape.price(bar.high),
        tape.price(bar.low),
        tape.price(bar.close),
        tape.quantity(bar.lots),
        closing_ms(bar.open_ms, interval),
        text_e8(bar.quote_e8),
        bar.count,
        tape.quantity(bar.taker_lots),
        text_e8(bar.taker_quote_e8),
        "0",
    ]


def average_price(exchange: Show, p: Parameters) -> Json:
    """GET avgPrice: weighted by volume over the last five minutes, else the last price."""
    tape = p.tape(exchange.by_name)
    now = exchange.clock.now_ms()
    bars = [bar for bar in tape.bars if bar.open_ms > now - 5 * MINUTE_MS]
    lots, value = sum(bar.lots for bar in bars), sum(bar.quote_e8 for bar in bars)
    price = value * 10**8 // (lots * tape.lot_e8) if lots else tape.last_ticks * tape.tick_e8
    return {"mins": 5, "price": text_e8(price), "closeTime": tape.trades[-1].time_ms if tape.trades else now}


def price_ticker(exchange: Show, p: Parameters) -> Json:
    """GET ticker/price."""
    return _one_or_all(exchange, p, lambda tape: {"symbol": tape.name, "price": tape.price(tape.last_ticks)})


def book_ticker(exchange: Show, p: Parameters) -> Json:
    """GET ticker/bookTicker."""
    return _one_or_all(exchange, p, lambda tape: {"symbol": tape.name} | _touch(tape))


def day_ticker(exchange: Show, p: Parameters) -> Json:
    """GET ticker/24hr; `type` is FULL or MINI."""
    is_mini = p.word("type", ("FULL", "MINI")) == "MINI"
    return _one_or_all(exchange, p, lambda tape: day(exchange, tape, is_mini))


def _one_or_all(exchange: Show, p: Parameters, shape: Any) -> Json:
    found = [shape(tape) for tape in chosen(exchange, p) or exchange.tapes]
    return found[0] if "symbol" in p else found


def _touch(tape: Tape) -> dict[str, Any]:
    return {
        "bidPrice": tape.price(tape.bid_ticks),
        "bidQty": tape.quantity(tape.bid_lots),
        "askPrice": tape.price(tape.ask_ticks),
        "askQty": tape.quantity(tape.ask_lots),
    }


def last_day(exchange: Show, tape: Tape) -> Bar:
    """The last 24 hours as one candle, by the minute; of a symbol without a price, empty."""
    return since(tape, exchange.clock.now_ms() - DAY_MS)


def since(tape: Tape, start_ms: int) -> Bar:
    """All minutes that began after a time, as one candle that opens then; empty where there is no price."""
    bars = [bar for bar in tape.bars if bar.open_ms > start_ms]
    whole = Bar(start_ms, *([bars[0].open] * 4)) if bars else Bar(start_ms, 0, 0, 0, 0)
    for bar in bars:
        whole.add(bar)
    return whole


def day(exchange: Show, tape: Tape, is_mini: bool) -> dict[str, Any]:
    """The 24-hour statistics of a symbol."""
    bar = last_day(exchange, tape)
    mini = figures(tape, bar, bar.open_ms + DAY_MS)
    if is_mini:
        return mini
    more = {"prevClosePrice": tape.price(bar.open), "lastQty": tape.quantity(tape.last_lots)}
    return mini | _touch(tape) | changes(tape, bar) | more


def figures(tape: Tape, bar: Bar, close_ms: int) -> dict[str, Any]:
    """A window's statistics in short (MINI)."""
    return {
        "symbol": tape.name,
        "openPrice": tape.price(bar.open),
        "highPrice": tape.price(bar.high),
        "lowPrice": tape.price(bar.low),
        "lastPrice": tape.price(bar.close),
        "volume": tape.quantity(bar.lots),
        "quoteVolume": text_e8(bar.quote_e8),
        "openTime": bar.open_ms,
        "closeTime": close_ms,
        "firstId": bar.first_id,
        "lastId": bar.last_id,
        "count": bar.count,
    }


def changes(tape: Tape, bar: Bar) -> dict[str, Any]:
    """What the full statistics (FULL) say besides."""
    change = bar.close - bar.open
    basis = round(change * 100_000 / bar.open) if bar.open else 0
    average = bar.quote_e8 * 10**8 // (bar.lots * tape.lot_e8) if bar.lots else 0
    return {
        "priceChange": tape.price(change),
        "priceChangePercent": f"{basis / 1000:.3f}",
        "weightedAvgPrice": text_e8(average),
    }
