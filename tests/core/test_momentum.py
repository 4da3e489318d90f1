"""Momentum with everything switched on: blind to the future, quiet in a dead market, and each objection has a name."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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

from engine.contracts import reasons
from engine.contracts.records import CLOSED, FORECAST, PLACE, REFUSED, TRADE_SIZE
from engine.core import state

EVERYTHING = {
    "momentum": EAGER["momentum"] | {
        "min_place": 0.5, "min_breadth": 0.2, "min_btc_trend": -0.1, "max_btc_range_pct": 8, "pump_volume": 1.2,
        "pump_rise_pct": 1.0, "pump_candle_share": 0.2, "pump_minutes": 30, "max_correlated_risk": 0.8,
        "forecast_weight": 0.5, "first_exit_share": 0.4, "first_target_r": 0.6,
    }
}  # fmt: skip
INSTRUMENTS = [instrument("AAA"), perp("BBB"), instrument("BTC"), instrument("CCC", fee_in_base=True)]


def forecasts(stream: Stream) -> Any:
    """One every half hour and instrument, for and against by turns."""
    rng = np.random.default_rng(3)
    made = []
    for i in range(len(stream.instruments)):
        ts = START_NS + 13 * 60 * MINUTE_NS + (np.arange(32) * 30 + 7) * MINUTE_NS
        words = {"value_e9": rng.integers(-(10**7), 10**7, 32), "confidence_e9": rng.integers(0, 10**9, 32)}
        made.append(events(32, ts_ns=ts, kind=FORECAST, instrument=i, expires_ns=ts + 40 * MINUTE_NS, **words))
    return made


STREAM = random_stream(21, INSTRUMENTS, Weather(hours=16, step_s=75, volatility=0.003))
TOLD = sorted(
    ((int(np.searchsorted(STREAM.events["ts_ns"], int(one["ts_ns"][k]))) + 1, one[k : k + 1].copy())
     for one in forecasts(STREAM) for k in range(len(one))),
    key=lambda pair: pair[0],
)  # fmt: skip


def played(market: Any, instruments: Any = INSTRUMENTS, told: Any = TOLD) -> Any:
    return play(Stream(instruments, market), told, strategies=EVERYTHING)


@pytest.fixture(scope="module")
def whole() -> Any:
    return played(STREAM.events)


def test_everything_was_at_work(whole: Any) -> None:
    refused = {reasons.name(int(code)) for code in whole.of(REFUSED)["reason"]}
    assert {"RANKED_LOW", "MARKET_AGAINST", "PUMP"} <= refused
    assert (whole.of(PLACE)["reason"] == reasons.PARTIAL_EXIT).any() and len(whole.of(CLOSED)) > 5
    assert whole.session.found == {}


@pytest.mark.parametrize("share", [0.3, 0.55, 0.8])
def test_what_is_still_to_come_changes_nothing_before(whole: Any, share: float) -> None:
    cut = int(len(STREAM.events) * share)
    market = STREAM.events.copy()
    market["price_ticks"][cut:] = np.random.default_rng(cut).permutation(market["price_ticks"][cut:])
    market["qty_lots"][cut:] *= 7
    again = played(market, told=[pair for pair in TOLD if pair[0] <= cut] + [(cut + 50, TOLD[0][1])])
    seen = [e[e["seq"] <= cut] for e in (whole.entries, again.entries)]  # fewer than `cut` of them came from the market
    assert seen[0].tobytes() == seen[1].tobytes() and len(seen[0]) > 15


def test_the_order_of_symbols_does_not_matter(whole: Any) -> None:
    order = [3, 0, 2, 1]
    moved = np.argsort(order)
    market = STREAM.events.copy()
    market["instrument"] = moved[STREAM.events["instrument"]]
    told = [(seq, one.copy()) for seq, one in TOLD]
    for _, one in told:
        one["instrument"] = moved[one["instrument"]]
    again = played(market, [INSTRUMENTS[k] for k in order], told)
    for kind in (CLOSED, TRADE_SIZE, PLACE, REFUSED):
        rows = whole.of(kind)
        assert [order[int(i)] for i in again.of(kind)["instrument"]] == rows["instrument"].tolist() and len(rows) > 5
        for field in ("reason", "price_ticks", "qty_lots", "trigger_ticks", "client_id"):
            assert again.of(kind)[field].tolist() == rows[field].tolist()


PROGRAM = """
import sys
sys.path.insert(0, "tests/core"); sys.path.insert(0, ".")
from test_momentum import fingerprint
print(fingerprint())
"""


def fingerprint() -> str:
    """Digest of the beginning: every journalled entry and the state it ends in."""
    short = played(STREAM.events[:1400])
    assert {reasons.ENTRY_SIGNAL, reasons.PARTIAL_EXIT} <= set(short.of(PLACE)["reason"].tolist())
    assert len(short.of(REFUSED)) > 0
    return hashlib.sha256(short.entries.tobytes()).hexdigest() + state.digest(short.session.core)


def test_compiled_and_uncompiled_give_the_same_bytes() -> None:
    slow = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=Path(__file__).resolve().parents[2],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert slow.stdout.strip() == fingerprint()


def test_a_dead_market_is_never_traded_even_with_forecasts() -> None:
    ts = START_NS + np.arange(3000) * MINUTE_NS // 2
    columns = {"price_ticks": np.full(3000, 5_000), "qty_lots": 100, "spread_ticks": 2, "depth_lots": 10**6}
    market = events(3000, ts_ns=ts, kind=4, instrument=0, **columns)
    dead = play(Stream([instrument()], market), [(k, one) for k, (_, one) in enumerate(TOLD[:20], 500)],
                strategies=EVERYTHING)  # fmt: skip
    assert len(dead.of(PLACE)) == len(dead.of(REFUSED)) == 0


# --- what is open already -----------------------------------------------------------------------------


def twins(**params: float) -> Any:
    """Two pairs that move as one and break out together, and the same rules as the eager ones."""
    prices = np.round(5_000 * 1.002 ** np.arange(300)).astype(np.int64)
    prices += (np.arange(300) % 7 < 3) * 12
    parts = []
    for i in range(2):
        ts = START_NS + np.arange(300) * 150 * SECOND_NS + i * SECOND_NS
        columns = {"price_ticks": prices, "qty_lots": 5_000, "spread_ticks": 2, "depth_lots": 10**6}
        parts.append(events(300, ts_ns=ts, kind=4, instrument=i, **columns))
    market = np.concatenate([one.view(np.uint8).reshape(-1, 64) for one in parts]).reshape(-1).view(parts[0].dtype)
    market = market[np.argsort(market["ts_ns"], kind="stable")]
    rules = EAGER["momentum"] | {"stop_atr": 2.0, "trail_start_r": 20, "target_r": 50, "max_hours": 2000} | params
    return play(Stream([instrument("AAA"), instrument("BBB")], market), strategies={"momentum": rules})


def planned(result: Any) -> list[int]:
    entries = result.of(PLACE)[result.of(PLACE)["role"] == 1]
    return [int(one["qty_lots"]) for one in entries]


def test_what_moves_together_risks_one_limit_together() -> None:
    free, shared = twins(max_correlated_risk=10, risk_share=1.0), twins(max_correlated_risk=1.0, risk_share=1.0)
    assert len(planned(free)) == 2 and planned(free)[0] == pytest.approx(planned(free)[1], rel=0.05)
    first, second = planned(shared)
    assert first == planned(free)[0] and 0 < second < 0.5 * first
    refused = twins(max_correlated_risk=0.3, risk_share=1.0)
    assert reasons.CORRELATED in refused.of(REFUSED)["reason"] and len(planned(refused)) == 1
    note = refused.of(REFUSED)[refused.of(REFUSED)["reason"] == reasons.CORRELATED][0]
    assert 0.9 * note["limit_e8"] < note["measured_e8"] < 1.1 * note["limit_e8"]
