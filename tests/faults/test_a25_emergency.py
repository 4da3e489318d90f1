"""A25: an emergency from every door, through the whole engine: flat by the venue's own books, or NOT FLAT and why."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from emergency_rig import Aid, Alarmed, alarmed, set_up, symbols
from engine_rig import EAGER, Floor, spot, usdm
from perp_rig import PERP, SPOT, enter_perp, fault, perp_books
from playwright.async_api import async_playwright
from venue_books import agree

sys.path.append(str(Path(__file__).parents[1] / "live"))
from venue_wire import Wire  # noqa: E402

from engine.contracts import records as r
from engine.core.limits import Limits
from engine.core.strategies.table import STRATEGIES
from engine.runtime.doors import listening, token_of
from engine.store import emergency_file

DUST_USD = 5.0
"""The least the venue takes in an order: what is left after fees in coins is less."""
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
Door = Callable[[Alarmed, str], Awaitable[None]]
pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    """One for each test: what another one had asked for would count against this one's rate limits."""
    running = Floor(tmp_path / "floor")
    yield running
    running.stop()


async def at_venue(alarmed: Alarmed) -> tuple[list[Any], dict[str, float]]:
    """Open orders, and coins that could be sold in USD, by the venue's own books."""
    account = await alarmed.running.ask("/api/v3/account")
    coins = {row["asset"]: float(row["free"]) + float(row["locked"]) for row in account["balances"]}
    coins.pop("USDT")
    worth = {asset: qty * alarmed.running.floor.mid[f"{asset}/USDT"] for asset, qty in coins.items()}
    return await alarmed.running.ask("/api/v3/openOrders"), {
        asset: usd for asset, usd in worth.items() if usd >= DUST_USD
    }


def patience(alarmed: Alarmed, seconds: float) -> None:
    """From now on entries rest."""
    row = next(row for row in STRATEGIES if row.name == "crossover")
    event = np.zeros(1, r.RECORD)
    event["kind"], event["instrument"], event["reason"] = r.PARAMETER, r.NO_INSTRUMENT, row.number
    event["index"] = [param.name for param in row.params].index("entry_patience_s")
    event["value_e9"], event["ts_ns"] = round(seconds * 1e9), time.time_ns()
    alarmed.running.service.engine.inject(event)


async def test_a25_the_file_alone_is_an_emergency(floor: Floor, tmp_path: Path) -> None:
    async with alarmed(floor, tmp_path / "home", 0) as here:
        await here.running.enter()
        await here.running.guarded()
        (here.home / "emergency").touch()
        told = await here.flat()
        assert told.phase == "FLAT" and "sandbox" in told.words
        assert here.running.trading_state == "HALTED"
        orders, coins = await at_venue(here)
        assert (orders, coins) == ([], {})
        here.resume()
        await here.running.until(lambda: here.running.trading_state == "ACTIVE")


async def held_by_all(here: Alarmed, names: Sequence[str], has: Callable[[str], object]) -> None:
    """Let every symbol's bars rise, those that missed it once more, until all of them have what is wanted."""
    running, missing = here.running, list(names)
    for _ in range(5):
        await asyncio.gather(*(running.move(0.998, one) for one in missing))
        await asyncio.gather(*(running.move(1.001, one) for one in missing))
        try:
            await running.until(lambda: all(has(one) for one in names), 3.0)
        except AssertionError:
            missing = [one for one in names if not has(one)]
        else:
            return
    raise AssertionError(f"nothing in {missing}")


async def by_file(here: Alarmed, _address: str) -> None:
    (here.home / "emergency").touch()


async def by_signal(_here: Alarmed, _address: str) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


async def by_command(here: Alarmed, _address: str) -> None:
    code, told, said = await here.cli("emergency", "--why", "a test")
    assert (code, told["flat"], told["phase"]) == (0, True, "FLAT"), said
    assert told["audited"] is False and "resume writes it" in said


async def by_http(here: Alarmed, address: str) -> None:
    allowed = {"Authorization": f"Bearer {token_of(here.home)}"}
    async with aiohttp.ClientSession(headers=allowed) as session:
        async with session.post(f"{address}/api/v1/emergency", json={"why": "a test"}) as answer:
            assert answer.status == 202
            made = (await answer.json())["id"]
        assert (pending := emergency_file.pending(here.home)) is not None and pending.id == made
        await here.flat()
        async with session.get(f"{address}/api/v1/emergency") as answer:
            told = await answer.json()
        assert told["progress"]["flat"] is True and told["pending"]["why"] == "a test"


async def by_phone(here: Alarmed, address: str) -> None:
    """As a browser without any script does it."""
    async with aiohttp.ClientSession() as session:
        link = f"{address}/e/{token_of(here.home)}"
        async with session.get(link) as answer:
            assert answer.status == 200 and "<button>" in await answer.text()
        async with session.post(link, headers={"Origin": address}) as answer:
            assert answer.status == 200 and str(answer.url) == link


