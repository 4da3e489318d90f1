"""Compiled doors to the simulated venue's memory: what happens at it, and what its book shows.

Rules
-----
* Where the market records no depth behind the touch, a book is modelled there whenever the touch moves: a spread
  apart, growing with the distance, each level with a size of its own that its price decides.
* The measure is the size the touch usually shows, not the one of this moment: its latest maximum, fading.
* Orders execute against what is shown, and against nothing else.
"""

from __future__ import annotations

from typing import Any, Final

from engine.contracts.records import FIRST_COMMAND, PATH, QUOTE
from engine.core.book import LEVELS
from engine.core.compile import i64, kernel
from engine.simulation.exchange import on_command, on_market
from engine.simulation.matching import level

FADING: Final = 64
"""The usual size of a touch loses this part of itself with each quote."""
GROWTH: Final = 2
"""Usual sizes that each further level shows more than the one before it."""
SPREADING: Final = 2_654_435_761
"""2**32 over the golden ratio: neighbouring prices get sizes far from each other's."""


@kernel
def modelled(usual: int, ticks: int, k: int) -> int:
    """Lots at the k-th level behind a touch: between half and three halves of what its distance asks for."""
    chance = ((ticks * SPREADING) & 0xFFFFFFFF) >> 24
    return max(usual * (1 + GROWTH * k) * (128 + chance) >> 8, 1)


@kernel
def deepen(book: Any) -> None:
    """Model what lies behind a new touch. Nobody reads the size of a recorded level 0 (the touch itself stands for
    it): there lies the usual size."""
    spread = max(book.ask_ticks - book.bid_ticks, 1)
    book.depth_bid_lots[0] = max(book.bid_lots, book.depth_bid_lots[0] - book.depth_bid_lots[0] // FADING)
    book.depth_ask_lots[0] = max(book.ask_lots, book.depth_ask_lots[0] - book.depth_ask_lots[0] // FADING)
    if book.depth_bid_ticks[0] != book.bid_ticks:
        book.depth_bid_ticks[0] = book.bid_ticks
        for k in range(1, LEVELS):
            ticks = max(book.bid_ticks - k * spread, 0)
            book.depth_bid_ticks[k] = ticks
            book.depth_bid_lots[k] = modelled(book.depth_bid_lots[0], ticks, k)
    if book.depth_ask_ticks[0] != book.ask_ticks:
        book.depth_ask_ticks[0] = book.ask_ticks
        for k in range(1, LEVELS):
            ticks = book.ask_ticks + k * spread
            book.depth_ask_ticks[k] = ticks
            book.depth_ask_lots[k] = modelled(book.depth_ask_lots[0], ticks, k)


@kernel(entry=True)
def happen(v: Any, records: Any) -> int:
    """Let market events and commands happen at the venue, in order, up to the first that it answers; returns how
    many happened. The answers wait in `v.replies`."""
    for k in range(records.shape[0]):
        if records[k].kind >= FIRST_COMMAND:
            on_command(v, records[k])
        else:
            on_market(v, records[k])
            if (records[k].kind == QUOTE or records[k].kind == PATH) and i64(records[k].instrument) < v.books.shape[0]:
                deepen(v.books[i64(records[k].instrument)])
        if v.head[0].replies_count > 0:
            return k + 1
    return int(records.shape[0])


def hand_in(venue: Any, command: Any, thin_lots: int | None) -> None:
    """Let an order happen. Where a fault says so, the side it takes from holds `thin_lots` lots at the touch and
    nothing behind while it does; then the book of this venue (one account's own) is what it was."""
    if thin_lots is None:
        happen(venue, command)
        return
    row, side = int(command["instrument"][0]), "ask" if int(command["side"][0]) > 0 else "bid"
    book, holding = venue.books[row], venue.holdings[row]
    kept, taken = book.copy(), int(holding[f"taken_{side}_lots"])
    book[f"{side}_lots"] = thin_lots
    book[f"depth_{side}_ticks"][0] = book[f"{side}_ticks"]
    book[f"depth_{side}_lots"][1:] = 0
    holding[f"taken_{side}_lots"] = 0
    happen(venue, command)
    venue.books[row] = kept
    holding[f"taken_{side}_lots"] += taken


@kernel(entry=True)
def read_book(v: Any, i: int, side: int, out: Any) -> int:
    """Write (ticks, lots) of the levels a taker of `side` would meet to `out` [levels, 2]; returns how many.

    The same levels that orders execute against.
    """
    book = v.books[i]
    count = 0
    if book.bid_ticks <= 0:
        return 0
    for k in range(out.shape[0]):
        ticks, lots = level(v, book, side, k)
        if ticks <= 0:
            break
        if lots > 0:
            out[count, 0] = ticks
            out[count, 1] = lots
            count += 1
    return count
