"""Conversions: fills of legs exchange one asset for another, and open no position.

Rules
-----
* Coins that legs bought lie in *pots*, one a coin and venue, in the row of the coin's home (`engine.core.triangles`).
* Cash to coin: the coins lie in the pot at what they cost. Coin to coin: the cost goes along, no profit is booked. Coin
  to cash: what came in less the cost is booked. Cash to cash: the difference is booked at once, both count as dollars.
* A fee taken out of what comes in makes it less, and is booked at its share of the cost.

Identities (integers, exact after every event), beside those of `engine.core.portfolio`
---------------------------------------------------------------------------------------
* cash + cost of open spot positions + cost of pots = book
* a balance is what fills and fees made of it, whatever it is kept in
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts.reasons import OVERFILL
from engine.contracts.records import FEE_IN_BASE
from engine.core.compile import i64, kernel
from engine.core.money import share_up, value_down, value_up
from engine.core.orders import violation
from engine.core.portfolio import note_free
from engine.core.wallet import move_money

POT: Final = np.dtype(
    (
        np.record,
        [
            (name, "<i8")
            for name in (
                "qty_e8",  # 1e-8 units of the coin
                "cost_e8",  # what they cost, 1e-8 USD
                "mark_ticks",  # bid of the home pair they are valued at; 0: valued at cost
                "unrealised_e8",
            )
        ],
    )
)


@kernel
def is_leg(s: Any, i: int) -> bool:
    """True where a fill can be nothing but a conversion: the pair is paid in coins."""
    return s.instruments[i].quote_is_cash == 0


@kernel
def fold_leg(s: Any, out: Any, i: int, event: Any) -> tuple[int, int, int]:
    """Fold one fill. Returns what was paid and what arrived, both in 1e-8 units of their asset with fees taken into
    account, and what was paid in 1e-8 USD at cost."""
    one = s.instruments[i]
    side = i64(event.side)
    base = event.qty_lots * one.lot_base_e8
    fee = event.fee_e8
    fee_arrives = ((event.bits & FEE_IN_BASE) != 0) == (side > 0)
    if side > 0:
        paid, got = value_up(one, event.price_ticks, event.qty_lots), base
    else:
        paid, got = base, value_down(one, event.price_ticks, event.qty_lots)
    cost = _give(s, out, i, side, paid, event.client_id)
    if not fee_arrives and fee != 0:
        _book_fee(s, i, _give(s, out, i, side, fee, event.client_id))
        paid += fee
    _receive(s, i, side, got, fee if fee_arrives else 0, cost)
    note_free(s)
    return paid, got - fee if fee_arrives else got, cost


@kernel
def _book_fee(s: Any, i: int, fee_e8: int) -> None:
    s.head[0].fees_e8 += fee_e8
    s.cycle[0].fees_e8 += fee_e8


@kernel
def _give(s: Any, out: Any, i: int, side: int, amount: int, client_id: int) -> int:
    """Take what a fill on that side pays with. Returns its cost in 1e-8 USD; more than there is, is a violation."""
    one = s.instruments[i]
    asset = one.quote_asset if side > 0 else one.base_asset
    s.balances[asset] -= amount
    if (one.quote_is_cash if side > 0 else one.base_is_cash) != 0:
        move_money(s, i, -amount, 0, 0)
        return amount
    home = one.quote_home if side > 0 else one.base_home
    held = s.pots[home].qty_e8 if home >= 0 else 0
    if amount > held:
        violation(s, out, i, OVERFILL, client_id, amount, held)
    if home < 0:
        return 0
    pot = s.pots[home]
    cost = share_up(pot.cost_e8, amount, held) if amount > 0 else 0
    _change(s, home, -min(amount, held), -cost)
    return cost


@kernel
def _receive(s: Any, i: int, side: int, amount: int, fee: int, cost: int) -> None:
    """Put away what a fill on that side bought for `cost`, less a fee taken out of it."""
    one = s.instruments[i]
    asset = one.base_asset if side > 0 else one.quote_asset
    s.balances[asset] += amount - fee
    if (one.base_is_cash if side > 0 else one.quote_is_cash) != 0:
        move_money(s, i, amount - fee, 0, 0)
        s.head[0].gross_e8 += amount - cost
        s.cycle[0].gross_e8 += amount - cost
        _book_fee(s, i, fee)
        return
    taken = share_up(cost, fee, amount) if fee > 0 else 0
    _book_fee(s, i, taken)
    home = one.base_home if side > 0 else one.quote_home
    if home >= 0:
        _change(s, home, amount - fee, cost - taken)
    else:  # a coin nobody sells for cash here: it is worth nothing to us
        _book_fee(s, i, cost - taken)


@kernel
def _change(s: Any, home: int, qty: int, cost: int) -> None:
    pot = s.pots[home]
    pot.qty_e8 += qty
    pot.cost_e8 += cost
    s.head[0].exposure_e8 += cost
    revalue_pot(s, home)


@kernel
def write_off(s: Any, home: int, amount: int) -> None:
    """Coins of a pot that are not at the venue any more: their cost is booked as a fee."""
    pot = s.pots[home]
    gone = min(amount, pot.qty_e8)
    if gone > 0:
        cost = share_up(pot.cost_e8, gone, pot.qty_e8)
        _change(s, home, -gone, -cost)
        _book_fee(s, home, cost)


@kernel
def coins_value(instrument: Any, ticks: int, qty_e8: int) -> int:
    """Value in 1e-8 quote units of 1e-8 base units at a price, rounded down; parts of a lot count."""
    lots = qty_e8 // instrument.lot_base_e8
    rest = qty_e8 - lots * instrument.lot_base_e8
    value = value_down(instrument, ticks, lots)
    if rest > 0:
        one = value_down(instrument, ticks, 1)
        value += one - share_up(one, instrument.lot_base_e8 - rest, instrument.lot_base_e8)
    return value


@kernel
def mark_pot(s: Any, home: int) -> None:
    """Revalue a pot at the bid it would be sold to."""
    if s.books[home].bid_ticks != s.pots[home].mark_ticks:
        revalue_pot(s, home)


@kernel
def revalue_pot(s: Any, home: int) -> None:
    """Recompute a pot's open result."""
    pot = s.pots[home]
    pot.mark_ticks = s.books[home].bid_ticks
    open_e8 = 0
    if pot.mark_ticks > 0:
        open_e8 = coins_value(s.instruments[home], pot.mark_ticks, pot.qty_e8) - pot.cost_e8
    s.head[0].unrealised_e8 += open_e8 - pot.unrealised_e8
    pot.unrealised_e8 = open_e8
