"""Triangular arbitrage: three conversions on one venue that end in more cash than they began with.

Rules
-----
* Looked for on every quote of a pair that lies on a triangle (`engine.core.triangles`): first the product of the three
  touch prices net of this account's fees, then, where that is good enough, exact integers: recorded depth, lots, the
  venue's minimums, fees, and what the latency of three legs is known to cost (`engine.core.edges`).
* On candles it abstains: the three prices of a path were never quoted at one moment.
* An edge of at least `min_edge_bps` is left after all that, or nothing is done.
* Size: the most that the loss bound allows (`unwind_bps` of what is converted, and the fees of two legs and of selling
  off, at most `share` of the per-trade limit), cut to every cap of the account, to `notional_usd`, and to the books.
* Everything the gate asks of an entry is asked of a cycle: state, age and spread of all three books, doubts, caps,
  reserve, wallet, the room of the day and below the peak, order rate. A stablecoin on the way is within `depeg_bps` of
  a dollar.
* A venue is in shadow first: the same decisions, nothing sent.
"""

from __future__ import annotations

from typing import Any, Final

from engine.contracts import reasons
from engine.contracts.records import DEPTH, QUOTE
from engine.core import cycles, selector
from engine.core.book import spread_bps
from engine.core.compile import kernel
from engine.core.conversion import is_orderable, take
from engine.core.cycle_state import IDLE, Plan
from engine.core.edges import DESK, decay_bps, is_trading
from engine.core.edges import NUMBER as NUMBER
from engine.core.legs import coins_value
from engine.core.limits import SCALE
from engine.core.money import fee_up, share_up, value_up
from engine.core.orders import ACTIVE
from engine.core.refusal import refuse
from engine.core.risk import (
    MINUTE_NS,
    cluster_exposure_e8,
    commit_room_e8,
    day_room_e8,
    drawdown_room_e8,
    pending_notional_e8,
    wallet_room_e8,
)
from engine.core.sizing import risk_budget_e8
from engine.core.strategies.spec import Param, Strategy

PARAMS: Final = (
    Param("min_edge_bps", 0.5, 0.1, 1000, "bps", "least edge left after fees, depth and latency decay"),
    Param("share", 0.25, 0.01, 1.0, "", "part of the per-trade loss limit a cycle may lose"),
    Param("notional_usd", 400.0, 5.0, 1e6, "USD", "most that a cycle converts"),
    Param("unwind_bps", 30.0, 1.0, 1000, "bps", "what is left over is first sold for no less than cost less this"),
    Param("max_seconds", 5.0, 0.1, 120, "s", "from then on what is left over is sold at the market"),
    Param("decay_bps", 0.5, 0.0, 1000, "bps", "edge lost on the way, until cycles have taught better"),
    Param("depeg_bps", 30.0, 1.0, 1000, "bps", "no cycle through a stablecoin further from its dollar"),
    Param("max_age_ms", 1000.0, 1.0, 60_000, "ms", "no cycle on a book older than this"),
    Param("shadow_cycles", 20, 0, 64, "cycles", "shadow cycles that gain in the mean before one is sent", True),
    Param("judged_cycles", 20, 1, 64, "cycles", "when so many gained nothing in the mean, back to shadow", True),
    Param("leg_ms", 150.0, 0.0, 10_000, "ms", "shadow: time until each leg arrives"),
)
PEG_AGE_NS: Final = 60_000_000_000
TRIES: Final = 3
"""How often the size is cut to what the later legs can take."""
REPEAT_NS: Final = 1_000_000_000
"""The same refusal is not noted again sooner."""


@kernel
def update_rates(s: Any, i: int) -> None:
    """What a unit brings at the touch of pair `i`, net of the taker's fee; 0 without a quote."""
    one = s.instruments[i]
    book = s.books[i]
    row = s.arbitrage[i]
    row.sell_rate = row.buy_rate = 0.0
    if book.bid_ticks <= 0 or book.ask_ticks <= book.bid_ticks:
        return
    unit = one.value_num / one.value_den / one.lot_base_e8
    kept = 1.0 - one.taker_fee_e8 / 1e8
    row.sell_rate = book.bid_ticks * unit * kept
    row.buy_rate = kept / (book.ask_ticks * unit)


