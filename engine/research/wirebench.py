"""How fast the whole engine is over the wire: a sandbox in another process sends quotes, orders go back to it.

The engine is the one `trading-cli engine` runs, in this process: native Binance adapter, signed orders over the WS API,
journal on disk, live view and rate limiter in Redis, the venue's real order limits. Two clocks are read:

* **tick to order**, inside: from the moment the first byte of the read that brought the quote was seen, until the
  order's frame was handed to the kernel. An order that had to wait for the rate limiter is measured to its real end.
* **wire to wire**, outside, by the sandbox alone: from the quote leaving it until the order was read by it. It holds
  both ways through the kernel and the sandbox's own delay.

What was sent is known by update ids, what arrived by the journal: a quote that is not in the journal was dropped.
"""

from __future__ import annotations

import asyncio
import os
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from engine.contracts.errors import Fatal
from engine.contracts.records import CANCEL, FIRST_COMMAND, PLACE, QUOTE, TRADE
from engine.journal import segments
from engine.runtime.process import serve
from engine.runtime.service import LivePlan
from engine.store.redis_server import LiveRedis
from engine.venues.binance.client_ids import CANCEL as CANCEL_REQUEST
from engine.venues.binance.client_ids import Request
from engine.venues.connection import Connection

Progress = Callable[[float, str], None]
Figures = dict[str, Any]
Numbers = np.ndarray[Any, np.dtype[np.int64]]

QUOTES_PER_S: Final = 10_104
"""Ten thousand, and such that bars of a second of two symbols close now high, now low (the sandbox's quotes climb and
fall 64 ticks in 128 quotes): means of one and two bars then cross with nearly every bar."""
CHUNK_S: Final = 40.0  # the sandbox remembers half a million writes
STEADY_PER_S: Final = 5_000
STEADY_S: Final = 60.0
RATES: Final = (50_000, 75_000, 100_000, 125_000, 150_000)
RATE_S: Final = 10.0
SETTLE_S: Final = 0.5
MOST_LAG_MS: Final = 50.0
"""A rate is sustained while nothing is dropped and all but 1 % of its writes are read within this."""
READY_S: Final = 60.0
ANSWER_S: Final = 120.0


class Sandbox:
    """The control endpoint of a running sandbox."""

    def __init__(self, control: str) -> None:
        self._control = control

    async def ask(self, command: str, **words: Any) -> Any:
        """One command; what it answers."""

        def call() -> Any:
            request = urllib.request.Request(f"{self._control}/{command}", msgspec.json.encode(words))
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
                return msgspec.json.decode(answer.read())

        return await asyncio.to_thread(call)

    async def play(self, quotes_per_s: float, seconds: float, even: bool) -> Played:
        """Quotes at a rate until the time is over; what was sent when."""
        await self.ask("rate", quotes_per_s=quotes_per_s, seconds=seconds, even=even)
        await asyncio.sleep(seconds + SETTLE_S)
        while not (sent := await self.ask("sent"))["is_over"]:
            await asyncio.sleep(SETTLE_S)
        writes = np.array(sent["writes"], np.int64)
        return Played(sent["symbols"], int(sent["played"]), writes[:, 0], writes[:, 1:])


class Played(NamedTuple):
    """`left_ns`: when each write left (CLOCK_MONOTONIC); `last`: of each, the last update id of every symbol."""

    symbols: list[str]
    quotes: int
    left_ns: Numbers
    last: Numbers


class Sent(NamedTuple):
    """An order request: wall ns when its frame was in the kernel's hands, the venue's id of the order."""

    ns: int
    venue_id: str


class Tap:
    """Remembers order requests as they leave; `with` it. Costs each frame an append."""

    def __init__(self) -> None:
        self._frames: list[tuple[int, bytes]] = []

    def __enter__(self) -> Tap:
        Connection.on_sent = lambda frame: self._frames.append((time.time_ns(), frame))
        return self

    def __exit__(self, *_: object) -> None:
        Connection.on_sent = None

    def orders(self) -> dict[tuple[int, int], Sent]:
        """(PLACE or CANCEL, client id) -> what left."""
        found: dict[tuple[int, int], Sent] = {}
        for ns, frame in self._frames:
            said = msgspec.json.decode(frame)
            request = Request.decode(said.get("id"))
            if request is not None:
                kind = CANCEL if request.action == CANCEL_REQUEST else PLACE
                venue_id = str(said["params"].get("newClientOrderId", ""))
                found.setdefault((kind, request.client_id), Sent(ns, venue_id))
        return found


