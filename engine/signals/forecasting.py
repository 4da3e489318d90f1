"""A recorded market with the forecasts of signal sources among its events: what a backtest runs on.

Each block of the market is first looked through for closing bars. Whenever one closes, the sources are asked, with
nothing in their histories that closed later; what they answer becomes an event `delay_ms` after the engine saw the
price that closed the bar, and takes its place among the market's events by that time. Fresh instances for every
reading, so the same market gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from engine.contracts.errors import BadInput
from engine.contracts.instruments import Instrument
from engine.contracts.records import RECORD, RECORD_BYTES
from engine.contracts.signals import Bar, Forecast, History
from engine.core.closings import CLOSING, new_watch, watch_closings
from engine.signals.foreign import ask
from engine.signals.histories import Histories, row_of, scale_of
from engine.signals.loading import Loaded, load
from engine.signals.plan import SignalPlan, owners
from engine.signals.speaking import Speaker

Array = np.ndarray[Any, Any]
_ROOM: Final = 4_096


class Events(Protocol):
    """What is needed of a market."""

    @property
    def instruments(self) -> list[Instrument]:
        """The index is the `instrument` of the records."""

    def blocks(self, max_records: int = ...) -> Iterator[Array]:
        """RECORD arrays in the order of time."""


class Closings:
    """The bars of one timeframe closing in a stream of events, in order."""

    def __init__(self, instruments: int, timeframe_s: int) -> None:
        self._watch = new_watch(instruments, timeframe_s)
        self._room: Array = np.zeros(_ROOM, CLOSING)

    def take(self, events: Array) -> Iterator[Any]:
        """`CLOSING` rows of the next events (contiguous RECORDs)."""
        self._watch.at[0] = 0
        while self._watch.at[0] < len(events):
            count = watch_closings(self._watch, events, self._room)
            yield from self._room[:count]


class Answered(NamedTuple):
    """What a source said to a bar; the engine saw it close at `ts_ns`."""

    instrument: int
    ts_ns: int
    bar: Bar
    forecast: Forecast | None


class Voice:
    """One source over one reading of a market."""

    def __init__(
        self, loaded: Loaded, number: int, speaks_for: Sequence[int], instruments: Sequence[Instrument]
    ) -> None:
        self.loaded = loaded
        self.source = loaded.new()
        self._speaker = Speaker(number, loaded.digest)
        self._speaks_for = frozenset(speaks_for)
        self._scales = [scale_of(one) for one in instruments]
        self._closings = Closings(len(instruments), loaded.timeframe_s)
        names = [(one.venue, one.symbol) for one in instruments]
        self._histories = Histories(names, loaded.timeframe_s, loaded.lookback)
        self._delay_ns = round(loaded.plan.delay_ms * 1e6)

    def hear(self, events: Array) -> Iterator[Array]:
        """The FORECAST events that the next market events lead to, in order. Raises BadInput where it fails."""
        for one in self.answers(events):
            heard_ns = one.ts_ns + self._delay_ns
            if (made := self._speaker.event(one.instrument, one.forecast, one.bar.end_ns, heard_ns)) is not None:
                yield made

    def answers(self, events: Array) -> Iterator[Answered]:
        """What it says to each bar that closes in the next market events. Raises BadInput where it fails."""
        for closing in self._closings.take(events):
            i = int(closing["instrument"])
            if closing["forgotten"]:
                self._histories.forget(i)
                continue
            self._histories.append(i, row_of(closing, self._scales[i]))
            if i in self._speaks_for:
                bar, history = self._histories.latest(i)
                yield Answered(i, int(closing["ts_ns"]), bar, self.ask(bar, history))

    def ask(self, bar: Bar, history: History) -> Forecast | None:
        """What the source says to a bar."""
        try:
            return ask(self.source, bar, history)
        except BadInput as error:
            plan, when = self.loaded.plan, np.datetime64(bar.end_ns, "ns")
            raise BadInput(
                f"signals.{plan.name} ({plan.class_path}), {bar.symbol}, bar that ended {when}: {error}"
            ) from error


class Forecasting:
    """A market (`instruments` and `blocks` as it has them) and what the sources say about it."""

    def __init__(self, market: Events, plans: Mapping[str, SignalPlan]) -> None:
        """Raises BadInput for a class that cannot be used, or two that speak for one instrument."""
        self._market = market
        speaks_for = owners(plans, market.instruments)
        self.sources = {name: load(plan) for name, plan in plans.items() if speaks_for[name]}
        self._speaks_for = speaks_for
        self._numbers = {name: number for number, name in enumerate(plans)}

    @property
    def instruments(self) -> list[Instrument]:
        """Those of the market."""
        return self._market.instruments

    def named(self) -> dict[str, str]:
        """What stands in a run's manifest about the sources that were heard."""
        return {name: loaded.text for name, loaded in self.sources.items()}

    def blocks(self, max_records: int = 131_072) -> Iterator[Array]:
        """The market's blocks with the forecasts in between. Raises BadInput where a source fails."""
        voices = [
            Voice(loaded, self._numbers[name], self._speaks_for[name], self.instruments)
            for name, loaded in self.sources.items()
        ]
        waiting: list[Array] = []
        for block in self._market.blocks(max_records):
            for voice in voices:
                waiting += voice.hear(block)
            waiting.sort(key=_due)  # stable: at one moment the sources in their order
            until_ns = int(block["ts_ns"][-1])
            due = sum(_due(one) < until_ns for one in waiting)
            yield among(block, waiting[:due])
            del waiting[:due]


def _due(event: Array) -> int:
    return int(event["ts_ns"][0])


def among(block: Array, events: Sequence[Array]) -> Array:
    """`events` among those of `block`, by `ts_ns`; at the same moment behind them."""
    if not events:
        return block
    places = np.searchsorted(block["ts_ns"], [_due(one) for one in events], side="right")
    rows = np.stack([one.view(np.uint8) for one in events])
    whole = np.insert(block.view(np.uint8).reshape(-1, RECORD_BYTES), places, rows, axis=0)
    return np.ascontiguousarray(whole).reshape(-1).view(RECORD)
