"""Tables of the settings file as the frozen structs the engine works with.

Raises ValueError throughout, as pydantic wants it, naming key, fault and fix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from engine.contracts.errors import BadInput
from engine.core.limits import Limits
from engine.core.selector import resolved
from engine.core.strategies.table import STRATEGIES
from engine.markets.feedmodel import FeedModel
from engine.signals.plan import SignalPlan, signal_plan
from engine.simulation.venue import SimulationModel
from engine.venues.plan import VenuePlan, venue_plan

T = TypeVar("T", Limits, SimulationModel, FeedModel)
P = TypeVar("P", bound=msgspec.Struct)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: the nearest known one, or all of them."""
    known = list(known)
    near = get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


def _floats(section: str, table: Any) -> dict[str, float]:
    """The table's values as floats. Raises ValueError naming the first key that is not a number."""
    if not isinstance(table, Mapping):
        raise ValueError(f"{section} must be a table of numbers, not {table!r}")
    numbers: dict[str, float] = {}
    for name, value in table.items():
        try:
            if isinstance(value, bool):
                raise ValueError
            numbers[name] = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{section}.{name} = {value!r} must be a number") from None
    return numbers


def numbers(section: str, kind: type[T], table: Any) -> T:
    """A bounded struct of the core from a settings table. Raises ValueError for unknown names and bad values."""
    if isinstance(table, kind):
        return table
    known = kind.__struct_fields__
    given = _floats(section, table)
    for name in given:
        if name not in known:
            raise ValueError(f"{section}.{name} is not a setting; {nearest(name, known)}")
    try:
        return msgspec.convert(given, kind, strict=False)  # 20.0 is 20 where the field counts something
    except BadInput as error:
        raise ValueError(str(error)) from None
    except msgspec.ValidationError as error:
        name = str(error).rpartition("$.")[2].rstrip("`")
        raise ValueError(f"{section}.{name} = {table[name]} must be a whole number") from None


def strategies(tables: Any) -> Mapping[str, Mapping[str, float]]:
    """Every strategy's parameters, defaults filled in and checked against the strategy's own bounds."""
    if not isinstance(tables, Mapping):
        raise ValueError(f"strategies must be tables such as [strategies.momentum], not {tables!r}")
    rows = {row.name: row for row in STRATEGIES}
    for name in tables:
        if name not in rows:
            raise ValueError(f"strategies.{name} is not a strategy; {nearest(name, rows)}")
    try:
        given = {name: _floats(f"strategies.{name}", tables.get(name, {})) for name in rows}
        resolved = {name: row.resolve(given[name]) for name, row in rows.items()}
    except BadInput as error:
        raise ValueError(f"strategies: {error}") from None
    return MappingProxyType(
        {name: MappingProxyType({k: float(v) for k, v in values.items()}) for name, values in resolved.items()}
    )


def selector(table: Any) -> Mapping[str, float]:
    """The selector's parameters, defaults filled in and checked against their bounds."""
    try:
        values = resolved(_floats("selector", table))
    except BadInput as error:
        raise ValueError(str(error)) from None
    return MappingProxyType({name: float(value) for name, value in values.items()})


def venues(tables: Any) -> Mapping[str, VenuePlan]:
    """Every venue's plan, in the order given. Raises ValueError naming table, key and fix."""
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise ValueError("venues must be tables such as [venues.binance]")
    try:
        return MappingProxyType({name: venue_plan(name, table) for name, table in tables.items()})
    except BadInput as error:
        raise ValueError(str(error)) from None


def signals(tables: Any) -> Mapping[str, SignalPlan]:
    """Every signal source's plan, in the order given. Raises ValueError naming table, key and fix."""
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise ValueError("signals must be tables such as [signals.reversion]")
    try:
        return MappingProxyType({name: signal_plan(name, table) for name, table in tables.items()})
    except BadInput as error:
        raise ValueError(str(error)) from None


def table(section: str, kind: type[P], value: Any, made: Callable[[Mapping[str, Any]], P] | None = None) -> P:
    """A bounded struct of any fields from its table; `made` builds it where `kind` alone cannot."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"{section} must be a table, not {value!r}")
    try:
        return made(value) if made else _plan(section, kind, value)
    except BadInput as error:
        raise ValueError(str(error)) from None


def _plan(section: str, kind: type[P], table: Mapping[str, Any]) -> P:
    known = kind.__struct_fields__
    for name in table:
        if name not in known:
            raise BadInput(f"{section}.{name} is not a setting; {nearest(name, known)}")
    try:
        return msgspec.convert(dict(table), kind, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, BadInput):
            raise error.__cause__ from None
        field = str(error).rpartition("$.")[2].rstrip("`")
        raise BadInput(f"{section}.{field}: {str(error).partition(' - at ')[0].lower()}") from None


def _path(kind: type[Any], value: Any) -> Any:
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise ValueError(f"expected a path, got {value!r}")
