"""The engine as a process: a service with its live view, its control channel and its place in the home folder."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from engine.contracts.errors import Fatal
from engine.runtime.adoption import adoption
from engine.runtime.alerts import Alerts
from engine.runtime.emergency import hear_signal
from engine.runtime.guards import guard
from engine.runtime.people import People
from engine.runtime.service import LivePlan, Service, start
from engine.store.heartbeat import clear_beat
from engine.store.liveview import LiveWriter
from engine.store.redis_server import LiveRedis
from engine.store.running import STARTING, clear_running, write_running
from engine.venues.background import reason_of


async def serve(
    plan: LivePlan,
    live_redis: LiveRedis | None,
    stopped: asyncio.Event,
    progress: Callable[[str], None] = lambda _text: None,
    ready: Callable[[dict[str, str]], None] = lambda _line: None,
    alerts: Alerts | None = None,
) -> Path:
    """Run until `stopped` (or SIGINT, SIGTERM); returns the run folder. Without Redis it trades all the same, unseen.
    `ready` is told once, when everything runs: run, run_dir, world. `alerts` (entered) reach a person; without any,
    `progress` is all there is.

    Raises what `service.start` raises, and Refused while another engine runs in this home.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    called = hear_signal()
    names = [venue.name for venue, _ in plan.venues]
    write_running(plan.home, STARTING, plan.world, names)  # before anything is asked of a venue
    try:
        service = await start(plan, progress)
        try:
            write_running(plan.home, service.manifest.run_id, plan.world, names)
            guard(service, called, alerts or Alerts([], progress))
            async with _seen(service, live_redis):
                progress(f"running: {service.manifest.run_id}")
                ready({"run": service.manifest.run_id, "run_dir": str(service.run_dir), "world": plan.world})
                with _undisturbed():
                    await _first(stopped, service.engine.broken)
                progress("stopping")
        finally:
            await service.stop()
    finally:
        for venue, _ in plan.venues:
            await venue.close()
        clear_running(plan.home)
        clear_beat(plan.home)
    if service.engine.broken.done():
        why = reason_of(service.engine.broken.exception())
        raise Fatal(f"the engine stopped in the midst of a turn: {why}; this is a defect, {service.run_dir} shows it")
    return service.run_dir


async def _first(stopped: asyncio.Event, broken: asyncio.Future[None]) -> None:
    """Wait for whichever comes first."""
    asked = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait((asked, broken), return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()


@asynccontextmanager
async def _seen(service: Service, live_redis: LiveRedis | None) -> AsyncIterator[None]:
    """Show the engine and listen to people while it runs."""
    if live_redis is None:
        service.keep("engine", "the look at itself", lambda: service.showing.show_on(service.engine, None))
        yield
        return
    client, ears = live_redis.asynchronous(), live_redis.asynchronous()
    view = LiveWriter(client, service.manifest.run_id)
    people = People(
        ears, service.manifest.run_id, service.core, service.engine.inject, service.engine.now_ns, service.plan.rekey,
        lambda name, stop: adoption(service.core, service.reconciler.foreign_positions, name, stop),
    )  # fmt: skip
    service.keep("engine", "the live view", view.write_on)
    service.keep("engine", "the look at itself", lambda: service.showing.show_on(service.engine, view))
    service.keep("engine", "the control channel", people.listen)
    try:
        yield
        service.showing.show(service.engine, view)
        await view.flush()
    finally:
        await client.aclose()
        await ears.aclose()


class _undisturbed:
    """Python's cycle collector off the tick path: what start-up made stays, young garbage only is looked through."""

    def __enter__(self) -> None:
        gc.collect()
        gc.freeze()
        self._before = gc.get_threshold()
        gc.set_threshold(50_000, 20, 100)

    def __exit__(self, *_: object) -> None:
        gc.set_threshold(*self._before)
        gc.unfreeze()
