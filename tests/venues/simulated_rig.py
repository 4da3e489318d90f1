"""A paper venue on the bench: a clock turned by hand, a made-up tick market, and a core driven over the port in the
order of a backtest's lanes."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from engine.contracts import records as r
from engine.contracts.instruments import Instrument
from engine.core import state, timers
from engine.core.limits import Limits
from engine.core.output import drain, new_output
from engine.core.replay import inject, step_all
from engine.core.timers import NEVER
from engine.research.session import Session
from engine.simulation.venue import SimulationModel
from engine.venues.port import Inlet, Notice, Records, StreamHealth, Venue
from engine.venues.simulated.clock import Alarm
from engine.venues.simulated.venue import open_simulated

Array = np.ndarray[Any, Any]
START_NS = 1_735_736_400_000_000_000  # 2025-01-01T13:00:00Z
MS = 1_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
EAGER = {"crossover": {"fast": 2, "slow": 4, "stop_pct": 0.5, "notional_usd": 60.0, "entry_cap_bps": 30}}
TIMEFRAMES = (60, 300, 900)


def spot(base: str = "AXO", **changes: Any) -> Instrument:
    """A coin with ticks of 1 cent and lots of 0.01."""
    values: dict[str, Any] = {
        "symbol": f"{base}/USDT", "venue": "test", "base": base, "quote": "USDT", "tick_size": Decimal("0.01"),
        "lot_size": Decimal("0.01"), "min_qty": Decimal("0.01"), "max_qty": Decimal(100_000),
        "min_notional": Decimal("0.5"),
    }  # fmt: skip
    return Instrument(**(values | changes))


def perp(base: str = "PERP", **changes: Any) -> Instrument:
    """The same as a perpetual with up to twenty times leverage."""
    values = {"symbol": f"{base}/USDT:USDT", "kind": "perp", "taker_fee": Decimal("0.0005"), "max_leverage": 20}
    return spot(base, **(values | changes))


def records(count: int, **columns: Any) -> Array:
    """`count` RECORDs with the given columns; market events happen when they are heard unless said otherwise."""
    out = np.zeros(count, r.RECORD)
    for name, values in columns.items():
        out[name] = values
    if "venue_ts_ns" not in columns and columns["kind"] < r.FIRST_COMMAND:
        out["venue_ts_ns"] = out["ts_ns"]
    return out


def quote(ts_ns: int, bid: int, ask: int, lots: int = 10_000, instrument: int = 0) -> Array:
    book = {"bid_ticks": bid, "ask_ticks": ask, "bid_lots": lots, "ask_lots": lots}
    return records(1, ts_ns=ts_ns, kind=r.QUOTE, instrument=instrument, **book)


def place(client_id: int, side: int, lots: int, ts_ns: int = 0, instrument: int = 0, **columns: Any) -> Any:
    """A PLACE: at the market unless told otherwise."""
    plain = {"order_type": r.MARKET, "tif": r.IOC, "leverage": 1} | columns
    return records(
        1, kind=r.PLACE, ts_ns=ts_ns, instrument=instrument, side=side, client_id=client_id, qty_lots=lots, **plain
    )[0]


@dataclass(frozen=True)
class Market:
    """A random walk of quotes and trades with trends, as `Session` and the paper venue both take it."""

    instruments: list[Instrument]
    seed: int
    minutes: int = 90
    step_ms: int = 2_500

    def events(self) -> Array:
        rng = np.random.default_rng(self.seed)
        count = self.minutes * 60_000 // self.step_ms
        parts = []
        for i, one in enumerate(self.instruments):
            ts = START_NS + np.arange(count) * self.step_ms * MS + int(rng.integers(0, 3)) * 7 * MS
            moves = rng.standard_t(4, count) * 5e-4 + np.repeat(rng.normal(0, 2e-4, count // 60 + 1), 60)[:count]
            ticks = np.maximum((rng.integers(900, 20_000) * np.exp(np.cumsum(moves))).astype(np.int64), 10)
            half, lots = rng.integers(1, 4, count), rng.integers(1, 40_000, count)
            book = {"bid_ticks": ticks - half, "ask_ticks": ticks + half, "bid_lots": lots, "ask_lots": lots[::-1]}
            parts.append(records(count, ts_ns=ts, kind=r.QUOTE, instrument=i, **book))
            at = np.flatnonzero(rng.random(count) < 0.3)
            side = np.where(rng.random(len(at)) < 0.5, 1, -1)
            prints = {"price_ticks": ticks[at] + side * half[at], "qty_lots": lots[at] % 500 + 1, "side": side}
            parts.append(records(len(at), ts_ns=ts[at] + 3 * MS, kind=r.TRADE, instrument=i, **prints))
            if one.kind == "perp":
                paid = START_NS + np.arange(1, self.minutes // 20) * 20 * MINUTE_NS
                rates = (rng.normal(0, 1e-3, len(paid)) * 1e12).astype(np.int64)
                parts.append(records(len(paid), ts_ns=paid, kind=r.FUNDING, instrument=i, rate_e12=rates))
        whole = r.joined(parts, r.RECORD)
        order = np.lexsort((whole["instrument"], whole["ts_ns"]))
        return whole.view(np.uint8).reshape(-1, r.RECORD_BYTES)[order].reshape(-1).view(r.RECORD)

    def blocks(self, max_records: int = 4_096) -> Iterator[Array]:
        events = self.events()
        for first in range(0, len(events), max_records):
            yield events[first : first + max_records].copy()


class Hand:
    """A clock turned by hand."""

    def __init__(self, now_ns: int = START_NS) -> None:
        self._now_ns = now_ns
        self._due: list[tuple[int, int, Call]] = []
        self._numbers = itertools.count()

    def now_ns(self) -> int:
        return self._now_ns

    def call_at(self, due_ns: int, then: Callable[[], None]) -> Alarm:
        call = Call(then)
        heapq.heappush(self._due, (max(due_ns, self._now_ns), next(self._numbers), call))
        return call

    @property
    def next_ns(self) -> int:
        """When the next call is due; NEVER without one."""
        while self._due and self._due[0][2].is_cancelled:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else NEVER

    def set(self, now_ns: int) -> None:
        self._now_ns = max(now_ns, self._now_ns)

    def ring(self) -> None:
        """Make the next call, at its time."""
        self.set(self.next_ns)
        heapq.heappop(self._due)[2].then()

    def turn(self, until_ns: int) -> None:
        """All calls until then, each at its time."""
        while self.next_ns <= until_ns:
            self.ring()
        self.set(until_ns)


@dataclass
class Call:
    then: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Feed:
    """Market data of a real venue, spoken by hand: `inlet` is what it was given to tell."""

    def __init__(self, name: str = "test") -> None:
        self.name = name
        self.inlet: Inlet | None = None

    async def load(self, symbols: Sequence[str]) -> list[Instrument]:
        return [spot(symbol.split("/")[0]) for symbol in symbols]

    async def history(self, number: int, instrument: Instrument, timeframe_s: int, count: int) -> Records:
        return records(count, kind=r.PATH, instrument=number, ts_ns=timeframe_s)

    async def run(self, instruments: Sequence[Instrument], inlet: Inlet) -> None:
        self.inlet = inlet
        await asyncio.get_running_loop().create_future()

    def health(self) -> list[StreamHealth]:
        return [StreamHealth("feed", True, 1, 2, 0, 0, 0)]

    def say(self, batch: Array) -> None:
        assert self.inlet is not None
        self.inlet.market(batch, len(batch))


@dataclass
class Ear:
    """An inlet that keeps what it is told, with the time of day."""

    clock: Hand
    told: list[tuple[int, Any]] = field(default_factory=list)
    heard: list[Any] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def market(self, batch: Records, count: int) -> None:
        self.heard += [one.copy() for one in batch[:count]]

    def account(self, batch: Records, count: int) -> None:
        self.told += [(self.clock.now_ns(), one.copy()) for one in batch[:count]]

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)

    def kinds(self) -> list[str]:
        return [r.KINDS[int(one["kind"])].name for _, one in self.told]


class Bench:
    """A running paper venue, its clock, its feed and somebody who listens. Use it as an async context."""

    def __init__(
        self,
        *instruments: Instrument,
        capital: float = 1_000.0,
        folder: Path | None = None,
        inlet: Inlet | None = None,
        clock: Hand | None = None,
        **model: float,
    ) -> None:
        self.instruments = list(instruments) or [spot()]
        self.clock = clock or Hand()
        self.feed = Feed(self.instruments[0].venue)
        self.ear = Ear(self.clock)
        self.inlet: Inlet = inlet or self.ear
        self.venue: Venue = open_simulated(
            self.feed, SimulationModel(**model), capital, folder=folder, clock=self.clock
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Bench:
        runs = (self.venue.market.run, self.venue.execution.run)
        self._tasks = [asyncio.ensure_future(run(self.instruments, self.inlet)) for run in runs]
        while self.feed.inlet is None or not self.venue.execution.is_ready:
            done, _ = await asyncio.wait(self._tasks, timeout=0)
            if done:
                await self.__aexit__()
                next(iter(done)).result()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def say(self, batch: Array) -> None:
        """The market goes on to the batch's first event, and then the batch is heard."""
        self.clock.turn(int(batch["ts_ns"][0]) - 1)
        self.clock.set(int(batch["ts_ns"][0]))
        self.feed.say(batch)

    def send(self, command: Any) -> None:
        self.venue.execution.send(command)


