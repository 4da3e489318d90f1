"""Open risk: with all stops hit, the day and the fall from the peak stay within their limits.

Rules
-----
* Looked at where the worst case or a limit can have changed: a fill, funding, a midnight, a new peak, a changed limit,
  money that came or went. A price that makes no new peak changes neither.
* Where the day could lose too much, positions leave, the one with most to lose from here first.
* Where equity could fall too far from its peak, stops come nearer, that of the position with most to give back first:
  a winner goes on behind a closer stop. It leaves where no stop could help.
"""

from __future__ import annotations

from typing import Any, Final

from engine.contracts import reasons
from engine.core.compile import kernel
from engine.core.money import fee_up, value_up
from engine.core.portfolio import refresh_at_stop
from engine.core.risk import day_room_e8, drawdown_room_e8

PACES: Final = 8
"""A stop that has to come nearer comes at least so many times nearer before it is at the price: a rising peak would
else move it with every tick."""


@kernel
def tighten_stop(s: Any, i: int, stop_ticks: int) -> bool:
    """Move a stop in the position's favour; anything else is ignored."""
    p = s.positions[i]
    if p.qty_lots == 0 or stop_ticks <= 0:
        return False
    better = stop_ticks > p.stop_ticks if p.qty_lots > 0 else stop_ticks < p.stop_ticks
    if better:
        p.stop_ticks = stop_ticks
        refresh_at_stop(s, i)
    return better


@kernel
def ticks_nearer(s: Any, i: int, gain_e8: int) -> int:
    """By how much a stop must come nearer for a result at it that is better by `gain_e8`: slippage and the exit fee
    move with it."""
    instrument = s.instruments[i]
    per_tick = float(instrument.value_num) * abs(s.positions[i].qty_lots) / instrument.value_den
    return int(1.02 * gain_e8 / per_tick) + 2


@kernel
def saved_by_leaving_e8(s: Any, i: int) -> int:
    """What a position still has to lose: its result if it left now, at the mark with the slippage allowance
    and the exit fee, against its result at the stop."""
    p = s.positions[i]
    value = value_up(s.instruments[i], p.mark_ticks, abs(p.qty_lots))
    cost = fee_up(value, s.limits[0].stop_slippage_bps) + fee_up(value, s.instruments[i].taker_fee_e8)
    return p.unrealised_e8 - cost - p.at_stop_e8


@kernel
def enforce(s: Any) -> None:
    """Keep the worst case within the day's limit and above the one on the fall from the peak."""
    if s.head[0].open_positions != 0:
        enforce_day(s)
        enforce_drawdown(s)


@kernel
def enforce_day(s: Any) -> None:
    """Mark positions for exit until what remains at risk fits into the day. Covers midnight (when open profit becomes
    the new day's to lose), gaps, and funding."""
    leaving = _leaving_e8(s)
    while day_room_e8(s) + leaving < 0:
        worst, most = _most_to_lose(s)
        if worst < 0:
            return
        _leave(s, worst, reasons.DAY_LIMIT_EXIT)
        leaving += most


@kernel
def enforce_drawdown(s: Any) -> None:
    """Bring stops nearer, or mark positions for exit, until equity would stay above the limit. Covers a new peak (whose
    open profit must not be given back whole), gaps, and funding."""
    leaving = _leaving_e8(s)
    missing = 1 - drawdown_room_e8(s) - leaving
    while missing > 0:
        worst, most = _most_to_lose(s)
        if worst < 0:
            return
        if not _come_nearer(s, worst, max(missing, most // PACES)):
            _leave(s, worst, reasons.DRAWDOWN_EXIT)
            leaving += most
        missing = 1 - drawdown_room_e8(s) - leaving


@kernel
def _leaving_e8(s: Any) -> int:
    """What is saved by the positions that are leaving already."""
    total = 0
    for i in range(s.head[0].instruments):
        if s.positions[i].qty_lots != 0 and s.positions[i].exit_reason != 0:
            total += saved_by_leaving_e8(s, i)
    return total


@kernel
def _most_to_lose(s: Any) -> tuple[int, int]:
    """The position that has most to lose from here, and how much; -1 where leaving would help none."""
    worst = -1
    most = 0
    for i in range(s.head[0].instruments):
        p = s.positions[i]
        if p.qty_lots == 0 or p.exit_reason != 0:
            continue
        at_risk = saved_by_leaving_e8(s, i)
        earlier = worst >= 0 and s.instruments[i].tie_break < s.instruments[worst].tie_break
        if at_risk > most or (at_risk == most and earlier):
            worst = i
            most = at_risk
    return worst, most


@kernel
def _leave(s: Any, i: int, reason: int) -> None:
    s.positions[i].exit_reason = reason
    s.head[0].exits_due = 1


@kernel
def _come_nearer(s: Any, i: int, gain_e8: int) -> bool:
    """Bring a stop nearer; False where it would have to be at the price, or there is none."""
    p = s.positions[i]
    closer = ticks_nearer(s, i, gain_e8)
    if p.stop_ticks <= 0 or closer >= (p.mark_ticks - p.stop_ticks) * p.side:
        return False
    s.head[0].exits_due = 1  # the venue is told
    return tighten_stop(s, i, p.stop_ticks + p.side * closer)
