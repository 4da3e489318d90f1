"""Momentum parts a position over the wire: a part leaves at the first target, and at every moment the venue has a stop
for the right quantity of the rest; the journal and the venue's own books agree, and the run replays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from engine_rig import Floor, Trading, spot, trading, usdm
from perp_rig import PERP, SPOT, perp_books, trader
from venue_books import agree

from engine.contracts import reasons
from engine.contracts import records as r
from engine.research.replay import replay

pytestmark = pytest.mark.asyncio(loop_scope="function")
SHARE: Final = 0.4
QUICK: Final[dict[str, dict[str, float]]] = {
    "momentum": {
        "fast": 2, "slow": 3, "agree": 1, "breakout_bars": 2, "surge": 0, "surge_span": 2, "atr_span": 2,
        "min_place": 0, "min_turnover_usd": 0, "min_breadth": 0, "min_btc_trend": -50, "max_btc_range_pct": 100,
        "pump_volume": 0, "max_spread_bps": 200, "stop_atr": 0.2, "min_stop_pct": 2, "entry_cap_bps": 50,
        "first_exit_share": SHARE, "first_target_r": 1, "target_r": 50, "trail_start_r": 20,
    }
}  # fmt: skip
"""Any rise over a few seconds is a breakout; the stop lies 2 % below, and only the first target ever comes."""
TIMEFRAMES_S: Final = (1, 2, 3)


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"), (SPOT, PERP), accounts=3)
    yield running
    running.stop()


@asynccontextmanager
async def bought(floor: Floor, home: Path, number: int, symbol: str) -> AsyncIterator[Trading]:
    """A momentum position behind its whole stop."""
    venue = (usdm if symbol == PERP else spot)(floor, number)
    plan = {"strategies": QUICK, "timeframes_s": TIMEFRAMES_S, "warm_up_bars": 6}
    async with trading(floor, home, number, venues=[(venue, [symbol])], plan=plan) as running:
        position = running.position()
        for _ in range(20):  # a perpetual has no candles of a second to warm up with
            if position.qty_lots != 0:
                break
            await running.move(1.001)
        await running.until(lambda: position.qty_lots != 0 and position.entry_id == 0)
        await running.guarded()
        await running.settle()
        assert running.has_stop() and position.parted_lots == 0
        yield running


def entry_price(running: Trading) -> float:
    p, one = running.position(), running.core.instruments[0]
    return float(p.cost_e8) / 1e8 / float(one.lot_size * abs(int(p.qty_lots)))


async def reach_target(running: Trading) -> None:
    """The price passes the first target, which lies one planned loss above the entry."""
    one, first_stop = running.core.instruments[0], int(running.position().first_stop_ticks)
    goal = 2 * entry_price(running) - first_stop * float(one.tick_size)
    await running.quote(round(goal * 1.001, 1))


def stops(running: Trading) -> list[tuple[int, int, int]]:
    """(lots, trigger, replaced) of the stops that were sent, in order."""
    records = running.records()["record"]
    sent = records[(records["kind"] == r.PLACE) & (records["role"] == r.ROLE_STOP)]
    return [(int(one["qty_lots"]), int(one["trigger_ticks"]), int(one["ref_id"])) for one in sent]


async def parted(running: Trading, whole: int) -> int:
    """The part has left, and with the next price the rest is behind a stop that ends in no loss; how much is left."""
    position, bought_at = running.position(), entry_price(running)
    part = int(SHARE * whole)
    await running.until(lambda: int(position.qty_lots) == whole - part and running.has_stop())
    await running.settle()
    assert int(position.parted_lots) == part and position.exit_reason == 0
    await running.quote(running.mid)
    tick = float(running.core.instruments[0].tick_size)
    await running.until(lambda: int(position.stop_ticks) * tick > bought_at and running.has_stop())
    await running.settle()
    return whole - part


def check_journal(running: Trading, whole: int, rest: int) -> None:
    """One part left; every stop replaced the one before it; none but the first was for more than what stays."""
    sent = stops(running)
    assert sent[0][0] == whole and sent[0][2] == 0
    assert [lots for lots, _, _ in sent[1:]] == [rest] * (len(sent) - 1) and all(ref for _, _, ref in sent[1:])
    assert sent[-1][1] > sent[0][1], "what is left is not to end in a loss"
    records = running.records()["record"]
    parts = records[(records["kind"] == r.PLACE) & (records["reason"] == reasons.PARTIAL_EXIT)]
    assert [int(one["qty_lots"]) for one in parts] == [whole - rest]
    assert not (records["kind"] == r.VIOLATION).any()


async def test_spot_parts_and_the_rest_has_its_stop(floor: Floor, tmp_path: Path) -> None:
    async with bought(floor, tmp_path, 0, SPOT) as running:
        whole, one = int(running.position().qty_lots), running.core.instruments[0]
        bought_at = entry_price(running)
        await reach_target(running)
        rest = await parted(running, whole)
        (order,) = await running.ask("/api/v3/openOrders", symbol="BTCUSDT")
        assert Decimal(order["origQty"]) == one.quantity(rest) and Decimal(order["stopPrice"]) > Decimal(bought_at)
        check_journal(running, whole, rest)
        assert not running.told("alarm")
    await agree(running)


async def test_a_perpetual_parts_and_the_rest_has_its_stop(floor: Floor, tmp_path: Path) -> None:
    async with bought(floor, tmp_path, 1, PERP) as running:
        whole = int(running.position().qty_lots)
        await reach_target(running)
        rest = await parted(running, whole)
        (algo,) = await asyncio.to_thread(trader(floor, 1).waiting)
        assert algo.lots == rest == perp_books(floor, 1).lots and algo.reduce_only
        check_journal(running, whole, rest)
    replayed = replay(running.service.run_dir)
    assert replayed.ok, replayed.first_difference


async def test_a_part_the_venue_does_not_take_goes_behind_the_stop_again(floor: Floor, tmp_path: Path) -> None:
    """Answered 503: nothing was accepted. It is offered once more when its pause is over."""
    async with bought(floor, tmp_path, 2, SPOT) as running:
        whole = int(running.position().qty_lots)
        await asyncio.to_thread(floor.fault, "A7", symbol="BTCUSDT", count=1, order_types=["LIMIT"])
        await reach_target(running)
        smaller = whole - int(SHARE * whole)
        await running.until(lambda: [lots for lots, _, _ in stops(running)][1:] == [smaller, whole])
        await running.until(running.has_stop)
        assert int(running.position().qty_lots) == whole and running.position().parted_lots == 0
        async with running.busy():
            await running.until(lambda: running.position().parted_lots != 0, 15)
        rest = await parted(running, whole)
        records: Any = running.records()["record"]
        parts = records[(records["kind"] == r.PLACE) & (records["reason"] == reasons.PARTIAL_EXIT)]
        assert [int(one["qty_lots"]) for one in parts] == [whole - rest] * 2
        filled = records[(records["kind"] == r.FILL) & (records["client_id"] == parts["client_id"][0])]
        assert len(filled) == 0
    await agree(running)
