"""A user's class, found, made and looked at: what is wrong with it is said before anything depends on it."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from engine.contracts.errors import BadInput
from engine.contracts.signals import SignalSource
from engine.signals.foreign import called
from engine.signals.plan import SignalPlan

LONGEST_S: Final = 7 * 86_400
MOST_BARS: Final = 100_000


class Loaded:
    """A class and its parameters. `digest` (int64, never 0) names both: it stands in every forecast."""

    def __init__(self, plan: SignalPlan, kind: Callable[..., SignalSource]) -> None:
        self.plan = plan
        self._kind = kind
        self.digest = digest_of(plan, kind)
        made = self.new()
        self.timeframe_s = _whole(plan, made, "timeframe_s", LONGEST_S)
        self.lookback = _whole(plan, made, "lookback", MOST_BARS)

    @property
    def text(self) -> str:
        """Class, parameters and digest, for people."""
        return f"{self.plan.class_path}({_shown(self.plan)}) {self.digest & 0xFFFF_FFFF_FFFF_FFFF:016x}"

    def new(self) -> SignalSource:
        """A fresh instance. Raises BadInput where it cannot be made with the parameters."""
        plan = self.plan
        made = called(lambda: self._kind(**plan.parameters), f"signals.{plan.name}: {plan.class_path}({_shown(plan)})")
        if not callable(getattr(made, "on_bar", None)):
            raise BadInput(f"signals.{plan.name}: {plan.class_path} has no method on_bar(bar, history)")
        return made


def load(plan: SignalPlan) -> Loaded:
    """Import and try the class of a plan. Raises BadInput naming what is missing."""
    module_name, _, name = plan.class_path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # the command is a script elsewhere: the user's own modules lie where it was called
        sys.path.insert(0, here)
    at = f"signals.{plan.name}.class = {plan.class_path}"
    module = called(lambda: _imported(module_name), f"{at}: its import")
    if isinstance(module, str):
        raise BadInput(f"{at}: {module}")
    kind: Any = getattr(module, name, None)
    if not isinstance(kind, type):
        classes = [n for n, one in vars(module).items() if inspect.isclass(one) and one.__module__ == module_name]
        raise BadInput(f"{at}: {module_name} has no class {name}; it has {', '.join(classes) or 'none'}")
    return Loaded(plan, cast(Callable[..., SignalSource], kind))


def _imported(name: str) -> ModuleType | str:
    """The module, or what is not there."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            return f"there is no module {missing} in {Path.cwd()} or on PYTHONPATH"
        return f"its module needs {missing}, which is not installed"


def digest_of(plan: SignalPlan, kind: Callable[..., Any]) -> int:
    """Of the file the class stands in, its name and its parameters; what it imports or reads is not in it."""
    digest = hashlib.blake2b(digest_size=8)
    source = inspect.getsourcefile(kind)
    digest.update(Path(source).read_bytes() if source else b"")
    digest.update(json.dumps([plan.class_path, dict(plan.parameters)], sort_keys=True, default=str).encode())
    return int.from_bytes(digest.digest(), "little", signed=True) or 1


def _whole(plan: SignalPlan, made: SignalSource, name: str, most: int) -> int:
    value = getattr(made, name, None)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise BadInput(
            f"signals.{plan.name}: {plan.class_path}.{name} = {value!r} must be a whole number, 1 to {most:,}"
        )
    return value


def _shown(plan: SignalPlan) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in plan.parameters.items())
