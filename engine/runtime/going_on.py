"""The first events of a run that continues another: what lies between is not known, what the settings say holds now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from engine.contracts import reasons
from engine.contracts.records import FEED_STATUS, LIMIT, NO_INSTRUMENT, PARAMETER, RECORD
from engine.core import selector
from engine.core.limits import Limits
from engine.core.state import Core
from engine.core.strategies.table import STRATEGIES

Records = np.ndarray[Any, Any]


class Wanted(Protocol):
    """What the settings say."""

    @property
    def limits(self) -> Limits:
        """Limits that hold from now on."""

    @property
    def selector(self) -> Mapping[str, float]:
        """The selector's parameters; empty: none chooses."""

    @property
    def strategies(self) -> Mapping[str, Mapping[str, float]]:
        """Strategies that run, with their parameters."""


def going_on(core: Core, wanted: Wanted) -> Records:
    """Books and bars of every instrument are forgotten; each limit and each parameter of a running strategy that is not
    what it was when the run before ended is changed, in the open: these events are journalled and audited."""
    made = [_forgotten(i) for i in range(len(core.instruments))]
    made += _limits(core, wanted.limits) + _parameters(core, wanted.strategies) + _selector(core, wanted.selector)
    return np.concatenate([one.view(np.uint8) for one in made]).view(RECORD)


def _event(kind: int, instrument: int = NO_INSTRUMENT) -> Records:
    event = np.zeros(1, RECORD)
    event["kind"], event["instrument"], event["ts_ns"] = kind, instrument, time.time_ns()
    return event


def _forgotten(i: int) -> Records:
    event = _event(FEED_STATUS, i)
    event["reason"] = reasons.BARS_FORGOTTEN
    return event


def _limits(core: Core, limits: Limits) -> list[Records]:
    made = []
    now, then = limits.row().view(np.dtype("<i8")), core.state.limit_words
    for k in np.flatnonzero(now != then):
        event = _event(LIMIT)
        event["index"], event["amount_e8"] = k, now[k]
        made.append(event)
    return made


def _selector(core: Core, given: Mapping[str, float]) -> list[Records]:
    made = []
    for k, value in enumerate(selector.asked(given).values()):
        if round(float(core.state.selector_words[k]) * 1e9) != round(value * 1e9):
            event = _event(PARAMETER)
            event["reason"], event["index"], event["value_e9"] = selector.NUMBER, k, round(value * 1e9)
            made.append(event)
    return made


def _parameters(core: Core, strategies: Mapping[str, Mapping[str, float]]) -> list[Records]:
    made = []
    for row in STRATEGIES:
        if row.name not in strategies:
            continue
        first = int(core.state.param_start[row.number])
        for k, (name, value) in enumerate(row.resolve(dict(strategies[row.name])).items()):
            if round(float(core.state.params[first + k]) * 1e9) != round(value * 1e9):
                event = _event(PARAMETER)
                event["reason"], event["index"], event["value_e9"] = row.number, k, round(value * 1e9)
                made.append(event)
                assert row.params[k].name == name
    return made
