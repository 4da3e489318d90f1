"""Scalping of perpetuals: seconds long, maker first, where the book and the flow promise more than it costs.

Rules
-----
* Only perpetuals with quotes and trades. On candles it abstains: they say neither sizes nor aggressors.
* Signal, in units of the volatility over `horizon_s`: a weighted sum of the microprice's distance from the mid, the
  lean of the touch and of the depth, and the takers' net flow (`engine.core.flow`). It reads after `warm_up_s`.
* Entry, long or short: the signal is beyond `entry_z`, and the move it expects is at least `edge_factor` times what
  the trade costs at the fees in force, spread and funding within `funding_guard_s` included.
* It rests at our own touch; it is withdrawn where the signal falls below `keep_z` or the queue at its price below
  `queue_keep` of what stood there: whoever is filled then is filled by somebody who knows. What is left is taken at
  last only where the move still pays for the taker's fee.
* Stop: `stop_vol` times the volatility, at least `min_stop_bps`; no entry where that is more than `max_stop_bps`.
  Size from the stop; leverage is the smallest that pays for it, and never brings liquidation near the stop.
* Exit: the stop; `target_r` R, or what covers the costs where that is more; the signal beyond `exit_z` the other way;
  `hold_s`, by the clock; a funding payment that would cost more than the signal still promises. Then `cooldown_s`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts.records import DEPTH, GTC, QUOTE, TRADE
from engine.core import book, flow, funding, patience, selector
from engine.core.compile import kernel
from engine.core.entry import enter, terms_of, worst_price
from engine.core.leverage import least_leverage, most_leverage
from engine.core.orders import ACTIVE, POOL
from engine.core.protect import supervise, want_exit
from engine.core.refusal import refuse
from engine.core.strategies.spec import EXECUTION, Param, Strategy

NUMBER: Final = 4
PAUSE_NS: Final = 5_000_000_000
"""After an entry was refused or withdrawn, so that a signal that stays is not told at every tick."""

_EXECUTION: Final = {"entry_patience_s": 2.0, "post_only": 1.0, "reprices": 1.0}

PARAMS: Final = (
    Param("horizon_s", 10, 0.5, 300, "s", "how far ahead the signal looks"),
    Param("book_s", 1, 0.01, 60, "s", "time constant of the touch's mean lean"),
    Param("flow_s", 5, 0.1, 300, "s", "time constant of the takers' net flow"),
    Param("volatility_s", 120, 5, 3600, "s", "time constant of the volatility and of the usual volume"),
    Param("warm_up_s", 60, 2, 3600, "s", "quotes seen without a gap before anything is entered"),
    Param("micro_weight", 0.5, 0, 10, "", "weight of the microprice's distance from the mid"),
    Param("book_weight", 0.3, 0, 10, "", "weight of the touch's mean lean"),
    Param("depth_weight", 0.2, 0, 10, "", "weight of the lean of the depth, where there is depth"),
    Param("flow_weight", 0.5, 0, 10, "", "weight of the takers' net flow"),
    Param("entry_z", 0.6, 0.05, 20, "volatilities", "signal that is entered"),
    Param("keep_z", 0.1, -20, 19, "volatilities", "a resting entry is withdrawn where the signal falls below"),
    Param("exit_z", 0.4, 0.0, 20, "volatilities", "a position leaves where the signal the other way passes this"),
    Param("edge_factor", 1.5, 1.0, 20, "x", "the move expected must be so many times what the trade costs"),
    Param("max_spread_bps", 3, 0.01, 100, "bps", "no entry above this quoted spread"),
    Param("queue_keep", 0.3, 0.0, 1.0, "", "part of the queue that must still stand at a resting entry's price"),
    Param("stop_vol", 2.5, 0.2, 20, "volatilities", "distance of the stop"),
    Param("min_stop_bps", 8, 1, 500, "bps", "a nearer stop is moved out to this"),
    Param("max_stop_bps", 60, 2, 1000, "bps", "no entry where the stop would be further away"),
    Param("target_r", 1.5, 0.1, 20, "R", "take-profit, where that covers the costs"),
    Param("hold_s", 60, 1, 3600, "s", "time stop, by the clock"),
    Param("cooldown_s", 10, 0, 3600, "s", "rest after a trade in the same perpetual"),
    Param("risk_share", 0.2, 0.01, 1.0, "", "part of the per-trade loss limit risked at most"),
    Param("max_leverage", 3, 1, 20, "x", "the account's and the instrument's caps hold besides", True),
    Param("liquidation_buffer_pct", 100, 0, 500, "%", "liquidation must lie so much further away than the stop"),
    Param("funding_guard_s", 600, 0, 28_800, "s", "funding due within this counts as a cost of an entry"),
    Param("entry_cap_bps", 1, 0.0, 100, "bps", "worst entry price against the touch"),
    *(one._replace(default=_EXECUTION[one.name]) for one in EXECUTION),
)

STATE: Final = np.dtype(
    (
        np.record,
        [
            *flow.FIELDS,
            ("ahead_ticks", "<f8"),  # the volatility over the horizon; 0: not known yet
            ("signal", "<f8"),
            ("rest_ns", "<i8"),  # no entry before
            ("held", "<i8"),  # 1 while a position of ours is open, to notice its end
            ("queue_id", "<i8"),  # the resting entry whose queue is watched, and the most that stood at its price
            ("queue_lots", "<i8"),
        ],
    )
)


@kernel
def learn(s: Any, i: int, kind: int) -> None:
    """Take the price that just came into the features and the signal."""
    m = s.scalping[i]
    p = s.scalping_params[0]
    one = s.books[i]
    now = s.head[0].now_ns
    if kind == TRADE:
        flow.take_trade(m, one, now, p.flow_s, p.volatility_s)
    else:
        sampled = flow.take_quote(m, one, now, p.book_s, p.volatility_s)
        if sampled or m.since_ns == now:  # begun anew: nothing is known yet
            m.ahead_ticks = flow.expected_ticks(m, p.horizon_s)
            m.signal = 0.0
        if kind == DEPTH:
            flow.take_depth(m, one)
    if m.ahead_ticks > 0.0:
        takers = flow.pressure(m, now, p.flow_s, p.volatility_s)
        shown = p.book_weight * m.leaning + p.depth_weight * m.deep
        m.signal = p.micro_weight * flow.microprice_ticks(m, one) / m.ahead_ticks + shown + p.flow_weight * takers


@kernel
def cost_ticks(s: Any, i: int, takes: bool) -> float:
    """What a round trip costs, in ticks: the fees in force (the exit always takes), and the spread. An entry that rests
    saves one crossing, but where it fills the mid has usually come to it: half the spread."""
    instrument = s.instruments[i]
    one = s.books[i]
    entry_fee = instrument.taker_fee_e8 if takes else instrument.maker_fee_e8
    fees = 0.5e-8 * (one.ask_ticks + one.bid_ticks) * (entry_fee + instrument.taker_fee_e8)
    return fees + (one.ask_ticks - one.bid_ticks) * (1.0 if takes else 0.5)


@kernel
def edge_ticks(s: Any, i: int, side: int) -> float:
    """The move in a position's favour that the signal expects; below 0 where it expects the other way."""
    return s.scalping[i].signal * side * s.scalping[i].ahead_ticks


