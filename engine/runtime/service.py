"""A running engine: venues loaded and checked, core warmed up, everything running, until it is stopped.

Start
-----
1. every venue's rules are loaded and its account is checked; what cannot be checked refuses the start;
2. core, run folder, manifest, journal. A run that continues another begins with its state, saved as the opening
   snapshot: bars and books are forgotten, limits and parameters become those of the settings, as events;
3. orders can be sent, and everything is reconciled with the venues; what cannot be reconciled refuses the start;
4. recent candles warm the strategies up, marked as seen by nobody, so that whatever they suggest is refused as stale;
5. each part of each venue runs in a task of its own. One that fails is told about and started again; the others go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np

from engine.contracts import reasons
from engine.contracts.errors import Fatal, KeelError, Refused, Retryable
from engine.contracts.instruments import Instrument
from engine.contracts.records import FEED_STATUS, NO_INSTRUMENT, OPERATOR, RECORD
from engine.contracts.runs import Manifest
from engine.core import life, state
from engine.core.carrying import carry_over
from engine.core.compile import source_digest
from engine.core.limits import Limits
from engine.core.orders import HALTED
from engine.core.selector import resolved
from engine.core.strategies import table
from engine.journal import manifest as manifests
from engine.journal import recovery
from engine.journal.recovery import Recovered
from engine.journal.segments import JournalWriter
from engine.runtime.going_on import going_on
from engine.runtime.invariants import Monitor, Violation
from engine.runtime.lanes import MARKET_ROOM
from engine.runtime.loop import LiveLoop
from engine.runtime.reconcile import Reconciler
from engine.runtime.showing import Showing
from engine.runtime.signal_host import SignalHost, open_hosts
from engine.runtime.snapshots import Snapshots
from engine.signals.plan import SignalPlan
from engine.venues.background import reason_of
from engine.venues.port import Execution, Notice, Venue

LOAD_S: Final = 30.0
ASK_AGAIN_S: Final = 2.0
HISTORY_S: Final = 20.0
RESTART_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
ENGINE: Final = "engine"
"""What is no venue's."""
STEADY_S: Final = 60.0  # a part that lasted that long is begun again at once

Progress = Callable[[str], None]


class LivePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. `venues`: each with the symbols to trade there. `simulation` and `simulated` describe where
    orders go; `timeframes_s` three rising bar lengths, of the longest `warm_up_bars` are read before the start;
    `wallets_usd` how `capital_usd` lies at the venues (empty: one wallet pays for all); `selector` how it chooses
    between the strategies (empty: not at all); `signals` the sources whose forecasts the core hears; `continues` the
    run whose state this one goes on with, `order_prefix` that of the client ids; `countdown_s` after which a venue that
    can cancels resting entries by itself."""

    world: Literal["paper", "shadow", "live"]
    home: Path
    venues: Sequence[tuple[Venue, Sequence[str]]]
    strategies: Mapping[str, Mapping[str, float]]
    limits: Limits
    capital_usd: float
    wallets_usd: Mapping[str, float] = {}
    selector: Mapping[str, float] = {}
    continues: Recovered | None = None
    order_prefix: str = ""
    must_hold_usd: Mapping[str, float] = {}
    timeframes_s: Sequence[int] = (60, 180, 720)
    market_queue: int = MARKET_ROOM
    simulation: Mapping[str, float] = {}
    synthetic: bool = False
    warm_up_bars: int = 64
    signals: Mapping[str, SignalPlan] = {}
    rekey: Callable[[str], Awaitable[str]] | None = None
    countdown_s: float = 15.0


class Service:
    """Made by `start`. `engine` is the loop, `showing` what people see, `run_dir` where it is written."""

    def __init__(
        self,
        plan: LivePlan,
        core: state.Core,
        run_dir: Path,
        manifest: Manifest,
        log: Progress,
        signals: Sequence[SignalHost] = (),
    ) -> None:
        self.plan = plan
        self.signals = signals
        self.core = core
        self.run_dir = run_dir
        self.manifest = manifest
        self.showing = Showing(plan.world, list(plan.strategies), [venue for venue, _ in plan.venues], log)
        self._journal = JournalWriter(run_dir)
        by_name = {venue.name: venue for venue, _ in plan.venues}
        self._routes: list[Execution] = [by_name[one.venue].execution for one in core.instruments]
        self.engine = LiveLoop(core, self._journal, self._routes, self.notice, room=plan.market_queue)
        self.monitor = Monitor(core, core.instruments, self._halt, say=self._say)
        self.engine.taps += [self.monitor.hear, *(one.hear for one in signals)]
        self._tasks: list[asyncio.Task[None]] = []  # of venues
        self._beside: list[asyncio.Task[None]] = []  # of nobody's
        self.reconciler = Reconciler(core, self.engine, [venue for venue, _ in plan.venues], self.notice)
        self.showing.reconciler = self.reconciler
        self.snapshots = Snapshots(run_dir, core, self.engine.logbook, self.notice)

    # --- running ----------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Open the order connections, reconcile, warm up, then let prices in. Raises Retryable, Refused."""
        before_ns = 0
        if self.plan.continues is not None:
            before_ns = int(self.plan.continues.core.state.head[0].now_ns)
            self.engine.inject(going_on(self.core, self.plan))
            for i, told in enumerate(self.core.state.told):
                self._routes[i].know(i, told["ids"][told["ids"] != 0].tolist())
        for venue, _ in self.plan.venues:
            self.keep(venue.name, "orders", partial(venue.execution.run, self.core.instruments, self.engine.lanes))
        self.keep("engine", "invariants", partial(self.monitor.run, self.engine.now_ns))
        await self.reconciler.settle(before_ns)
        if self.plan.warm_up_bars:
            await self._warm_up()
        for host in self.signals:
            part = partial(host.run, self.engine.inject, self.engine.now_ns, self.notice)
            self.keep("engine", f"signal source {host.plan.name}", part)
        for venue, _ in self.plan.venues:
            self.keep(venue.name, "market data", partial(venue.market.run, self.core.instruments, self.engine.lanes))
        self.keep("engine", "reconciliation", self.reconciler.run)
        self.keep("engine", "snapshots", self.snapshots.run)

    def keep(self, who: str, what: str, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a part of venue `who` (or of nobody's: the live view, the control channel) until the engine stops. One
        that ends before that is told about and begun again; the engine goes on."""
        tasks = self._beside if who == ENGINE else self._tasks
        tasks.append(asyncio.create_task(self._keep_on(who, what, part), name=f"{who} {what}"))

    async def _keep_on(self, who: str, what: str, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
        attempt = 0
        while True:
            began_s = time.monotonic()
            work = asyncio.create_task(part())
            try:
                await asyncio.wait((work,))
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
            attempt = 0 if time.monotonic() - began_s >= STEADY_S else attempt
            wait_s = RESTART_S[min(attempt, len(RESTART_S) - 1)]
            why = reason_of(None if work.cancelled() else work.exception())
            self.notice(Notice(who, "lost", f"{what} stopped ({why}); starting again in {wait_s:g} s"))
            self._distrust(who)
            attempt += 1
            await asyncio.sleep(wait_s)

    def notice(self, notice: Notice) -> None:
        """Tell people; a venue that connects again is asked for what it may have done unheard."""
        self.showing.notice(notice)
        if notice.kind == "connected":
            self.engine.in_flight.recheck(self._working_orders(notice.venue))

    def _say(self, text: str) -> None:
        self.notice(Notice("engine", "lost", text))

    def _halt(self, found: Violation) -> None:
        """What the records do not bear out: no entries until a person looked; exits and stops go on."""
        if self.core.state.head[0].trading_state != HALTED and not self.engine.broken.done():
            event = np.zeros(1, RECORD)
            event["kind"], event["instrument"], event["reason"] = OPERATOR, NO_INSTRUMENT, reasons.OPERATOR_HALT
            event["ts_ns"] = self.engine.now_ns()
            self.engine.inject(event)
        where = None if found.instrument == NO_INSTRUMENT else found.instrument
        self.notice(Notice("engine", "invariant", f"{found.code}: {found.text}", where))

    def _working_orders(self, venue: str) -> list[tuple[int, int]]:
        """(instrument, client id) of what a venue works on, as the core sees it."""
        orders = self.core.state.orders
        return [
            (int(one["instrument"]), int(one["client_id"]))
            for one in orders[(orders["status"] != life.FREE) & (orders["status"] < life.FIRST_DONE)]
            if self.core.instruments[int(one["instrument"])].venue == venue
        ]

    def _distrust(self, venue: str) -> None:
        """Make a venue's books stale."""
        of_venue = [i for i, one in enumerate(self.core.instruments) if one.venue == venue]
        if not of_venue:
            return
        events = np.zeros(len(of_venue), RECORD)
        events["kind"], events["instrument"], events["ts_ns"] = FEED_STATUS, of_venue, time.time_ns()
        self.engine.lanes.market(events, len(events))

    async def _warm_up(self) -> None:
        now = np.zeros(1, RECORD)
        now["kind"], now["instrument"], now["ts_ns"] = FEED_STATUS, NO_INSTRUMENT, time.time_ns()
        self.engine.inject(now)
        by_name = {venue.name: venue for venue, _ in self.plan.venues}
        base_s, longest_s = self.plan.timeframes_s[0], self.plan.timeframes_s[-1]
        candles = self.plan.warm_up_bars * -(-longest_s // base_s)

        async def one(i: int, instrument: Instrument) -> None:
            try:
                async with asyncio.timeout(HISTORY_S):
                    path = await by_name[instrument.venue].market.history(i, instrument, base_s, candles)
            except (KeelError, TimeoutError) as error:
                text = f"{instrument.symbol}: no history to warm up with ({error or 'no answer'}); it starts cold"
                self.notice(Notice(instrument.venue, "lost", text, i))
                return
            if len(path):
                path["ts_ns"] = 0  # nobody saw them happen: whatever they suggest is refused as stale
                self.engine.inject(path)

        await asyncio.gather(*(one(i, instrument) for i, instrument in enumerate(self.core.instruments)))
        self.engine.inject(now)

    # --- stopping ---------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop everything in order and write the run's end. Working stops stay at the venues that have them."""
        self.engine.in_flight.close()  # nobody asks a venue that is being left
        for tasks in (self._beside, self._tasks):  # who needs a venue to end in order ends before it
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for host in self.signals:
            await host.close()
        self.engine.close()
        self.showing.show(self.engine, None)
        with suppress(Fatal):  # a journal that could not be written was told about when it happened
            self._journal.close()
        if not self.engine.broken.done():  # of a journal that failed it is all that the next life has
            self.snapshots.save()
        manifests.write(self.run_dir, self._final_manifest())

    def _final_manifest(self) -> Manifest:
        head = self.core.state.head[0]
        clean = not self.engine.journal_fault
        return msgspec.structs.replace(
            self.manifest,
            events=int(head.seq),
            to_ns=int(head.now_ns),
            digest=manifests.run_digest(self._journal.digest, self.core) if clean else "",
            wall_s=round((time.time_ns() - self.manifest.from_ns) / 1e9, 3),
        )


async def start(plan: LivePlan, progress: Progress = lambda _text: None) -> Service:
    """Load, check and begin. Raises BadInput, Refused, Retryable or Fatal naming the venue and the fix."""
    progress("loading the venues' rules")
    loaded = await asyncio.gather(*(_load(venue, symbols) for venue, symbols in plan.venues))
    progress("checking the accounts")
    facts = await asyncio.gather(*(venue.account.check() for venue, _ in plan.venues))
    await asyncio.gather(
        *(
            _check_cash(venue, plan.must_hold_usd[venue.name])
            for venue, _ in plan.venues
            if venue.name in plan.must_hold_usd
        )
    )
    instruments = _with_fees([(one, of.fees) for some, of in zip(loaded, facts, strict=True) for one in some])
    core = state.new_core(
        instruments, plan.limits, plan.capital_usd, {k: dict(v) for k, v in plan.strategies.items()}, plan.timeframes_s,
        plan.wallets_usd, plan.selector,
    )  # fmt: skip
    if plan.continues is not None:
        carry_over(plan.continues.core, core, time.time_ns(), bool(plan.continues.manifest.digest))
    signals = await open_hosts(plan.signals, instruments)
    manifest = _manifest(plan, core, {one.plan.name: one.text for one in signals})
    run_dir = plan.home / "runs" / manifest.run_id
    try:
        run_dir.mkdir(parents=True)
    except OSError as error:
        raise Fatal(f"cannot make {run_dir}: {error.strerror}; set KEEL_HOME to a folder that can be written") from None
    if plan.continues is not None:
        recovery.save_opening(run_dir, core)
    manifests.write(run_dir, manifest)
    service = Service(plan, core, run_dir, manifest, progress, signals)
    for (venue, _), found in zip(plan.venues, facts, strict=True):
        for note in found.notes:
            service.showing.notice(Notice(venue.name, "rules", note))
    for text in plan.continues.notes if plan.continues is not None else ():
        service.showing.notice(Notice("journal", "lost", text))
    progress("reconciling and warming up")
    try:
        await service.begin()
    except BaseException:
        await service.stop()
        raise
    return service


async def _load(venue: Venue, symbols: Sequence[str]) -> list[Instrument]:
    """The venue's rules, asked for until it answers. Raises Retryable after `LOAD_S`."""
    why = "no answer"
    try:
        async with asyncio.timeout(LOAD_S):
            while True:
                try:
                    return await venue.market.load(symbols)
                except Retryable as error:
                    why = str(error)
                    await asyncio.sleep(ASK_AGAIN_S)
    except TimeoutError:
        raise Retryable(f"{venue.name} cannot be loaded for {LOAD_S:g} s now: {why}") from None


async def _check_cash(venue: Venue, usd: float) -> None:
    """The wallet holds what the engine is told it may trade with. Raises Refused."""
    held = sum(one.free + one.locked for one in await venue.account.wallets() if one.asset in state.CASH_ASSETS)
    if held < Decimal(usd):
        raise Refused(
            f"{venue.name} holds {held:,.2f} in dollars and stablecoins, less than the {usd:,.2f} it is to trade with; "
            f"lower account.capital_usd (or venues.{venue.name}.capital_usd), or transfer more"
        )


def _with_fees(
    instruments: Sequence[tuple[Instrument, Mapping[str, tuple[Decimal, Decimal]]]],
) -> list[Instrument]:
    """Instruments with the fees this account pays, where the venue tells them."""
    return [
        msgspec.structs.replace(one, maker_fee=fees[one.symbol][0], taker_fee=fees[one.symbol][1])
        if one.symbol in fees
        else one
        for one, fees in instruments
    ]


def _manifest(plan: LivePlan, core: state.Core, signals: dict[str, str]) -> Manifest:
    created = datetime.now(UTC)
    rows = {row.name: row for row in table.STRATEGIES}
    now_ns = int(created.timestamp() * 1e9)
    return Manifest(
        run_id=created.strftime("%Y%m%d-%H%M%S-%f") + f"-{plan.world}",
        created=created.isoformat(),
        world=plan.world,
        strategies={name: rows[name].resolve(dict(values)) for name, values in plan.strategies.items()},
        instruments=list(core.instruments),
        capital_usd=plan.capital_usd,
        wallets_usd=dict(plan.wallets_usd),
        selector=resolved(plan.selector) if plan.selector else {},
        limits=msgspec.to_builtins(plan.limits),
        simulation=dict(plan.simulation),
        timeframes_s=list(plan.timeframes_s),
        signals=signals,
        sources=[],
        symbols=[f"{one.venue}:{one.symbol}" for one in core.instruments],
        from_ns=now_ns,
        to_ns=now_ns,
        grade="tick-grade",
        simulated=plan.world != "live",
        continues=plan.continues.manifest.run_id if plan.continues is not None else "",
        order_prefix=plan.order_prefix,
        synthetic=plan.synthetic,
        code=source_digest(),
    )
