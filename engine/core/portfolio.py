"""Positions are a fold of fills; spot balances and linear perpetuals share one record.

Identities (integers, exact after every event)
----------------------------------------------
* book = deposits + gross - fees + funding
* cash + cost of open spot positions = book
* equity = book + unrealised
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts.records import EQUITY, FEE_IN_BASE, NO_INSTRUMENT
from engine.core.compile import kernel
from engine.core.money import fee_up, fits, share_up, value_down, value_up
from engine.core.output import emit
from engine.core.wallet import move_money

POSITION: Final = np.dtype(
    (
        np.record,
        [
            (name, "<i8")
            for name in (
                "qty_lots",  # signed: + long, - short
                "cost_e8",  # what the open quantity was bought (sold) for
                "margin_e8",  # isolated margin held for it (perpetuals)
                "leverage",
                "mark_ticks",  # the side of the book an exit would hit
                "unrealised_e8",
                "at_stop_e8",  # open P&L if the stop were hit now, slippage and exit fee included
                "stop_ticks",  # where the protective stop should be; 0: none known
                "target_ticks",  # take-profit, 0: none
                "target_after_ns",  # not tried again before
                "best_ticks",  # best mark since the entry
                "strategy",
                "trade_no",
                "opened_ns",
                "side",
                "entry_lots",
                "entry_value_e8",
                "exit_value_e8",
                "gross_e8",
                "fees_e8",
                "funding_e8",
                "slippage_e8",
                "risk_e8",  # loss at the first stop, as sized
                "limit_e8",  # the per-trade loss limit in force when it was opened
                "first_stop_ticks",
                "mae_e8",  # worst and best open result of the trade so far
                "mfe_e8",
                "entry_id",  # client ids of the live orders of each role, 0: none
                "stop_id",
                "exit_id",
                "exit_reason",  # not 0: we want out
                "exit_tries",
                "exit_after_ns",
                "stop_tries",
                "worst_stop_fill_ticks",
                "dust_e8",  # spot: 1e-8 base units left of lots that were broken to pay fees; outlives the trade
                "leave_ns",  # leaves at this time, by the clock; 0: no such time
                "cooldown_ns",  # no new entry before
                "naked_ns",  # since when no stop is known to stand for `naked_lots` of it; 0: one does
                "naked_lots",
                "look_ns",  # when to look at it again though nothing happens; NEVER: no need to
                "doubts",  # orders whose outcome is unknown
                "foreign_lots",  # at the venue, signed, and not ours: no entries until it is gone or adopted
                "adopt_stop_ticks",  # the stop of a position that is being adopted
                "part_lots",  # to leave now while the rest stays, 0: none
                "part_ticks",  # at this price or better
                "parted_lots",  # left in parts so far
                "part_tries",
                "part_after_ns",  # not tried again before
            )
        ],
    )
)


@kernel
def book_e8(s: Any) -> int:
    """Deposits and everything realised: equity without open P&L."""
    head = s.head[0]
    return head.deposits_e8 + head.gross_e8 - head.fees_e8 + head.funding_e8


@kernel
def equity_e8(s: Any) -> int:
    """Marked equity."""
    return book_e8(s) + s.head[0].unrealised_e8


@kernel
def free_e8(s: Any) -> int:
    """Cash that is neither spent, held as margin nor reserved for an order."""
    head = s.head[0]
    return head.cash_e8 - head.reserved_e8 - head.margin_e8


@kernel
def note_free(s: Any) -> None:
    """Remember the least free cash: the proof that the reserve was never touched."""
    head = s.head[0]
    head.min_free_e8 = min(head.min_free_e8, free_e8(s))


@kernel
def note_equity(s: Any, out: Any) -> None:
    """Journal where the account stands; `free_e8` is the least there was since the note before."""
    head = s.head[0]
    note = emit(s, out, EQUITY, NO_INSTRUMENT)
    note.equity_e8 = equity_e8(s)
    note.cash_e8 = head.cash_e8
    note.free_e8 = head.min_free_e8
    head.min_free_e8 = free_e8(s)
    note.day_pnl_e8 = equity_e8(s) - head.day_start_e8
    note.open_risk_e8 = head.unrealised_e8 - head.at_stops_e8


@kernel
def mark(s: Any, i: int) -> None:
    """Revalue an open position at the side of the book it would be closed against."""
    p = s.positions[i]
    book = s.books[i]
    long = p.qty_lots > 0
    ticks = book.bid_ticks if long else book.ask_ticks
    if ticks <= 0 or ticks == p.mark_ticks or not fits(s.instruments[i], ticks, p.qty_lots):
        return
    p.mark_ticks = ticks
    if (long and ticks > p.best_ticks) or (not long and (ticks < p.best_ticks or p.best_ticks == 0)):
        p.best_ticks = ticks
    revalue(s, i)


@kernel
def revalue(s: Any, i: int) -> None:
    """Recompute open P&L and its excursions from the mark."""
    p = s.positions[i]
    head = s.head[0]
    if p.qty_lots > 0:
        open_e8 = value_down(s.instruments[i], p.mark_ticks, p.qty_lots) - p.cost_e8
    elif p.qty_lots < 0:
        open_e8 = p.cost_e8 - value_up(s.instruments[i], p.mark_ticks, -p.qty_lots)
    else:
        open_e8 = 0
    head.unrealised_e8 += open_e8 - p.unrealised_e8
    p.unrealised_e8 = open_e8
    p.mae_e8 = min(p.mae_e8, p.gross_e8 + open_e8)
    p.mfe_e8 = max(p.mfe_e8, p.gross_e8 + open_e8)


@kernel
def stop_fill_ticks(s: Any, stop_ticks: int, side: int) -> int:
    """Where a stop is assumed to fill: its trigger and the slippage allowance against us."""
    slip = fee_up(stop_ticks, s.limits[0].stop_slippage_bps)  # 1e-4 bps are 1e-8 fractions
    return max(stop_ticks - side * slip, 1)


@kernel
def open_result_at_stop(s: Any, i: int) -> int:
    """Open P&L of a position were its stop hit now; without a stop, all of its value is at risk."""
    p = s.positions[i]
    if p.qty_lots == 0:
        return 0
    if p.stop_ticks <= 0:
        return -p.cost_e8
    instrument = s.instruments[i]
    side = 1 if p.qty_lots > 0 else -1
    ticks = stop_fill_ticks(s, p.stop_ticks, side)
    if side > 0:
        value = value_down(instrument, ticks, p.qty_lots)
    else:
        value = value_up(instrument, ticks, -p.qty_lots)
    return side * (value - p.cost_e8) - fee_up(value, instrument.taker_fee_e8)


@kernel
def refresh_at_stop(s: Any, i: int) -> None:
    """Keep the sum of results at all stops current; call after any change of quantity or stop."""
    p = s.positions[i]
    result = open_result_at_stop(s, i)
    s.head[0].at_stops_e8 += result - p.at_stop_e8
    p.at_stop_e8 = result


@kernel
def fold_fill(s: Any, i: int, side: int, event: Any, leverage: int) -> int:
    """Fold one fill into the position. Returns the lots by which a reducing fill overshot the position
    (0 normally): those open a position the other way, which the caller treats as a violation."""
    p = s.positions[i]
    if p.qty_lots * side >= 0:
        _increase(s, i, side, event.price_ticks, event.qty_lots, leverage)
        over = 0
    else:
        closing = min(event.qty_lots, abs(p.qty_lots))
        over = event.qty_lots - closing
        _reduce(s, i, side, event.price_ticks, closing)
        if over > 0:
            _increase(s, i, side, event.price_ticks, over, leverage)
    _charge(s, i, event)
    p.mark_ticks = 0
    mark(s, i)
    if p.mark_ticks == 0:  # no quote yet: mark at the fill
        p.mark_ticks = event.price_ticks
        revalue(s, i)
    refresh_at_stop(s, i)
    note_free(s)
    return over


@kernel
def _increase(s: Any, i: int, side: int, ticks: int, lots: int, leverage: int) -> None:
    p = s.positions[i]
    head = s.head[0]
    instrument = s.instruments[i]
    value = value_up(instrument, ticks, lots) if side > 0 else value_down(instrument, ticks, lots)
    if p.qty_lots == 0:
        head.open_positions += 1
        p.side = side
        p.leverage = max(leverage, 1)
        p.best_ticks = ticks
    p.qty_lots += side * lots
    p.cost_e8 += value
    p.entry_lots += lots
    p.entry_value_e8 += value
    head.exposure_e8 += value
    if instrument.is_perp != 0:
        margin = -(-value // p.leverage)
        p.margin_e8 += margin
        move_money(s, i, 0, 0, margin)
    else:
        move_money(s, i, -side * value, 0, 0)
        s.balances[instrument.base_asset] += side * lots * instrument.lot_base_e8
        s.balances[instrument.quote_asset] -= side * value


@kernel
def _reduce(s: Any, i: int, side: int, ticks: int, lots: int) -> None:
    p = s.positions[i]
    head = s.head[0]
    instrument = s.instruments[i]
    value = value_up(instrument, ticks, lots) if side > 0 else value_down(instrument, ticks, lots)
    whole = abs(p.qty_lots)
    cost = share_up(p.cost_e8, lots, whole)
    gross = -side * (value - cost)
    p.cost_e8 -= cost
    p.qty_lots += side * lots
    p.exit_value_e8 += value
    p.gross_e8 += gross
    head.gross_e8 += gross
    head.exposure_e8 -= cost
    if instrument.is_perp != 0:
        margin = share_up(p.margin_e8, lots, whole)
        p.margin_e8 -= margin
        move_money(s, i, gross, 0, -margin)
        s.balances[instrument.quote_asset] += gross
    else:
        move_money(s, i, -side * value, 0, 0)
        s.balances[instrument.base_asset] += side * lots * instrument.lot_base_e8
        s.balances[instrument.quote_asset] -= side * value
    if p.qty_lots == 0:
        head.open_positions -= 1


@kernel
def _charge(s: Any, i: int, event: Any) -> None:
    """Book the fee. A fee taken in base shrinks the position by whole lots at their cost; what is left of
    the last lot stays behind as dust and pays for the next fee."""
    p = s.positions[i]
    head = s.head[0]
    instrument = s.instruments[i]
    fee = event.fee_e8
    if (event.bits & FEE_IN_BASE) != 0:
        s.balances[instrument.base_asset] -= fee
        lots = -(-max(fee - p.dust_e8, 0) // instrument.lot_base_e8)
        p.dust_e8 += lots * instrument.lot_base_e8 - fee
        lots = max(min(lots, p.qty_lots), 0)
        fee = share_up(p.cost_e8, lots, p.qty_lots)
        p.qty_lots -= lots
        p.cost_e8 -= fee
        head.exposure_e8 -= fee
        if p.qty_lots == 0:
            head.open_positions -= 1
    else:
        move_money(s, i, -fee, 0, 0)
        s.balances[instrument.quote_asset] -= fee
    p.fees_e8 += fee
    head.fees_e8 += fee


@kernel
def pay_funding(s: Any, i: int, amount_e8: int) -> None:
    """Funding received (+) or paid (-), as the venue booked it."""
    move_money(s, i, amount_e8, 0, 0)
    s.head[0].funding_e8 += amount_e8
    s.balances[s.instruments[i].quote_asset] += amount_e8
    s.positions[i].funding_e8 += amount_e8
    note_free(s)


@kernel
def liquidation_ticks(s: Any, i: int, side: int, entry_ticks: float, leverage: int) -> float:
    """Isolated-margin liquidation price of a linear perpetual, in ticks.

    Long: entry x (1 - 1/L) / (1 - m); short: entry x (1 + 1/L) / (1 + m), with leverage L and maintenance
    margin rate m (Binance USD-M, one bracket, fees ignored).
    """
    rate = s.instruments[i].maintenance_e8 / 100_000_000.0
    if side > 0:
        return entry_ticks * (1.0 - 1.0 / leverage) / (1.0 - rate)
    return entry_ticks * (1.0 + 1.0 / leverage) / (1.0 + rate)
