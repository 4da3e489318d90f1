"""What one process may use while Redis is gone: its share of what was left, in every window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.venues.budgets import MINUTE_MS, Budget, Urgency, Window, ceiling
from engine.venues.windows import SPARE, SlidingWindow, bucket_ms

LOCAL_SHARE: Final = 0.2  # up to five processes stay within the whole


class _Known:
    """One window: what this process used, and what the others had used as of the last answer."""

    def __init__(self, length_ms: int) -> None:
        self.own = SlidingWindow(length_ms)
        self.others = 0
        self.known_ms: int | None = None


class LocalShare:
    """Times are ms of the process' monotonic clock. It follows the shared counts while Redis is there.

    With `used` = what all had used when Redis went, each of N <= 1 / LOCAL_SHARE processes may go from its own part
    u to at most max(u, LOCAL_SHARE * (limit - used + u)); added up that is never more than the limit.
    """

    def __init__(self, budgets: Mapping[str, Budget]) -> None:
        self._budgets = budgets
        self._known = {name: [_Known(w.length_ms) for w in budget.windows] for name, budget in budgets.items()}
        self._unsent: dict[str, int] = {}

    def note(self, charges: Mapping[str, int], now_ms: int) -> None:
        """We used this (negative: give back what was noted at the same time)."""
        for name, weight in charges.items():
            for known in self._known[name]:
                known.own.charge(now_ms, weight)

    def give_back(self, charges: Mapping[str, int], at_ms: int) -> None:
        """What was taken alone at `at_ms` was not sent."""
        self.note({name: -weight for name, weight in charges.items()}, at_ms)
        for name, weight in charges.items():
            self._unsent[name] = max(0, self._unsent.get(name, 0) - weight)

    def learn(self, name: str, used: list[int], now_ms: int) -> None:
        """Redis counts this much in each window of the budget, ours included."""
        for known, count in zip(self._known[name], used, strict=True):
            known.others, known.known_ms = max(0, count - known.own.used(now_ms)), now_ms

    def at_least(self, name: str, window: int, count: int, now_ms: int) -> bool:
        """The venue counted this much: believe it if it is more than we know; True when it was."""
        known = self._known[name][window]
        own = known.own.used(now_ms)
        if count <= own + self._others(known, self._budgets[name].windows[window], now_ms, now_ms, hopeful=True):
            return False
        known.others, known.known_ms = max(0, count - own), now_ms
        return True

    def take(self, charges: Mapping[str, int], urgency: Urgency, now_ms: int, lost_ms: int) -> int:
        """0 and noted when it fits our share, else ms to wait. `lost_ms`: when Redis went."""
        wait_ms = 0
        for name, weight in charges.items():
            for known, window in zip(self._known[name], self._budgets[name].windows, strict=True):
                left = ceiling(window.limit, urgency) - self._others(known, window, now_ms, lost_ms)
                wait_ms = max(wait_ms, known.own.wait_ms(now_ms, weight, int(LOCAL_SHARE * left)))
        if wait_ms == 0:
            self.note(charges, now_ms)
            for name, weight in charges.items():
                self._unsent[name] = self._unsent.get(name, 0) + weight
        return wait_ms

    def unsent(self) -> dict[str, int]:
        """Budget -> what Redis has not been told yet."""
        return {name: weight for name, weight in self._unsent.items() if weight}

    def told(self, charges: Mapping[str, int]) -> None:
        """Redis now knows of these."""
        for name, weight in charges.items():
            self._unsent[name] = max(0, self._unsent[name] - weight)

    def own(self, now_ms: int) -> dict[str, list[int]]:
        """Budget -> our own use in each window, where there is any."""
        used = {name: [known.own.used(now_ms) for known in windows] for name, windows in self._known.items()}
        return {name: counts for name, counts in used.items() if any(counts)}

    @staticmethod
    def _others(known: _Known, window: Window, now_ms: int, lost_ms: int, hopeful: bool = False) -> int:
        """As last heard. Without news a short window counts as full for entries until it has passed since the loss;
        a long one as empty, or a day's order count would stop trading for a day."""
        still_counts = window.length_ms + SPARE * bucket_ms(window.length_ms)
        if known.known_ms is not None and now_ms - known.known_ms <= still_counts:
            return known.others
        if not hopeful and window.length_ms <= MINUTE_MS and now_ms - lost_ms <= still_counts:
            return ceiling(window.limit, Urgency.ENTRY)
        return 0
