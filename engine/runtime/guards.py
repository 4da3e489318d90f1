"""What stands beside a running engine: its sign of life, the emergency, and what tells people."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from engine.contracts.errors import Fatal
from engine.core.orders import TRADING_STATES
from engine.core.state import Core
from engine.runtime.alerts import Alerts
from engine.runtime.emergency import Emergency
from engine.runtime.service import Service
from engine.runtime.telling import Telling
from engine.store.heartbeat import EVERY_S, write_beat
from engine.venues.port import Notice


def guard(service: Service, called: asyncio.Event, alerts: Alerts) -> None:
    """Keep them while the service runs. `called` is set by SIGUSR1."""
    plan = service.plan
    telling = Telling(alerts, plan.world)
    service.showing.listeners.append(telling)
    emergency = Emergency(
        plan.home, service.engine, [venue for venue, _ in plan.venues], service.core.instruments, alerts,
        service.notice, called,
    )  # fmt: skip
    service.keep("engine", "the emergency", emergency.run)
    run = service.manifest.run_id
    service.keep("engine", "the sign of life", lambda: show_life(plan.home, run, service.core, service.notice))


async def show_life(home: Path, run: str, core: Core, notice: Callable[[Notice], None]) -> None:
    """A heartbeat in the home folder every second, until cancelled; that it cannot be written is told once."""
    seq, trouble = 0, ""
    while True:
        seq += 1
        try:
            write_beat(home, run, seq, TRADING_STATES[int(core.state.head[0].trading_state)])
            trouble = ""
        except Fatal as error:
            if str(error) != trouble:
                trouble = str(error)
                notice(Notice("engine", "lost", f"no sign of life for the watchdog: {trouble}"))
        await asyncio.sleep(EVERY_S)