class Heard(NamedTuple):
    """What the journal holds: every quote, and every command that a quote or trade caused."""

    quotes: Mapping[int, tuple[Numbers, Numbers]]  # by instrument: update ids, wall ns when the read was seen
    commands: list[tuple[int, int, int, int, int]]  # kind, client id, instrument, ns and update id of the cause
    events: int


def heard(run_dir: Path) -> Heard:
    """Read a run's journal."""
    ids: dict[int, list[Numbers]] = {}
    seen: dict[int, list[Numbers]] = {}
    commands: list[tuple[int, int, int, int, int]] = []
    cause: Any = None
    events = 0
    for entries in segments.read(run_dir):
        records = entries["record"]
        events += int((records["kind"] < FIRST_COMMAND).sum())
        for number in np.unique(records["instrument"][records["kind"] == QUOTE]).tolist():
            mine = (records["kind"] == QUOTE) & (records["instrument"] == number)
            ids.setdefault(number, []).append(records["ref_id"][mine].astype(np.int64))
            seen.setdefault(number, []).append(records["ts_ns"][mine].astype(np.int64))
        if not (records["kind"] >= FIRST_COMMAND).any():
            continue
        for one in records:
            if one.kind < FIRST_COMMAND:
                cause = one
            elif one.kind in (PLACE, CANCEL) and cause is not None and cause.kind <= TRADE:
                commands.append(
                    (int(one.kind), int(one.client_id), int(cause.instrument), int(cause.ts_ns), int(cause.ref_id))
                )
    quotes = {number: (np.concatenate(ids[number]), np.concatenate(seen[number])) for number in ids}
    return Heard(quotes, commands, events)


