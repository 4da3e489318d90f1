"""The market's regime: incremental features against their definitions, no look-ahead, no say for symbols' order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs
from probes import Desk
from streams import HOUR_NS, MINUTE_NS, START_NS, events, instrument, merged, paths, perp

from engine.contracts.records import FUNDING, REGIME
from engine.core import regime
from engine.core.regime import CALM_DOWN, CALM_UP, CHOP, CONFIRM_BARS, FEATURES, REGIMES, TABLE, THIN, WILD

BASE_NS, LONG_NS = 300 * 10**9, 1800 * 10**9
WARM = 40  # longest bars before anything is known
INSTRUMENTS = [instrument("AAA"), instrument("BTC"), perp("BBB")]


def walk(seed: int, hours: float, step_s: int = 60, volatility: float = 0.001, drift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    count = int(hours * 3600 / step_s)
    return np.maximum(20_000 * np.exp(np.cumsum(rng.normal(drift, volatility, count))), 50).astype(np.int64)


def market(walks: dict[int, np.ndarray], step_s: int = 60, lots: int = 100) -> np.ndarray:
    """A price every `step_s` for each instrument, one second apart."""
    parts = [
        paths(START_NS + (np.arange(len(ticks)) * step_s + i) * 10**9, i, ticks, lots=lots)
        for i, ticks in walks.items()
    ]
    return merged(parts)


def seen(stream: np.ndarray, instruments: Any = INSTRUMENTS) -> tuple[Desk, Any]:
    """A core that trades nothing, after the stream; the REGIME notes it made."""
    desk = Desk(list(instruments), strategies={})
    said = desk.feed(stream)
    return desk, said[said["kind"] == REGIME]


def three(seed: int = 1, hours: float = 40) -> np.ndarray:
    """A market that falls quietly, storms and rises quietly; the other two follow it loosely."""
    calm = walk(seed, hours / 2, drift=-0.0002)
    storm = calm[-1] * walk(seed + 1, hours / 10, volatility=0.02) / 20_000
    rise = storm[-1] * walk(seed + 2, hours / 2, drift=0.0003) / 20_000
    btc = np.maximum(np.concatenate([calm, storm, rise]), 50).astype(np.int64)
    count = len(btc)
    return market({0: (btc * 0.5).astype(np.int64) + 9, 1: btc, 2: walk(seed + 3, 99)[:count] // 3 + btc // 3})


def test_features_are_their_definitions() -> None:
    stream = three()
    desk, _ = seen(stream)
    mine = stream[stream["instrument"] == 1]
    price = pd.Series(mine["price_ticks"], index=mine["venue_ts_ns"])
    turnover = price * mine["qty_lots"]
    base = price.groupby(price.index // BASE_NS).last()[:-1]  # the last bar is still forming
    longer = price.groupby(price.index // LONG_NS).agg(["max", "min", "last"])[:-1]
    fast, slow = (longer["last"].ewm(span=span, adjust=False).mean().iloc[-1] for span in (12, 36))
    before = longer["last"].shift()
    highest = pd.concat([longer["max"], before], axis=1).max(axis=1)
    span = highest - pd.concat([longer["min"], before], axis=1).min(axis=1)
    features = dict(zip(FEATURES, desk.state.climate[0].features.tolist(), strict=True))
    assert features["trend"] == pytest.approx((fast - slow) / smoothed(span, 14), rel=1e-9)
    square = base.pct_change().fillna(0.0) ** 2
    assert features["volatility"] == pytest.approx((smoothed(square, 12) / smoothed(square, 288)) ** 0.5, rel=1e-9)
    flow = turnover.groupby(turnover.index // BASE_NS).sum()[:-1]
    assert features["liquidity"] == pytest.approx(smoothed(flow, 12) / smoothed(flow, 288), rel=1e-9)
    gauges = desk.state.gauges
    assert features["breadth"] == np.mean(gauges["fast"] > gauges["slow"])
    assert desk.state.climate[0].leader == 1 and features["spread"] > 0.5


def smoothed(values: pd.Series, span: int) -> float:
    """Wilder's mean, the slow way."""
    mean = float(values.iloc[0])
    for n, value in enumerate(values.iloc[1:], 1):
        mean += (float(value) - mean) / min(span, n + 1)
    return mean


def test_a_market_that_falls_storms_and_rises_is_called_so() -> None:
    desk, notes = seen(three())
    named = [REGIMES[one] for one in notes["regime"]]
    assert named[0] in ("calm_down", "chop") and "calm_down" in named and "wild" in named
    assert named[-1] == "calm_up" == REGIMES[desk.state.climate[0].regime]
    assert notes["before"].tolist() == [0, *notes["regime"].tolist()[:-1]]


@pytest.mark.parametrize("future", ["cut off", "shuffled", "inverted"])
def test_what_is_still_to_come_changes_nothing_before(future: str) -> None:
    stream = three(5)
    _, full = seen(stream)
    for share in (0.5, 0.7, 0.9):
        cut = int(len(stream) * share)
        other = stream.copy()
        if future == "cut off":
            other = other[:cut]
        elif future == "shuffled":
            other["price_ticks"][cut:] = np.random.default_rng(cut).permutation(other["price_ticks"][cut:])
        else:
            other["price_ticks"][cut:] = 4 * 10**8 // other["price_ticks"][cut:]
        limit = int(stream["ts_ns"][cut])
        _, notes = seen(other)
        then, now = full[full["ts_ns"] < limit], notes[notes["ts_ns"] < limit]
        assert then.tobytes() == now.tobytes() and len(then) > 1