@kernel
def touch_product(s: Any, way: Any) -> float:
    """What a dollar becomes on its way at the touch prices, net of fees; 0 where a price is missing."""
    product = 1.0
    for k in range(3):
        row = s.arbitrage[way.legs[k]]
        product *= row.buy_rate if way.sides[k] > 0 else row.sell_rate
    return product


@kernel
def on_price(s: Any, out: Any, i: int, kind: int) -> None:
    """Scan the triangles that a changed touch belongs to."""
    first = s.first_touching[i]
    end = s.first_touching[i + 1]
    if first == end or (kind != QUOTE and kind != DEPTH):
        return
    update_rates(s, i)
    desk = s.triangles[s.touching[first]].desk
    least = 1.0 + (s.arbitrage_params[0].min_edge_bps + decay_bps(s, desk)) / 1e4
    found = False
    for k in range(first, end):
        if touch_product(s, s.triangles[s.touching[k]]) > least:
            found = True
    if found and s.cycle[0].stage == IDLE and s.head[0].now_ns >= s.cycle[0].rest_ns:
        consider(s, out, i, least)


@kernel
def consider(s: Any, out: Any, i: int, least: float) -> None:
    """Begin the best of the cycles through pair `i` that promise more than `least`."""
    best = -1
    plan = Plan(0, 0, 0, 0, 0, 0, 0)
    for k in range(s.first_touching[i], s.first_touching[i + 1]):
        number = s.touching[k]
        way = s.triangles[number]
        if touch_product(s, way) <= least:
            continue
        reason = check_now(s, way)
        if reason != 0:
            note_refusal(s, out, way, reason)
            continue
        mine = plan_of(s, out, way)
        if mine.first_lots > 0 and (best < 0 or is_better(s, number, mine, best, plan)):
            best = number
            plan = mine
    if best >= 0:
        cycles.begin(s, out, best, plan, not is_trading(s, s.triangles[best].desk))


@kernel
def gain_of(plan: Plan) -> float:
    """What a cycle promises to earn, in 1e-17 USD."""
    return float(plan.edge_e9) * plan.paid_e8


@kernel
def is_better(s: Any, number: int, mine: Plan, other: int, theirs: Plan) -> bool:
    """Of two beginnings of one ring the one with the thinner first book; else the one that earns more."""
    if s.triangles[number].ring != s.triangles[other].ring:
        return gain_of(mine) > gain_of(theirs)
    return first_depth_e8(s, number) < first_depth_e8(s, other)


@kernel
def first_depth_e8(s: Any, number: int) -> int:
    """What stands at the touch that the first leg takes, in cash."""
    way = s.triangles[number]
    book = s.books[way.legs[0]]
    ticks = book.ask_ticks if way.sides[0] > 0 else book.bid_ticks
    lots = book.ask_lots if way.sides[0] > 0 else book.bid_lots
    return value_up(s.instruments[way.legs[0]], ticks, min(lots, 1 << 40))


# --- the gate -------------------------------------------------------------------------------------


