"""Binance USD-M's countdown over the sandbox (X10): armed while an entry rests, never beside a position."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_rig import EAGER, Floor, Trading, spot, trading, usdm

from engine.contracts import records as r
from engine.contracts.errors import Refused
from engine.runtime.countdown import Countdown
from engine.runtime.stand_in import end
from engine.venues.port import CountingDown, Notice

pytestmark = pytest.mark.asyncio(loop_scope="function")
PERP = "BTC/USDT:USDT"
PATIENT = {"crossover": EAGER["crossover"] | {"entry_patience_s": 600}}
AFTER_S = 6.0


@pytest.fixture(scope="module")
def whole_floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"), ("BTC/USDT", PERP), accounts=4)
    yield running
    running.stop()


@pytest.fixture
def floor(whole_floor: Floor) -> Iterator[Floor]:
    yield whole_floor
    whole_floor.calm()


def trader_of(floor: Floor, account: int) -> Any:
    return floor.sandbox.sites["binance_usdm"].stage.accounts.numbered(account)


async def until(done: Any, wait_s: float = 20.0) -> None:
    async with asyncio.timeout(wait_s):
        while not done():
            await asyncio.sleep(0.02)


async def rest(running: Trading) -> None:
    """An entry rests at our own touch."""
    for _ in range(2):
        await running.move(0.9995)
    if running.core.state.crossover[running.number()].above:
        await running.move(0.998)
    await running.move(1.001)
    await running.until(lambda: running.working(r.ROLE_ENTRY))
    await running.settle()


async def test_it_is_armed_and_renewed_while_an_entry_rests_and_fires_when_nobody_renews_it(
    floor: Floor, tmp_path: Path
) -> None:
    venue = usdm(floor, 0)
    async with trading(floor, tmp_path, 0, venues=[(venue, [PERP])], plan={"strategies": PATIENT}) as running:
        trader = trader_of(floor, 0)
        said: list[Notice] = []
        countdown = Countdown(running.core, [venue], AFTER_S, said.append)
        task = asyncio.create_task(countdown.run())
        await asyncio.sleep(0.3)
        assert trader.countdowns == {} and countdown.armed == [], "no entry, no countdown"
        await rest(running)
        await until(lambda: trader.countdowns)
        first = dict(trader.countdowns)
        await until(lambda: trader.countdowns and trader.countdowns != first)
        assert countdown.armed == [0] and len(trader.working) == 1 and said == []
        await end(task)
        assert trader.countdowns == {} and len(trader.working) == 1, "in order it is stopped"
        await venue.execution.count_down(0, 5_000)  # type: ignore[attr-defined]
        running.die()
        await until(lambda: not trader.working)
        assert trader.countdowns == {}


async def test_it_stops_when_a_position_opens(floor: Floor, tmp_path: Path) -> None:
    venue = usdm(floor, 1)
    async with trading(floor, tmp_path, 1, venues=[(venue, [PERP])], plan={"strategies": PATIENT}) as running:
        trader = trader_of(floor, 1)
        countdown = Countdown(running.core, [venue], AFTER_S, lambda _notice: None)
        task = asyncio.create_task(countdown.run())
        await rest(running)
        await until(lambda: trader.countdowns)
        await running.quote(running.mid * 0.997)  # through our bid
        position = running.position()
        await running.until(lambda: position.qty_lots != 0)
        await until(lambda: not trader.countdowns and not countdown.armed, 2.0)
        await running.guarded()
        await asyncio.sleep(AFTER_S)
        assert trader.countdowns == {} and len(trader.waiting()) == 1, "the stop stands"
        await end(task)
        await running.close()


async def test_what_cannot_be_stopped_is_told_and_tried_until_it_is(floor: Floor, tmp_path: Path) -> None:
    venue = usdm(floor, 2)
    async with trading(floor, tmp_path, 2, venues=[(venue, [PERP])], plan={"strategies": PATIENT}) as running:
        trader = trader_of(floor, 2)
        said: list[Notice] = []
        countdown = Countdown(running.core, [venue], 60.0, said.append)
        task = asyncio.create_task(countdown.run())
        await rest(running)
        await until(lambda: trader.countdowns)
        trader.is_revoked = True
        await running.quote(running.mid * 0.997)
        await running.until(lambda: running.position().qty_lots != 0)
        await until(lambda: said)
        assert "cannot be stopped" in said[0].text and countdown.armed == [0]
        trader.is_revoked = False
        await until(lambda: not trader.countdowns and not countdown.armed)
        assert len(said) == 1, "told once"
        await end(task)
        await running.guarded()
        await running.close()


async def test_spot_has_none(floor: Floor) -> None:
    venue = spot(floor, 3)
    assert isinstance(venue.execution, CountingDown) and not venue.execution.counts_down
    with pytest.raises(Refused, match="no countdown here"):
        await venue.execution.count_down(0, 10_000)
    await venue.close()
