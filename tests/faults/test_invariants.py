"""The invariant monitor on a running engine: silent while all is well, and a corrupted memory halts the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_rig import Floor, Trading, trading

from engine.contracts import reasons
from engine.contracts.records import NO_INSTRUMENT
from engine.runtime.invariants import Monitor, Violation

pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"))
    yield running
    running.stop()


def watched(running: Trading) -> Monitor:
    """A monitor that hears every block the engine flushes from now on, and halts it."""
    engine = running.service.engine

    def halt(_violation: Violation) -> None:
        running.say(reasons.OPERATOR_HALT)

    monitor = Monitor(running.core, running.core.instruments, halt)
    heard = engine.journalled.append

    def tap(block: Any) -> None:
        monitor.inbox.append(block)
        heard(block)

    engine.journalled.append = tap  # type: ignore[method-assign]
    return monitor


async def test_a_round_trip_breaks_nothing(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 1) as running:
        monitor = watched(running)
        part = asyncio.create_task(monitor.run(running.service.engine.now_ns))
        await running.enter()
        await running.guarded()
        await running.leave()
        await running.enter()
        await running.guarded()
        await running.close()
        monitor.look(running.service.engine.now_ns())
        part.cancel()
        assert monitor.violations == []
        assert monitor.seq == running.core.state.head[0]["seq"], "it heard everything"


async def test_a_monitor_that_begins_with_a_position_is_silent(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 2) as running:
        await running.enter()
        await running.guarded()
        monitor = watched(running)
        await running.leave()
        monitor.look(running.service.engine.now_ns())
        assert monitor.violations == []
        await running.close()


@pytest.mark.parametrize(
    ("number", "where", "name", "code"),
    [(3, "head", "cash_e8", "MONEY"), (4, "positions", "qty_lots", "POSITION"), (5, "orders", "filled_lots", "ORDER")],
)
async def test_one_unit_of_corrupted_memory_halts_the_engine(
    floor: Floor, tmp_path: Path, number: int, where: str, name: str, code: str
) -> None:
    async with trading(floor, tmp_path, number) as running:
        monitor = watched(running)
        part = asyncio.create_task(monitor.run(running.service.engine.now_ns))
        await running.enter()
        await running.guarded()
        assert monitor.violations == []
        rows = getattr(running.core.state, where)
        row = rows[int(running.working(3)[0]["client_id"]) % len(rows)] if where == "orders" else rows[0]
        row[name] += 1
        await running.until(lambda: running.trading_state == "HALTED")
        row[name] -= 1
        part.cancel()
        assert code in {one.code for one in monitor.violations}
        assert all(one.instrument in (0, NO_INSTRUMENT) for one in monitor.violations)
        await running.emergency()


async def test_a_defect_of_the_monitor_is_told_and_it_begins_again(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 6) as running:
        monitor = watched(running)
        monitor.inbox.append(b"not a record")
        with pytest.raises(ValueError, match="buffer size"):
            await monitor.run(running.service.engine.now_ns)
        assert [one.code for one in monitor.violations] == ["MONITOR_FAILED"]
        part = asyncio.create_task(monitor.run(running.service.engine.now_ns))
        await running.quote(running.mid)
        await running.until(lambda: running.trading_state == "HALTED")
        running.say(reasons.OPERATOR_RESUME)
        await running.enter()
        await running.guarded()
        monitor.look(running.service.engine.now_ns())
        part.cancel()
        assert [one.code for one in monitor.violations] == ["MONITOR_FAILED"]
        await running.close()
