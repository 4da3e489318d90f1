"""Bars and indicators against pandas and plain definitions; and nothing ever looks at what is still to come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import Desk
from streams import (
    EAGER,
    MINUTE_NS,
    SECOND_NS,
    START_NS,
    Stream,
    Weather,
    events,
    instrument,
    perp,
    play,
    random_stream,
)
from streams import settings as session_settings

from engine.contracts.errors import BadInput
from engine.contracts.records import CLOSED, EQUITY, FIRST_NOTE, PLACE, REGIME, TRADE, TRADE_SIZE
from engine.core.bars import RING
from engine.core.compile import DISABLED
from engine.core.indicators import ema, true_range, wilder
from engine.core.limits import Limits
from engine.core.regime import CHOP
from engine.core.state import new_core
from engine.core.strategies.table import STRATEGIES

plain: Any = [f if DISABLED else f.py_func for f in (ema, true_range, wilder)]
slow_ema, slow_range, slow_wilder = plain


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), gaps=st.floats(0, 0.9))
def test_bars_are_what_pandas_makes_of_the_trades(seed: int, gaps: float) -> None:
    rng = np.random.default_rng(seed)
    count = 1500
    steps = np.where(rng.random(count) < gaps, rng.integers(0, 40 * 60, count), rng.integers(0, 20, count))
    ts = START_NS + np.cumsum(steps) * SECOND_NS
    prices, lots = rng.integers(900, 1100, count), rng.integers(1, 50, count)
    desk = Desk([instrument()], strategies={})
    desk.feed(events(count, ts_ns=ts, kind=TRADE, price_ticks=prices, qty_lots=lots))
    trades = pd.DataFrame({"price": prices, "lots": lots, "value": prices * lots}, index=pd.to_datetime(ts))
    for k, width in enumerate(("5min", "15min", "30min")):
        groups = trades.resample(width, origin="epoch")
        expected = groups["price"].ohlc().join(groups[["lots", "value"]].sum()).dropna()
        expected = expected[expected["lots"] > 0]
        bar, ring = desk.state.bars[0, k], desk.state.ring[0, k]
        closed = len(expected) - 1  # the last one is still forming
        assert bar.closed == closed
        assert [bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks, bar.volume_lots] == list(
            expected.iloc[-1][["open", "high", "low", "close", "lots"]]
        )
        for age in range(min(closed, RING)):
            row, done = expected.iloc[closed - 1 - age], ring[(closed - 1 - age) % RING]
            ohlc = [done.open_ticks, done.high_ticks, done.low_ticks, done.close_ticks]
            assert [*ohlc, done.volume_lots, done.turnover] == row.tolist()
            assert done.start_ns == expected.index[closed - 1 - age].value


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(1, 1e6), min_size=1, max_size=60), span=st.integers(2, 20))
def test_means_are_their_definitions(values: list[float], span: int) -> None:
    fast = smooth = 0.0
    for n, value in enumerate(values):
        fast, smooth = slow_ema(fast, value, span, n), slow_wilder(smooth, value, span, n)
        if n < span:
            assert smooth == pytest.approx(np.mean(values[: n + 1]), rel=1e-9)
    assert fast == pytest.approx(pd.Series(values).ewm(span=span, adjust=False).mean().iloc[-1], rel=1e-9)
    assert [slow_range(10.0, 8.0, previous) for previous in (12.0, 7.0, 0.0)] == [4.0, 3.0, 2.0]


# --- nothing looks ahead -----------------------------------------------------------------------------

INSTRUMENTS = [instrument("AAA"), perp("BBB"), instrument("CCC", fee_in_base=True)]
STREAM = random_stream(5, INSTRUMENTS, Weather(hours=16, step_s=75, volatility=0.003, funding=1e-3))


def journal(strategies: dict[str, dict[str, float]], market: np.ndarray[Any, Any]) -> Any:
    return play(Stream(INSTRUMENTS, market), strategies=strategies).entries


@pytest.mark.parametrize("name", EAGER)
@pytest.mark.parametrize("future", ["cut off", "shuffled", "inverted"])
def test_what_is_still_to_come_changes_nothing_before(name: str, future: str) -> None:
    strategies = {name: EAGER[name]}
    full = journal(strategies, STREAM.events)
    assert (full["record"]["kind"] == PLACE).sum() > 20
    for share in (0.3, 0.55, 0.8):
        cut = int(len(STREAM.events) * share)
        market = STREAM.events.copy()
        rng = np.random.default_rng(cut)
        if future == "cut off":
            market = market[:cut]
        elif future == "shuffled":
            market["price_ticks"][cut:] = rng.permutation(market["price_ticks"][cut:])
        else:
            market["price_ticks"][cut:] = 20_000_000 // np.maximum(market["price_ticks"][cut:], 5)
        before = int(STREAM.events["venue_ts_ns"][cut]) - 1
        entries = journal(strategies, market)
        if future == "cut off":
            entries = entries[:-3]  # the mark and the judgement that end a session
        seen = [e[: np.searchsorted(e["record"]["ts_ns"], before, "right")] for e in (full, entries)]
        if future == "cut off":
            assert len(seen[1]) > len(seen[0]) - 5, "all but what was on its way at the end"
            seen[0] = seen[0][: len(seen[1])]
        assert seen[0].tobytes() == seen[1].tobytes() and len(seen[0]) > 15


def test_the_order_of_symbols_does_not_matter() -> None:
    order = [2, 0, 1]
    market = STREAM.events.copy()
    market["instrument"] = np.argsort(order)[STREAM.events["instrument"]]
    there = play(STREAM)
    again = play(Stream([INSTRUMENTS[k] for k in order], market))
    for kind in (CLOSED, TRADE_SIZE, PLACE):
        rows = there.of(kind)
        mapped = [order[int(i)] for i in again.of(kind)["instrument"]]
        assert mapped == rows["instrument"].tolist() and len(rows) > 10
        for field in ("reason", "price_ticks", "qty_lots", "trigger_ticks", "client_id"):
            assert again.of(kind)[field].tolist() == rows[field].tolist()


# --- strategies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", STRATEGIES, ids=lambda row: row.name)
def test_parameters_are_typed_bounded_and_named(row: Any) -> None:
    for param in row.params:
        assert param.low <= param.default <= param.high and param.meaning, param.name
        for bad in (param.low - 1, param.high * 2 + 1, float("nan")):
            with pytest.raises(BadInput, match=f"{row.name}.{param.name} = "):
                row.resolve({param.name: bad})
        if param.whole and param.low + 0.5 < param.high:
            with pytest.raises(BadInput, match="must be a whole number"):
                row.resolve({param.name: param.low + 0.5})
    first = row.params[0]
    with pytest.raises(BadInput, match=f"did you mean '{first.name}'"):
        row.resolve({first.name + "t": 3})
    assert row.resolve({first.name: 7})[first.name] == 7.0


def test_a_strategy_nobody_knows() -> None:
    with pytest.raises(BadInput, match="unknown strategy 'martingale'; known: momentum, crossover"):
        new_core(INSTRUMENTS, Limits(), 1000.0, {"martingale": {}}, (300, 900, 1800))


def test_a_dead_market_is_never_traded() -> None:
    ts = START_NS + np.arange(3000) * MINUTE_NS // 2
    flat = np.full(3000, 5_000)
    columns = {"price_ticks": flat, "qty_lots": 100, "spread_ticks": 2, "depth_lots": 10**6}
    market = events(3000, ts_ns=ts, kind=4, instrument=0, **columns)
    played = play(Stream([instrument()], market))
    assert len(played.of(PLACE)) == 0
    noted = played.entries["record"]["kind"][played.entries["record"]["kind"] >= FIRST_NOTE]
    assert set(noted) == {EQUITY, REGIME} and played.of(REGIME)["regime"].tolist() == [CHOP]


RISING = np.round(5_000 * 1.002 ** np.arange(400)).astype(np.int64)
REASONABLE = EAGER["momentum"] | {"surge": 1.5, "min_turnover_usd": 1.0, "max_spread_bps": 30, "stop_atr": 0.5}


def entries_of(prices: Any, lots: Any, spread: int = 2, **params: float) -> int:
    ts = START_NS + np.arange(len(prices)) * 150 * SECOND_NS
    columns = {"price_ticks": prices, "qty_lots": lots, "spread_ticks": spread, "depth_lots": 10**6}
    market = events(len(prices), ts_ns=ts, kind=4, instrument=0, **columns)
    played = play(Stream([instrument()], market), strategies={"momentum": REASONABLE | params})
    return int((played.of(PLACE)["role"] == 1).sum())


def test_momentum_buys_only_where_every_rule_holds() -> None:
    surging = np.where(np.arange(400) % 40 >= 38, 5_000, 100)
    assert entries_of(RISING, surging) > 0
    assert entries_of(RISING, np.full(400, 100)) == 0, "no surge of volume"
    assert entries_of(RISING[::-1].copy(), surging) == 0, "a falling market"
    assert entries_of(RISING, surging, spread=60) == 0, "too wide a spread"
    assert entries_of(RISING, surging, min_turnover_usd=1e9) == 0, "too little turnover"
    assert entries_of(RISING, surging, min_stop_pct=0.05, max_stop_pct=0.1) == 0, "the stop would be too far"
    assert entries_of(np.where(np.arange(400) % 8 < 4, 5_000, 5_010), surging) == 0, "no new high"


def test_settings_of_these_tests_are_what_the_session_takes() -> None:
    assert set(session_settings()) == {"strategies", "capital_usd", "limits", "simulation", "timeframes_s"}
