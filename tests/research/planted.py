"""Markets with a known answer: one whose swings a crossover follows, and one that is nothing but noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from engine.markets.writing import write_parquet

START_MS = 1_735_689_600_000  # 2025-01-01
BARS_PER_DAY = 288


def candles(path: Path, changes: dict[str, np.ndarray]) -> Path:
    """5-minute candles from log changes by symbol; the range is a little more than the body."""
    tables = []
    for symbol, change in changes.items():
        close = np.round(100.0 * np.exp(np.cumsum(change)), 3)
        opened = np.concatenate([[100.0], close[:-1]])
        ts = pa.array(START_MS + 300_000 * np.arange(len(close), dtype=np.int64), pa.timestamp("ms", "UTC"))
        columns = {
            "venue": ["planted"] * len(close), "symbol": [symbol] * len(close), "ts": ts, "open": opened,
            "high": np.round(np.maximum(opened, close) + 0.01, 3), "low": np.round(np.minimum(opened, close) - 0.01, 3),
            "close": close, "volume": np.full(len(close), 5000.0),
        }  # fmt: skip
        tables.append(pa.table(columns))
    write_parquet(pa.concat_tables(tables), path)
    return path


def swinging(path: Path, days: int = 60, seed: int = 1) -> Path:
    """Long waves of about a day and a half, four times their noise: a crossover of quick means earns on them."""
    generator, count = np.random.default_rng(seed), days * BARS_PER_DAY
    wave = 0.0006 * np.sign(np.sin(2 * np.pi * np.arange(count) / (1.5 * BARS_PER_DAY)))
    return candles(
        path, {f"{n}/USDT": np.roll(wave, 60 * k) + generator.normal(0, 0.0004, count) for k, n in enumerate("ABC")}
    )


def noisy(path: Path, days: int = 60, seed: int = 2) -> Path:
    """Independent changes without drift: nothing can be known of the next."""
    generator, count = np.random.default_rng(seed), days * BARS_PER_DAY
    return candles(path, {f"{name}/USDT": generator.normal(0, 0.0012, count) for name in "ABC"})
