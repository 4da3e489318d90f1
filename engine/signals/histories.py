"""Closed bars by instrument, as a source sees them: arrays that end where its knowledge does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from engine.contracts.instruments import Instrument
from engine.contracts.signals import BARS, Bar

Array = np.ndarray[Any, Any]
_FIRST_ROOM: Final = 64


class Scale(NamedTuple):
    """From the core's integers to a person's numbers."""

    per_unit: float  # ticks in one quote unit
    lot: float  # base units
    tick_lot: float  # quote units


def scale_of(one: Instrument) -> Scale:
    """Prices are divided, so that 12345 ticks of a hundredth are 123.45 and not its neighbour."""
    return Scale(float(1 / one.tick_size), float(one.lot_size * one.contract_size), float(one.tick_lot_e8) / 1e8)


def row_of(closing: Any, scale: Scale) -> tuple[int, float, float, float, float, float, float]:
    """One `CLOSING` as a row of `BARS`."""
    return (
        int(closing["start_ns"]),
        int(closing["open_ticks"]) / scale.per_unit,
        int(closing["high_ticks"]) / scale.per_unit,
        int(closing["low_ticks"]) / scale.per_unit,
        int(closing["close_ticks"]) / scale.per_unit,
        int(closing["volume_lots"]) * scale.lot,
        float(closing["turnover"]) * scale.tick_lot,
    )


class Histories:
    """The last `lookback` closed bars of each instrument."""

    def __init__(self, instruments: Sequence[tuple[str, str]], timeframe_s: int, lookback: int) -> None:
        """`instruments`: venue and symbol of each."""
        self._names = list(instruments)
        self._width_ns = timeframe_s * 1_000_000_000
        self._lookback = lookback
        self._rooms = [np.zeros(0, BARS) for _ in instruments]
        self._counts = [0] * len(instruments)
        self._numbers: dict[str, int] = {}
        for i, (venue, symbol) in enumerate(instruments):
            self._numbers[f"{venue}:{symbol}"] = i
            self._numbers.setdefault(symbol, i)

    def append(self, i: int, row: Any) -> None:
        """One more closed bar of an instrument. Arrays handed out before stay as they are."""
        room, count = self._rooms[i], self._counts[i]
        if count == len(room):
            kept = room[max(0, count - self._lookback + 1) : count]
            room = np.zeros(max(_FIRST_ROOM, 2 * len(kept)), BARS)
            room[: len(kept)] = kept
            self._rooms[i], count = room, len(kept)
        room[count] = row
        self._counts[i] = count + 1

    def forget(self, i: int) -> None:
        """The bars of an instrument begin anew."""
        self._rooms[i], self._counts[i] = np.zeros(0, BARS), 0

    def bars(self, i: int) -> Array:
        """`BARS` of an instrument, the latest last, read-only."""
        count = self._counts[i]
        view = self._rooms[i][max(0, count - self._lookback) : count]
        view.flags.writeable = False
        return view

    def latest(self, i: int) -> tuple[Bar, Seen]:
        """What a source is shown when this instrument's last bar closed."""
        bars = self.bars(i)
        start_ns, *numbers = bars[-1].item()
        return Bar(*self._names[i], start_ns, start_ns + self._width_ns, *numbers), Seen(self, i, bars)

    def number_of(self, symbol: str, venue: str) -> int:
        """The instrument a source means, at that venue first. Raises KeyError."""
        found = self._numbers.get(f"{venue}:{symbol}", self._numbers.get(symbol))
        if found is None:
            raise KeyError(f"{symbol} is not traded; there are {', '.join(sorted(name for _, name in self._names))}")
        return found

    def venue_of(self, i: int) -> str:
        """The venue of an instrument."""
        return self._names[i][0]


class Seen:
    """A `History`: good for the one call it is made for."""

    def __init__(self, histories: Histories, i: int, bars: Array) -> None:
        self._histories = histories
        self._i = i
        self.bars = bars

    def of(self, symbol: str) -> Array:
        """See `History.of`."""
        there = self._histories
        return there.bars(there.number_of(symbol, there.venue_of(self._i)))
