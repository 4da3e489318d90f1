"""Calls into a user's code: whatever it raises becomes a sentence that says what was wrong, and where."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from traceback import extract_tb
from typing import Any, TypeVar

from engine.contracts.errors import BadInput
from engine.contracts.signals import MOST_VALID_S, MOST_VALUE, Bar, Forecast, History, SignalSource

T = TypeVar("T")


def called(call: Callable[[], T], what: str) -> T:
    """`call()`. Raises BadInput saying that `what` failed, with the place of whatever it raised."""
    try:
        return call()
    except Exception as error:  # foreign code may raise anything
        frames = extract_tb(error.__traceback__)
        place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        raise BadInput(f"{what} failed{place}: {type(error).__name__}: {error}") from error


def ask(source: SignalSource, bar: Bar, history: History) -> Forecast | None:
    """What it expects, in plain floats; None where it has no opinion. Raises BadInput where it failed, or where its
    answer is no `Forecast`, not finite or out of bounds: nothing of such an answer is used."""
    return judged(called(lambda: source.on_bar(bar, history), "on_bar"))


def judged(answer: Any) -> Forecast | None:
    """The answer as plain floats; None where there is no opinion. Raises BadInput saying what is wrong with it."""
    if answer is None:
        return None
    if not isinstance(answer, Forecast):
        raise BadInput(f"on_bar returned {type(answer).__name__} {answer!r:.80}, not a Forecast or None")
    try:
        made = Forecast(*(float(number) for number in answer))
    except (TypeError, ValueError):
        raise BadInput(f"{answer!r:.120} must be made of numbers") from None
    bounds = ((-MOST_VALUE, MOST_VALUE), (0.0, 1.0), (1e-9, MOST_VALID_S))
    for name, number, (low, high) in zip(Forecast._fields, made, bounds, strict=True):
        if not (math.isfinite(number) and low <= number <= high):
            least = f"{low:g}" if name != "valid_s" else "above 0"
            raise BadInput(f"Forecast.{name} = {number} is outside {least} to {high:,g}")
    return made if made.confidence > 0.0 else None
