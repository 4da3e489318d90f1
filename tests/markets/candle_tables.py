"""A clean candle table to damage."""

from __future__ import annotations

from typing import Any

import numpy as np

START_MS = 1_735_689_600_000  # 2025-01-01
Columns = dict[str, Any]


def candles(rows: int = 50, symbol: str = "AXO/USDT", venue: str = "binance_spot", step_ms: int = 300_000) -> Columns:
    """A rising, wobbling, entirely clean candle table."""
    close = np.round(10 + 0.01 * np.arange(rows) + 0.3 * np.sin(np.arange(rows)), 3)
    opened = np.concatenate([[10.0], close[:-1]])
    return {
        "venue": [venue] * rows,
        "symbol": [symbol] * rows,
        "ts": START_MS + step_ms * np.arange(rows, dtype=np.int64),
        "open": opened,
        "high": np.round(np.maximum(opened, close) + 0.05, 3),
        "low": np.round(np.minimum(opened, close) - 0.04, 3),
        "close": close,
        "volume": 1000.0 + np.arange(rows) % 7,
    }
