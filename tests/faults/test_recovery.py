"""Lives of an engine one after the other: what the first one left, the next takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from engine_rig import Floor, trading
from venue_books import agree

from engine.contracts import reasons
from engine.contracts import records as r
from engine.core import state
from engine.journal.recovery import recover_run
from engine.research.replay import replay

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


async def test_a_position_and_its_stop_are_taken_over(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 0) as first:
        await first.enter()
        await first.guarded()
        lots, stop = int(first.position().qty_lots), int(first.position().stop_id)
        digest = state.digest(first.core)
    before = recover_run(first.service.run_dir)
    assert before.events == 0, "a run that ended in order has its last state in a snapshot"
    async with trading(floor, tmp_path, 0, plan={"continues": before}) as second:
        assert int(second.position().qty_lots) == lots and int(second.position().stop_id) == stop
        assert second.has_stop() and second.trading_state == "ACTIVE"
        assert second.service.manifest.continues == first.service.manifest.run_id
        await second.close()
    assert digest != state.digest(second.core)
    replayed = replay(second.service.run_dir)
    assert replayed.ok, replayed.first_difference
    await agree(second, since=first)


async def test_what_died_is_replayed_from_the_journal_alone(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 1) as first:
        await first.enter()
        await first.guarded()
        first.die()
        left = first.core.buffer.copy()
        before = recover_run(first.service.run_dir)
        assert before.snapshot_seq == -1 and before.events > 0
        assert np.array_equal(before.core.buffer, left), "to the last byte"
        async with trading(floor, tmp_path, 1, plan={"continues": before}) as second:
            assert second.position().qty_lots != 0 and second.has_stop()
            await second.close()
    await agree(second, since=first)


async def test_a_stop_that_was_hit_meanwhile_is_learned(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 2) as first:
        await first.enter()
        await first.guarded()
        trigger = int(first.position().stop_ticks) / 100
        first.say(reasons.OPERATOR_PAUSE)
    await asyncio.to_thread(floor.quote, first.symbol, trigger * 0.995)
    async with trading(floor, tmp_path, 2, plan={"continues": recover_run(first.service.run_dir)}) as second:
        assert second.position().qty_lots == 0 and not second.working() and second.trading_state == "REDUCING"
        closed = second.records()["record"]
        assert (closed["kind"] == r.CLOSED).sum() == 1
    await agree(second, since=first)


async def test_coins_sold_by_hand_meanwhile_are_booked_as_that(floor: Floor, tmp_path: Path) -> None:
    """A10 over a restart: stop cancelled and coins sold on the website."""
    async with trading(floor, tmp_path, 3) as first:
        await first.enter()
        await first.guarded()
        first.say(reasons.OPERATOR_PAUSE)
    floor.fault("A8", account=3)
    floor.fault("A10", symbol=first.name, account=3)
    async with trading(floor, tmp_path, 3, plan={"continues": recover_run(first.service.run_dir)}) as second:
        assert second.position().qty_lots == 0 and not second.working()
        assert any("booked as a manual exit" in text for text in second.told("foreign"))
        fills = second.records()["record"]
        fills = fills[fills["kind"] == r.FILL]
        assert len(fills) == 1 and fills["bits"][0] & r.ADOPTED and fills["client_id"][0] == 0
    held = {row["asset"]: row["free"] for row in (await second.ask("/api/v3/account"))["balances"]}
    cash = second.core.state.balances[second.core.assets.index("USDT")]
    assert int(cash) == round(float(held["USDT"]) * 1e8)


async def test_a21_reconciled_twice_changes_nothing(floor: Floor, tmp_path: Path) -> None:
    """Nothing is sent, nothing is booked."""
    async with trading(floor, tmp_path, 4) as first:
        await first.enter()
        await first.guarded()
    async with trading(floor, tmp_path, 4, plan={"continues": recover_run(first.service.run_dir)}) as second:
        await second.settle()
        names = ("orders", "positions", "balances", "wallets", "told")
        before = [getattr(second.core.state, name).copy() for name in names]
        await second.service.reconciler.settle(1)
        await second.settle()
        for name, then in zip(names, before, strict=True):
            now = getattr(second.core.state, name)
            assert np.array_equal(now.view(np.uint8), then.view(np.uint8)), name
        await second.close()
    await agree(second, since=first)
