"""A venue of the sandbox: what server and control need to know of it, whatever protocol it speaks.

A venue is registered by one row of `engine.sandbox.server.VENUES`: a name, which instruments of the market it
lists, and a function that opens it as a `Site`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from aiohttp import web

from engine.contracts.errors import BadInput
from engine.contracts.instruments import Instrument
from engine.markets.dislocations import Dislocation
from engine.sandbox.api_keys import Key
from engine.sandbox.clock import Clock
from engine.sandbox.faults import Fault, Faults

NOT_LISTED: Final = 65535


class Stage(Protocol):
    """What a market is played to."""

    clock: Clock
    faults: Faults

    def play(self, events: Any, time_ms: int | None = None) -> None:
        """Let market events happen, shown as of the clock or (history) as of `time_ms`."""


class Playable(Protocol):
    """What can be played: a market of files (`engine.markets`), or of raw messages (`engine.sandbox.recorded`)."""

    @property
    def instruments(self) -> list[Instrument]:
        """What is traded; records name it by its place."""

    @property
    def from_ns(self) -> int:
        """Venue time of the first event."""

    @property
    def to_ns(self) -> int:
        """Venue time after the last."""

    @property
    def events(self) -> int:
        """How many there are."""

    @property
    def synthetic(self) -> bool:
        """Whether it never existed."""

    def blocks(self, max_records: int = 131_072) -> Iterator[Any]:
        """The events as RECORD arrays, in order of venue time."""


class Opening(NamedTuple):
    """What a venue is opened with: how many accounts, the quote asset each starts with, the seed, and what is laid
    over its market."""

    accounts: int
    cash: float
    seed: int
    dislocations: Sequence[Dislocation] = ()


@dataclass(frozen=True)
class Site:
    """A venue ready to be served.

    `apps` listen on a port each; `describe` turns their addresses ("host:port", by name) into the venue's part of
    the start line.
    `actions` are the faults that happen at once, `commands` what else the control endpoint can ask of this venue:
    each takes the request's JSON object and returns what is answered.
    """

    stage: Stage
    apps: Mapping[str, web.Application]
    describe: Callable[[Mapping[str, str]], dict[str, Any]]
    tasks: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()
    actions: Mapping[str, Callable[[Fault], None]] = field(default_factory=dict)
    commands: Mapping[str, Callable[[bytes], Any]] = field(default_factory=dict)


class Venue(NamedTuple):
    """A row of the table. An instrument may be listed by several venues, or by none: `lists` is told it and all of
    the market's."""

    name: str
    lists: Callable[[Instrument, Sequence[Instrument]], bool]
    open: Callable[[Sequence[Instrument], Opening], Site]


def open_sites(venues: Sequence[Venue], market: Playable, opening: Opening) -> dict[str, tuple[Site, tuple[int, ...]]]:
    """Every venue that has something to trade, by name, and the market's numbers of its instruments.
    Raises BadInput where none has."""
    found = {}
    for venue in venues:
        numbers = tuple(k for k, one in enumerate(market.instruments) if venue.lists(one, market.instruments))
        if numbers:
            found[venue.name] = venue.open([market.instruments[k] for k in numbers], opening), numbers
    if not found:
        raise BadInput(f"data: nothing in it is traded on {', '.join(venue.name for venue in venues)}")
    return found


class Hall:
    """Plays one market to all venues: each sees its own instruments under its own numbers."""

    def __init__(self, market: Playable, listed: Mapping[str, tuple[Site, tuple[int, ...]]]) -> None:
        self._stages: list[tuple[Stage, Any]] = []
        for site, numbers in listed.values():
            is_all = numbers == tuple(range(len(market.instruments)))
            table = np.full(NOT_LISTED + 1, NOT_LISTED, np.uint16)
            table[list(numbers)] = range(len(numbers))
            self._stages.append((site.stage, None if is_all else table))
        self.clock = self._stages[0][0].clock

    def play(self, events: Any, time_ms: int | None = None) -> None:
        """Let market events happen everywhere."""
        for stage, table in self._stages:
            if table is None:
                stage.play(events, time_ms)
                continue
            numbers = table[events["instrument"]]
            chosen = numbers != NOT_LISTED
            if chosen.any():
                part = events[chosen]
                part["instrument"] = numbers[chosen]
                stage.play(part, time_ms)


class KeyHolder(Protocol):
    """Somebody with API keys."""

    number: int
    keys: tuple[Key, ...]


def account_lines(accounts: Sequence[KeyHolder]) -> list[dict[str, Any]]:
    """The accounts with their keys, as the start line shows them."""
    return [
        {
            "account": account.number,
            "key": account.keys[0].api_key,
            "secret": account.keys[0].secret,
            "keys": [{"type": k.kind, "key": k.api_key, "secret": k.secret} for k in account.keys],
        }
        for account in accounts
    ]
