"""A recorded market as it is heard when somebody plays it: the same events, dated by the clock they were played by.

A backtest of it can be held against what was traded on the playing. Sources and files stay those of the recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from engine.contracts.errors import BadInput
from engine.contracts.instruments import Instrument
from engine.contracts.records import NO_INSTRUMENT, RECORD, RECORD_BYTES

Array = np.ndarray[Any, Any]


class Played(NamedTuple):
    """How a recording was played: its moment `market_ns` at the moment `wire_ns` of the clock on the wire, and from
    there on `speed` seconds of it each second. What lies before `market_ns` was not played."""

    market_ns: int
    wire_ns: int
    speed: float

    def on_the_wire(self, market_ns: Array) -> Array:
        """When events of the recording were played, ns: never before their time, in the same order."""
        passed = np.asarray(market_ns, np.int64) - self.market_ns
        if self.speed == 1.0:
            return passed + self.wire_ns
        return np.ceil(passed / self.speed).astype(np.int64) + self.wire_ns


class Recording(Protocol):
    """What is needed of a market."""

    @property
    def instruments(self) -> list[Instrument]:
        """The index is the `instrument` of the records."""

    def blocks(self, max_records: int = ...) -> Iterator[Array]:
        """RECORD arrays in the order of venue time."""


@dataclass(frozen=True)
class Retimed:
    """Made by `retime`. `instruments` and `blocks` as a `Market` has them."""

    instruments: list[Instrument]
    _recording: Recording
    _played: Played
    _latency_ns: int
    _numbers: Array

    def blocks(self, max_records: int = 131_072) -> Iterator[Array]:
        """Fresh RECORD arrays in the order they were played; at most `max_records` in each."""
        for block in self._recording.blocks(max_records):
            numbers = self._numbers[block["instrument"]]
            chosen = (numbers != NO_INSTRUMENT) & (block["venue_ts_ns"] >= self._played.market_ns)
            if not chosen.any():
                continue
            rows = block.view(np.uint8).reshape(-1, RECORD_BYTES)[chosen]
            out = rows.reshape(-1).view(RECORD)
            out["instrument"] = numbers[chosen]
            out["venue_ts_ns"] = self._played.on_the_wire(out["venue_ts_ns"])
            out["ts_ns"] = out["venue_ts_ns"] + self._latency_ns
            yield out


def retime(
    recording: Recording,
    played: Played,
    *,
    instruments: Sequence[Instrument] | None = None,
    latency_ns: int = 0,
) -> Retimed:
    """`recording` as it was `played`, heard `latency_ns` later.

    `instruments`, as whoever listened had them (other venue name, fees, order), replace the recording's: events find
    theirs by symbol, and those of other symbols are left out. Raises BadInput for a speed that is not positive, a
    negative latency, a symbol that is twice there or not in the recording, or one with another tick or lot.
    """
    if not 0.0 < played.speed <= 1e6 or latency_ns < 0:  # NaN fails this too
        raise BadInput(f"speed = {played.speed} must lie above 0 and up to 1e6, latency_ns = {latency_ns} not below 0")
    listed = list(recording.instruments if instruments is None else instruments)
    numbers = np.full(NO_INSTRUMENT + 1, NO_INSTRUMENT, np.uint16)
    by_symbol = {one.symbol: number for number, one in enumerate(listed)}
    if len(by_symbol) != len(listed):
        raise BadInput("instruments: a symbol is there twice; retime the recording of each venue by itself")
    for old, one in enumerate(recording.instruments):
        number = by_symbol.pop(one.symbol, None)
        if number is None:
            continue
        mine = listed[number]
        if (mine.tick_size, mine.lot_size, mine.contract_size) != (one.tick_size, one.lot_size, one.contract_size):
            raise BadInput(
                f"{one.symbol}: tick {one.tick_size}, lot {one.lot_size} in the recording, tick {mine.tick_size}, lot "
                f"{mine.lot_size} on the wire; open the recording with the instruments of the wire"
            )
        numbers[old] = number
    if by_symbol:
        raise BadInput(f"instruments: {', '.join(by_symbol)} is not in the recording")
    return Retimed(listed, recording, played, latency_ns, numbers)
