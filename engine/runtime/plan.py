"""What a person says about the live engine itself (``[runtime]``)."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from engine.contracts.errors import BadInput
from engine.core.bars import TIMEFRAMES
from engine.core.strategies.table import STRATEGIES

# name: (default, lowest, highest, unit, meaning)
BOUNDS: Final[dict[str, tuple[float, float, float, str, str]]] = {
    "market_queue": (16_384, 1_024, 1_048_576, "events", "market data that may wait; past 3/4 only the newest"),
}
MEANINGS: Final[dict[str, str]] = {
    "timeframes_s": f"lengths of the {TIMEFRAMES} bars the strategies see, rising, in seconds",
    "strategies": "which strategies trade; their parameters are in [strategies.NAME]",
    "warm_up": "read recent candles from the venues first, so that strategies need not wait for their bars",
}


class RuntimePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """See `BOUNDS` and `MEANINGS`. Raises BadInput naming the field and the fix."""

    timeframes_s: tuple[int, ...] = (300, 900, 3600)
    strategies: tuple[str, ...] = ("momentum",)
    market_queue: int = 16_384
    warm_up: bool = True

    def __post_init__(self) -> None:
        for name, (_, low, high, unit, meaning) in BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:  # NaN fails this too
                raise BadInput(f"runtime.{name} = {value} is outside {low:g}..{high:g} {unit} ({meaning})")
        lengths = self.timeframes_s
        if len(lengths) != TIMEFRAMES or sorted(set(lengths)) != list(lengths) or not 1 <= lengths[0]:
            raise BadInput(f"runtime.timeframes_s = {list(lengths)}: {TIMEFRAMES} rising lengths in seconds are needed")
        if lengths[-1] > 7 * 86_400:
            raise BadInput(f"runtime.timeframes_s = {list(lengths)}: the longest is a week, 604800")
        known = [row.name for row in STRATEGIES]
        for strategy in self.strategies:
            if strategy not in known:
                near = get_close_matches(strategy, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise BadInput(f"runtime.strategies: {strategy} is not a strategy; {hint}")
        if not self.strategies or len(set(self.strategies)) != len(self.strategies):
            raise BadInput("runtime.strategies must name at least one strategy, none twice")


def runtime_plan(table: Mapping[str, Any]) -> RuntimePlan:
    """The plan of the table; texts such as ``"300,900,3600"`` count as what they say. Raises BadInput."""
    given = dict(table)
    for name in given:
        if name not in RuntimePlan.__struct_fields__:
            near = get_close_matches(name, RuntimePlan.__struct_fields__, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(RuntimePlan.__struct_fields__)}"
            raise BadInput(f"runtime.{name} is not a setting; {hint}")
    for name in ("timeframes_s", "strategies"):
        if isinstance(value := given.get(name), str):
            given[name] = [one.strip() for one in value.split(",") if one.strip()]
    try:
        return msgspec.convert(given, RuntimePlan, strict=False)
    except BadInput:
        raise
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, BadInput):
            raise error.__cause__ from None
        field = str(error).rpartition("$.")[2].rstrip("`").partition("[")[0]
        raise BadInput(f"runtime.{field} = {given.get(field)!r}: {str(error).partition(' - at ')[0].lower()}") from None
