"""What people, flows and the clock tell the core: trading state, limits, parameters, balances, timers."""

from __future__ import annotations

from typing import Any

from engine.contracts import reasons
from engine.contracts.records import NO_INSTRUMENT
from engine.core import cycles, legs, patience, protect, selector, timers
from engine.core.compile import i64, kernel
from engine.core.days import judge_day, refit_day
from engine.core.drawdown import forgive_drawdown, refit_drawdown, watch_equity
from engine.core.limits import WORD_BOUNDS
from engine.core.orders import ACTIVE, HALTED, POOL, REDUCING, cancel, set_state, violation
from engine.core.portfolio import note_equity, note_free, refresh_at_stop
from engine.core.wallet import move_money

MAX_FILTERS = 5


@kernel
def on_timer(s: Any, event: Any, out: Any) -> None:
    """A timer is due: the hourly equity note, the end of a run, or an order that waited long enough."""
    timer_id = event.timer_id
    if timer_id == timers.MARK_EQUITY:
        timers.arm(s, timer_id, (s.head[0].now_ns // timers.HOUR_NS + 1) * timers.HOUR_NS)
        watch_equity(s, out)
        note_equity(s, out)
    elif timer_id == timers.JUDGE_DAY:
        timers.arm(s, timer_id, timers.NEVER)
        judge_day(s, out)
    elif timer_id == timers.LOOK:
        _look(s, out)
    elif timer_id == timers.CYCLE:
        timers.arm(s, timer_id, timers.NEVER)
        cycles.carry_on(s, out)
    elif timers.FIRST_ORDER_TIMER <= timer_id < timers.FIRST_ORDER_TIMER + POOL:
        timers.arm(s, timer_id, timers.NEVER)
        order = s.orders[timer_id - timers.FIRST_ORDER_TIMER]
        cancel(s, out, order.client_id, reasons.ENTRY_TIMEOUT)
    elif 0 <= timer_id < timers.SLOTS:
        timers.arm(s, timer_id, timers.NEVER)
    else:
        s.head[0].quarantined += 1


@kernel
def _look(s: Any, out: Any) -> None:
    """Nothing happened until a position was due: a stop nobody confirmed, an exit to be tried again, the rest of an
    entry to be placed."""
    now = s.head[0].now_ns
    for i in range(s.head[0].instruments):
        if s.positions[i].look_ns <= now:
            s.positions[i].look_ns = timers.NEVER
            patience.carry_on(s, out, i)
            protect.supervise(s, out, i)
    timers.arm(s, timers.LOOK, timers.next_look(s))


@kernel
def on_operator(s: Any, event: Any, out: Any) -> None:
    """pause/reduce: no entries; halt: no entries until a person resumes; emergency: cancel entries, flatten, lock;
    resume: only a person says so, and starts a new peak after a drawdown only; adopt: the position that the next
    adopted fill opens is ours, with this stop."""
    if event.reason == reasons.OPERATOR_RESUME:
        forgive_drawdown(s)
        s.head[0].flattening = 0
        set_state(s, out, ACTIVE, reasons.OPERATOR_RESUME)
    elif event.reason == reasons.OPERATOR_PAUSE or event.reason == reasons.OPERATOR_REDUCE:
        if s.head[0].trading_state == ACTIVE:
            set_state(s, out, REDUCING, reasons.OPERATOR_REDUCE)
    elif event.reason == reasons.OPERATOR_EMERGENCY:
        set_state(s, out, HALTED, reasons.OPERATOR_EMERGENCY)
        s.head[0].flattening = 1
        for i in range(s.head[0].instruments):
            p = s.positions[i]
            if p.entry_id != 0:
                cancel(s, out, p.entry_id, reasons.EMERGENCY_EXIT)
        s.head[0].exits_due = 1
    elif event.reason == reasons.OPERATOR_HALT:
        set_state(s, out, HALTED, reasons.OPERATOR_HALT)
    elif event.reason == reasons.OPERATOR_ADOPT and event.instrument < s.head[0].instruments:
        p = s.positions[event.instrument]
        p.adopt_stop_ticks = event.trigger_ticks
        p.foreign_lots = 0
    else:
        violation(s, out, NO_INSTRUMENT, reasons.BAD_EVENT, 0, event.reason, 0)


@kernel
def on_foreign(s: Any, event: Any) -> None:
    """So many lots of a perpetual lie at the venue that are not ours: no entries there until they are gone."""
    if event.instrument >= s.head[0].instruments:
        s.head[0].quarantined += 1
        return
    s.positions[event.instrument].foreign_lots = event.qty_lots


@kernel
def on_parameter(s: Any, event: Any, out: Any) -> None:
    """An approved parameter change; one out of its bounds is refused as a violation, never clipped."""
    number = event.reason
    if number == selector.NUMBER:
        _on_selector(s, event, out)
        return
    if number < 1 or number >= s.enabled.shape[0]:
        violation(s, out, NO_INSTRUMENT, reasons.BAD_EVENT, 0, event.index, event.value_e9)
        return
    k = s.param_start[number] + event.index
    value = event.value_e9 / 1e9
    if event.index < 0 or k >= s.param_start[number + 1] or not s.param_bounds[k, 0] <= value <= s.param_bounds[k, 1]:
        violation(s, out, NO_INSTRUMENT, reasons.BAD_EVENT, 0, event.index, event.value_e9)
        return
    s.params[k] = value


@kernel
def _on_selector(s: Any, event: Any, out: Any) -> None:
    """The same of one of the selector's parameters."""
    k = event.index
    value = event.value_e9 / 1e9
    inside = 0 <= k < s.selector_words.shape[0]
    if not inside or not s.selector_bounds[k, 0] <= value <= s.selector_bounds[k, 1]:
        violation(s, out, NO_INSTRUMENT, reasons.BAD_EVENT, 0, event.index, event.value_e9)
        return
    selector.on_parameter(s, out, k, value)


@kernel
def on_limit(s: Any, event: Any, out: Any) -> None:
    """A changed limit, by its place in `engine.core.limits.BOUNDS`, in that field's integer unit and bounds."""
    k = event.index
    if not 0 <= k < s.limit_words.shape[0] or not WORD_BOUNDS[k, 0] <= event.amount_e8 <= WORD_BOUNDS[k, 1]:
        violation(s, out, NO_INSTRUMENT, reasons.BAD_EVENT, 0, event.index, event.amount_e8)
        return
    s.limit_words[k] = event.amount_e8
    for i in range(s.head[0].instruments):
        refresh_at_stop(s, i)  # the slippage allowance is a limit too
    refit_day(s)
    refit_drawdown(s, out)


@kernel
def on_balance(s: Any, event: Any, out: Any, correction: bool) -> None:
    """A deposit (+) or withdrawal (-) of the booking currency: moves the day's start and the peak with it,
    so that it is neither profit nor loss. A correction books a difference the venue insists on as a fee, coins of a
    pot that are gone at their cost. With several wallets the event names an instrument of the
    venue; without one it is malformed."""
    head = s.head[0]
    i = i64(event.instrument)
    if i == NO_INSTRUMENT and s.wallets.shape[0] == 1:
        i = 0  # any: they all share the only wallet
    if i >= head.instruments or not 0 <= event.index < s.balances.shape[0]:
        head.quarantined += 1
        return
    s.balances[event.index] += event.amount_e8
    if not is_cash(s, event.index):  # coins are not money until they are sold
        home = s.instruments[i].base_home
        if correction and home >= 0 and event.amount_e8 < 0 and s.instruments[i].base_asset == event.index:
            legs.write_off(s, home, -event.amount_e8)
            refit_drawdown(s, out)
        return
    move_money(s, i, event.amount_e8, 0, 0)
    if correction:
        head.fees_e8 -= event.amount_e8
    else:
        head.deposits_e8 += event.amount_e8
        head.day_start_e8 += event.amount_e8
        head.peak_e8 += event.amount_e8
    note_free(s)
    refit_day(s)
    refit_drawdown(s, out)


@kernel
def is_cash(s: Any, asset: int) -> bool:
    """True for a currency that something traded here is paid in and that counts as dollars."""
    for i in range(s.head[0].instruments):
        if s.instruments[i].quote_asset == asset and s.instruments[i].quote_is_cash != 0:
            return True
    return False


@kernel
def on_filter(s: Any, event: Any) -> None:
    """A venue changed a rule of an instrument mid-session (field by its place among the venue's filters)."""
    if event.instrument >= s.head[0].instruments or event.amount_e8 < 0 or not 0 <= event.index < MAX_FILTERS:
        s.head[0].quarantined += 1
        return
    row = s.instruments[event.instrument]
    if event.index == 0:
        row.min_lots = event.amount_e8
    elif event.index == 1:
        row.max_lots = event.amount_e8
    elif event.index == 2:
        row.min_notional_e8 = event.amount_e8
    elif event.index == 3:
        row.maker_fee_e8 = event.amount_e8
    else:
        row.taker_fee_e8 = event.amount_e8
