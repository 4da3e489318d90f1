"""A live loop with one signal source beside it, under a clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from engine.contracts.errors import KeelError
from engine.contracts.instruments import Instrument
from engine.contracts.records import FORECAST, RECORD, joined
from engine.core import state
from engine.core.limits import Limits
from engine.journal import segments
from engine.runtime import signal_host
from engine.runtime.loop import LiveLoop
from engine.runtime.signal_host import SignalHost, open_hosts
from engine.signals.forecasting import Closings, Forecasting
from engine.signals.plan import SignalPlan
from engine.venues.port import Notice

DELAY_NS: Final = 250_000_000


class Rig:
    """A live loop, a clock, one source, and what people were told."""

    def __init__(self, folder: Path, host: SignalHost, instruments: Sequence[Instrument]) -> None:
        self.now = 0
        self.told: list[Notice] = []
        self.core = state.new_core(instruments, Limits(), 1_000.0, {}, (300, 900, 1800))
        self.folder = folder
        self.journal = segments.JournalWriter(folder)
        self.engine = LiveLoop(self.core, self.journal, [], self.told.append, lambda: self.now)
        self.host = host
        self.engine.taps.append(host.hear)

    def run(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.host.run(self.engine.inject, lambda: self.now, self.told.append))

    async def feed(self, events: Any) -> None:
        """Let the engine take them; then it is a quarter of a second after the last."""
        self.engine.inject(events)
        self.now = max(self.now, int(events["ts_ns"][-1]) + DELAY_NS)

    async def answered(self, running: asyncio.Task[None] | None = None) -> None:
        async with asyncio.timeout(20):
            while self.host.waiting and not (running and running.done()):
                await asyncio.sleep(0.001)

    def forecasts(self) -> Any:
        records = joined(list(segments.read(self.folder)))["record"]
        return records[records["kind"] == FORECAST]


@asynccontextmanager
async def rig(
    folder: Path, of: SignalPlan, instruments: Sequence[Instrument], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    """A rig whose source's process runs, and is ended."""
    monkeypatch.setattr(signal_host, "LOOK_S", 0.0)
    (host,) = await open_hosts({"mine": of}, instruments)
    made = Rig(folder, host, instruments)
    try:
        yield made
    finally:
        await host.close()
        made.engine.close()
        made.journal.close()


def turns(events: Any, instruments: int, width_s: int) -> list[Any]:
    """The events in stretches that end with a price that closes a bar."""
    ends = [int(one["ts_ns"]) for one in Closings(instruments, width_s).take(events)]
    cuts = np.searchsorted(events["ts_ns"], sorted(set(ends)), side="right").tolist()
    return [events[first:last] for first, last in zip([0, *cuts], cuts, strict=False)]


def said(market: Any, of: SignalPlan) -> Any:
    """The forecasts of a backtest, in order."""
    blocks = [block[block["kind"] == FORECAST] for block in Forecasting(market, {"mine": of}).blocks()]
    return joined([block for block in blocks if len(block)], RECORD)


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel it, and wait until its process is gone."""
    task.cancel()
    with suppress(asyncio.CancelledError, KeelError):
        await task
