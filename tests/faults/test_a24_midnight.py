"""Fault A24 through the whole engine: UTC midnight passes with an open loser, while it runs and while nothing runs.

The day ends a little after a life began, or between two lives: the state that the later life goes on with says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine_rig import Floor, Trading, trading
from perp_rig import recovered
from venue_books import agree

from engine.contracts import reasons
from engine.contracts import records as r
from engine.core.days import DAY_NS
from engine.core.limits import Limits
from engine.research.replay import replay

pytestmark = pytest.mark.asyncio(loop_scope="function")
E8 = 10**8
LIMITS = Limits(max_data_age_s=30.0, orders_per_minute=600.0)
SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def whole_floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"), accounts=4)
    yield running
    running.stop()


@pytest.fixture
def floor(whole_floor: Floor) -> Iterator[Floor]:
    yield whole_floor
    whole_floor.calm()


def equity_e8(life: Trading) -> int:
    head = life.core.state.head[0]
    book = head.deposits_e8 + head.gross_e8 - head.fees_e8 + head.funding_e8
    return int(book + head.unrealised_e8)


async def lose(life: Trading) -> None:
    """A position opens and its price falls by two per cent: its stop, at five, stands."""
    await life.enter()
    await life.guarded()
    position = life.position()
    await life.quote(round(life.mid * 0.98, 2))
    await life.until(lambda: position.unrealised_e8 < -E8)
    life.say(reasons.OPERATOR_PAUSE)
    await life.until(lambda: life.trading_state == "REDUCING")


def plan(life: Trading, day_ends_in_ns: int, **head: int) -> dict[str, Any]:
    """The next life's: its day ends so long from now (or ended so long ago), and its strategy lets the loser be."""
    before = recovered(life)
    before.core.state.head["day_end_ns"] = time.time_ns() + day_ends_in_ns
    for name, value in head.items():
        before.core.state.head[name] = value
    return {"continues": before, "limits": LIMITS, "strategies": {"momentum": {}}}


def next_midnight_ns() -> int:
    return (time.time_ns() // DAY_NS + 1) * DAY_NS


async def test_a24_midnight_with_an_open_loser(floor: Floor, tmp_path: Path) -> None:
    """What is lost so far is yesterday's; the new day's limit is of what is there now; the loser keeps its stop."""
    async with trading(floor, tmp_path, 0, plan={"limits": LIMITS}) as first:
        await lose(first)
    async with trading(floor, tmp_path, 0, plan=plan(first, 8 * SECOND_NS)) as second, second.busy():
        head, position = second.core.state.head[0], second.position()
        yesterday_e8 = int(head.day_start_e8)
        assert head.day_end_ns < next_midnight_ns() and equity_e8(second) < yesterday_e8 - E8, (
            "it loses before midnight"
        )
        await second.until(lambda: head.day_end_ns == next_midnight_ns(), 20.0)
        assert head.day_start_e8 == equity_e8(second) < yesterday_e8 - E8
        assert head.day_limit_e8 == min(20 * E8, int(head.day_start_e8) // 10_000 * 200)
        assert position.qty_lots > 0 and second.has_stop() and second.trading_state == "REDUCING"
        assert head.peak_e8 > head.day_start_e8, "a drawdown is counted over midnight"
        second.say(reasons.OPERATOR_RESUME)
        await second.close()
    assert replay(second.service.run_dir).ok
    await agree(second, since=first)


async def test_a24_midnight_passed_while_no_engine_ran(floor: Floor, tmp_path: Path) -> None:
    """The next life judges the day: a loss beyond its limit is noted as a gap, and halt, peak and cool-downs stay."""
    async with trading(floor, tmp_path, 1, plan={"limits": LIMITS}) as first:
        await lose(first)
        first.say(reasons.OPERATOR_HALT)
    waits_ns = time.time_ns() + 3_600 * SECOND_NS
    given = plan(first, -3 * 3_600 * SECOND_NS, day_limit_e8=E8 // 2)  # half a dollar: more was lost
    given["continues"].core.state.positions["cooldown_ns"] = waits_ns
    peak_e8 = int(given["continues"].core.state.head[0].peak_e8)
    async with trading(floor, tmp_path, 1, plan=given) as second:
        head = second.core.state.head[0]
        assert head.day_end_ns == next_midnight_ns() and head.day_start_e8 < 1_000 * E8 - E8
        assert head.day_limit_e8 == min(20 * E8, int(head.day_start_e8) // 10_000 * 200), "grown at midnight"
        assert second.trading_state == "HALTED" and head.peak_e8 == peak_e8
        assert second.position().cooldown_ns == waits_ns
        assert second.position().qty_lots > 0 and second.has_stop()
        gaps = second.records()["record"]
        gaps = gaps[gaps["kind"] == r.GAP]
        assert len(gaps) == 1 and gaps["planned_e8"][0] == E8 // 2 and gaps["loss_e8"][0] > E8
        await second.emergency()
    assert replay(second.service.run_dir).ok
    await agree(second, since=first)


async def test_a24_a_new_day_that_cannot_bear_the_open_risk_closes_it(floor: Floor, tmp_path: Path) -> None:
    """Tightened meanwhile to less than the open position may lose at its stop: midnight fits the risk to the limit."""
    async with trading(floor, tmp_path, 2, plan={"limits": LIMITS}) as first:
        await lose(first)
    given = plan(first, -SECOND_NS) | {"limits": msgspec.structs.replace(LIMITS, day_loss_usd=1.0)}
    async with trading(floor, tmp_path, 2, plan=given) as second, second.busy():
        position = second.position()
        await second.until(lambda: position.qty_lots == 0)
        await second.until(lambda: not second.working())
        assert second.trading_state == "REDUCING" and second.core.state.head[0].day_limit_e8 == E8
        closed = second.records()["record"]
        assert [int(one) for one in closed["reason"][closed["kind"] == r.CLOSED]] == [reasons.DAY_LIMIT_EXIT]
    assert replay(second.service.run_dir).ok
    await agree(second, since=first)
