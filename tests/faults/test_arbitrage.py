"""Arbitrage over the wire: cycles earn what dislocations offer, a fault on any leg costs no more than the cycle's
bound, and in the end the journal and the venue's own books agree."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cross_rig import (
    EAGER,
    LEGS,
    TRIANGLE,
    CrossFloor,
    Cycle,
    crossing,
    cycles,
    is_idle,
    judged,
    left_over_usd,
    lots_worth,
)
from engine_rig import Trading
from venue_books import agree

from engine.contracts.reasons import CYCLE_UNWOUND
from engine.core.limits import Limits
from engine.core.strategies.table import NAMES as STRATEGY_NAMES
from engine.markets.dislocations import Dislocating
from engine.store.cycleview import desks

pytestmark = pytest.mark.asyncio(loop_scope="function")
SECONDS = float(os.environ.get("SECONDS_TO_SOAK", "600"))
RESULT = Path(__file__).parents[2] / "benchmarks" / f"arbitrage-{SECONDS:.0f}s.json"
LEAST_WINNERS = 0.7
DUST_USD = 15.0
"""Three coins may each lie there below what the venue takes in an order, about five dollars."""


def check(found: list[Cycle], least: int) -> None:
    """Enough cycles, most of them won, and none lost more than it was allowed to."""
    assert len(found) >= least
    assert sum(one.is_winner for one in found) > LEAST_WINNERS * len(found), found
    assert [one for one in found if not one.is_within_bound] == []


async def test_cycles_earn_what_dislocations_offer(tmp_path: Path) -> None:
    how = Dislocating(per_minute=40, bps=120, duration_ms=1_000)
    floor = CrossFloor(tmp_path, dislocations=how, seconds=60, seed=4)
    try:
        async with crossing(floor, tmp_path) as running:
            await running.until(lambda: judged(running) >= 6 and is_idle(running), 25)
        found = cycles(running)
        check(found, 6)
        (shown,) = desks(running.core, running.service.showing.cycles).values()
        assert shown.done + shown.turned_back == len(found) and shown.won == sum(one.is_winner for one in found)
        assert shown.net_usd == pytest.approx(sum(one.realised_usd for one in found)) and shown.state == "trading"
        assert sum(one.realised_usd for one in found) > 0 and left_over_usd(running) < DUST_USD
        assert sum(one["taken_lots"] > 0 for one in await asyncio.to_thread(lambda: floor.begun)) > 0
        await agree(running)
    finally:
        floor.stop()


@pytest.fixture(scope="module")
def calm_floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrossFloor]:
    """Three pairs that agree, until a test says otherwise."""
    running = CrossFloor(tmp_path_factory.mktemp("floor"), TRIANGLE, seconds=180, accounts=6)
    running.tell("/limits", {"orders": 10_000})  # the sandbox counts the orders of all its accounts together
    yield running
    running.stop()


class Trouble(NamedTuple):
    """A fault for a leg. `part_usd`: what a thin book offers it (A26). `breaks`: the leg never gets through, so that
    what the legs before it bought is sold again. `sides`: what is believed lost takes seconds to come out, so these
    look at one direction only."""

    number: str
    breaks: bool
    sides: tuple[int, ...] = (1, -1)
    part_usd: float = 0.0
    delay_ms: int = 0


TROUBLES = {
    "a leg gets nothing": Trouble("A26", True),
    "a leg fills in part": Trouble("A26", False, part_usd=100),
    "a leg is answered 503": Trouble("A7", True, (1,)),
    "a leg's reply is lost": Trouble("A1", False, (1,)),
    "a leg comes late": Trouble("A2", False, (1,), delay_ms=300),
}


async def aim(floor: CrossFloor, trouble: Trouble, symbol: str) -> None:
    """Arm a fault for the next order of a symbol."""
    lots = lots_worth(floor, symbol, trouble.part_usd)
    fields = {"symbol": symbol, "lots": lots, "delay_ms": trouble.delay_ms}
    await asyncio.to_thread(floor.fault, trouble.number, **fields)


async def go_apart(running: Trading, bps: float) -> None:
    """ETH/BTC leaves the others for a second; a cycle takes its chance and meets its trouble. Until it is over."""
    cycle, exchange = running.core.state.cycle[0], running.floor.exchange
    before, wanted = int(cycle.ended_ns), {"symbol": "ETHBTC", "bps": bps, "depth_usd": 600, "duration_ms": 1_000}
    await asyncio.to_thread(running.floor.tell, "/dislocate", wanted)

    def is_over() -> bool:
        told = exchange.dislocated
        return not exchange.faults.armed and not told.stands(told.begun[-1]) and int(cycle.ended_ns) > before

    await running.until(lambda: is_over() and is_idle(running), 15)
    await running.settle()


@pytest.mark.parametrize(("account", "trouble"), list(enumerate(TROUBLES)))
async def test_a_fault_on_any_leg_costs_no_more_than_the_bound(
    calm_floor: CrossFloor, tmp_path: Path, account: int, trouble: str
) -> None:
    async with crossing(calm_floor, tmp_path, account) as running:
        for side in TROUBLES[trouble].sides:
            for symbol in LEGS[side]:
                await aim(calm_floor, TROUBLES[trouble], symbol)
                await go_apart(running, side * 300)
    found = cycles(running)
    assert [one for one in found if not one.is_within_bound] == []
    unwound = sum(one.reason == CYCLE_UNWOUND for one in found)
    least = 2 * len(TROUBLES[trouble].sides)  # where the first leg breaks, nothing was bought
    assert len(found) >= least and (unwound >= least or not TROUBLES[trouble].breaks), found
    assert left_over_usd(running) < DUST_USD
    await agree(running)


MOMENTUM = {
    "fast": 2, "slow": 3, "agree": 1, "breakout_bars": 2, "surge": 0, "surge_span": 2, "atr_span": 2,
    "cooldown_bars": 1, "min_breadth": 0, "min_turnover_usd": 0, "min_stop_pct": 0.1, "entry_cap_bps": 50,
    "min_place": 0, "min_btc_trend": -50, "max_btc_range_pct": 100, "pump_volume": 0,
}  # fmt: skip
"""Enters at the first rise, so that there is something to see within seconds."""
ROOMY = Limits(orders_per_minute=600)
SCALPING = {
    "volatility_s": 10, "warm_up_s": 3, "horizon_s": 300, "entry_z": 0.05, "keep_z": -20, "edge_factor": 1,
    "micro_weight": 10, "book_weight": 10, "flow_weight": 10, "max_spread_bps": 100, "cooldown_s": 0, "hold_s": 8,
}  # fmt: skip
PERPS = ("BTC/USDT:USDT", "ETH/USDT:USDT")


async def test_the_strategies_share_an_account_and_break_no_limit(tmp_path: Path) -> None:
    """The monitor's own books find no limit broken (`crossing` asserts it) while all three send orders."""
    how = Dislocating(per_minute=40, bps=120, duration_ms=1_000)
    floor = CrossFloor(tmp_path, (*TRIANGLE, "BTC/EUR", "EUR/USDT", *PERPS), dislocations=how, seconds=120, seed=4)
    strategies = {"arbitrage": EAGER, "momentum": MOMENTUM, "scalping": SCALPING}
    try:
        async with crossing(floor, tmp_path, strategies=strategies, perps=PERPS, limits=ROOMY) as running:
            orders = running.core.state.orders
            numbers = {number for number, name in STRATEGY_NAMES.items() if name in strategies}
            await running.until(lambda: numbers <= set(orders["strategy"].tolist()) and judged(running) >= 2, 90)
            await running.until(lambda: is_idle(running), 10)
            await running.emergency()
    finally:
        floor.stop()


