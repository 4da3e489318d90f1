"""Forecasts turned into FORECAST events: the same for a backtest and for the engine.

Rules
-----
* No opinion takes back an opinion that still stands, as a forecast of confidence 0; else nothing is said.
* A forecast that is over before anybody can hear it is not said.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts.records import FORECAST, RECORD
from engine.contracts.signals import Forecast

E9: Final = 1_000_000_000


class Speaker:
    """Turns the answers of one source into events. `number` is its place among the sources, `digest` its class's."""

    def __init__(self, number: int, digest: int) -> None:
        self._number = number
        self._digest = digest
        self._standing: dict[int, int] = {}  # instrument -> until when its last forecast stands

    def event(self, i: int, forecast: Forecast | None, end_ns: int, heard_ns: int) -> np.ndarray[Any, Any] | None:
        """The FORECAST event that instrument `i` hears at `heard_ns` about its bar that ended at `end_ns`; None where
        there is nothing to say."""
        until_ns = end_ns + int(forecast.valid_s * E9) if forecast is not None else 0
        if until_ns <= heard_ns and self._standing.get(i, 0) <= heard_ns:
            return None
        made = np.zeros(1, RECORD)
        made["kind"], made["instrument"], made["index"] = FORECAST, i, self._number
        made["ts_ns"], made["venue_ts_ns"], made["digest"] = heard_ns, end_ns, self._digest
        if forecast is not None and until_ns > heard_ns:
            made["value_e9"], made["confidence_e9"] = round(forecast.value * E9), round(forecast.confidence * E9)
            made["expires_ns"] = until_ns
        else:
            made["expires_ns"] = heard_ns
        self._standing[i] = int(made["expires_ns"][0])
        return made
