"""What a person says about a signal source (``[signals.NAME]``): which class, its parameters, for whom it speaks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from engine.contracts.errors import BadInput
from engine.contracts.instruments import Instrument

# field: (default as text, meaning)
MEANINGS: Final[dict[str, tuple[str, str]]] = {
    "class": ("none", 'the class, as "package.module:Class"; the working directory is looked in too'),
    "symbols": ("all", "for which it forecasts: BTC/USDT, or venue:BTC/USDT; one source speaks for one instrument"),
    "parameters": ("none", "a table of what the class is made with: numbers, texts, truths, lists"),
    "delay_ms": ("250", "in a backtest: from the close of a bar to its forecast, 0 to 60,000"),
    "timeout_s": ("5", "in the engine: a class that takes longer for a bar is ended and begun anew, 0.1 to 60"),
}
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_CLASS: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_BOUNDS: Final = {"delay_ms": (0.0, 60_000.0, "ms"), "timeout_s": (0.1, 60.0, "s")}


class SignalPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """See `MEANINGS`. Raises BadInput naming the field and the fix."""

    name: str
    class_path: str = msgspec.field(name="class")
    symbols: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = {}
    delay_ms: float = 250.0
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        at = f"signals.{self.name}"
        if not _NAME.fullmatch(self.name):
            raise BadInput(f"{at}: the name of a signal source is lower case letters, digits and _, at most 32")
        if not _CLASS.fullmatch(self.class_path):
            raise BadInput(f"{at}.class = {self.class_path!r} must read like package.module:Class")
        if len(set(self.symbols)) != len(self.symbols):
            raise BadInput(f"{at}.symbols names one twice")
        for name in self.parameters:
            if not name.isidentifier():
                raise BadInput(f"{at}.parameters.{name}: write it as a Python argument is written")
        for name, (low, high, unit) in _BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:  # NaN fails this too
                raise BadInput(f"{at}.{name} = {value} is outside {low:g}..{high:,.0f} {unit}")

    def speaks_for(self, instruments: Sequence[Instrument]) -> list[int]:
        """The instruments it forecasts, by index."""
        wanted = set(self.symbols)
        return [
            i
            for i, one in enumerate(instruments)
            if not wanted or one.symbol in wanted or f"{one.venue}:{one.symbol}" in wanted
        ]


def signal_plan(name: str, table: Mapping[str, Any]) -> SignalPlan:
    """The plan of one table. Raises BadInput for an unknown key (with the nearest name) or a bad value."""
    at = f"signals.{name}"
    for key in table:
        if key not in MEANINGS:
            near = get_close_matches(key, MEANINGS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(MEANINGS)}"
            raise BadInput(f"{at}.{key} is not a setting; {hint}")
    given = {key: value for key, value in table.items() if value not in (None, "")}
    if "class" not in given:
        raise BadInput(f"{at}.class is missing; {MEANINGS['class'][1]}")
    if isinstance(symbols := given.get("symbols"), str):
        given["symbols"] = [one.strip() for one in symbols.split(",") if one.strip()]
    try:
        return msgspec.convert({"name": name, **given}, SignalPlan, strict=False)
    except BadInput:
        raise
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, BadInput):
            raise error.__cause__ from None
        field = str(error).rpartition("$.")[2].rstrip("`").partition("[")[0].partition(".")[0]
        wanted = str(error).partition(" - at ")[0].lower()
        raise BadInput(f"{at}.{field}: {wanted}; {MEANINGS.get(field, ('', ''))[1]}") from None


def owners(plans: Mapping[str, SignalPlan], instruments: Sequence[Instrument]) -> dict[str, list[int]]:
    """The instruments each source forecasts, by index. Raises BadInput where two speak for one."""
    found: dict[str, list[int]] = {name: plan.speaks_for(instruments) for name, plan in plans.items()}
    owner: dict[int, str] = {}
    for name, mine in found.items():
        for i in mine:
            if (other := owner.setdefault(i, name)) != name:
                raise BadInput(
                    f"signals.{other} and signals.{name} both speak for {instruments[i].symbol}; one source speaks for "
                    "one instrument: give them different symbols"
                )
    return found
