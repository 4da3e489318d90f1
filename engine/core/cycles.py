"""A cycle under way: three legs, one after the other, and the way back where one of them fails.

Rules
-----
* One cycle at a time. Every leg is an immediate-or-cancel limit order; the next is sent when the last one is over.
* A leg that filled in part goes on with what arrived. One that got nothing turns the cycle back. What is left over
  on the way is sold when the legs are over (`engine.core.unwinding`).
* In doubt means waiting for the venue's word: nothing is sent, so nothing is sold twice.
* While trading is HALTED no further leg is sent, nor in a cycle that another run began: what it holds is sold.
* What the cycle may lose counts as pending risk until it is over.
"""

from __future__ import annotations

from typing import Any

from engine.contracts import reasons
from engine.contracts.records import IOC, LIMIT_ORDER, ROLE_LEG
from engine.core import life, regime, rehearsal, timers
from engine.core.compile import kernel
from engine.core.conversion import is_orderable, lots_for
from engine.core.cycle_state import (
    AT_WORK,
    FILLED,
    GIVE_UP_E9,
    GO_ON,
    IDLE,
    IN_DOUBT,
    LATER,
    LEG,
    MISSED,
    NEXT,
    PARTLY,
    PAUSE_NS,
    REFUSED,
    SHADOW_LEG,
    TURN_BACK,
    UNWIND,
    WAIT,
    Plan,
    reset,
)
from engine.core.edges import NUMBER, note_cycle
from engine.core.orders import HALTED, find, is_working, place
from engine.core.risk import count_order
from engine.core.unwinding import unwind


@kernel
def begin(s: Any, out: Any, number: int, plan: Plan, is_shadow: bool) -> None:
    """Start a cycle along triangle `number`. Its later legs may give up half of the edge each, `GIVE_UP_E9` at most:
    they are sized at their worst prices, and what those leave unspent has to be sold."""
    c = s.cycle[0]
    p = s.arbitrage_params[0]
    way = s.triangles[number]
    now = s.head[0].now_ns
    regime.on_cycle(s)
    reset(c, now, p.max_seconds)
    for k in range(3):
        c.legs[k] = way.legs[k]
        c.sides[k] = way.sides[k]
    give_up = min(plan.edge_e9 / 2, GIVE_UP_E9) / 1e9
    c.limits[0] = plan.worst_0
    c.limits[1] = plan.worst_1 + way.sides[1] * int(plan.worst_1 * give_up)
    c.limits[2] = plan.worst_2 + way.sides[2] * int(plan.worst_2 * give_up)
    c.desk = way.desk
    c.first_lots = plan.first_lots
    c.quoted_e9 = plan.edge_e9
    if is_shadow:
        c.stage = SHADOW_LEG
        c.in_e8 = plan.paid_e8
        c.due_ns = now + int(p.leg_ms * 1e6)
        timers.arm(s, timers.CYCLE, c.due_ns)
        return
    c.stage = LEG
    c.risk_e8 = plan.risk_e8
    s.head[0].pending_risk_e8 += plan.risk_e8
    note_cycle(s, out, reasons.CYCLE_BEGUN, 0, 0, plan.paid_e8, plan.risk_e8)
    if not _send_leg(s, out):
        _turn_back(s, out)


@kernel
def count_fill(s: Any, client_id: int, lots: int, flow: tuple[int, int, int]) -> None:
    """Count a folded fill towards the cycle: `flow` is what was paid, what arrived, and the cost of what was paid."""
    c = s.cycle[0]
    if c.stage == IDLE or client_id != c.client_id:
        return
    c.paid_e8 += flow[0]
    c.got_e8 += flow[1]
    if (c.is_back == 0 and c.leg == 0) or c.is_sweep != 0:
        c.entry_lots += lots
        c.entry_value_e8 += flow[2]
    if c.stray_at != 0:
        c.stray_e8[c.stray_at - 1] = max(c.stray_e8[c.stray_at - 1] - flow[0], 0)


