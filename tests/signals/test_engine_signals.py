"""The whole engine on the sandbox, a user's class beside it: it forecasts, hangs, comes back; the engine trades on."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from engine_rig import Floor, trading

from engine.contracts import records as r
from engine.contracts.errors import BadInput
from engine.core.strategies import table
from engine.journal import ledger as ledgers
from engine.research.replay import replay
from engine.signals.forecasting import Forecasting
from engine.signals.plan import SignalPlan

pytestmark = pytest.mark.asyncio
SYMBOL = "BTC/USDT"
SECOND_NS = 10**9


class Heard:
    """What the engine journalled of the market, as a market."""

    def __init__(self, instruments: Any, entries: Any) -> None:
        self.instruments = list(instruments)
        rows = np.ascontiguousarray(entries.view(np.uint8).reshape(-1, r.ENTRY.itemsize)[:, 8:])
        events = rows.reshape(-1).view(r.RECORD)
        keep = (events["kind"] <= r.FUNDING) | (events["kind"] == r.FEED_STATUS)
        self._events = np.ascontiguousarray(rows[keep]).reshape(-1).view(r.RECORD)

    def blocks(self, max_records: int = 0) -> Any:
        yield self._events.copy()


async def test_an_engine_hears_forecasts_and_outlives_its_source(tmp_path: Path) -> None:
    file = tmp_path / "hang"
    mine = SignalPlan(
        name="mine", class_path="spoken:HangOnce", timeout_s=1.0,
        parameters={"timeframe_s": 1, "lookback": 6, "valid_s": 30.0, "file": str(file)},
    )  # fmt: skip
    floor = Floor(tmp_path / "floor", (SYMBOL,), accounts=2)
    try:
        async with trading(floor, tmp_path / "home", 0, plan={"signals": {"mine": mine}}) as running:
            forecasts = running.core.state.forecasts
            async with running.busy():
                await running.until(lambda: forecasts[0]["confidence_e9"] > 0, 20)
                file.touch()
                await running.until(
                    lambda: any("signal source mine stopped" in one for one in running.told("lost")), 20
                )
            assert not file.exists()
            assert "no answer within 1 s" in " ".join(running.told("lost"))
            await running.enter()
            async with running.busy():
                before = int(forecasts[0]["expires_ns"])
                await running.until(lambda: forecasts[0]["expires_ns"] > before + 3 * SECOND_NS, 20)
            await running.leave()
    finally:
        floor.stop()
    run_dir, entries = running.service.run_dir, running.records()
    assert running.service.manifest.signals["mine"].startswith("spoken:HangOnce(timeframe_s=1")
    records = entries["record"]
    given = records[(records["kind"] == r.FORECAST) & (records["confidence_e9"] > 0)]
    assert len(given) >= 2 and ledgers.fold([entries], running.core.instruments, table.NAMES).trades
    heard = Forecasting(Heard(running.core.instruments, entries), {"mine": mine})
    blocks = [block[block["kind"] == r.FORECAST] for block in heard.blocks()]
    again = {int(one["venue_ts_ns"]): one["value_e9"] for block in blocks for one in block}
    assert all(again[int(one["venue_ts_ns"])] == one["value_e9"] for one in given), "the same class, the same bars"
    assert replay(run_dir).ok


async def test_an_engine_does_not_start_with_a_class_it_cannot_use(tmp_path: Path) -> None:
    mine = SignalPlan(name="mine", class_path="spoken:NoLength")
    floor = Floor(tmp_path / "floor", (SYMBOL,), accounts=1)
    try:
        with pytest.raises(BadInput, match="signals.mine: spoken:NoLength.timeframe_s = None must be a whole number"):
            async with trading(floor, tmp_path / "home", 0, plan={"signals": {"mine": mine}}):
                await asyncio.sleep(0)
    finally:
        floor.stop()
    assert not (tmp_path / "home" / "runs").exists()
