"""What files do not say: ticks, lots and clusters; and the synthetic market."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from candle_tables import candles
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.errors import BadInput
from engine.markets.inference import decimals_used
from engine.markets.market import open_market
from engine.markets.synthetic import DEFAULT_SYMBOLS, synthesize

Write = Callable[..., Path]


@settings(max_examples=200, deadline=None)
@given(units=st.integers(1, 10**9), decimals=st.integers(0, 10))
def test_decimals_are_read_back_from_floats(units: int, decimals: int) -> None:
    price = Decimal(units).scaleb(-decimals)
    used = max(0, -int(price.normalize().as_tuple().exponent))  # type: ignore[arg-type]
    assert decimals_used(np.array([float(price)]), np.zeros(1, np.uint8), 0) == used


@pytest.mark.parametrize(
    ("symbol", "venue", "price", "tick", "lot", "kind", "cluster"),
    [
        ("BTC/USDT", "binance_spot", 94_123.45, "0.01", "0.00001", "spot", "major"),
        ("PEPE/USDT", "binance_spot", 0.00001234, "1E-8", "1", "spot", "alt"),
        ("USDC/USDT", "binance_spot", 1.0001, "0.0001", "0.1", "spot", "stable"),
        ("ETH/BTC", "binance_spot", 0.035321, "0.000001", "0.01", "spot", "major"),
        ("BTC/USDT:USDT", "binance_usdm", 94_123.4, "0.1", "0.00001", "perp", "major"),
        ("AXOUSDT", "binance_usdm", 3.25, "0.01", "0.1", "perp", "alt"),
    ],
)
def test_filters_are_inferred(
    symbol: str, venue: str, price: float, tick: str, lot: str, kind: str, cluster: str, write: Write
) -> None:
    columns = candles(5, symbol, venue)
    for column in ("open", "high", "low", "close"):
        columns[column] = np.full(5, price)
    found = open_market([write(columns)]).instruments[0]
    assert (found.tick_size, found.lot_size, found.kind) == (Decimal(tick), Decimal(lot), kind)
    assert found.cluster == cluster and found.tick_lot_e8 >= 1 and found.lot_base_e8 >= 1
    assert found.max_leverage == (20 if kind == "perp" else 1)


def test_the_tick_does_not_depend_on_the_stretch(write: Write) -> None:
    columns = candles(40)
    columns["close"][35] = columns["high"][35] = columns["open"][36] = 10.98765
    columns["high"][36] = max(columns["high"][36], 10.98765)
    path = write(columns)
    early = open_market([path], to_ns=int(columns["ts"][10]) * 1_000_000)
    assert early.instruments == open_market([path]).instruments and str(early.instruments[0].tick_size) == "0.00001"


def test_a_synthetic_market_is_reproducible_and_says_so(tmp_path: Path) -> None:
    one, two, three = (synthesize(tmp_path / f"{n}.parquet", seed=s, days=2) for n, s in (("a", 7), ("b", 7), ("c", 8)))
    assert one.read_bytes() == two.read_bytes() != three.read_bytes()
    market = open_market([one])
    assert market.synthetic and market.sources[0].kind == "synthetic" and market.sources[0].seed == 7
    assert market.sources[0].quarantined == {} and len(market.instruments) == len(DEFAULT_SYMBOLS)
    assert market.events == 2 * 288 * 4 * len(DEFAULT_SYMBOLS)
    assert {i.cluster for i in market.instruments} == {"stable", "major", "alt"}


def test_synthetic_alts_follow_bitcoin_with_fat_tails(tmp_path: Path) -> None:
    market = open_market([synthesize(tmp_path / "m.parquet", seed=3, days=60)])
    returns = {i.base: np.diff(np.log(market.closes(k)[1])) for k, i in enumerate(market.instruments)}
    alts = [b for b in returns if f"{b}/USDT" in DEFAULT_SYMBOLS[5:]]
    assert all(0.15 < np.corrcoef(returns["BTC"], returns[b])[0, 1] < 0.95 for b in alts)
    assert all((r**4).mean() / (r**2).mean() ** 2 > 5 for b, r in returns.items() if b in alts)
    assert np.abs(np.log(market.closes([*returns].index("USDC"))[1])).max() < 0.1


def test_synthesis_is_bounded(tmp_path: Path) -> None:
    for wrong in ({"days": 0}, {"symbols": []}, {"symbols": ["nonsense"]}, {"seed": -1}):
        with pytest.raises(BadInput):
            synthesize(tmp_path / "m.parquet", **({"seed": 1} | wrong))  # type: ignore[arg-type]
    assert not any(tmp_path.iterdir())
