"""Whole books from diffs: sequence-checked, read anew over HTTP after a gap."""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np

from engine.contracts.errors import Retryable
from engine.contracts.records import RECORD
from engine.venues.binance.codec import Codec
from engine.venues.binance.link import Link
from engine.venues.binance.slate import venue_symbol
from engine.venues.connection import Connection
from engine.venues.ladder import GAP, LEVELS, LIVE, Diff, Ladder
from engine.venues.undecodable import Undecodable

LIMIT: Final = 1000
AGAIN_NS: Final = 1_000_000_000
"""At most one snapshot of a book in that time: they are dear."""


class Books:
    """The ladders of one socket. They show nothing until their first snapshot, and after a gap until the next."""

    def __init__(self, link: Link, codec: Codec, connection: Connection) -> None:
        self._link, self._codec, self._connection = link, codec, connection
        self._ladders: dict[int, Ladder] = {}
        self._asked_ns: dict[int, int] = {}
        self._out: np.ndarray[Any, Any] = np.zeros(LEVELS, RECORD)

    def reset(self) -> None:
        """The socket is new: nothing follows what was before."""
        for ladder in self._ladders.values():
            ladder.reset()
        self._asked_ns.clear()

    def apply(self, diff: Diff, ts_ns: int) -> None:
        """One diff; DEPTH records where the book is whole."""
        ladder = self._ladders.get(diff.instrument)
        if ladder is None:
            ladder = self._ladders[diff.instrument] = Ladder(diff.instrument)
        was = ladder.state
        if ladder.apply(diff):
            self._show(ladder, ts_ns)
        elif ladder.state == GAP and was == LIVE:
            self._connection.gaps += 1
            self._link.distrust((diff.instrument,))
            symbol = self._link.mine[diff.instrument].symbol
            self._link.say("gap", f"{symbol}: the book lost its sequence; it is read anew", diff.instrument)
        if ladder.state != LIVE and ts_ns - self._asked_ns.get(diff.instrument, 0) >= AGAIN_NS:
            self._asked_ns[diff.instrument] = ts_ns
            self._link.spawn(self._read(ladder))

    async def _read(self, ladder: Ladder) -> None:
        """Fetch the whole book; where it does not join, the next diff asks again."""
        symbol = venue_symbol(self._link.mine[ladder.instrument])
        try:
            body = await self._link.rest.get(self._link.dialect.depth, {"symbol": symbol, "limit": LIMIT})
            whole = self._codec.snapshot(body, symbol)
        except (Retryable, Undecodable) as error:
            self._link.say("gap", f"{symbol}: the whole book was not read, trying again: {error}", ladder.instrument)
            return
        if ladder.state != LIVE and ladder.snapshot(whole):
            self._show(ladder, time.time_ns())

    def _show(self, ladder: Ladder, ts_ns: int) -> None:
        count = ladder.write(self._out, ts_ns)
        if count:
            self._link.inlet.market(self._out, count)
