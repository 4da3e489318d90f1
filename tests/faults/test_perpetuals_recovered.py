"""Lives of an engine on USD-M one after the other: what is ours is taken over, what is not is left alone, shown, and
adopted when a person says so."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_rig import STOP_S, Floor, Trading, spot, trading, usdm
from perp_rig import PERP, SPOT, after, by_hand, closed, enter_perp, fault, perp_books

sys.path.append(str(Path(__file__).parents[1] / "live"))
from venue_wire import Wire  # noqa: E402

from engine.contracts import reasons  # noqa: E402
from engine.contracts import records as r  # noqa: E402
from engine.contracts.errors import BadInput, Refused, Retryable  # noqa: E402
from engine.research.replay import replay  # noqa: E402
from engine.runtime import reconcile  # noqa: E402
from engine.runtime.adoption import adoption  # noqa: E402

pytestmark = pytest.mark.asyncio(loop_scope="function")
NAME = f"futures:{PERP}"


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    """Of each test's own: the futures venue's allowance for a minute is small."""
    running = Floor(tmp_path, (SPOT, PERP), accounts=1)
    yield running
    running.stop()


def there(floor: Floor) -> Any:
    return [(usdm(floor, 0), [PERP])]


def all_agrees(floor: Floor, life: Trading) -> None:
    """Nothing is open on either side, and the money is the venue's to the last unit."""
    books = perp_books(floor, 0)
    assert (books.orders, books.algos, books.lots) == ([], [], 0)
    assert not life.core.state.positions["qty_lots"].any() and not life.working()
    assert int(life.core.state.head[0].cash_e8) == books.cash_e8
    assert not (life.records()["record"]["kind"] == r.VIOLATION).any()
    assert replay(life.service.run_dir).ok


async def over(life: Trading) -> None:
    """A person closes everything."""
    await life.close()
    await life.until(lambda: not life.working())


async def test_a_position_and_its_conditional_stop_are_taken_over_after_a_crash(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 0, venues=there(floor)) as first:
        await enter_perp(first)
        lots, stop = int(first.position().qty_lots), int(first.position().stop_id)
        first.die()
    async with trading(floor, tmp_path, 0, venues=there(floor), plan=after(first)) as second:
        assert int(second.position().qty_lots) == lots and int(second.position().stop_id) == stop and second.has_stop()
        await over(second)
    all_agrees(floor, second)


async def test_an_entry_filled_after_the_death_gets_its_stop(floor: Floor, tmp_path: Path) -> None:
    """The process dies when its order is out: the next one hears of the fill and protects it, or closes it."""
    async with trading(floor, tmp_path, 0, venues=there(floor)) as first:
        for _ in range(2):
            await first.move(0.9995)
        first.service.engine.lanes.account = lambda *_: None  # type: ignore[method-assign]  # nobody hears the answer
        await first.move(1.001)
        async with asyncio.timeout(6):
            while perp_books(floor, 0).lots == 0:
                await asyncio.sleep(0.01)
        first.die()
    books = perp_books(floor, 0)
    assert books.lots != 0 and books.algos == [] and first.position().qty_lots == 0
    async with trading(floor, tmp_path, 0, venues=there(floor), plan=after(first)) as second:
        await second.until(lambda: second.has_stop() or second.position().qty_lots == 0, STOP_S)
        assert second.trading_state == "ACTIVE"
        records = second.records()["record"]
        assert (records["kind"] == r.FILL).any() and not (records["kind"] == r.VIOLATION).any()
        await over(second)
    all_agrees(floor, second)


async def test_a_foreign_position_blocks_entries_and_is_adopted(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 0, venues=there(floor)) as first:
        await first.settle()
    await fault(floor, "A11", lots=300)
    async with trading(floor, tmp_path, 0, venues=there(floor), plan=after(first)) as second:
        assert any("is not ours" in text and "trading-cli adopt" in text for text in second.told("foreign"))
        rows = second.service.reconciler.foreign_rows()
        assert [(one.what, one.instrument, one.qty) for one in rows.values()] == [("position", NAME, 0.3)]
        for _ in range(2):
            await second.move(0.9995)
        await second.move(1.001)
        await second.until(lambda: (second.records()["record"]["reason"] == reasons.INSTRUMENT_BLOCKED).any())
        assert second.position().qty_lots == 0 and perp_books(floor, 0).lots == 300, "never touched"

        foreign = second.service.reconciler.foreign_positions
        with pytest.raises(BadInput, match="must lie below"):
            adoption(second.core, foreign, NAME, second.mid * 1.1)
        second.service.engine.inject(adoption(second.core, foreign, NAME, round(second.mid * 0.95, 2)))
        await second.guarded()
        assert second.position().qty_lots == 300 and second.has_stop()
        with pytest.raises(Refused, match="no foreign position is known"):
            adoption(second.core, foreign, NAME, round(second.mid * 0.95, 2))
        await second.service.reconciler.settle(1)
        assert second.position().foreign_lots == 0 and not second.service.reconciler.foreign_rows()
    async with trading(floor, tmp_path, 0, venues=there(floor), plan=after(second)) as third:
        assert third.position().qty_lots == 300 and third.has_stop(), "it is ours from then on"
        await over(third)
    books = perp_books(floor, 0)
    assert (books.orders, books.algos, books.lots) == ([], [], 0)
    assert not third.core.state.positions["qty_lots"].any() and replay(third.service.run_dir).ok


