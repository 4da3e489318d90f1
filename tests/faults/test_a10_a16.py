"""Faults A10 to A16 and A23 through the whole engine, in the live world."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from engine_rig import Floor, trading
from venue_books import agree

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.instruments import E8
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


async def test_a10_a_manual_close_is_told_and_nothing_is_sold_twice(floor: Floor, tmp_path: Path) -> None:
    """The customer cancels our stop and sells our coins by hand. Our own fills still say that we hold them: stop and
    exit are refused by the venue and tried again ever more rarely, and entries there are refused."""
    async with trading(floor, tmp_path, 10) as running:
        await running.enter()
        await running.guarded()
        floor.fault("A8", account=10)
        floor.fault("A10", symbol=running.name, account=10)
        await running.until(lambda: any("web_manual_close" in text for text in running.told("foreign")))
        position = running.position()
        await running.until(lambda: position.exit_tries == 1 and position.exit_id == 0)
        assert position.qty_lots > 0 and running.trading_state == "ACTIVE"
    records = running.records()["record"]
    exits = records[(records["kind"] == r.PLACE) & (records["role"] != r.ROLE_ENTRY)]
    assert len(exits) == 5, "one stop, three more tries, one exit"
    sold = [row for row in await running.ask("/api/v3/myTrades", symbol=running.name) if not row["isBuyer"]]
    assert len(sold) == 1, "only what the customer sold"


async def test_a11_a_manual_open_is_told_and_never_touched(floor: Floor, tmp_path: Path) -> None:
    mine = {
        "symbol": "JUNOUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.02", "price": "1000", "timeInForce": "GTC",
        "newClientOrderId": "mine",
    }  # fmt: skip
    async with trading(floor, tmp_path, 11) as running:
        await running.enter()
        await running.guarded()
        floor.fault("A11", symbol=running.name, account=11, lots=200)
        await running.until(lambda: any("web_manual_open" in text for text in running.told("foreign")))
        await asyncio.to_thread(floor.call, "POST", "/api/v3/order", account=11, **mine)
        await running.until(lambda: any("'mine'" in text for text in running.told("foreign")))
        await running.close()
    held = {row["asset"]: row["free"] for row in (await running.ask("/api/v3/account"))["balances"]}
    coin = running.name.removesuffix("USDT")
    dust = running.core.state.balances[running.core.assets.index(coin)]
    assert Decimal(held[coin]) * E8 == 2 * 10**6 * Decimal("0.999") + int(dust), "their coins, less their fee"
    assert [row["clientOrderId"] for row in await running.ask("/api/v3/openOrders")] == ["mine"]


async def test_a12_a_filter_change_is_learned_from_the_refusal(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 12) as running:
        floor.fault("A12", symbol=running.name, min_notional="95")
        await running.move(1.001)
        await running.until(lambda: any("minimum" in text for text in running.told("rules")))
        await running.until(lambda: running.core.state.instruments[0].min_notional_e8 == 95 * E8)
        assert running.trading_state == "ACTIVE"
    rejected = running.records()["record"]
    assert reasons.MIN_NOTIONAL in rejected["reason"][rejected["kind"] == r.ORDER_REJECT]
    await agree(running)


@pytest.mark.soak
async def test_a13_after_429_nobody_asks_until_the_minute_is_over(floor: Floor, tmp_path: Path) -> None:
    """The exit is refused with Retry-After; the stop stands meanwhile, and the exit goes once it may."""
    async with trading(floor, tmp_path, 13) as running:
        await running.enter()
        await running.guarded()
        floor.fault("A13", count=1)
        position = running.position()
        await running.move(0.998)
        await running.until(lambda: any("limits our rate" in text for text in running.told("refused")))
        await running.until(running.has_stop)
        await running.until(lambda: position.qty_lots == 0, 130.0)
        assert running.trading_state == "ACTIVE"
    await agree(running)


async def test_a13_while_we_are_banned_the_stop_stands_at_the_venue(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    try:
        async with trading(floor, tmp_path / "home") as running:
            await running.enter()
            await running.guarded()
            floor.fault("A13", count=-1)
            answers = [await asyncio.to_thread(floor.call, "GET", "/api/v3/account") for _ in range(12)]
            assert answers[-1][0] == 418
            position = running.position()
            await running.move(0.998)
            await running.until(lambda: any("limits our rate" in text for text in running.told("refused")))
            await running.until(lambda: position.exit_tries > 1 and running.has_stop())
            assert position.qty_lots != 0 and running.trading_state == "ACTIVE"
        floor.calm()
        floor.fault("A14", skew_ms=130_000)  # the ban is over
        await agree(running)
        assert position.qty_lots != 0
    finally:
        floor.stop()


@pytest.mark.parametrize("skew_ms", [5000, -5000, 5500, -5500])
async def test_a14_a_clock_jump(floor: Floor, tmp_path: Path, skew_ms: int) -> None:
    """What the venue's clock refuses is sent once more, by the clock as it is now; the jump is told and shown. Exactly
    5 s ahead is the edge of the receive window: what is sent at once may still be taken, and then nothing is told."""
    async with trading(floor, tmp_path, {5000: 15, -5000: 14, 5500: 0, -5500: 1}[skew_ms]) as running:
        await running.enter()
        await running.guarded()
        floor.fault("A14", skew_ms=skew_ms)
        await running.close()
        told = running.told("clock")
        offsets = [one.clock_offset_ms for one in running.service.showing.feeds().values() if "order" in one.stream]
        measured = skew_ms if told or skew_ms != 5000 else 0
        assert [f"by {skew_ms / 1000:+.1f} s" in one for one in told] == [True] * bool(measured)
        assert offsets and all(one == pytest.approx(measured, abs=500) for one in offsets)
    floor.calm()
    await agree(running)


async def test_a15_a_mute_socket_is_dead(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 16, mute_s=0.5) as running, running.busy():
        floor.fault("A15", count=-1)
        await running.until(lambda: any("no data" in text for text in running.told("lost")))
        assert running.core.state.books[0].updated_ns == 0
        floor.calm()
        await running.until(lambda: running.core.state.books[0].updated_ns > 0)
        await running.enter()
        await running.guarded()
        await running.close()
    await agree(running)


async def test_a16_a_book_gap(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 17, depth=True) as running:
        await running.enter()
        await running.guarded()
        floor.fault("A16")
        for _ in range(8):
            await running.quote(running.mid + 0.01)
            await asyncio.sleep(0.12)
        await running.until(lambda: running.told("gap"))
        await running.close()
    await agree(running)


async def test_a23_the_key_is_revoked_with_a_position_open(floor: Floor, tmp_path: Path) -> None:
    """The stop stands at the venue; the exit is refused, told, and tried again ever more rarely."""
    async with trading(floor, tmp_path, 18) as running:
        await running.enter()
        await running.guarded()
        floor.fault("A23", account=18)
        await running.move(0.998)
        await running.until(lambda: any("check key, secret" in text for text in running.told("refused")))
        await running.until(running.has_stop)
        assert running.trading_state == "ACTIVE"
    assert replay(running.service.run_dir).ok
    stops = list(floor.exchange.accounts.numbered(18).working.values())
    assert [order.left_lots for order in stops] == [running.position().qty_lots]
