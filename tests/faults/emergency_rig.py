"""A trading engine with its emergency wired as in the engine's process: signal, running file, alerts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from engine_rig import Floor, Trading, trading
from pydantic import SecretStr

from engine.contracts import reasons
from engine.contracts import records as r
from engine.runtime import emergency
from engine.runtime.alerts import Alert, Alerts
from engine.store import emergency_file
from engine.store.emergency_file import Progress
from engine.store.keys import KeyFile
from engine.store.redis_server import connect_redis, stop_redis
from engine.store.running import clear_running, write_running
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.endpoints import given
from engine.venues.binance.venue import open_binance
from engine.venues.limiter import RateLimiter
from engine.venues.port import Venue
from engine.venues.signing import Secret

ROOT: Final = Path(__file__).resolve().parents[2]
NOWHERE: Final = {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d", "REDIS_URL": "redis://127.0.0.1:1/0"}
"""PostgreSQL and Redis that are down."""
WAIT_S: Final = 15.0


class Heard(Alerts):
    """Alerts without a channel, and everything that was put."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.alerts: list[Alert] = []
        super().__init__([], self.said.append)

    def put(self, alert: Alert) -> None:
        self.alerts.append(alert)
        super().put(alert)


class Alarmed:
    """`running` as a person in an emergency sees it."""

    def __init__(self, running: Trading, home: Path, alerts: Heard, made: emergency.Emergency) -> None:
        self.running, self.home, self.alerts, self.made = running, home, alerts, made

    def told(self) -> Progress | None:
        return emergency_file.progress(self.home)

    async def until_told(self, done: Callable[[Progress], object], wait_s: float = WAIT_S) -> Progress:
        """Wait for a word that makes `done` true."""
        try:
            async with asyncio.timeout(wait_s):
                while (told := self.told()) is None or not done(told):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError("\n".join([str(self.told()), *self.running.story()])) from None
        return told

    async def flat(self) -> Progress:
        async with asyncio.timeout(WAIT_S):
            while (request := emergency_file.pending(self.home)) is None:
                await asyncio.sleep(0.01)
        return await self.until_told(lambda told: told.flat and told.answers(request))

    async def alerts_over(self, key: str) -> None:
        """Nobody is told again about `key`."""
        async with asyncio.timeout(WAIT_S):
            while key in self.alerts._standing:
                await asyncio.sleep(0.01)

    async def cli(self, *words: str) -> tuple[int, dict[str, Any], str]:
        """`trading-cli` in a process of its own: exit code, JSON, what it said."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "engine.cli.main", *words, "--json", cwd=self.home.parent,
            env=os.environ | NOWHERE | {"KEEL_HOME": str(self.home), "PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, said = await process.communicate()
        assert process.returncode is not None
        return process.returncode, json.loads(out), said.decode()

    def resume(self) -> None:
        """As a person's `resume` does it."""
        event = np.zeros(1, r.RECORD)
        event["kind"], event["instrument"], event["reason"] = r.OPERATOR, r.NO_INSTRUMENT, reasons.OPERATOR_RESUME
        event["ts_ns"] = time.time_ns()
        self.running.service.engine.inject(event)
        emergency_file.clear(self.home)


@asynccontextmanager
async def alarmed(floor: Floor, home: Path, number: int = 0, **options: Any) -> AsyncIterator[Alarmed]:
    """An engine on the floor whose emergency waits behind every door."""
    called = emergency.hear_signal()
    loop = asyncio.get_running_loop()
    with Heard() as alerts:
        try:
            async with trading(floor, home, number, **options) as running:
                service = running.service
                venues = [venue for venue, _ in service.plan.venues]
                made = emergency.Emergency(
                    home, service.engine, venues, running.core.instruments, alerts, service.notice, called
                )
                write_running(home, service.manifest.run_id, "live", [venue.name for venue in venues])
                service.keep("engine", "the emergency", made.run)
                yield Alarmed(running, home, alerts, made)
        finally:
            clear_running(home)
            loop.remove_signal_handler(signal.SIGUSR1)


class Aid:
    """A Redis of its own, and Binance spot on the floor with its limiter there, until it is stopped."""

    def __init__(self, floor: Floor, home: Path, number: int) -> None:
        self._floor, self._home, self._number = floor, home, number

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._live = self._stack.enter_context(connect_redis(None, self._home))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def venues(self, urls: dict[str, str] | None = None) -> list[tuple[Venue, tuple[str, ...]]]:
        line = self._floor.line["venues"]["binance_spot"]
        own = line["accounts"][self._number]
        limiter = RateLimiter(self._live.asynchronous(0.25), "sandbox", f"account{self._number}")
        ids = ClientIds(f"t{self._number}")
        venue = open_binance(
            "spot", given(urls or line), own["key"], Secret(own["secret"]), limiter, ids, name="sandbox", answer_s=0.5
        )
        return [(venue, (list(self._floor.mid)[self._number],))]

    async def stop(self) -> None:
        """Redis is gone."""
        assert await asyncio.to_thread(stop_redis, self._home)


def set_up(floor: Floor, home: Path, number: int, symbol: str) -> None:
    """What a person has beside a live engine: a settings file and a stored key."""
    line = floor.line["venues"]["binance_spot"]
    own = line["accounts"][number]
    passphrase = home.parent / "passphrase"
    passphrase.write_text("correct horse")
    passphrase.chmod(0o600)
    KeyFile(home, SecretStr("correct horse")).add(
        "own", "binance", SecretStr(own["key"]), SecretStr(own["secret"]), None
    )
    urls = ", ".join(f'{name} = "{line[name]}"' for name in ("rest", "ws", "ws_api"))
    (home.parent / "keel.toml").write_text(
        f'mode = "live"\npassphrase_file = "{passphrase}"\n[venues.sandbox]\nexchange = "binance"\n'
        f'symbols = ["{symbol}"]\nkey = "own"\nurls = {{ {urls} }}\n'
    )


def symbols(floor: Floor, count: int) -> Sequence[str]:
    return tuple(floor.mid)[:count]
