"""Is every open quantity protected? The invariant monitor's own clocks, by engine time.

Rules
-----
* A position needs a stop the venue confirmed, on the other side, with at least the position left to fill. A stop on
  its way counts for what was open when its clock started, as in `engine.core.protect`; `GRACE_NS` is added to the
  core's deadline, and again the deadline where the newest stop has had no answer yet.
* An exit under way is as good: one at work, or one that ended unfilled and is to be sent again (64 s at most). The exit
  of a part is as good for that part, and only while it works.
* What the venue would not take an order for (dust, the first crumbs of a patient entry) needs none; perpetuals'
  reduce-only orders have no minimum.
"""

from __future__ import annotations

from typing import Final

from engine.contracts import records as r
from engine.contracts.reasons import PARTIAL_EXIT, TAKE_PROFIT
from engine.core import life
from engine.runtime.shadow_books import Books
from engine.runtime.shadow_rows import Order

DEADLINE_NS: Final = 2_000_000_000
GRACE_NS: Final = 1_000_000_000
AGAIN_NS: Final = 66_000_000_000
"""An exit is sent again after 64 s at the latest."""


class Guard:
    """One clock an instrument: since when, and with how many lots open, no confirmed stop stood for all of it."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._since = [0] * len(books.held)
        self._lots = [0] * len(books.held)
        self.waiting: set[int] = set()  # whose clock runs

    def postpone(self, by_ns: int) -> None:
        """Nothing ran for so long: no clock counts that time."""
        for i in self.waiting:
            self._since[i] += by_ns

    def look(self, i: int, now_ns: int, mark_ticks: int = 0) -> str:
        """What is wrong with the protection of position `i` at `now_ns`, empty where nothing is. `mark_ticks`: the
        price now, where known."""
        wrong = self._look(i, now_ns, mark_ticks)
        (self.waiting.add if self._since[i] else self.waiting.discard)(i)
        return wrong

    def _look(self, i: int, now_ns: int, mark_ticks: int) -> str:
        lots = abs(self._books.held[i].lots)
        if lots == 0 or self._is_leaving(i, now_ns) or self._is_dust(i, mark_ticks):
            self._since[i] = 0
            return ""
        covered = max((one.left for one in self._stops(i) if one.stands), default=0) + self._parting(i)
        began, late = self._since[i], self._is_late(i, now_ns)
        if covered >= lots:
            self._since[i] = 0
        elif began == 0 or covered >= self._lots[i]:
            self._since[i], self._lots[i] = now_ns, lots
        if not late:
            return ""
        return f"{lots} lots had no confirmed stop for {(now_ns - began) / 1e9:.1f} s, and no exit is under way"

    def _is_late(self, i: int, now_ns: int) -> bool:
        began = self._since[i]
        if began == 0:
            return False
        waiting = [max(one.placed_ns, one.cancel_ns) for one in self._stops(i) if not one.stands]
        newest = min(max(waiting, default=began), began + DEADLINE_NS)
        return now_ns - max(began, newest) > DEADLINE_NS + GRACE_NS

    def _stops(self, i: int) -> list[Order]:
        side = self._books.held[i].lots
        return [one for one in self._books.working(i, r.ROLE_STOP) if one.side * side < 0]

    def _parting(self, i: int) -> int:
        """Lots that are offered while the rest stays."""
        side = self._books.held[i].lots
        exits = self._books.working(i, r.ROLE_EXIT)
        return sum(one.left for one in exits if one.reason == PARTIAL_EXIT and one.side * side < 0)

    def _is_leaving(self, i: int, now_ns: int) -> bool:
        held = self._books.held[i]
        exits = [
            one for one in self._books.orders.values()
            if one.instrument == i and one.role == r.ROLE_EXIT and one.side * held.lots < 0
            and one.reason != PARTIAL_EXIT
        ]  # fmt: skip
        if not exits:
            return False
        last = exits[-1]
        if last.is_working or any(one.is_working for one in exits):
            return True
        if last.status == life.EXPIRED and last.reason == TAKE_PROFIT and last.order_type == r.LIMIT_ORDER:
            return False  # the price left the target: no exit after all
        return last.placed_ns >= held.opened_ns and now_ns - last.ended_ns <= AGAIN_NS

    def _is_dust(self, i: int, mark_ticks: int) -> bool:
        terms, held = self._books.terms[i], self._books.held[i]
        if terms.is_perp:
            return False
        prices = [one for one in (mark_ticks, held.stop_ticks, held.fill_ticks) if one > 0]
        return 100 * terms.received(min(prices), abs(held.lots)) < 101 * terms.min_notional_e8
