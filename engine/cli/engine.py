"""``trading-cli engine``: the engine's own process, started by `up`; everything around it is the starter's."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack

from engine.cli.terminal import say
from engine.contracts.errors import KeelError


def engine() -> None:
    """Run the engine in this process until SIGTERM. Its first line on stdout is JSON: the run and where it is written.

    Example: trading-cli engine
    """
    import uvloop

    from engine import bootstrap, settings
    from engine.cli.keys import open_keys
    from engine.runtime.process import serve
    from engine.store.redis_server import LiveRedis, connect_redis

    in_force = settings.load()
    with ExitStack() as stack:
        live_redis: LiveRedis | None = None
        try:
            url = in_force.redis_url.get_secret_value() if in_force.redis_url else None
            live_redis = stack.enter_context(connect_redis(url, in_force.home))
        except KeelError as error:
            say(f"no Redis: {error}; trading goes on, nobody can look or command")

        async def run() -> None:
            async with bootstrap.live_plan(in_force, live_redis, lambda: open_keys(in_force)) as plan:
                await serve(plan, live_redis, asyncio.Event(), say, lambda line: print(json.dumps(line), flush=True))

        uvloop.run(run())