class PaperEngine:
    """A core behind the port. Its journal leaves out market events, as a session's does."""

    def __init__(self, market: Market, capital: float, model: SimulationModel) -> None:
        self.core = state.new_core(market.instruments, Limits(), capital, EAGER, TIMEFRAMES)
        self.entries: list[Array] = []
        self.is_over = False
        self._events = market.events()
        self._out = new_output()
        self.bench = Bench(
            *market.instruments, capital=capital, inlet=self,
            **{name: getattr(model, name) for name in model.__struct_fields__},
        )  # fmt: skip

    # --- the inlet --------------------------------------------------------------------------------

    def market(self, batch: Records, count: int) -> None:
        for k in range(count):
            self._timers(int(batch["ts_ns"][k]))
            step_all(self.core.state, batch[k : k + 1], self._out)
            self._dispatch()

    def account(self, batch: Records, count: int) -> None:
        for k in range(count):
            inject(self.core.state, batch[k : k + 1], self._out)
            self._dispatch()

    def notice(self, notice: Notice) -> None:
        assert "SIMULATED" in notice.text

    # --- driving ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Everything in the order of its time; at the same instant the venue, its answers, timers, market data."""
        events, clock = self._events, self.bench.clock
        first = np.flatnonzero(np.diff(events["ts_ns"], prepend=-1)).tolist()
        async with self.bench:
            for start, end in zip(first, [*first[1:], len(events)], strict=True):
                now_ns = int(events["ts_ns"][start])
                while min(clock.next_ns, self._timer_ns) < now_ns:
                    if clock.next_ns <= self._timer_ns:
                        clock.ring()
                    else:
                        self._timers(self._timer_ns)
                clock.set(now_ns)
                self.bench.feed.say(events[start:end].copy())
            self.is_over = True
            clock.turn(NEVER - 1)
            self.flat = self.bench.venue.execution._desk.paper.flat  # type: ignore[attr-defined]
            self.wallets = await self.bench.venue.account.wallets()
            self.positions = await self.bench.venue.account.positions()
        self._mark_the_end()

    @property
    def _timer_ns(self) -> int:
        return int(self.core.state.head[0].next_timer_ns)

    def _timers(self, until_ns: int) -> None:
        while self._timer_ns <= until_ns:
            self.bench.clock.set(self._timer_ns)
            event = records(1, kind=r.TIMER, ts_ns=self._timer_ns, instrument=r.NO_INSTRUMENT, venue_ts_ns=0)
            event["timer_id"] = self.core.state.head[0].next_timer_id
            inject(self.core.state, event, self._out)
            self._dispatch()

    def _dispatch(self) -> None:
        made = drain(self._out)
        if not len(made):
            return
        self.entries.append(made)
        for one in made["record"]:
            if r.FIRST_COMMAND <= one["kind"] < r.FIRST_NOTE and not self.is_over:
                self.bench.send(one)

    def _mark_the_end(self) -> None:
        last = records(2, kind=r.TIMER, ts_ns=self.core.state.head[0].now_ns, instrument=r.NO_INSTRUMENT, venue_ts_ns=0)
        last["timer_id"] = (timers.MARK_EQUITY, timers.JUDGE_DAY)
        inject(self.core.state, last, self._out)
        self.entries.append(drain(self._out))


def backtest(market: Market, capital: float, model: SimulationModel) -> tuple[Session, Array]:
    """The same market in a session: the session and its journal."""
    kept: list[Array] = []
    session = Session(
        market, strategies=EAGER, capital_usd=capital, limits=Limits(), simulation=model, timeframes_s=TIMEFRAMES,
        sinks=[kept.append],
    )  # fmt: skip
    session.run()
    return session, r.joined(kept)
