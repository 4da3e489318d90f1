"""Seeded ticks of a market that never existed, whose pairs agree: one value per asset, every pair the ratio of two.

What it imitates: BTC moves all coins, each by its beta and with moves of its own; dollar coins stay within about a
basis point of par, other currencies wander a little; a perpetual stands near its spot pair. A walk round any triangle
comes back to where it began, up to a tick of each pair. What it does not imitate: books, and whatever makes real
pairs disagree (`engine.markets.dislocations` does that on request). Results on it say nothing about real markets.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from engine.contracts.errors import BadInput
from engine.markets.files import Array
from engine.markets.symbols import QUOTE_UNITS, STABLES, legs
from engine.markets.synthetic import DEFAULT_START, character, first_bar_ms, marked, named, pair_names, streams_of
from engine.markets.writing import write_parquet

STEP_MS: Final = 50
PER_MINUTE: Final = 60_000 // STEP_MS
ANCHOR: Final = "USDT"
"""What all other values are measured in."""
FIAT_USD: Final[dict[str, float]] = {
    "EUR": 1.08, "EURI": 1.08, "AEUR": 1.08, "GBP": 1.27, "AUD": 0.66, "CAD": 0.73, "CHF": 1.13, "JPY": 0.0067,
    "TRY": 0.028, "BRL": 0.17, "KRW": 0.0007, "RUB": 0.011,
}  # fmt: skip
_MOVE: Final = 8e-6
"""Of BTC in one step: as in `engine.markets.synthetic`."""
_FIAT_MOVE: Final = 1e-6
_TOUCH_USD: Final = 2_000.0
_TRADE_USD: Final = 400.0
_MEMORY_S: Final = 60
"""How long a dollar coin remembers that it left par."""


def triangles(symbols: Sequence[str]) -> list[tuple[str, str, str]]:
    """All three spot pairs among canonical `symbols` that join three assets, in the order of `symbols`."""
    by_assets = {frozenset(legs(name)): name for name in symbols if ":" not in name}
    assets = sorted({asset for pair in by_assets for asset in pair})
    found = []
    for three in itertools.combinations(assets, 3):
        names = [by_assets.get(frozenset(two)) for two in itertools.combinations(three, 2)]
        if all(names):
            a, b, c = sorted((str(name) for name in names), key=list(symbols).index)
            found.append((a, b, c))
    return found


def synthesize_crosses(
    folder: Path, *, seed: int, minutes: int, symbols: Sequence[str], start: datetime = DEFAULT_START
) -> tuple[Path, Path]:
    """Write `quotes.parquet` and `trades.parquet`: 20 quotes and 5 trades a second of each pair. The same seed and
    symbols give the same bytes; the order of the symbols is the files' only.

    Raises BadInput like `synthesize_ticks`.
    """
    names = pair_names(symbols)
    if not 1 <= minutes <= 1440:
        raise BadInput(f"minutes = {minutes} is outside 1..1440")
    first_ms, count = first_bar_ms(start), minutes * PER_MINUTE
    assets = sorted({asset for name in names for asset in legs(name)})
    streams = streams_of(seed, 1 + len(assets) + len(names))
    market = streams[0].standard_t(4, count) * _MOVE
    values = {name: _value(name, one, market) for name, one in zip(assets, streams[1:], strict=False)}
    chances = dict(zip(sorted(names), streams[1 + len(assets) :], strict=True))
    tables = [_pair(name, chances[name], values, first_ms) for name in names]
    paths = Path(folder) / "quotes.parquet", Path(folder) / "trades.parquet"
    for path, parts in zip(paths, zip(*tables, strict=True), strict=True):
        write_parquet(marked(pa.concat_tables(parts), seed), path)
    return paths


def _value(asset: str, stream: np.random.Generator, market: Array) -> Array:
    """What one unit of an asset is worth in `ANCHOR` at each step."""
    count = len(market)
    if asset == ANCHOR:
        return np.ones(count)
    if asset in FIAT_USD:
        return np.asarray(FIAT_USD[asset] * np.exp(np.cumsum(stream.standard_t(4, count) * _FIAT_MOVE)))
    if asset in STABLES:
        return np.exp(_noise(stream, count, 3e-5))
    beta, own, price, _ = character(asset, stream)
    return np.asarray(price * np.exp(np.cumsum(beta * market + own * stream.standard_t(4, count) * _MOVE)))


def _noise(stream: np.random.Generator, count: int, scale: float) -> Array:
    """A process that keeps coming back to zero: standard deviation about `scale`, memory `_MEMORY_S`."""
    seconds = count * STEP_MS // 1000 + 2
    kernel = np.exp(-np.arange(4 * _MEMORY_S) / _MEMORY_S)
    knots = np.convolve(stream.normal(0.0, scale, seconds), kernel / np.sqrt((kernel**2).sum()))[:seconds]
    return np.interp(np.arange(count) * STEP_MS / 1000, np.arange(seconds), knots)


def _decimals(name: str, price: float) -> int:
    """Five significant digits, four where coins are quoted in coins: lots would else be worth many dollars."""
    digits = 5 if QUOTE_UNITS.get(legs(name)[1], 1.0) >= 1 else 4
    return max(0, digits - int(np.floor(np.log10(price))) - 1) if price < 1e4 else 2


def _pair(name: str, stream: np.random.Generator, values: dict[str, Array], first_ms: int) -> tuple[pa.Table, pa.Table]:
    """Quotes and trades of one pair. The bid is the ratio's own tick, the ask one to three ticks above it."""
    base, quote = legs(name)
    mid, count = values[base] / values[quote], len(values[base])
    if ":" in name:
        mid = mid * np.exp(_noise(stream, count, 1e-4))
    scale = 10.0 ** _decimals(name, float(mid[0]))
    bid = np.maximum(np.floor(mid * scale), 1.0)
    ask = bid + stream.integers(1, 4, count)
    per_usd = 1.0 / values[base] * (10.0 if base in STABLES and quote in STABLES else 1.0)
    ts = first_ms + np.arange(count, dtype=np.int64) * STEP_MS
    quotes: dict[str, Array] = {
        "ts_exch_ms": ts,
        "update_id": np.arange(1, count + 1, dtype=np.int64),
        "bid": bid / scale,
        "bid_size": np.round(stream.lognormal(0, 0.7, count) * _TOUCH_USD * per_usd, 5) + 1e-5,
        "ask": ask / scale,
        "ask_size": np.round(stream.lognormal(0, 0.7, count) * _TOUCH_USD * per_usd, 5) + 1e-5,
    }
    at = np.sort(stream.choice(count, count // 4, replace=False))
    side = np.where(stream.random(len(at)) < 0.5, 1, -1).astype(np.int8)
    trades: dict[str, Array] = {
        "ts_exch_ms": ts[at] + 7,
        "trade_id": np.arange(1, len(at) + 1, dtype=np.int64),
        "price": np.where(side > 0, quotes["ask"][at], quotes["bid"][at]),
        "size": np.round(stream.lognormal(0, 1, len(at)) * _TRADE_USD * per_usd[at], 5) + 1e-5,
        "side": side,
    }
    return named(name, quotes), named(name, trades)
