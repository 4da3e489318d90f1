"""Closed round trips: what each one earned, what it cost, and whether it kept to its plan."""

from __future__ import annotations

from typing import Any

from engine.contracts import reasons
from engine.contracts.records import ADOPTED, CLOSED, EXCURSION, FORCED, GAP, JUMP, ROLE_STOP, TRADE_SIZE
from engine.core import outcomes, selector
from engine.core.compile import kernel
from engine.core.output import emit
from engine.core.portfolio import stop_fill_ticks
from engine.core.risk import trade_limit_e8


@kernel
def begin(s: Any, i: int, strategy: int, stop_ticks: int, risk_e8: int) -> None:
    """A first fill opened a position: start its record. Call before the fill is folded."""
    p = s.positions[i]
    head = s.head[0]
    p.strategy = strategy
    p.trade_no = head.next_trade_no
    head.next_trade_no += 1
    p.opened_ns = head.now_ns
    p.stop_ticks = stop_ticks
    p.first_stop_ticks = stop_ticks
    p.risk_e8 = risk_e8
    p.limit_e8 = trade_limit_e8(s)
    p.target_ticks = 0
    p.target_after_ns = 0
    p.best_ticks = 0
    p.entry_lots = p.entry_value_e8 = p.exit_value_e8 = 0
    p.gross_e8 = p.fees_e8 = p.funding_e8 = p.slippage_e8 = 0
    p.mae_e8 = p.mfe_e8 = 0
    p.exit_reason = p.exit_tries = p.exit_after_ns = p.stop_tries = 0
    p.naked_ns = p.naked_lots = 0
    p.leave_ns = 0
    p.worst_stop_fill_ticks = 0
    p.part_lots = p.part_ticks = p.parted_lots = p.part_tries = p.part_after_ns = 0


@kernel
def close(s: Any, out: Any, i: int, order_role: int, bits: int) -> None:
    """The position is flat: note the trade, and the gap where it lost more than its limit."""
    p = s.positions[i]
    reason = p.exit_reason
    if (bits & FORCED) != 0:
        reason = reasons.LIQUIDATION
    elif (bits & ADOPTED) != 0:
        reason = reasons.MANUAL_EXIT
    elif order_role == ROLE_STOP:
        reason = reasons.STOP_LOSS if p.stop_ticks == p.first_stop_ticks else reasons.TRAILING_STOP
    elif reason == 0 and p.parted_lots > 0:  # the stop took the rest while a part was on its way
        reason = reasons.PARTIAL_EXIT
    net = p.gross_e8 - p.fees_e8 + p.funding_e8
    outcomes.settle(s, out, i, p.strategy, p.side, p.trade_no, p.opened_ns, net, p.risk_e8)
    note = emit(s, out, CLOSED, i)
    note.strategy = p.strategy
    note.side = p.side
    note.reason = reason
    note.trade_no = p.trade_no
    note.gross_e8 = p.gross_e8
    note.fees_e8 = p.fees_e8
    note.funding_e8 = p.funding_e8
    note.risk_e8 = p.risk_e8
    note = emit(s, out, EXCURSION, i)
    note.strategy = p.strategy
    note.trade_no = p.trade_no
    note.mae_e8 = p.mae_e8
    note.mfe_e8 = p.mfe_e8
    note.slippage_e8 = p.slippage_e8
    note.opened_ns = p.opened_ns
    note = emit(s, out, TRADE_SIZE, i)
    note.strategy = p.strategy
    note.trade_no = p.trade_no
    note.entry_value_e8 = p.entry_value_e8
    note.qty_lots = p.entry_lots
    note.exit_value_e8 = p.exit_value_e8
    note.stop_ticks = p.first_stop_ticks
    _note_gap(s, out, i, reason, bits)
    if p.exit_reason == reasons.DAY_LIMIT_EXIT:
        selector.demote(s, out, p.strategy, reasons.SHARE_DEMOTED_DAY)
    p.stop_ticks = 0
    p.mark_ticks = 0
    p.exit_reason = 0
    p.exit_after_ns = 0


@kernel
def _note_gap(s: Any, out: Any, i: int, reason: int, bits: int) -> None:
    p = s.positions[i]
    loss = p.fees_e8 - p.gross_e8 - p.funding_e8
    limit = p.limit_e8
    if loss <= limit:
        return
    cause = _cause(s, i, reason, bits, loss + p.funding_e8 <= limit)
    note = emit(s, out, GAP, i)
    note.strategy = p.strategy
    note.reason = cause
    note.trade_no = p.trade_no
    note.loss_e8 = loss
    note.planned_e8 = limit
    note.stop_ticks = p.first_stop_ticks
    s.head[0].day_gap_reason = cause
    selector.demote(s, out, p.strategy, reasons.SHARE_DEMOTED_GAP)


@kernel
def _cause(s: Any, i: int, reason: int, bits: int, funding_alone: bool) -> int:
    """Why the loss passed its limit: the way the price moved to the fill that ended it."""
    p = s.positions[i]
    if reason == reasons.LIQUIDATION:
        return reasons.GAP_LIQUIDATION
    if funding_alone:
        return reasons.GAP_FUNDING
    expected = stop_fill_ticks(s, p.first_stop_ticks, p.side)
    if p.worst_stop_fill_ticks != 0 and (p.worst_stop_fill_ticks - expected) * p.side >= 0:
        return reasons.GAP_THIN_BOOK
    if s.books[i].is_path == 0:
        return reasons.GAP_BETWEEN_TICKS
    return reasons.GAP_BETWEEN_CANDLES if (bits & JUMP) != 0 else reasons.GAP_INSIDE_CANDLE
