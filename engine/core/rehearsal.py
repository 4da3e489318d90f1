"""A cycle in shadow: each leg is priced from the book as it stands when a real one would have arrived, nothing is sent.

What a leg does not get, or leaves over, is valued as if sold for cash at that moment's touch.
"""

from __future__ import annotations

from typing import Any, Final

from engine.contracts import reasons
from engine.contracts.records import SHADOW
from engine.core import timers
from engine.core.compile import kernel
from engine.core.conversion import is_orderable, take
from engine.core.edges import judge, note_cycle
from engine.core.legs import coins_value
from engine.core.money import fee_up

REST_NS: Final = 1_000_000_000
"""A shadow cycle takes nothing out of the books: the next one waits, lest one chance be counted many times."""


@kernel
def carry_on(s: Any, out: Any) -> bool:
    """The next leg, once it is due. True where the cycle is over."""
    c = s.cycle[0]
    now = s.head[0].now_ns
    if now < c.due_ns:
        return False
    k = c.leg
    i = c.legs[k]
    had = take(s, i, c.sides[k], c.in_e8, c.limits[k], True)
    lots, paid, got = had.lots, had.paid, had.got
    if not is_orderable(s.instruments[i], c.limits[k], lots):
        lots = paid = got = 0
    if k == 0:
        c.entry_value_e8 = paid
    else:
        c.back_e8 += _worth(s, i, c.sides[k], c.in_e8 - paid)
    c.in_e8 = got
    c.leg += 1
    if lots > 0 and c.leg < 3:
        c.due_ns = now + int(s.arbitrage_params[0].leg_ms * 1e6)
        timers.arm(s, timers.CYCLE, c.due_ns)
        return False
    c.back_e8 += got
    _end(s, out, lots > 0)
    return True


@kernel
def _worth(s: Any, i: int, side: int, amount: int) -> int:
    """What an amount of the asset a leg pays with is worth in cash now, less the fee of selling it."""
    one = s.instruments[i]
    if (one.quote_is_cash if side > 0 else one.base_is_cash) != 0:
        return amount
    home = one.quote_home if side > 0 else one.base_home
    value = coins_value(s.instruments[home], max(s.books[home].bid_ticks, 0), amount)
    return value - fee_up(value, s.instruments[home].taker_fee_e8)


@kernel
def _end(s: Any, out: Any, is_through: bool) -> None:
    c = s.cycle[0]
    realised = 0.0
    reason = reasons.CYCLE_MISSED
    if c.entry_value_e8 > 0:
        realised = (c.back_e8 - c.entry_value_e8) / c.entry_value_e8
        reason = reasons.CYCLE_DONE if is_through else reasons.CYCLE_UNWOUND
    note_cycle(s, out, reason, SHADOW, int(realised * 1e9), c.entry_value_e8, 0)
    if c.entry_value_e8 > 0:
        judge(s, out, c.desk, c.quoted_e9 / 1e5, realised * 1e4)
    c.rest_ns = s.head[0].now_ns + REST_NS
