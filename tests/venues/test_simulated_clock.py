"""The paper venue by the wall clock, on both event loops: answered in time, never before."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import uvloop
from simulated_rig import MS, SECOND_NS, Bench, place, quote

from engine.contracts import records as r
from engine.simulation.venue import SimulationModel
from engine.venues.simulated.venue import open_simulated


async def trade() -> list[tuple[int, Any]]:
    """Ten market orders in a silent market: when each answer was told, and the answer."""
    told: list[tuple[int, Any]] = []
    done = asyncio.Event()

    class Ear:
        def market(self, batch: Any, count: int) -> None: ...

        def account(self, batch: Any, count: int) -> None:
            told.extend((time.time_ns(), one.copy()) for one in batch[:count])
            if len(told) == 20:
                done.set()

        def notice(self, notice: Any) -> None: ...

    bench = Bench(inlet=Ear())
    model = SimulationModel(order_latency_ms=3.3, reply_latency_ms=2.1)
    bench.venue = open_simulated(bench.feed, model, 1_000.0)
    async with bench:
        bench.feed.say(quote(time.time_ns(), 1000, 1002))
        for number in range(1, 11):
            bench.send(place(number, r.BUY, 10, time.time_ns()))
            await asyncio.sleep(0.004)
        await asyncio.wait_for(done.wait(), 5)
    return told


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_answers_come_when_they_are_due(loop: Any) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        told = runner.run(trade())
    assert [int(one["kind"]) for _, one in told] == [r.ORDER_ACK, r.FILL] * 10
    for told_ns, one in told:
        assert int(one["ts_ns"]) <= told_ns < int(one["ts_ns"]) + SECOND_NS
        assert int(one["ts_ns"]) - int(one["venue_ts_ns"]) == 2.1 * MS
