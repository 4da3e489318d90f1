"""What a dead engine left at the venues, cancelled and closed by somebody in its place: the venue's books tell."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from engine_rig import Floor, Trading, trading, usdm
from stand_in_rig import Work, held, open_there, order_by_hand, stand_in_venue, trades

from engine.contracts import records as r
from engine.journal.recovery import recover_run
from engine.runtime.ours import read_ours
from engine.venues.unavailable import unavailable

pytestmark = pytest.mark.asyncio(loop_scope="function")
PERP = "BTC/USDT:USDT"


@pytest.fixture(scope="module")
def whole_floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"))
    yield running
    running.stop()


@pytest.fixture
def floor(whole_floor: Floor) -> Iterator[Floor]:
    yield whole_floor
    whole_floor.calm()


@pytest.fixture(scope="module")
def whole_second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    """Another address: a minute's weight of one is not enough for all of these."""
    running = Floor(tmp_path_factory.mktemp("second"))
    yield running
    running.stop()


@pytest.fixture
def second_floor(whole_second: Floor) -> Iterator[Floor]:
    yield whole_second
    whole_second.calm()


async def left_alone(running: Trading) -> Decimal:
    """The engine holds a position behind its stop and dies; the coins it holds."""
    await running.enter()
    await running.guarded()
    await running.settle()
    running.die()
    return await held(running)


async def rest_entry(running: Trading, client_id: str, quantity: str) -> None:
    """A bid well below the market."""
    price = f"{running.mid * 0.9:.2f}"
    await order_by_hand(
        running, client_id, side="BUY", type="LIMIT", timeInForce="GTC", quantity=quantity, price=price
    )  # fmt: skip


async def test_everything_is_closed_and_it_is_proved(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 0) as running:
        coins = await left_alone(running)
        assert coins > 0
        await rest_entry(running, "t0-900", "0.5")
        await rest_entry(running, "mine", "0.1")
        work = Work(running, "flatten_all", stand_in_venue(floor, 0))
        standing = await work.done()
        assert standing.told.flat and standing.told.orders == 0 and standing.told.positions == ()
        assert standing.told.foreign == ("order mine",)
        assert await open_there(running) == {"mine": "LIMIT"}, "our stop and entry are gone, a person's order is not"
        one = running.core.instruments[0]
        left = await held(running)
        assert left < one.lot_size * 2, (left, "coins are sold but for what no order can hold")
        sold = [quantity for is_buy, quantity in await trades(running) if not is_buy]
        assert sum(sold) == coins - left
        assert work.told[0][0].told.flat is False, "first it was not flat, and said so"


async def test_what_stands_behind_its_stop_is_kept(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 1) as running:
        coins = await left_alone(running)
        await rest_entry(running, "t1-900", "0.5")
        standing = await Work(running, "keep_protected", stand_in_venue(floor, 1)).done()
        assert standing.is_done and standing.told.flat is False
        lots = running.position().qty_lots
        assert standing.told.words == f"kept: {running.core.instruments[0].quantity(lots):+f} ETH/USDT"
        assert list((await open_there(running)).values()) == ["STOP_LOSS"] and await held(running) == coins


async def test_what_lost_its_stop_is_closed(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 2) as running:
        coins = await left_alone(running)
        floor.fault("A8", account=2)
        standing = await Work(running, "keep_protected", stand_in_venue(floor, 2)).done()
        assert standing.told.flat and await open_there(running) == {}
        assert [is_buy for is_buy, _ in await trades(running)][-1] is False and await held(running) < coins / 100


async def test_only_entries_are_cancelled(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 3) as running:
        coins = await left_alone(running)
        floor.fault("A8", account=3)
        await rest_entry(running, "t3-900", "0.5")
        standing = await Work(running, "cancel_only", stand_in_venue(floor, 3)).done()
        assert standing.is_done and standing.told.positions
        assert await open_there(running) == {} and await held(running) == coins


async def test_an_entry_filled_after_the_death_is_closed_too(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 4) as running:
        coins = await left_alone(running)
        await order_by_hand(running, "t4-900", side="BUY", type="MARKET", quantity="0.2")
        await order_by_hand(running, "mine", side="BUY", type="MARKET", quantity="0.1")
        standing = await Work(running, "flatten_all", stand_in_venue(floor, 4)).done()
        assert standing.told.flat
        theirs = Decimal("0.1") * Decimal("0.999")
        left = await held(running)
        assert theirs <= left < theirs + running.core.instruments[0].lot_size * 3, "what a person bought is not sold"
        sold = sum(quantity for is_buy, quantity in await trades(running) if not is_buy)
        assert sold > coins


async def test_a_venue_that_does_not_answer_is_never_flat(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 6) as running:
        await left_alone(running)
        floor.fault("A23", account=6)
        work = Work(running, "flatten_all", stand_in_venue(floor, 6))
        task = asyncio.create_task(work.done())
        while not work.told:
            await asyncio.sleep(0.05)
        assert work.told[-1][0].told.flat is False and "check key" in work.told[-1][0].told.unreachable
        floor.exchange.accounts.numbered(6).is_revoked = False
        assert (await task).told.flat


