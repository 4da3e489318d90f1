"""Outages of one venue's wire under a live engine: what is held leaves another way or later, nothing is sent twice."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from engine_rig import Floor, spot, trading  # noqa: E402
from venue_books import agree  # noqa: E402
from venue_wire import Wire  # noqa: E402

from engine.contracts import records as r  # noqa: E402

pytestmark = pytest.mark.asyncio(loop_scope="function")
ORDERS = b"/ws-api"


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"))
    yield running
    running.stop()


@pytest.fixture
def wire(floor: Floor) -> Iterator[Wire]:
    made = Wire(floor, floor.line["venues"]["binance_spot"]["rest"])
    yield made
    made.close()


async def test_exits_go_over_http_while_the_order_socket_is_down(floor: Floor, wire: Wire, tmp_path: Path) -> None:
    venue = spot(floor, 0, urls=wire.urls(floor.line["venues"]["binance_spot"]))
    async with trading(floor, tmp_path, 0, venues=[(venue, ["BTC/USDT"])]) as running:
        await running.enter()
        await running.guarded()
        await asyncio.to_thread(wire.cut, ORDERS)
        await running.until(lambda: not venue.execution.is_ready)
        await running.leave()
        assert not venue.execution.is_ready and running.trading_state == "ACTIVE"
        wire.mend()
        await running.until(lambda: venue.execution.is_ready)
    await agree(running)


async def test_entries_are_refused_while_the_order_socket_is_down(floor: Floor, wire: Wire, tmp_path: Path) -> None:
    venue = spot(floor, 1, urls=wire.urls(floor.line["venues"]["binance_spot"]))
    async with trading(floor, tmp_path, 1, venues=[(venue, ["ETH/USDT"])]) as running:
        await asyncio.to_thread(wire.cut, ORDERS)
        await running.until(lambda: not venue.execution.is_ready)
        await running.move(1.001)
        await running.until(lambda: running.core.state.orders["client_id"].any())
        await running.until(lambda: not running.working())
        assert running.position().qty_lots == 0 and running.trading_state == "ACTIVE"
        wire.mend()
        await running.until(lambda: venue.execution.is_ready)
        await running.enter()
        await running.guarded()
        await running.close()
    await agree(running)


@pytest.mark.parametrize("number", [2, 3])
async def test_all_is_lost_the_moment_an_order_leaves(floor: Floor, wire: Wire, tmp_path: Path, number: int) -> None:
    """The entry (2) or the exit (3) is under way when every connection breaks: asked for until the venue tells."""
    venue = spot(floor, number, urls=wire.urls(floor.line["venues"]["binance_spot"]))
    symbol = list(floor.mid)[number]
    async with trading(floor, tmp_path, number, venues=[(venue, [symbol])]) as running:
        if number == 3:
            await running.enter()
            await running.guarded()
        sent = venue.execution.send

        def send_and_break(command: object) -> None:
            sent(command)
            floor.loop.call_soon_threadsafe(lambda: floor.loop.create_task(wire._abort(b"")))

        places = running.core.state.head[0].next_client_id
        venue.execution.send = send_and_break  # type: ignore[method-assign]
        await running.move(1.001 if number == 2 else 0.998)
        await running.until(lambda: running.core.state.head[0].next_client_id > places)
        venue.execution.send = sent  # type: ignore[method-assign]
        await running.settle()
        await running.guarded()
        await running.until(lambda: venue.execution.is_ready)
        await running.close()
        await running.until(lambda: not running.working())
    assert not (running.records()["record"]["kind"] == r.VIOLATION).any()
    await agree(running)