async def bench_engine(
    plan: LivePlan, live_redis: LiveRedis, control: str, seconds: float, progress: Progress
) -> Figures:
    """The engine's figures; `seconds` of tick to order, shorter ones of the rest where `seconds` is short."""
    sandbox, stopped = Sandbox(control), asyncio.Event()
    symbols = [symbol.replace("/", "") for _, some in plan.venues for symbol in some]
    ready: asyncio.Future[Path] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(plan, live_redis, stopped, _quiet, lambda line: ready.set_result(Path(line["run_dir"])))
    )
    with Tap() as tap:
        try:
            await asyncio.wait([serving, ready], timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                await serving
                raise Fatal(f"the engine did not run within {READY_S:g} s")
            await asyncio.sleep(SETTLE_S)
            progress(0.05, "memory: a steady rate")
            rss, steady = await _steady(sandbox, min(seconds, STEADY_S))
            progress(0.2, "tick to order")
            chunks = [
                await sandbox.play(QUOTES_PER_S, min(CHUNK_S, seconds - at), even=True)
                for at in np.arange(0.0, seconds, CHUNK_S).tolist()
            ]
            arrivals = dict((await sandbox.ask("arrivals"))["arrivals"])
            progress(0.6, "sustained rate")
            fast = {rate: await sandbox.play(rate, min(seconds, RATE_S), even=False) for rate in RATES}
        finally:
            stopped.set()
            run_dir = await serving
    progress(0.8, "reading the journal")
    found = heard(run_dir)
    return (
        rss
        | {"quotes_per_s": QUOTES_PER_S, "dropped_at_10k": sum(dropped(found, one, symbols) for one in chunks)}
        | latencies(found, tap.orders(), chunks, arrivals, symbols)
        | sustained(found, fast, symbols)
        | {"dropped_steady": dropped(found, steady, symbols), "events": found.events}
        | {"load_1m": round(os.getloadavg()[0], 2), "nice": os.getpriority(os.PRIO_PROCESS, 0)}
    )


async def _steady(sandbox: Sandbox, seconds: float) -> tuple[Figures, Played]:
    """Resident memory before and after a steady rate, after a tenth of it as a warm-up."""
    await sandbox.play(STEADY_PER_S, seconds / 10, even=False)
    before = _rss_mib()
    played = await sandbox.play(STEADY_PER_S, seconds, even=False)
    return {
        "steady_events_per_s": STEADY_PER_S, "steady_s": seconds, "rss_mib_before": before, "rss_mib_after": _rss_mib(),
    }, played  # fmt: skip


def latencies(
    found: Heard, sent: Mapping[tuple[int, int], Sent], chunks: Sequence[Played], arrivals: Mapping[str, int],
    symbols: Sequence[str],
) -> Figures:  # fmt: skip
    """Tick to order and wire to wire, of the orders that quotes of `chunks` caused. `symbols`: by instrument number."""
    inside: list[int] = []
    outside: list[int] = []
    for chunk in chunks:
        for kind, client_id, instrument, seen_ns, update_id in found.commands:
            left = sent.get((kind, client_id))
            last = chunk.last[:, chunk.symbols.index(symbols[instrument])]
            row = int(np.searchsorted(last, update_id))
            if left is None or not 0 < row < len(last):
                continue
            inside.append(left.ns - seen_ns)
            if left.venue_id in arrivals:
                outside.append(arrivals[left.venue_id] - int(chunk.left_ns[row]))
    return {"orders": len(inside)} | percentiles("tick_to_order_us", inside) | percentiles("wire_to_wire_us", outside)


def percentiles(name: str, ns: Sequence[int]) -> Figures:
    """`name`_p50, _p99 and _max in µs; None where nothing was measured."""
    if not ns:
        return {f"{name}_{what}": None for what in ("p50", "p99", "max")}
    found = zip(("p50", "p99", "max"), np.percentile(np.array(ns), (50, 99, 100)).tolist(), strict=True)
    return {f"{name}_{what}": round(value / 1000.0, 1) for what, value in found}


def sustained(found: Heard, fast: Mapping[int, Played], symbols: Sequence[str]) -> Figures:
    """The highest rate that held, and what happened at each."""
    rows = []
    best: Figures = {"sustained_quotes_per_s": 0, "dropped": None}
    for rate, played in fast.items():
        taken_s = (int(played.left_ns[-1]) - int(played.left_ns[0])) / 1e9
        lag = _lag_ms(found, played, symbols)
        row = {
            "offered": rate, "quotes_per_s": round(played.quotes / taken_s), "seconds": round(taken_s, 2),
            "dropped": dropped(found, played, symbols),
            "read_after_ms_p50": round(float(np.percentile(lag, 50)), 3),
            "read_after_ms_p99": round(float(np.percentile(lag, 99)), 3),
        }  # fmt: skip
        rows.append(row)
        if row["dropped"] == 0 and row["read_after_ms_p99"] <= MOST_LAG_MS:
            best = {"sustained_quotes_per_s": row["quotes_per_s"], "dropped": row["dropped"]}
    if best["dropped"] is None:
        best["dropped"] = rows[0]["dropped"]
    return best | {"rates": rows}


def dropped(found: Heard, played: Played, symbols: Sequence[str]) -> int:
    """Update ids between the first write and the last that are not in the journal."""
    missing = 0
    for number, symbol in enumerate(symbols):
        column = played.symbols.index(symbol)
        first, last = int(played.last[0, column]), int(played.last[-1, column])
        ids = found.quotes[number][0]
        missing += last - first + 1 - len(np.unique(ids[(ids >= first) & (ids <= last)]))
    return missing


def _lag_ms(found: Heard, played: Played, symbols: Sequence[str]) -> np.ndarray[Any, Any]:
    """For each write: how long after it left its last quote of the first symbol was seen here."""
    wall = time.time_ns() - time.monotonic_ns()
    ids, seen = found.quotes[0]
    last = played.last[:, played.symbols.index(symbols[0])]
    rows = np.minimum(np.searchsorted(ids, last), len(ids) - 1)
    known = ids[rows] == last
    lag: np.ndarray[Any, Any] = (seen[rows[known]] - wall - played.left_ns[known]) / 1e6
    return lag if lag.size else np.array([np.inf])


def _rss_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def _quiet(_text: str) -> None:
    """What the engine tells people is not part of the figures."""
