"""What an entry had to keep to when it was sent, and the day it counts for: reckoned again from the monitor's books.

Rules
-----
* The day's start is equity at a UTC midnight. Where nothing was open it is the books' own; else the first EQUITY note,
  or the core, says it, and from then on only deposits may move it.
* A loss beyond the plan, because the price was not there, breaks nothing. An entry sent after that does.
* The worst case, of the day and below the peak, is looked at once the event that sent the entry is wholly booked, and
  only where every open position's stop is the one last sent, and answered: on the way from one to the next there is no
  telling.
"""

from __future__ import annotations

from typing import Final

from engine.contracts import records as r
from engine.contracts.records import NO_INSTRUMENT
from engine.core.limits import SCALE
from engine.core.orders import ACTIVE
from engine.journal.plain import Row
from engine.runtime.shadow_books import Books
from engine.runtime.shadow_money import per_cent

DAY_NS: Final = 86_400_000_000_000


class Day:
    """The UTC day: its start, its limit, and what fees and funding were before it. `None`: not known yet."""

    def __init__(self, books: Books, head: dict[str, int]) -> None:
        self._books = books
        self.end_ns = head["day_end_ns"]
        self.start_e8: int | None = head["day_start_e8"]
        self.limit_e8: int | None = head["day_limit_e8"]
        self.fees_e8, self.funding_e8 = head["day_fees_e8"], head["day_funding_e8"]
        self._refitted = False

    def roll(self, now_ns: int) -> None:
        """Begin a new day where one is due."""
        if now_ns < self.end_ns:
            return
        self.end_ns = (now_ns // DAY_NS + 1) * DAY_NS
        totals = self._books.totals
        self.fees_e8, self.funding_e8 = totals.fees_e8, totals.funding_e8
        self.start_e8 = self.limit_e8 = None
        self._refitted = False
        if self._books.is_flat:
            self.told(totals.book_e8)

    def told(self, start_e8: int) -> None:
        """The day's start is known now."""
        if self.start_e8 is None:
            self.start_e8 = start_e8
            self.limit_e8 = None if self._refitted else max(self._allowed_e8(start_e8), 0)

    def settle(self, start_e8: int, limit_e8: int) -> None:
        """What is not known is as the core says."""
        self.told(start_e8)
        if self.limit_e8 is None:
            self.limit_e8 = min(limit_e8, max(self._allowed_e8(start_e8), 0))

    def refit(self, deposit_e8: int) -> None:
        """A deposit or a limit changed: the start moves along, the limit only shrinks."""
        self._refitted = True
        if self.start_e8 is not None:
            self.start_e8 += deposit_e8
        if self.start_e8 is not None and self.limit_e8 is not None:
            self.limit_e8 = max(min(self.limit_e8, self._allowed_e8(self.start_e8)), 0)

    def _allowed_e8(self, start_e8: int) -> int:
        limits = self._books.limits
        return min(limits["day_loss_e8"], per_cent(start_e8, limits["day_loss_pct"]))

    def trade_limit_e8(self) -> int | None:
        """Most a trade may lose."""
        if self.start_e8 is None:
            return None
        limits = self._books.limits
        return min(limits["trade_loss_e8"], per_cent(self.start_e8, limits["trade_loss_pct"]))

    def room_e8(self, worst_e8: int) -> int | None:
        """What the day may still lose beyond its worst case; None: not known yet."""
        if self.start_e8 is None or self.limit_e8 is None:
            return None
        return self.limit_e8 + worst_e8 - self.start_e8

    def worst_e8(self, seq: int) -> int | None:
        """Equity with every stop hit and every pending entry stopped out; None: no telling now."""
        books = self._books
        worst = books.totals.book_e8 - books.pending_risk_e8
        for i, held in enumerate(books.held):
            if held.lots == 0:
                continue
            stops = books.working(i, r.ROLE_STOP)
            settled = len(stops) == 1 and (stops[0].stands or stops[0].placed_seq == seq)
            if books.terms[i].changed_fee or not settled or books.working(i, r.ROLE_EXIT):
                return None
            slippage = books.limits["stop_slippage_bps"]
            worst += books.terms[i].result_at_stop(held.lots, held.cost_e8, held.stop_ticks, slippage)
        return worst


def judge_entry(books: Books, day: Day, state: int, row: Row) -> None:
    """Tell the books' `tell` about everything that entry `row` should not have passed. Before it is booked."""
    i, terms, limits = row.instrument, books.terms[row.instrument], books.limits
    if state != ACTIVE:
        books.tell("ENTRY_NOT_ACTIVE", i, row.w0, f"entry {row.w0} was sent while trading is not ACTIVE")
    notional = terms.paid(row.w1, row.w2)
    pending = sum(
        books.terms[one.instrument].paid(one.price_ticks, one.left)
        for one in books.orders.values()
        if one.reserve_e8 > 0
    )
    cluster = sum(
        held.cost_e8 for held, its in zip(books.held, books.terms, strict=True)
        if held.lots * row.side > 0 and its.instrument.cluster == terms.instrument.cluster
    )  # fmt: skip
    caps = (
        ("order_notional_e8", notional),
        ("instrument_exposure_e8", books.held[i].cost_e8 + notional),
        ("exposure_e8", books.exposure_e8 + pending + notional),
        ("cluster_exposure_e8", cluster + pending + notional),
    )
    for name, measured in caps:
        if measured > limits[name]:
            books.tell("ENTRY_CAP", i, (row.w0, name), f"entry {row.w0}: {measured} passes {name} = {limits[name]}")
    if terms.is_perp and row.leverage * SCALE > limits["max_leverage"]:
        books.tell("ENTRY_CAP", i, (row.w0, "leverage"), f"entry {row.w0} has leverage {row.leverage}")
    if row.w3 <= 0 or (row.w1 - row.w3) * row.side <= 0:
        books.tell("ENTRY_NO_STOP", i, row.w0, f"entry {row.w0} at {row.w1} has its stop at {row.w3}")
        return
    _judge_money(books, day, row)


def _judge_money(books: Books, day: Day, row: Row) -> None:
    i, terms, limits = row.instrument, books.terms[row.instrument], books.limits
    held, slippage = books.held[i], limits["stop_slippage_bps"]
    cost = terms.entry_cost(row.side, row.w1, row.w2, row.leverage)
    reserve = max(limits["reserve_e8"], per_cent(day.start_e8 or 0, limits["reserve_pct"]))
    if cost > books.free_e8 - reserve:
        books.tell("ENTRY_RESERVE", i, row.w0, f"entry {row.w0} takes {cost}, free {books.free_e8}, kept {reserve}")
    purse = books.purses[terms.wallet]
    if cost > purse.cash_e8 - purse.margin_e8 - purse.reserved_e8:
        books.tell("ENTRY_RESERVE", i, (row.w0, "wallet"), f"entry {row.w0} takes {cost}, its wallet has less")
    limit, lost = day.trade_limit_e8(), 0
    if held.lots != 0:
        if limit is None or held.limit_e8 is None:
            return
        limit = min(limit, held.limit_e8)
        at_stop = terms.result_at_stop(held.lots, held.cost_e8, row.w3, slippage)
        lost = max(held.fees_e8 - held.gross_e8 - held.funding_e8 - at_stop, 0)
    loss = terms.loss_at_stop(row.side, row.w1, row.w2, row.w3, slippage)
    if limit is not None and loss + lost > limit and not terms.changed_fee:
        books.tell("ENTRY_TRADE_LOSS", i, row.w0, f"entry {row.w0} may lose {loss + lost}, allowed {limit}")


def judge_cycle(books: Books, day: Day, state: int, row: Row) -> None:
    """The same for a cycle that begins: `w3` goes in, and `w4` is what it may lose."""
    i, limits, tell = row.instrument, books.limits, books.tell
    if state != ACTIVE:
        tell("ENTRY_NOT_ACTIVE", i, ("cycle", row.seq), "a cycle was begun while trading is not ACTIVE")
    for name, measured in (("order_notional_e8", row.w3), ("exposure_e8", books.exposure_e8 + row.w3)):
        if measured > limits[name]:
            tell("ENTRY_CAP", i, ("cycle", row.seq, name), f"a cycle: {measured} passes {name} = {limits[name]}")
    reserve = max(limits["reserve_e8"], per_cent(day.start_e8 or 0, limits["reserve_pct"]))
    if row.w3 > books.free_e8 - reserve:
        text = f"a cycle takes {row.w3}, free {books.free_e8}, kept {reserve}"
        tell("ENTRY_RESERVE", i, ("cycle", row.seq), text)
    limit = day.trade_limit_e8()
    if row.w4 <= 0 or (limit is not None and row.w4 > limit):
        tell("ENTRY_TRADE_LOSS", i, ("cycle", row.seq), f"a cycle may lose {row.w4}, allowed {limit}")


def judge_worst(books: Books, day: Day, peak_e8: int | None, seq: int) -> None:
    """The same for the day and for the fall from a peak of at least `peak_e8`, once the event that sent the entry is
    wholly booked."""
    worst = day.worst_e8(seq)
    if worst is None:
        return
    room = day.room_e8(worst)
    if room is not None and room < 0:
        text = f"an entry was sent though the day could lose {-room} (1e-8 USD) more than its limit"
        books.tell("ENTRY_DAY_LOSS", NO_INSTRUMENT, seq, text)
    if peak_e8 is not None and worst <= peak_e8 - per_cent(peak_e8, books.limits["drawdown_pct"]):
        text = f"an entry was sent though equity could fall from {peak_e8} to {worst} (1e-8 USD), past its limit"
        books.tell("ENTRY_DRAWDOWN", NO_INSTRUMENT, seq, text)