def test_the_order_of_symbols_does_not_matter() -> None:
    stream = three(9)
    desk, notes = seen(stream)
    order = [2, 0, 1]
    moved = stream.copy()
    moved["instrument"] = np.argsort(order)[stream["instrument"]]
    other, again = seen(moved, [INSTRUMENTS[k] for k in order])
    assert [order[int(i)] for i in again["instrument"]] == notes["instrument"].tolist() and len(notes) > 2
    for field in ("regime", "trend_e9", "volatility_e9", "breadth_e9", "spread_e9", "liquidity_e9", "funding_e6"):
        assert again[field].tolist() == notes[field].tolist(), field
    assert other.state.climate[0].features.tobytes() == desk.state.climate[0].features.tobytes()


def test_without_bitcoin_the_breadth_of_all_is_the_trend() -> None:
    three_coins = [instrument("AAA"), instrument("DDD"), perp("BBB")]
    walks = {i: walk(3 + i, 30, drift=0.0004) for i in range(3)}
    desk, notes = seen(market(walks), three_coins)
    features = desk.state.climate[0].features
    assert desk.state.climate[0].leader == regime.NOBODY and set(notes["instrument"]) == {65_535}
    assert features[regime.TREND] == 2 * features[regime.BREADTH] - 1


def test_the_pair_with_most_turnover_leads_and_a_silent_one_does_so_no_more() -> None:
    pairs = [instrument("BTC", venue="one"), instrument("BTC", venue="two"), instrument("AAA")]
    ticks = walk(1, 30)
    quiet = market({0: ticks, 2: ticks // 2}, lots=100)
    loud = market({1: ticks}, lots=900)
    both = merged([quiet, loud])
    desk, _ = seen(both, pairs)
    assert desk.state.climate[0].leader == 1
    half = both[~((both["instrument"] == 1) & (both["venue_ts_ns"] > START_NS + 20 * HOUR_NS))]
    desk, _ = seen(half, pairs)
    assert desk.state.climate[0].leader == 0


def test_funding_is_that_of_the_perpetual_and_a_high_one_is_wild() -> None:
    ticks = walk(2, 30)
    rate = events(1, ts_ns=START_NS + 25 * HOUR_NS, kind=FUNDING, instrument=2, rate_e12=2_000_000_000)
    desk, notes = seen(merged([market({1: ticks, 2: ticks // 2}), rate]))
    assert desk.state.climate[0].features[regime.FUNDING] == 0.002
    assert (notes["regime"][-1], notes["funding_e6"][-1]) == (WILD, 2_000)


def test_history_is_learned_in_silence_and_told_with_the_first_bar_of_the_present() -> None:
    stream = three(1)
    past = stream.copy()
    cut = int(len(past) * 0.95)
    past["ts_ns"][:cut] = 0
    desk, notes = seen(past)
    _, live = seen(stream)
    assert len(live) > 2 and len(notes) == 1 and notes["before"][0] == 0
    assert notes["regime"][0] == live["regime"][-1] and notes["ts_ns"][0] >= stream["ts_ns"][cut]


def test_a_dead_market_chops() -> None:
    desk, notes = seen(market({1: np.full(1_500, 5_000)}))
    assert notes["regime"].tolist() == [CHOP] and np.isfinite(desk.state.climate[0].features).all()


# --- the table -------------------------------------------------------------------------------------------


def classified(**features: float) -> int:
    usual = {"trend": 0.0, "volatility": 1.0, "breadth": 0.5, "spread": 1.0, "liquidity": 1.0}
    return int(plain_classify(np.array([(usual | features).get(name, 0.0) for name in FEATURES])))


plain_classify = getattr(regime.classify, "py_func", regime.classify)


def test_the_table_names_what_it_says() -> None:
    assert classified() == CHOP
    assert classified(trend=0.6, breadth=0.7) == CALM_UP and classified(trend=0.6, breadth=0.2) == CHOP
    assert classified(trend=-0.6, breadth=0.3) == CALM_DOWN
    assert classified(trend=0.6, breadth=0.7, volatility=2.5) == WILD == classified(funding=-0.002)
    assert classified(cycles=100) == WILD
    assert classified(spread=3.0) == THIN == classified(liquidity=0.1)
    assert TABLE[-1][1] == {} and len(REGIMES) <= regime.ROOM


def in_words(bounds: dict[int, tuple[float, float]]) -> str:
    """The bounds of a row as the document writes them."""
    said = [f"{FEATURES[k]} at {'least' if np.isfinite(low) else 'most'} {low if np.isfinite(low) else high:g}"
            for k, (low, high) in bounds.items()]  # fmt: skip
    return ", ".join(said) or "anything else"


def test_the_document_shows_the_table_as_it_is() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "strategies" / "selector.md").read_text(encoding="utf-8")
    lines = [f"| {REGIMES[row]} | {in_words(bounds)} |" for row, bounds in TABLE]
    assert "\n".join(lines) in page


@settings(max_examples=200, deadline=None)
@given(hs.lists(hs.floats(-1e9, 1e9), min_size=7, max_size=7))
def test_every_market_has_one_of_the_named_regimes(features: list[float]) -> None:
    assert plain_classify(np.array(features)) in {row for row, _ in TABLE}


def test_a_regime_is_taken_over_only_after_so_many_bars() -> None:
    desk, notes = seen(three())
    for one in notes:
        assert one.ts_ns >= START_NS + WARM * LONG_NS // 2
    gaps = np.diff(notes["ts_ns"])
    assert (gaps >= CONFIRM_BARS * BASE_NS - MINUTE_NS).all()
