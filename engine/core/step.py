"""One event in, commands and notes out: the whole engine as one function.

`apply` makes true what the event says; `decide` looks at what is true and issues commands, which are
applied as facts on the spot. Live, backtest, paper, shadow and replay all call this same `step`.
"""

from __future__ import annotations

from typing import Any

from engine.contracts import reasons
from engine.contracts.records import (
    BALANCE,
    CORRECTION,
    FEED_STATUS,
    FILTER,
    FORECAST,
    FOREIGN,
    FUNDING,
    LIMIT,
    MARK,
    NO_INSTRUMENT,
    OPERATOR,
    PARAMETER,
    TIMER,
)
from engine.core import (
    bars,
    book,
    cycles,
    days,
    drawdown,
    fills,
    funding,
    legs,
    openrisk,
    operator,
    patience,
    portfolio,
    protect,
    regime,
    selector,
    timers,
    unwinding,
)
from engine.core.compile import i64, kernel
from engine.core.orders import violation
from engine.core.strategies import table

HOUR_NS = 3_600_000_000_000


@kernel
def step(s: Any, event: Any, out: Any) -> None:
    """Apply one event and decide. Malformed events are counted and change nothing.

    What almost every event passes stands here and in `_market`. Whatever is rarer is one call away: numba clears the
    room for a call's answer whether or not it is made, and thirty of them cost more than the event."""
    head = s.head[0]
    head.seq += 1
    if event.ts_ns > head.now_ns:  # time never runs backwards inside
        head.now_ns = event.ts_ns
    if head.now_ns >= head.day_end_ns:
        _new_day(s, out)
    if event.kind <= FUNDING and event.instrument < head.instruments:
        _market(s, event, out)
    else:
        _no_market(s, event, out)
    if head.exits_due != 0:
        _send_exits(s, out)


@kernel(hot=True)
def _market(s: Any, event: Any, out: Any) -> None:
    i = i64(event.instrument)
    one = s.books[i]
    lots = book.apply(one, event)
    if lots == book.NO_BOOK:
        _marked(s, event, out)
    if lots <= book.REFUSED:
        return
    closed = 0
    if lots != book.UNPRICED:
        closed = bars.update(s, i, event.venue_ts_ns, one.last_ticks, lots)
    if event.ts_ns == 0:
        _learn(s, out, i, closed)
    elif closed != 0 or s.positions[i].qty_lots != 0 or s.positions[i].stop_id != 0 or s.pots[i].qty_e8 != 0:
        _concerned(s, out, i, closed, i64(event.kind))
    else:
        table.on_price(s, out, i, i64(event.kind))


@kernel
def _concerned(s: Any, out: Any, i: int, closed: int, kind: int) -> None:
    """A new price of an instrument that we hold, or that closed a bar."""
    if closed != 0:
        selector.on_clock(s, out, regime.on_bar(s, out, i, closed, False))
    p = s.positions[i]
    if p.qty_lots != 0:
        portfolio.mark(s, i)
        drawdown.watch_equity(s, out)
        table.on_tick(s, out, i, p.strategy)
        protect.watch_target(s, i)
        protect.watch_growth(s, i)
    if s.pots[i].qty_e8 != 0:
        legs.mark_pot(s, i)
        drawdown.watch_equity(s, out)
        cycles.carry_on(s, out)
        unwinding.sweep(s, out, i)
    if closed != 0:
        table.on_bar(s, out, i, closed)
    table.on_price(s, out, i, kind)
    if p.qty_lots != 0 or p.stop_id != 0:
        protect.supervise(s, out, i)


@kernel
def _learn(s: Any, out: Any, i: int, closed: int) -> None:
    """History: strategies learn from it, and nothing that is open is judged by it."""
    if closed == 0:
        return
    selector.on_clock(s, out, regime.on_bar(s, out, i, closed, True))
    p = s.positions[i]
    wanted = p.exit_reason
    table.on_bar(s, out, i, closed)
    p.exit_reason = wanted


