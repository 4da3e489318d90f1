"""A Binance venue over the sandbox, with an inlet that writes everything down."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from engine.contracts.instruments import Instrument
from engine.contracts.records import (
    CANCEL,
    GTC,
    LIMIT_ORDER,
    MARKET,
    PLACE,
    RECORD,
    ROLE_ENTRY,
    ROLE_EXIT,
    ROLE_STOP,
    STOP_MARKET,
    as_dict,
)
from engine.store.redis_server import connect_redis
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.endpoints import Endpoints, MarketName, given
from engine.venues.binance.venue import open_binance
from engine.venues.limiter import RateLimiter
from engine.venues.port import Notice, Venue
from engine.venues.signing import Secret

sys.path.append(str(Path(__file__).parents[1] / "sandbox"))
from running_sandbox import Running  # noqa: E402
from running_usdm import RunningUsdm  # noqa: E402

__all__ = ["Recorder", "Rig", "Stand", "UsdmStand", "rigged"]
WAIT_S = 5.0
_IDS = itertools.count(int(time.time()) % 10**6 * 1000)


class _Counted(Running):
    """A running sandbox and a Redis to count requests in."""

    def __init__(self, home: Path, **options: Any) -> None:
        self._stack = ExitStack()
        self.redis = self._stack.enter_context(connect_redis(None, home))
        super().__init__(**options)

    def stop(self) -> None:
        super().stop()
        self._stack.close()


class Stand(_Counted):
    """Spot."""


class UsdmStand(_Counted, RunningUsdm):
    """Perpetuals."""


class Recorder:
    """An inlet that keeps everything as named integers; `until` waits for it."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.orders: list[dict[str, Any]] = []
        self.notices: list[Notice] = []
        self._news = asyncio.Event()

    def market(self, records: np.ndarray[Any, Any], count: int) -> None:
        self.heard += [as_dict(records[k]) for k in range(count)]
        self._news.set()

    def account(self, records: np.ndarray[Any, Any], count: int) -> None:
        self.orders += [as_dict(records[k]) for k in range(count)]
        self._news.set()

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)
        self._news.set()

    async def until(self, done: Callable[[], object], wait_s: float = WAIT_S) -> None:
        """Wait until something that arrives makes `done` true."""
        try:
            async with asyncio.timeout(wait_s):
                while not done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            lines = [*map(str, self.orders[-12:]), *map(str, self.notices[-12:])]
            raise AssertionError("it did not happen; heard last:\n" + "\n".join(lines)) from None

    def of(self, client_id: int) -> list[str]:
        """Kinds of the events of one order, in order."""
        return [str(event["kind"]) for event in self.orders if event.get("client_id") == client_id]

    def kinds(self) -> list[str]:
        return [str(event["kind"]) for event in self.heard]

    def told(self, kind: str) -> list[str]:
        """Texts of the notices of a kind."""
        return [notice.text for notice in self.notices if notice.kind == kind]


class Rig:
    """A running venue. `book` is the touch of instrument 0 (ticks)."""

    def __init__(self, venue: Venue, sandbox: _Counted, recorder: Recorder, instruments: Sequence[Instrument]) -> None:
        self.venue, self.sandbox, self.inlet, self.instruments = venue, sandbox, recorder, instruments

    def touch(self) -> tuple[int, int]:
        quote = next(e for e in reversed(self.inlet.heard) if e["kind"] == "quote" and e["instrument"] == 0)
        return int(quote["bid_ticks"]), int(quote["ask_ticks"])

    def place(self, side: int, lots: int, order_type: int = MARKET, **fields: Any) -> int:
        """Send a PLACE; returns its client id."""
        command = np.zeros(1, RECORD)[0]
        client_id = fields.pop("client_id", None) or next(_IDS)
        defaults = {"role": {STOP_MARKET: ROLE_STOP}.get(order_type, ROLE_ENTRY if side > 0 else ROLE_EXIT), "tif": GTC}
        values = {"kind": PLACE, "side": side, "qty_lots": lots, "order_type": order_type, "client_id": client_id}
        for name, value in (defaults | values | fields).items():
            command[name] = value
        self.venue.execution.send(command)
        return int(client_id)

    def limit(self, side: int, lots: int, price_ticks: int, **fields: Any) -> int:
        return self.place(side, lots, LIMIT_ORDER, price_ticks=price_ticks, **fields)

    def cancel(self, client_id: int, **fields: Any) -> None:
        command = np.zeros(1, RECORD)[0]
        for name, value in ({"kind": CANCEL, "client_id": client_id} | fields).items():
            command[name] = value
        self.venue.execution.send(command)

    async def events(self, client_id: int, *kinds: str) -> None:
        """Wait until the order's events are these, in this order."""
        await self.inlet.until(lambda: self.inlet.of(client_id) == list(kinds))

    async def has(self, client_id: int, kind: str) -> None:
        await self.inlet.until(lambda: kind in self.inlet.of(client_id))

    async def play_until(self, done: Callable[[], object], wait_s: float = 0.15) -> None:
        """Play on until something that arrives makes `done` true."""
        for _ in range(40):
            await asyncio.to_thread(self.sandbox.advance, 20)
            try:
                await self.inlet.until(done, wait_s)
                return
            except AssertionError:
                continue
        raise AssertionError("it did not happen")

    async def refresh(self) -> None:
        """Play on until a new quote of instrument 0 came."""
        seen = len(self.inlet.heard)
        await self.play_until(
            lambda: any(e["kind"] == "quote" and e["instrument"] == 0 for e in self.inlet.heard[seen:])
        )


@asynccontextmanager
async def rigged(
    sandbox: _Counted,
    market: MarketName = "spot",
    symbols: Sequence[str] = ("BTC/USDT", "ETH/USDT"),
    endpoints: Endpoints | None = None,
    account: int = 0,
    kind: str = "HMAC",
    runs: Sequence[str] = ("market", "execution"),
    prepare: Callable[[Venue], None] = lambda _: None,
    **options: Any,
) -> AsyncIterator[Rig]:
    """A venue whose parts run, once it is ready."""
    key, secret = sandbox.key(kind, account)
    where = endpoints or given(sandbox.line["venues"][f"binance_{market}"])
    sandbox.redis.blocking.flushall()
    client = sandbox.redis.asynchronous()
    limiter = RateLimiter(client, "test", f"account{account}")
    venue = open_binance(market, where, key, Secret(secret), limiter, ClientIds("keeltest"), **options)
    recorder = Recorder()
    instruments = await venue.market.load(symbols)
    prepare(venue)
    parts = [getattr(venue, part) for part in runs]
    tasks = [asyncio.create_task(part.run(instruments, recorder)) for part in parts]
    rig = Rig(venue, sandbox, recorder, instruments)
    try:
        if "execution" in runs:
            async with asyncio.timeout(WAIT_S):
                while not venue.execution.is_ready:
                    recorder._news.clear()
                    await asyncio.wait([asyncio.create_task(recorder._news.wait()), *tasks], timeout=0.05)
                    for task in tasks:
                        if task.done():
                            task.result()
        if "market" in runs:
            await rig.refresh()
        yield rig
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.aclose()
