"""Plain crossover of two exponential means, long only: the yardstick other engines can be held against.

Enters when the fast mean closes above the slow one after having been at or below it, leaves when it closes
below; a fixed stop of `stop_pct`. Fixed size: `qty` base units, or `notional_usd` where that is 0.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts.records import BUY
from engine.core import bars
from engine.core.compile import kernel
from engine.core.entry import enter_lots, terms_of
from engine.core.indicators import ema
from engine.core.money import value_up
from engine.core.protect import want_exit
from engine.core.strategies.spec import EXECUTION, Param, Strategy

NUMBER: Final = 2

PARAMS: Final = (
    Param("fast", 48, 1, 1000, "bars", "span of the fast mean", True),
    Param("slow", 192, 2, 5000, "bars", "span of the slow mean", True),
    Param("stop_pct", 5.0, 0.05, 90, "%", "distance of the stop from the ask at entry"),
    Param("notional_usd", 75.0, 1.0, 1e6, "USD", "size of a position"),
    Param("qty", 0.0, 0.0, 1e12, "base units", "size of a position in base units; 0: by notional_usd"),
    Param("entry_cap_bps", 50, 0.0, 100, "bps", "worst entry price against the touch"),
    *EXECUTION,
)

STATE: Final = np.dtype((np.record, [("fast", "<f8"), ("slow", "<f8"), ("above", "<i8"), ("seen", "<i8")]))


@kernel
def lots_of(s: Any, i: int) -> int:
    """The fixed size in lots, rounded down."""
    p = s.crossover_params[0]
    instrument = s.instruments[i]
    if p.qty > 0.0:
        return int(p.qty * 1e8 / instrument.lot_base_e8 + 1e-9)
    sample = 1_000_000
    value = value_up(instrument, s.books[i].ask_ticks, sample)
    return int(p.notional_usd * 1e8 / value * sample) if value > 0 else 0


@kernel
def on_bar(s: Any, out: Any, i: int, closed_mask: int) -> None:
    """Act on the close of a base bar."""
    if closed_mask & 1 == 0:
        return
    m = s.crossover[i]
    p = s.crossover_params[0]
    close = float(bars.closed_bar(s, i, 0, 0).close_ticks)
    m.fast = ema(m.fast, close, p.fast, m.seen)
    m.slow = ema(m.slow, close, p.slow, m.seen)
    m.seen += 1
    above = 1 if m.fast > m.slow else 0
    crossed_up = above == 1 and m.above == 0 and m.seen > p.slow
    m.above = above
    position = s.positions[i]
    if position.qty_lots != 0:
        if above == 0 and position.strategy == NUMBER:
            want_exit(s, i, reasons.EXIT_SIGNAL)
    elif crossed_up and s.books[i].ask_ticks > 0:
        stop = int(s.books[i].ask_ticks * (1.0 - p.stop_pct / 100.0))
        enter_lots(s, out, i, NUMBER, BUY, lots_of(s, i), stop, terms_of(p), 1)


@kernel
def on_tick(s: Any, out: Any, i: int) -> None:
    """Nothing happens between bars: the stop is at the venue."""


@kernel
def forget(s: Any, i: int) -> None:
    """Begin the means anew."""
    m = s.crossover[i]
    m.fast = m.slow = 0.0
    m.above = m.seen = 0


RISING: Final = (("fast", "slow"),)

STRATEGY: Final = Strategy(
    NUMBER, "crossover", "Crossover of two means", PARAMS, STATE, on_bar, on_tick, forget, RISING
)
