"""Signal sources for tests: good ones, and such as nobody should write."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.contracts.signals import Bar, Forecast, History


class Drift:
    """The mean return of the last bars goes on. Every third bar it has no opinion."""

    def __init__(self, *, timeframe_s: int = 300, lookback: int = 12, valid_s: float = 900.0) -> None:
        self.timeframe_s = timeframe_s
        self.lookback = lookback
        self.valid_s = valid_s

    def on_bar(self, bar: Bar, history: History) -> Forecast | None:
        if len(history.bars) < 3 or (bar.start_ns // (self.timeframe_s * 10**9)) % 3 == 0:
            return None
        moves = np.diff(np.log(history.bars["close"]))
        return Forecast(float(np.clip(moves.mean(), -0.5, 0.5)), 0.5, self.valid_s)


class Leader(Drift):
    """What another instrument did last is expected of all."""

    def __init__(self, *, leader: str = "AAAUSDT", **given: Any) -> None:
        super().__init__(**given)
        self.leader = leader

    def on_bar(self, bar: Bar, history: History) -> Forecast | None:
        moves = np.diff(np.log(history.of(self.leader)["close"][-4:]))
        return Forecast(float(np.clip(moves.sum(), -1, 1)), 1.0, self.valid_s) if len(moves) else None


class Gloom(Drift):
    """Everything falls, it is certain."""

    def on_bar(self, bar: Bar, history: History) -> Forecast | None:
        return Forecast(-0.05, 1.0, self.valid_s)


class Spy(Drift):
    """Hands everything it is shown to whoever looks."""

    look: Callable[[Bar, History], Any] = staticmethod(lambda bar, history: None)

    def on_bar(self, bar: Bar, history: History) -> Forecast | None:
        Spy.look(bar, history)
        return super().on_bar(bar, history)


class Bad(Drift):
    """Does what `how` says at every bar, or at those from `at_bar` on."""

    def __init__(self, *, how: str = "raise", **given: Any) -> None:
        super().__init__(**given)
        self.how = how

    def on_bar(self, bar: Bar, history: History) -> Any:
        if self.how == "raise":
            return 1 / 0
        if self.how == "hang":
            time.sleep(3600)
        if self.how == "exit":
            import os

            os._exit(3)
        answers: dict[str, Any] = {
            "nan": Forecast(float("nan"), 0.5, 60.0), "infinite": Forecast(float("inf"), 0.5, 60.0),
            "huge": Forecast(25.0, 0.5, 60.0), "sure": Forecast(0.01, 1.5, 60.0),
            "negative": Forecast(0.01, -0.1, 60.0),
            "for ever": Forecast(0.01, 0.5, 1e9), "over": Forecast(0.01, 0.5, 0.0), "number": 0.01,
            "words": Forecast("up", 0.5, 60.0),  # type: ignore[arg-type]
            "late": Forecast(0.01, 0.5, 0.1),
        }  # fmt: skip
        return answers[self.how]


class HangOnce(Drift):
    """Hangs at the first bar that it is shown while the file is there, and takes the file away."""

    def __init__(self, *, file: str, **given: Any) -> None:
        super().__init__(**given)
        self.file = Path(file)

    def on_bar(self, bar: Bar, history: History) -> Forecast | None:
        if self.file.exists():
            self.file.unlink()
            time.sleep(3600)
        return super().on_bar(bar, history)


class Counting(Drift):
    """Answers by how often it was asked: not by what it is shown."""

    asked = 0

    def on_bar(self, bar: Bar, history: History) -> Forecast | None:
        Counting.asked += 1
        return Forecast((Counting.asked % 97) / 1000, 0.5, self.valid_s)


class Sticky(Drift):
    """Adds up what it was shown before."""

    total = 0.0

    def on_bar(self, bar: Bar, history: History) -> Forecast | None:
        self.total = 0.9 * self.total + (bar.close / bar.open - 1)
        return Forecast(float(np.clip(self.total, -1, 1)), 0.5, self.valid_s)


class Peeking(Drift):
    """Looks through the frames of its callers for prices that are still to come."""

    def on_bar(self, bar: Bar, history: History) -> Forecast | None:
        frame = sys._getframe()
        while "events" not in frame.f_locals:
            assert frame.f_back is not None
            frame = frame.f_back
        last = float(frame.f_locals["events"]["price_ticks"][-1])
        return Forecast((last % 997) / 1000, 1.0, self.valid_s)


class Slow(Drift):
    """Takes its time at one bar."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.rest = 0.15

    def on_bar(self, bar: Bar, history: History) -> Forecast | None:
        time.sleep(self.rest)
        self.rest = 0.0
        return super().on_bar(bar, history)


class NoLength:
    lookback = 3

    def on_bar(self, bar: Bar, history: History) -> Forecast | None:
        return None


class NoMethod:
    timeframe_s = 60
    lookback = 3
