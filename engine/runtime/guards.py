"""What stands beside a running engine: sign of life, emergency, the venues' countdown, and what tells people."""

from __future__ import annotations

import asyncio

from engine.core.orders import TRADING_STATES
from engine.runtime.alerts import Alerts
from engine.runtime.beating import beat_on
from engine.runtime.countdown import Countdown
from engine.runtime.emergency import Emergency
from engine.runtime.service import Service
from engine.runtime.telling import Telling


def guard(service: Service, called: asyncio.Event, alerts: Alerts) -> None:
    """Keep them while the service runs. `called` is set by SIGUSR1."""
    plan = service.plan
    telling = Telling(alerts, plan.world)
    service.showing.listeners.append(telling)
    venues = [venue for venue, _ in plan.venues]
    emergency = Emergency(
        plan.home, service.engine, venues, service.core.instruments, alerts, service.notice, called
    )
    service.keep("engine", "the emergency", emergency.run)
    countdown = Countdown(service.core, venues, plan.countdown_s, service.notice)
    if countdown.is_needed:
        service.keep("engine", "the venues' countdown", countdown.run)
    run = service.manifest.run_id
    head = service.core.state.head[0]
    service.keep(
        "engine", "the sign of life", lambda: beat_on(plan.home, run, lambda: TRADING_STATES[int(head.trading_state)])
    )
