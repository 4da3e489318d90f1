"""The market streams, split into ``/public`` and ``/market``: what each says when.

bookTicker, trade and aggTrade speak at once; depth and partial depth every 100, 250 or 500 ms, as asked for (250 ms
where not), tickers and candles every second, mark prices every second or three.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from engine.sandbox.binance_spot import stream_shapes as spot
from engine.sandbox.binance_spot.depth_stream import DepthStream
from engine.sandbox.binance_spot.stream_shapes import Pulse
from engine.sandbox.binance_usdm.market_calls import rate
from engine.sandbox.futures import Futures
from engine.sandbox.perp_tape import PerpTape
from engine.sandbox.show import Levels
from engine.sandbox.switchboard import Switchboard
from engine.sandbox.tape import Trade, text_e8

TURN_S: Final = 0.05
TURN_MS: Final = 50
_DEPTH: Final = re.compile(r"^depth(5|10|20)?(?:@(100|250|500)ms)?$")
_KLINE: Final = re.compile(r"^kline_(\w+)$")
_MARK: Final = re.compile(r"^markPrice(@1s)?$")


class Timed(NamedTuple):
    """A stream that speaks by the clock: every so many turns."""

    turns: int
    pulse: Pulse


class PerpDepthStream(DepthStream):
    """The diff-depth stream of a perpetual: each event names the end of the one before it (`pu`)."""

    def _head(self, stamp: int, first: int) -> str:
        numbers = f'"U":{first},"u":{self.tape.update_id},"pu":{first - 1}'
        return f'"e":"depthUpdate","E":{stamp},"T":{stamp},"s":"{self.tape.name}",{numbers}'


class MarketStreams(Switchboard):
    """The streams of one of the two paths: `at_once` and `timed` say which are there."""

    def __init__(
        self, futures: Futures, at_once: tuple[str, ...], timed: Callable[[PerpTape, str], Timed | None]
    ) -> None:
        super().__init__(futures.faults)
        self._futures = futures
        self._at_once = at_once
        self._make = timed
        self._timed: dict[str, Timed] = {}
        self._depths: dict[str, PerpDepthStream] = {}
        futures.on_quote.append(self._quoted)
        futures.on_trade.append(self._traded)
        futures.on_book.append(self._book_shown)

    def _prepare(self, name: str) -> None:
        symbol, _, kind = name.partition("@")
        tape = self._futures.by_name.get(symbol.upper()) if symbol == symbol.lower() else None
        timed = self._make(tape, kind) if tape is not None and name not in self._timed else None
        if timed is None:
            return
        self._timed[name] = timed
        owner = getattr(timed.pulse, "__self__", None)
        if isinstance(owner, PerpDepthStream):
            self._depths[name] = owner

    def _forget(self, name: str) -> None:
        self._timed.pop(name, None)
        self._depths.pop(name, None)

    def _quoted(self, tape: PerpTape) -> None:
        name = f"{tape.name.lower()}@bookTicker"
        if "bookTicker" in self._at_once and name in self._by_stream:
            self._send(name, book_ticker(tape, self._futures.clock.now_ms()))

    def _traded(self, tape: PerpTape, trade: Trade) -> None:
        for kind, shape in TRADES.items():
            name = f"{tape.name.lower()}@{kind}"
            if kind in self._at_once and name in self._by_stream:
                self._send(name, shape(tape, trade))

    def _book_shown(self, tape: PerpTape, bids: Levels, asks: Levels) -> None:
        for stream in self._depths.values():
            if stream.tape is tape:
                stream.shown(bids, asks)

    async def run(self) -> None:
        """Let the streams speak that speak by the clock."""
        turn = 0
        while True:
            await asyncio.sleep(TURN_S)
            turn += 1
            for name, timed in list(self._timed.items()):
                if turn % timed.turns:
                    continue
                while (data := timed.pulse()) is not None:
                    self._send(name, data)


def public_streams(futures: Futures) -> MarketStreams:
    """``/public``: best quotes, books and single trades."""

    def timed(tape: PerpTape, kind: str) -> Timed | None:
        asked = _DEPTH.match(kind)
        if asked is None:
            return None
        turns = int(asked[2] or 250) // TURN_MS
        if asked[1]:
            return Timed(turns, partial_depth(futures, tape, int(asked[1])))
        return Timed(turns, PerpDepthStream(futures, tape).event)

    return MarketStreams(futures, ("bookTicker", "trade"), timed)


def market_streams(futures: Futures) -> MarketStreams:
    """``/market``: aggregated trades, candles, tickers, mark prices."""
    second = 1000 // TURN_MS

    def timed(tape: PerpTape, kind: str) -> Timed | None:
        if kind == "miniTicker":
            return Timed(second, spot.mini_ticker(futures, tape))
        if kind == "ticker":
            return Timed(second, ticker(futures, tape))
        if (candle := _KLINE.match(kind)) and candle[1] in spot.INTERVALS and candle[1] != "1s":
            return Timed(second // 4, spot.kline(futures, tape, candle[1]))
        if mark := _MARK.match(kind):
            return Timed(second if mark[1] else 3 * second, _once(lambda: mark_price(futures, tape)))
        return None

    return MarketStreams(futures, ("aggTrade",), timed)


def _once(shape: Callable[[], str]) -> Pulse:
    """One message at each turn."""
    said = False

    def pulse() -> str | None:
        nonlocal said
        said = not said
        return shape() if said else None

    return pulse


# --- shapes -----------------------------------------------------------------------------------------


def book_ticker(tape: PerpTape, now: int) -> str:
    """``{"e":"bookTicker","u":..,"s":"BTCUSDT","b":"..","B":"..","a":"..","A":"..","T":..,"E":..}``"""
    bid, ask = tape.price(tape.bid_ticks), tape.price(tape.ask_ticks)
    held, asked = tape.quantity(tape.bid_lots), tape.quantity(tape.ask_lots)
    head = f'{{"e":"bookTicker","u":{tape.update_id},"s":"{tape.name}","b":"{bid}","B":"{held}"'
    return f'{head},"a":"{ask}","A":"{asked}","T":{now},"E":{now}}}'


def trade_event(tape: PerpTape, one: Trade) -> str:
    """``{"e":"trade","E":..,"T":..,"s":"BTCUSDT","t":1,"p":"..","q":"..","X":"MARKET","m":true}``"""
    head = f'{{"e":"trade","E":{one.time_ms},"T":{one.time_ms},"s":"{tape.name}","t":{one.trade_id}'
    return f'{head},"p":"{tape.price(one.ticks)}","q":"{tape.quantity(one.lots)}","X":"MARKET","m":{_word(one)}}}'


def agg_trade_event(tape: PerpTape, one: Trade) -> str:
    """``{"e":"aggTrade","E":..,"a":1,"s":"BTCUSDT","p":"..","q":"..","f":1,"l":1,"T":..,"m":true}``"""
    number, price, quantity = one.trade_id, tape.price(one.ticks), tape.quantity(one.lots)
    head = f'{{"e":"aggTrade","E":{one.time_ms},"a":{number},"s":"{tape.name}","p":"{price}","q":"{quantity}"'
    return f'{head},"f":{number},"l":{number},"T":{one.time_ms},"m":{_word(one)}}}'


def _word(one: Trade) -> str:
    return "true" if one.is_buyer_maker else "false"


TRADES: Final[dict[str, Callable[[PerpTape, Trade], str]]] = {"trade": trade_event, "aggTrade": agg_trade_event}


def partial_depth(futures: Futures, tape: PerpTape, levels: int) -> Pulse:
    """The best levels, whenever the book changed: shaped like a diff."""
    told = 0

    def pulse() -> str | None:
        nonlocal told
        if tape.update_id == told or tape.bid_ticks == 0:
            return None
        before, told = told, tape.update_id
        now = futures.clock.now_ms()
        sides = {
            letter: [[tape.price(ticks), tape.quantity(lots)] for ticks, lots in futures.levels(tape, side)[:levels]]
            for letter, side in (("b", -1), ("a", 1))
        }
        head = {"e": "depthUpdate", "E": now, "T": now, "s": tape.name, "U": before + 1, "u": told, "pu": before}
        return msgspec.json.encode(head | sides).decode()

    return pulse


def ticker(futures: Futures, tape: PerpTape) -> Pulse:
    """24 hours in full: spot's without the touch."""
    whole = spot.ticker(futures, tape)

    def pulse() -> str | None:
        text = whole()
        if text is None:
            return None
        found = msgspec.json.decode(text)
        return msgspec.json.encode({k: v for k, v in found.items() if k not in "xbBaA"}).decode()

    return pulse


def mark_price(futures: Futures, tape: PerpTape) -> str:
    """``{"e":"markPriceUpdate","E":..,"s":"BTCUSDT","p":"..","ap":"..","P":"..","i":"..","r":"..","T":..}``"""
    mark = text_e8(tape.mark * tape.tick_e8)
    shape = {
        "e": "markPriceUpdate",
        "E": futures.clock.now_ms(),
        "s": tape.name,
        "p": mark,
        "ap": mark,
        "P": mark,
        "i": mark,
        "r": rate(tape.rate_e12),
        "T": tape.next_funding_ms,
    }
    return msgspec.json.encode(shape).decode()
