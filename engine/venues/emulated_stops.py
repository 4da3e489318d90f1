"""Stops for venues that have none: held here, fired once as an ordinary order when the venue's price gets there.

Rules
-----
* A stop held here protects only while this process lives and hears the venue: whoever places one is told so.
* It fires on the venue's own quotes and trades: a sell stop when somebody pays no more than the trigger (best bid or
  a trade at or below it), a buy stop when nobody sells for less. Never twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from engine.contracts.records import BUY


class HeldStop(NamedTuple):
    """A stop that waits. `order` is what the holder needs to send it."""

    client_id: int
    instrument: int
    side: int
    trigger_ticks: int
    order: Any


class EmulatedStops:
    """The stops held for one venue. `fire` gets each stop once, when its price is reached."""

    def __init__(self) -> None:
        self.fire: Callable[[HeldStop], None] = lambda stop: None
        self._held: dict[int, dict[int, HeldStop]] = {}
        self._touch: dict[int, tuple[int, int]] = {}

    def would_trigger(self, instrument: int, side: int, trigger_ticks: int) -> bool:
        """Whether the price is there already: exchanges refuse such a stop."""
        touch = self._touch.get(instrument)
        if touch is None:
            return False
        return touch[1] >= trigger_ticks if side == BUY else touch[0] <= trigger_ticks

    def hold(self, stop: HeldStop) -> None:
        """Watch the price for it from now on."""
        self._held.setdefault(stop.instrument, {})[stop.client_id] = stop

    def drop(self, client_id: int) -> HeldStop | None:
        """Take a stop back; None where none is held under that id."""
        for stops in self._held.values():
            if client_id in stops:
                return stops.pop(client_id)
        return None

    def find(self, client_id: int) -> HeldStop | None:
        """The stop held under that id."""
        return next((stops[client_id] for stops in self._held.values() if client_id in stops), None)

    def all(self) -> list[HeldStop]:
        """Every stop held."""
        return [stop for stops in self._held.values() for stop in stops.values()]

    def touch(self, instrument: int) -> tuple[int, int]:
        """Best bid and ask heard last; zeros before the first."""
        return self._touch.get(instrument, (0, 0))

    def quoted(self, instrument: int, bid_ticks: int, ask_ticks: int) -> None:
        """The venue's best prices."""
        self._touch[instrument] = (bid_ticks, ask_ticks)
        if self._held.get(instrument):
            self._fire(instrument, bid_ticks, ask_ticks)

    def traded(self, instrument: int, price_ticks: int) -> None:
        """A trade at the venue."""
        if self._held.get(instrument):
            self._fire(instrument, price_ticks, price_ticks)

    def _fire(self, instrument: int, low_ticks: int, high_ticks: int) -> None:
        stops = self._held[instrument]
        reached = [
            stop for stop in stops.values()
            if (high_ticks >= stop.trigger_ticks if stop.side == BUY else low_ticks <= stop.trigger_ticks)
        ]  # fmt: skip
        for stop in reached:
            del stops[stop.client_id]
            self.fire(stop)
