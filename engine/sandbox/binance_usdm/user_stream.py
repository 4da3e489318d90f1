"""The user streams under ``/private``, by listen key."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from aiohttp import web

from engine.sandbox.binance_usdm.shapes import event
from engine.sandbox.futures import Futures
from engine.sandbox.sockets import Socket
from engine.sandbox.traders import Told, Trader

TURN_S: Final = 0.1


class _Request(msgspec.Struct):
    method: str
    id: int | str | None = None


def _asked(said: str) -> int | str | None:
    """Id of a question for the subscriptions; everything else said on these streams is heard in silence."""
    try:
        request = msgspec.json.decode(said, type=_Request)
    except msgspec.MsgspecError:
        return None
    return request.id if request.method == "LIST_SUBSCRIPTIONS" else None


class UserStreams:
    """All connections to user data. The listen key stands in the path, or in `listenKey` or `streams`."""

    def __init__(self, futures: Futures) -> None:
        self._futures = futures
        self._sockets: dict[int, list[Socket]] = {}

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """``/private/ws/<key>``, ``/private/ws?listenKey=<key>``, ``/private/stream?streams=<key>``."""
        is_combined = request.path.endswith("/stream")
        query = request.query
        key = request.match_info.get("key") or query.get("listenKey") or query.get("streams", "")
        socket, trader = Socket(), self._owner(key)

        def told(one: Told) -> None:
            if trader is None or trader.listen_key != key:
                return
            text = msgspec.json.encode(event(self._futures, trader, one)).decode()
            socket.send(f'{{"stream":"{key}","data":{text}}}' if is_combined else text)

        def greet() -> None:
            if trader is not None:  # a connection with a wrong key stays open and silent
                trader.listeners.append(told)
                self._sockets.setdefault(trader.number, []).append(socket)

        def answer(said: str) -> None:
            asked = _asked(said)
            if trader is not None and asked is not None:
                socket.send(msgspec.json.encode({"result": [key], "id": asked}).decode())

        try:
            await socket.serve(request, answer, greet)
        finally:
            if trader is not None and told in trader.listeners:
                trader.listeners.remove(told)
                self._sockets[trader.number].remove(socket)
        return socket.response

    def _owner(self, key: str) -> Trader | None:
        now = self._futures.clock.now_ms()
        valid = (one for one in self._futures.accounts.all if one.listen_key == key and now < one.listen_until_ms)
        return next(valid, None) if key else None

    def cut(self, trader: Trader) -> None:
        """Cut a customer's connections without a goodbye."""
        for socket in self._sockets.get(trader.number, []):
            socket.abort()
        trader.listeners.clear()

    async def run(self) -> None:
        """What happens because time passes; listen keys that ran out say so once."""
        while True:
            await asyncio.sleep(TURN_S)
            self._futures.on_clock()
            now = self._futures.clock.now_ms()
            for trader in self._futures.accounts.all:
                if trader.listen_key and now >= trader.listen_until_ms:
                    ended = {"e": "listenKeyExpired", "E": now, "listenKey": trader.listen_key}
                    trader.listen_key = ""
                    for socket in self._sockets.get(trader.number, []):
                        socket.send(msgspec.json.encode(ended).decode())
                        socket.close()
