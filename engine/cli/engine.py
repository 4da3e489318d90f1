"""``trading-cli engine``: the engine's own process, started by `up`; everything around it is the starter's."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.terminal import say
from engine.cli.words import Words
from engine.contracts.errors import KeelError, Refused

if TYPE_CHECKING:
    from engine.settings import Settings
    from engine.store.keys import KeyFile
    from engine.store.redis_server import LiveRedis


def engine(
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not go on where the last run ended.")] = False,
) -> None:
    """Run the engine in this process until SIGTERM. Its first line on stdout is JSON: the run and where it is written.

    What a person typed comes on stdin, a line each: with mode = live the confirmation first, then the passphrase of
    the key file where neither a file nor the keyring has it.

    Example: trading-cli engine
    """
    import uvloop

    from engine import bootstrap, settings
    from engine.cli.servers import open_redis
    from engine.cli.up import LIVE_WORDS
    from engine.runtime.alerts import Alerts, read_urls
    from engine.runtime.doors import phone_link
    from engine.runtime.process import serve

    in_force = settings.load()
    if in_force.mode == "live" and sys.stdin.readline().strip() != LIVE_WORDS:
        raise Refused("mode = live is started by `trading-cli up`, where a person confirms it by typing")
    with ExitStack() as stack:
        live_redis: LiveRedis | None = None
        try:
            live_redis = stack.enter_context(open_redis(in_force))
        except KeelError as error:
            say(f"no Redis: {error}; trading goes on, nobody can look or command")

        async def run() -> None:
            async with bootstrap.live_plan(in_force, live_redis, lambda: _open_keys(in_force), fresh) as plan:
                await serve(plan, live_redis, asyncio.Event(), words.say, print_line, alerts)

        words = stack.enter_context(Words())
        link = phone_link(in_force.home, in_force.doors)
        alerts = stack.enter_context(Alerts(read_urls(in_force.alerts.urls_file), words.say, link))
        uvloop.run(run())


def print_line(document: dict[str, str]) -> None:
    """The first line on stdout, on which whoever started this waits."""
    print(json.dumps(document), flush=True)


def _open_keys(settings: Settings) -> KeyFile:
    from pydantic import SecretStr

    from engine.store.keys import KeyFile
    from engine.store.passphrase import find_passphrase

    def typed() -> SecretStr:
        return SecretStr(sys.stdin.readline().rstrip("\n"))

    return KeyFile(settings.home, find_passphrase(settings.passphrase_file, settings.home, typed))
