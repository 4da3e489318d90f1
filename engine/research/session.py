"""One simulated session: a core, a simulated venue, a market, and the journal they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np

from engine.contracts.instruments import Instrument
from engine.contracts.records import NO_INSTRUMENT, RECORD, TIMER
from engine.core import state, timers
from engine.core.limits import Limits
from engine.core.output import drain, new_output
from engine.core.replay import inject
from engine.simulation import run
from engine.simulation.venue import SimulationModel, new_venue, restore_venue, venue_memory

Entries = np.ndarray[Any, Any]
TO_THE_END: Final = 2**62


class Blocks(Protocol):
    """What a session needs of a market."""

    @property
    def instruments(self) -> list[Instrument]:
        """What is traded; the index is the `instrument` of the records."""

    def blocks(self, max_records: int = ...) -> Iterator[np.ndarray[Any, Any]]:
        """RECORD arrays in the order of venue time."""


class Session:
    """A simulated session that can be run, cut at any event, saved and resumed.

    Each of `sinks` receives every stretch of journal ENTRYs as it is made; the session keeps none of them.
    """

    def __init__(
        self,
        market: Blocks,
        *,
        strategies: dict[str, dict[str, float]],
        capital_usd: float,
        limits: Limits,
        simulation: SimulationModel,
        timeframes_s: Sequence[int],
        sinks: Sequence[Callable[[Entries], None]],
        wallets_usd: Mapping[str, float] | None = None,
        selector_params: Mapping[str, float] | None = None,
    ) -> None:
        self.core = state.new_core(
            market.instruments, limits, capital_usd, strategies, timeframes_s, wallets_usd, selector_params
        )
        self.venue = new_venue(self.core, simulation)
        self._market = market
        self.sinks = list(sinks)
        self._out = new_output()
        self._cursor = run.new_cursor()
        self._blocks = market.blocks()
        self._block = np.zeros(0, RECORD)
        self._room = np.zeros(0, RECORD)
        self._dropped = 0  # market events before the current block
        self._ended = False

    @property
    def events(self) -> int:
        """Events the engine has taken so far, market events included."""
        return int(self.core.state.head[0].seq)

    def run(self, until_seq: int | None = None, progress: Callable[[int], None] | None = None) -> bool:
        """Run to the end of the market, or until event `until_seq` was taken. True at the end."""
        stop = TO_THE_END if until_seq is None else until_seq
        while True:
            outcome = run.advance(self.core.state, self.venue, self._block, self._cursor, self._out, self._ended, stop)
            if self._out.count[0]:
                self._flush()
            if outcome == run.MORE_MARKET:
                self._next_block()
                if progress is not None:
                    progress(self._dropped)
            elif outcome == run.PAUSED:
                return False
            elif outcome == run.FINISHED:
                self._mark_the_end()
                return True

    def _flush(self) -> None:
        entries = drain(self._out)
        for sink in self.sinks:
            sink(entries)

    def _mark_the_end(self) -> None:
        """Journal the final equity and judge the unfinished day, so that a report ends where the run did."""
        last = np.zeros(2, RECORD)
        last["ts_ns"] = self.core.state.head[0].now_ns
        last["kind"] = TIMER
        last["instrument"] = NO_INSTRUMENT
        last["timer_id"] = (timers.MARK_EQUITY, timers.JUDGE_DAY)
        inject(self.core.state, last, self._out)
        self._flush()

    def _next_block(self) -> None:
        """Append the next block to what the engine has not seen of the current one."""
        at = self._cursor.at
        rest = self._block[at[1] :]
        self._dropped += int(at[1])
        at[0] -= at[1]
        at[1] = 0
        block = next(self._blocks, None)
        if block is None:
            self._ended = True
            self._block = rest
        else:
            self._block = self._behind(rest, block) if rest.size else block

    def _behind(self, rest: np.ndarray[Any, Any], block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """`block` behind `rest`, in room that is used again and again: fresh memory for each would cost as much as
        stepping through it."""
        at, size = rest.size, rest.size + block.size
        if self._room.size < size:
            self._room = np.empty(size + size // 4, RECORD)
        as_bytes, width = self._room.view(np.uint8), RECORD.itemsize
        as_bytes[: at * width] = rest.view(np.uint8)  # numpy copies rightly though they overlap
        as_bytes[at * width : size * width] = np.ascontiguousarray(block).view(np.uint8)
        return self._room[:size]

    def save(self) -> dict[str, np.ndarray[Any, Any]]:
        """Everything needed to resume: the core's memory, the venue's, and the place in the market."""
        at = self._cursor.at
        place = np.array([self._dropped + at[0], self._dropped + at[1]], np.int64)
        venue = {f"venue.{name}": array.copy() for name, array in venue_memory(self.venue).items()}
        parts: dict[str, np.ndarray[Any, Any]] = {"core": state.snapshot(self.core), "market": place}
        return parts | venue

    def restore(self, parts: dict[str, np.ndarray[Any, Any]]) -> None:
        """Resume from `save`d parts, in a session made with the same arguments. Raises Fatal otherwise."""
        state.restore(self.core, parts["core"])
        restore_venue(self.venue, {name.removeprefix("venue."): a for name, a in parts.items() if "." in name})
        at_venue, at_engine = (int(x) for x in parts["market"])
        self._blocks = self._market.blocks()
        self._block = np.zeros(0, RECORD)
        self._dropped = 0
        while self._dropped + self._block.size <= at_engine and not self._ended:
            self._dropped += self._block.size
            self._cursor.at[:] = 0
            self._block = np.zeros(0, RECORD)
            self._next_block()
        self._cursor.at[:] = (at_venue - self._dropped, at_engine - self._dropped)
        while self._block.size < self._cursor.at[0]:
            self._next_block()