@pytest.mark.parametrize(
    ("number", "door", "who"),
    [
        (2, by_file, "file"),
        (3, by_signal, "signal"),
        (4, by_command, "cli"),
        (5, by_http, "http"),
        (6, by_phone, "phone"),
    ],
    ids=["file", "signal", "command", "http", "phone"],
)
async def test_a25_from_every_door_twice_with_redis_and_postgresql_down(
    floor: Floor, tmp_path: Path, number: int, door: Door, who: str
) -> None:
    with Aid(floor, tmp_path / "redis", number) as aid:
        async with (
            alarmed(floor, tmp_path / "home", number, venues=aid.venues()) as here,
            listening(here.home, 0) as address,
        ):
            await here.running.enter()
            await here.running.guarded()
            await aid.stop()
            await _twice(here, address, door, who)
        await agree(here.running)


async def _twice(here: Alarmed, address: str, door: Door, who: str) -> None:
    await door(here, address)
    told = await here.flat()
    assert told.venues[0].venue == "sandbox" and told.by == "engine"
    assert await at_venue(here) == ([], {})
    first = emergency_file.pending(here.home)
    assert first is not None and first.who.startswith(who)
    orders = int(here.running.core.state.head[0].next_client_id)
    await door(here, address)
    again = await here.flat()
    assert here.running.trading_state == "HALTED" and again.flat
    assert int(here.running.core.state.head[0].next_client_id) == orders, "the second time nothing is sent"
    # a venue that cannot be asked for a moment (without Redis a process keeps to its share) is told as NOT FLAT first
    async with asyncio.timeout(10.0):
        while here.alerts.alerts[-1].title != "Emergency: FLAT":
            await asyncio.sleep(0.01)


async def test_a25_disconnected_it_is_not_flat_and_a_person_is_told_until_it_is(floor: Floor, tmp_path: Path) -> None:
    wire = Wire(floor, floor.line["venues"]["binance_spot"]["rest"])
    venue = spot(floor, 7, urls=wire.urls(floor.line["venues"]["binance_spot"]))
    try:
        async with alarmed(floor, tmp_path / "home", 7, venues=[(venue, [symbols(floor, 20)[7]])]) as here:
            await here.running.enter()
            await here.running.guarded()
            await asyncio.to_thread(wire.cut)
            code, told, said = await here.cli("emergency", "--why", "a test", "--wait", "2")
            assert (code, told["flat"], told["phase"]) == (5, False, "NOT FLAT")
            assert "sandbox cannot be asked" in told["words"] and "FENN/USDT" in told["words"]
            assert "tried again until it is flat" in told["words"] and "NOT FLAT" in said
            (lost,) = told["venues"]
            assert lost["unreachable"] and lost["positions"] and lost["flat"] is False
            assert [one.level for one in here.alerts.alerts if one.title == "Emergency: NOT FLAT"] == ["CRITICAL"]
            assert "emergency" in here.alerts._standing, "said again and again"
            refused, answer, _ = await here.cli("resume", "--why", "enough", "--yes")
            assert refused == 3 and "is not over: NOT FLAT" in answer["error"]
            assert here.running.trading_state == "HALTED"
            wire.mend()
            async with here.running.busy():
                told = await here.flat()
            assert told.phase == "FLAT" and await at_venue(here) == ([], {})
            await here.running.until(lambda: any("FLAT after" in text for text in here.running.told("emergency")))
            await here.alerts_over("emergency")
    finally:
        wire.close()


async def test_a25_with_the_engine_gone_the_command_closes_what_it_left(floor: Floor, tmp_path: Path) -> None:
    """Position and stop stay at the venue when the engine ends; there is no watchdog either."""
    async with alarmed(floor, tmp_path / "home", 9) as here:
        await here.running.enter()
        await here.running.guarded()
    orders, coins = await at_venue(here)
    assert len(orders) == 1 and coins
    set_up(floor, here.home, 9, list(floor.mid)[9])
    code, told, said = await here.cli("emergency", "--why", "a test")
    assert (code, told["flat"], told["by"]) == (0, True, "cli"), said
    assert "closing what" in said and await at_venue(here) == ([], {})
    code, told, _ = await here.cli("emergency", "--why", "again")
    assert (code, told["flat"]) == (0, True)
    assert emergency_file.pending(here.home) is not None, "an engine that starts now finds itself in an emergency"


async def test_a25_what_is_not_ours_is_told_and_left_alone(floor: Floor, tmp_path: Path) -> None:
    mine = {
        "symbol": "LOOMUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.02", "price": "1250", "timeInForce": "GTC",
        "newClientOrderId": "mine",
    }  # fmt: skip
    async with alarmed(floor, tmp_path / "home", 13) as here:
        await here.running.enter()
        await here.running.guarded()
        floor.fault("A11", symbol="LOOMUSDT", account=13, lots=200)
        await asyncio.to_thread(floor.call, "POST", "/api/v3/order", account=13, **mine)
        (here.home / "emergency").touch()
        told = await here.flat()
        (there,) = told.venues
        assert "not ours, left alone" in told.words and any("order mine" in one for one in there.foreign)
        assert any("LOOM/USDT" in one and "order" not in one for one in there.foreign)
        orders, coins = await at_venue(here)
        assert [one["clientOrderId"] for one in orders] == ["mine"] and coins["LOOM"] > DUST_USD


