"""A wire between an engine and its exchange that can be cut, and on which a third voice can be heard."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

TEXT = 0x1


def frame(payload: bytes, claimed: int = -1, opcode: int = TEXT) -> bytes:
    """A server's websocket frame; `claimed` bytes where it is to lie about its length."""
    size = len(payload) if claimed < 0 else claimed
    head = bytes((0x80 | opcode,))
    if size < 126:
        return head + bytes((size,)) + payload
    return head + bytes((126,)) + struct.pack("!H", size) + payload


class Wire:
    """Forwards one address of a floor, on the floor's own loop."""

    def __init__(self, floor: Any, target: str) -> None:
        self._floor = floor
        self._port = int(urlsplit(target).port or 0)
        self._open: dict[asyncio.StreamWriter, bytes] = {}  # to the engine -> the path it asked for
        self._cut: bytes | None = None
        self._server = floor.run(asyncio.start_server(self._forward, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])

    def urls(self, line: Mapping[str, Any]) -> dict[str, str]:
        """The venue's addresses, through this wire."""
        return {
            name: urlsplit(value)._replace(netloc=f"127.0.0.1:{self.port}").geturl()
            for name, value in line.items()
            if isinstance(value, str) and "://" in value
        }

    def cut(self, path: bytes = b"") -> None:
        """Break every connection to `path`; new ones break too, until `mend`."""
        self._cut = path
        self._floor.run(self._abort(path))

    def mend(self) -> None:
        """Connections hold again."""
        self._cut = None

    def inject(self, path: bytes, data: bytes) -> int:
        """Say something to the engine on its connections to `path`; to how many."""
        return int(self._floor.run(self._say(path, data)))

    def drop(self, path: bytes) -> None:
        """Break the connections to `path`; new ones work."""
        self._floor.run(self._abort(path))

    def close(self) -> None:
        self.cut()
        self._floor.loop.call_soon_threadsafe(self._server.close)

    async def _say(self, path: bytes, data: bytes) -> int:
        told = [writer for writer, asked in self._open.items() if asked.startswith(path)]
        for writer in told:
            writer.write(data)
        return len(told)

    async def _abort(self, path: bytes) -> None:
        for writer, asked in list(self._open.items()):
            if asked.startswith(path):
                writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(65_536)
        asked = (first.split(b" ", 2) + [b"", b""])[1]
        if not first or (self._cut is not None and asked.startswith(self._cut)):
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._open[writer] = asked
        far_writer.write(first)
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        del self._open[writer]

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # cut
        finally:
            writer.close()