async def test_a_position_reduced_by_hand_meanwhile(floor: Floor, tmp_path: Path) -> None:
    """Half of it was closed on the website: booked at that price, and the stop stands for the rest."""
    async with trading(floor, tmp_path, 0, venues=there(floor)) as first:
        await enter_perp(first)
        lots = int(first.position().qty_lots)
        first.say(reasons.OPERATOR_PAUSE)
    half = lots // 2
    await by_hand(floor, 0, "/fapi/v1/order", side="SELL", type="MARKET", quantity=f"{half / 1000:.3f}",
                  reduceOnly="true", newClientOrderId="web_mine")  # fmt: skip
    async with trading(floor, tmp_path, 0, venues=there(floor), plan=after(first)) as second:
        assert second.position().qty_lots == lots - half == perp_books(floor, 0).lots
        assert any("booked as a manual exit" in text for text in second.told("foreign"))
        await second.guarded()
        assert second.has_stop() and second.trading_state == "REDUCING"
        await second.emergency()
        await second.until(lambda: not second.working())
        assert closed(second) == [reasons.EMERGENCY_EXIT]
    all_agrees(floor, second)


async def test_a_position_reduced_by_hand_while_it_runs(
    floor: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "ORDERS_S", 0.8)
    monkeypatch.setattr(reconcile, "POSITIONS_S", 0.8)
    async with trading(floor, tmp_path, 0, venues=there(floor)) as running:
        await enter_perp(running)
        position, lots = running.position(), int(running.position().qty_lots)
        await by_hand(floor, 0, "/fapi/v1/order", side="SELL", type="MARKET", quantity="0.100",
                      reduceOnly="true", newClientOrderId="web_mine")  # fmt: skip
        await running.until(lambda: position.qty_lots == lots - 100, 20.0)
        await running.guarded()
        assert running.has_stop() and running.trading_state == "ACTIVE"
        await over(running)
    all_agrees(floor, running)


async def test_what_is_added_by_hand_beside_ours_stays_theirs(
    floor: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The venue nets both into one position: ours leaves as ever, theirs is left alone and blocks entries there."""
    monkeypatch.setattr(reconcile, "ORDERS_S", 0.8)
    monkeypatch.setattr(reconcile, "POSITIONS_S", 0.8)
    async with trading(floor, tmp_path, 0, venues=there(floor)) as running:
        await enter_perp(running)
        position, lots = running.position(), int(running.position().qty_lots)
        await fault(floor, "A11", lots=100)
        await running.until(lambda: position.foreign_lots == 100, 20.0)
        assert position.qty_lots == lots and running.has_stop() and perp_books(floor, 0).lots == lots + 100
        await running.leave()
        await running.until(lambda: not running.working())
        assert perp_books(floor, 0).lots == 100 and position.foreign_lots == 100
        await fault(floor, "A10")
        await running.until(lambda: position.foreign_lots == 0, 20.0)
        assert not running.service.reconciler.foreign_rows()
        await running.enter()
        await running.guarded()
        await over(running)
    books = perp_books(floor, 0)
    assert (books.orders, books.algos, books.lots) == ([], [], 0) and replay(running.service.run_dir).ok
    assert not (running.records()["record"]["kind"] == r.VIOLATION).any()


async def test_of_two_venues_one_cannot_be_reached(
    floor: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is traded on half of what is known: the start is refused, and goes on where it was once both answer."""
    line = floor.line["venues"]["binance_spot"]
    wire = Wire(floor, line["rest"])

    def both(urls: dict[str, str]) -> Any:
        return [(spot(floor, 0, "coins", urls=urls), [SPOT]), (usdm(floor, 0), [PERP])]

    async with trading(floor, tmp_path, 0, venues=both(line)) as first:
        await first.enter(SPOT)
        await first.guarded(SPOT)
        await enter_perp(first)
    before = perp_books(floor, 0)
    monkeypatch.setattr(reconcile, "SETTLE_S", 1.0)
    wire.cut(b"/ws-api")
    with pytest.raises(Retryable, match="coins cannot be reconciled"):
        async with trading(floor, tmp_path, 0, venues=both(line | wire.urls(line)), plan=after(first)):
            raise AssertionError("it started")
    assert perp_books(floor, 0) == before, "nothing was sent to the other either"
    wire.mend()
    monkeypatch.setattr(reconcile, "SETTLE_S", 30.0)
    async with trading(floor, tmp_path, 0, venues=both(line | wire.urls(line)), plan=after(first)) as second:
        assert second.has_stop(SPOT) and second.has_stop(PERP)
        await over(second)
    wire.close()
    assert perp_books(floor, 0).lots == 0 and replay(second.service.run_dir).ok
