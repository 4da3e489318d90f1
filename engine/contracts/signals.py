"""Signal sources: ordinary Python that looks at closed bars and says what it expects.

Rules
-----
* A source is a class. It is made with its parameters by keyword and has `timeframe_s` (length of its bars), `lookback`
  (how many of them it wants to see at most) and `on_bar`.
* It sees bars that have closed, nothing else, and answers with a `Forecast`, or None where it has no opinion.
* What it answers follows from what it is shown alone: not from a clock, chance, or how often it was asked before. After
  a restart it is made anew and shown the same history.
* A forecast places no order. Compiled strategies may follow it, as far as their own rules and the risk limits let them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

import numpy as np

BARS: Final = np.dtype(
    [
        ("start_ns", "<i8"),  # ns UTC, by the venue's clock; a bar ends `timeframe_s` later
        ("open", "<f8"),  # quote units
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("volume", "<f8"),  # base units
        ("turnover", "<f8"),  # quote units
    ]
)
"""Closed bars as a source sees them, the latest last: a read-only array, of which `pandas.DataFrame(bars)` makes a
table. Intervals without a price make no bar; bars of mid prices (no trades heard) have no volume."""

MOST_VALUE: Final = 1.0
MOST_VALID_S: Final = 7 * 86_400.0


class Forecast(NamedTuple):
    """What is expected of the instrument whose bar closed.

    `value`: return over the next `valid_s` seconds, counted from the bar's end, as a fraction (0.002 = +0.2 %; at most
    1 either way). `confidence`: 0..1; 0 is no opinion. `valid_s`: above 0, at most a week; then nobody follows it.
    """

    value: float
    confidence: float
    valid_s: float


class Bar(NamedTuple):
    """The bar that closed, prices in quote units, volume in base units, turnover in quote units."""

    venue: str
    symbol: str
    start_ns: int
    end_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover: float


class History(Protocol):
    """What had closed by then; it has no way to anything later."""

    @property
    def bars(self) -> np.ndarray[Any, Any]:
        """`BARS` of this instrument, at most `lookback`, the bar that closed last."""

    def of(self, symbol: str) -> np.ndarray[Any, Any]:
        """`BARS` of another one, ``BTC/USDT`` (at this bar's venue, else any) or ``venue:BTC/USDT``. Its bar of the
        same interval is there only if it closed before. Raises KeyError where it is not traded."""


class SignalSource(Protocol):
    """What a user writes. `timeframe_s` in seconds; `lookback` in bars."""

    timeframe_s: int
    lookback: int

    def on_bar(self, bar: Bar, history: History) -> Forecast | None:
        """Called for each closed bar of each instrument it speaks for."""
