"""Market streams, raw and combined: what each stream says when.

bookTicker, trade and aggTrade speak at once; depth and partial depth every 100 ms (or 1 s, where asked for),
tickers and candles every second; each only where something changed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final

from engine.sandbox.binance_spot import stream_shapes as shapes
from engine.sandbox.binance_spot.depth_stream import DepthStream
from engine.sandbox.show import Show
from engine.sandbox.switchboard import Switchboard
from engine.sandbox.tape import Tape, Trade

TURN_S: Final = 0.1
TURNS_A_SECOND: Final = 10
_PARTIAL: Final = re.compile(r"^depth(5|10|20)(@100ms|@1000ms)?$")
_DIFF: Final = re.compile(r"^depth(@100ms|@1000ms)?$")
_KLINE: Final = re.compile(r"^kline_(\w+)$")


class Streams(Switchboard):
    """All stream connections of the exchange."""

    def __init__(self, exchange: Show) -> None:
        super().__init__(exchange.faults)
        self._exchange = exchange
        self._pulses: dict[str, Callable[[], str | None]] = {}
        self._depths: dict[str, DepthStream] = {}
        exchange.on_quote.append(self._quoted)
        exchange.on_trade.append(self._traded)
        exchange.on_book.append(self._book_shown)

    def _prepare(self, name: str) -> None:
        """What speaks by the clock gets its pulse; names of nothing are accepted and stay silent."""
        symbol, _, kind = name.partition("@")
        tape = self._exchange.by_name.get(symbol.upper()) if symbol == symbol.lower() else None
        if tape is None or name in self._pulses:
            return
        if _DIFF.match(kind):
            self._depths[name] = DepthStream(self._exchange, tape)
            self._pulses[name] = self._depths[name].event
        elif partial := _PARTIAL.match(kind):
            self._pulses[name] = shapes.partial_depth(self._exchange, tape, int(partial[1]))
        elif kind == "miniTicker":
            self._pulses[name] = shapes.mini_ticker(self._exchange, tape)
        elif kind == "ticker":
            self._pulses[name] = shapes.ticker(self._exchange, tape)
        elif (kline := _KLINE.match(kind)) and kline[1] in shapes.INTERVALS:
            self._pulses[name] = shapes.kline(self._exchange, tape, kline[1])

    def _forget(self, name: str) -> None:
        self._pulses.pop(name, None)
        self._depths.pop(name, None)

    # --- events -----------------------------------------------------------------------------------

    def _quoted(self, tape: Tape) -> None:
        name = f"{tape.name.lower()}@bookTicker"
        if name in self._by_stream:
            self._send(name, shapes.book_ticker(tape))

    def _traded(self, tape: Tape, trade: Trade) -> None:
        for kind, shape in shapes.TRADES.items():
            name = f"{tape.name.lower()}@{kind}"
            if name in self._by_stream:
                self._send(name, shape(tape, trade))

    def _book_shown(self, tape: Tape, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        for stream in self._depths.values():
            if stream.tape is tape:
                stream.shown(bids, asks)

    async def run(self) -> None:
        """Let the streams speak that speak by the clock."""
        turn = 0
        while True:
            await asyncio.sleep(TURN_S)
            turn += 1
            for name, pulse in list(self._pulses.items()):
                is_slow = "depth" not in name or (name.endswith("@1000ms") or "@100ms" not in name)
                if is_slow and turn % TURNS_A_SECOND:
                    continue
                while (data := pulse()) is not None:
                    self._send(name, data)
