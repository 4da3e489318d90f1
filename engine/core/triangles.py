"""Ways around three spot pairs of one venue that begin and end in the same cash, found from the list of instruments.

Rules
-----
* A leg buys or sells a pair; the three assets are different. The first pays with cash, the last returns to it.
* Every coin on the way has a *home*: a pair of that venue that sells it for cash. What a cycle leaves behind is sold
  there (`engine.core.legs`). A coin without one is on no way.
* Rows are in the order of their legs' `tie_break`: the order of instruments in a file changes nothing.
* Ways that differ only in where they begin have the same `ring`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from engine.contracts.instruments import Instrument

Array = np.ndarray[Any, Any]
NONE: Final = -1

TRIANGLE: Final = np.dtype(
    (
        np.record,
        [
            ("legs", "<i8", (3,)),  # instruments
            ("sides", "<i8", (3,)),
            ("pegs", "<i8", (3,)),  # the pair that prices each asset on the way that should be worth a dollar
            ("start_asset", "<i8"),
            ("ring", "<i8"),
            ("desk", "<i8"),  # the venue's first instrument: what is learned about the venue lies in its row
        ],
    )
)

Edges = Mapping[str, Mapping[str, tuple[int, int]]]
"""asset paid with -> asset bought -> (instrument, side)."""


class Way(NamedTuple):
    """A triangle before it is laid flat."""

    legs: tuple[int, int, int]
    sides: tuple[int, int, int]
    assets: tuple[str, str, str]


def homes(instruments: Sequence[Instrument], ranks: Sequence[int], cash: frozenset[str], booking: str) -> list[int]:
    """For each instrument the pair of its venue that sells its base for cash: the one in the booking asset, else the
    first by rank; NONE for perpetuals, and where the base is cash itself. `cash`: assets that count as dollars here."""
    best: dict[tuple[str, str], tuple[bool, int, int]] = {}
    for i, one in enumerate(instruments):
        if one.kind == "spot" and one.quote in cash and one.base not in cash:
            mine = (one.quote != booking, ranks[i], i)
            best[one.venue, one.base] = min(best.get((one.venue, one.base), mine), mine)
    none = (True, 0, NONE)
    return [best.get((one.venue, one.base), none)[2] if one.kind == "spot" else NONE for one in instruments]


def find(
    instruments: Sequence[Instrument], ranks: Sequence[int], cash: frozenset[str], home: Sequence[int]
) -> tuple[Array, Array, Array]:
    """(triangles, first, touching): row `touching[k]` has a leg in instrument `i` for `first[i] <= k < first[i+1]`."""
    ways = [way for venue in dict.fromkeys(one.venue for one in instruments) for way in _ways(instruments, venue, cash)]
    homed = {(instruments[i].venue, instruments[i].base) for i in range(len(instruments)) if home[i] >= 0}
    ways = [
        way for way in ways
        if all(asset in cash or (instruments[way.legs[0]].venue, asset) in homed for asset in way.assets)
    ]  # fmt: skip
    ways.sort(key=lambda way: [(ranks[i], side) for i, side in zip(way.legs, way.sides, strict=True)])
    names = sorted({one.base for one in instruments} | {one.quote for one in instruments})
    rings: dict[frozenset[tuple[int, int]], int] = {}
    rows = np.zeros(len(ways), TRIANGLE)
    for row, way in zip(rows, ways, strict=True):
        venue = instruments[way.legs[0]].venue
        row["legs"], row["sides"] = way.legs, way.sides
        row["pegs"] = [_peg(instruments, ranks, venue, asset, cash) for asset in way.assets]
        row["ring"] = rings.setdefault(frozenset(zip(way.legs, way.sides, strict=True)), len(rings))
        row["start_asset"] = names.index(way.assets[0])
        row["desk"] = min((i for i, one in enumerate(instruments) if one.venue == venue), key=lambda i: ranks[i])
    return rows, *_touching(rows, len(instruments))


def _ways(instruments: Sequence[Instrument], venue: str, cash: frozenset[str]) -> Iterator[Way]:
    edges: dict[str, dict[str, tuple[int, int]]] = {}
    for i, one in enumerate(instruments):
        if one.venue == venue and one.kind == "spot":
            edges.setdefault(one.quote, {}).setdefault(one.base, (i, 1))
            edges.setdefault(one.base, {}).setdefault(one.quote, (i, -1))
    for start in sorted(cash & edges.keys()):
        for first, leg in edges[start].items():
            for second, over in edges[first].items():
                back = edges[second].get(start)
                if back is not None and second != start:
                    legs, sides = zip(leg, over, back, strict=True)
                    yield Way(legs, sides, (start, first, second))


def _peg(
    instruments: Sequence[Instrument], ranks: Sequence[int], venue: str, asset: str, cash: frozenset[str]
) -> int:
    """The pair that prices a stablecoin in another dollar, at its venue where there is one; NONE for coins."""
    if asset not in cash:
        return NONE
    own = [i for i, one in enumerate(instruments) if one.base == asset and one.quote in cash and one.kind == "spot"]
    return min(own, key=lambda i: (instruments[i].venue != venue, ranks[i]), default=NONE)


def _touching(rows: Array, n: int) -> tuple[Array, Array]:
    by_instrument: list[list[int]] = [[] for _ in range(n)]
    for number, row in enumerate(rows):
        for i in row["legs"].tolist():
            by_instrument[i].append(number)
    first = np.zeros(n + 1, np.int64)
    first[1:] = np.cumsum([len(some) for some in by_instrument])
    return first, np.array([number for some in by_instrument for number in some], np.int64)
