"""One client's websocket. Messages are framed here and leave in batches, one write for all that was said in a turn of
the loop: a write for each would be most of the work at fifty thousand messages a second. Nobody waits for a slow
client; one that falls too far behind is disconnected, as the exchange does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import WSMsgType, web

MOST_WAITING_BYTES: Final = 32 << 20
PING_S: Final = 20.0
_TEXT: Final = 0x81
"""First byte of a whole, unmasked text frame (RFC 6455)."""


class Socket:
    """A connected client. `send` never blocks; `flush` sends at once what waits."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._ws = web.WebSocketResponse(heartbeat=PING_S, compress=False)
        self._transport: asyncio.Transport | None = None
        self._is_flush_due = self._is_ending = False
        self._ended: asyncio.Task[bool] | None = None

    def send(self, text: str) -> None:
        """Put a message on its way."""
        if self._is_ending:
            return
        payload = text.encode()
        size = len(payload)
        if size < 126:
            head = bytes((_TEXT, size))
        elif size < 65_536:
            head = bytes((_TEXT, 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((_TEXT, 127)) + size.to_bytes(8, "big")
        self._frames.append(head + payload)
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write everything that waits."""
        self._is_flush_due = False
        transport = self._transport
        if not self._frames or transport is None:
            return
        frames, self._frames = self._frames, []
        if transport.is_closing() or self._ws.closed:
            return
        transport.write(b"".join(frames))
        if transport.get_write_buffer_size() > MOST_WAITING_BYTES:
            self.abort()

    def close(self) -> None:
        """Say goodbye once everything before it is sent."""
        self.flush()
        self._is_ending = True
        self._ended = asyncio.get_running_loop().create_task(self._ws.close())

    def abort(self) -> None:
        """Cut the connection without a goodbye."""
        self._is_ending = True
        if self._transport is not None:
            self._transport.abort()

    async def serve(self, request: web.Request, hear: Callable[[str], None], greet: Callable[[], None]) -> None:
        """Talk until either side ends it: `greet` once connected, then `hear` each text message."""
        await self._ws.prepare(request)
        self._transport = request.transport
        greet()
        async for message in self._ws:
            if message.type == WSMsgType.TEXT:
                hear(message.data)
        self._is_ending = True

    @property
    def response(self) -> web.WebSocketResponse:
        """What the HTTP handler returns in the end."""
        return self._ws
