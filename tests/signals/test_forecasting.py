"""Forecasts of Python classes in a backtest: what they are shown, when they are heard, and that nothing looks ahead."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "core"))
from spoken import Spy
from streams import (
    SECOND_NS,
    START_NS,
    Stream,
    Weather,
    events,
    instrument,
    merged,
    perp,
    quote,
    random_stream,
    taken,
)

from engine.contracts import reasons
from engine.contracts.errors import BadInput
from engine.contracts.records import DEPTH, FEED_STATUS, FORECAST, LAST, NO_INSTRUMENT, RECORD, TRADE, VIOLATION, joined
from engine.contracts.signals import Forecast
from engine.core.bars import RING
from engine.core.closings import CLOSING, new_watch, watch_closings
from engine.core.limits import Limits
from engine.core.output import new_output
from engine.core.replay import step_all
from engine.core.state import new_core
from engine.research.session import Session
from engine.signals.forecasting import Closings, Forecasting
from engine.signals.plan import SignalPlan
from engine.signals.speaking import Speaker
from engine.simulation.venue import SimulationModel

INSTRUMENTS = [instrument("AAA"), perp("BBB"), instrument("CCC")]
STREAM = random_stream(7, INSTRUMENTS, Weather(hours=10, step_s=75, volatility=0.003, hole_chance=0.2))


def plan(class_path: str = "spoken:Drift", name: str = "mine", **changes: Any) -> SignalPlan:
    return SignalPlan(name=name, class_path=class_path, **changes)


def heard(stream: Stream, *plans: SignalPlan, size: int = 4_096) -> Any:
    """The forecasts among the events of a stream, in order."""
    found = Forecasting(stream, {one.name: one for one in plans})
    blocks = [block[block["kind"] == FORECAST] for block in found.blocks(size)]
    return joined([block for block in blocks if len(block)] or [np.zeros(0, RECORD)], RECORD)


# --- bars -----------------------------------------------------------------------------------------


def troubled(seed: int) -> Any:
    """Ticks, depth, damage and feeds that break, in order of time."""
    rng = np.random.default_rng(seed)
    parts = [random_stream(seed, INSTRUMENTS, Weather(hours=3, step_s=40, ticks=True)).events]
    moments = START_NS + 13 * 3_600 * SECOND_NS + np.sort(rng.integers(0, 3 * 3_600, 60)) * SECOND_NS
    for moment in moments.tolist():
        i = int(rng.integers(0, 3))
        made = rng.integers(0, 5)
        if made == 0:
            what = events(1, ts_ns=moment, kind=FEED_STATUS, instrument=rng.choice([i, NO_INSTRUMENT]))
        elif made == 1:
            what = events(1, ts_ns=moment, kind=FEED_STATUS, instrument=i, reason=reasons.BARS_FORGOTTEN)
        elif made == 2:
            what = quote(moment, i, 900, 890)
        elif made == 3:
            prices = {"bid_ticks": 1_000, "ask_ticks": 1_010, "bid_lots": 5, "ask_lots": 5}
            what = events(1, ts_ns=moment, kind=DEPTH, instrument=i, bits=LAST, **prices)
        else:
            what = events(1, ts_ns=moment, kind=TRADE, instrument=int(rng.choice([i, 77])), price_ticks=-1)
        parts.append(what)
    whole = merged(parts)
    return taken(whole, np.argsort(whole["ts_ns"], kind="stable"))


@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(seed=st.integers(0, 2**32), room=st.integers(1, 50))
def test_bars_beside_the_core_are_the_bars_of_the_core(seed: int, room: int) -> None:
    market = troubled(seed)
    core = new_core(INSTRUMENTS, Limits(), 1_000.0, {}, (60, 300, 900))
    assert step_all(core.state, market, new_output()) == len(market)
    for k, width_s in enumerate((60, 300, 900)):
        watch, closings = new_watch(len(INSTRUMENTS), width_s), np.zeros(room, CLOSING)
        found: list[list[Any]] = [[] for _ in INSTRUMENTS]
        told = 0
        while watch.at[0] < len(market):
            for one in closings[: watch_closings(watch, market, closings)].copy():
                mine = found[int(one["instrument"])]
                told += 1
                mine.clear() if one["forgotten"] else mine.append(one)
        for i, mine in enumerate(found):
            closed = int(core.state.bars[i, k].closed)
            assert closed == len(mine)
            ring = [core.state.ring[i, k, n % RING] for n in range(max(0, closed - RING), closed)]
            for name in core.state.ring.dtype.names:
                assert [one[name] for one in ring] == [one[name] for one in mine[-RING:]], name
        assert k or told > 100


def test_a_source_sees_what_pandas_makes_of_the_ticks_and_nothing_later(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = pd.DataFrame({"i": STREAM.events["instrument"], "price": STREAM.events["price_ticks"] / 100,
                           "lots": STREAM.events["qty_lots"] / 100}, index=STREAM.events["venue_ts_ns"])  # fmt: skip
    expected = []
    for i in range(len(INSTRUMENTS)):
        mine = prices[prices["i"] == i]
        groups = mine.groupby(mine.index // (300 * SECOND_NS) * (300 * SECOND_NS))
        expected.append(groups["price"].ohlc().join(groups["lots"].sum()))
    seen: list[Any] = []

    def look(bar: Any, history: Any) -> None:
        i = [one.symbol for one in INSTRUMENTS].index(bar.symbol)
        rows = expected[i].loc[: bar.start_ns].tail(12)
        assert history.bars["start_ns"].tolist() == rows.index.tolist()
        for name in ("open", "high", "low", "close"):
            assert history.bars[name].tolist() == rows[name].tolist()
        assert history.bars["volume"] == pytest.approx(rows["lots"].to_numpy())
        assert bar == (
            bar.venue,
            bar.symbol,
            bar.start_ns,
            bar.start_ns + 300 * SECOND_NS,
            *history.bars[-1].item()[1:],
        )
        for other in INSTRUMENTS:
            bars = history.of(other.symbol)
            later = bars["start_ns"][bars["start_ns"] > bar.start_ns]
            assert len(later) == 0 or bar.symbol != other.symbol
            with pytest.raises(ValueError, match="read-only"):
                bars["close"][:] = 0
        with pytest.raises(KeyError, match="ZZZ is not traded; there are AAAUSDT"):
            history.of("ZZZ")
        seen.append((bar, history.bars, history.bars.copy()))

    monkeypatch.setattr(Spy, "look", staticmethod(look))
    assert len(heard(STREAM, plan("spoken:Spy"))) > 50
    assert len(seen) == sum(len(one) - 1 for one in expected) > 300
    assert all(np.array_equal(kept, then) for _, kept, then in seen), "what was handed out stays as it was"


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 97, 100_000])
def test_a_forecast_is_heard_in_its_place_however_the_market_is_cut(size: int) -> None:
    mine = plan(delay_ms=1_500.0)
    whole = joined(list(Forecasting(STREAM, {"mine": mine}).blocks(100_000)), RECORD)
    again = joined(list(Forecasting(Cut(size), {"mine": mine}).blocks()), RECORD)
    assert again.tobytes() == whole.tobytes()
    assert (np.diff(whole["ts_ns"]) >= 0).all()
    closed = {(int(one["instrument"]), int(one["start_ns"])): int(one["ts_ns"]) for one in closings_of(300)}
    forecasts = whole[whole["kind"] == FORECAST]
    for one in forecasts:
        about = (int(one["instrument"]), int(one["venue_ts_ns"]) - 300 * SECOND_NS)
        assert one["ts_ns"] == closed[about] + 1_500_000_000
    given = forecasts[forecasts["confidence_e9"] > 0]
    assert len(given) > 100 and (given["expires_ns"] == given["venue_ts_ns"] + 900 * SECOND_NS).all()
    market = whole[whole["kind"] != FORECAST]
    assert market.tobytes() == STREAM.events.tobytes()


class Cut:
    """The stream in blocks of another size."""

    instruments = INSTRUMENTS

    def __init__(self, size: int) -> None:
        self._size = size

    def blocks(self, max_records: int = 0) -> Any:
        return STREAM.blocks(self._size)


def closings_of(width_s: int) -> Any:
    return [one.copy() for one in Closings(len(INSTRUMENTS), width_s).take(STREAM.events)]


@pytest.mark.parametrize("kind", ["Drift", "Leader", "engine.signals.reversion:Reversion"])
@pytest.mark.parametrize("future", ["cut off", "shuffled", "inverted"])
def test_what_is_still_to_come_changes_no_forecast_before(kind: str, future: str) -> None:
    path, given = (kind, {"span": 12, "enter_z": 0.5}) if ":" in kind else (f"spoken:{kind}", {})
    mine = plan(path, parameters=given)
    full = heard(STREAM, mine)
    assert len(full) > 100
    for share in (0.3, 0.55, 0.8):
        cut = int(len(STREAM.events) * share)
        market = STREAM.events.copy()
        if future == "cut off":
            market = market[:cut]
        elif future == "shuffled":
            market["price_ticks"][cut:] = np.random.default_rng(cut).permutation(market["price_ticks"][cut:])
        else:
            market["price_ticks"][cut:] = 20_000_000 // np.maximum(market["price_ticks"][cut:], 5)
        until = int(STREAM.events["ts_ns"][cut - 1])
        before = [one[one["ts_ns"] < until] for one in (full, heard(Stream(INSTRUMENTS, market), mine))]
        assert before[0].tobytes() == before[1].tobytes() and len(before[0]) > 20


# --- what is said ---------------------------------------------------------------------------------


def test_no_opinion_takes_back_what_stands_and_nothing_else() -> None:
    speaker, up = Speaker(3, 99), Forecast(0.01, 0.5, 600.0)
    end, later = 1_000 * SECOND_NS, 1_001 * SECOND_NS
    assert speaker.event(0, None, end, later) is None
    said = speaker.event(0, up, end, later)
    assert said is not None and said[0].tolist()[2:] is not None
    assert [int(said[name][0]) for name in ("index", "value_e9", "confidence_e9", "expires_ns", "digest")] == [
        3, 10_000_000, 500_000_000, 1_600 * SECOND_NS, 99,
    ]  # fmt: skip
    assert speaker.event(1, None, end, later) is None, "another instrument has nothing to take back"
    back = speaker.event(0, None, end + 300 * SECOND_NS, 1_302 * SECOND_NS)
    assert back is not None and [int(back[n][0]) for n in ("confidence_e9", "expires_ns")] == [0, 1_302 * SECOND_NS]
    assert speaker.event(0, None, end + 600 * SECOND_NS, 1_602 * SECOND_NS) is None
    assert speaker.event(0, up, end, 1_600 * SECOND_NS) is None, "over before anybody hears it"


@pytest.mark.parametrize(
    ("how", "wrong"),
    [
        ("raise", "on_bar failed at spoken.py:.*ZeroDivisionError"),
        ("nan", "Forecast.value = nan is outside -1 to 1"),
        ("infinite", "Forecast.value = inf"),
        ("huge", "Forecast.value = 25.0 is outside -1 to 1"),
        ("sure", "Forecast.confidence = 1.5 is outside 0 to 1"),
        ("negative", "Forecast.confidence = -0.1"),
        ("for ever", "Forecast.valid_s = 1000000000.0 is outside above 0 to 604,800"),
        ("over", "Forecast.valid_s = 0.0"),
        ("number", "on_bar returned float 0.01, not a Forecast or None"),
        ("words", ".* must be made of numbers"),
    ],
)
def test_a_source_that_fails_ends_the_backtest_with_its_place(how: str, wrong: str) -> None:
    with pytest.raises(BadInput, match=rf"signals.mine \(spoken:Bad\), ...USDT, bar that ended 2025-01-01T.*: {wrong}"):
        heard(STREAM, plan("spoken:Bad", parameters={"how": how}))


def test_a_forecast_that_is_over_before_it_is_heard_is_not_said() -> None:
    assert len(heard(STREAM, plan("spoken:Bad", parameters={"how": "late"}))) == 0


def test_one_source_speaks_for_one_instrument() -> None:
    parts = [plan(name="a", symbols=("AAAUSDT",)), plan(name="b", symbols=("test:BBBUSDT", "CCCUSDT"))]
    found = heard(STREAM, *parts)
    assert {(int(i), int(n)) for i, n in zip(found["instrument"], found["index"], strict=True)} == {
        (0, 0),
        (1, 1),
        (2, 1),
    }
    assert found["digest"][0] != 0
    with pytest.raises(BadInput, match="signals.a and signals.all both speak for AAAUSDT"):
        heard(STREAM, parts[0], plan(name="all"))


# --- through the core -----------------------------------------------------------------------------


def session(market: Any, kept: list[Any]) -> Session:
    return Session(
        market, strategies={"crossover": {"fast": 2, "slow": 4, "notional_usd": 60.0}}, capital_usd=1_000.0,
        limits=Limits(), simulation=SimulationModel(), timeframes_s=(300, 900, 1800), sinks=[kept.append],
    )  # fmt: skip


def test_forecasts_are_journalled_known_to_the_core_and_disturb_nothing() -> None:
    kept: list[Any] = []
    plain: list[Any] = []
    made = session(Forecasting(STREAM, {"mine": plan()}), kept)
    made.run()
    session(STREAM, plain).run()
    records, without = joined(kept)["record"], joined(plain)["record"]
    forecasts = records[records["kind"] == FORECAST]
    assert forecasts.tobytes() == heard(STREAM, plan())[: len(forecasts)].tobytes() and len(forecasts) > 100
    for i, row in enumerate(made.core.state.forecasts):
        last = forecasts[forecasts["instrument"] == i][-1]
        for name in ("value_e9", "confidence_e9", "expires_ns", "digest"):
            assert row[name] == last[name]
    done = [one[(one["kind"] != FORECAST) & (one["kind"] <= VIOLATION)] for one in (records, without)]
    assert done[0].tobytes() == done[1].tobytes(), "crossover follows no forecast"


def test_a_session_cut_anywhere_goes_on_the_same() -> None:
    whole: list[Any] = []
    session(Forecasting(STREAM, {"mine": plan()}), whole).run()
    expected = joined(whole)
    for until in (200, 733):
        parts: list[Any] = []
        first = session(Forecasting(STREAM, {"mine": plan()}), parts)
        first.run(until_seq=until)
        second = session(Forecasting(STREAM, {"mine": plan()}), parts)
        second.restore(first.save())
        second.run()
        assert joined(parts).tobytes() == expected.tobytes()
