"""The way back: what a cycle leaves over is sold, and what it came to is noted.

Rules
-----
* Coins are sold through their home pair, stablecoins through the pair they came from, one order at a time: at no less
  than cost less `unwind_bps`, tried again, and at the market from `max_seconds` after the cycle began.
* In an emergency they are sold near the touch, then at the market.
* Coins too few to be sold stay in their pot at cost; once they are worth 1.2 times the venue's minimum they are swept.
"""

from __future__ import annotations

from typing import Any

from engine.contracts import reasons
from engine.contracts.records import BUY, CLOSED, EXCURSION, GAP, IOC, LIMIT_ORDER, MARKET, ROLE_LEG, TRADE_SIZE
from engine.core import outcomes, selector, timers
from engine.core.compile import kernel
from engine.core.conversion import is_orderable, lots_for
from engine.core.cycle_state import IDLE, SECOND_NS, UNWIND, reset
from engine.core.edges import NUMBER, judge, note_cycle
from engine.core.limits import SCALE
from engine.core.money import value_down
from engine.core.orders import place
from engine.core.output import emit
from engine.core.risk import trade_limit_e8


@kernel
def sweep(s: Any, out: Any, home: int) -> None:
    """While no cycle is under way: sell what lies in a pot once it is worth it."""
    c = s.cycle[0]
    one = s.instruments[home]
    bid = s.books[home].bid_ticks
    lots = s.pots[home].qty_e8 // one.lot_base_e8
    if c.stage != IDLE or lots < one.min_lots or bid <= 0:
        return
    if 5 * value_down(one, bid, lots) < 6 * one.min_notional_e8:
        return
    reset(c, s.head[0].now_ns, s.arbitrage_params[0].max_seconds)
    for k in range(3):
        c.legs[k] = home
        c.sides[k] = -1
    c.is_sweep = 1
    c.stage = UNWIND
    unwind(s, out)


@kernel
def unwind(s: Any, out: Any) -> None:
    """Sell the next thing that is left over; end the cycle where nothing is."""
    c = s.cycle[0]
    if s.head[0].now_ns < c.due_ns:
        timers.arm(s, timers.CYCLE, c.due_ns)
        return
    home = _next_pot(s)
    if home >= 0:
        _sell(s, out, home)
        return
    for k in range(2):
        if c.stray_e8[k] > 0 and _convert(s, out, k):
            return
    _end(s, out)