async def test_the_next_engine_books_it_as_adopted(second_floor: Floor, tmp_path: Path) -> None:
    async with trading(second_floor, tmp_path, 8) as first:
        await left_alone(first)
        assert (await Work(first, "flatten_all", stand_in_venue(second_floor, 8)).done()).told.flat
        sold = [trade for trade in await trades(first) if not trade[0]]
        before = recover_run(first.service.run_dir)
        assert int(before.core.state.positions[0].qty_lots) > 0, "the dead one died holding it"
        async with trading(second_floor, tmp_path, 8, plan={"continues": before}) as second:
            assert second.trading_state == "ACTIVE"  # and may buy again
            assert not any("t8w" in text for text in second.told("foreign"))
    records = second.records()["record"]
    adopted = records[(records["kind"] == r.FILL) & (records["bits"] & r.ADOPTED != 0)]
    one = second.core.instruments[0]
    assert [one.quantity(int(lots)) for lots in adopted["qty_lots"]] == [quantity for _, quantity in sold]
    assert (adopted["client_id"] == 0).all() and (adopted["fee_e8"] > 0).all()
    assert [trade for trade in await trades(second) if not trade[0]] == sold, "nothing is sold twice"


async def test_a_venue_that_cannot_be_opened_keeps_nothing_from_the_others(second_floor: Floor, tmp_path: Path) -> None:
    async with trading(second_floor, tmp_path, 7) as running:
        coins = await left_alone(running)
        ours = read_ours(running.service.run_dir)
        lost = msgspec.structs.replace(ours.instruments[0], venue="gone")
        both = msgspec.structs.replace(ours, instruments=(*ours.instruments, lost))
        venues = (unavailable("gone", "no key"), stand_in_venue(second_floor, 7))
        work = Work(running, "flatten_all", *venues, ours=both)
        task = asyncio.create_task(work.flatten.run())
        while not (work.told and work.told[-1][1].is_done and work.told[-1][0].told.unreachable):
            assert not task.done()
            await asyncio.sleep(0.05)
        assert await held(running) < coins / 100 and not work.flatten.is_done
        assert work.told[-1][0].told.flat is False and "no key" in work.told[-1][0].told.unreachable
        task.cancel()
        await asyncio.wait([task])


# --- perpetuals -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole_futures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("futures"), ("BTC/USDT", PERP), accounts=4)
    yield running
    running.stop()


@pytest.fixture
def futures(whole_futures: Floor) -> Iterator[Floor]:
    yield whole_futures
    whole_futures.calm()


class Books(NamedTuple):
    """The futures account's own: client ids of ordinary and conditional orders, the position."""

    orders: list[str]
    algos: list[str]
    amount: Decimal


def books(floor: Floor, account: int) -> Books:
    trader = floor.sandbox.sites["binance_usdm"].stage.accounts.numbered(account)
    return Books(
        [order.client_order_id for order in trader.working.values()],
        [algo.client_algo_id for algo in trader.waiting()],
        Decimal(trader.positions[0].lots),
    )


async def enter_perp(running: Trading) -> None:
    """A position behind its stop, after two falling bars: there are no candles of a second to warm up with."""
    for _ in range(2):
        await running.move(0.9995)
    await running.enter()
    await running.guarded()
    await running.settle()


async def test_a_perpetual_is_closed_before_its_stop_goes(futures: Floor, tmp_path: Path) -> None:
    async with trading(futures, tmp_path, 0, venues=[(usdm(futures, 0), [PERP])]) as running:
        await enter_perp(running)
        running.die()
        before = books(futures, 0)
        assert before.amount and len(before.algos) == 1
        work = Work(running, "keep_protected", stand_in_venue(futures, 0, "usdm", "futures"))
        assert (await work.done()).is_done and books(futures, 0) == before, "its stop stands: kept"
        work = Work(running, "flatten_all", stand_in_venue(futures, 0, "usdm", "futures"))
        assert (await work.done()).told.flat
        assert books(futures, 0) == Books([], [], Decimal(0))
        states = [(one[0].told.orders, len(one[0].told.positions)) for one in work.told]
        assert states[0] == (1, 1) and (0, 1) not in states, "never a position without its stop"


async def test_a_living_engine_books_it_as_adopted(futures: Floor, tmp_path: Path) -> None:
    async with trading(futures, tmp_path, 1, venues=[(usdm(futures, 1), [PERP])]) as running:
        await enter_perp(running)
        assert (await Work(running, "flatten_all", stand_in_venue(futures, 1, "usdm", "futures")).done()).told.flat
        position = running.position()
        await running.until(lambda: position.qty_lots == 0 and not running.working())
        assert running.trading_state == "ACTIVE" and not any("t1w" in text for text in running.told("foreign"))
    records = running.records()["record"]
    adopted = records[(records["kind"] == r.FILL) & (records["bits"] & r.ADOPTED != 0)]
    assert len(adopted) and (adopted["client_id"] == 0).all() and (adopted["side"] == r.SELL).all()
    assert books(futures, 1) == Books([], [], Decimal(0))
