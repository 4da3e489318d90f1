"""Compiling what the engine runs, once per build, so that it starts at once afterwards."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

import numpy as np

from engine.contracts.instruments import Instrument
from engine.contracts.records import RECORD
from engine.core.compile import is_compiled_before, watch_compilation
from engine.core.limits import Limits
from engine.core.live import LiveCore
from engine.core.state import new_core
from engine.journal.recovery import compile_recovery
from engine.signals.forecasting import Closings
from engine.simulation.paper import PaperVenue, new_account
from engine.simulation.venue import SimulationModel
from engine.venues.candles import path_records

ENTRIES: Final = ("_take_at", "_happen_at", "_send_at", "lay_bars", "fill_block", "replay_block", "watch_closings")
TIMEFRAMES_S: Final = (60, 180, 720)


def is_compiled() -> bool:
    """Whether this build's machine code is there already."""
    return all(is_compiled_before(entry) for entry in ENTRIES)


def compile_engine(tell: Callable[[str], None]) -> None:
    """Make every compiled part once, as the engine does; `tell` hears how many functions are done."""
    if is_compiled():
        return
    one = Instrument(
        symbol="BTC/USDT", venue="binance", base="BTC", quote="USDT", tick_size=Decimal("0.01"),
        lot_size=Decimal("0.00001"), min_qty=Decimal("0.00001"), max_qty=Decimal(1000),
    )  # fmt: skip
    with watch_compilation(lambda count: tell(f"compiling the core, once per build: {count} functions")):
        core = new_core([one], Limits(), 1000.0, {}, TIMEFRAMES_S)
        LiveCore(core)
        compile_recovery(core)  # the first start after a death is no time to compile
        PaperVenue(new_account([one], SimulationModel(), 1000.0))
        list(Closings(1, TIMEFRAMES_S[0]).take(np.zeros(1, RECORD)))
        path_records(one, 0, [(0, 1.0, 2.0, 1.0, 2.0, 5.0)], TIMEFRAMES_S[0])
