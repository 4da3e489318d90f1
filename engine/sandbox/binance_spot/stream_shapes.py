"""What the streams say, as JSON text. Streams that speak by the clock are made here: each call of what is
returned gives the next message, or None where nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from engine.sandbox.binance_spot.market_calls import (
    INTERVALS,
    SECONDS,
    book,
    closing_ms,
    day,
    grouped,
    last_day,
    opening_ms,
)
from engine.sandbox.show import Show
from engine.sandbox.tape import Bar, Tape, Trade, text_e8

__all__ = ["INTERVALS", "TRADES", "book_ticker", "kline", "mini_ticker", "partial_depth", "ticker"]

Pulse = Callable[[], str | None]


def book_ticker(tape: Tape) -> str:
    """``{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}``"""
    bid, ask = tape.price(tape.bid_ticks), tape.price(tape.ask_ticks)
    held, asked = tape.quantity(tape.bid_lots), tape.quantity(tape.ask_lots)
    return f'{{"u":{tape.update_id},"s":"{tape.name}","b":"{bid}","B":"{held}","a":"{ask}","A":"{asked}"}}'


def trade_event(tape: Tape, one: Trade) -> str:
    """``{"e":"trade","E":..,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":..,"m":true,"M":true}``"""
    price, quantity, maker = tape.price(one.ticks), tape.quantity(one.lots), _word(one.is_buyer_maker)
    head = f'{{"e":"trade","E":{one.time_ms},"s":"{tape.name}","t":{one.trade_id},"p":"{price}",'
    return f'{head}"q":"{quantity}","T":{one.time_ms},"m":{maker},"M":true}}'


def agg_trade_event(tape: Tape, one: Trade) -> str:
    """``{"e":"aggTrade","E":..,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":100,"l":105,"T":..,"m":true,"M":true}``"""
    price, quantity, maker = tape.price(one.ticks), tape.quantity(one.lots), _word(one.is_buyer_maker)
    head = f'{{"e":"aggTrade","E":{one.time_ms},"s":"{tape.name}","a":{one.trade_id},"p":"{price}",'
    ids = f'"f":{one.trade_id},"l":{one.trade_id},"T":{one.time_ms}'
    return f'{head}"q":"{quantity}",{ids},"m":{maker},"M":true}}'


TRADES: Final[dict[str, Callable[[Tape, Trade], str]]] = {"trade": trade_event, "aggTrade": agg_trade_event}


def partial_depth(exchange: Show, tape: Tape, levels: int) -> Pulse:
    """The best levels, whenever the book changed."""
    told = 0

    def pulse() -> str | None:
        nonlocal told
        if tape.update_id == told or tape.bid_ticks == 0:
            return None
        told = tape.update_id
        return _text(book(exchange, tape, levels))

    return pulse


def mini_ticker(exchange: Show, tape: Tape) -> Pulse:
    """24 hours in short."""

    def shape() -> dict[str, Any]:
        bar = last_day(exchange, tape)
        return {
            "e": "24hrMiniTicker",
            "E": exchange.clock.now_ms(),
            "s": tape.name,
            "c": tape.price(bar.close),
            "o": tape.price(bar.open),
            "h": tape.price(bar.high),
            "l": tape.price(bar.low),
            "v": tape.quantity(bar.lots),
            "q": text_e8(bar.quote_e8),
        }

    return _when_changed(lambda: (tape.update_id, tape.next_trade_id), shape)


# letter of the stream: name in REST's ticker/24hr
_TICKER: Final = {
    "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "x": "prevClosePrice", "c": "lastPrice",
    "Q": "lastQty", "b": "bidPrice", "B": "bidQty", "a": "askPrice", "A": "askQty", "o": "openPrice",
    "h": "highPrice", "l": "lowPrice", "v": "volume", "q": "quoteVolume", "O": "openTime", "C": "closeTime",
    "F": "firstId", "L": "lastId", "n": "count",
}  # fmt: skip


def ticker(exchange: Show, tape: Tape) -> Pulse:
    """24 hours in full."""

    def shape() -> dict[str, Any]:
        found = day(exchange, tape, False)
        head = {"e": "24hrTicker", "E": exchange.clock.now_ms(), "s": tape.name}
        return head | {letter: found[name] for letter, name in _TICKER.items()}

    return _when_changed(lambda: (tape.update_id, tape.next_trade_id), shape)


def _when_changed(stamp: Callable[[], Any], shape: Callable[[], dict[str, Any]]) -> Pulse:
    told: Any = None

    def pulse() -> str | None:
        nonlocal told
        if not any(stamp()) or told == stamp():
            return None
        told = stamp()
        return _text(shape())

    return pulse


def kline(exchange: Show, tape: Tape, interval: str) -> Pulse:
    """The candle of now whenever it changed, and each candle once more when it is over (`x`)."""
    told: tuple[int, int, int] | None = None

    def pulse() -> str | None:
        nonlocal told
        tape.fill_minutes(exchange.clock.now_ms())
        every, kept = (tape.seconds, 5) if interval == SECONDS else (tape.bars, _minutes(interval))
        if not every:
            return None
        since = opening_ms(_since(every, told), interval)
        bars = [bar for bar in every[-kept:] if bar.open_ms >= since]
        candles = grouped(bars, interval)
        one = candles[0]
        is_over = len(candles) > 1
        stamp = (one.open_ms, one.count, one.close)
        if is_over:
            told = (candles[1].open_ms, -1, 0)
        elif told == stamp:
            return None
        else:
            told = stamp
        return _text(_kline(exchange, tape, one, interval, is_over))

    return pulse


def _minutes(interval: str) -> int:
    """Minutes that hold the candle of now and the one before it."""
    return 2 * (INTERVALS[interval] or 31 * 1440)


def _since(bars: list[Bar], told: tuple[int, int, int] | None) -> int:
    return bars[-1].open_ms if told is None else told[0]


def _kline(exchange: Show, tape: Tape, bar: Bar, interval: str, is_over: bool) -> dict[str, Any]:
    return {
        "e": "kline",
        "E": exchange.clock.now_ms(),
        "s": tape.name,
        "k": {
            "t": bar.open_ms,
            "T": closing_ms(bar.open_ms, interval),
            "s": tape.name,
            "i": interval,
            "f": bar.first_id,
            "L": bar.last_id,
            "o": tape.price(bar.open),
            "c": tape.price(bar.close),
            "h": tape.price(bar.high),
            "l": tape.price(bar.low),
            "v": tape.quantity(bar.lots),
            "n": bar.count,
            "x": is_over,
            "q": text_e8(bar.quote_e8),
            "V": tape.quantity(bar.taker_lots),
            "Q": text_e8(bar.taker_quote_e8),
            "B": "0",
        },
    }


def _word(value: bool) -> str:
    return "true" if value else "false"


def _text(document: Any) -> str:
    return msgspec.json.encode(document).decode()
