"""Arbitrage against the simulated venue: books that agree to the last unit, and no trade where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streams import START_NS, Array, Stream, events, merged, play
from triangles_desk import BTC, BTC_USDC, CROSS, ETH, USDC, pairs, trading

from engine.contracts import reasons
from engine.contracts import records as r
from engine.core import state
from engine.core.limits import Limits

MS = 1_000_000
UNITS = {BTC: 100.0, ETH: 100.0, CROSS: 1e6, USDC: 1e4, BTC_USDC: 100.0}

PROGRAM = """
import sys
sys.path.insert(0, "tests/core"); sys.path.insert(0, ".")
from test_triangle_sessions import fingerprint
print(fingerprint(60))
"""


def market(seed: int, seconds: int, dislocated: bool = True, lots: int = 10**7, **changes: Any) -> Stream:
    """Quotes of five pairs, five a second each, consistent with each other but for ETH/BTC, which every ten seconds is
    40 bps too cheap for two of them, and BTC/USDC likewise five seconds later. SYNTHETIC."""
    rng = np.random.default_rng(seed)
    count = seconds * 5
    ts = START_NS + 3_600_000_000_000 + np.arange(count) * 200 * MS
    btc = 50_000 * np.exp(np.cumsum(rng.normal(0, 2e-5, count)))
    eth = btc * 0.04 * np.exp(np.cumsum(rng.normal(0, 2e-5, count)))
    second = np.arange(count) // 5
    off = 0.004 * dislocated
    cross = eth / btc * (1 - off * (second % 10 < 2))
    mids = {BTC: btc, ETH: eth, CROSS: cross, USDC: np.ones(count), BTC_USDC: btc * (1 - off * (second % 10 // 2 == 3))}
    parts: list[Array] = []
    for i, mid in mids.items():
        ticks = np.maximum((mid * UNITS[i]).astype(np.int64), 2)
        columns = {"bid_ticks": ticks, "ask_ticks": ticks + 1, "bid_lots": lots, "ask_lots": lots}
        parts.append(events(count, ts_ns=ts + i * 7 * MS, kind=r.QUOTE, instrument=i, **columns))
    return Stream(pairs(**changes), merged(parts, latency_ns=5 * MS))


WORLD: dict[str, Any] = {"limits": Limits(max_data_age_s=60, orders_per_minute=600)}


def fingerprint(seconds: int) -> str:
    played = play(market(3, seconds), strategies=trading(), doubts=5, **WORLD)
    return state.digest(played.session.core)


@pytest.mark.parametrize("in_base", [False, True])
@pytest.mark.parametrize("doubts", [0, 3])
def test_books_agree_with_the_venue_to_the_last_unit(in_base: bool, doubts: int) -> None:
    stream = market(1, 120, fee_in_base=in_base)
    played = play(stream, strategies=trading(), doubts=doubts, **WORLD)
    core, venue = played.session.core, played.session.venue
    assert played.session.found == {}
    ends = [int(one["reason"]) for one in played.of(r.CYCLE) if one["reason"] != reasons.CYCLE_BEGUN]
    assert ends.count(reasons.CYCLE_DONE) > 5
    closed = played.of(r.CLOSED)
    net = closed["gross_e8"] - closed["fees_e8"]
    assert (net > 0).mean() > 0.7 and net.sum() > 0
    assert int(net.sum()) == int(core.state.head[0].gross_e8 - core.state.head[0].fees_e8)
    head = core.state.head[0]
    assert int(venue.head[0].cash_e8) == int(head.cash_e8)
    for i, row in enumerate(core.state.instruments):
        if row.base_home == i:
            assert int(venue.holdings[i].base_e8) == int(core.state.pots[i].qty_e8)
    assert not venue.promised_e8.any() and venue.head[0].locked_e8 == 0


def test_a_dead_market_makes_no_cycle() -> None:
    played = play(market(2, 120, dislocated=False), strategies=trading(min_edge_bps=0.1, decay_bps=0), **WORLD)
    assert not len(played.of(r.PLACE)) and not len(played.of(r.CYCLE))


def test_thin_books_fill_in_part_and_lose_no_more_than_their_bound() -> None:
    played = play(market(5, 120, lots=400), strategies=trading(max_seconds=1), **WORLD)
    assert played.session.found == {}
    closed = played.of(r.CLOSED)
    lost = closed["fees_e8"] - closed["gross_e8"]
    assert len(closed) and (lost <= np.maximum(closed["risk_e8"], 0) + 10**6).all()


def test_in_shadow_nothing_is_sent_until_it_has_paid() -> None:
    played = play(market(4, 120), strategies=trading(shadow_cycles=5, leg_ms=100), **WORLD)
    cycles = played.of(r.CYCLE)
    shadow = cycles[cycles["bits"] == r.SHADOW]
    first = int(np.argmax(cycles["reason"] == reasons.SHADOW_PASSED))
    assert len(shadow) >= 5 and first >= 5
    assert played.of(r.PLACE)["ts_ns"].min() > cycles["ts_ns"][first]


def test_compiled_and_uncompiled_give_the_same_bytes() -> None:
    slow = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=Path(__file__).resolve().parents[2],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert slow.stdout.strip() == fingerprint(60)


def test_the_future_changes_nothing() -> None:
    stream = market(6, 60)
    whole = play(stream, strategies=trading(), **WORLD)
    cut = Stream(stream.instruments, stream.events[: len(stream.events) // 2])
    half = play(cut, strategies=trading(), **WORLD)
    until = int(cut.events["ts_ns"][-1])
    mine, theirs = half.of(r.PLACE), whole.of(r.PLACE)
    mine, theirs = mine[mine["ts_ns"] <= until], theirs[theirs["ts_ns"] <= until]
    assert len(mine) > 5 and mine.tobytes() == theirs.tobytes()
