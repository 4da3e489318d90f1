"""One client's websocket: what is to be sent waits in a queue, so that nobody waits for a slow client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import WSMsgType, web

MOST_WAITING: Final = 50_000
"""Messages that may wait; a client further behind is disconnected, as the exchange does."""
PING_S: Final = 20.0


class Socket:
    """A connected client. `send` never blocks."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue()
        self._ws = web.WebSocketResponse(heartbeat=PING_S, compress=False)
        self._transport: asyncio.Transport | None = None

    def send(self, text: str) -> None:
        """Put a message on its way."""
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put_nowait(text)
        else:
            self.close()

    def close(self) -> None:
        """Say goodbye once everything before it is sent."""
        self._waiting.put_nowait(None)

    def abort(self) -> None:
        """Cut the connection without a goodbye."""
        if self._transport is not None:
            self._transport.abort()

    async def serve(self, request: web.Request, hear: Callable[[str], None], greet: Callable[[], None]) -> None:
        """Talk until either side ends it: `greet` once connected, then `hear` each text message."""
        await self._ws.prepare(request)
        self._transport = request.transport
        greet()
        writing = asyncio.create_task(self._write())
        try:
            async for message in self._ws:
                if message.type == WSMsgType.TEXT:
                    hear(message.data)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    @property
    def response(self) -> web.WebSocketResponse:
        """What the HTTP handler returns in the end."""
        return self._ws

    async def _write(self) -> None:
        while (text := await self._waiting.get()) is not None and not self._ws.closed:
            try:
                await self._ws.send_str(text)
            except ConnectionError:
                return
        await self._ws.close()
