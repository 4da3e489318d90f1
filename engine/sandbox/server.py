"""Everything together: opens the market, listens on 127.0.0.1, says in one JSON line where, and plays."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from engine.contracts.errors import BadInput, Retryable
from engine.markets.market import Market, open_market
from engine.markets.synthetic import synthesize_ticks
from engine.sandbox.binance_spot.site import binance_spot_app, binance_spot_streams
from engine.sandbox.clock import Clock
from engine.sandbox.control import Control
from engine.sandbox.exchange import Exchange
from engine.sandbox.replay import Replay

HOST: Final = "127.0.0.1"
SYNTHETIC_SYMBOLS: Final = ("BTC/USDT", "ETH/USDT", "AXO/USDT", "BREN/USDT")


@dataclass(frozen=True)
class SandboxOptions:
    """What to play and how. `speed` 0: by hand, through the control endpoint. `port` 0: any free one, else this
    one for the exchange and the next for control. No `data`: a synthetic market of `seed` and `minutes`."""

    data: tuple[Path, ...] = ()
    symbols: tuple[str, ...] = ()
    speed: float = 1.0
    history_s: float = 600.0
    port: int = 0
    accounts: int = 1
    cash: float = 10_000.0
    seed: int = 1
    minutes: int = 60


def open_sandbox_market(options: SandboxOptions) -> Market:
    """The recorded market, or a synthetic one. Raises BadInput, BadData."""
    if options.data:
        return open_market(options.data, symbols=options.symbols or None)
    with tempfile.TemporaryDirectory() as folder:
        names = options.symbols or SYNTHETIC_SYMBOLS
        files = synthesize_ticks(Path(folder), seed=options.seed, minutes=options.minutes, symbols=names)
        return open_market(files)


class Sandbox:
    """A running sandbox. `start` returns what the start line says; `stop` ends it."""

    def __init__(self, options: SandboxOptions, market: Market | None = None) -> None:
        if not 1 <= options.accounts <= 100 or not 0 <= options.port <= 65_534:
            raise BadInput(f"accounts = {options.accounts} must lie in 1..100, port = {options.port} in 0..65534")
        self._options = options
        self._market = market or open_sandbox_market(options)
        self.exchange = Exchange(self._market.instruments, Clock(), options.accounts, options.cash)
        self.replay = Replay(self._market, self.exchange, options.speed, options.history_s)
        self._runners: list[web.AppRunner] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> dict[str, Any]:
        """Listen and play. Raises Retryable where a port is taken."""
        streams = binance_spot_streams(self.exchange)
        options = self._options
        venue = await self._listen(binance_spot_app(self.exchange, streams), options.port)
        control = await self._listen(Control(self.exchange, self.replay).app(), options.port and options.port + 1)
        self._tasks = [asyncio.create_task(self.replay.run()), asyncio.create_task(streams.run())]
        return self._start_line(venue, control)

    async def _listen(self, app: web.Application, port: int) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        self._runners.append(runner)
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError as error:
            await self.stop()
            raise Retryable(f"port {port} on {HOST} cannot be used ({error.strerror}); choose another or 0") from None
        return int(runner.addresses[0][1])

    def _start_line(self, venue: int, control: int) -> dict[str, Any]:
        accounts = [
            {
                "account": account.number,
                "key": account.keys[0].api_key,
                "secret": account.keys[0].secret,
                "keys": [{"type": k.kind, "key": k.api_key, "secret": k.secret} for k in account.keys],
            }
            for account in self.exchange.accounts.all
        ]
        return {
            "simulated": True,
            "note": "SANDBOX: simulated exchange, no order, price or balance is real",
            "market": "synthetic" if self._market.synthetic else "recorded",
            "venues": {
                "binance_spot": {
                    "rest": f"http://{HOST}:{venue}",
                    "ws": f"ws://{HOST}:{venue}",
                    "ws_api": f"ws://{HOST}:{venue}/ws-api/v3",
                    "symbols": list(self.exchange.by_name),
                    "accounts": accounts,
                }
            },
            "control": f"http://{HOST}:{control}",
        }

    async def until_over(self) -> None:
        """Wait until all of the market has been played (at `speed` 0 at once)."""
        await asyncio.wait(self._tasks[:1])

    async def stop(self) -> None:
        """Stop playing and listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for runner in self._runners:
            await runner.cleanup()
        self._tasks, self._runners = [], []


async def serve(sandbox: Sandbox, stopped: asyncio.Event) -> None:
    """Run until `stopped`, after one JSON line on stdout."""
    line = await sandbox.start()
    print(json.dumps(line), flush=True)
    try:
        await stopped.wait()
    finally:
        await sandbox.stop()


