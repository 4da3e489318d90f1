"""Forced closes of perpetual positions.

Rules
-----
* A position is closed when the mid or a recorded mark reaches its liquidation price (isolated margin, one
  maintenance bracket). The instrument's open orders expire first.
* It is closed at that price, but never beyond the price that uses up its margin; the liquidation fee comes out
  of what margin is left. So the loss never passes the margin: the venue's insurance bears the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.contracts import reasons
from engine.contracts.records import FORCED
from engine.core.compile import kernel
from engine.core.money import value_down, value_up
from engine.simulation.account import fill, unlock
from engine.simulation.matching import expire, remove
from engine.simulation.venue import own_order


@kernel
def liquidation_price(v: Any, i: int) -> float:
    """Mark price (ticks) at which what is left of the margin equals the maintenance margin."""
    holding = v.holdings[i]
    instrument = v.instruments[i]
    side = 1.0 if holding.qty_lots > 0 else -1.0
    per_tick = abs(float(holding.qty_lots)) * instrument.value_num / instrument.value_den
    rate = instrument.maintenance_e8 / 1e8
    return (holding.cost_e8 - side * holding.margin_e8) / (per_tick * (1.0 - side * rate))


@kernel
def bankruptcy_ticks(v: Any, i: int) -> int:
    """The last price at which closing all of a position loses no more than its margin."""
    holding = v.holdings[i]
    instrument = v.instruments[i]
    lots = abs(holding.qty_lots)
    per_tick = float(lots) * instrument.value_num / instrument.value_den
    if holding.qty_lots > 0:
        least = holding.cost_e8 - holding.margin_e8
        ticks = max(int(np.floor(least / per_tick)), 1)
        while value_down(instrument, ticks, lots) < least:
            ticks += 1
    else:
        most = holding.cost_e8 + holding.margin_e8
        ticks = int(np.ceil(most / per_tick))
        while value_up(instrument, ticks, lots) > most:
            ticks -= 1
    return ticks


@kernel
def liquidate(v: Any, i: int, mark_ticks: int) -> bool:
    """Close the position of instrument `i` where `mark_ticks` reaches its liquidation price."""
    holding = v.holdings[i]
    limit = liquidation_price(v, i)
    long = holding.qty_lots > 0
    if (long and mark_ticks > limit) or (not long and mark_ticks < limit):
        return False
    _expire_orders(v, i)
    last = bankruptcy_ticks(v, i)
    forced = own_order(v)
    forced.instrument = i
    forced.side = -1 if long else 1
    forced.left_lots = abs(holding.qty_lots)
    fill(v, forced, max(mark_ticks, last) if long else min(mark_ticks, last), forced.left_lots, FORCED)
    return True


@kernel
def _expire_orders(v: Any, i: int) -> None:
    k = 0
    while k < v.head[0].live_count:
        slot = v.live[k]
        order = v.orders[slot]
        if order.instrument == i:
            unlock(v, order)
            remove(v, slot)
            expire(v, order, reasons.LIQUIDATION)
        else:
            k += 1
