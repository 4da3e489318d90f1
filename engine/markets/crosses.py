"""Seeded ticks of a market that never existed, whose pairs agree: one value per asset, every pair the ratio of two.

What it imitates: BTC moves all coins, each by its beta and with moves of its own; dollar coins stay within about a
basis point of par, other currencies wander a little; a perpetual stands near its spot pair. A walk round any triangle
comes back to where it began, up to a tick of each pair.

Takers of a perpetual lean to one side for minutes, as those do who split what they want; its book leans with them, and
the coin's value follows while they last (`_FLOW_*`: of its moves over five minutes about an eighth can be known from
them, which is more than real books allow; volatility is that of an ordinary day, 2 % for BTC). A perpetual's
quotes stand until the value has left them by `_BAND`, about a second.

What it does not imitate: depth, and whatever makes real pairs disagree (`engine.markets.dislocations` does that on
request). Results on it say nothing about real markets.
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
_FLOW_MEMORY_S: Final = 400
_FLOW_SIDES: Final = 0.9
"""How far takers of a perpetual lean at most: 0.95 of their trades buy."""
_FLOW_SIZES: Final = 0.8
"""How far its book does: the sizes shown are so many times e larger on their side, and smaller on the other."""
_SIZE_MEMORY_S: Final = 5
"""How long the sizes it shows last; those of spot pairs are new with every quote."""
_BAND: Final = 5e-5
_FLOW_PUSH: Final = 3e-6 * STEP_MS / 1000
"""What the coin's value moves in a step while they lean as far as they can."""


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
    led = sorted({legs(name)[0] for name in names if ":" in name})
    streams = streams_of(seed, 1 + len(assets) + len(names) + len(led))
    market = streams[0].standard_t(4, count) * _MOVE
    flows = {name: _flow(one, count) for name, one in zip(led, streams[1 + len(assets) + len(names) :], strict=True)}
    values = {name: _value(name, one, market, flows.get(name)) for name, one in zip(assets, streams[1:], strict=False)}
    chances = dict(zip(sorted(names), streams[1 + len(assets) :], strict=False))
    shown = {name: flows[legs(name)[0]] if ":" in name else None for name in names}
    tables = [_pair(name, chances[name], values, shown[name], first_ms) for name in names]
    paths = Path(folder) / "quotes.parquet", Path(folder) / "trades.parquet"
    for path, parts in zip(paths, zip(*tables, strict=True), strict=True):
        write_parquet(marked(pa.concat_tables(parts), seed), path)
    return paths


def _value(asset: str, stream: np.random.Generator, market: Array, flow: Array | None) -> Array:
    """What one unit of an asset is worth in `ANCHOR` at each step; `flow`: of its perpetual, if it has one."""
    count = len(market)
    if asset == ANCHOR:
        return np.ones(count)
    if asset in FIAT_USD:
        return np.asarray(FIAT_USD[asset] * np.exp(np.cumsum(stream.standard_t(4, count) * _FIAT_MOVE)))
    if asset in STABLES:
        return np.exp(_noise(stream, count, 3e-5, _MEMORY_S))
    beta, own, price, _ = character(asset, stream)
    moves = beta * market + own * stream.standard_t(4, count) * _MOVE
    if flow is not None:
        moves += flow * _FLOW_PUSH
    return np.asarray(price * np.exp(np.cumsum(moves)))


def _flow(stream: np.random.Generator, count: int) -> Array:
    """Which way takers lean at each step, -1..1: mostly to one side, for minutes."""
    return np.tanh(1.5 * _noise(stream, count, 1.0, _FLOW_MEMORY_S))


def _noise(stream: np.random.Generator, count: int, scale: float, memory_s: int) -> Array:
    """A process that keeps coming back to zero: standard deviation about `scale`."""
    seconds = count * STEP_MS // 1000 + 2
    kernel = np.exp(-np.arange(4 * memory_s) / memory_s)
    knots = np.convolve(stream.normal(0.0, scale, seconds), kernel / np.sqrt((kernel**2).sum()))[:seconds]
    return np.interp(np.arange(count) * STEP_MS / 1000, np.arange(seconds), knots)


def _standing(mid: Array) -> Array:
    """A middle that moves only once the value has left it by `_BAND`."""
    made, last = [], float(mid[0])
    for value in mid.tolist():
        last = value if abs(value - last) > _BAND * last else last
        made.append(last)
    return np.array(made)


def _decimals(name: str, price: float) -> int:
    """Five significant digits, four where coins are quoted in coins: lots would else be worth many dollars."""
    digits = 5 if QUOTE_UNITS.get(legs(name)[1], 1.0) >= 1 else 4
    return max(0, digits - int(np.floor(np.log10(price))) - 1) if price < 1e4 else 2


def _size(stream: np.random.Generator, count: int, flow: Array | None, side: int) -> Array:
    """What one side of the touch shows, in times the usual."""
    if flow is None:
        return stream.lognormal(0, 0.7, count)
    return np.asarray(np.exp(_noise(stream, count, 0.3, _SIZE_MEMORY_S) + side * _FLOW_SIZES * flow))


def _pair(
    name: str, stream: np.random.Generator, values: dict[str, Array], flow: Array | None, first_ms: int
) -> tuple[pa.Table, pa.Table]:
    """Quotes and trades of one pair, a perpetual where there is a `flow`. The bid is the ratio's own tick, the ask one
    to three ticks above it."""
    base, quote = legs(name)
    mid, count = values[base] / values[quote], len(values[base])
    if flow is not None:
        mid = _standing(mid * np.exp(_noise(stream, count, 1e-4, _MEMORY_S)))
    scale = 10.0 ** _decimals(name, float(mid[0]))
    bid = np.maximum(np.floor(mid * scale), 1.0)
    ask = bid + stream.integers(1, 4, count)
    per_usd = 1.0 / values[base] * (10.0 if base in STABLES and quote in STABLES else 1.0)
    bid_size, ask_size = (_size(stream, count, flow, side) for side in (1, -1))
    ts = first_ms + np.arange(count, dtype=np.int64) * STEP_MS
    quotes: dict[str, Array] = {
        "ts_exch_ms": ts,
        "update_id": np.arange(1, count + 1, dtype=np.int64),
        "bid": bid / scale,
        "bid_size": np.round(bid_size * _TOUCH_USD * per_usd, 5) + 1e-5,
        "ask": ask / scale,
        "ask_size": np.round(ask_size * _TOUCH_USD * per_usd, 5) + 1e-5,
    }
    at = np.sort(stream.choice(count, count // 4, replace=False))
    buying = 0.5 if flow is None else 0.5 * (1.0 + _FLOW_SIDES * flow[at])
    side = np.where(stream.random(len(at)) < buying, 1, -1).astype(np.int8)
    trades: dict[str, Array] = {
        "ts_exch_ms": ts[at] + 7,
        "trade_id": np.arange(1, len(at) + 1, dtype=np.int64),
        "price": np.where(side > 0, quotes["ask"][at], quotes["bid"][at]),
        "size": np.round(stream.lognormal(0, 1, len(at)) * _TRADE_USD * per_usd[at], 5) + 1e-5,
        "side": side,
    }
    return named(name, quotes), named(name, trades)
