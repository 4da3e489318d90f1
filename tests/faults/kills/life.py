"""One life: the whole engine in the live world, until it is killed."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import redis.asyncio
import uvloop
from fates import FROM_OUTSIDE, Fate
from hooks import Trap, hurry, install

from engine.core import life as states
from engine.core.cycle_state import STAGES
from engine.core.limits import Limits
from engine.core.orders import TRADING_STATES
from engine.journal import segments
from engine.journal.recovery import last_run, recover_run
from engine.runtime import process
from engine.runtime.process import serve
from engine.runtime.service import LivePlan, Service, start
from engine.store.redis_server import LiveRedis
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.endpoints import given
from engine.venues.binance.venue import open_binance
from engine.venues.budgets import BUDGETS
from engine.venues.limiter import RateLimiter
from engine.venues.signing import Secret

FAR: Final = Limits(
    trade_loss_usd=1e6, trade_loss_pct=100, day_loss_usd=1e6, day_loss_pct=20, drawdown_pct=100, reserve_usd=0,
    reserve_pct=0, order_notional_usd=1e6, exposure_usd=600, instrument_exposure_usd=600, cluster_exposure_usd=600,
    max_positions=100, orders_per_minute=6000, fat_finger_bps=5000, max_spread_bps=2000, max_data_age_s=30,
)  # fmt: skip
"""Limits that let it trade all day long (a day's loss and exposure are kept back in a wallet of perpetuals)."""
WIDE: Final = {
    name: budget._replace(windows=tuple(one._replace(limit=one.limit * 1000) for one in budget.windows))
    for name, budget in BUDGETS.items()
}
"""A start every second uses more than a venue allows one address."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a life is told at birth. `venues`: name, market, line of the venue with the account's key, symbols."""

    fate: Fate
    home: str
    prefix: str
    redis: str
    venues: list[tuple[str, str, dict[str, Any], list[str]]]
    cash: float
    strategies: dict[str, dict[str, float]]
    is_whole: bool = False
    """The process as `trading-cli engine` runs it, at its own pace: live view, heartbeat, monitor, alerts."""


def main(order: dict[str, Any]) -> None:
    """Live until killed, or told to stop."""
    told = msgspec.convert(order, Order)
    errors = os.open(Path(told.home) / f"life-{told.fate.seed:06d}.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(errors, 2)
    if not told.is_whole:
        hurry()
    trap = Trap(told.fate.hook, told.fate.count, told.fate.armed_by, told.fate.after_s)
    if told.fate.hook not in FROM_OUTSIDE:
        install(trap)
    uvloop.run(_live(told, trap))


def _say(**words: Any) -> None:
    os.write(1, msgspec.json.encode(words) + b"\n")


async def _live(order: Order, trap: Trap) -> None:
    said: asyncio.Queue[bytes] = asyncio.Queue()
    asyncio.get_running_loop().add_reader(0, lambda: [said.put_nowait(x) for x in os.read(0, 65_536).splitlines()])
    client = redis.asyncio.Redis.from_url(order.redis, protocol=2)
    venues = []
    for name, market, line, symbols in order.venues:
        limiter = RateLimiter(client, name, order.prefix, WIDE)
        made = open_binance(
            market, given(line), line["key"], Secret(line["secret"]), limiter, ClientIds(order.prefix), name=name,
            answer_s=0.5,
        )  # fmt: skip
        venues.append((made, symbols))
    home = Path(order.home)
    found = last_run(home, "live")
    before = recover_run(found) if found is not None else None
    plan = LivePlan(
        world="live", home=home, venues=venues, strategies=order.strategies, limits=FAR,
        capital_usd=order.cash * len(venues), wallets_usd={venue.name: order.cash for venue, _ in venues},
        continues=before, order_prefix=order.prefix, timeframes_s=(1, 3, 9), warm_up_bars=0,
    )  # fmt: skip
    facts = {"events": before.events if before else 0, "snapshot": before.snapshot_seq if before else -1}
    if order.is_whole:
        await _serve(plan, order, said, facts)
        return
    service = await start(plan, lambda _text: None)
    _say(at="ready", **facts)
    await _listen(service, said, trap)
    await service.stop()


async def _serve(plan: LivePlan, order: Order, said: asyncio.Queue[bytes], facts: dict[str, int]) -> None:
    """The whole process; what it tells people goes to stderr."""
    begun = process.start

    async def kept(*arguments: Any) -> Service:
        service = await begun(*arguments)
        talking.append(asyncio.create_task(_listen(service, said, Trap("", 0, "word"))))
        talking[0].add_done_callback(lambda _done: stopped.set())
        return service

    talking: list[asyncio.Task[None]] = []
    stopped = asyncio.Event()
    process.start = kept
    await serve(
        plan, LiveRedis(order.redis, None), stopped, lambda text: print(f"{time.time():.3f} {text}", file=sys.stderr),
        lambda _line: _say(at="ready", **facts),
    )  # fmt: skip
    await talking[0]


async def _listen(service: Service, said: asyncio.Queue[bytes], trap: Trap) -> None:
    """Do as the test says, until it says stop."""
    while True:
        word = msgspec.json.decode(await said.get())
        if word.get("say") == "books":
            _say(at="books", books=books(service))
        elif word.get("say") == "status":
            _say(at="status", status=status(service))
        elif word.get("say") == "arm":
            trap.arm("word")
        elif word.get("say") == "disk full":
            _fill_disk(service)
        elif word.get("say") == "disk has room":
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        elif word.get("say") == "stop":
            return
        if service.engine.broken.done():
            raise RuntimeError("the engine is broken") from service.engine.broken.exception()


def _fill_disk(service: Service) -> None:
    """The kernel gives no file more room than the journal's segment has now."""
    segment = max((service.run_dir / segments.FOLDER).glob("*.keel"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (segment.stat().st_size + 100, resource.RLIM_INFINITY))


def status(service: Service) -> dict[str, Any]:
    """How the process is."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    head, latency = service.core.state.head[0], service.engine.latency.percentile_us(50, 99)
    return {
        "tasks": len(asyncio.all_tasks()), "files": len(os.listdir("/proc/self/fd")), "threads": int(lines["Threads"]),
        "rss_kb": int(lines["VmRSS"].split()[0]), "events": int(head.seq), "fault": service.engine.journal_fault,
        "state": TRADING_STATES[int(head.trading_state)],
        "ready": {venue.name: venue.execution.is_ready for venue, _ in service.plan.venues},
        "counts": dict(service.showing.counts), "latency_us": latency,
        "told": [f"{n.venue} {n.kind}: {n.text}" for _, n in list(service.showing.notices)[-3:]],
    }  # fmt: skip


def books(service: Service) -> dict[str, Any]:
    """What the engine believes."""
    core, head = service.core, service.core.state.head[0]
    orders = core.state.orders
    open_orders = orders[(orders["status"] != states.FREE) & (orders["status"] < states.FIRST_DONE)]
    fields = ("client_id", "instrument", "role", "status", "qty_lots", "filled_lots", "trigger_ticks")
    venues = list(dict.fromkeys(one.venue for one in core.instruments))
    return {
        "state": TRADING_STATES[int(head.trading_state)], "violations": int(head.violations),
        "quarantined": int(head.quarantined), "fault": service.engine.journal_fault,
        "unanswered": service.engine.in_flight.unanswered,
        "balances": {a: int(core.state.balances[k]) for k, a in enumerate(core.assets)},
        "wallets": {venue: int(core.state.wallets[k]["cash_e8"]) for k, venue in enumerate(venues)},
        "pots": {one.base: int(core.state.pots[i]["qty_e8"]) for i, one in enumerate(core.instruments)
                 if core.state.instruments[i]["base_home"] == i},
        "cycle": STAGES[int(core.state.cycle[0]["stage"])], "pending_risk_e8": int(head.pending_risk_e8),
        "positions": {f"{one.venue} {one.symbol}": int(core.state.positions[i]["qty_lots"])
                      for i, one in enumerate(core.instruments)},
        "foreign": int(abs(core.state.positions["foreign_lots"]).sum()),
        "working": [{name: int(one[name]) for name in fields} for one in open_orders],
        "told": [f"{n.kind}: {n.text}" for _, n in list(service.showing.notices)[-6:]],
    }  # fmt: skip
