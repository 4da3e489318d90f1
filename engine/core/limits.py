"""Hard limits: what the engine may never exceed. Dollars *and* per cent; the tighter holds.

Per cents are of the equity at the start of the UTC day. `Limits` is what a person writes (settings,
audit); `LIMITS` is the same as integers inside the state.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts.errors import BadInput

USD: Final = 100_000_000  # 1e-8 USD in a dollar

# name: (default, lowest, highest, unit, what it limits)
BOUNDS: Final[dict[str, tuple[float, float, float, str, str]]] = {
    "trade_loss_usd": (10.0, 0.01, 1e6, "USD", "loss of one trade at its stop, fees and slippage included"),
    "trade_loss_pct": (1.0, 0.001, 100.0, "%", "the same as a share of the day's starting equity"),
    "day_loss_usd": (20.0, 0.01, 1e6, "USD", "loss of one UTC day: realised + open + fees + funding + all stops"),
    "day_loss_pct": (2.0, 0.001, 100.0, "%", "the same as a share of the day's starting equity"),
    "reserve_usd": (200.0, 0.0, 1e9, "USD", "cash that is never committed"),
    "reserve_pct": (20.0, 0.0, 99.0, "%", "the same as a share of the day's starting equity"),
    "drawdown_pct": (5.0, 0.1, 100.0, "%", "fall from peak equity, with all stops hit, that no entry may reach"),
    "order_notional_usd": (400.0, 1.0, 1e6, "USD", "notional of one entry order"),
    "exposure_usd": (800.0, 1.0, 1e7, "USD", "sum of all open notionals, long and short alike"),
    "instrument_exposure_usd": (400.0, 1.0, 1e6, "USD", "open notional of one instrument"),
    "cluster_exposure_usd": (800.0, 1.0, 1e7, "USD", "open notional of one correlation cluster in one direction"),
    "max_positions": (5.0, 1.0, 100.0, "positions", "positions open or being opened at once"),
    "max_leverage": (3.0, 1.0, 20.0, "x", "leverage of one perpetual position"),
    "liquidation_buffer_pct": (50.0, 0.0, 500.0, "%", "liquidation must lie this much further away than the stop"),
    "orders_per_minute": (60.0, 1.0, 6000.0, "orders", "entries sent in one minute (exits and cancels are free)"),
    "fat_finger_bps": (100.0, 1.0, 5000.0, "bps", "distance of an entry's price from the mid"),
    "max_spread_bps": (50.0, 0.1, 2000.0, "bps", "spread above which no entry is sent"),
    "max_data_age_s": (5.0, 0.05, 86_400.0, "s", "age of the book above which no entry is sent"),
    "stop_slippage_bps": (15.0, 0.0, 1000.0, "bps", "slippage assumed at the stop when a trade is sized"),
}

LIMITS: Final = np.dtype((np.record, [(name.replace("_usd", "_e8"), "<i8") for name in BOUNDS]))
"""Integers: USD as 1e-8, per cents and basis points as 1e-4 of their unit (``1.5 %`` -> 15000), counts as
1e-4 too; `max_data_age_s` as 1e-4 s."""

SCALE: Final = 10_000


def _scale(name: str) -> int:
    return USD if name.endswith("_usd") else SCALE


WORD_BOUNDS: Final = np.array([[round(b * _scale(n)) for b in row[1:3]] for n, row in BOUNDS.items()], np.int64)
"""Lowest and highest integer of each limit, in the order of `BOUNDS`."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """See `BOUNDS` for the unit, bounds and meaning of every field. Raises BadInput out of bounds."""

    trade_loss_usd: float = BOUNDS["trade_loss_usd"][0]
    trade_loss_pct: float = BOUNDS["trade_loss_pct"][0]
    day_loss_usd: float = BOUNDS["day_loss_usd"][0]
    day_loss_pct: float = BOUNDS["day_loss_pct"][0]
    reserve_usd: float = BOUNDS["reserve_usd"][0]
    reserve_pct: float = BOUNDS["reserve_pct"][0]
    drawdown_pct: float = BOUNDS["drawdown_pct"][0]
    order_notional_usd: float = BOUNDS["order_notional_usd"][0]
    exposure_usd: float = BOUNDS["exposure_usd"][0]
    instrument_exposure_usd: float = BOUNDS["instrument_exposure_usd"][0]
    cluster_exposure_usd: float = BOUNDS["cluster_exposure_usd"][0]
    max_positions: float = BOUNDS["max_positions"][0]
    max_leverage: float = BOUNDS["max_leverage"][0]
    liquidation_buffer_pct: float = BOUNDS["liquidation_buffer_pct"][0]
    orders_per_minute: float = BOUNDS["orders_per_minute"][0]
    fat_finger_bps: float = BOUNDS["fat_finger_bps"][0]
    max_spread_bps: float = BOUNDS["max_spread_bps"][0]
    max_data_age_s: float = BOUNDS["max_data_age_s"][0]
    stop_slippage_bps: float = BOUNDS["stop_slippage_bps"][0]

    def __post_init__(self) -> None:
        for name, (_, low, high, unit, _meaning) in BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:  # NaN fails this too
                raise BadInput(f"limits.{name} = {value} is outside {low:g}..{high:g} {unit}")

    def row(self) -> np.ndarray[Any, Any]:
        """One `LIMITS` record: the integers the core works with."""
        out = np.zeros(1, LIMITS)
        for name in BOUNDS:
            out[0][name.replace("_usd", "_e8")] = round(getattr(self, name) * _scale(name))
        return out
