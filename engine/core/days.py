"""The UTC day: what it may lose is fixed when it begins, and what it lost is judged when it ends."""

from __future__ import annotations

from typing import Any, Final

from engine.contracts import reasons
from engine.contracts.records import GAP, NO_INSTRUMENT
from engine.core.compile import kernel
from engine.core.openrisk import enforce
from engine.core.output import emit
from engine.core.portfolio import equity_e8
from engine.core.risk import day_limit_e8

DAY_NS: Final = 86_400_000_000_000


@kernel
def refit_day(s: Any) -> None:
    """Limits or deposits changed in mid-day: the day's loss limit shrinks at once, but grows at midnight only."""
    head = s.head[0]
    head.day_limit_e8 = max(min(head.day_limit_e8, day_limit_e8(s)), 0)


@kernel
def open_gap_reason(s: Any, loss: int) -> int:
    """Why a day can lose too much with no trade closed beyond its limit: one day's funding, what was won earlier
    cost more than that to close (fees), or open positions were marked across a jump."""
    head = s.head[0]
    if loss + min(head.funding_e8 - head.day_funding_e8, 0) <= head.day_limit_e8:
        return reasons.GAP_FUNDING
    if loss - (head.fees_e8 - head.day_fees_e8) <= head.day_limit_e8:
        return reasons.GAP_EXIT_COST
    for i in range(s.head[0].instruments):
        if s.books[i].is_path != 0:
            return reasons.GAP_BETWEEN_CANDLES
    return reasons.GAP_BETWEEN_TICKS


@kernel
def judge_day(s: Any, out: Any) -> None:
    """Note a day that lost more than its limit, with the cause of the gap that did it. At midnight, and where
    a run ends in mid-day."""
    head = s.head[0]
    loss = head.day_start_e8 - equity_e8(s)
    if head.day_end_ns != 0 and loss > head.day_limit_e8:
        note = emit(s, out, GAP, NO_INSTRUMENT)
        note.reason = head.day_gap_reason if head.day_gap_reason != 0 else open_gap_reason(s, loss)
        note.loss_e8 = loss
        note.planned_e8 = head.day_limit_e8
    head.day_gap_reason = 0


@kernel
def new_day(s: Any, out: Any) -> None:
    """UTC midnight: yesterday's result is judged, the new day's limit is fixed, open risk is fitted to it."""
    head = s.head[0]
    judge_day(s, out)
    head.day_end_ns = (head.now_ns // DAY_NS + 1) * DAY_NS
    head.day_start_e8 = equity_e8(s)
    head.day_fees_e8 = head.fees_e8
    head.day_funding_e8 = head.funding_e8
    head.day_limit_e8 = max(day_limit_e8(s), 0)
    enforce(s)
