"""The diff-depth stream of one symbol: the book now against the book last told.

A client that takes a snapshot between two events must end with the right book too, so every level that a
snapshot showed since the last event is told again, changed or not.
"""

from __future__ import annotations

from engine.sandbox.show import Show
from engine.sandbox.tape import Tape

Levels = dict[int, int]


class DepthStream:
    """Numbered so that each event begins (`U`) one after the last one's end (`u`)."""

    def __init__(self, exchange: Show, tape: Tape) -> None:
        self.tape = tape
        self._exchange = exchange
        self._told_id = tape.update_id
        self._told = {side: dict(exchange.levels(tape, side)) for side in (-1, 1)}
        self._shown: dict[int, set[int]] = {-1: set(), 1: set()}

    def shown(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        """A snapshot showed these levels."""
        self._shown[-1].update(ticks for ticks, _ in bids)
        self._shown[1].update(ticks for ticks, _ in asks)

    def event(self) -> str | None:
        """The changes since the last event as JSON; None where there are none."""
        tape = self.tape
        if tape.update_id == self._told_id:
            return None
        now = {side: dict(self._exchange.levels(tape, side)) for side in (-1, 1)}
        bids, asks = self._changes(now, -1), self._changes(now, 1)
        if not bids and not asks:
            return None
        first, self._told_id, self._told = self._told_id + 1, tape.update_id, now
        if self._exchange.faults.take("A16", symbol=tape.name):
            return None
        return f'{{{self._head(self._exchange.clock.now_ms(), first)},"b":[{bids}],"a":[{asks}]}}'

    def _head(self, stamp: int, first: int) -> str:
        """Everything before the levels."""
        return f'"e":"depthUpdate","E":{stamp},"s":"{self.tape.name}","U":{first},"u":{self.tape.update_id}'

    def _changes(self, now: dict[int, Levels], side: int) -> str:
        told, book, tape = self._told[side], now[side], self.tape
        again, self._shown[side] = self._shown[side], set()
        changed = {ticks for ticks in told.keys() | book.keys() if told.get(ticks) != book.get(ticks)} | again
        return ",".join(
            f'["{tape.price(ticks)}","{tape.quantity(book.get(ticks, 0))}"]'
            for ticks in sorted(changed, reverse=side < 0)
        )