@kernel
def funding_ticks(s: Any, i: int, side: int, until_ns: int) -> float:
    """What a position would pay in funding until then, in ticks; what it would receive is not counted."""
    one = s.books[i]
    return max(0.5 * (one.ask_ticks + one.bid_ticks) * funding.coming_share(s, i, side, until_ns), 0.0)


@kernel
def takes_at_once(s: Any, i: int) -> bool:
    """The entry will not rest: so it was set, or makers pay more than takers here."""
    instrument = s.instruments[i]
    return s.scalping_params[0].entry_patience_s <= 0.0 or instrument.maker_fee_e8 > instrument.taker_fee_e8


@kernel
def stop_distance(s: Any, i: int) -> int:
    """Ticks from the entry to its stop; 0 where that would be too far."""
    p = s.scalping_params[0]
    one = s.books[i]
    mid = 0.5 * (one.ask_ticks + one.bid_ticks)
    least = max(p.min_stop_bps * 1e-4 * mid, 2.0 * (one.ask_ticks - one.bid_ticks))
    distance = max(p.stop_vol * s.scalping[i].ahead_ticks, least)
    return int(np.ceil(distance)) if distance <= p.max_stop_bps * 1e-4 * mid else 0


@kernel
def is_free(s: Any, i: int) -> bool:
    """Nothing is open or under way here, and entries are allowed: asked before the gate is, which notes a refusal."""
    position = s.positions[i]
    busy = position.qty_lots != 0 or position.entry_id != 0 or position.stop_id != 0 or position.exit_id != 0
    tradable = s.instruments[i].quote_is_cash != 0 and s.head[0].trading_state == ACTIVE
    return not busy and s.plans[i].client_id == 0 and tradable


@kernel
def consider(s: Any, out: Any, i: int) -> None:
    """Enter if every rule says so."""
    m = s.scalping[i]
    p = s.scalping_params[0]
    one = s.books[i]
    now = s.head[0].now_ns
    if now < m.rest_ns or now - m.since_ns < p.warm_up_s * 1e9 or not is_free(s, i):
        return
    side = 1 if m.signal > 0.0 else -1
    edge = edge_ticks(s, i, side)
    cost = cost_ticks(s, i, takes_at_once(s, i))
    distance = stop_distance(s, i)
    if edge < p.edge_factor * cost or distance == 0 or book.spread_bps(one) > p.max_spread_bps:
        return
    m.rest_ns = now + PAUSE_NS
    owed = funding_ticks(s, i, side, now + int(p.funding_guard_s * 1e9))
    if edge < p.edge_factor * (cost + owed):
        refuse(s, out, i, NUMBER, side, (reasons.FUNDING_AHEAD, int(owed), int(edge)), 0)
        return
    terms = terms_of(p)
    worst = worst_price(one, side, terms.cap_bps)
    stop = (worst if takes_at_once(s, i) else patience.own_touch(s, i, side)) - side * distance
    most = most_leverage(s, i, side, worst, stop, int(p.max_leverage), p.liquidation_buffer_pct / 100.0)
    if stop <= 0 or most == 0:
        refuse(s, out, i, NUMBER, side, (reasons.NO_LEVERAGE_FITS, distance, most), 0)
        return
    leverage = least_leverage(s, i, side, worst, stop, p.risk_share * selector.granted(s, NUMBER), most)
    enter(s, out, i, NUMBER, side, stop, p.risk_share, terms, leverage)


