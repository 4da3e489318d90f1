"""``trading-cli watchdog``: the process that watches the engine, and acts at the venues when it is silent."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.terminal import JsonOption, print_json, say
from engine.cli.words import Words
from engine.contracts.errors import BadInput, KeelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from engine.settings import Settings
    from engine.store.keys import KeyFile
    from engine.store.redis_server import LiveRedis

LIMITER_REPLY_S = 0.25


def watchdog(
    check: Annotated[bool, typer.Option("--check", help="Say whether it runs and lives: exit code 0, else 1.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Watch the engine of this home; `up` starts it by itself. It also serves the doors for an emergency.

    Where neither a file nor the keyring has the passphrase of the key file, its first line on stdin is it.

    Example: trading-cli watchdog
    """
    from engine import settings

    in_force = settings.load()
    if check:
        _check(in_force.home, as_json)
    else:
        _watch(in_force)


def _check(home: Path, as_json: bool) -> None:
    """For health checks: the process lives, and has shown it in the last seconds."""
    from engine.store.heartbeat import watchdog_state

    lives, words, pid = watchdog_state(home)
    if as_json:
        print_json({"alive": lives, "state": words, "pid": pid})
    else:
        print(words)
    if not lives:
        raise typer.Exit(1)


def _watch(settings: Settings) -> None:
    """Until SIGTERM. The first line on stdout is JSON, once it watches."""
    from engine.cli.servers import open_redis
    from engine.runtime.alerts import Alerts, read_urls
    from engine.runtime.doors import phone_link
    from engine.store.running import WATCHDOG as FILE
    from engine.store.running import WATCHING, clear_running, write_running

    settings.home.mkdir(parents=True, exist_ok=True)
    write_running(settings.home, WATCHING, settings.mode, list(settings.venues), FILE)
    with ExitStack() as stack:
        stack.callback(lambda: clear_running(settings.home, FILE) if settings.home.is_dir() else None)
        words = stack.enter_context(Words())
        link = phone_link(settings.home, settings.doors)
        alerts = stack.enter_context(Alerts(read_urls(settings.alerts.urls_file), words.say, link))
        open_keys = _keys(settings, words.say)
        live_redis: LiveRedis | None = None
        try:
            live_redis = stack.enter_context(open_redis(settings))
        except KeelError as error:
            say(f"no Redis: {error}; the heartbeat file alone tells whether the engine lives")
        asyncio.run(_run(settings, live_redis, open_keys, alerts, words.say))


def _keys(settings: Settings, tell: Callable[[str], None]) -> Callable[[], KeyFile]:
    """The key file, its passphrase found once; says which key acts where. Raises BadInput where one is missing."""
    from pydantic import SecretStr

    from engine.cli.stand_in import whose_keys
    from engine.store.keys import KeyFile
    from engine.store.passphrase import find_passphrase

    def typed() -> SecretStr:
        return SecretStr(sys.stdin.readline().rstrip("\n"))

    def none() -> KeyFile:
        raise BadInput(f"mode = {settings.mode}: no key is opened, nothing of ours is at a venue")

    if settings.mode != "live":
        return none
    file = KeyFile(settings.home, find_passphrase(settings.passphrase_file, settings.home, typed))
    tell(f"watchdog: acts at {whose_keys(settings, file.read())}; policy {settings.watchdog.policy}")
    return lambda: file


async def _run(
    settings: Settings, live_redis: LiveRedis | None, open_keys: Callable[[], KeyFile], alerts: object,
    tell: Callable[[str], None],
) -> None:  # fmt: skip
    import redis.asyncio

    from engine.cli.stand_in import open_stand_ins
    from engine.runtime.alerts import Alerts
    from engine.runtime.doors import open_doors
    from engine.runtime.systemd import Systemd
    from engine.runtime.watchdog import Watchdog
    from engine.settings import environment

    assert isinstance(alerts, Alerts)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    systemd = Systemd(environment().get("NOTIFY_SOCKET"))
    async with AsyncExitStack() as stack:
        clients = [
            live_redis.asynchronous(LIMITER_REPLY_S)
            if live_redis
            else redis.asyncio.Redis(unix_socket_path="/dev/null")
            for _ in range(2)
        ]
        for client in clients:
            stack.push_async_callback(client.aclose)
        try:
            address = await stack.enter_async_context(open_doors(settings.home, settings.doors))
            tell(f"doors for an emergency: {address}" if address else "no doors: doors.port is 0")
        except KeelError as error:
            tell(f"doors: {error}; the watchdog goes on without them")
        dog = Watchdog(
            settings.home, settings.mode, settings.watchdog, clients[0] if live_redis else None,
            partial(open_stand_ins, settings, clients[1], open_keys), alerts, tell, systemd,
        )  # fmt: skip
        print(json.dumps({"watchdog": settings.mode, "home": str(settings.home)}), flush=True)
        systemd.ready()
        await dog.run(stopped)
        systemd.stopping()