@kernel
def _marked(s: Any, event: Any, out: Any) -> None:
    """The mark price or the funding of a perpetual."""
    i = i64(event.instrument)
    if event.kind == FUNDING:
        regime.on_funding(s, i, event.rate_e12)
        funding.learn_payment(s.funding[i], event)
        if event.amount_e8 != 0:
            portfolio.pay_funding(s, i, event.amount_e8)
            protect.cover_funding(s, i)
            drawdown.watch_equity(s, out)
            openrisk.enforce(s)
            protect.supervise(s, out, i)
    elif event.kind == MARK:
        funding.learn_mark(s.funding[i], event)
        if event.ts_ns != 0:
            _concerned(s, out, i, 0, i64(event.kind))


@kernel
def _no_market(s: Any, event: Any, out: Any) -> None:
    kind = event.kind
    if kind <= FUNDING:
        s.head[0].quarantined += 1
    elif kind >= TIMER:
        _other(s, event, out)
    elif event.instrument >= s.head[0].instruments:
        s.head[0].quarantined += 1
        violation(s, out, NO_INSTRUMENT, reasons.BAD_EVENT, event.client_id, i64(kind), 0)
    else:
        fills.order_event(s, event, out)
        patience.carry_on(s, out, i64(event.instrument))
        protect.supervise(s, out, i64(event.instrument))
        cycles.carry_on(s, out)


@kernel
def _new_day(s: Any, out: Any) -> None:
    days.new_day(s, out)
    if s.timers[timers.MARK_EQUITY] == timers.NEVER:
        timers.arm(s, timers.MARK_EQUITY, (s.head[0].now_ns // HOUR_NS + 1) * HOUR_NS)
        portfolio.note_equity(s, out)


@kernel
def _send_exits(s: Any, out: Any) -> None:
    """What was marked for exit while something else was looked at."""
    s.head[0].exits_due = 0
    for i in range(s.head[0].instruments):
        if s.positions[i].qty_lots != 0 or s.positions[i].entry_id != 0:
            protect.supervise(s, out, i)
    cycles.carry_on(s, out)


@kernel
def _other(s: Any, event: Any, out: Any) -> None:
    kind = event.kind
    if kind == TIMER:
        operator.on_timer(s, event, out)
    elif kind == OPERATOR:
        operator.on_operator(s, event, out)
    elif kind == PARAMETER:
        operator.on_parameter(s, event, out)
    elif kind == LIMIT:
        operator.on_limit(s, event, out)
    elif kind == FORECAST:
        if event.instrument < s.head[0].instruments:
            row = s.forecasts[event.instrument]
            row.value_e9 = event.value_e9
            row.confidence_e9 = event.confidence_e9
            row.expires_ns = event.expires_ns
            row.digest = event.digest
            row.told_ns = s.head[0].now_ns
    elif kind == FEED_STATUS:
        _distrust(s, event)
    elif kind == BALANCE:
        operator.on_balance(s, event, out, (event.bits & CORRECTION) != 0)
    elif kind == FILTER:
        operator.on_filter(s, event)
    elif kind == FOREIGN:
        operator.on_foreign(s, event)
    else:
        s.head[0].quarantined += 1
        violation(s, out, NO_INSTRUMENT, reasons.BAD_EVENT, 0, i64(kind), 0)


@kernel
def _distrust(s: Any, event: Any) -> None:
    """A feed broke or came back: what its books show is stale until the next quote, and whether it has trades (else
    mids price the bars) is learned anew. BARS_FORGOTTEN: bars and indicators begin anew too."""
    if event.reason == reasons.BARS_FORGOTTEN and event.instrument < s.head[0].instruments:
        bars.forget(s, i64(event.instrument))
        table.forget(s, i64(event.instrument))
        regime.forget(s, i64(event.instrument))
    if event.instrument < s.head[0].instruments:
        book.distrust(s.books[event.instrument])
    elif event.instrument == NO_INSTRUMENT:
        for i in range(s.head[0].instruments):
            book.distrust(s.books[i])
    else:
        s.head[0].quarantined += 1