@kernel
def check_now(s: Any, way: Any) -> int:
    """Everything about now that forbids a cycle whatever its size; 0 when there is nothing."""
    head = s.head[0]
    limits = s.limits[0]
    if head.trading_state != ACTIVE:
        return reasons.NOT_ACTIVE
    if selector.granted(s, NUMBER) <= 0.0:
        return reasons.NOT_SELECTED
    most_ns = min(limits.max_data_age_s * (1_000_000_000 // SCALE), int(s.arbitrage_params[0].max_age_ms * 1e6))
    for k in range(3):
        i = way.legs[k]
        p = s.positions[i]
        book = s.books[i]
        if p.foreign_lots != 0:
            return reasons.INSTRUMENT_BLOCKED
        if p.doubts != 0:
            return reasons.ORDER_IN_DOUBT
        if p.entry_id != 0 or p.exit_id != 0:
            return reasons.POSITION_OPEN
        if head.now_ns - book.updated_ns > most_ns or is_spent(s, i):
            return reasons.STALE_DATA
        if spread_bps(book) * SCALE > limits.max_spread_bps:
            return reasons.SPREAD_TOO_WIDE
    if (head.open_positions + head.pending_entries + 1) * SCALE > limits.max_positions:
        return reasons.MAX_POSITIONS
    sent = head.minute_orders if head.minute == head.now_ns // MINUTE_NS else 0
    if (sent + 3) * SCALE > limits.orders_per_minute:
        return reasons.ORDER_RATE
    return check_pegs(s, way)


@kernel
def is_spent(s: Any, i: int) -> bool:
    """The last cycle took from this book, and nothing was heard of it since."""
    c = s.cycle[0]
    mine = c.legs[0] == i or c.legs[1] == i or c.legs[2] == i
    return c.ended_ns != 0 and mine and s.books[i].updated_ns <= c.ended_ns


@kernel
def check_pegs(s: Any, way: Any) -> int:
    """Why a stablecoin on the way cannot be counted as a dollar; 0 where all can, as far as a pair says so."""
    for k in range(3):
        peg = way.pegs[k]
        if peg < 0:
            continue
        book = s.books[peg]
        if book.bid_ticks <= 0 or s.head[0].now_ns - book.updated_ns > PEG_AGE_NS:
            return reasons.PEG_UNKNOWN
        one = s.instruments[peg]
        price = 0.5 * (book.bid_ticks + book.ask_ticks) * one.value_num / one.value_den / one.lot_base_e8
        if abs(price - 1.0) * 1e4 > s.arbitrage_params[0].depeg_bps:
            return reasons.DEPEGGED
    return 0


@kernel
def note_refusal(s: Any, out: Any, way: Any, reason: int) -> None:
    """Note a refusal, unless the same was noted a moment ago."""
    row = s.arbitrage[way.desk]
    now = s.head[0].now_ns
    if row.refused_reason == reason and now < row.refused_ns + REPEAT_NS:
        return
    row.refused_reason = reason
    row.refused_ns = now
    refuse(s, out, way.legs[0], NUMBER, way.sides[0], (reason, 0, 0), 0)


# --- size and edge --------------------------------------------------------------------------------


@kernel
def home_after(s: Any, way: Any, k: int) -> int:
    """The home of what leg `k` buys; -1 where that is cash."""
    one = s.instruments[way.legs[k]]
    return one.base_home if way.sides[k] > 0 else one.quote_home


@kernel
def bound_rate_e8(s: Any, way: Any) -> int:
    """What a cycle that goes wrong may lose of what it converts, as a 1e-8 fraction: `unwind_bps`, the fees of two
    legs, and the dearer fee of selling what they bought."""
    fees = 0
    for k in range(2):
        fees += max(s.instruments[way.legs[k]].taker_fee_e8, 0)
    last = max(s.instruments[way.legs[2]].taker_fee_e8, 0)
    for k in range(2):
        home = home_after(s, way, k)
        if home >= 0:
            last = max(last, s.instruments[home].taker_fee_e8)
    return int(s.arbitrage_params[0].unwind_bps * 10_000.0) + fees + last


@kernel
def tighter(cap: tuple[int, int], amount: int, reason: int) -> tuple[int, int]:
    """The smaller of two amounts, with the reason of the one it is."""
    return (amount, reason) if amount < cap[0] else cap


@kernel
def room_e8(s: Any, way: Any) -> tuple[int, int]:
    """Most that a cycle may convert, in cash, and the reason of the cap that binds."""
    head = s.head[0]
    limits = s.limits[0]
    p = s.arbitrage_params[0]
    i = way.legs[0]
    risk = tighter((day_room_e8(s), reasons.DAY_LOSS), drawdown_room_e8(s) - 1, reasons.DRAWDOWN_ROOM)
    risk = tighter(risk, risk_budget_e8(s, min(p.share * selector.granted(s, NUMBER), 1.0)), reasons.TRADE_LOSS)
    pending = pending_notional_e8(s)
    cap = (int(max(risk[0], 0) / (bound_rate_e8(s, way) / 1e8)), risk[1])
    cap = tighter(cap, min(int(p.notional_usd * 1e8), limits.order_notional_e8), reasons.ORDER_NOTIONAL)
    cap = tighter(cap, limits.instrument_exposure_e8, reasons.INSTRUMENT_EXPOSURE)
    cap = tighter(cap, limits.exposure_e8 - head.exposure_e8 - pending, reasons.EXPOSURE)
    cap = tighter(cap, commit_room_e8(s, i), reasons.RESERVE)
    cap = tighter(cap, wallet_room_e8(s, i), reasons.VENUE_CASH)
    cap = tighter(cap, s.balances[way.start_asset], reasons.NO_START_CASH)
    for k in range(2):
        home = home_after(s, way, k)
        if home >= 0:
            used = cluster_exposure_e8(s, s.instruments[home].cluster, 1) + pending
            cap = tighter(cap, limits.cluster_exposure_e8 - used, reasons.CLUSTER_EXPOSURE)
    return max(cap[0], 0), cap[1]


@kernel
def plan_of(s: Any, out: Any, way: Any) -> Plan:
    """The better of a cycle at the touch and one through the recorded depth; no lots where neither is good enough."""
    room = room_e8(s, way)
    best = evaluate(s, way, room[0], False)
    deep = evaluate(s, way, room[0], True)
    if gain_of(deep) > gain_of(best) or best.first_lots == 0:
        best = deep
    if best.first_lots == 0:
        one = s.instruments[way.legs[0]]
        if room[0] < max(2 * one.min_notional_e8, 1):
            note_refusal(s, out, way, room[1])
        return best
    needed = (s.arbitrage_params[0].min_edge_bps + decay_bps(s, way.desk)) * 1e5
    return best if best.edge_e9 >= needed else Plan(0, 0, 0, 0, 0, 0, 0)


@kernel
def evaluate(s: Any, way: Any, room: int, deep: bool) -> Plan:
    """What `room` of cash would become now. What lots leave over counts at cost less what selling it would lose."""
    one = s.instruments[way.legs[0]]
    amount = room
    first = take(s, way.legs[0], way.sides[0], amount, 0, deep)
    second = take(s, way.legs[1], way.sides[1], first.got, 0, deep)
    third = take(s, way.legs[2], way.sides[2], second.got, 0, deep)
    for _ in range(TRIES):
        if third.lots <= 0:
            break
        used = second.paid / first.got * (third.paid / second.got)
        if used > 0.9995:
            break
        lot = value_up(one, first.worst_ticks, 1) if way.sides[0] > 0 else one.lot_base_e8
        amount = min(int(first.paid * used) + lot, amount)
        first = take(s, way.legs[0], way.sides[0], amount, 0, deep)
        second = take(s, way.legs[1], way.sides[1], first.got, 0, deep)
        third = take(s, way.legs[2], way.sides[2], second.got, 0, deep)
    worst = (first.worst_ticks, second.worst_ticks, third.worst_ticks)
    lots = (first.lots, second.lots, third.lots)
    if not is_feasible(s, way, worst, lots, first.got, second.got):
        return Plan(0, 0, 0, 0, 0, 0, 0)
    left = first.paid - share_up(first.paid, second.paid, first.got)
    left += share_up(first.paid - left, second.got - third.paid, second.got)
    bound = bound_rate_e8(s, way)
    back = third.got + left - fee_up(left, bound)
    edge = int((back - first.paid) * (1e9 / first.paid))
    return Plan(first.lots, first.paid, worst[0], worst[1], worst[2], edge, fee_up(first.paid, bound))


@kernel
def is_feasible(
    s: Any, way: Any, worst: tuple[int, int, int], lots: tuple[int, int, int], got_1: int, got_2: int
) -> bool:
    """Every leg is one the venue takes, at a price near the touch, and what the first two buy could be sold again."""
    for k in range(3):
        i = way.legs[k]
        book = s.books[i]
        if not is_orderable(s.instruments[i], worst[k], lots[k]):
            return False
        twice_mid = book.bid_ticks + book.ask_ticks
        if abs(2 * worst[k] - twice_mid) * 1e4 * SCALE > float(s.limits[0].fat_finger_bps) * twice_mid:
            return False
    for k in range(2):
        home = home_after(s, way, k)
        if home >= 0:
            value = coins_value(s.instruments[home], max(s.books[home].bid_ticks, 0), got_1 if k == 0 else got_2)
            if 5 * value < 6 * s.instruments[home].min_notional_e8:
                return False
    return True


@kernel
def on_bar(s: Any, out: Any, i: int, closed_mask: int) -> None:
    """Bars say nothing about a triangle."""


@kernel
def on_tick(s: Any, out: Any, i: int) -> None:
    """There are no positions of this strategy."""


@kernel
def forget(s: Any, i: int) -> None:
    """The touch has to be heard again; what is known of the venue stays."""
    s.arbitrage[i].sell_rate = s.arbitrage[i].buy_rate = 0.0


STRATEGY: Final = Strategy(
    NUMBER, "arbitrage", "Triangular arbitrage", PARAMS, DESK, on_bar, on_tick, forget, on_price=on_price, tier=1
)
