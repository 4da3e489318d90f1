"""Self-trade prevention: what becomes of a taker that would meet resting orders of its own account.

Rules
-----
* The mode of the taker decides. EXPIRE_MAKER ends what rests, EXPIRE_TAKER what is left of the taker when it comes
  there, EXPIRE_BOTH both; DECREMENT takes the smaller quantity from both; NONE lets the taker pass.
* An own order is met once the book shows too little at better prices; at the same price it stands before the book.
* All of it is settled before anything fills.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

NONE: Final = "NONE"
EXPIRE_TAKER: Final = "EXPIRE_TAKER"
EXPIRE_MAKER: Final = "EXPIRE_MAKER"
EXPIRE_BOTH: Final = "EXPIRE_BOTH"
DECREMENT: Final = "DECREMENT"
ENDED: Final = "EXPIRED_IN_MATCH"
"""Status of an order of which nothing is left because of it."""


class Meeting(NamedTuple):
    """A taker would trade `lots` with `maker`; what either side loses instead (0: that side loses nothing)."""

    maker: Any
    lots: int
    taker_lots: int
    maker_lots: int


class Settlement(NamedTuple):
    """What is prevented, the lots of the taker that may still go to the book, and whether the rest of it has ended."""

    meetings: list[Meeting]
    lots: int
    is_ended: bool


@dataclass(frozen=True, slots=True)
class PreventedMatch:
    """A self-trade of `lots` that did not happen, as the exchange remembers it, and what either side lost."""

    match_id: int
    symbol: int
    taker_id: int
    maker_id: int
    mode: str
    ticks: int
    lots: int
    taker_lots: int
    maker_lots: int
    time_ms: int


def resting(orders: Iterable[Any], symbol: int, side: int, limit_ticks: int) -> list[Any]:
    """Own orders a taker of `side` can reach, best first; `limit_ticks` 0 reaches all."""
    found = [
        order for order in orders
        if order.symbol == symbol and order.side == -side and order.is_resting
        and (limit_ticks == 0 or (order.ticks - limit_ticks) * side <= 0)
    ]  # fmt: skip
    return sorted(found, key=lambda order: (order.ticks * side, order.order_id))


def settle(
    mode: str, makers: Sequence[Any], side: int, lots: int, levels: Sequence[tuple[int, int]], gone: int
) -> Settlement | None:
    """What prevention does to a taker of `lots`; None where it meets none of `makers` (best first). `levels` are what
    the book shows it (ticks, lots), of which `gone` lots are taken already."""
    meetings: list[Meeting] = []
    left = lots  # of the taker, as far as it is not prevented
    for maker in makers if mode != NONE else ():
        shown = sum(count for ticks, count in levels if (maker.ticks - ticks) * side > 0)
        before = max(shown - gone, 0)
        if before >= left:
            break
        same = min(left - before, maker.left_lots)
        if mode in (EXPIRE_TAKER, EXPIRE_BOTH):
            meetings.append(Meeting(maker, same, left - before, maker.left_lots if mode == EXPIRE_BOTH else 0))
            return Settlement(meetings, before, True)
        if mode == EXPIRE_MAKER:
            meetings.append(Meeting(maker, same, 0, maker.left_lots))
            continue
        meetings.append(Meeting(maker, same, same, same))
        left -= same
        if left == before:
            return Settlement(meetings, before, True)
    return Settlement(meetings, left, False) if meetings else None
