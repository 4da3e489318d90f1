"""A25: an emergency from every door, through the whole engine: flat by the venue's own books, or NOT FLAT and why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emergency_rig import Alarmed, alarmed, symbols
from engine_rig import EAGER, Floor

from engine.contracts import records as r
from engine.core.limits import Limits
from engine.core.strategies.table import STRATEGIES

DUST_USD = 5.0
"""The least the venue takes in an order: what is left after fees in coins is less."""
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
        await asyncio.gather(*(running.enter(one) for one in first))
        await asyncio.gather(*(running.guarded(one) for one in first))
        patience(here, 3600.0)
        await asyncio.gather(*(running.move(1.001, one) for one in rest))
        await running.until(
            lambda: len(running.working(r.ROLE_ENTRY)) == 10 and len(running.working(r.ROLE_STOP)) == 10
        )
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
