"""What the simulated venue holds for us: cash, coins, perpetual positions, what is locked for orders.

Rules
-----
* Dollars and stablecoins are one cash; coins lie in the row of their pair with cash (`base_row`, `quote_row`), so that
  a pair paid in coins is paid with those coins.
* Cash is never spent twice: resting spot buys and opening perpetual limits lock what they may need, resting
  spot sells lock their coins. Perpetual stops lock nothing until they trigger, as at the exchange.
* What cannot be paid for when it would execute is not executed: `affordable` cuts it and the rest expires.
* Everything is rounded against us, and no product leaves 64 bits below 10 million dollars.
"""

from __future__ import annotations

from typing import Any

from engine.contracts import reasons
from engine.contracts.records import (
    FEE_IN_BASE,
    FILL,
    FORCED,
    FUNDING,
    MAKER,
    REDUCE_ONLY,
    STOP_LIMIT,
    STOP_MARKET,
)
from engine.core.compile import kernel
from engine.core.money import fee_up, share_up, value_down, value_up
from engine.simulation.venue import own_order, reply

MILLION = 1_000_000


@kernel
def funding_up(value_e8: int, rate_e12: int) -> int:
    """``value * rate`` of a 1e-12 rate, rounded up, exact: both factors are split to stay in 64 bits."""
    unit = MILLION * MILLION
    whole = value_e8 // unit
    rest = value_e8 - whole * unit
    high = rate_e12 // MILLION
    low = rate_e12 - high * MILLION
    coarse = rest * high
    coarse_whole = coarse // MILLION
    fine = (coarse - coarse_whole * MILLION) * MILLION + rest * low
    return whole * rate_e12 + coarse_whole - (-fine // unit)


@kernel
def free_cash(v: Any) -> int:
    """Cash neither locked by resting orders nor held as margin."""
    head = v.head[0]
    return head.cash_e8 - head.locked_e8 - head.margin_e8


@kernel
def free_in(v: Any, row: int) -> int:
    """What of the coins in a row, or (-1) of the cash, is not promised to orders."""
    return free_cash(v) if row < 0 else v.holdings[row].base_e8 - v.promised_e8[row]


@kernel
def promise(v: Any, row: int, amount: int) -> None:
    """Promise coins of a row, or (-1) cash; negative: take the promise back."""
    if row < 0:
        v.head[0].locked_e8 += amount
    else:
        v.promised_e8[row] += amount


@kernel
def move(v: Any, row: int, amount: int) -> None:
    """Add to the coins of a row, or (-1) to the cash."""
    if row < 0:
        v.head[0].cash_e8 += amount
    else:
        v.holdings[row].base_e8 += amount


@kernel
def free_lots(v: Any, i: int) -> int:
    """Whole lots of a coin that are not promised."""
    return free_in(v, v.base_row[i]) // v.instruments[i].lot_base_e8


@kernel
def reducible(v: Any, order: Any) -> int:
    """Lots by which a perpetual order would reduce the position."""
    held = v.holdings[order.instrument].qty_lots
    return abs(held) if held * order.side < 0 else 0


@kernel
def pays_in_base(instrument: Any, side: int) -> bool:
    """Whether the fee comes out of the coins bought."""
    return instrument.is_perp == 0 and instrument.fee_in_base != 0 and side > 0


@kernel
def need(v: Any, order: Any, ticks: int, lots: int) -> int:
    """Cash that executing `lots` at `ticks` takes: value or initial margin, and the dearer fee."""
    i = order.instrument
    instrument = v.instruments[i]
    divisor = 1
    if instrument.is_perp != 0:
        if (order.bits & REDUCE_ONLY) != 0:
            return 0
        lots = max(lots - reducible(v, order), 0)
        adds = v.holdings[i].qty_lots * order.side > 0
        divisor = v.holdings[i].leverage if adds else order.leverage
    elif order.side < 0:
        return 0
    value = value_up(instrument, ticks, lots)
    rate = max(instrument.taker_fee_e8, instrument.maker_fee_e8)
    fee = 0 if pays_in_base(instrument, order.side) else max(fee_up(value, rate), 0)
    return -(-value // divisor) + fee


@kernel
def affordable(v: Any, order: Any, ticks: int, lots: int) -> int:
    """How many of `lots` can execute at `ticks` with what is free (the order's own locks taken back before)."""
    i = order.instrument
    least = 0
    if v.instruments[i].is_perp != 0:
        least = min(reducible(v, order), lots)
        if (order.bits & REDUCE_ONLY) != 0:
            return least
    elif order.side < 0:
        return max(min(lots, free_lots(v, i)), 0)
    free = free_in(v, v.quote_row[i])
    if need(v, order, ticks, lots) <= max(free, 0):
        return lots
    too_many = lots
    while too_many - least > 1:
        middle = (least + too_many) // 2
        if need(v, order, ticks, middle) <= free:
            least = middle
        else:
            too_many = middle
    return least


@kernel
def shortage(v: Any, order: Any) -> int:
    """The venue's reason where `affordable` cut an order."""
    if v.instruments[order.instrument].is_perp == 0:
        return reasons.INSUFFICIENT_BALANCE
    return reasons.REDUCE_ONLY_REJECTED if (order.bits & REDUCE_ONLY) != 0 else reasons.INSUFFICIENT_MARGIN


@kernel
def funds_reason(v: Any, order: Any, worst_ticks: int) -> int:
    """0 where the account can bear a new order, else the venue's reason. A reduce-only order may be larger
    than the position: it will execute no more than the position."""
    instrument = v.instruments[order.instrument]
    if instrument.is_perp != 0:
        if (order.bits & REDUCE_ONLY) != 0:
            return reasons.REDUCE_ONLY_REJECTED if reducible(v, order) == 0 else 0
        if order.leverage > instrument.max_leverage:
            return reasons.INSUFFICIENT_MARGIN
    return shortage(v, order) if affordable(v, order, worst_ticks, order.left_lots) < order.left_lots else 0


@kernel
def lock(v: Any, order: Any) -> None:
    """Promise what a resting order may need."""
    i = order.instrument
    is_stop = order.order_type == STOP_MARKET or order.order_type == STOP_LIMIT
    is_spot = v.instruments[i].is_perp == 0
    if is_spot and order.side < 0:
        v.holdings[i].locked_lots += order.left_lots
        promise(v, v.base_row[i], order.left_lots * v.instruments[i].lot_base_e8)
    elif is_spot or not is_stop:
        ticks = order.trigger_ticks if order.order_type == STOP_MARKET else order.price_ticks
        row = v.quote_row[i]
        order.locked_e8 = max(min(need(v, order, ticks, order.left_lots), free_in(v, row)), 0)
        promise(v, row, order.locked_e8)


@kernel
def unlock(v: Any, order: Any) -> None:
    """Take the promise back."""
    i = order.instrument
    if v.instruments[i].is_perp == 0 and order.side < 0:
        v.holdings[i].locked_lots -= order.left_lots
        promise(v, v.base_row[i], -order.left_lots * v.instruments[i].lot_base_e8)
    else:
        promise(v, v.quote_row[i], -order.locked_e8)
        order.locked_e8 = 0


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
    fee = fee_up(value, rate)
    if instrument.is_perp != 0:
        if (bits & FORCED) != 0:
            fee = min(fee_up(value, rate + head.liquidation_fee_e8), margin_left(v, i, value))
        _move_perp(v, order, ticks, lots)
        head.cash_e8 -= fee
    else:
        move(v, v.quote_row[i], -side * value)
        move(v, v.base_row[i], side * lots * instrument.lot_base_e8)
        if pays_in_base(instrument, side) and rate > 0:
            fee = fee_up(lots * instrument.lot_base_e8, rate)
            move(v, v.base_row[i], -fee)
            bits |= FEE_IN_BASE
        else:
            move(v, v.quote_row[i], -fee)
    order.left_lots -= lots
    report = reply(v, FILL, order, 0)
    report.bits = bits
    report.price_ticks = ticks
    report.qty_lots = lots
    report.fee_e8 = fee
    report.trade_id = head.next_trade_id
    head.next_trade_id += 1


@kernel
def margin_left(v: Any, i: int, value: int) -> int:
    """What is left of a position's margin where all of it is closed for `value`; never below 0."""
    holding = v.holdings[i]
    result = value - holding.cost_e8 if holding.qty_lots > 0 else holding.cost_e8 - value
    return max(holding.margin_e8 + result, 0)


@kernel
def _move_perp(v: Any, order: Any, ticks: int, lots: int) -> None:
    """Close against the position first; what is more than the position opens the other way."""
    head = v.head[0]
    holding = v.holdings[order.instrument]
    instrument = v.instruments[order.instrument]
    side = order.side
    whole = abs(holding.qty_lots)
    closing = min(lots, whole) if holding.qty_lots * side < 0 else 0
    if closing > 0:
        value = value_up(instrument, ticks, closing) if side > 0 else value_down(instrument, ticks, closing)
        cost = share_up(holding.cost_e8, closing, whole)
        margin = share_up(holding.margin_e8, closing, whole)
        head.cash_e8 += side * (cost - value)
        holding.cost_e8 -= cost
        holding.margin_e8 -= margin
        head.margin_e8 -= margin
    opening = lots - closing
    if opening > 0:
        if closing == whole:  # flat before, or turned round: the order's leverage holds from here on
            holding.leverage = order.leverage
        value = value_up(instrument, ticks, opening) if side > 0 else value_down(instrument, ticks, opening)
        margin = -(-value // holding.leverage)
        holding.cost_e8 += value
        holding.margin_e8 += margin
        head.margin_e8 += margin
    holding.qty_lots += side * lots


@kernel
def mark_of(book: Any) -> int:
    """Where no mark price is recorded: the mid, which like the exchange's mark ignores single trades."""
    return (book.bid_ticks + book.ask_ticks) >> 1 if book.bid_ticks > 0 else book.last_ticks


@kernel
def pay_funding(v: Any, event: Any) -> None:
    """Perpetual funding: at a positive rate longs pay shorts, on the position's value at the mark."""
    i = event.instrument
    holding = v.holdings[i]
    mark = event.price_ticks if event.price_ticks > 0 else mark_of(v.books[i])
    if holding.qty_lots == 0 or mark <= 0:
        return
    side = 1 if holding.qty_lots > 0 else -1
    paid = funding_up(value_up(v.instruments[i], mark, abs(holding.qty_lots)), side * event.rate_e12)
    v.head[0].cash_e8 -= paid
    report = reply(v, FUNDING, own_order(v), 0)
    report.instrument = event.instrument
    report.side = 0
    report.rate_e12 = event.rate_e12
    report.price_ticks = mark
    report.qty_lots = 0
    report.amount_e8 = -paid
    report.trade_id = 0
