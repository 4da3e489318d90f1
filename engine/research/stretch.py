"""One stretch of a market played through the core: the account's curve and its trades, nothing written to disk.

Before the stretch the strategies only learn: an operator's pause stands at the beginning of the stream and a resume
where the stretch begins, both ordinary events. What is open at the end belongs to no stretch: its share of the equity,
known exactly at every mark, is taken out from its entry on. A cycle of the arbitrage under way, and the coins that
cycles left in pots, are open in the same sense, as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts import reasons
from engine.contracts.instruments import Instrument
from engine.contracts.records import CLOSED, EXCURSION, NO_INSTRUMENT, OPERATOR, RECORD, REFUSED, TRADE_SIZE, joined
from engine.core.cycle_state import IDLE
from engine.core.edges import NUMBER as ARBITRAGE
from engine.core.limits import Limits
from engine.markets.market import Market
from engine.research.folds import HOUR_NS, MINUTE_NS, SECOND_NS, Stretch, belongs
from engine.research.session import Session
from engine.simulation.venue import SimulationModel

Array = np.ndarray[Any, Any]
E8: Final = 1e8
MARKS: Final = ((HOUR_NS, SECOND_NS), (2 * 24 * HOUR_NS, MINUTE_NS))
"""Stretches shorter than the first are marked every second; longer ones than all of them, every hour."""

TRADE: Final = np.dtype(
    [
        (name, "<i8")
        for name in (
            "trade_no", "instrument", "strategy", "side", "reason", "opened_ns", "closed_ns", "gross_e8", "fees_e8",
            "funding_e8", "slippage_e8", "risk_e8", "entry_value_e8",
        )
    ]
)  # fmt: skip
"""A closed trade; net = gross - fees + funding, slippage is inside gross."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """On what terms a stretch is played. `fee_factor` multiplies the instruments' fees; `late_s`: the engine
    hears of everything so much later, while the venue moves on. A plan may leave `timeframes_s` empty, which stands for
    the market's own. `selector`: its parameters; empty, and every strategy has the whole risk budget."""

    strategies: dict[str, dict[str, float]]
    capital_usd: float = 1000.0
    limits: Limits = Limits()
    simulation: SimulationModel = SimulationModel()
    timeframes_s: tuple[int, ...] = (300, 900, 3600)
    fee_factor: float = 1.0
    late_s: float = 0.0
    selector: dict[str, float] = {}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a stretch. The curve starts with the capital at the stretch's beginning, one mark an hour (a minute
    in stretches under two days, a second in those under an hour). `left_out` trades were open at the end and count
    nowhere; `left_out_usd` is what they stood at."""

    ts_ns: Array  # int64 [M]
    usd: Array  # float64 [M]
    trades: Array  # TRADE, by closing time
    left_out: int
    left_out_usd: float
    refusals: int
    stopped: bool  # entries were off at the end: the drawdown limit, which only a person lifts


def net_e8(trades: Array) -> Array:
    """Net result of TRADE rows, 1e-8 USD."""
    return np.asarray(trades["gross_e8"] - trades["fees_e8"] + trades["funding_e8"])


class _Marked:
    """The market of a stretch as a session wants it: pause, warm-up, resume, the stretch; a new block at every mark."""

    def __init__(self, market: Market, stretch: Stretch, terms: Terms, mark_ns: int) -> None:
        self._market = market.between(stretch.from_ns - stretch.warm_ns, stretch.to_ns)
        self._stretch, self._mark_ns = stretch, mark_ns
        self._late_ns = round(terms.late_s * 1e9)
        self.instruments = charged(market.instruments, terms.fee_factor)
        self.at_ns = self._market.from_ns
        """Where the block handed out last begins; the stretch's end when there are no more."""

    def blocks(self, max_records: int = 131_072) -> Iterator[Array]:
        """The stream, cut at whole multiples of the mark and at the stretch's beginning."""
        begins, paused = self._stretch.from_ns, self._stretch.warm_ns > 0
        if paused:
            yield _word(self._market.from_ns, reasons.OPERATOR_PAUSE)
        for block in self._market.blocks(max_records):
            block["ts_ns"] += self._late_ns
            times = block["venue_ts_ns"]
            first, last = int(times[0]), int(times[-1])
            marks = np.arange(first // self._mark_ns + 1, last // self._mark_ns + 1, dtype=np.int64) * self._mark_ns
            edges = np.union1d(marks, begins) if first < begins <= last else marks
            starts = np.append(first, edges)
            cuts = [0, *np.searchsorted(times, edges).tolist(), len(block)]
            for start, a, b in zip(starts.tolist(), cuts, cuts[1:], strict=False):
                if a < b:
                    if paused and start >= begins:
                        paused = False
                        yield _word(begins, reasons.OPERATOR_RESUME)
                    self.at_ns = start
                    yield block[a:b]
        self.at_ns = self._stretch.to_ns


def _word(ts_ns: int, reason: int) -> Array:
    """What an operator says, as an event."""
    record = np.zeros(1, RECORD)
    record["ts_ns"] = record["venue_ts_ns"] = ts_ns
    record["kind"], record["instrument"], record["reason"] = OPERATOR, NO_INSTRUMENT, reason
    return record


class _Marks:
    """Equity at every mark, and how much of it each open trade made. The cycle under way and the coins in pots count as
    an open trade with a number below 0, another one after every mark at which there was neither."""

    def __init__(self, state: Any) -> None:
        self._state = state
        self.ts_ns: list[int] = []
        self.equity_e8: list[int] = []
        self._open: list[tuple[int, int, int]] = []  # place of the mark, trade number, its result so far
        self.cycles = -1
        """Under which number a cycle that is under way now counts."""

    def take(self, ts_ns: int) -> None:
        """Mark now; a second mark of the same time replaces the first."""
        while self.ts_ns and self.ts_ns[-1] >= ts_ns:
            place = len(self.ts_ns) - 1
            self._open = [one for one in self._open if one[0] != place]
            self.ts_ns.pop()
            self.equity_e8.pop()
        head = self._state.head[0]
        self.ts_ns.append(ts_ns)
        realised = head["deposits_e8"] + head["gross_e8"] - head["fees_e8"] + head["funding_e8"]
        self.equity_e8.append(int(realised + head["unrealised_e8"]))
        p = self._state.positions[self._state.positions["qty_lots"] != 0]
        results = p["gross_e8"] + p["unrealised_e8"] - p["fees_e8"] + p["funding_e8"]
        self.count_open(zip(p["trade_no"].tolist(), results.tolist(), strict=True))
        cycle, pots = self._state.cycle[0], self._state.pots
        booked = int(cycle["gross_e8"] - cycle["fees_e8"])  # by conversions that no closed trade has told of yet
        if booked != 0 or cycle["stage"] != IDLE or (pots["qty_e8"] != 0).any():
            self.count_open([(self.cycles, booked + int(pots["unrealised_e8"].sum()))])
        else:
            self.cycles -= 1

    def count_open(self, trades: Iterable[tuple[int, int]]) -> None:
        """(trade number, result in 1e-8 USD) of trades that are open at the latest mark."""
        self._open += [(len(self.ts_ns) - 1, *one) for one in trades]

    def open_at_the_end(self) -> list[tuple[int, int]]:
        """The same of the latest mark."""
        return [(number, result) for place, number, result in self._open if place == len(self.ts_ns) - 1]

    def without(self, numbers: set[int]) -> Array:
        """Equity in USD at every mark without what those trades made."""
        kept = np.array(self.equity_e8, np.int64)
        for place, number, result in self._open:
            if number in numbers:
                kept[place] -= result
        return kept / E8


class _Notes:
    """What the journal says of closed trades and refusals; the rest of it is dropped as it comes."""

    def __init__(self) -> None:
        self._kept: list[Array] = []
        self.refusals = 0

    def take(self, entries: Array) -> None:
        """A sink of the session."""
        kinds = entries["record"]["kind"]
        self.refusals += int((kinds == REFUSED).sum())
        chosen = (kinds >= CLOSED) & (kinds <= TRADE_SIZE)
        if chosen.any():
            self._kept.append(entries[chosen])

    def trades(self) -> Array:
        """TRADE rows in the order they were closed."""
        notes = joined(self._kept)["record"]
        closed, excursion, size = (notes[notes["kind"] == kind] for kind in (CLOSED, EXCURSION, TRADE_SIZE))
        rows = np.zeros(len(closed), TRADE)
        rows["closed_ns"] = closed["ts_ns"]
        for name in ("trade_no", "instrument", "strategy", "side", "reason", "gross_e8", "fees_e8", "funding_e8",
                     "risk_e8"):  # fmt: skip
            rows[name] = closed[name]
        rows["opened_ns"], rows["slippage_e8"] = excursion["opened_ns"], excursion["slippage_e8"]
        rows["entry_value_e8"] = size["entry_value_e8"]
        return rows


def play(market: Market, stretch: Stretch, terms: Terms) -> Outcome:
    """Play one stretch. The same arguments give the same outcome to the bit, whatever lies behind the stretch.

    Raises BadInput where nothing of the market lies in it, or for unusable terms.
    """
    length_ns = stretch.to_ns - stretch.from_ns
    mark_ns = next((every_ns for shorter_ns, every_ns in MARKS if length_ns < shorter_ns), HOUR_NS)
    stream = _Marked(market, stretch, terms, mark_ns)
    notes = _Notes()
    session = Session(
        stream, strategies=terms.strategies, capital_usd=terms.capital_usd, limits=terms.limits,
        simulation=terms.simulation, timeframes_s=terms.timeframes_s, sinks=[notes.take],
        selector_params=terms.selector,
    )  # fmt: skip
    marks = _Marks(session.core.state)
    marks.take(stretch.from_ns)  # nothing is entered before

    def mark(_events: int) -> None:
        if stream.at_ns > stretch.from_ns:
            marks.take(stream.at_ns)

    session.run(progress=mark)
    cycles = marks.cycles
    marks.take(stretch.to_ns)
    trades = notes.trades()
    late = trades[trades["closed_ns"] >= stretch.to_ns]  # filled behind the last event
    marks.count_open(zip(late["trade_no"].tolist(), net_e8(late).tolist(), strict=True))
    crossing = dict(marks.open_at_the_end())
    unfinished = {cycles} if (late["strategy"] == ARBITRAGE).any() else set()
    return Outcome(
        ts_ns=np.array(marks.ts_ns, np.int64),
        usd=marks.without(set(crossing) | unfinished),
        trades=trades[belongs(trades["opened_ns"], trades["closed_ns"], stretch)],
        left_out=len(crossing),
        left_out_usd=sum(crossing.values()) / E8,
        refusals=notes.refusals,
        stopped=bool(session.core.state.head[0]["trading_state"] != 0),
    )


def charged(instruments: Sequence[Instrument], factor: float) -> list[Instrument]:
    """The same instruments with fees times `factor` (rebates stay rebates, and are not made larger)."""
    if factor == 1.0:
        return list(instruments)
    times = Decimal(str(factor))
    return [
        msgspec.structs.replace(
            one, taker_fee=one.taker_fee * times, maker_fee=max(one.maker_fee * times, min(one.maker_fee, Decimal(0)))
        )
        for one in instruments
    ]
