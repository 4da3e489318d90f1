"""Lives of an engine on Coinbase one after the other: its stops are watched by the program, so they end with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_rig import STOP_S, Floor, Trading, coinbase, trading
from perp_rig import after

from engine.contracts import records as r
from engine.research.replay import replay

pytestmark = pytest.mark.asyncio(loop_scope="function")
DOLLAR = "BTC/USD"


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    running = Floor(tmp_path, ("BTC/USDT", DOLLAR), accounts=1)
    yield running
    running.stop()


def there(floor: Floor) -> Any:
    return [(coinbase(floor, 0), [DOLLAR])]


async def enter(life: Trading) -> None:
    for _ in range(2):
        await life.quote(round(life.floor.mid[DOLLAR] * 0.9995, 2), DOLLAR)
        await asyncio.sleep(1.003 - time.time() % 1.0)
    await life.enter(DOLLAR)
    await life.guarded(DOLLAR)


@pytest.mark.parametrize("is_crash", [False, True], ids=["ended", "killed"])
async def test_a_watched_stop_is_watched_again(floor: Floor, tmp_path: Path, is_crash: bool) -> None:
    async with trading(floor, tmp_path, 0, venues=there(floor)) as first:
        await enter(first)
        lots = int(first.position().qty_lots)
        if is_crash:
            first.die()
    async with trading(floor, tmp_path, 0, venues=there(floor), plan=after(first)) as second:
        position = second.position()
        await second.until(lambda: position.qty_lots == lots and second.has_stop(), STOP_S)
        await second.quote(second.mid * 0.94)
        await second.until(lambda: position.qty_lots == 0)
        await second.until(lambda: not second.working())
        assert second.trading_state == "ACTIVE"
    wallet = floor.sandbox.sites["coinbase"].stage.exchange.accounts.numbered(0).wallet
    assert second.core.state.head[0].cash_e8 == sum(wallet.balance("USD"))
    assert not (second.records()["record"]["kind"] == r.VIOLATION).any() and replay(second.service.run_dir).ok
