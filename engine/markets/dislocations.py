"""For a while one pair's book stands apart from what the other pairs say: the plan of when, which and how far.

Dislocations are SYNTHETIC and seeded: they are laid over a market that never existed, so that arbitrage has something
to find whose size, depth and end are known. They say nothing about how often real pairs disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from engine.contracts.errors import BadInput

MINUTE_NS: Final = 60_000_000_000
PAUSE_NS: Final = 250_000_000
"""Between two of them, so that at most one stands at a time."""


class Dislocation(NamedTuple):
    """The book of `symbol` stands `bps` above (below, where negative) the rest from `start_ns` to `end_ns` of market
    time. The touch that is too good shows `depth_usd`, about; when so much was taken, the dislocation is over."""

    symbol: str
    start_ns: int
    end_ns: int
    bps: float
    depth_usd: float


@dataclass(frozen=True)
class Dislocating:
    """How often (`per_minute`, 0: never), how far (half to one and a half times `bps`), how long, how deep."""

    per_minute: float = 0.0
    bps: float = 60.0
    duration_ms: int = 2_000
    depth_usd: float = 1_000.0

    def __post_init__(self) -> None:
        """Raises BadInput for what is out of bounds."""
        if not 0 <= self.per_minute <= 60:  # NaN fails this too
            raise BadInput(f"dislocations = {self.per_minute} a minute must lie in 0..60")
        if not 1 <= self.bps <= 1_000 or not 50 <= self.duration_ms <= 60_000 or not 1 <= self.depth_usd <= 1e7:
            raise BadInput(
                f"dislocations: {self.bps} bps must lie in 1..1000, {self.duration_ms} ms in 50..60000, "
                f"{self.depth_usd} dollars in 1..10000000"
            )


def plan(symbols: Sequence[str], how: Dislocating, *, seed: int, from_ns: int, to_ns: int) -> list[Dislocation]:
    """The dislocations of a stretch of market time, one after the other; the same seed gives the same ones.

    `symbols` are those it may happen to. Raises BadInput where there is none but some are wanted.
    """
    if how.per_minute == 0:
        return []
    if not symbols:
        raise BadInput("dislocations: no three pairs of the market join three assets; see --symbols")
    names = sorted(symbols)
    stream = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, len(names)])))
    length = how.duration_ms * 1_000_000
    count = round(max(to_ns - from_ns, 0) / MINUTE_NS * how.per_minute)
    made, free_ns = [], from_ns
    for start in np.sort(stream.integers(from_ns, max(to_ns, from_ns + 1), count)).tolist():
        start_ns = max(start, free_ns)
        name = names[int(stream.integers(len(names)))]
        bps = how.bps * float(stream.uniform(0.5, 1.5)) * (1 if stream.random() < 0.5 else -1)
        if start_ns + length <= to_ns:
            made.append(Dislocation(name, start_ns, start_ns + length, bps, how.depth_usd))
            free_ns = start_ns + length + PAUSE_NS
    return made
