"""The live engine on each kind of venue and on all at once: round trips that agree with the venue's books, and one
venue's death that changes nothing for the others."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from engine_rig import CASH, EAGER, Floor, Trading, coinbase, spot, trading, usdm  # noqa: E402
from venue_wire import Wire  # noqa: E402

from engine.contracts import reasons  # noqa: E402
from engine.contracts import records as r  # noqa: E402
from engine.contracts.instruments import E8  # noqa: E402
from engine.research.replay import replay  # noqa: E402

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
    """Three falling bars: what the strategy must have seen where no candles of a second are to be had."""
    for _ in range(4):
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
