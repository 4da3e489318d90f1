"""Over recorded quotes of two Bitcoin markets: beside a live loop a class says what it says in a backtest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from live_rig import DELAY_NS, ended, rig, said, turns

from engine.contracts.records import RECORD, joined
from engine.markets.market import open_market
from engine.signals.plan import SignalPlan

pytestmark = pytest.mark.asyncio
WIDTH_S = 2


@pytest.fixture(scope="module")
def quotes() -> Path:
    folder = Path(os.environ.get("KEEL_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))
    path = folder / "book" / "binance_hft_bbo.parquet"
    if not path.is_file():
        pytest.skip(f"no recorded quotes in {folder} (set KEEL_DATA_DIR)")
    return path


async def test_a_recording_says_the_same_live_and_in_a_backtest(
    quotes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = open_market([quotes])
    events = joined([next(market.blocks(25_000))], RECORD)
    given = {"timeframe_s": WIDTH_S, "span": 5, "enter_z": 0.4}
    mine = SignalPlan(
        name="mine", class_path="engine.signals.reversion:Reversion", parameters=given, delay_ms=DELAY_NS / 1e6
    )
    async with rig(tmp_path, mine, market.instruments, monkeypatch) as made:
        running = made.run()
        for part in turns(events, len(market.instruments), WIDTH_S):
            await made.feed(part)
            await made.answered(running)
        assert not running.done() and not made.told
        await ended(running)
        found = made.forecasts()

    class First:
        instruments = market.instruments

        def blocks(self, max_records: int = 0) -> Any:
            yield events.copy()

    expected = said(First(), mine)
    assert len(expected) >= 4 and found[: len(expected)].tobytes() == expected.tobytes()
    assert len(found) <= len(expected) + len(market.instruments)
