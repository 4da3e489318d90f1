"""Quotes at a chosen rate, for benches: every symbol's quote moves by a tick, in turn, without a recording.

``POST /rate {"quotes_per_s": 10000, "seconds": 5}`` starts it; ``"even": true`` sends each quote by itself, evenly
spaced (the loop then spins), else what falls into a millisecond leaves in one write. ``POST /sent {}`` gives, for each
write, the time it left (ns, CLOCK_MONOTONIC, the same in every process of the machine) and the last update id of each
symbol in it; ``POST /arrivals {}`` gives when orders arrived, by client order id. An order's time minus its quote's
is tick in -> order on the socket.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts import records as r
from engine.contracts.errors import BadInput
from engine.sandbox.exchange import Exchange

MOST_KEPT: Final = 500_000
_STEPS: Final = 64
"""Ticks a quote climbs before it comes down again."""
_LOTS: Final = 1_000
_TURN_S: Final = 0.001
_MOST_AT_ONCE: Final = 512


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """How many quotes a second, over all symbols together, and for how long."""

    quotes_per_s: float
    seconds: float
    even: bool = False
    venue: str = ""


class Rate:
    """Plays made-up quotes to an exchange. `flush` writes out what the streams have said."""

    def __init__(self, exchange: Exchange, flush: Callable[[], None], arrivals: deque[tuple[str, int]]) -> None:
        self._exchange = exchange
        self._flush = flush
        self._arrivals = arrivals
        self._sent: deque[list[int]] = deque(maxlen=MOST_KEPT)
        self._task: asyncio.Task[None] | None = None
        self._played = 0

    def start(self, body: bytes) -> Any:
        """Begin (again). Raises BadInput for a rate or a time out of bounds, or without prices to start from."""
        wanted = msgspec.json.decode(body, type=Wanted)
        if not 1 <= wanted.quotes_per_s <= 1e6 or not 0 < wanted.seconds <= 3600:
            raise BadInput("quotes_per_s must lie in 1..1000000, seconds in 0..3600")
        if any(tape.bid_ticks <= _STEPS for tape in self._exchange.tapes):
            raise BadInput("rate: a symbol has no price yet; play some of the market first")
        if self._task is not None:
            self._task.cancel()
        self._sent.clear()
        self._played = 0
        self._task = asyncio.get_running_loop().create_task(self._run(wanted, self._cycle()))
        return {"symbols": list(self._exchange.by_name), "monotonic_ns": time.monotonic_ns()}

    def sent(self, body: bytes) -> Any:
        """``writes``: [ns, last update id of each symbol]; ``played`` quotes so far; whether it ``is_over``."""
        is_over = self._task is None or self._task.done()
        return {
            "symbols": list(self._exchange.by_name), "played": self._played, "is_over": is_over,
            "writes": list(self._sent),
        }  # fmt: skip

    def arrivals(self, body: bytes) -> Any:
        """``arrivals``: [client order id, ns] of the orders asked for over the WS API, oldest first."""
        return {"arrivals": list(self._arrivals)}

    def _cycle(self) -> Any:
        """All symbols' quotes, one step up or down each, until they are where they began."""
        tapes = self._exchange.tapes
        count = 2 * _STEPS * len(tapes)
        made: Any = np.zeros(count, r.RECORD)
        steps = np.arange(count) // len(tapes)
        climbed = np.minimum(steps, 2 * _STEPS - steps)
        number = np.arange(count) % len(tapes)
        made["kind"], made["instrument"] = r.QUOTE, number
        made["bid_ticks"] = np.array([tape.bid_ticks for tape in tapes])[number] + climbed
        made["ask_ticks"] = np.array([tape.ask_ticks for tape in tapes])[number] + climbed
        made["bid_lots"] = made["ask_lots"] = _LOTS
        return made

    async def _run(self, wanted: Wanted, cycle: Any) -> None:
        started, at = time.monotonic(), 0
        while (elapsed := time.monotonic() - started) < wanted.seconds:
            due = int(elapsed * wanted.quotes_per_s) - self._played
            count = min(due, len(cycle) - at, 1 if wanted.even else _MOST_AT_ONCE)
            if count > 0:
                self._play(cycle[at : at + count])
                at = (at + count) % len(cycle)
                self._played += count
            await asyncio.sleep(0 if wanted.even or count < due else _TURN_S)

    def _play(self, quotes: Any) -> None:
        quotes["ts_ns"] = quotes["venue_ts_ns"] = time.time_ns()
        self._exchange.play(quotes)
        self._sent.append([time.monotonic_ns(), *(tape.update_id for tape in self._exchange.tapes)])
        self._flush()
