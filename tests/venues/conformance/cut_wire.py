"""A wire between a venue and its exchange that can be cut: forwards bytes, knows nothing of what they mean."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from conformance_subjects import Stage


class Wire:
    """Forwards one address of the sandbox. Lives on the sandbox's loop."""

    def __init__(self, stage: Stage, target: str) -> None:
        self._stage = stage
        self._host, self._port = "127.0.0.1", int(target.rpartition(":")[2])
        self._open: set[asyncio.StreamWriter] = set()
        self._server = stage.run(asyncio.start_server(self._forward, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        self._open |= {writer, far_writer}
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        self._open -= {writer, far_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # cut
        finally:
            writer.close()

    def cut(self) -> None:
        """Break every connection; new ones work."""

        async def abort() -> None:
            for writer in list(self._open):
                writer.transport.abort()

        self._stage.run(abort())

    def close(self) -> None:
        self.cut()
        self._stage.loop.call_soon_threadsafe(self._server.close)

    def urls(self, line: Mapping[str, object]) -> dict[str, str]:
        """The venue's addresses, through this wire."""
        found = {}
        for name, value in line.items():
            if isinstance(value, str) and "://" in value:
                parts = urlsplit(value)
                found[name] = parts._replace(netloc=f"127.0.0.1:{self.port}").geturl()
        return found
