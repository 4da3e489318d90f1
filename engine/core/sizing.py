"""How much: from the distance to the stop, scaled by confidence, cut to every cap. Floats end here.

Lots are always rounded down, so an order is never larger than any of the amounts it was sized from.
"""

from __future__ import annotations

from typing import Any

from engine.core.compile import kernel
from engine.core.money import value_down, value_up
from engine.core.orders import entry_cost, kept_lots, loss_at_stop
from engine.core.portfolio import stop_fill_ticks
from engine.core.risk import commit_room_e8, pending_notional_e8, trade_limit_e8, wallet_room_e8

SAMPLE_LOTS = 1_000_000  # amounts per lot are measured on this many, so that rounding does not matter


@kernel
def risk_budget_e8(s: Any, share: float) -> int:
    """A share (0..1) of the trade limit; nonsense shares give nothing."""
    if not 0.0 < share <= 1.0:
        return 0
    return int(share * trade_limit_e8(s))


@kernel
def lots_for(s: Any, i: int, side: int, ticks: int, stop_ticks: int, leverage: int, share: float) -> int:
    """Lots whose loss at the stop (slippage and both fees included) is at most `share` of the trade limit
    and which fit every notional cap, the cash above the reserve and the venue's wallet. 0 when nothing fits."""
    budget = risk_budget_e8(s, share)
    if budget <= 0 or ticks <= 0 or stop_ticks <= 0 or (ticks - stop_ticks) * side <= 0:
        return 0
    limits = s.limits[0]
    instrument = s.instruments[i]
    loss_per_lot = loss_at_stop(s, i, side, ticks, SAMPLE_LOTS, stop_ticks) / SAMPLE_LOTS
    value_per_lot = value_up(instrument, ticks, SAMPLE_LOTS) / SAMPLE_LOTS
    cost_per_lot = entry_cost(instrument, side, ticks, SAMPLE_LOTS, leverage) / SAMPLE_LOTS
    if loss_per_lot <= 0.0 or value_per_lot <= 0.0 or cost_per_lot <= 0.0:
        return 0
    room = limits.exposure_e8 - s.head[0].exposure_e8 - pending_notional_e8(s)
    notional = min(min(limits.order_notional_e8, limits.instrument_exposure_e8), room)
    lots = min(budget / loss_per_lot, notional / value_per_lot)
    cash = min(commit_room_e8(s, i), wallet_room_e8(s, i))
    lots = int(min(lots, cash / cost_per_lot))
    lots = min(lots, instrument.max_lots)
    while lots > 0 and (
        loss_at_stop(s, i, side, ticks, lots, stop_ticks) > budget
        or entry_cost(instrument, side, ticks, lots, leverage) > cash
        or value_up(instrument, ticks, lots) > notional
    ):
        lots -= 1
    return max(lots, 0)


@kernel
def least_lots(s: Any, i: int, side: int, ticks: int, stop_ticks: int) -> int:
    """The smallest entry the venue takes and lets out again: its minimums hold at the price and at the stop, on what a
    fee taken in base leaves. 0 where a price is missing."""
    if ticks <= 0 or stop_ticks <= 0:
        return 0
    instrument = s.instruments[i]
    lowest = min(ticks, stop_fill_ticks(s, stop_ticks, side))
    value_per_lot = value_down(instrument, lowest, SAMPLE_LOTS) / SAMPLE_LOTS
    if value_per_lot <= 0.0:
        return 0
    needed = max(instrument.min_lots, int(instrument.min_notional_e8 / value_per_lot) + 1)
    lots = needed
    for _ in range(8):  # each round adds what the fee took; the second finds almost nothing missing
        lots += max(needed - kept_lots(instrument, side, lots), 0)
    return lots
