"""What speaks against a breakout: a low place among the pairs, the market, a pump, a forecast, what is open already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import Desk
from streams import EAGER, MINUTE_NS, SECOND_NS, START_NS, instrument, perp

from engine.contracts.instruments import Instrument
from engine.contracts.records import FORECAST
from engine.core import scanner
from engine.core.bars import RING
from engine.core.compile import kernel
from engine.core.correlation import LEAST, correlated_risk_e8, correlation
from engine.core.pumps import looks_like_pump
from engine.core.regime import elect
from engine.core.strategies.momentum import forecast_factor

LONG = scanner.LONG
USUAL = {
    "by_strength": 2, "by_turnover": 1, "by_spread": 1, "min_btc_trend": -1, "max_btc_range_pct": 3,
    "pump_volume": 10, "max_correlated_risk": 1,
}  # fmt: skip


@kernel(entry=True)
def ranked(s: Any, i: int) -> tuple[float, bool, int]:
    """(place, does the market allow an entry?, leader)."""
    return scanner.place(s, i), scanner.market_allows(s), scanner.leader(s)


@kernel(entry=True)
def elected(s: Any) -> None:
    """The market has its leader."""
    elect(s)


@kernel(entry=True)
def is_pump(s: Any, i: int, leader: int) -> bool:
    return looks_like_pump(s, i, leader, s.momentum_params[0])


@kernel(entry=True)
def together(s: Any, i: int, j: int, side: int) -> tuple[float, int]:
    return correlation(s, i, j), correlated_risk_e8(s, i, side)


@kernel(entry=True)
def factor(s: Any, i: int) -> float:
    return forecast_factor(s, i)


def desk(*instruments: Any, **params: float) -> Desk:
    return Desk(list(instruments), {"momentum": EAGER["momentum"] | USUAL | params}, max_data_age_s=3600)


# --- ranking ------------------------------------------------------------------------------------------


@dataclass
class Pair:
    """What the scanner sees of a pair: means, range, turnover and spread, all in ticks."""

    fast: int = 1000
    slow: int = 1000
    atr: int = 10
    turnover: int = 10**6
    spread: int = 2
    seen: int = 100
    about: Instrument = field(default_factory=instrument)


def market(pairs: list[Pair], **params: float) -> Desk:
    made = desk(*[pair.about for pair in pairs], **params)
    for i, pair in enumerate(pairs):
        m, one, gauge = made.state.momentum[i], made.state.books[i], made.state.gauges[i]
        gauge.long_turnover, gauge.long_seen, gauge.base_seen = pair.turnover, pair.seen, pair.seen
        m.fast[LONG], m.slow[LONG], m.atr[LONG], m.turnover[LONG], m.seen[LONG] = (
            pair.fast, pair.slow, pair.atr, pair.turnover, pair.seen,
        )  # fmt: skip
        one.bid_ticks, one.ask_ticks = 1000, 1000 + pair.spread
    elected(made.state)
    return made


PAIRS = st.lists(
    st.builds(
        Pair, fast=st.integers(990, 1010), slow=st.just(1000), atr=st.integers(0, 5), turnover=st.integers(0, 5),
        spread=st.integers(1, 4),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


def by_hand(pairs: list[Pair], i: int) -> float:
    """The same place from all numbers at once."""
    strength = np.array([(p.fast - p.slow) / p.atr if p.atr else 0.0 for p in pairs])
    others = np.arange(len(pairs)) != i
    if not others.any():
        return 1.0

    def beats(values: Any) -> float:
        mine, theirs = values[i], values[others]
        return float(((mine > theirs) + 0.5 * (mine == theirs)).mean())

    turnover, spread = np.array([p.turnover for p in pairs]), -np.array([p.spread for p in pairs])
    return (2 * beats(strength) + beats(turnover) + beats(spread)) / 4


def named(pairs: list[Pair]) -> list[Pair]:
    for k, pair in enumerate(pairs):
        pair.about = instrument(f"A{k}")
    return pairs


@settings(max_examples=40, deadline=None)
@given(PAIRS, st.randoms(use_true_random=False))
def test_a_place_is_the_share_of_pairs_that_are_worse_in_whatever_order(pairs: list[Pair], random: Any) -> None:
    named(pairs)
    places = [ranked(market(pairs).state, i)[0] for i in range(len(pairs))]
    assert places == pytest.approx([by_hand(pairs, i) for i in range(len(pairs))], abs=1e-12)
    order = list(range(len(pairs)))
    random.shuffle(order)
    again = market([pairs[k] for k in order])
    assert [ranked(again.state, order.index(i))[0] for i in range(len(pairs))] == places


def test_stablecoins_other_quotes_and_cold_pairs_are_not_held_against_it() -> None:
    strong = {"fast": 2000, "turnover": 10**9, "spread": 1}
    pairs = [
        Pair(about=instrument("AAA")),
        Pair(about=instrument("USDC", cluster="stable"), **strong),
        Pair(about=instrument("BBB", quote="ETH"), **strong),
        Pair(about=instrument("CCC"), seen=1, **strong),
    ]
    assert ranked(market(pairs, slow=36).state, 0)[0] == 1.0
    pairs[3].seen = 100
    assert ranked(market(pairs, slow=36).state, 0)[0] == 0.0
    assert ranked(market(pairs, slow=36, by_strength=0, by_turnover=0, by_spread=0).state, 0)[0] == 1.0


# --- the market ---------------------------------------------------------------------------------------


def btc(quote: str = "USDT", base: str = "BTC", **more: Any) -> Pair:
    return Pair(about=instrument(base, quote=quote, symbol=f"{base}{quote}"), **({"fast": 1010} | more))


def test_the_leader_is_the_most_traded_btc_pair_against_cash() -> None:
    pairs = [
        Pair(about=instrument("AAA"), turnover=10**9), btc("ETH", turnover=10**9), btc("EUR", turnover=10**9),
        btc("USDC", turnover=5), btc("USD", base="XBT", turnover=7), btc("USDT", turnover=6),
    ]  # fmt: skip
    assert ranked(market(pairs).state, 0)[2] == 4
    for seen in (0, 1):
        pairs[4].seen = seen
        assert ranked(market(pairs).state, 0)[2] == 5, "one that has not warmed up leads nobody who has"
    assert ranked(market(pairs[3:5]).state, 0)[2] == 0
    assert ranked(market(pairs[4:5]).state, 0)[2] == -1, "nor anybody else"
    assert ranked(market(pairs[:3]).state, 0)[2] == -1
    pairs[3].turnover = 6
    found = [ranked(market(order).state, 0)[2] for order in (pairs, pairs[::-1])]
    assert pairs[found[0]].about == pairs[::-1][found[1]].about, "a tie goes by name, not by place in a file"


def allowed(pairs: list[Pair], **params: float) -> bool:
    return bool(ranked(market(pairs, **params).state, 0)[1])


def test_a_falling_or_wild_leader_and_a_narrow_market_forbid_entries() -> None:
    rising = [Pair(about=instrument(name), fast=1010) for name in ("AAA", "BBB")]
    assert allowed([*rising, btc()], min_breadth=1.0)
    assert not allowed([*rising, btc(fast=1000)], min_breadth=1.0), "one of three does not rise"
    assert allowed([*rising, btc(fast=991)]) and not allowed([*rising, btc(fast=989)]), "10 ticks are one range"
    assert allowed([*rising, btc(fast=500)], min_btc_trend=-50)
    assert allowed([*rising, btc(atr=30)]) and not allowed([*rising, btc(atr=31)]), "3 % of 1,000"
    assert allowed(rising, min_breadth=1.0) and not allowed([rising[0], Pair(about=instrument("CCC"))], min_breadth=0.6)


# --- pumps --------------------------------------------------------------------------------------------


def laid(made: Desk, i: int, closes: list[int], turnover: list[float], highs: list[int] | None = None) -> None:
    """Closed base bars of five minutes, the last one ending now."""
    one, ring, n = made.state.bars[i, 0], made.state.ring[i, 0], len(closes)
    one.closed = n
    for k, (close, volume) in enumerate(zip(closes, turnover, strict=True)):
        bar = ring[k % RING]
        before = closes[max(k - 1, 0)]
        bar.start_ns = START_NS + k * 5 * MINUTE_NS
        bar.open_ticks, bar.close_ticks, bar.turnover = before, close, volume
        bar.high_ticks = max(close, before, highs[k] if highs else 0)
        bar.low_ticks = min(close, before)


THIN = [100.0] * 60


def pumped(closes: list[int], turnover: list[float], leader: list[int] | None = None, **params: float) -> bool:
    made = desk(instrument("AAA"), instrument("BTC"), **params)
    laid(made, 0, closes, turnover)
    if leader is not None:
        laid(made, 1, leader, THIN[: len(leader)])
    return bool(is_pump(made.state, 0, 1 if leader is not None else -1))


QUIET = [1000] * 54
SPIKE = [*QUIET, 1005, 1010, 1200, 1210, 1190, 1195]
EXPLODED = [*THIN[:54], 120.0, 150.0, 9000.0, 3000.0, 2000.0, 900.0]


def test_an_explosion_of_price_and_volume_in_one_candle_without_the_market_is_a_pump() -> None:
    assert pumped(SPIKE, EXPLODED)
    assert pumped(SPIKE, EXPLODED, leader=[1000] * 60)


@pytest.mark.parametrize(
    ("why", "arguments"),
    [
        ("the price hardly rose", ([*QUIET, 1005, 1010, 1060, 1065, 1070, 1060], EXPLODED)),
        ("no more volume than ever", (SPIKE, [*THIN[:54], 120.0, 150.0, 900.0, 300.0, 200.0, 90.0])),
        ("one candle like the other", ([*QUIET, 1033, 1066, 1100, 1133, 1166, 1200], EXPLODED)),
        ("the market rose along", (SPIKE, EXPLODED, [*QUIET, 1005, 1010, 1080, 1080, 1080, 1080])),
        ("it fell", ([*QUIET, 995, 990, 800, 790, 795, 800], EXPLODED)),
        (
            "it is longer ago than the window",
            ([*QUIET[:40], 1010, 1200, *[1200] * 18], [*THIN[:41], 9000.0, *THIN[:18]]),
        ),
    ],
)
def test_what_is_no_pump(why: str, arguments: Any) -> None:
    assert not pumped(*arguments), why


def test_the_guard_is_switched_off_by_its_volume_and_refuses_what_it_cannot_see() -> None:
    assert not pumped(SPIKE, EXPLODED, pump_volume=0)
    assert pumped([1000] * 19, THIN[:19]) and not pumped([1000] * 20, THIN[:20]), "12 bars of window, 8 of base"
    assert pumped([], []), "nothing is known at all"


def test_a_window_wider_than_half_the_ring_leaves_a_base() -> None:
    assert pumped([*QUIET, *SPIKE[54:]], EXPLODED, pump_minutes=1440)


# --- correlation --------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 150), st.floats(-1.5, 1.5))
def test_the_correlation_is_numpys_over_common_bars(seed: int, count: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.01, count)
    moves = [common, weight * common + rng.normal(0, 0.01, count)]
    closes = [np.maximum(10**6 * np.exp(np.cumsum(one)), 10).astype(np.int64) for one in moves]
    made = desk(instrument("AAA"), instrument("BBB"))
    for i in range(2):
        laid(made, i, closes[i].tolist(), [1.0] * count)
    kept = [one[-RING:] for one in closes]
    returns = [one[1:] / one[:-1] - 1 for one in kept]
    known = len(returns[0]) >= LEAST
    expected = np.corrcoef(returns)[0, 1] if known else 1.0
    found = together(made.state, 0, 1, 1)[0]
    assert found == pytest.approx(expected, abs=1e-6)
    assert found == together(made.state, 1, 0, 1)[0]


def test_bars_that_one_pair_lacks_are_left_out() -> None:
    made = desk(instrument("AAA"), instrument("BBB"))
    rng = np.random.default_rng(5)
    closes = (10**6 * np.exp(np.cumsum(rng.normal(0, 0.01, 60)))).astype(np.int64)
    laid(made, 0, closes.tolist(), [1.0] * 60)
    kept = [k for k in range(60) if k % 3]
    laid(made, 1, closes[kept].tolist(), [1.0] * len(kept))
    for place, k in enumerate(kept):
        made.state.ring[1, 0, place]["start_ns"] = START_NS + k * 5 * MINUTE_NS
    assert together(made.state, 0, 1, 1)[0] == pytest.approx(1.0)


def test_what_is_not_known_or_never_moved_counts_as_one() -> None:
    made = desk(instrument("AAA"), instrument("BBB"))
    assert together(made.state, 0, 1, 1)[0] == 1.0
    for i in range(2):
        laid(made, i, [1000] * 50, [1.0] * 50)
    assert together(made.state, 0, 1, 1)[0] == 1.0


def opened(second: Any) -> Desk:
    made = desk(instrument("AAA"), second)
    made.open(1, 50, 10_000, 9_900)
    return made


def test_what_is_open_counts_with_its_loss_at_the_stop_and_entries_on_their_way_too() -> None:
    made = opened(instrument("BBB"))
    p = made.state.positions[1]
    at_stop = int(p.fees_e8 - p.gross_e8 - p.at_stop_e8)
    assert at_stop > 50 * 100 * 10**4
    assert together(made.state, 0, 1, 1)[1] == at_stop and together(made.state, 1, 0, 1)[1] == 0, "not its own"
    assert together(made.state, 0, 1, -1)[1] == 0, "the other direction offsets nothing and adds nothing"
    made.quote(0, 9_999, 10_000)
    made.enter(0, 40, 9_900)
    pending = int(made.order(int(made.state.positions[0].entry_id)).risk_e8)
    assert together(made.state, 1, 0, 1)[1] == pending > 0


def test_a_trade_whose_stop_locks_a_gain_risks_nothing_and_half_a_correlation_counts_half() -> None:
    made = opened(instrument("BBB"))
    p = made.state.positions[1]
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 0.01, (2, 60))
    for i, moves in enumerate((x, x + np.sqrt(3) * y)):  # 0.5
        laid(made, i, (10**6 * np.exp(np.cumsum(moves))).astype(np.int64).tolist(), [1.0] * 60)
    rho, risk = together(made.state, 0, 1, 1)
    whole = int(p.fees_e8 - p.gross_e8 - p.at_stop_e8)
    assert 0.2 < rho < 0.8 and risk == pytest.approx(rho * whole, rel=1e-4)
    p.at_stop_e8 = 10**8
    assert together(made.state, 0, 1, 1)[1] == 0


def test_a_short_moves_against_a_long() -> None:
    made = desk(instrument("AAA"), perp("BBB"))
    made.quote(1, 9_999, 10_000)
    entry = made.enter(1, 50, 10_100, side=-1)
    made.fill(entry, 9_999, 50)
    assert together(made.state, 0, 1, 1)[1] == 0 and together(made.state, 0, 1, -1)[1] > 0


# --- forecasts ----------------------------------------------------------------------------------------


def voted(value: float, confidence: float, weight: float = 1.0, expires_s: int = 60, age_s: int = 0) -> float:
    made = desk(instrument("AAA"), forecast_weight=weight, forecast_max_age_s=30)
    expires = made.now_ns + expires_s * SECOND_NS
    words = {"value_e9": round(value * 1e9), "confidence_e9": round(confidence * 1e9), "expires_ns": expires}
    made.say(FORECAST, 0, **words)
    made.now_ns += age_s * SECOND_NS
    made.quote(0, 9_999, 10_000)
    return float(factor(made.state, 0))


@pytest.mark.parametrize(
    ("why", "arguments", "expected"),
    [
        ("never told", (0.0, 0.0), 1.0),
        ("it agrees, and enlarges nothing", (0.02, 1.0), 1.0),
        ("no value: abstains", (0.0, 1.0), 1.0),
        ("no confidence: abstains", (-0.02, 0.0), 1.0),
        ("a quarter sure", (-0.02, 0.25), 0.5),
        ("half sure: a veto", (-0.02, 0.5), 0.0),
        ("more than sure is sure", (-0.02, 9.0), 0.0),
        ("not looked at", (-0.02, 1.0, 0.0), 1.0),
        ("a small weight only scales", (-0.02, 1.0, 0.25), 0.5),
        ("expired", (-0.02, 1.0, 1.0, 10, 11), 1.0),
        ("too old", (-0.02, 1.0, 1.0, 60, 31), 1.0),
        ("not yet too old", (-0.02, 1.0, 1.0, 60, 29), 0.0),
    ],
)
def test_a_forecast_can_only_take_away(why: str, arguments: Any, expected: float) -> None:
    assert voted(*arguments) == pytest.approx(expected, abs=1e-9), why
