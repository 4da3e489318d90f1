"""Why the simulated venue refuses an order, in the order the exchange looks.

Rules
-----
* *Filters* look at the order alone and are evaluated before a replaced order is cancelled: where one refuses,
  the old order stands.
* The *desk* looks at market and account after that: where it refuses, the old order is gone already
  (cancel-replace answers "partially failed").
"""

from __future__ import annotations

from typing import Any, Final

from engine.contracts import reasons
from engine.contracts.records import LIMIT_ORDER, POST_ONLY, REDUCE_ONLY, STOP_LIMIT, STOP_MARKET
from engine.core.compile import kernel
from engine.core.money import value_down
from engine.simulation.account import funds_reason

MAX_OPEN: Final = 200
"""Open orders of one instrument."""
MAX_STOPS_SPOT: Final = 5
MAX_STOPS_PERP: Final = 10
"""Of these, stops not triggered yet."""


@kernel
def is_stop(order: Any) -> bool:
    """Waits for its trigger."""
    return order.order_type == STOP_MARKET or order.order_type == STOP_LIMIT


@kernel
def is_priced(order: Any) -> bool:
    """Carries a limit price."""
    return order.order_type == LIMIT_ORDER or order.order_type == STOP_LIMIT


@kernel
def filter_reason(v: Any, order: Any) -> int:
    """The first filter an order breaks; 0 when it passes them all."""
    instrument = v.instruments[order.instrument]
    book = v.books[order.instrument]
    if order.left_lots < max(instrument.min_lots, 1) or order.left_lots > instrument.max_lots:
        return reasons.LOT_SIZE
    if (is_priced(order) and order.price_ticks <= 0) or (is_stop(order) and order.trigger_ticks <= 0):
        return reasons.PRICE_FILTER
    if book.bid_ticks <= 0:
        return reasons.NO_LIQUIDITY
    if is_priced(order) and _is_out_of_band(instrument, book, order):
        return reasons.PERCENT_PRICE
    touch = book.ask_ticks if order.side > 0 else book.bid_ticks
    reference = order.price_ticks if is_priced(order) else order.trigger_ticks if is_stop(order) else touch
    # perpetuals let a reduce-only order through below the minimum, spot does not
    excused = instrument.is_perp != 0 and (order.bits & REDUCE_ONLY) != 0
    if not excused and value_down(instrument, reference, order.left_lots) < instrument.min_notional_e8:
        return reasons.MIN_NOTIONAL
    if v.working[order.instrument] >= MAX_OPEN or (is_stop(order) and _has_all_stops(v, order)):
        return reasons.MAX_ORDERS
    return 0


@kernel
def _is_out_of_band(instrument: Any, book: Any, order: Any) -> bool:
    """Spot bounds a limit price on both sides, perpetuals only the side that could hurt."""
    twice_mid = book.bid_ticks + book.ask_ticks
    both = instrument.is_perp == 0
    too_high = order.price_ticks * 20_000 > instrument.band_up_e4 * twice_mid
    too_low = order.price_ticks * 20_000 < instrument.band_down_e4 * twice_mid
    return (too_high and (both or order.side > 0)) or (too_low and (both or order.side < 0))


@kernel
def _has_all_stops(v: Any, order: Any) -> bool:
    most = MAX_STOPS_SPOT if v.instruments[order.instrument].is_perp == 0 else MAX_STOPS_PERP
    for k in range(v.head[0].live_count):
        other = v.orders[v.live[k]]
        if other.instrument == order.instrument and is_stop(other):
            most -= 1
    return most <= 0


@kernel
def desk_reason(v: Any, order: Any) -> int:
    """What market and account say against an order that passed the filters; 0 when it is good."""
    book = v.books[order.instrument]
    touch = book.ask_ticks if order.side > 0 else book.bid_ticks
    if is_stop(order) and (book.last_ticks - order.trigger_ticks) * order.side >= 0:
        return reasons.WOULD_TRIGGER
    post_only = order.order_type == LIMIT_ORDER and (order.bits & POST_ONLY) != 0
    if post_only and (order.price_ticks - touch) * order.side >= 0:
        return reasons.WOULD_TAKE
    return funds_reason(v, order, order.price_ticks if is_priced(order) else max(touch, order.trigger_ticks))
