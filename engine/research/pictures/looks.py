"""What the core's own rules say at one moment, asked from outside: a door into the compiled rules of each strategy."""

from __future__ import annotations

from typing import Any, Final

from engine.core import flow, scanner
from engine.core.compile import kernel
from engine.core.strategies import arbitrage, scalping


@kernel(entry=True)
def best_cycle_bps(s: Any) -> float:
    """What the best of all triangles leaves at the touch prices, net of three taker's fees; -10,000 where a price is
    missing."""
    best = 0.0
    for k in range(s.triangles.shape[0]):
        best = max(best, arbitrage.touch_product(s, s.triangles[k]))
    return (best - 1.0) * 1e4


LOOKED_AT: Final = ("micro", "shown", "takers", "signal", "edge_bps", "needed_bps", "volatility_bps")


@kernel(entry=True)
def read_scalping(s: Any, i: int, row: Any) -> None:
    """Into `row` (float64), in the order of `LOOKED_AT`: the three parts of the signal, the signal, the move that it
    expects, the least such move that would be entered, and one standard deviation (bps of the mid). 0: not known."""
    m = s.scalping[i]
    p = s.scalping_params[0]
    one = s.books[i]
    mid = 0.5 * (one.bid_ticks + one.ask_ticks)
    row[:] = 0.0
    if m.ahead_ticks <= 0.0 or mid <= 0.0:
        return
    row[0] = p.micro_weight * flow.microprice_ticks(m, one) / m.ahead_ticks
    row[1] = p.book_weight * m.leaning + p.depth_weight * m.deep
    row[2] = p.flow_weight * flow.pressure(m, s.head[0].now_ns, p.flow_s, p.volatility_s)
    row[3] = m.signal
    row[4] = m.signal * m.ahead_ticks / mid * 1e4
    row[5] = p.edge_factor * scalping.cost_ticks(s, i, scalping.takes_at_once(s, i)) / mid * 1e4
    row[6] = m.ahead_ticks / mid * 1e4


@kernel(entry=True)
def read_scan(s: Any, places: Any) -> tuple[float, float, bool]:
    """Into `places` (float64 by instrument): a pair's place among all scanned, -1 where it is not. Returns breadth, the
    leader's trend, and whether the market allows entries."""
    for i in range(s.head[0].instruments):
        places[i] = scanner.place(s, i) if scanner.is_scanned(s, i) else -1.0
    leader = scanner.leader(s)
    trend = scanner.strength(s, leader) if leader >= 0 else 0.0
    return scanner.breadth(s), trend, scanner.market_allows(s)