@kernel
def _next_pot(s: Any) -> int:
    """The first pot (by name) with coins the venue would take an order for; -1 where there is none."""
    best = -1
    for i in range(s.head[0].instruments):
        if s.pots[i].qty_e8 == 0:
            continue
        one = s.instruments[i]
        ticks = s.books[i].bid_ticks
        if ticks <= 0:
            ticks = _floor_ticks(s, i)
        if not is_orderable(one, ticks, min(s.pots[i].qty_e8 // one.lot_base_e8, one.max_lots)):
            continue
        if best < 0 or one.tie_break < s.instruments[best].tie_break:
            best = i
    return best


@kernel
def _floor_ticks(s: Any, home: int) -> int:
    """The price at which a pot brings what it cost less `unwind_bps`."""
    pot = s.pots[home]
    one = s.instruments[home]
    per_lot = pot.cost_e8 * (one.lot_base_e8 / pot.qty_e8) * (1.0 - s.arbitrage_params[0].unwind_bps / 1e4)
    return int(per_lot * one.value_den / one.value_num) + 1


@kernel
def _sell(s: Any, out: Any, home: int) -> None:
    c = s.cycle[0]
    head = s.head[0]
    one = s.instruments[home]
    bid = s.books[home].bid_ticks
    price = _floor_ticks(s, home)
    kind = LIMIT_ORDER
    if head.now_ns >= c.deadline_ns or (head.flattening != 0 and c.tries > 0):
        kind, price = MARKET, bid
    elif head.flattening != 0 and bid > 0:
        price = max(bid - int(bid * (s.limits[0].fat_finger_bps / (10_000.0 * SCALE))), 1)
    elif bid < price:  # not for that: wait for the price, or for the end of patience
        timers.arm(s, timers.CYCLE, c.deadline_ns)
        return
    lots = min(s.pots[home].qty_e8 // one.lot_base_e8, one.max_lots)
    if kind == LIMIT_ORDER and not is_orderable(one, price, lots):
        price = bid
    c.tries += 1
    _place_back(s, out, home, -1, kind, price, lots)


@kernel
def _convert(s: Any, out: Any, k: int) -> bool:
    """Change stablecoins left over into the currency the cycle began with; False where they are too few."""
    c = s.cycle[0]
    i = c.legs[0] if k == 0 else c.legs[2]
    side = -c.sides[0] if k == 0 else c.sides[2]
    one = s.instruments[i]
    touch = s.books[i].ask_ticks if side > 0 else s.books[i].bid_ticks
    price = touch + side * int(touch * s.arbitrage_params[0].unwind_bps / 1e4)
    lots = min(lots_for(one, side, price, c.stray_e8[k]), one.max_lots)
    if price <= 0 or not is_orderable(one, price, lots):
        c.stray_e8[k] = 0
        return False
    c.tries += 1
    late = s.head[0].now_ns >= c.deadline_ns
    if _place_back(s, out, i, side, MARKET if late else LIMIT_ORDER, touch if late else price, lots):
        c.stray_at = k + 1
    return True


@kernel
def _place_back(s: Any, out: Any, i: int, side: int, kind: int, price: int, lots: int) -> bool:
    c = s.cycle[0]
    c.paid_e8 = c.got_e8 = 0
    c.is_back = 1
    c.client_id = place(s, out, i, ROLE_LEG, side, kind, IOC, 0, price, lots, 0, 0, reasons.UNWIND_LEG, NUMBER, 1)
    if c.client_id == 0:  # no free order now
        c.due_ns = s.head[0].now_ns + SECOND_NS
        timers.arm(s, timers.CYCLE, c.due_ns)
    return c.client_id != 0


# --- the end --------------------------------------------------------------------------------------


@kernel
def _end(s: Any, out: Any) -> None:
    """Nothing is left over: note what the cycle came to, and learn from it."""
    c = s.cycle[0]
    head = s.head[0]
    head.pending_risk_e8 -= c.risk_e8
    net = c.gross_e8 - c.fees_e8
    reason = reasons.CYCLE_DONE if c.is_through != 0 else reasons.CYCLE_UNWOUND
    realised = 0.0
    if c.entry_lots == 0:
        reason = reasons.CYCLE_MISSED
    elif head.flattening != 0:
        reason = reasons.EMERGENCY_EXIT
    elif c.is_sweep != 0:
        reason = reasons.POT_SWEPT
    if c.entry_lots > 0:
        realised = net / max(c.entry_value_e8, 1)
        _note_trade(s, out, reason, net)
        c.gross_e8 = c.fees_e8 = 0
    if c.is_sweep == 0:
        note_cycle(s, out, reason, 0, int(realised * 1e9), c.entry_value_e8, c.risk_e8)
        if c.entry_lots > 0:
            judge(s, out, c.desk, c.quoted_e9 / 1e5, realised * 1e4)
    c.risk_e8 = 0
    c.ended_ns = head.now_ns
    c.stage = IDLE


@kernel
def _note_trade(s: Any, out: Any, reason: int, net_e8: int) -> None:
    """A cycle is a closed trade of its first pair, in the three notes of any other. What it sold is what it bought:
    the exit's value is the entry's and the gross result."""
    c = s.cycle[0]
    head = s.head[0]
    i = c.legs[0]
    trade_no = head.next_trade_no
    head.next_trade_no += 1
    outcomes.settle_cycle(s, out, i, NUMBER, trade_no, c.opened_ns, net_e8, c.risk_e8)
    note = emit(s, out, CLOSED, i)
    note.strategy = NUMBER
    note.side = BUY
    note.reason = reason
    note.trade_no = trade_no
    note.gross_e8 = c.gross_e8
    note.fees_e8 = c.fees_e8
    note.risk_e8 = c.risk_e8
    note = emit(s, out, EXCURSION, i)
    note.strategy = NUMBER
    note.trade_no = trade_no
    note.mae_e8 = min(net_e8, 0)
    note.mfe_e8 = max(net_e8, 0)
    note.slippage_e8 = int(c.entry_value_e8 * (c.quoted_e9 / 1e9)) - net_e8
    note.opened_ns = c.opened_ns
    note = emit(s, out, TRADE_SIZE, i)
    note.strategy = NUMBER
    note.trade_no = trade_no
    note.entry_value_e8 = c.entry_value_e8
    note.qty_lots = c.entry_lots
    note.exit_value_e8 = c.entry_value_e8 + c.gross_e8
    limit = trade_limit_e8(s)
    if -net_e8 > limit:
        cause = reasons.GAP_BETWEEN_TICKS if s.books[i].is_path == 0 else reasons.GAP_BETWEEN_CANDLES
        note = emit(s, out, GAP, i)
        note.strategy = NUMBER
        note.reason = cause
        note.trade_no = trade_no
        note.loss_e8 = -net_e8
        note.planned_e8 = limit
        head.day_gap_reason = cause
        selector.demote(s, out, NUMBER, reasons.SHARE_DEMOTED_GAP)
