"""The live loop's own clockwork: timers that ring early, syncs that overlap, lanes that grow while they are taken."""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.contracts.errors import Refused, Retryable
from engine.contracts.instruments import Instrument
from engine.contracts.records import ORDER_ACK, ORDER_REJECT, ORDER_UNKNOWN, QUOTE, RECORD, TIMER
from engine.core import state
from engine.core.limits import Limits
from engine.journal import segments
from engine.runtime import inflight, logbook
from engine.runtime.inflight import InFlight
from engine.runtime.lanes import ACCOUNT_ROOM, Lanes
from engine.runtime.loop import LiveLoop
from engine.venues.port import Notice, Records, StreamHealth

pytestmark = pytest.mark.asyncio
COIN = Instrument(
    symbol="AXO/USDT", venue="test", base="AXO", quote="USDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.01"),
    min_qty=Decimal("0.01"), max_qty=Decimal(1000),
)  # fmt: skip


class Clock:
    """A wall clock that lags, or jumps."""

    def __init__(self) -> None:
        self.ns = 1_000_000_000_000

    def __call__(self) -> int:
        return self.ns


def new_loop(folder: Path, clock: Clock, notices: list[Notice]) -> tuple[LiveLoop, segments.JournalWriter]:
    core = state.new_core([COIN], Limits(), 1_000.0, {}, (60, 180, 720))
    journal = segments.JournalWriter(folder)
    return LiveLoop(core, journal, [], notices.append, clock), journal


def quote(ts_ns: int) -> Records:
    made = np.zeros(1, RECORD)
    made["kind"], made["ts_ns"], made["venue_ts_ns"] = QUOTE, ts_ns, ts_ns
    made["bid_ticks"], made["ask_ticks"], made["bid_lots"], made["ask_lots"] = 100, 101, 5, 5
    return made


async def test_a_timer_that_rings_before_its_time_is_armed_again(tmp_path: Path) -> None:
    clock, notices = Clock(), list[Notice]()
    engine, journal = new_loop(tmp_path, clock, notices)
    engine.inject(quote(clock.ns))
    due_ns = int(engine.core.state.head[0].next_timer_ns)
    clock.ns = due_ns - 20_000_000  # the wall clock was put back after the timer was armed
    engine._ring()
    taken = int(engine.core.state.head[0].seq)
    async with asyncio.timeout(5):
        while engine._timer is not None and int(engine.core.state.head[0].seq) == taken:
            clock.ns = due_ns
            await asyncio.sleep(0.005)
    engine.close()
    journal.close()
    records = np.concatenate([entries["record"] for entries in segments.read(tmp_path)])
    assert (records["kind"] == TIMER).sum() >= 1 and int(engine.core.state.head[0].seq) > taken


async def test_what_is_written_while_the_disk_syncs_is_synced_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, notices, synced = Clock(), list[Notice](), list[int]()
    engine, journal = new_loop(tmp_path, clock, notices)
    running, done = asyncio.get_running_loop(), asyncio.Event()

    def second() -> None:
        clock.ns += 1
        engine.inject(quote(clock.ns))

    def sync(handle: int) -> None:
        os.fdatasync(handle)
        os.close(handle)
        if not synced:
            running.call_soon_threadsafe(second)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), running).result(5)
        synced.append(journal.entries)
        if len(synced) == 2:
            running.call_soon_threadsafe(done.set)

    monkeypatch.setattr(logbook, "_sync_and_close", sync)
    engine.inject(quote(clock.ns))
    async with asyncio.timeout(5):
        await done.wait()
    engine.close()
    journal.close()
    assert synced[1] >= synced[0] > 0 and not notices


async def test_a_lane_that_grows_while_it_is_taken_gives_nothing_twice() -> None:
    lanes = Lanes(lambda: None, lambda _notice: None)
    full = np.zeros(ACCOUNT_ROOM, RECORD)
    full["client_id"] = np.arange(ACCOUNT_ROOM)
    lanes.account(full, ACCOUNT_ROOM)
    before = lanes.account_lane
    before.at[0] = 10  # ten of them are taken
    more = np.zeros(20, RECORD)
    more["client_id"] = np.arange(20) + ACCOUNT_ROOM
    lanes.account(more, 20)
    after = lanes.account_lane
    assert int(before.at[1] - before.at[0]) == 0
    first, end = after.at.tolist()
    assert after.records["client_id"][first:end].tolist() == list(range(10, ACCOUNT_ROOM + 20))


class Asked:
    """A way to a venue that answers questions about orders from a script; it takes no orders here."""

    is_ready = True

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.during: Any = None

    async def run(self, instruments: Any, inlet: Any) -> None: ...

    def send(self, command: Any) -> None: ...

    def health(self) -> list[StreamHealth]:
        return []

    async def ask(self, instrument: int, client_id: int) -> bool:
        answer = self.answers.pop(0)
        if self.during is not None:
            self.during(len(self.answers))
        if isinstance(answer, Exception):
            raise answer
        return answer


def order_event(kind: int, client_id: int) -> Records:
    made = np.zeros(1, RECORD)
    made["kind"], made["client_id"] = kind, client_id
    return made


async def answered(in_flight: InFlight) -> None:
    async with asyncio.timeout(5):
        await asyncio.gather(*in_flight._asking.values())
        await asyncio.sleep(0)


async def test_an_order_is_asked_for_while_the_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflight, "PAUSES_S", (0.0,))
    notices = list[Notice]()
    lanes = Lanes(lambda: None, notices.append)
    route = Asked(Refused("key revoked"), Refused("key revoked"), Retryable("no answer"), True)
    in_flight = InFlight([route], lanes)
    in_flight.heard(order_event(ORDER_UNKNOWN, 7), 1)
    await answered(in_flight)
    assert route.answers == [] and in_flight.unanswered == 0
    assert [(one.kind, "key revoked" in one.text) for one in notices] == [("refused", True)]


async def test_what_is_unknown_again_while_it_is_asked_for_is_asked_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflight, "PAUSES_S", (0.0,))
    lanes = Lanes(lambda: None, lambda _notice: None)
    route = Asked(True, True)
    in_flight = InFlight([route], lanes)

    def during(left: int) -> None:
        if left == 1:
            in_flight.heard(order_event(ORDER_UNKNOWN, 7), 1)

    route.during = during
    in_flight.heard(order_event(ORDER_UNKNOWN, 7), 1)
    await answered(in_flight)
    assert route.answers == [] and in_flight.unanswered == 0


async def test_what_the_venue_never_had_is_refused_when_nothing_can_be_on_its_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inflight, "PAUSES_S", (0.0,))
    monkeypatch.setattr(inflight, "LATE_S", 0.0)
    lanes = Lanes(lambda: None, lambda _notice: None)
    in_flight = InFlight([Asked(False)], lanes)
    lanes.watch_account = in_flight.heard
    in_flight.sent(0, 7)
    in_flight.heard(order_event(ORDER_UNKNOWN, 7), 1)
    await answered(in_flight)
    told = lanes.account_lane.records[: lanes.waiting]
    assert told["kind"].tolist() == [ORDER_REJECT] and in_flight.unanswered == 0
    in_flight.heard(order_event(ORDER_ACK, 7), 1)