@kernel
def guard(s: Any, out: Any, i: int) -> None:
    """Watch our resting entry: withdraw it before somebody who knows more fills it, and say whether taking at last
    would still pay."""
    m = s.scalping[i]
    p = s.scalping_params[0]
    plan = s.plans[i]
    one = s.books[i]
    order = s.orders[plan.client_id % POOL]
    if plan.due_ns == 0 and order.tif != GTC:
        return  # the last of it is being taken: nothing can be withdrawn
    edge = edge_ticks(s, i, plan.side)
    plan.takes = 1 if edge >= p.edge_factor * cost_ticks(s, i, True) else 0
    reason = 0
    if m.signal * plan.side < p.keep_z:
        reason = reasons.SIGNAL_TURNED
    elif plan.due_ns == 0 and (patience.own_touch(s, i, plan.side) - order.price_ticks) * plan.side <= 0:
        at_touch = patience.own_touch(s, i, plan.side) == order.price_ticks
        shown = (one.bid_lots if plan.side > 0 else one.ask_lots) if at_touch else 0
        if m.queue_id != plan.client_id:
            m.queue_id = plan.client_id
            m.queue_lots = shown
        m.queue_lots = max(m.queue_lots, shown)
        if shown < p.queue_keep * m.queue_lots:
            reason = reasons.QUEUE_COLLAPSED
    if reason != 0:
        patience.abandon(s, out, i, (reason, 0, 0))
        m.rest_ns = s.head[0].now_ns + PAUSE_NS
        supervise(s, out, i)


@kernel
def exits(s: Any, i: int) -> None:
    """Leave where the signal turned, or funding would cost more than it still promises."""
    p = s.scalping_params[0]
    position = s.positions[i]
    edge = edge_ticks(s, i, position.side)
    if s.scalping[i].signal * position.side < -p.exit_z:
        want_exit(s, i, reasons.EXIT_SIGNAL)
    elif funding_ticks(s, i, position.side, position.leave_ns) > max(edge, 0.0):
        want_exit(s, i, reasons.FUNDING_DUE)


@kernel
def on_price(s: Any, out: Any, i: int, kind: int) -> None:
    """Every price of a perpetual: learn; then watch the position or the resting entry, or look for an entry."""
    if s.instruments[i].is_perp == 0 or (kind != QUOTE and kind != TRADE and kind != DEPTH):
        return
    m = s.scalping[i]
    learn(s, i, kind)
    position = s.positions[i]
    plan = s.plans[i]
    if plan.client_id != 0 and plan.strategy == NUMBER:
        guard(s, out, i)
    if position.qty_lots != 0:
        if position.strategy == NUMBER:
            exits(s, i)
        return
    if m.held != 0:
        m.held = 0
        m.rest_ns = s.head[0].now_ns + int(s.scalping_params[0].cooldown_s * 1e9)
    if abs(m.signal) >= s.scalping_params[0].entry_z:
        consider(s, out, i)


@kernel
def on_tick(s: Any, out: Any, i: int) -> None:
    """The first look at a new position sets its target and the time at which it leaves."""
    position = s.positions[i]
    if position.leave_ns != 0:
        return
    p = s.scalping_params[0]
    s.scalping[i].held = 1
    instrument = s.instruments[i]
    entry = position.entry_value_e8 * instrument.value_den / (instrument.value_num * position.entry_lots)
    one_r = (entry - position.first_stop_ticks) * position.side
    gain = max(p.target_r * one_r, p.edge_factor * cost_ticks(s, i, takes_at_once(s, i)))
    target = entry + gain * position.side
    position.target_ticks = max(int(np.ceil(target)) if position.side > 0 else int(np.floor(target)), 1)
    position.leave_ns = position.opened_ns + int(p.hold_s * 1e9)


@kernel
def on_bar(s: Any, out: Any, i: int, closed_mask: int) -> None:
    """Bars are too slow for this."""


@kernel
def forget(s: Any, i: int) -> None:
    """Begin the features anew; `held`, the rest and the queue stay, they are about trades."""
    m = s.scalping[i]
    flow.forget(m)
    m.ahead_ticks = m.signal = 0.0


STRATEGY: Final = Strategy(
    NUMBER, "scalping", "Scalping of perpetuals", PARAMS, STATE, on_bar, on_tick, forget,
    rising=(("keep_z", "entry_z"), ("min_stop_bps", "max_stop_bps")), on_price=on_price, tier=3,
)  # fmt: skip
