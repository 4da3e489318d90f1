"""Incremental indicators: one closed bar in, the new value out; nothing later is ever looked at."""

from __future__ import annotations

from engine.core.compile import kernel


@kernel
def ema(previous: float, value: float, span: float, count: int) -> float:
    """Exponential mean with alpha = 2 / (span + 1), seeded with the first value (`count` values came before)."""
    if count == 0:
        return value
    return previous + (value - previous) * (2.0 / (span + 1.0))


@kernel
def true_range(high: float, low: float, previous_close: float) -> float:
    """Wilder's true range; `previous_close` <= 0 means there is none."""
    spread = high - low
    if previous_close <= 0.0:
        return spread
    return max(spread, max(abs(high - previous_close), abs(low - previous_close)))


@kernel
def wilder(previous: float, value: float, span: float, count: int) -> float:
    """Wilder's smoothing (alpha = 1 / span), a running mean until `span` values came."""
    if count == 0:
        return value
    return previous + (value - previous) / min(span, count + 1.0)


@kernel
def in_e9(value: float) -> int:
    """A float as a whole number of 1e-9, towards zero: at most 1e9 either way, 0 where it is not a number."""
    if value != value:
        return 0
    return int(min(max(value, -1e9), 1e9) * 1e9)
