"""Market streams, raw and combined: who listens to what, and what each stream says when.

bookTicker, trade and aggTrade speak at once; depth and partial depth every 100 ms (or 1 s, where asked for),
tickers and candles every second; each only where something changed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from engine.contracts.errors import KeelError
from engine.sandbox.binance_spot import stream_shapes as shapes
from engine.sandbox.binance_spot.depth_stream import DepthStream
from engine.sandbox.exchange import Exchange
from engine.sandbox.sockets import Socket
from engine.sandbox.tape import Tape, Trade

TURN_S: Final = 0.1
TURNS_A_SECOND: Final = 10
MOST_STREAMS: Final = 1024
METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_PARTIAL: Final = re.compile(r"^depth(5|10|20)(@100ms|@1000ms)?$")
_DIFF: Final = re.compile(r"^depth(@100ms|@1000ms)?$")
_KLINE: Final = re.compile(r"^kline_(\w+)$")


class Listener:
    """One connection to the streams. `is_combined`: events come wrapped in the stream's name."""

    def __init__(self, is_combined: bool) -> None:
        self.socket = Socket()
        self.is_combined = is_combined
        self.names: list[str] = []


class BadRequest(KeelError):
    """A message that is no request: the number and the sentence of the answer."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Streams:
    """All stream connections of the exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._by_stream: dict[str, set[Listener]] = {}
        self._pulses: dict[str, Callable[[], str | None]] = {}
        self._depths: dict[str, DepthStream] = {}
        exchange.on_quote.append(self._quoted)
        exchange.on_trade.append(self._traded)
        exchange.on_book.append(self._book_shown)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """``/ws``, ``/ws/<stream>[/<stream>...]``, ``/stream[?streams=<stream>/...]``."""
        is_combined = request.path.startswith("/stream")
        text = request.query.get("streams", "") if is_combined else request.match_info.get("names", "")
        one = Listener(is_combined)
        names = [name for name in text.split("/") if name]
        try:
            await one.socket.serve(request, lambda said: self._hear(one, said), lambda: self._subscribe(one, names))
        finally:
            self._unsubscribe(one, list(one.names))
        return one.socket.response

    # --- requests ---------------------------------------------------------------------------------

    def _hear(self, one: Listener, said: str) -> None:
        number: Any = None
        try:
            try:
                request = msgspec.json.decode(said)
            except msgspec.DecodeError as error:
                raise BadRequest(3, f"Invalid JSON: {error}") from None
            if not isinstance(request, dict) or not isinstance(request.get("method"), str):
                raise BadRequest(2, "Invalid request: missing field `method`")
            number = request.get("id")
            if not isinstance(number, int | str | None) or (isinstance(number, int) and number < 0):
                number = None
                raise BadRequest(2, "Invalid request: request ID must be an unsigned integer")
            result = self._do(one, request["method"], request.get("params") or [])
        except BadRequest as error:
            answer: dict[str, Any] = {"error": {"code": error.code, "msg": str(error)}}
            one.socket.send(_text(answer if number is None else answer | {"id": number}))
            return
        one.socket.send(_text({"result": result, "id": number}))

    def _do(self, one: Listener, method: str, params: Any) -> Any:
        if method not in METHODS:
            known = ", ".join(f"`{name}`" for name in METHODS)
            raise BadRequest(2, f"Invalid request: unknown variant `{method}`, expected one of {known}")
        if not isinstance(params, list):
            raise BadRequest(2, "Invalid request: params must be an array")
        if method == "LIST_SUBSCRIPTIONS":
            return list(one.names)
        if method.endswith("PROPERTY"):
            return self._property(one, method, params)
        if not all(isinstance(name, str) for name in params):
            raise BadRequest(2, "Invalid request: params must be strings")
        (self._subscribe if method == "SUBSCRIBE" else self._unsubscribe)(one, params)
        return None

    def _property(self, one: Listener, method: str, params: list[Any]) -> Any:
        if not params or params[0] != "combined":
            raise BadRequest(0, "Unknown property")
        if method == "GET_PROPERTY":
            return one.is_combined
        if len(params) != 2 or not isinstance(params[1], bool):
            raise BadRequest(1, "Invalid value type: expected Boolean")
        one.is_combined = params[1]
        return None

    def _subscribe(self, one: Listener, names: list[str]) -> None:
        if len({*one.names, *names}) > MOST_STREAMS:
            one.socket.close()
            return
        for name in names:
            if name not in one.names:
                one.names.append(name)
            self._by_stream.setdefault(name, set()).add(one)
            self._prepare(name)

    def _unsubscribe(self, one: Listener, names: list[str]) -> None:
        for name in names:
            if name not in one.names:
                continue
            one.names.remove(name)
            self._by_stream[name].discard(one)
            if not self._by_stream[name]:
                del self._by_stream[name]
                self._pulses.pop(name, None)
                self._depths.pop(name, None)

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

    # --- events -----------------------------------------------------------------------------------

    def _send(self, name: str, data: str) -> None:
        listeners = self._by_stream.get(name)
        if not listeners or self._exchange.faults.take("A15"):
            return
        for one in listeners:
            one.socket.send(f'{{"stream":"{name}","data":{data}}}' if one.is_combined else data)

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


def _text(document: Any) -> str:
    return msgspec.json.encode(document).decode()
