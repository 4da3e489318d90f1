"""The worked example: a price far from its mean is expected to come half of the way back.

A z-score of the log close over `span` bars. Beyond `enter_z` deviations the forecast is that the price returns `share`
of the way to its mean; below that there is no opinion. It is an example of the shape, not a claim that it earns money.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from engine.contracts.signals import Bar, Forecast, History


class Reversion:
    """`span` bars of `timeframe_s` seconds; `share` of the distance to the mean; valid for `valid_bars` bars."""

    def __init__(
        self, *, timeframe_s: int = 300, span: int = 96, enter_z: float = 2.0, share: float = 0.5, valid_bars: int = 3
    ) -> None:
        if span < 3 or enter_z <= 0 or not 0 < share <= 1 or valid_bars < 1:
            raise ValueError("span must be 3 or more, enter_z above 0, share above 0 and up to 1, valid_bars 1 or more")
        self.timeframe_s = timeframe_s
        self.lookback = span
        self._enter_z = enter_z
        self._share = share
        self._valid_s = float(valid_bars * timeframe_s)

    def on_bar(self, bar: Bar, history: History) -> Forecast | None:
        """None until `span` bars have closed, where the price stood still, and near the mean."""
        if len(history.bars) < self.lookback:
            return None
        close = pd.DataFrame(history.bars)["close"].map(np.log)
        deviation = float(close.std())
        if not deviation > 1e-9:
            return None
        distance = float(close.iloc[-1] - close.mean())
        z = distance / deviation
        if abs(z) < self._enter_z:
            return None
        value = float(np.clip(-distance * self._share, -0.5, 0.5))
        return Forecast(value=value, confidence=min(abs(z) / (2 * self._enter_z), 1.0), valid_s=self._valid_s)
