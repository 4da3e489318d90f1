"""A part of a position leaves at a price, the rest stays behind its stop.

Rules
-----
* Spot coins lie in one order only: the stop is made smaller first, and once the venue has confirmed that the part is
  offered at its price, at once or not at all. What did not leave goes behind the stop again.
* A perpetual's reduce-only stop stays as large as it is until the part has left.
* The two seconds without a stop (`engine.core.protect`) run for the part as for anything else: then all of it leaves.
* Nothing is parted that the venue would not take as an order, neither the part nor, at its stop, the rest.
* A part that found no buyer at its price is tried again by whoever wants it, after a pause that doubles.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.core.compile import kernel
from engine.core.limits import SCALE
from engine.core.money import value_down
from engine.core.portfolio import stop_fill_ticks


@kernel
def want_part(s: Any, i: int, lots: int, ticks: int) -> bool:
    """Ask for `lots` of a position to leave at `ticks` or better while the rest stays behind its stop. False, and
    nothing is asked, while anything else is under way, and where the venue would not take the part, or at its stop
    the rest, as an order."""
    p = s.positions[i]
    instrument = s.instruments[i]
    leaving = p.exit_reason != 0 or p.exit_id != 0 or p.part_lots != 0
    entering = p.entry_id != 0 or s.plans[i].client_id != 0
    if leaving or entering or p.doubts != 0 or p.stop_ticks <= 0 or s.head[0].now_ns < p.part_after_ns:
        return False
    rest = abs(p.qty_lots) - lots
    if min(lots, rest) < max(instrument.min_lots, 1):
        return False
    part_e8 = value_down(instrument, ticks, lots)
    rest_e8 = value_down(instrument, stop_fill_ticks(s, p.stop_ticks, p.side), rest)
    if instrument.is_perp == 0 and min(part_e8, rest_e8) < instrument.min_notional_e8:
        return False
    p.part_lots = lots
    p.part_ticks = ticks
    return True


@kernel
def break_even_ticks(s: Any, i: int) -> int:
    """Where a stop closes what is open without a loss on it: its cost, the fees of both ways and the slippage allowance
    are covered. Rounded in the position's favour."""
    p = s.positions[i]
    instrument = s.instruments[i]
    fee = instrument.taker_fee_e8 / 1e8
    slip = s.limits[0].stop_slippage_bps / (10_000.0 * SCALE)
    entry = float(p.cost_e8) * instrument.value_den / (float(instrument.value_num) * abs(p.qty_lots))
    if p.side > 0:
        return int(np.ceil(entry * (1.0 + fee) / ((1.0 - fee) * (1.0 - slip)))) + 1
    return int(entry * (1.0 - fee) / ((1.0 + fee) * (1.0 + slip))) - 1


@kernel
def stop_lots(s: Any, i: int) -> int:
    """What the stop is for: all of it, less the spot coins that are leaving."""
    p = s.positions[i]
    lots = abs(p.qty_lots)
    return lots if s.instruments[i].is_perp != 0 else lots - p.part_lots
