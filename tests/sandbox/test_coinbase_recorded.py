"""Recorded markets: the venue named in the files is the venue that lists them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from running_coinbase import V3, RunningCoinbase

DATA = Path(os.environ.get("KEEL_DATA_DIR", "../shared/data"))
HOUR_S = 3600


def test_coinbase_is_played_what_was_recorded_at_coinbase() -> None:
    file = DATA / "candles" / "btc_binance_coinbase_1h_2017_2020.parquet"
    if not file.exists():
        pytest.skip("recorded candles are absent (KEEL_DATA_DIR)")
    table = pq.read_table(file)
    mine = table.filter(pc.equal(table["venue"], "coinbase")).slice(0, 12).to_pylist()
    first: dict[str, Any] = min(mine, key=lambda row: row["ts"])
    running = RunningCoinbase(data=(file,), symbols=("coinbase:BTC/USD", "binance_spot:BTC/USDT"), history_s=2 * HOUR_S)
    assert running.venue["symbols"] == ["BTCUSDT"] and running.coinbase["symbols"] == ["BTC-USD", "BTC-USDC"]
    now = running.now_s()
    candles = running.ask(
        "/products/BTC-USD/candles", granularity="ONE_MINUTE", start=now - 4 * HOUR_S, end=now + HOUR_S
    )["candles"]
    assert candles and float(candles[-1]["open"]) == pytest.approx(first["open"], rel=0.05)
    product = running.ask("/products/BTC-USD")
    assert float(product["price"]) == pytest.approx(float(candles[0]["close"]))
    assert running.placed("BUY", "market_market_ioc", product="BTC-USDC", quote_size="100")
    assert running.send("GET", f"{V3}/products/BTC-USDT")[0] == 404
    running.stop()
