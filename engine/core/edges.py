"""What cycles of a venue turned out to earn, against what was quoted: the latency decay, and whether to trade at all.

Rules
-----
* A venue begins in shadow: nothing is sent. After `shadow_cycles` shadow cycles with a mean edge above 0 it trades.
* A venue that trades goes back to shadow when its last `judged_cycles` cycles earned nothing in the mean.
* What is lost on the way from the quote to the last leg is learned (1/8 of each surprise) and asked for on top.
* A cycle whose first leg got nothing earned and cost nothing: it says nothing.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts.records import CYCLE, SHADOW
from engine.core.compile import kernel
from engine.core.output import emit

KEPT: Final = 64
NUMBER: Final = 3
"""Of the arbitrage strategy."""

DESK: Final = np.dtype(
    (
        np.record,
        [
            ("sell_rate", "<f8"),  # quote units a unit of base brings at the bid, fee taken off
            ("buy_rate", "<f8"),  # base units a unit of quote brings at the ask, fee taken off
            # of the venue's first instrument only:
            ("decay_bps", "<f8"),
            ("edges_bps", "<f8", (KEPT,)),  # the newest cycles' realised edges
            ("count", "<i8"),  # of cycles since it went into shadow, or out of it
            ("is_trading", "<i8"),  # 0: in shadow
            ("is_known", "<i8"),  # 1: the decay has been set
            ("refused_reason", "<i8"),
            ("refused_ns", "<i8"),
        ],
    )
)


@kernel
def decay_bps(s: Any, desk: int) -> float:
    """What the edge is expected to lose on its way."""
    row = s.arbitrage[desk]
    return row.decay_bps if row.is_known != 0 else s.arbitrage_params[0].decay_bps


@kernel
def is_trading(s: Any, desk: int) -> bool:
    """Whether cycles of the venue are sent."""
    return s.arbitrage_params[0].shadow_cycles == 0.0 or s.arbitrage[desk].is_trading != 0


@kernel
def mean_bps(row: Any, last: int) -> float:
    """Mean realised edge of the newest cycles; there must be so many."""
    total = 0.0
    for k in range(last):
        total += row.edges_bps[(row.count - 1 - k) % KEPT]
    return total / last


@kernel
def judge(s: Any, out: Any, desk: int, quoted_bps: float, realised_bps: float) -> None:
    """Learn from a cycle that got past its first leg, and change between shadow and trading where it is time."""
    row = s.arbitrage[desk]
    p = s.arbitrage_params[0]
    row.decay_bps = decay_bps(s, desk) + (quoted_bps - realised_bps - decay_bps(s, desk)) / 8.0
    row.is_known = 1
    row.edges_bps[row.count % KEPT] = realised_bps
    row.count += 1
    last = int(p.judged_cycles if row.is_trading != 0 else p.shadow_cycles)
    if last == 0 or row.count < last:
        return
    mean = mean_bps(row, last)
    if row.is_trading == 0 and mean > 0.0:
        _change(s, out, desk, 1, reasons.SHADOW_PASSED, mean)
    elif row.is_trading != 0 and mean <= 0.0:
        _change(s, out, desk, 0, reasons.BACK_TO_SHADOW, mean)


@kernel
def note_cycle(
    s: Any, out: Any, reason: int, bits: int, realised_e9: int, amount_e8: int, risk_e8: int
) -> None:
    """Note the cycle under way: that it began, or how it ended."""
    c = s.cycle[0]
    note = emit(s, out, CYCLE, c.legs[0])
    note.strategy = NUMBER
    note.bits = bits
    note.reason = reason
    packed = 0
    for k in range(3):
        packed |= c.legs[k] << (16 * k)
        if c.sides[k] > 0:
            packed |= 1 << (48 + k)
    note.legs = packed
    note.quoted_e9 = c.quoted_e9
    note.realised_e9 = realised_e9
    note.amount_e8 = amount_e8
    note.risk_e8 = risk_e8


@kernel
def _change(s: Any, out: Any, desk: int, is_trading: int, reason: int, mean_edge_bps: float) -> None:
    row = s.arbitrage[desk]
    row.is_trading = is_trading
    row.count = 0
    note = emit(s, out, CYCLE, desk)
    note.strategy = NUMBER
    note.bits = SHADOW if is_trading == 0 else 0
    note.reason = reason
    note.legs = 0
    note.quoted_e9 = int(row.decay_bps * 1e5)
    note.realised_e9 = int(mean_edge_bps * 1e5)
    note.amount_e8 = note.risk_e8 = 0
