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
from engine.markets.crosses import synthesize_crosses, triangles
from engine.markets.dislocations import Dislocating, Dislocation, plan
from engine.markets.market import open_market
from engine.markets.synthetic import synthesize_ticks
from engine.sandbox.binance_spot.site import is_listed as is_binance_spot
from engine.sandbox.binance_spot.site import open_binance_spot
from engine.sandbox.binance_usdm.site import open_binance_usdm
from engine.sandbox.coinbase.site import is_listed as is_coinbase
from engine.sandbox.coinbase.site import open_coinbase
from engine.sandbox.control import Control
from engine.sandbox.recorded import open_raw
from engine.sandbox.replay import SECOND_NS, Replay
from engine.sandbox.site import Hall, Opening, Playable, Venue, open_sites

HOST: Final = "127.0.0.1"
SYNTHETIC_SYMBOLS: Final = (
    "BTC/USDT", "ETH/USDT", "AXO/USDT", "BREN/USDT", "BTC/USD", "ETH/USD", "BTC/USDT:USDT", "ETH/USDT:USDT",
)  # fmt: skip
CROSS_SYMBOLS: Final = (
    "BTC/USDT", "ETH/USDT", "ETH/BTC", "USDC/USDT", "BTC/USDC", "ETH/USDC", "EUR/USDT", "BTC/EUR", "ETH/EUR",
    "AXO/USDT", "BREN/USDT", "BTC/USDT:USDT", "ETH/USDT:USDT",
)  # fmt: skip
"""Of a synthetic market with dislocations."""

# name, what it lists of the market, how it is opened
VENUES: Final[tuple[Venue, ...]] = (
    Venue("binance_spot", is_binance_spot, open_binance_spot),
    Venue("binance_usdm", lambda one, market: one.kind == "perp", open_binance_usdm),
    Venue("coinbase", is_coinbase, open_coinbase),
)  # fmt: skip


@dataclass(frozen=True)
class SandboxOptions:
    """What to play and how. `speed` 0: by hand, through the control endpoint. `port` 0: any free ones, else this
    one for the first venue, the next for control, those behind for the other venues. `data` are market files, `raw`
    recorded messages of Binance; neither: a synthetic market of `seed` and `minutes`, whose pairs agree with each other
    where three of them join three assets, but for `dislocations`."""

    data: tuple[Path, ...] = ()
    raw: tuple[Path, ...] = ()
    symbols: tuple[str, ...] = ()
    speed: float = 1.0
    history_s: float = 600.0
    port: int = 0
    accounts: int = 1
    cash: float = 10_000.0
    seed: int = 1
    minutes: int = 60
    dislocations: Dislocating = Dislocating()


def open_sandbox_market(options: SandboxOptions) -> Playable:
    """The recorded market, or a synthetic one. Raises BadInput, BadData."""
    if options.raw and options.data:
        raise BadInput("raw, data: a market comes from raw messages or from market files; give one of them")
    if options.raw:
        return open_raw(options.raw, options.symbols)
    if options.data:
        return open_market(options.data, symbols=options.symbols or None)
    with tempfile.TemporaryDirectory() as folder:
        names = options.symbols or (CROSS_SYMBOLS if options.dislocations.per_minute else SYNTHETIC_SYMBOLS)
        make = synthesize_crosses if triangles(names) else synthesize_ticks
        return open_market(make(Path(folder), seed=options.seed, minutes=options.minutes, symbols=names))


def _dislocations(options: SandboxOptions, market: Playable) -> list[Dislocation]:
    """After the history, among the pairs that close a triangle. Raises BadInput: a recorded market is played as it
    was."""
    if options.dislocations.per_minute and not market.synthetic:
        raise BadInput("dislocations: a recorded market is played as it was; leave out --data, --raw or --dislocations")
    names = {name for three in triangles([one.symbol for one in market.instruments]) for name in three}
    begin = market.from_ns + round(options.history_s * SECOND_NS)
    return plan(sorted(names), options.dislocations, seed=options.seed, from_ns=begin, to_ns=market.to_ns)


class Sandbox:
    """A running sandbox. `start` returns what the start line says; `stop` ends it. `sites` are its venues."""

    def __init__(self, options: SandboxOptions, market: Playable | None = None) -> None:
        if not 1 <= options.accounts <= 100 or not 0 <= options.port <= 65_500:
            raise BadInput(f"accounts = {options.accounts} must lie in 1..100, port = {options.port} in 0..65500")
        self._options = options
        self._market = market or open_sandbox_market(options)
        opening = Opening(options.accounts, options.cash, options.seed, _dislocations(options, self._market))
        listed = open_sites(VENUES, self._market, opening)
        self.sites = {name: site for name, (site, _) in listed.items()}
        self.replay = Replay(self._market, Hall(self._market, listed), options.speed, options.history_s)
        self._runners: list[web.AppRunner] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> dict[str, Any]:
        """Listen and play. Raises Retryable where a port is taken."""
        control = Control(self.sites, self.replay).app()
        apps = [((name, part), app) for name, site in self.sites.items() for part, app in site.apps.items()]
        apps.insert(1, (("", "control"), control))
        ports = {}
        for k, (place, app) in enumerate(apps):
            ports[place] = await self._listen(app, self._options.port and self._options.port + k)
        works = [self.replay.run, *(work for site in self.sites.values() for work in site.tasks)]
        self._tasks = [asyncio.create_task(work()) for work in works]
        return self._start_line(ports)

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

    def _start_line(self, ports: dict[tuple[str, str], int]) -> dict[str, Any]:
        venues = {
            name: site.describe({part: f"{HOST}:{ports[name, part]}" for part in site.apps})
            for name, site in self.sites.items()
        }
        return {
            "simulated": True,
            "note": "SANDBOX: simulated exchange, no order, price or balance is real",
            "market": "synthetic" if self._market.synthetic else "recorded",
            "venues": venues,
            "control": f"http://{HOST}:{ports['', 'control']}",
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
