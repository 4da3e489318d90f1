"""How much of what is open moves together: estimated at the moment of an entry from the few positions there are.

Rules
-----
* Returns are those of closed base bars that both pairs have (the same start), over what the rings keep (63 at most). A
  matrix of all pairs is never held: it would be four hundred squared numbers for five positions.
* Fewer than `LEAST` common returns, or one that never moved: correlation 1. What is not known is not diversification.
* Risk is integer money and a correlation is rounded to a millionth before it is multiplied, so the order of positions
  never matters. Correlations below 0 offset nothing.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.core import bars
from engine.core.compile import kernel
from engine.core.orders import find

BASE: Final = 0
LEAST: Final = 16
MILLION: Final = 1_000_000


@kernel
def correlation(s: Any, i: int, j: int) -> float:
    """Pearson's correlation, -1..1, of the returns of two pairs over the base bars both kept; 1 where not known."""
    kept_i = min(s.bars[i, BASE].closed, bars.RING)
    kept_j = min(s.bars[j, BASE].closed, bars.RING)
    a = b = count = 0
    last_x = last_y = sx = sy = sxx = syy = sxy = 0.0
    while a < kept_i and b < kept_j:
        x = bars.closed_bar(s, i, BASE, a)
        y = bars.closed_bar(s, j, BASE, b)
        if x.start_ns != y.start_ns:
            if x.start_ns > y.start_ns:
                a += 1
            else:
                b += 1
            continue
        if last_x > 0.0:
            dx = last_x / x.close_ticks - 1.0
            dy = last_y / y.close_ticks - 1.0
            sx += dx
            sy += dy
            sxx += dx * dx
            syy += dy * dy
            sxy += dx * dy
            count += 1
        last_x = float(x.close_ticks)
        last_y = float(y.close_ticks)
        a += 1
        b += 1
    if count < LEAST:
        return 1.0
    vx = sxx - sx * sx / count
    vy = syy - sy * sy / count
    if vx <= 0.0 or vy <= 0.0:
        return 1.0
    return min(max((sxy - sx * sy / count) / np.sqrt(vx * vy), -1.0), 1.0)


@kernel
def risk_at_stop_e8(s: Any, i: int) -> int:
    """What instrument `i` may still lose: the open trade as a whole if its stop were hit, and its entry on the way."""
    p = s.positions[i]
    risk = 0
    if p.qty_lots != 0:
        risk = max(p.fees_e8 - p.gross_e8 - p.funding_e8 - p.at_stop_e8, 0)
    slot = find(s, p.entry_id)
    return risk + s.orders[slot].risk_e8 if slot >= 0 else risk


@kernel
def direction(s: Any, i: int) -> int:
    """+1 long, -1 short: of what is open in instrument `i`, or on its way."""
    p = s.positions[i]
    if p.qty_lots != 0:
        return 1 if p.qty_lots > 0 else -1
    slot = find(s, p.entry_id)
    return s.orders[slot].side if slot >= 0 else 0


@kernel
def correlated_risk_e8(s: Any, i: int, side: int) -> int:
    """What all other instruments may lose (1e-8 USD), each weighted with its correlation to `i` in direction `side`,
    rounded up."""
    total = 0
    for j in range(s.head[0].instruments):
        other = s.positions[j]
        if j == i or (other.qty_lots == 0 and other.entry_id == 0):
            continue
        risk = risk_at_stop_e8(s, j)
        if risk <= 0:
            continue
        together = side * direction(s, j) * correlation(s, i, j)
        if together > 0.0:
            weight = int(np.ceil(together * MILLION))
            total += -((-risk * weight) // MILLION)
    return total
