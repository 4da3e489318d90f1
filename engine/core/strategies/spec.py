"""What a strategy declares about itself: typed, bounded, documented parameters and its memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from engine.contracts.errors import BadInput
from engine.core.parameters import Param, resolve

__all__ = ["EXECUTION", "Param", "Strategy"]

EXECUTION: Final = (
    Param("entry_patience_s", 0, 0, 3600, "s", "how long an entry rests at our own touch; 0: taken at once or not"),
    Param("post_only", 0, 0, 1, "", "1: a resting entry never takes; one that would counts as priced anew", True),
    Param("reprices", 0, 0, 100, "times", "how often a resting entry is priced anew before the rest is taken", True),
)
"""How entries are executed: parameters of every strategy."""


class Strategy(NamedTuple):
    """A row of the strategy table.

    `on_bar(s, out, i, closed_mask)` is called when instrument `i` closed bars (bit k: timeframe k);
    `on_tick(s, out, i)` on every price of an instrument in which this strategy holds a position. `forget(s, i)` begins
    the indicators anew (not what it knows of a position): bars that do not continue the ones before follow.
    """

    number: int
    name: str
    title: str
    params: tuple[Param, ...]
    state: np.dtype[Any]
    on_bar: Callable[..., None]
    on_tick: Callable[..., None]
    forget: Callable[..., None]
    rising: tuple[tuple[str, str], ...] = ()  # pairs of parameters of which the first must be the smaller
    on_price: Callable[..., None] | None = None  # (s, out, i, kind): on every price of every instrument; fast or absent
    tier: int = 2  # 1 bears least risk, 3 most: caps the share of the risk budget the selector may give

    @property
    def params_dtype(self) -> np.dtype[Any]:
        """The parameters as one record of float64, in the order declared."""
        return np.dtype((np.record, [(param.name, "<f8") for param in self.params]))

    def resolve(self, given: dict[str, float]) -> dict[str, float]:
        """Defaults overlaid with `given`. Raises BadInput naming the parameter, its bounds or the nearest name."""
        values = resolve(self.name, self.params, given)
        for low, high in self.rising:
            if not values[low] < values[high]:
                raise BadInput(f"{self.name}.{low} = {values[low]:g} must be below {high} = {values[high]:g}")
        return values
