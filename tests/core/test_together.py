"""Arbitrage, momentum and scalping on one account, with the selector between them: whatever the market does, no limit
is broken at any event, and the monitor's own books agree."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import EAGER, Played, Stream, merged, word
from test_must_holds import check_falls, check_losses, some_limits
from test_shadow_books import Story
from test_triangle_sessions import market
from tick_market import KEEN, scalped, tick_stream
from triangles_desk import BTC, ETH, trading

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.records import joined
from engine.core.limits import Limits
from engine.core.strategies.table import NAMES
from engine.simulation.venue import SimulationModel

THREE: Final = {"arbitrage", "momentum", "scalping"}
SECONDS: Final = 240


def world(seed: int) -> Stream:
    """The triangle's five pairs, whose dollar prices have trends, and two perpetuals by the tick. SYNTHETIC."""
    rng = np.random.default_rng([seed, 11])
    spot = market(seed, SECONDS, dislocated=bool(rng.random() < 0.8), lots=int(rng.choice([400, 10**5, 10**7])))
    trend = np.repeat(rng.normal(0, float(rng.choice([0, 2e-4, 5e-4])), SECONDS // 20 + 1), 100)[: SECONDS * 5 + 1]
    drift = np.exp(np.cumsum(trend + rng.normal(0, 1e-4, len(trend))))
    at = (spot.events["venue_ts_ns"] - spot.events["venue_ts_ns"][0]) // 200_000_000
    for name in ("bid_ticks", "ask_ticks"):  # of what is paid in dollars: what a cycle earns stays as it was
        is_coin = np.isin(spot.events["instrument"], (BTC, ETH, 4))
        spot.events[name][is_coin] = (spot.events[name] * drift[at])[is_coin]
    spot.events["ask_ticks"] = np.maximum(spot.events["ask_ticks"], spot.events["bid_ticks"] + 1)
    perps = [scalped("PPP"), scalped("QQQ", maker_fee=Decimal("-0.00005"))]
    jump = int(rng.choice([0, 0, -30_000, 30_000]))
    ticks = tick_stream(seed, perps, float(SECONDS), float(rng.choice([5.0, 20.0, 200.0])), jump=jump)
    ticks.events["instrument"] += len(spot.instruments)
    return Stream([*spot.instruments, *perps], merged([spot.events, ticks.events], 4_000_000))


def terms(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, 12])
    momentum = EAGER["momentum"] | {"min_stop_pct": 0.05, "atr_span": 2, "max_hours": 0.1}
    return {
        "strategies": trading(min_edge_bps=float(rng.choice([0.5, 3]))) | {"momentum": momentum} | KEEN,
        "selector_params": {"enabled": float(rng.random() < 0.8), "cool_down_h": 0.01},
        "timeframes_s": (5, 15, 30), "limits": limits(rng), "doubts": int(rng.choice([0, 0, 9])),
        "simulation": SimulationModel(
            order_latency_ms=float(rng.choice([1, 20, 200])), reply_latency_ms=float(rng.choice([1, 50]))
        ),
    }  # fmt: skip


def limits(rng: np.random.Generator) -> Limits:
    """Tight or wide, and a fall from the peak that is reached within minutes."""
    drawn = {name: getattr(some_limits(rng, [15.0, 150.0]), name) for name in Limits.__struct_fields__}
    return Limits(**(drawn | {"drawdown_pct": float(rng.choice([0.2, 1, 5])), "orders_per_minute": 600.0}))


def people(seed: int, count: int) -> list[tuple[int, Any]]:
    """Pauses, resumes, an emergency now and then."""
    rng = np.random.default_rng([seed, 13])
    words = [reasons.OPERATOR_PAUSE, reasons.OPERATOR_RESUME, reasons.OPERATOR_RESUME, reasons.OPERATOR_EMERGENCY]
    moments = sorted(rng.integers(1, count, int(rng.integers(0, 6))).tolist())
    return [(at, word(r.OPERATOR, reason=words[int(rng.integers(len(words)))])) for at in moments]


def told(seed: int) -> Story:
    """Played to the end under the monitor's eyes, audited at every event."""
    stream = world(seed)
    story = Story(stream, people(seed, len(stream.events)), **terms(seed))
    story.play(200)
    return story


def check(story: Story) -> None:
    assert story.session.found == {}
    assert story.monitor is not None and story.monitor.violations == []
    played = Played(story.session, joined(story.blocks))
    assert played.of(r.VIOLATION).size == 0
    check_losses(played, Limits(trade_loss_usd=50, day_loss_usd=100))
    check_falls(played)
    core, venue = story.core.state, story.session.venue
    if venue.head[0].sends_count or venue.head[0].replies_count:
        return
    assert int(venue.head[0].cash_e8) == int(core.head[0].cash_e8)
    for i, row in enumerate(core.instruments):
        if row.base_home == i:
            assert int(venue.holdings[i].base_e8) == int(core.balances[row.base_asset])
        elif row.is_perp:
            assert int(venue.holdings[i].qty_lots) == int(core.positions[i].qty_lots)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_all_at_once_break_no_limit(seed: int) -> None:
    check(told(seed))


def test_all_of_them_trade_in_these_markets_and_limits_bite() -> None:
    traded: set[str] = set()
    why: dict[int, set[str]] = {kind: set() for kind in (r.REFUSED, r.STATE, r.GAP)}
    for seed in range(12):
        records = joined(told(seed).blocks)["record"]
        traded |= {NAMES[int(number)] for number in records["strategy"][records["kind"] == r.CLOSED] if number}
        for kind, names in why.items():
            names |= {reasons.name(int(one)) for one in records["reason"][records["kind"] == kind]}
    assert traded == THREE
    assert {"DRAWDOWN_ROOM", "EXPOSURE", "MAX_POSITIONS"} <= why[r.REFUSED]
    assert "DRAWDOWN_LIMIT" in why[r.STATE] and "GAP_DRAWDOWN" in why[r.GAP]


@pytest.mark.soak
@settings(max_examples=600, deadline=None)
@given(st.integers(0, 2**32))
def test_many_sessions_of_all_at_once(seed: int) -> None:
    check(told(seed))
