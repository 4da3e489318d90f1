"""An order that was to take another's place does not leave: what it was to replace still stands, and is known to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_rig import Floor, spot, trading

from engine.contracts import records as r
from engine.core import life

pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"), ("BTC/USDT",), accounts=1)
    yield running
    running.stop()


async def test_an_exit_while_the_orders_start_again_leaves_the_stop_standing(floor: Floor, tmp_path: Path) -> None:
    """Found by the soak: the stop counted as being cancelled for ever, and stayed at the venue behind a closed
    position."""
    venue = spot(floor)
    execution: Any = venue.execution
    async with trading(floor, tmp_path, venues=[(venue, ["BTC/USDT"])]) as running:
        position = await running.enter()
        await running.guarded()
        stop = int(position.stop_id)
        desk, execution._desk = execution._desk, None  # between two lives of the part that sends orders
        await running.move(0.998)
        await running.until(lambda: position.exit_tries > 0)
        await running.until(lambda: [int(one["client_id"]) for one in running.working()] == [stop])
        (one,) = running.working(r.ROLE_STOP)
        assert one["status"] == life.ACCEPTED and position.qty_lots > 0
        execution._desk = desk
        async with running.busy():
            await running.until(lambda: position.qty_lots == 0 and not running.working(), 20.0)
        assert running.trading_state == "ACTIVE"
        assert await running.ask("/api/v3/openOrders", symbol="BTCUSDT") == []
