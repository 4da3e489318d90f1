"""Synthetic pairs that agree with each other, and the plan of their dislocations."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contracts.errors import BadInput
from engine.markets.crosses import synthesize_crosses, triangles
from engine.markets.dislocations import PAUSE_NS, Dislocating, plan
from engine.markets.files import SYNTHETIC_KEY
from engine.markets.market import open_market

PAIRS = (
    "BTC/USDT", "ETH/USDT", "ETH/BTC", "USDC/USDT", "BTC/USDC", "ETH/USDC", "EUR/USDT", "BTC/EUR", "BTC/USDT:USDT"
)  # fmt: skip
HOUR_NS = 3_600_000_000_000


def test_triangles_are_found_from_the_list() -> None:
    assert sorted(triangles(PAIRS)) == [
        ("BTC/USDT", "ETH/USDT", "ETH/BTC"),
        ("BTC/USDT", "EUR/USDT", "BTC/EUR"),
        ("BTC/USDT", "USDC/USDT", "BTC/USDC"),
        ("ETH/BTC", "BTC/USDC", "ETH/USDC"),
        ("ETH/USDT", "USDC/USDT", "ETH/USDC"),
    ]
    assert triangles(("BTC/USDT", "ETH/USDT", "BTC/USDT:USDT")) == []


def test_walking_round_a_triangle_comes_back(tmp_path: Path) -> None:
    """Middle against middle, the way round differs from one by the width of the three quotes at most."""
    quotes, _ = synthesize_crosses(tmp_path, seed=3, minutes=5, symbols=PAIRS)
    table = pq.read_table(quotes).to_pydict()
    mid: dict[str, list[float]] = {name: [] for name in PAIRS}
    width = dict.fromkeys(PAIRS, 0.0)
    for name, bid, ask in zip(table["symbol"], table["bid"], table["ask"], strict=True):
        mid[name].append((bid + ask) / 2)
        width[name] = max(width[name], (ask - bid) / bid)
    for round_trip, names in (
        (lambda a, b, c: a * b / c, ("ETH/BTC", "BTC/USDT", "ETH/USDT")),
        (lambda a, b, c: a * b / c, ("BTC/EUR", "EUR/USDT", "BTC/USDT")),
        (lambda a, b, c: a * b / c, ("ETH/USDC", "USDC/USDT", "ETH/USDT")),
    ):
        around = [round_trip(*three) for three in zip(*(mid[name] for name in names), strict=True)]
        assert max(abs(one - 1) for one in around) < 1.5 * sum(width[name] for name in names) < 4e-3
    moves = [abs(b / a - 1) for a, b in zip(mid["ETH/BTC"], mid["ETH/BTC"][1:], strict=False)]
    assert max(moves) > 0  # it is a market that moves
    basis = [a / b - 1 for a, b in zip(mid["BTC/USDT:USDT"], mid["BTC/USDT"], strict=True)]
    assert 0 < max(map(abs, basis)) < 1e-3


class Seconds(NamedTuple):
    """A pair by the second: the middle (log, bps), the lean of its book, and of its takers, -1..1."""

    mid: Any
    book: Any
    takers: Any


def by_the_second(quotes: Path, trades: Path, symbol: str) -> Seconds:
    shown, traded = (pq.read_table(path, filters=[("symbol", "=", symbol)]).to_pandas() for path in (quotes, trades))
    first = int(shown["ts_exch_ms"].iloc[0])
    lean = (shown["bid_size"] - shown["ask_size"]) / (shown["bid_size"] + shown["ask_size"])
    second = (shown["ts_exch_ms"] - first) // 1000
    mid = np.log((shown["bid"] + shown["ask"]) / 2).groupby(second).last().to_numpy() * 1e4
    at = ((traded["ts_exch_ms"] - first) // 1000).to_numpy()
    bought, whole = (np.bincount(at, weights=w, minlength=len(mid))[: len(mid)]
                     for w in (traded["size"] * traded["side"], traded["size"]))  # fmt: skip
    return Seconds(mid, lean.groupby(second).mean().to_numpy(), bought / np.maximum(whole, 1e-12))


def test_takers_of_a_perpetual_lean_for_minutes_its_book_with_them_and_the_price_follows(tmp_path: Path) -> None:
    """Spot pairs show nothing of it but the move. What can be known of the next minutes is a part, not all."""
    known = []
    for seed in range(4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        paths = synthesize_crosses(folder, seed=seed, minutes=120, symbols=("BTC/USDT", "ETH/USDT", "BTC/USDT:USDT"))
        perp, spot = (by_the_second(*paths, name) for name in ("BTC/USDT:USDT", "BTC/USDT"))
        assert 0.4 < np.corrcoef(perp.takers[:-60], perp.takers[60:])[0, 1] < 0.95
        assert np.corrcoef(perp.takers, perp.book)[0, 1] > 0.5
        assert abs(np.corrcoef(spot.takers[:-60], spot.takers[60:])[0, 1]) < 0.05
        assert abs(np.corrcoef(spot.book, perp.takers)[0, 1]) < 0.05
        pressure = np.convolve(perp.takers, np.ones(60) / 60, "valid")[:-300]
        ahead = perp.mid[59 + 300 :] - perp.mid[59:-300]
        known.append((np.corrcoef(pressure, ahead)[0, 1], np.polyfit(pressure, ahead, 1)[0]))
        assert np.abs(perp.mid - spot.mid).max() < 10, "they stay together"
        daily_pct = np.diff(perp.mid).std() * np.sqrt(86_400) / 100
        assert 1.0 < daily_pct < 3.0
    correlation, push = np.mean(known, axis=0)
    assert 0.15 < correlation < 0.6 and 3 < push < 12, "bps in five minutes, of takers who all lean one way"


def test_it_says_that_it_is_synthetic_and_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder, seed in zip(folders, (5, 5, 6), strict=True):
        folder.mkdir()
        synthesize_crosses(folder, seed=seed, minutes=1, symbols=PAIRS[:3])
    first, again, other = (
        [(folder / name).read_bytes() for name in ("quotes.parquet", "trades.parquet")] for folder in folders
    )
    assert first == again and first != other
    assert pq.read_schema(folders[0] / "quotes.parquet").metadata[SYNTHETIC_KEY] == b"5"
    assert open_market([folders[0] / "quotes.parquet"]).synthetic


def test_the_order_of_the_symbols_changes_no_price(tmp_path: Path) -> None:
    tables = []
    for folder, names in ((tmp_path / "a", PAIRS[:3]), (tmp_path / "b", PAIRS[2::-1])):
        folder.mkdir()
        quotes, _ = synthesize_crosses(folder, seed=5, minutes=1, symbols=names)
        table = pq.read_table(quotes).to_pylist()
        tables.append(sorted(table, key=lambda row: (row["symbol"], row["ts_exch_ms"])))
    assert tables[0] == tables[1]


def test_lots_of_crosses_are_worth_a_few_dollars_at_most(tmp_path: Path) -> None:
    market = open_market(synthesize_crosses(tmp_path, seed=1, minutes=1, symbols=PAIRS))
    usd = {"BTC": 90_000, "ETH": 3_000, "USDC": 1, "EUR": 1.08}
    assert all(float(one.lot_size) * usd[one.base] < 5 for one in market.instruments)


@given(
    seed=st.integers(0, 10**9), per_minute=st.floats(0.1, 60), duration_ms=st.integers(50, 60_000),
    minutes=st.integers(1, 60),
)  # fmt: skip
def test_one_at_a_time_inside_the_stretch_and_repeatable(
    seed: int, per_minute: float, duration_ms: int, minutes: int
) -> None:
    how = Dislocating(per_minute, 40.0, duration_ms, 500.0)
    from_ns, to_ns = HOUR_NS, HOUR_NS + minutes * 60_000_000_000
    made = plan(PAIRS, how, seed=seed, from_ns=from_ns, to_ns=to_ns)
    assert made == plan(PAIRS[::-1], how, seed=seed, from_ns=from_ns, to_ns=to_ns)
    assert all(b.start_ns - a.end_ns >= PAUSE_NS for a, b in zip(made, made[1:], strict=False))
    assert all(from_ns <= one.start_ns and one.end_ns <= to_ns for one in made)
    assert all(20 <= abs(one.bps) <= 60 and one.depth_usd == 500 for one in made)
    assert len(made) <= round(minutes * per_minute)


def test_all_pairs_and_both_directions_have_their_turn() -> None:
    made = plan(PAIRS, Dislocating(6.0), seed=2, from_ns=0, to_ns=HOUR_NS)
    found = Counter((one.symbol, one.bps > 0) for one in made)
    assert len(found) == 2 * len(PAIRS) and 300 < len(made) <= 360


def test_none_where_none_is_wanted_and_no_triangle_is_refused() -> None:
    assert plan((), Dislocating(), seed=1, from_ns=0, to_ns=HOUR_NS) == []
    with pytest.raises(BadInput, match="three pairs"):
        plan((), Dislocating(1.0), seed=1, from_ns=0, to_ns=HOUR_NS)


@pytest.mark.parametrize(
    "fields", [{"per_minute": float("nan")}, {"per_minute": 61}, {"bps": 0.5}, {"duration_ms": 10}, {"depth_usd": 0}]
)
def test_absurd_dislocations_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="dislocations"):
        Dislocating(**fields)  # type: ignore[arg-type]
