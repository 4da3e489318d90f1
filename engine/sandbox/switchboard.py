"""Who listens to which streams of a venue: raw and combined connections, subscriptions, requests over the socket.

What a stream says and when is its venue's business: `_prepare` is called when a stream gets its first listener,
`_forget` when it lost its last, `_send` tells all its listeners.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

from engine.contracts.errors import KeelError
from engine.sandbox.faults import Faults
from engine.sandbox.sockets import Socket

MOST_STREAMS: Final = 1024
METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


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


class Switchboard:
    """All stream connections of one kind."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._by_stream: dict[str, set[Listener]] = {}
        self._listeners: set[Listener] = set()

    def flush(self) -> None:
        """Write out now what was said, not at the loop's next turn."""
        for one in self._listeners:
            one.socket.flush()

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """``/ws``, ``/ws/<stream>[/<stream>...]``, ``/stream[?streams=<stream>/...]``, under whatever path."""
        is_combined = request.path.endswith("/stream")
        text = request.query.get("streams", "") if is_combined else request.match_info.get("names", "")
        one = Listener(is_combined)
        names = [name for name in text.split("/") if name]
        self._listeners.add(one)
        try:
            await one.socket.serve(request, lambda said: self._hear(one, said), lambda: self._subscribe(one, names))
        finally:
            self._listeners.discard(one)
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
                self._forget(name)

    def _prepare(self, name: str) -> None:
        """A stream is listened to; names of nothing are accepted and stay silent."""

    def _forget(self, name: str) -> None:
        """Nobody listens to a stream any more."""

    def _send(self, name: str, data: str) -> None:
        """Tell all listeners of a stream, unless A15 keeps it mute."""
        listeners = self._by_stream.get(name)
        if not listeners or self._faults.take("A15"):
            return
        for one in listeners:
            one.socket.send(f'{{"stream":"{name}","data":{data}}}' if one.is_combined else data)


def _text(document: Any) -> str:
    return msgspec.json.encode(document).decode()