@kernel
def _outcome(s: Any, client_id: int) -> int:
    slot = find(s, client_id)
    if slot < 0:
        return MISSED
    order = s.orders[slot]
    if order.status == life.UNKNOWN:
        return IN_DOUBT
    if is_working(order):
        return AT_WORK
    if order.filled_lots >= order.qty_lots:
        return FILLED
    if order.filled_lots > 0:
        return PARTLY
    return REFUSED if order.status == life.REJECTED else MISSED


@kernel
def carry_on(s: Any, out: Any) -> None:
    """Take the next step of the cycle under way, if one is due."""
    c = s.cycle[0]
    if c.stage == IDLE:
        return
    if c.stage == SHADOW_LEG:
        if rehearsal.carry_on(s, out):
            c.stage = IDLE
        return
    if c.client_id != 0:
        act = NEXT[c.stage, _outcome(s, c.client_id)]
        if act == WAIT:
            return
        c.client_id = 0
        if act == GO_ON:
            _go_on(s, out)
            return
        if act == TURN_BACK:
            _turn_back(s, out)
            return
        c.stray_at = 0
        c.due_ns = s.head[0].now_ns + _pause_ns(s, act)
    unwind(s, out)


@kernel
def _pause_ns(s: Any, act: int) -> int:
    c = s.cycle[0]
    if act != LATER or (s.head[0].flattening != 0 and c.tries == 1):
        return 0
    return PAUSE_NS << min(c.tries, 8)


# --- legs -----------------------------------------------------------------------------------------


@kernel
def _pays_cash(s: Any, k: int) -> bool:
    """Whether leg `k` pays with cash of some kind, not with coins."""
    one = s.instruments[s.cycle[0].legs[k]]
    return (one.quote_is_cash if s.cycle[0].sides[k] > 0 else one.base_is_cash) != 0


@kernel
def _purse(s: Any, k: int) -> int:
    """What leg `k` > 0 may spend: all coins of the pot, or the stablecoins that the leg before bought."""
    c = s.cycle[0]
    if _pays_cash(s, k):
        return c.got_e8
    one = s.instruments[c.legs[k]]
    return s.pots[one.quote_home if c.sides[k] > 0 else one.base_home].qty_e8


@kernel
def _send_leg(s: Any, out: Any) -> bool:
    """Send leg `c.leg`; False where the venue would not take it, or there is no free order."""
    c = s.cycle[0]
    k = c.leg
    i = c.legs[k]
    one = s.instruments[i]
    spend = 0
    lots = c.first_lots
    if k > 0:
        spend = _purse(s, k)
        lots = min(lots_for(one, c.sides[k], c.limits[k], spend), one.max_lots)
    if not is_orderable(one, c.limits[k], lots):
        return False
    client_id = place(
        s, out, i, ROLE_LEG, c.sides[k], LIMIT_ORDER, IOC, 0, c.limits[k], lots, 0, 0, reasons.CYCLE_LEG, NUMBER, 1
    )
    if client_id == 0:
        return False
    count_order(s)
    c.client_id = client_id
    c.in_e8 = spend
    c.paid_e8 = c.got_e8 = c.is_back = 0
    return True


@kernel
def _go_on(s: Any, out: Any) -> None:
    """A leg is over and got something: the next one, unless this was the last, the cycle was taken over, or trading was
    halted."""
    c = s.cycle[0]
    if c.leg > 0 and _pays_cash(s, c.leg):
        c.stray_e8[c.leg - 1] = max(c.in_e8 - c.paid_e8, 0)
    if c.leg == 2:
        c.is_through = 1
        c.stage = UNWIND
        unwind(s, out)
        return
    c.leg += 1
    if c.goes_back != 0 or s.head[0].trading_state == HALTED or not _send_leg(s, out):
        c.in_e8 = c.got_e8
        c.paid_e8 = 0
        _turn_back(s, out)


@kernel
def _turn_back(s: Any, out: Any) -> None:
    """The leg got nothing, or was not sent: what it would have spent is sold."""
    c = s.cycle[0]
    if c.leg > 0 and _pays_cash(s, c.leg):
        c.stray_e8[c.leg - 1] = max(c.in_e8 - c.paid_e8, 0)
    c.stage = UNWIND
    unwind(s, out)
