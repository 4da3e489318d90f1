"""Closed candles of a venue as PATH records, laid exactly as a backtest lays recorded ones."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from engine.contracts.instruments import Instrument
from engine.contracts.records import RECORD
from engine.markets.feedmodel import FeedModel
from engine.markets.paths import BAR, POINTS, fill_block, lay_bars
from engine.markets.symbols import QUOTE_UNITS

Candle = tuple[int, float, float, float, float, float]
"""Opening time in ms; open, high, low, close in quote units; volume in venue units."""


def path_records(
    instrument: Instrument, number: int, candles: Sequence[Candle], timeframe_s: int, model: FeedModel | None = None
) -> np.ndarray[Any, Any]:
    """Four PATH records for each candle, in time order, seen when the venue says they happened."""
    model = model or FeedModel()
    out: np.ndarray[Any, Any] = np.zeros(POINTS * len(candles), RECORD)
    if not candles:
        return out
    columns = np.array(candles, np.float64).T.copy()
    ts = np.array([candle[0] for candle in candles], np.int64) * 1_000_000
    tick, lot = float(instrument.tick_size), float(instrument.lot_size * instrument.contract_size)
    unit = QUOTE_UNITS.get(instrument.quote, 1.0)
    first = model.first_depth_usd * unit / float(Fraction(instrument.tick_lot_e8) / 10**8)
    terms = (model.spread_bps * 1e-4, model.spread_range_share, model.depth_volume_share, first)
    seed = zlib.crc32(f"{instrument.venue}:{instrument.symbol}".encode())
    bars: np.ndarray[Any, Any] = np.zeros(len(candles), BAR)
    _, opens, highs, lows, closes, volumes = columns
    lay_bars(ts, opens, highs, lows, closes, volumes, tick, lot, terms, number, seed, bars)
    point = np.arange(POINTS, dtype=np.int64)
    end = np.full(POINTS, len(candles), np.int64)
    step_ns = np.full(POINTS, timeframe_s * 1_000_000_000, np.int64)
    order = np.arange(len(candles), dtype=np.int32)
    fill_block(out, np.zeros(POINTS, np.int64), end, point, step_ns, order, bars, np.zeros(0, RECORD), 0)
    return out
