"""The live engine on each kind of venue and on all at once: round trips that agree with the venue's books, and one
venue's death that changes nothing for the others."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from engine_rig import EAGER, Floor, Trading, coinbase, spot, trading, usdm  # noqa: E402
from venue_wire import Wire  # noqa: E402

from engine.contracts import records as r  # noqa: E402
from engine.research.replay import replay  # noqa: E402
from engine.venues.connection import LONGEST_WAIT_S  # noqa: E402
from engine.venues.port import Venue  # noqa: E402

pytestmark = pytest.mark.asyncio(loop_scope="function")
SPOT, PERP, DOLLAR = "BTC/USDT", "BTC/USDT:USDT", "BTC/USD"


@pytest.fixture(scope="module")
def whole_floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"), (SPOT, PERP, DOLLAR), accounts=8)
    yield running
    running.stop()


@pytest.fixture
def floor(whole_floor: Floor) -> Iterator[Floor]:
    yield whole_floor
    whole_floor.calm()


async def warm(running: Trading, *symbols: str) -> None:
    """Two falling bars: what the strategy must have seen where no candles of a second are to be had."""
    for _ in range(2):
        for symbol in symbols:
            await running.quote(round(running.floor.mid[symbol] * 0.9995, 2), symbol)
        await asyncio.sleep(1.003 - time.time() % 1.0)


def futures(running: Trading) -> Any:
    """The books of the futures venue."""
    return running.floor.sandbox.sites["binance_usdm"].stage


async def test_usdm_round_trip_with_funding_and_a_liquidation(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, venues=[(usdm(floor, 1), [PERP])]) as running:
        books = futures(running)
        trader, tape = books.accounts.numbered(1), books.by_name["BTCUSDT"]
        await warm(running, PERP)
        position = await running.enter()
        await running.guarded()
        assert [order.is_waiting for order in trader.waiting()] == [True], "the stop is a conditional order"
        assert trader.positions[tape.index].lots == position.qty_lots
        assert trader.leverages[tape.index] == 1
        await asyncio.to_thread(floor.tell, "/fund", {"venue": "binance_usdm", "symbol": "BTCUSDT", "rate": "0.001"})
        await running.until(lambda: position.funding_e8 < 0)
        await running.leave()
        await running.until(lambda: not running.working())
        assert running.core.state.head[0].cash_e8 == trader.wallet_e8
        await running.enter()
        await running.guarded()

        async def raise_leverage() -> None:
            books.set_leverage(trader, tape.index, 20)

        await asyncio.to_thread(floor.run, raise_leverage())  # by the customer's hand: a position to be liquidated
        await asyncio.to_thread(floor.fault, "A9", venue="binance_usdm", symbol="BTCUSDT", account=1)
        await running.until(lambda: position.qty_lots == 0)
        await running.until(lambda: not running.working())
        assert trader.positions[tape.index].lots == 0 and trader.waiting() == []
        assert running.trading_state == "ACTIVE"
    records = running.records()["record"]
    assert (records["bits"][records["kind"] == r.FILL] & r.FORCED).any()
    assert running.core.state.head[0].cash_e8 == trader.wallet_e8
    assert replay(running.service.run_dir).ok


async def test_coinbase_round_trip_and_an_emulated_stop(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 2, venues=[(coinbase(floor, 2), [DOLLAR])]) as running:
        await warm(running, DOLLAR)
        position = await running.enter()
        await running.guarded()
        assert any("watched by this program" in text for text in running.told("emulated"))
        await running.leave()
        await running.enter()
        await running.guarded()
        await running.quote(running.mid * 0.94)
        await running.until(lambda: position.qty_lots == 0)
        assert running.trading_state == "ACTIVE"
    wallet = floor.sandbox.sites["coinbase"].stage.exchange.accounts.numbered(2).wallet
    assert running.core.state.head[0].cash_e8 == sum(wallet.balance("USD"))
    assert replay(running.service.run_dir).ok


@asynccontextmanager
async def three_venues(floor: Floor, home: Path, number: int, wire: Wire) -> AsyncIterator[Trading]:
    """Spot behind a wire that can be cut, USD-M and Coinbase, two strategies."""
    line = floor.line["venues"]["binance_spot"]
    venues = [
        (spot(floor, number, "coins", urls=wire.urls(line), mute_s=3.0), [SPOT]),
        (usdm(floor, number, mute_s=3.0), [PERP]),
        (coinbase(floor, number), [DOLLAR]),
    ]
    strategies = EAGER | {"momentum": {}}
    async with trading(floor, home, number, venues=venues, plan={"strategies": strategies}) as running:
        yield running


async def test_one_venues_death_changes_nothing_for_the_others(floor: Floor, tmp_path: Path) -> None:
    wire = Wire(floor, floor.line["venues"]["binance_spot"]["rest"])
    async with three_venues(floor, tmp_path, 3, wire) as running:
        await warm(running, SPOT, PERP, DOLLAR)
        coins = await running.enter(SPOT)
        await running.guarded(SPOT)
        wire.cut()
        await running.until(lambda: running.core.state.books[running.number(SPOT)].updated_ns == 0)
        # the others go on: entries, stops, exits, in their usual time
        for symbol in (PERP, DOLLAR):
            await running.enter(symbol)
            await running.guarded(symbol)
        perp, dollar = running.position(PERP), running.position(DOLLAR)
        running.order_emergency()
        await running.until(lambda: perp.qty_lots == 0 and dollar.qty_lots == 0, 1.0)
        assert coins.qty_lots != 0 and running.working(r.ROLE_STOP, SPOT)
        feeds = running.service.showing.feeds()
        assert not any(row.connected for name, row in feeds.items() if name.startswith("coins:"))
        assert all(row.connected for name, row in feeds.items() if not name.startswith("coins:"))
        wire.mend()
        await running.until(lambda: coins.qty_lots == 0, 20.0)  # exits are tried again after 2, 4, 8 ... s
        # the order socket has been tried in vain for a while by then: it may wait for as long as any back-off lasts
        await running.until(lambda: running.service.plan.venues[0][0].execution.is_ready, LONGEST_WAIT_S + 5.0)
    wire.close()
    assert replay(running.service.run_dir).ok


def open_behind(floor: Floor, wire: Wire, which: str, number: int) -> Venue:
    """Coinbase or USD-M, its streams behind the wire."""
    line = floor.line["venues"][which]
    urls = dict(line) | {k: v for k, v in wire.urls(line).items() if which == "binance_usdm" or k.startswith("ws")}
    return (usdm if which == "binance_usdm" else coinbase)(floor, number, urls=urls)


@pytest.mark.parametrize(("which", "path"), [("binance_usdm", b"/private"), ("coinbase", b"/ws")])
async def test_what_nobody_would_tell_is_asked_for(floor: Floor, tmp_path: Path, which: str, path: bytes) -> None:
    """The stream of our own orders is down, orders still go: an exit's fills are asked for, entries are refused."""
    symbol = PERP if which == "binance_usdm" else DOLLAR
    wire = Wire(floor, floor.line["venues"][which]["rest"])
    venue = open_behind(floor, wire, which, 5)
    async with trading(floor, tmp_path, venues=[(venue, [symbol])]) as running:
        await warm(running, symbol)
        position = await running.enter()
        await running.guarded()
        await asyncio.to_thread(wire.cut, path)
        await running.until(lambda: not venue.execution.is_ready)
        running.order_emergency()
        await running.until(lambda: position.qty_lots == 0, 2.0)
        assert not venue.execution.is_ready
    wire.close()
    assert replay(running.service.run_dir).ok
