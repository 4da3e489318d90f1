"""What the simulated venue holds for us: cash, coins, perpetual positions, what is locked, forced closes."""

from __future__ import annotations

from typing import Any

from engine.contracts import reasons
from engine.contracts.records import FEE_IN_BASE, FILL, FORCED, FUNDING, MAKER, REDUCE_ONLY
from engine.core.compile import kernel
from engine.core.money import fee_up, share_up, value_down, value_up
from engine.simulation.venue import reply

RATE = 100_000_000


@kernel
def free_cash(v: Any) -> int:
    """Cash neither locked by resting buys nor held as margin."""
    head = v.head[0]
    return head.cash_e8 - head.locked_e8 - head.margin_e8


@kernel
def free_lots(v: Any, i: int) -> int:
    """Whole lots of a coin that are not promised to resting sells."""
    holding = v.holdings[i]
    return holding.base_e8 // v.instruments[i].lot_base_e8 - holding.locked_lots


@kernel
def reducible(v: Any, order: Any) -> int:
    """Lots by which a perpetual order would reduce the position."""
    held = v.holdings[order.instrument].qty_lots
    return abs(held) if held * order.side < 0 else 0


@kernel
def funds_reason(v: Any, order: Any, worst_ticks: int) -> int:
    """0 where the account can bear the order, else the venue's reason."""
    i = order.instrument
    instrument = v.instruments[i]
    value = value_up(instrument, worst_ticks, order.left_lots)
    fee = max(fee_up(value, instrument.taker_fee_e8), 0)
    if instrument.is_perp == 0:
        if order.side > 0:
            return reasons.INSUFFICIENT_BALANCE if value + fee > free_cash(v) else 0
        return reasons.INSUFFICIENT_BALANCE if order.left_lots > free_lots(v, i) else 0
    if (order.bits & REDUCE_ONLY) != 0:
        return reasons.REDUCE_ONLY_REJECTED if reducible(v, order) == 0 else 0
    opening = max(order.left_lots - reducible(v, order), 0)
    margin = value_up(instrument, worst_ticks, opening) // max(order.leverage, 1) + fee
    return reasons.INSUFFICIENT_MARGIN if margin > free_cash(v) else 0


@kernel
def lock(v: Any, order: Any) -> None:
    """Promise what a resting order may need."""
    instrument = v.instruments[order.instrument]
    if instrument.is_perp != 0:
        return
    if order.side > 0:
        value = value_up(instrument, max(order.price_ticks, order.trigger_ticks), order.left_lots)
        order.locked_e8 = value + max(fee_up(value, instrument.taker_fee_e8), 0)
        v.head[0].locked_e8 += order.locked_e8
    else:
        v.holdings[order.instrument].locked_lots += order.left_lots


@kernel
def unlock(v: Any, order: Any) -> None:
    """Take the promise back."""
    if v.instruments[order.instrument].is_perp != 0:
        return
    if order.side > 0:
        v.head[0].locked_e8 -= order.locked_e8
        order.locked_e8 = 0
    else:
        v.holdings[order.instrument].locked_lots -= order.left_lots


@kernel
def fill(v: Any, order: Any, ticks: int, lots: int, bits: int) -> None:
    """Execute `lots` of an order at `ticks`: money, coins, fee, and the report of it on its way to us.
    The order must not hold locks (see `unlock`)."""
    i = order.instrument
    instrument = v.instruments[i]
    head = v.head[0]
    side = order.side
    value = value_up(instrument, ticks, lots) if side > 0 else value_down(instrument, ticks, lots)
    rate = instrument.maker_fee_e8 if (bits & MAKER) != 0 else instrument.taker_fee_e8
    if (bits & FORCED) != 0:
        rate += head.liquidation_fee_e8
    fee = fee_up(value, rate)
    if instrument.is_perp != 0:
        _move_perp(v, i, side, lots, value, max(order.leverage, 1))
        head.cash_e8 -= fee
    else:
        head.cash_e8 -= side * value
        v.holdings[i].base_e8 += side * lots * instrument.lot_base_e8
        if instrument.fee_in_base != 0 and side > 0 and rate > 0:
            fee = -(-lots * instrument.lot_base_e8 * rate // RATE)
            v.holdings[i].base_e8 -= fee
            bits |= FEE_IN_BASE
        else:
            head.cash_e8 -= fee
    order.left_lots -= lots
    report = reply(v, FILL, order, 0)
    report.bits = bits
    report.price_ticks = ticks
    report.qty_lots = lots
    report.fee_e8 = fee
    report.trade_id = head.next_trade_id
    head.next_trade_id += 1


@kernel
def _move_perp(v: Any, i: int, side: int, lots: int, value: int, leverage: int) -> None:
    head = v.head[0]
    holding = v.holdings[i]
    whole = abs(holding.qty_lots)
    closing = min(lots, whole) if holding.qty_lots * side < 0 else 0
    if closing > 0:
        closed_value = value if closing == lots else value * closing // lots
        cost = share_up(holding.cost_e8, closing, whole)
        margin = share_up(holding.margin_e8, closing, whole)
        head.cash_e8 += -side * (closed_value - cost)
        holding.cost_e8 -= cost
        holding.margin_e8 -= margin
        head.margin_e8 -= margin
        value -= closed_value
    if lots > closing:
        margin = -(-value // leverage)
        holding.cost_e8 += value
        holding.margin_e8 += margin
        holding.leverage = leverage
        head.margin_e8 += margin
    holding.qty_lots += side * lots


@kernel
def pay_funding(v: Any, event: Any) -> None:
    """Perpetual funding: longs pay a positive rate on the position's value at the mark."""
    i = event.instrument
    holding = v.holdings[i]
    book = v.books[i]
    mark = event.price_ticks if event.price_ticks > 0 else book.last_ticks
    if holding.qty_lots == 0 or mark <= 0:
        return
    value = value_up(v.instruments[i], mark, abs(holding.qty_lots))
    owed = -((-value * (event.rate_e12 // 10_000)) // RATE)
    amount = -owed if holding.qty_lots > 0 else owed
    v.head[0].cash_e8 += amount
    order = v.orders[0]
    report = reply(v, FUNDING, order, 0)
    report.instrument = event.instrument
    report.side = 0
    report.rate_e12 = event.rate_e12
    report.price_ticks = mark
    report.qty_lots = 0
    report.amount_e8 = amount
    report.trade_id = 0


@kernel
def liquidation_price(v: Any, i: int) -> float:
    """Mark price (ticks) at which isolated margin, less maintenance, is used up (one bracket)."""
    holding = v.holdings[i]
    instrument = v.instruments[i]
    side = 1.0 if holding.qty_lots > 0 else -1.0
    per_tick = abs(float(holding.qty_lots)) * instrument.value_num / instrument.value_den
    rate = instrument.maintenance_e8 / 1e8
    return (holding.cost_e8 - side * holding.margin_e8) / (per_tick * (1.0 - side * rate))
