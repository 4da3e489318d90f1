"""Leverage from the stop: the smallest that pays for the position, none that brings liquidation near the stop.

The size comes from the distance to the stop alone (`sizing`). Leverage only decides how much margin that size ties up;
more of it never makes a position larger than its risk allows, and liquidation must lie further away than the stop.
"""

from __future__ import annotations

from typing import Any

from engine.core.compile import kernel
from engine.core.limits import SCALE
from engine.core.portfolio import liquidation_ticks
from engine.core.sizing import lots_for


@kernel
def is_far_enough(s: Any, i: int, side: int, ticks: int, stop_ticks: int, leverage: int, buffer: float) -> bool:
    """Liquidation at this leverage is at least ``(1 + buffer)`` times as far from the entry as the stop."""
    away = (ticks - liquidation_ticks(s, i, side, float(ticks), leverage)) * side
    return away >= (ticks - stop_ticks) * side * (1.0 + buffer)


@kernel
def most_leverage(s: Any, i: int, side: int, ticks: int, stop_ticks: int, cap: int, buffer: float) -> int:
    """The highest leverage that the instrument, the account and `cap` allow and whose liquidation lies far enough
    away; `buffer` and the account's own apply, the wider one. 0 where not even 1 does."""
    limits = s.limits[0]
    wider = max(buffer, limits.liquidation_buffer_pct / (100.0 * SCALE))
    most = min(min(cap, s.instruments[i].max_leverage), limits.max_leverage // SCALE)
    while most > 0 and not is_far_enough(s, i, side, ticks, stop_ticks, most, wider):
        most -= 1
    return most


@kernel
def least_leverage(s: Any, i: int, side: int, ticks: int, stop_ticks: int, share: float, most: int) -> int:
    """The smallest leverage up to `most` with which the size that the stop allows can be paid for."""
    wanted = lots_for(s, i, side, ticks, stop_ticks, most, share)
    for leverage in range(1, most):
        if lots_for(s, i, side, ticks, stop_ticks, leverage, share) >= wanted:
            return leverage
    return most
