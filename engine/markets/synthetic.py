"""A seeded market that never existed, for demos and tests without recordings. Says so in its metadata and venue.

What it imitates: regimes (up, down, chop, crash) as a Markov chain by the hour; fat tails and jumps; small caps that
follow BTC by their beta and have regimes of their own; volume that surges with moves; stablecoins that revert
to par, with a rare depeg. What it does not: order books, listings, delistings, correlations between small
caps beyond BTC. Results on it say nothing about real markets.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from engine.contracts.errors import BadInput
from engine.markets.files import SYNTHETIC_KEY, Array
from engine.markets.symbols import canonical, cluster, legs
from engine.markets.writing import write_parquet

VENUE: Final = "synthetic"
_ALTS: Final = "AXO BREN CIRO DUVA ELTO FENN GRIX HALO IVEX JUNO KORA LUMO MIRA NEXO OPAL PYRA QUIL RUNA SOVA TERN"
DEFAULT_SYMBOLS: Final[tuple[str, ...]] = (
    "BTC/USDT", "ETH/USDT", "USDC/USDT", "FDUSD/USDT", "TUSD/USDT", *(f"{a}/USDT" for a in _ALTS.split()),
)  # fmt: skip
DEFAULT_START: Final = datetime(2025, 1, 1, tzinfo=UTC)
_BAR_MS: Final = 300_000
_STEPS: Final = 6  # price moves inside a bar
_BARS_PER_HOUR: Final = 12


class Regime(NamedTuple):
    """Drift and volatility per hour (fractions) and where the chain goes next (probabilities, in table order)."""

    drift: float
    volatility: float
    following: tuple[float, float, float, float]


_REGIMES: Final[dict[str, Regime]] = {
    "up": Regime(0.0012, 0.0045, (0.960, 0.005, 0.034, 0.001)),
    "down": Regime(-0.0010, 0.0055, (0.006, 0.955, 0.035, 0.004)),
    "chop": Regime(0.0000, 0.0035, (0.012, 0.010, 0.977, 0.001)),
    "crash": Regime(-0.0150, 0.0220, (0.100, 0.250, 0.250, 0.400)),
}


def synthesize(
    out: Path,
    *,
    seed: int,
    days: int = 120,
    symbols: Sequence[str] = DEFAULT_SYMBOLS,
    start: datetime = DEFAULT_START,
) -> Path:
    """Write `days` of 5-minute candles of all `symbols` to `out` and return it. The same seed gives the same bytes.

    Raises BadInput for days outside 1..1500, a negative seed, a naive start or a symbol that is no pair.
    """
    names = pair_names(symbols)
    if not 1 <= days <= 1500:
        raise BadInput(f"days = {days} is outside 1..1500")
    first_ms = first_bar_ms(start)
    bars = days * 288
    streams = streams_of(seed, len(names) + 1)
    market = _walk(streams[0], bars, 1.0)
    tables = []
    for name, stream in zip(names, streams[1:], strict=True):
        tables.append(_candles(name, stream, market, bars))
    ts = pa.array(first_ms + np.arange(bars, dtype=np.int64) * _BAR_MS, pa.timestamp("ms", "UTC"))
    columns = {c: np.concatenate([t[c] for t in tables]) for c in ("open", "high", "low", "close", "volume")}
    table = pa.table(
        {
            "venue": _words([VENUE], np.zeros(bars * len(names), np.int16)),
            "symbol": _words(names, np.repeat(np.arange(len(names), dtype=np.int16), bars)),
            "ts": pa.chunked_array([ts] * len(names)),
            **columns,
        }
    )
    write_parquet(marked(table, seed), Path(out))
    return Path(out)


def synthesize_ticks(
    folder: Path,
    *,
    seed: int,
    minutes: int = 10,
    symbols: Sequence[str] = ("BTC/USDT",),
    start: datetime = DEFAULT_START,
) -> tuple[Path, Path]:
    """Write `quotes.parquet` and `trades.parquet` of a few minutes (about 20 quotes and 5 trades a second each).

    Raises BadInput like `synthesize`; minutes are bounded to 1..1440.
    """
    names = pair_names(symbols)
    if not 1 <= minutes <= 1440:
        raise BadInput(f"minutes = {minutes} is outside 1..1440")
    first_ms = first_bar_ms(start)
    quotes: list[pa.Table] = []
    trades: list[pa.Table] = []
    for name, stream in zip(names, streams_of(seed, len(names)), strict=True):
        quote, trade = _ticks(name, stream, first_ms, minutes)
        quotes.append(quote)
        trades.append(trade)
    paths = Path(folder) / "quotes.parquet", Path(folder) / "trades.parquet"
    for path, tables in zip(paths, (quotes, trades), strict=True):
        write_parquet(marked(pa.concat_tables(tables), seed), path)
    return paths


def pair_names(symbols: Sequence[str]) -> list[str]:
    """Canonical names, each once. Raises BadInput for a symbol that is no pair, or none at all."""
    names = [canonical(VENUE, s) for s in symbols]
    for given, name in zip(symbols, names, strict=True):
        if name is None:
            raise BadInput(f"symbols: {given!r} is no pair; write it as BTC/USDT")
    unique = [n for n in dict.fromkeys(names) if n is not None]
    if not unique:
        raise BadInput("symbols: name at least one")
    return unique


def first_bar_ms(start: datetime) -> int:
    """UTC ms of the bar a start lies in. Raises BadInput where it has no time zone."""
    if start.tzinfo is None:
        raise BadInput(f"start = {start} has no time zone; give it as UTC")
    return int(start.timestamp() * 1000) // _BAR_MS * _BAR_MS


def streams_of(seed: int, count: int) -> list[np.random.Generator]:
    """Independent streams of chance. Raises BadInput for a negative seed."""
    if seed < 0:
        raise BadInput(f"seed = {seed} must not be negative")
    return [np.random.Generator(np.random.PCG64(s)) for s in np.random.SeedSequence(seed).spawn(count)]


def marked(table: pa.Table, seed: int) -> pa.Table:
    """The table, saying of itself that it is synthetic."""
    return table.replace_schema_metadata({SYNTHETIC_KEY: str(seed).encode()})


def _words(words: list[str], codes: Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(words))


def _walk(stream: np.random.Generator, bars: int, scale: float) -> Array:
    """Log returns [bars, steps] of one regime-switching process with fat tails and rare jumps."""
    hours = bars // _BARS_PER_HOUR + 1
    regimes = list(_REGIMES.values())
    following = np.cumsum([r.following for r in regimes], axis=1)
    state, path = 2, np.zeros(hours, np.int64)
    for hour, draw in enumerate(stream.random(hours)):
        path[hour] = state = min(int(np.searchsorted(following[state], draw, side="right")), len(regimes) - 1)
    by_bar = np.repeat(path, _BARS_PER_HOUR)[:bars, None]
    per_hour = _BARS_PER_HOUR * _STEPS
    drift = np.array([r.drift for r in regimes])[by_bar] / per_hour
    volatility = np.array([r.volatility for r in regimes])[by_bar] / np.sqrt(per_hour)
    returns = drift + volatility * stream.standard_t(4, (bars, _STEPS)) / np.sqrt(2.0)
    jumps = stream.random((bars, _STEPS)) < 1.5e-5
    returns += np.where(jumps, stream.normal(-0.004, 0.025, (bars, _STEPS)), 0.0)
    return np.asarray(np.clip(returns * scale, -0.4, 0.4))


def _basis(stream: np.random.Generator, bars: int) -> Array:
    """Log price [bars, steps] of a stablecoin: small noise around par, and now and then a depeg that heals."""
    steps = bars * _STEPS
    noise = stream.normal(0.0, 0.00008, steps)
    level = np.zeros(steps)
    depegs = np.flatnonzero(stream.random(steps) < 1.2e-5)
    for at in depegs.tolist():
        length = min(steps - at, 60 * _STEPS)
        level[at : at + length] -= stream.uniform(0.005, 0.05) * np.exp(-np.arange(length) / (12.0 * _STEPS))
    smooth = np.convolve(noise, np.exp(-np.arange(240) / 60.0), mode="full")[:steps]
    return (level + smooth * 0.25).reshape(bars, _STEPS)


def _candles(name: str, stream: np.random.Generator, market: Array, bars: int) -> dict[str, Array]:
    base = legs(name)[0]
    if cluster(name) == "stable":
        path, price, daily_volume = _basis(stream, bars), 1.0, 4e7
    else:
        beta, own, price, daily_volume = character(base, stream)
        path = beta * market
        if own > 0.0:
            path = path + _walk(stream, bars, own)
        # a mild pull towards the starting price keeps four months within a factor of about ten
        path = np.cumsum(path.ravel()).reshape(bars, _STEPS)
        path -= 0.3 * np.linspace(0.0, 1.0, bars * _STEPS).reshape(bars, _STEPS) * path[-1, -1]
    decimals = max(0, 5 - int(np.floor(np.log10(price))) - 1) if price < 1e4 else 2
    prices = np.maximum(np.round(price * np.exp(path), decimals), 10.0**-decimals)
    close = prices[:, -1]
    opened = np.concatenate([[round(price, decimals)], close[:-1]])
    move = np.abs(np.log(close / opened))
    surge = 1.0 + 2.5 * np.minimum(move / max(float(np.median(move)), 1e-5), 12.0) / 4.0
    rhythm = 1.0 + 0.4 * np.sin(np.arange(bars) * (2 * np.pi / 288))
    volume = daily_volume / 288 / close * surge * rhythm * stream.lognormal(-0.2, 0.6, bars)
    return {
        "open": opened,
        "high": np.maximum(prices.max(axis=1), opened),
        "low": np.minimum(prices.min(axis=1), opened),
        "close": close,
        "volume": np.round(volume, 5),
    }


def character(base: str, stream: np.random.Generator) -> tuple[float, float, float, float]:
    """Beta to the market, scale of own moves, first price and daily volume in dollars of one coin."""
    if base == "BTC":
        return 1.0, 0.0, 90_000.0, 2e9
    if base == "ETH":
        return 1.15, 0.35, 3_000.0, 9e8
    beta, own = float(stream.uniform(0.8, 1.6)), float(stream.uniform(0.9, 1.7))
    return beta, own, float(np.exp(stream.uniform(np.log(0.01), np.log(20.0)))), float(stream.uniform(1e6, 1.5e7))


def _ticks(name: str, stream: np.random.Generator, first_ms: int, minutes: int) -> tuple[pa.Table, pa.Table]:
    price = 1.0 if cluster(name) == "stable" else character(legs(name)[0], stream)[2]
    decimals = max(0, 5 - int(np.floor(np.log10(price))) - 1) if price < 1e4 else 2
    tick, count = 10.0**-decimals, minutes * 1200
    mid = price * np.exp(np.cumsum(stream.standard_t(4, count) * 8e-6))
    half = tick * stream.integers(1, 4, count)
    ts = first_ms + np.arange(count, dtype=np.int64) * 50
    quotes: dict[str, Array] = {
        "ts_exch_ms": ts,
        "update_id": np.arange(1, count + 1, dtype=np.int64),
        "bid": np.round(mid - half, decimals),
        "bid_size": np.round(stream.lognormal(0, 1, count) * 500 / price, 5) + 1e-5,
        "ask": np.round(mid + half, decimals),
        "ask_size": np.round(stream.lognormal(0, 1, count) * 500 / price, 5) + 1e-5,
    }
    at = np.sort(stream.choice(count, count // 4, replace=False))
    side = np.where(stream.random(len(at)) < 0.5, 1, -1).astype(np.int8)
    trades: dict[str, Array] = {
        "ts_exch_ms": ts[at] + 7,
        "trade_id": np.arange(1, len(at) + 1, dtype=np.int64),
        "price": np.where(side > 0, quotes["ask"][at], quotes["bid"][at]),
        "size": np.round(stream.lognormal(0, 1, len(at)) * 200 / price, 5) + 1e-5,
        "side": side,
    }
    return named(name, quotes), named(name, trades)


def named(name: str, columns: dict[str, Array]) -> pa.Table:
    """Columns of one pair as a table of ticks."""
    rows = len(columns["ts_exch_ms"])
    return pa.table({"venue": pa.array([VENUE] * rows), "symbol": pa.array([name] * rows), **columns})
