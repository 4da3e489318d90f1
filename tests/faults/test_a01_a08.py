"""Faults A1 to A8 through the whole engine, in the live world: no order lost or sent twice, a stop at the venue (or
out), and in the end the journal and the venue's own books agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_rig import EAGER, STOP_S, Floor, trading
from venue_books import agree

from engine.contracts import records as r

pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest.fixture(scope="module")
def whole_floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"))
    yield running
    running.stop()


@pytest.fixture
def floor(whole_floor: Floor) -> Iterator[Floor]:
    yield whole_floor
    whole_floor.calm()


async def test_a1_a_lost_reply(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 1) as running:
        floor.fault("A1")
        await running.enter()
        await running.guarded()
        await running.close()
        assert any("connecting again" in text for text in running.told("lost"))
    assert floor.exchange.faults.armed == [], "it happened"
    await agree(running)


async def test_a2_accepted_after_the_timeout(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 2) as running:
        floor.fault("A2", delay_ms=300)
        await running.enter()
        await running.guarded()
        await running.close()
    assert floor.exchange.faults.armed == [], "it happened"
    await agree(running)


async def test_a3_a_fill_told_twice(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 3) as running:
        floor.fault("A3", count=2)
        await running.enter()
        await running.guarded()
        await running.close()
    assert floor.exchange.faults.armed == [], "it happened"
    await agree(running)


async def test_a4_a_fill_before_its_acceptance(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 4) as running:
        floor.fault("A4", count=-1)
        await running.enter()
        await running.guarded()
        await running.close()
    await agree(running)


async def test_a5_partial_fills_out_of_order(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 5) as running:
        floor.fault("A5", count=-1)
        await running.quote(running.mid, size=0.03)
        await running.move(1.001, size=0.03)
        position = running.position()
        await running.until(lambda: position.qty_lots > 90)
        await running.guarded()
        await running.close()
    records = running.records()["record"]
    fills = records["trade_id"][(records["kind"] == r.FILL) & (records["client_id"] == 1)].tolist()
    assert len(fills) > 1 and fills == sorted(fills, reverse=True)
    await agree(running)


async def test_a6_a_fill_wins_against_its_cancel(floor: Floor, tmp_path: Path) -> None:
    """A resting entry's patience is over, its cancel is overtaken by its fill: nothing is bought again."""
    patient = {"crossover": EAGER["crossover"] | {"entry_patience_s": 1}}
    async with trading(floor, tmp_path, 6, plan={"strategies": patient}) as running:
        await running.move(1.001)
        await running.until(lambda: running.working(r.ROLE_ENTRY))
        floor.fault("A6")
        position = running.position()
        await running.until(lambda: position.qty_lots != 0)
        await running.guarded()
        await running.until(lambda: not running.working(r.ROLE_ENTRY))
        await running.close()
    assert floor.exchange.faults.armed == [], "it happened"
    records = running.records()["record"]
    entries = records["client_id"][(records["kind"] == r.PLACE) & (records["role"] == r.ROLE_ENTRY)]
    assert len(entries) == 1
    await agree(running)


async def test_a7_503_on_the_stop(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 7) as running:
        floor.fault("A7", order_types=["STOP_LOSS", "STOP_LOSS_LIMIT"])
        await running.enter()
        position = running.position()
        await running.until(lambda: running.has_stop() or position.qty_lots == 0, STOP_S + 1.0)
        if position.qty_lots:
            await running.close()
    assert floor.exchange.faults.armed == [], "it happened"
    await agree(running)


async def test_a8_the_venue_cancels_the_stop(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 8) as running:
        await running.enter()
        await running.until(running.has_stop, STOP_S)
        floor.fault("A8", account=8)
        await running.until(lambda: not running.has_stop())
        await running.guarded()
        await running.close()
    await agree(running)
