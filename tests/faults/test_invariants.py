"""The invariant monitor on a running engine: silent while all is well, and a corrupted memory halts the engine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_rig import Floor, spot, trading

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.records import NO_INSTRUMENT
from engine.runtime import invariants
from engine.runtime.alerts import Alerts
from engine.runtime.invariants import Monitor, Violation
from engine.runtime.telling import Telling

sys.path.append(str(Path(__file__).parents[1] / "live"))
from venue_wire import Wire  # noqa: E402

pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"))
    yield running
    running.stop()


async def test_a_round_trip_breaks_nothing(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 1) as running:
        monitor = running.service.monitor
        await running.enter()
        await running.guarded()
        await running.leave()
        await running.enter()
        await running.guarded()
        await running.close()
        monitor.look(running.service.engine.now_ns())
        assert monitor.violations == []
        assert monitor.seq == running.core.state.head[0]["seq"], "it heard everything"


async def test_a_monitor_that_begins_with_a_position_is_silent(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 2) as running:
        await running.enter()
        await running.guarded()
        told: list[Violation] = []
        monitor = Monitor(running.core, running.core.instruments, told.append)
        running.service.engine.taps.append(monitor.hear)
        await running.leave()
        monitor.look(running.service.engine.now_ns())
        assert monitor.seq == running.core.state.head[0]["seq"], "it heard everything"
        assert told == monitor.violations == []
        await running.close()


@pytest.mark.parametrize(
    ("number", "where", "name", "code"),
    [(3, "head", "cash_e8", "MONEY"), (4, "positions", "qty_lots", "POSITION"), (5, "orders", "filled_lots", "ORDER")],
)
async def test_one_unit_of_corrupted_memory_halts_the_engine(
    floor: Floor, tmp_path: Path, number: int, where: str, name: str, code: str
) -> None:
    async with trading(floor, tmp_path, number) as running:
        monitor = running.service.monitor
        await running.enter()
        await running.guarded()
        assert monitor.violations == []
        rows = getattr(running.core.state, where)
        row = rows[int(running.working(r.ROLE_STOP)[0]["client_id"]) % len(rows)] if where == "orders" else rows[0]
        said: list[str] = []
        with Alerts((), said.append) as alerts:
            running.service.showing.listeners.append(Telling(alerts, "live"))
            running.may_break = True
            row[name] += 1
            await running.until(lambda: running.told("invariant"))
            row[name] -= 1
        assert any(f"alert CRITICAL: LIVE: An invariant does not hold: halted: engine: {code}" in one for one in said)
        assert running.trading_state == "HALTED"
        assert code in {one.code for one in monitor.violations}
        assert all(one.instrument in (0, NO_INSTRUMENT) for one in monitor.violations)
        assert any(text.startswith(f"{code}: ") for text in running.told("invariant"))
        assert where != "head" or running.has_stop(), "stops go on"
        await running.emergency()


async def test_what_is_still_wrong_after_a_person_resumed_is_told_again(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 7) as running:
        running.may_break = True
        gone = running.core.state.head
        for times in (1, 2):
            gone[0]["fees_e8"] += 1
            await running.until(lambda: running.trading_state == "HALTED")
            assert len([one for one in running.service.monitor.violations if one.code == "MONEY"]) == times
            running.say(reasons.OPERATOR_RESUME)
            running.service.monitor.look(running.service.engine.now_ns())
        assert running.trading_state == "ACTIVE"
        gone[0]["fees_e8"] -= 2


async def test_a_defect_of_the_monitor_is_told_and_it_begins_again(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 6) as running:
        monitor = running.service.monitor
        running.may_break = True
        monitor.hear(b"not a record")
        await running.until(lambda: running.trading_state == "HALTED")
        await running.until(lambda: any("invariants stopped" in text for text in running.told("lost")))
        assert [one.code for one in monitor.violations] == ["MONITOR_FAILED"]
        async with running.busy():
            await running.until(lambda: not monitor.is_failed)
        running.say(reasons.OPERATOR_RESUME)
        await running.enter()
        await running.guarded()
        monitor.look(running.service.engine.now_ns())
        assert [one.code for one in monitor.violations] == ["MONITOR_FAILED"]
        await running.close()


async def test_what_nobody_looked_at_is_dropped_and_that_is_said(
    floor: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invariants, "EVERY_S", 3600.0)
    monkeypatch.setattr(invariants, "ROOM_BYTES", 5_000)
    async with trading(floor, tmp_path, 8) as running:
        monitor = running.service.monitor
        await running.enter()
        await running.guarded()
        for _ in range(100):
            await running.quote(running.mid)
        await running.until(lambda: monitor.is_behind)
        assert sum(map(len, monitor.inbox)) <= 5_000
        monitor.look(running.service.engine.now_ns())
        assert "fell behind" in running.told("lost")[-1]
        await running.leave()
        monitor.look(running.service.engine.now_ns())
        assert monitor.violations == []
        await running.close()


@pytest.mark.parametrize(("number", "seconds"), [(9, 8), pytest.param(10, 20, marks=pytest.mark.soak)])
async def test_a_venue_out_of_reach_is_no_violation(floor: Floor, tmp_path: Path, number: int, seconds: int) -> None:
    """The stop was not taken, then nothing reaches the venue: stop and exits are in doubt, and nothing better is to be
    had. Once it answers again, the position is closed."""
    line = floor.line["venues"]["binance_spot"]
    wire = Wire(floor, line["rest"])
    venue = spot(floor, number, urls=wire.urls(line))
    try:
        async with trading(floor, tmp_path, number, venues=[(venue, [list(floor.mid)[number]])]) as running:
            floor.fault("A7", order_types=["STOP_LOSS", "STOP_LOSS_LIMIT"], count=-1)
            await running.enter()
            await asyncio.to_thread(wire.cut)
            await asyncio.sleep(seconds)
            position = running.position()
            assert position.qty_lots != 0 and not running.has_stop(), "the test is about an open position"
            assert running.service.monitor.violations == []
            floor.calm()
            wire.mend()
            async with running.busy():
                await running.until(lambda: position.qty_lots == 0, 60.0)
            assert running.trading_state == "ACTIVE"
    finally:
        wire.close()
        floor.calm()
