"""Recordings of a triangle with known dislocations: minutes with mid, spread and depth; trades; candles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START_MS = 1_604_221_200_000  # 2020-11-01 09:00
MINUTE_MS = 60_000
BTC_USD, USDC_USD = 20_000.0, 1.0
AWAY = {3: 50.0, 7: 12.0, 11: 2.0}
"""Minute -> by how many basis points BTC/USDC is too cheap in it, spreads paid."""
TICKS = (("BTCUSDT", 14_000.0, 0.01), ("ETHUSDT", 400.0, 0.01), ("ETHBTC", 400 / 14_000, 1e-6))
WAY = (("USDC/USD", 1), ("BTC/USDC", 1), ("BTC/USD", -1))


def minutes(path: Path, count: int = 20, away: dict[int, float] | None = None) -> Path:
    """BTC/USD, BTC/USDC and USDC/USD of Binance.US by the minute, with spreads of 0.01, 0.01 and 0.0002 dollars."""
    rows = []
    for minute in range(count):
        bps = (AWAY if away is None else away).get(
            minute, -1.0
        )  # neither way pays: the way back would cross a spread of two basis points
        # what leaves exactly `bps` at the touch: sold at the bid, bought at two asks
        ask = (BTC_USD - 0.005) / ((USDC_USD + 0.0001) * (1 + bps / 1e4))
        for symbol, mid, spread in (
            ("BTC/USD", BTC_USD, 0.01), ("BTC/USDC", round(ask, 2) - 0.005, 0.01), ("USDC/USD", USDC_USD, 0.0002),
        ):  # fmt: skip
            rows.append((symbol, START_MS + minute * MINUTE_MS, mid, spread))
    columns = {
        "venue": ["binance_us"] * len(rows), "symbol": [row[0] for row in rows],
        "ts": pa.array([row[1] for row in rows], pa.timestamp("ms", "UTC")), "mid_close": [row[2] for row in rows],
        "spread_mean": pa.array([row[3] for row in rows], pa.float32()),
        "depth_mean": pa.array([1e6] * len(rows), pa.float32()), "obi_mean": pa.array([0.0] * len(rows), pa.float32()),
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    return path


def trades(path: Path, seconds: int = 120, bps: float = 4.0) -> Path:
    """BTCUSDT, ETHUSDT and ETHBTC, a buy and a sell a tenth of a second; every other ten seconds
    ETH/BTC is `bps` too cheap."""
    rows = []
    for k in range(seconds * 10):
        off = bps / 1e4 if k // 100 % 2 else 0.0
        for symbol, mid, tick in (
            ("BTCUSDT", 14_000.0, 0.01),
            ("ETHUSDT", 400.0, 0.01),
            ("ETHBTC", 400 / 14_000, 1e-6),
        ):
            price = mid * (1 - off * (symbol == "ETHBTC"))
            for side in (1, -1):
                rows.append((symbol, START_MS + k * 100, round(price + side * tick, 6), side))
    columns = {
        "venue": ["binance_spot"] * len(rows), "symbol": [row[0] for row in rows],
        "ts_exch_ms": np.array([row[1] for row in rows], np.int64), "price": [row[2] for row in rows],
        "size": [50.0] * len(rows), "side": np.array([row[3] for row in rows], np.int8),
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    return path


def closes(path: Path) -> Path:
    """Candles of the same three pairs: in minute 3 the closes leave 50 bps, in minute 4 one pair did not trade."""
    rows = []
    for minute in range(6):
        for symbol, close in (("BTC/USD", 20_000.0), ("BTC/USDC", 20_000.0), ("USDC/USD", 1.0)):
            cheap = 1 / 1.005 if symbol == "BTC/USDC" and minute == 3 else 1.0
            volume = 0.0 if minute == 4 and symbol == "USDC/USD" else 1.0
            rows.append((symbol, START_MS + minute * MINUTE_MS, close * cheap, volume))
    columns = {
        "venue": ["binance_us"] * len(rows), "symbol": [row[0] for row in rows],
        "ts": pa.array([row[1] for row in rows], pa.timestamp("ms", "UTC")), "close": [row[2] for row in rows],
        "volume": [row[3] for row in rows],
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    return path
