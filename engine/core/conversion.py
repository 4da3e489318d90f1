"""What an amount of one asset becomes in the other at the book as it stands: lots, fees and levels, in integers."""

from __future__ import annotations

from typing import Any, NamedTuple

from engine.core.book import LEVELS
from engine.core.compile import kernel
from engine.core.money import fee_up, value_down, value_up


class Taken(NamedTuple):
    """What a taker would get. `paid` and `got` are 1e-8 units of the asset given and the asset received, fees
    included; `worst_ticks` is the last level touched; no lots: nothing can be had."""

    lots: int
    paid: int
    got: int
    worst_ticks: int


@kernel
def level(book: Any, side: int, k: int) -> tuple[int, int]:
    """(price, lots) of the k-th level that a taker of `side` meets, as far as it is recorded; (0, 0) past that."""
    touch = book.ask_ticks if side > 0 else book.bid_ticks
    if k == 0:
        return touch, book.ask_lots if side > 0 else book.bid_lots
    recorded = book.depth_ask_ticks[0] if side > 0 else book.depth_bid_ticks[0]
    if recorded != touch:
        return 0, 0
    if side > 0:
        return book.depth_ask_ticks[k], book.depth_ask_lots[k]
    return book.depth_bid_ticks[k], book.depth_bid_lots[k]


@kernel
def cost_of(instrument: Any, side: int, ticks: int, lots: int) -> int:
    """What lots at a price take of the asset paid with: the fee too, where it is paid in quote on top."""
    if side < 0:
        return lots * instrument.lot_base_e8
    value = value_up(instrument, ticks, lots)
    return value if instrument.fee_in_base != 0 else value + fee_up(value, instrument.taker_fee_e8)


@kernel
def yield_of(instrument: Any, side: int, ticks: int, lots: int) -> int:
    """What lots at a price bring of the asset bought, its fee taken off."""
    if side < 0:
        value = value_down(instrument, ticks, lots)
        return value - fee_up(value, instrument.taker_fee_e8)
    base = lots * instrument.lot_base_e8
    return base - fee_up(base, instrument.taker_fee_e8) if instrument.fee_in_base != 0 else base


@kernel
def lots_for(instrument: Any, side: int, ticks: int, amount: int) -> int:
    """Most whole lots that an amount of the asset paid with can pay for at a price, the fee included."""
    if amount <= 0 or ticks <= 0:
        return 0
    if side < 0:
        return amount // instrument.lot_base_e8
    rate = 0.0 if instrument.fee_in_base != 0 else instrument.taker_fee_e8 / 1e8
    each = float(ticks) * instrument.value_num / instrument.value_den * (1.0 + rate)
    lots = int(min(amount / each, 4e18 / (float(ticks) * instrument.value_num)))
    while lots > 0 and cost_of(instrument, side, ticks, lots) > amount:
        lots -= 1
    return lots


@kernel
def take(s: Any, i: int, side: int, amount: int, limit_ticks: int, deep: bool) -> Taken:
    """Spend up to `amount` in the book of `i`, at no worse than `limit_ticks` (0: any price); at the touch only, or
    (`deep`) in the recorded levels behind it too."""
    instrument = s.instruments[i]
    book = s.books[i]
    lots = paid = got = worst = 0
    for k in range(LEVELS if deep else 1):
        price, shown = level(book, side, k)
        if price <= 0 or shown <= 0 or (limit_ticks > 0 and (price - limit_ticks) * side > 0):
            break
        some = min(lots_for(instrument, side, price, amount - paid), shown)
        if some <= 0:
            break
        lots += some
        paid += cost_of(instrument, side, price, some)
        got += yield_of(instrument, side, price, some)
        worst = price
    return Taken(lots, paid, got, worst)


@kernel
def is_orderable(instrument: Any, ticks: int, lots: int) -> bool:
    """Whether the venue takes an order of so many lots at that price."""
    if lots <= 0 or lots < instrument.min_lots or lots > instrument.max_lots:
        return False
    return value_down(instrument, ticks, lots) >= instrument.min_notional_e8