async def test_a25_spot_and_perpetuals_are_proved_each_by_its_own_venue(tmp_path: Path) -> None:
    floor = Floor(tmp_path / "floor", (SPOT, PERP), accounts=1)
    venues = [(spot(floor, 0), [SPOT]), (usdm(floor, 0), [PERP])]
    try:
        async with alarmed(floor, tmp_path / "home", 0, venues=venues) as here:
            running = here.running
            await enter_perp(running)
            await running.enter(SPOT)
            await running.guarded(SPOT)
            before = perp_books(floor, 0)
            assert before.lots != 0 and before.algos
            (here.home / "emergency").touch()
            told = await here.flat()
            assert [one.venue for one in told.venues] == ["sandbox", "futures"]
            assert all(one.flat and not one.orders and not one.positions for one in told.venues)
            books = perp_books(floor, 0)
            assert (books.orders, books.algos, books.lots) == ([], [], 0)
            await fault(floor, "A11", account=0, lots=50)
            (here.home / "emergency").unlink()
            (here.home / "emergency").mkdir()  # another request, in another form
            told = await here.flat()
            assert any("BTC/USDT:USDT" in one for one in told.venues[1].foreign), told
            assert perp_books(floor, 0).lots == 50, "a person's own position is left alone"
    finally:
        floor.stop()


async def test_a25_pressed_in_a_browser(floor: Floor, tmp_path: Path) -> None:
    """A telephone's browser: the page, the button, NOT yet, FLAT; nothing is loaded from elsewhere, no script runs."""
    if not CHROMIUM.exists():
        pytest.skip("no chromium")
    async with (
        alarmed(floor, tmp_path / "home", 8) as here,
        listening(here.home, 0) as address,
        async_playwright() as session,
    ):
        await here.running.enter()
        await here.running.guarded()
        browser = await session.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        tab = await browser.new_page(viewport={"width": 390, "height": 844})
        tab.set_default_timeout(15_000)
        complaints: list[str] = []
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: None if request.url.startswith(address) else complaints.append(request.url))
        await tab.goto(f"{address}/e/{token_of(here.home)}")
        assert emergency_file.pending(here.home) is None, "looking does nothing"
        box = await tab.locator("button").bounding_box()
        assert box is not None and box["width"] > 300 and box["height"] > 250, "a thumb finds it"
        await tab.locator("button").click()
        await tab.wait_for_selector("#state.flat")
        assert await tab.locator("#state").inner_text() == "FLAT"
        assert "proved by what sandbox answered" in await tab.locator("#words").inner_text()
        assert await at_venue(here) == ([], {})
        assert [text for text in complaints if "favicon" not in text] == []
        await browser.close()


async def test_a25_ten_positions_and_twenty_orders(floor: Floor, tmp_path: Path) -> None:
    """The speed is measured and printed, not asserted."""
    small = {"crossover": EAGER["crossover"] | {"notional_usd": 35.0}}
    wide = Limits(
        max_data_age_s=60.0, orders_per_minute=600.0, max_positions=30.0, day_loss_usd=500.0, day_loss_pct=90.0
    )
    plan = {"strategies": small, "limits": wide}
    async with alarmed(floor, tmp_path / "home", 1, symbols=symbols(floor, 20), plan=plan) as here:
        running = here.running
        first, rest = symbols(floor, 20)[:10], symbols(floor, 20)[10:]
        await held_by_all(here, first, lambda one: running.has_stop(one))
        patience(here, 3600.0)
        await held_by_all(here, rest, lambda one: any(o["venue_order_id"] for o in running.working(r.ROLE_ENTRY, one)))
        orders, _ = await at_venue(here)
        assert len(orders) == 20
        await running.settle()
        began = time.monotonic()
        code, said, words = await here.cli("emergency", "--why", "a test")
        whole_s = time.monotonic() - began
        assert code == 0, words
        told = await here.flat()
        print(
            f"\nten positions, twenty orders: FLAT proved after {told.seconds:.3f} s ({whole_s:.2f} s with the command)"
        )
        assert said["flat"] is True and said["phase"] == "FLAT"
        orders, coins = await at_venue(here)
        assert (orders, coins) == ([], {})
        assert not running.core.state.positions["qty_lots"].any()
    records = running.records()["record"]
    assert not (records["kind"] == r.VIOLATION).any()
    fills = records[(records["kind"] == r.FILL) & (records["side"] == r.SELL)]
    assert len(fills) >= 10 and fills["ts_ns"].max() < told.ts_ns, "FLAT is told after the last exit, never before"
