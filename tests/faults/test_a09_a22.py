"""Faults A9 and A22 through the whole engine on USD-M: liquidated while nobody listened, and a stop that only the
conditional book has."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_rig import Floor, Trading, trading, usdm
from perp_rig import PERP, SPOT, after, closed, enter_perp, fault, perp_books, set_leverage

sys.path.append(str(Path(__file__).parents[1] / "live"))
from venue_wire import Wire  # noqa: E402

from engine.contracts import reasons  # noqa: E402
from engine.contracts import records as r  # noqa: E402
from engine.research.replay import replay  # noqa: E402
from engine.runtime import reconcile  # noqa: E402

pytestmark = pytest.mark.asyncio(loop_scope="function")
USER_STREAM = b"/private"


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    """Of each test's own: looking often uses a minute's allowance up."""
    running = Floor(tmp_path, (SPOT, PERP), accounts=1)
    yield running
    running.stop()


def liquidated_once(floor: Floor, running: Trading) -> None:
    """The venue's close is booked as that, once, at the venue's price."""
    records = running.records()["record"]
    forced = records[(records["kind"] == r.FILL) & (records["bits"] & r.FORCED != 0)]
    assert len(forced) == 1 and closed(running) == [reasons.LIQUIDATION]
    assert not (records["kind"] == r.VIOLATION).any()
    books = perp_books(floor, 0)
    assert (books.orders, books.algos, books.lots) == ([], [], 0)
    assert int(running.core.state.head[0].cash_e8) == books.cash_e8
    assert replay(running.service.run_dir).ok


@pytest.mark.parametrize("heard", ["once the stream is back", "while the stream is still down"])
async def test_a9_liquidated_while_the_user_stream_is_down(
    floor: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: str
) -> None:
    """Its fill is asked for when the stream is back, or where reconciling misses the position before that."""
    is_down = heard.startswith("while")
    if is_down:
        monkeypatch.setattr(reconcile, "ORDERS_S", 0.8)
        monkeypatch.setattr(reconcile, "POSITIONS_S", 0.8)
    line = floor.line["venues"]["binance_usdm"]
    wire = Wire(floor, line["rest"])
    venue = usdm(floor, 0, urls=dict(line) | wire.urls(line))
    async with trading(floor, tmp_path, 0, venues=[(venue, [PERP])]) as running:
        await enter_perp(running)
        position = running.position()
        await asyncio.to_thread(wire.cut, USER_STREAM)
        await running.until(lambda: not venue.execution.is_ready)
        await set_leverage(floor, 0, 20)
        await fault(floor, "A9")
        assert perp_books(floor, 0).lots == 0 and position.qty_lots != 0, "nobody heard of it"
        if not is_down:
            wire.mend()
        await running.until(lambda: position.qty_lots == 0 and not running.working(), 20.0)
        assert venue.execution.is_ready or is_down
        wire.mend()
        await running.until(lambda: venue.execution.is_ready)
        await running.until(lambda: not running.working())
        assert running.trading_state == "ACTIVE" and position.qty_lots == 0
    wire.close()
    liquidated_once(floor, running)


@pytest.mark.parametrize("is_crash", [False, True], ids=["ended", "killed"])
async def test_a9_liquidated_while_no_engine_ran(floor: Floor, tmp_path: Path, is_crash: bool) -> None:
    async with trading(floor, tmp_path, 0, venues=[(usdm(floor, 0), [PERP])]) as first:
        await enter_perp(first)
        if is_crash:
            first.die()
    await set_leverage(floor, 0, 20)
    await fault(floor, "A9")
    async with trading(floor, tmp_path, 0, venues=[(usdm(floor, 0), [PERP])], plan=after(first)) as second:
        assert second.position().qty_lots == 0 and not second.working()
        assert second.trading_state == "ACTIVE"
    liquidated_once(floor, second)


@pytest.mark.parametrize("is_crash", [False, True], ids=["ended", "killed"])
async def test_a22_only_the_conditional_book_has_the_stop(floor: Floor, tmp_path: Path, is_crash: bool) -> None:
    """After a restart it is found there: not missed, not placed a second time, and the position keeps it."""
    async with trading(floor, tmp_path, 0, venues=[(usdm(floor, 0), [PERP])]) as first:
        await enter_perp(first)
        if is_crash:
            first.die()
    before = perp_books(floor, 0)
    assert before.orders == [] and len(before.algos) == 1 and before.lots != 0
    async with trading(floor, tmp_path, 0, venues=[(usdm(floor, 0), [PERP])], plan=after(first)) as second:
        assert second.has_stop() and second.position().qty_lots == before.lots
        assert perp_books(floor, 0) == before, "the same stop, and no other"
        await second.service.reconciler.settle(1)
        await second.settle()
        assert perp_books(floor, 0) == before and second.has_stop()
        assert not (second.records()["record"]["kind"] == r.PLACE).any()
        await second.close()
        await second.until(lambda: not second.working())
    books = perp_books(floor, 0)
    assert (books.orders, books.algos, books.lots) == ([], [], 0)
    assert int(second.core.state.head[0].cash_e8) == books.cash_e8
    assert replay(second.service.run_dir).ok
