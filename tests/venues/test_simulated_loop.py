"""The runtime's own loop on a paper venue, in virtual time, journals what a backtest of the same market journals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated_rig import EAGER, TIMEFRAMES, Bench, Hand, Market, backtest, perp, spot

from engine.contracts import records as r
from engine.contracts.errors import Refused
from engine.core import state
from engine.core.limits import Limits
from engine.core.timers import NEVER
from engine.journal import segments
from engine.runtime.loop import LiveLoop
from engine.simulation.venue import SimulationModel
from engine.venues.port import Notice

pytestmark = pytest.mark.asyncio
MARKET_KINDS = (r.QUOTE, r.TRADE)  # a funding event of the market has no amount, its payment has


class Route:
    """The way to the venue, cut once the market is over: a backtest sends nothing then."""

    def __init__(self, bench: Bench, fault: Exception | None = None) -> None:
        self.bench = bench
        self.is_open = True
        self.fault = fault  # what the first command meets

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bench.venue.execution, name)

    def send(self, command: Any) -> None:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        if self.is_open:
            self.bench.send(command)


async def trade_on_paper(market: Market, folder: Path) -> tuple[Any, state.Core]:
    """The journal and the core after the loop traded the market."""
    clock = Hand(0)
    core = state.new_core(market.instruments, Limits(), 1_000.0, EAGER, TIMEFRAMES)
    bench = Bench(*market.instruments, clock=clock)
    route = Route(bench)
    notices: list[Notice] = []
    journal = segments.JournalWriter(folder)
    engine = LiveLoop(core, journal, [route] * len(market.instruments), notices.append, clock.now_ns)
    bench.inlet = engine.lanes
    events = market.events()
    first = np.flatnonzero(np.diff(events["ts_ns"], prepend=-1)).tolist()
    async with bench:
        for start, end in zip(first, [*first[1:], len(events)], strict=True):
            now_ns = int(events["ts_ns"][start])
            while (due_ns := min(clock.next_ns, int(core.state.head[0].next_timer_ns))) < now_ns:
                clock.turn(due_ns)
                engine.pump()
            clock.set(now_ns)
            bench.feed.say(events[start:end].copy())
            engine.pump()
        route.is_open = False
        while clock.next_ns < NEVER:
            clock.ring()
            engine.pump()
    engine.close()
    journal.close()
    assert engine.in_flight.unanswered == 0
    return r.joined(list(segments.read(folder))), core


@pytest.mark.parametrize(
    "instruments", [[spot(), spot("BREN", fee_in_base=True)], [perp(), spot()]], ids=["spot", "perp"]
)
async def test_the_live_loop_and_a_backtest_decide_the_same(instruments: list[Any], tmp_path: Path) -> None:
    market = Market(instruments, seed=11, minutes=120)
    session, expected = backtest(market, 1_000.0, SimulationModel())
    journal, core = await trade_on_paper(market, tmp_path)
    kinds, amounts = journal["record"]["kind"], journal["record"]["amount_e8"]
    is_market = np.isin(kinds, MARKET_KINDS) | ((kinds == r.FUNDING) & (amounts == 0))
    assert is_market.sum() == len(market.events())
    made = [entry.tobytes() for entry in journal[~is_market]]
    assert made == [entry.tobytes() for entry in expected]
    assert state.digest(core) == state.digest(session.core)
    assert (kinds == r.CLOSED).sum() > 5


async def until_the_first_command(folder: Path, fault: Exception) -> tuple[LiveLoop, list[Notice], list[int]]:
    """The loop after the way to the venue failed with its first command: notices, and the kinds journalled."""
    market = Market([spot()], seed=11, minutes=120)
    clock = Hand(0)
    core = state.new_core(market.instruments, Limits(), 1_000.0, EAGER, TIMEFRAMES)
    bench = Bench(*market.instruments, clock=clock)
    route = Route(bench, fault)
    notices: list[Notice] = []
    journal = segments.JournalWriter(folder)
    engine = LiveLoop(core, journal, [route], notices.append, clock.now_ns)
    bench.inlet = engine.lanes
    async with bench:
        for event in market.events():
            clock.set(max(int(event["ts_ns"]), clock.now_ns()))
            bench.feed.say(np.array([event]))
            engine.pump()
            if route.fault is None:
                engine.pump()  # what the failure is answered with
                break
    engine.close()
    journal.close()
    return engine, notices, r.joined(list(segments.read(folder)))["record"]["kind"].tolist()


async def test_a_command_that_cannot_be_handed_over_is_unknown_and_told(tmp_path: Path) -> None:
    engine, notices, kinds = await until_the_first_command(tmp_path, Refused("no such thing"))
    assert kinds.index(r.PLACE) < kinds.index(r.ORDER_UNKNOWN) and not engine.broken.done()
    assert any("may not have left: no such thing" in one.text for one in notices)


async def test_a_mistake_in_the_midst_of_a_turn_ends_the_engine_and_keeps_its_journal(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        await until_the_first_command(tmp_path, ZeroDivisionError())
    assert r.PLACE in r.joined(list(segments.read(tmp_path)))["record"]["kind"].tolist()
