"""Synthetic markets for tests: instruments, random event streams, sessions over them, and an auditor that
looks at the core after every single event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import numpy as np

from engine.contracts.instruments import E8, Instrument
from engine.contracts.records import (
    FUNDING,
    JUMP,
    LAST,
    NO_INSTRUMENT,
    ORDER_UNKNOWN,
    PATH,
    QUOTE,
    RECORD,
    ROLE_ENTRY,
    ROLE_EXIT,
    ROLE_STOP,
    TRADE,
    joined,
)
from engine.core.compile import kernel
from engine.core.drawdown import PASSED
from engine.core.life import ACCEPTED, PARTIAL
from engine.core.limits import Limits
from engine.core.money import value_down
from engine.core.orders import is_working
from engine.core.output import emit_copy
from engine.core.portfolio import book_e8, free_e8
from engine.core.step import step
from engine.core.wallet import wallet_free_e8
from engine.research.session import Session
from engine.simulation import run as lanes
from engine.simulation.run import _dispatch, advance
from engine.simulation.venue import SimulationModel

Array = np.ndarray[Any, Any]
START_NS: Final = 1_735_689_600_000_000_000  # 2025-01-01T00:00:00Z
SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
HOUR_NS: Final = 60 * MINUTE_NS
DAY_NS: Final = 24 * HOUR_NS

EAGER: Final[dict[str, dict[str, float]]] = {
    "momentum": {
        "universe": 100, "max_spread_bps": 200, "min_breadth": 0, "min_turnover_usd": 0, "fast": 2, "slow": 3,
        "agree": 1, "breakout_bars": 2, "surge": 0, "surge_span": 2, "atr_span": 2, "stop_atr": 1.0,
        "min_stop_pct": 0.3, "max_stop_pct": 20, "trail_start_r": 0.2, "trail_atr": 0.5, "target_r": 3,
        "max_hours": 5, "cooldown_bars": 0, "risk_share": 1.0, "entry_cap_bps": 30, "min_place": 0,
        "min_btc_trend": -50, "max_btc_range_pct": 100, "pump_volume": 0, "max_correlated_risk": 10,
    },
    "crossover": {"fast": 2, "slow": 4, "stop_pct": 1.0, "notional_usd": 60.0, "entry_cap_bps": 30},
}  # fmt: skip
"""Both strategies as hungry for trades as their bounds allow."""


def instrument(name: str = "AAA", **changes: Any) -> Instrument:
    """A spot pair against USDT with a tick and a lot of a hundredth; `changes` overrides any field."""
    plain: dict[str, Any] = {
        "symbol": f"{name}USDT", "venue": "test", "base": name, "quote": "USDT", "tick_size": Decimal("0.01"),
        "lot_size": Decimal("0.01"), "min_qty": Decimal("0.01"), "max_qty": Decimal(10_000_000),
        "cluster": "alt",
    }  # fmt: skip
    return Instrument(**(plain | changes))


def perp(name: str = "PPP", **changes: Any) -> Instrument:
    """The same as a linear perpetual with up to twenty times leverage."""
    return instrument(name, **({"kind": "perp", "max_leverage": 20, "taker_fee": Decimal("0.0005")} | changes))


@dataclass(frozen=True)
class Stream:
    """A market made of one array of events, sorted by venue time: what `Session` and `Market` agree on."""

    instruments: list[Instrument]
    events: Array

    def blocks(self, max_records: int = 4_096) -> Iterator[Array]:
        for first in range(0, len(self.events), max_records):
            yield self.events[first : first + max_records].copy()


def events(count: int, **columns: Any) -> Array:
    """`count` records with the given columns; venue time follows engine time unless given."""
    out = np.zeros(count, RECORD)
    for name, values in columns.items():
        out[name] = values
    if "venue_ts_ns" not in columns and "kind" in columns and int(np.max(out["kind"], initial=0)) < 100:
        out["venue_ts_ns"] = out["ts_ns"]
    return out


def quote(ts_ns: int, i: int, bid: int, ask: int, lots: int = 10**9) -> Array:
    """One best bid and offer."""
    columns = {"bid_ticks": bid, "ask_ticks": ask, "bid_lots": lots, "ask_lots": lots}
    return events(1, ts_ns=ts_ns, kind=QUOTE, instrument=i, **columns)


def paths(
    ts_ns: Any, i: int, prices: Any, jumps: Any = 0, spread: int = 2, lots: Any = 100, depth: Any = 10**9
) -> Array:
    """Points of a candle path."""
    columns = {"price_ticks": prices, "qty_lots": lots, "spread_ticks": spread, "depth_lots": depth}
    return events(len(prices), ts_ns=ts_ns, kind=PATH, instrument=i, bits=np.where(jumps, JUMP, 0) | LAST, **columns)


def merged(parts: Sequence[Array], latency_ns: int = 20_000_000) -> Array:
    """Parts in the order of venue time (ties by instrument), seen by the engine `latency_ns` later."""
    whole = joined(list(parts), RECORD)
    order = np.lexsort((whole["instrument"], whole["venue_ts_ns"]))
    sorted_ = joined([whole[k : k + 1] for k in order], RECORD) if len(whole) < 2 else taken(whole, order)
    sorted_["ts_ns"] = sorted_["venue_ts_ns"] + latency_ns
    return sorted_


def taken(whole: Array, order: Array) -> Array:
    """Rows in another order, byte for byte (numpy's own indexing may repack overlapping fields)."""
    out = np.empty(len(order), RECORD)
    out.view(np.uint8).reshape(-1, 64)[:] = np.ascontiguousarray(whole).view(np.uint8).reshape(-1, 64)[order]
    return out


@dataclass(frozen=True)
class Weather:
    """How a random market behaves. Steps and jumps are log-normal fractions."""

    hours: float = 30.0
    step_s: int = 75
    volatility: float = 0.002
    jump_chance: float = 0.0
    jump_size: float = 0.05
    hole_chance: float = 0.0
    depth_lots: int = 10**9
    ticks: bool = False  # quotes and trades instead of path points
    funding: float = 0.0  # standard deviation of the rate
    start_ns: int = START_NS + 13 * HOUR_NS


def prices_of(rng: np.random.Generator, weather: Weather, count: int, start: int) -> tuple[Array, Array]:
    """(ticks, jumps): a walk with momentum, so that trends exist, and jumps where the weather has them."""
    noise = rng.normal(0, weather.volatility, count)
    drift = np.repeat(rng.normal(0, weather.volatility * 0.6, count // 40 + 1), 40)[:count]
    jumps = rng.random(count) < weather.jump_chance
    moves = noise + drift + np.where(jumps, rng.normal(0, weather.jump_size, count), 0)
    moves -= 0.01 * np.concatenate([[0], np.cumsum(moves)[:-1]]) if weather.volatility < 0.01 else 0
    walk = start * np.exp(np.clip(np.cumsum(moves), -0.8, 0.8))
    return np.maximum(walk.astype(np.int64), 5), jumps


def random_stream(seed: int, instruments: Sequence[Instrument], weather: Weather) -> Stream:
    """One walk an instrument; the same seed gives the same bytes."""
    rng = np.random.default_rng(seed)
    count = int(weather.hours * 3600 / weather.step_s)
    parts = []
    for i, one in enumerate(instruments):
        ts = weather.start_ns + (np.arange(count) * weather.step_s + (i % weather.step_s)) * SECOND_NS
        ticks, jumps = prices_of(rng, weather, count, int(rng.integers(800, 40_000)))
        kept = rng.random(count) >= weather.hole_chance
        lots = rng.integers(0, 5_000, count)
        depth = rng.integers(weather.depth_lots // 2, weather.depth_lots + 1, count)
        ts, ticks, jumps, lots, depth = ts[kept], ticks[kept], jumps[kept], lots[kept], depth[kept]
        parts += _as_ticks(ts, i, ticks, lots, depth) if weather.ticks else [paths(ts, i, ticks, jumps, 2, lots, depth)]
        if weather.funding and one.kind == "perp":
            parts.append(_funding(rng, weather, i))
    return Stream(list(instruments), merged(parts))


def _as_ticks(ts: Array, i: int, ticks: Array, lots: Array, depth: Array) -> list[Array]:
    book = {"bid_ticks": ticks - 1, "ask_ticks": ticks + 1, "bid_lots": depth, "ask_lots": depth}
    quotes = events(len(ts), ts_ns=ts, kind=QUOTE, instrument=i, **book)
    side = np.where(ticks % 2 == 0, 1, -1)
    trades = {"price_ticks": ticks + side, "qty_lots": np.maximum(lots, 1), "side": side}
    return [quotes, events(len(ts), ts_ns=ts + 50_000_000, kind=TRADE, instrument=i, **trades)]


def _funding(rng: np.random.Generator, weather: Weather, i: int) -> Array:
    first = (weather.start_ns // (8 * HOUR_NS) + 1) * 8 * HOUR_NS
    ts = np.arange(first, weather.start_ns + int(weather.hours * HOUR_NS), 8 * HOUR_NS)
    rates = (rng.normal(0, weather.funding, len(ts)) * 1e12).astype(np.int64)
    return events(len(ts), ts_ns=ts, kind=FUNDING, instrument=i, rate_e12=rates)


# --- sessions that are looked at after every event ------------------------------------------------

SUMS, IDENTITY, NEGATIVE, RESERVE, NAKED, UNSIZED, LATE, GREEDY, WALLETS, OVERDRAWN = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
FALLEN, UNFITTED, FORGIVEN = 11, 12, 13
FINDINGS: Final = {
    SUMS: "a running sum is not the sum of its parts",
    IDENTITY: "cash + cost of open spot positions and pots is not deposits + gross - fees + funding",
    NEGATIVE: "a reserve, margin or cost is negative",
    RESERVE: "free cash is below the dollar reserve",
    NAKED: "an open position has neither a working stop nor an exit under way",
    UNSIZED: "the protection stands, waits for no answer, and covers less than the position",
    LATE: "an open position that is not leaving has had no confirmed stop for two seconds",
    GREEDY: "more than one entry at work, or an entry asks for more than was approved",
    WALLETS: "the wallets are not the account's totals, or not what lies at their venue",
    OVERDRAWN: "a wallet owes more than it has",
    FALLEN: "equity is as far below its peak as the limit, and no gap was listed",
    UNFITTED: "with all stops hit equity would fall as far as the limit, and a position that could lose it stays",
    FORGIVEN: "the peak fell, or rose, without a person, money or equity that did it",
}


@kernel
def is_protected(s: Any, i: int) -> int:
    """0 where position `i` is flat, protected, leaving, in doubt, or dust the venue would not take."""
    p = s.positions[i]
    lots = abs(p.qty_lots)
    if lots == 0 or (p.exit_reason != 0 and p.exit_tries > 0):  # the book was empty: tried again after a while
        return 0
    if value_down(s.instruments[i], p.mark_ticks, lots) < s.instruments[i].min_notional_e8 * 1.01:
        return 0
    stoppable = value_down(s.instruments[i], p.stop_ticks, lots) >= s.instruments[i].min_notional_e8
    if s.plans[i].client_id != 0 and not stoppable:
        return 0  # the first crumbs of an entry that goes on: `is_late` watches them
    covered = 0
    settling = False
    for slot in range(s.orders.shape[0]):
        order = s.orders[slot]
        if order.instrument != i or not is_working(order) or order.side * p.qty_lots >= 0:
            continue
        if order.role == ROLE_EXIT or order.role == ROLE_STOP:
            covered += order.qty_lots - order.filled_lots
            leaving = order.role == ROLE_EXIT
            settling = settling or leaving or (order.status != ACCEPTED and order.status != PARTIAL)
    if covered == 0:
        return NAKED
    return UNSIZED if covered < lots and not settling else 0


@kernel
def is_late(s: Any, i: int, since: Any) -> bool:
    """Keeps `since[i]`: from when on no confirmed stop has covered position `i`, 0 where one does or it leaves."""
    p = s.positions[i]
    lots = abs(p.qty_lots)
    small = value_down(s.instruments[i], p.mark_ticks, lots) < s.instruments[i].min_notional_e8 * 1.01
    if lots == 0 or p.exit_reason != 0 or (small and s.instruments[i].is_perp == 0):
        since[i] = 0
        return False
    for slot in range(s.orders.shape[0]):
        order = s.orders[slot]
        stands = order.status == ACCEPTED or order.status == PARTIAL
        if order.instrument == i and order.role == ROLE_STOP and stands and order.qty_lots - order.filled_lots >= lots:
            since[i] = 0
            return False
    if since[i] == 0:
        since[i] = s.head[0].now_ns
    return s.head[0].now_ns - since[i] > 2_000_000_000


@kernel
def is_greedy(s: Any, i: int) -> bool:
    """True where two entries of an instrument work at once, or a patient one passes what was approved."""
    working = asked = 0
    if s.head[0].pending_entries == 0:
        return False
    for slot in range(s.orders.shape[0]):
        order = s.orders[slot]
        if order.instrument == i and order.role == ROLE_ENTRY and is_working(order):
            working += 1
            asked += order.qty_lots - order.filled_lots
    plan = s.plans[i]
    return working > 1 or (plan.client_id != 0 and plan.filled_lots + asked > plan.lots)


@kernel
def audit_wallets(s: Any) -> int:
    """0, or what is wrong with the wallets: each against its venue's positions and orders, all against the head."""
    head = s.head[0]
    cash = margins = 0
    for w in range(s.wallets.shape[0]):
        wallet = s.wallets[w]
        cash += wallet.cash_e8
        margins += wallet.pending_margins
        margin = reserved = 0
        for i in range(head.instruments):
            if s.instruments[i].wallet == w:
                margin += s.positions[i].margin_e8
        for slot in range(s.orders.shape[0]):
            order = s.orders[slot]
            if order.client_id != 0 and s.instruments[order.instrument].wallet == w:
                reserved += order.reserve_e8
        if margin != wallet.margin_e8 or reserved != wallet.reserved_e8:
            return WALLETS
        if wallet_free_e8(wallet) < 0:
            return OVERDRAWN
    return WALLETS if cash != head.cash_e8 or margins != head.pending_margins else 0


@kernel
def worst_case_e8(s: Any) -> tuple[int, bool]:
    """(equity with every stop hit, every pending entry and cycle lost, and who leaves gone at the mark where that is
    better; whether a position stays that has something to lose)."""
    worst = book_e8(s) - s.cycle[0].risk_e8
    stays = False
    for i in range(s.head[0].instruments):
        p = s.positions[i]
        if p.qty_lots == 0:
            continue
        value = p.cost_e8 + p.side * p.unrealised_e8
        rate = (s.limits[0].stop_slippage_bps + s.instruments[i].taker_fee_e8) / 1e8
        now = p.unrealised_e8 - int(value * rate)
        worst += p.at_stop_e8 if p.exit_reason == 0 else max(now, p.at_stop_e8)
        stays = stays or (p.exit_reason == 0 and now - 10 > p.at_stop_e8)
    for slot in range(s.orders.shape[0]):
        worst -= s.orders[slot].risk_e8
    return worst, stays


@kernel
def audit_drawdown(s: Any, seen: Any, is_told: bool) -> int:
    """0, or what is wrong with the fall from the peak. `seen` keeps the peak, the deposits, whether the limit was
    reached, and whether trading was ACTIVE, after the event before; `is_told`: somebody outside the market spoke."""
    head = s.head[0]
    equity = book_e8(s)
    for i in range(head.instruments):
        equity += s.positions[i].unrealised_e8 + s.pots[i].unrealised_e8
    peak = seen[0] + head.deposits_e8 - seen[1]
    reached = seen[2]
    if is_told and seen[3] == 0 and head.trading_state == 0:  # a person resumed
        if reached != 0:
            peak = equity
        reached = 0
    if equity > peak:
        peak = equity
        reached = 0
    floor = peak - peak // 10_000 * s.limits[0].drawdown_pct // 100
    if equity <= floor or head.fallen != 0:
        reached = 1
    seen[0], seen[1], seen[2], seen[3] = peak, head.deposits_e8, reached, 1 if head.trading_state == 0 else 0
    if head.peak_e8 != peak:
        return FORGIVEN
    if equity <= floor and head.fallen != PASSED:
        return FALLEN
    worst, stays = worst_case_e8(s)
    return UNFITTED if worst <= floor and stays else 0


@kernel
def audit(s: Any, since: Any) -> int:
    """0, or the first thing that is wrong with the core right now."""
    head = s.head[0]
    cost = exposure = margin = unrealised = at_stops = opened = 0
    for i in range(head.instruments):
        p = s.positions[i]
        exposure += p.cost_e8
        margin += p.margin_e8
        unrealised += p.unrealised_e8
        at_stops += p.at_stop_e8
        opened += 1 if p.qty_lots != 0 else 0
        if s.instruments[i].is_perp == 0:
            cost += p.cost_e8 if p.qty_lots >= 0 else -p.cost_e8
        cost += s.pots[i].cost_e8
        exposure += s.pots[i].cost_e8
        unrealised += s.pots[i].unrealised_e8
        if p.cost_e8 < 0 or p.margin_e8 < 0 or s.pots[i].cost_e8 < 0 or s.pots[i].qty_e8 < 0:
            return NEGATIVE
        naked = is_protected(s, i)
        if naked != 0:
            return naked
        if is_late(s, i, since):
            return LATE
        if is_greedy(s, i):
            return GREEDY
    reserved = pending = 0
    risk = s.cycle[0].risk_e8
    for slot in range(s.orders.shape[0]):
        order = s.orders[slot]
        reserved += order.reserve_e8
        risk += order.risk_e8
        if is_working(order) and order.role == 1:
            pending += 1
        if order.reserve_e8 < 0:
            return NEGATIVE
    if exposure != head.exposure_e8 or margin != head.margin_e8 or unrealised != head.unrealised_e8:
        return SUMS
    if at_stops != head.at_stops_e8 or opened != head.open_positions:
        return SUMS
    if reserved != head.reserved_e8 or risk != head.pending_risk_e8 or pending != head.pending_entries:
        return SUMS
    if head.cash_e8 + cost != book_e8(s):
        return IDENTITY
    if free_e8(s) < s.limits[0].reserve_e8:
        return RESERVE
    return audit_wallets(s)


@kernel
def lose_an_answer(s: Any, v: Any, event: Any, out: Any) -> None:
    """The request last sent is in doubt: its answer will come, but nobody knows."""
    lane = v.head[0]
    command = v.sends[(lane.sends_first + lane.sends_count - 1) % v.sends.shape[0]]
    if command.client_id == 0 or s.orders[command.client_id % s.orders.shape[0]].client_id != command.client_id:
        return
    event.ts_ns = event.venue_ts_ns = s.head[0].now_ns
    event.kind = ORDER_UNKNOWN
    event.instrument = command.instrument
    event.side = event.bits = event.reason = 0
    event.price_ticks = event.qty_lots = event.trigger_ticks = event.ref_id = 0
    event.client_id = command.client_id
    before = out.count[0]
    emit_copy(s, out, event, s.head[0].seq + 1)
    step(s, event, out)
    _dispatch(v, out, before)


@kernel(entry=True)
def advance_audited(
    s: Any, v: Any, market: Any, cursor: Any, out: Any, is_last: bool, until: int, found: Any, since: Any, seen: Any,
    doubts: int, lost: Any,
) -> int:  # fmt: skip
    """`advance` one event at a time, auditing after each. `found`: code, seq of the first finding of each code.
    Of `doubts` requests about one is put in doubt (0: none); `lost`: room for that event."""
    outcome = lanes.PAUSED
    while outcome == lanes.PAUSED and s.head[0].seq < until:
        waiting = v.head[0].sends_count
        outcome = advance(s, v, market, cursor, out, is_last, s.head[0].seq + 1)
        if doubts > 0 and v.head[0].sends_count > waiting and s.head[0].seq * 2_654_435_761 % 1_000_003 % doubts == 0:
            lose_an_answer(s, v, lost[0], out)
        if is_last and cursor.at[1] >= market.shape[0]:
            since[:] = 0  # no clock without a market
        for code in (audit(s, since), audit_drawdown(s, seen, False)):
            if code != 0 and found[code] == 0:
                found[code] = s.head[0].seq
    return outcome


@kernel(entry=True)
def inject_and_send(s: Any, v: Any, given: Any, out: Any, found: Any, seen: Any) -> None:
    """Journal and apply events from outside, and send the venue what the core commands in answer. What it does to the
    peak is audited."""
    for k in range(given.shape[0]):
        before = out.count[0]
        emit_copy(s, out, given[k], s.head[0].seq + 1)
        step(s, given[k], out)
        _dispatch(v, out, before)
        code = audit_drawdown(s, seen, True)
        if code != 0 and found[code] == 0:
            found[code] = s.head[0].seq


class AuditedSession(Session):
    """A session that audits the core after every event; `found` maps what was wrong to the seq it began."""

    def __init__(self, market: Stream, sink: Any, doubts: int = 0, **settings: Any) -> None:
        super().__init__(market, sinks=[sink], **settings)
        self._found = np.zeros(16, np.int64)
        self._since = np.zeros(len(market.instruments), np.int64)
        self._doubts, self._lost = doubts, np.zeros(1, RECORD)
        head = self.core.state.head[0]
        self._seen = np.array([head.peak_e8, head.deposits_e8, 0, 1], np.int64)

    @property
    def found(self) -> dict[str, int]:
        return {FINDINGS[code]: int(self._found[code]) for code in FINDINGS if self._found[code]}

    def run(self, until_seq: int | None = None, progress: Any = None) -> bool:
        stop = 2**62 if until_seq is None else until_seq
        while True:
            outcome = advance_audited(
                self.core.state, self.venue, self._block, self._cursor, self._out, self._ended, stop, self._found,
                self._since, self._seen, self._doubts, self._lost,
            )  # fmt: skip
            if self._out.count[0]:
                self._flush()
            if outcome == lanes.MORE_MARKET:
                self._next_block()
            elif outcome == lanes.FINISHED:
                self._mark_the_end()
                return True
            elif outcome == lanes.PAUSED:
                return False

    def tell(self, given: Array) -> None:
        """Inject events from outside the market at this point."""
        inject_and_send(self.core.state, self.venue, given, self._out, self._found, self._seen)
        self._flush()


@dataclass
class Played:
    """A finished session and its whole journal."""

    session: AuditedSession
    entries: Array
    cuts: list[int] = field(default_factory=list)

    def of(self, kind: int) -> Array:
        """Journalled records of one kind."""
        return self.entries["record"][self.entries["record"]["kind"] == kind]


def settings(**changes: Any) -> dict[str, Any]:
    """Session arguments: both strategies, eager, $1,000, one-, three- and twelve-times five minutes."""
    plain: dict[str, Any] = {
        "strategies": EAGER, "capital_usd": 1000.0, "limits": Limits(), "simulation": SimulationModel(),
        "timeframes_s": (300, 900, 1800),
    }  # fmt: skip
    return plain | changes


def play(stream: Stream, told: Sequence[tuple[int, Array]] = (), **changes: Any) -> Played:
    """Run a stream to its end; `told` are (seq, events) to inject once that many events were taken."""
    kept: list[Array] = []
    session = AuditedSession(stream, kept.append, **settings(**changes))
    for seq, given in sorted(told, key=lambda pair: pair[0]):
        session.run(until_seq=seq)
        given = given.copy()
        given["ts_ns"] = int(session.core.state.head[0].now_ns)
        session.tell(given)
    session.run()
    return Played(session, joined(kept))


def word(kind: int, **columns: Any) -> Array:
    """One event that belongs to no instrument (operator, limit, parameter, balance)."""
    return events(1, **({"kind": kind, "instrument": NO_INSTRUMENT, "ts_ns": START_NS} | columns))


def dollars(amount_e8: int) -> float:
    """1e-8 USD as dollars."""
    return amount_e8 / E8
