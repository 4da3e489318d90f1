"""What everybody can see of a venue's market, whoever keeps it: the side of an exchange that the public calls and
streams are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from engine.contracts import records as r
from engine.sandbox.api_keys import Key
from engine.sandbox.clock import Clock
from engine.sandbox.faults import Faults
from engine.sandbox.tape import Tape, Trade

Levels = list[tuple[int, int]]
BOOK_LEVELS: Final = 20
"""Most levels a side of a book shows."""


class Customers(Protocol):
    """Who trades there."""

    def by_key(self, api_key: str) -> tuple[Any, Key] | None:
        """The account of a key and the key; None for an unknown or revoked one."""


class Show(Protocol):
    """Tapes, clock, faults, and who wants to be told when something changes."""

    clock: Clock
    faults: Faults
    on_quote: list[Callable[[Tape], None]]
    on_trade: list[Callable[[Tape, Trade], None]]
    on_book: list[Callable[[Tape, Levels, Levels], None]]

    @property
    def tapes(self) -> Sequence[Tape]:
        """All symbols, by number."""

    @property
    def by_name(self) -> Mapping[str, Tape]:
        """All symbols, by the venue's name for them."""

    @property
    def accounts(self) -> Customers:
        """The customers."""

    def levels(self, tape: Tape, side: int) -> Levels:
        """(ticks, lots) a taker of `side` meets, best first: asks for +1, bids for -1."""


_COLUMNS: Final = (
    "kind", "instrument", "side", "level", "bits", "client_id", "price_ticks", "qty_lots", "trigger_ticks", "ref_id"
)  # fmt: skip


def announce(show: Show, events: Any, now: int) -> None:
    """Write market events to the tapes as of `now` (ms), and tell everybody who listens."""
    for kind, index, side, level, bits, w0, w1, w2, w3, w4 in zip(
        *(events[name].tolist() for name in _COLUMNS), strict=True
    ):
        if index >= len(show.tapes):
            continue
        tape = show.tapes[index]
        shown, trade = False, None
        if kind == r.QUOTE:
            shown = tape.quote(w0, w1, w2, w3, now, w4)
        elif kind == r.DEPTH and level == 0:
            shown = tape.quote(w0, w1, w2, w3, now)
        elif kind == r.TRADE:
            trade = tape.trade(w1, w2, side, now, w4)
        elif kind == r.PATH:
            bid = w1 - (max(w3, 1) >> 1)
            shown = tape.quote(bid, w4, bid + max(w3, 1), w4, now)
            trade = tape.trade(w1, w2, 0, now)
        elif kind == r.DEPTH and bits & r.LAST:
            tape.update_id += 1
        if shown:
            for quoted in show.on_quote:
                quoted(tape)
        if trade is not None:
            for traded in show.on_trade:
                traded(tape, trade)
