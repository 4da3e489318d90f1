"""Typed, bounded, documented numbers a person may set: of strategies, and of the selector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from engine.contracts.errors import BadInput


class Param(NamedTuple):
    """One parameter: default, inclusive bounds, unit, meaning. `whole` parameters take integers only."""

    name: str
    default: float
    low: float
    high: float
    unit: str
    meaning: str
    whole: bool = False


def resolve(owner: str, params: Sequence[Param], given: Mapping[str, float]) -> dict[str, float]:
    """Defaults overlaid with `given`. Raises BadInput naming `owner`'s parameter, its bounds or the nearest name."""
    known = {param.name: param for param in params}
    values = {param.name: param.default for param in params}
    for name, value in given.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise BadInput(f"{owner} has no parameter {name!r}; {hint}")
        param = known[name]
        if not param.low <= value <= param.high:  # NaN fails this too
            bounds = f"{param.low:g}..{param.high:g} {param.unit}".rstrip()
            raise BadInput(f"{owner}.{name} = {value} is outside {bounds} ({param.meaning})")
        if param.whole and value != int(value):
            raise BadInput(f"{owner}.{name} = {value} must be a whole number ({param.meaning})")
        values[name] = float(value)
    return values