@pytest.mark.soak
async def test_ten_minutes_with_faults(tmp_path: Path) -> None:
    """Ten minutes of dislocations, a fault aimed at some leg every ten seconds."""
    chance, armed = random.Random(7), Counter[str]()
    how = Dislocating(per_minute=12, bps=100, duration_ms=1_500)
    floor = CrossFloor(tmp_path, dislocations=how, seconds=SECONDS + 30, seed=7)
    loop = asyncio.get_running_loop()
    try:
        async with crossing(floor, tmp_path) as running:
            end = loop.time() + SECONDS
            while loop.time() < end:
                await asyncio.sleep(10)
                name = chance.choice(list(TROUBLES))
                await aim(floor, TROUBLES[name], chance.choice(list(floor.exchange.by_name)))
                armed[name] += 1
            await running.until(lambda: is_idle(running), 30)
        found, begun = cycles(running), floor.begun
        await agree(running)
    finally:
        floor.stop()
    head = running.core.state.head[0]
    told = {
        "seconds": SECONDS, "synthetic": True, "load_1m": round(os.getloadavg()[0], 1), "dislocations": len(begun),
        "dislocations_taken": sum(one["taken_lots"] > 0 for one in begun), "faults_armed": dict(armed),
        "cycles": len(found), "winners": sum(one.is_winner for one in found),
        "won_usd": round(sum(one.realised_usd for one in found), 4),
        "worst_usd": round(min(one.realised_usd for one in found), 4),
        "worst_of_its_bound": round(min(one.realised_usd / one.bound_usd for one in found), 4),
        "gross_usd": int(head.gross_e8) / 1e8, "fees_usd": int(head.fees_e8) / 1e8,
    }  # fmt: skip
    RESULT.write_text(json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2))
    check(found, 10)
