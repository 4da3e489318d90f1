"""What a closed trade says about itself, and the expectancy that is learned from it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs
from probes import Desk
from streams import EAGER, HOUR_NS, SECOND_NS, instrument

from engine.contracts.records import CLOSED, FORECAST, OUTCOME
from engine.core.compile import kernel
from engine.core.outcomes import MOST_R, NO_FORECAST, settle
from engine.core.regime import CALM_UP, CHOP, WILD

WIDE = {"max_data_age_s": 60, "order_notional_usd": 900, "instrument_exposure_usd": 900}


@kernel(entry=True)
def settling(s: Any, out: Any, strategy: int, opened_ns: int, net_e8: int, risk_e8: int) -> None:
    """A trade of the first instrument is over."""
    settle(s, out, 0, strategy, 1, 1, opened_ns, net_e8, risk_e8)


def desk() -> Desk:
    return Desk([instrument("AAA")], **WIDE)


def closed_at(made: Desk, price: int) -> tuple[Any, Any]:
    """Open at 10,000 with a stop at 9,900, get out there; its CLOSED and its OUTCOME."""
    stop = made.open(0, 50, 10_000, 9_900)
    said = made.fill(stop, price, 50, fee_e8=1_234)
    (outcome,), (closed,) = said[said["kind"] == OUTCOME], said[said["kind"] == CLOSED]
    assert said["kind"].tolist().index(OUTCOME) < said["kind"].tolist().index(CLOSED), "a torn tail loses it never"
    return closed, outcome


@pytest.mark.parametrize("price", [9_800, 9_900, 10_000, 10_137])
def test_r_is_the_net_result_over_the_planned_loss_rounded_down(price: int) -> None:
    closed, outcome = closed_at(desk(), price)
    net = int(closed.gross_e8) - int(closed.fees_e8) + int(closed.funding_e8)
    assert outcome.r_e9 == math.floor(net / int(closed.risk_e8) * 1e9) and closed.risk_e8 > 0
    assert (outcome.trade_no, outcome.strategy, outcome.side) == (closed.trade_no, closed.strategy, closed.side)
    assert outcome.forecast_age_ns == NO_FORECAST


def test_regime_and_forecast_are_those_of_the_decision() -> None:
    made = desk()
    made.quote(0, 9_999, 10_000)
    made.say(FORECAST, 0, value_e9=7, confidence_e9=800_000_000, expires_ns=made.now_ns + HOUR_NS, digest=5)
    told = made.now_ns
    made.state.climate[0].regime = CALM_UP
    made.quote(0, 9_999, 10_000, after_ns=3 * SECOND_NS)
    entry = made.enter(0, 50, 9_900)
    decided = int(made.head.now_ns)
    made.state.climate[0].regime = WILD  # the market turns before the fill
    made.say(FORECAST, 0, value_e9=-9, confidence_e9=1, expires_ns=made.now_ns + HOUR_NS)
    made.fill(entry, 10_000, 50)
    opened = int(made.state.positions[0].opened_ns)
    stop = int(made.state.positions[0].stop_id)
    made.ack(stop)
    said = made.fill(stop, 9_900, 50)
    (outcome,) = said[said["kind"] == OUTCOME]
    assert (outcome.regime, outcome.forecast_e9, outcome.confidence_e9) == (CALM_UP, 7, 800_000_000)
    assert outcome.forecast_age_ns == decided - told and outcome.hour == opened // HOUR_NS % 24


def test_a_forecast_that_expired_was_none() -> None:
    made = desk()
    made.quote(0, 9_999, 10_000)
    made.say(FORECAST, 0, value_e9=7, confidence_e9=8, expires_ns=made.now_ns + SECOND_NS)
    made.quote(0, 9_999, 10_000, after_ns=2 * SECOND_NS)
    assert closed_at(made, 9_900)[1].forecast_age_ns == NO_FORECAST


def test_expectancy_is_the_discounted_mean_of_its_cell() -> None:
    made = Desk([instrument("AAA")], strategies=EAGER, **WIDE)
    kept = float(made.state.selector_params[0].discount)
    told = [(1, CHOP, 3, 1.5), (2, CHOP, 4, -1.0), (1, CHOP, 3, -0.5), (1, WILD, 3, 2.0), (1, CHOP, 5, 50.0)]
    for strategy, regime, hour, r in told:
        made.state.decisions[0].regime = regime
        settling(made.state, made.out, strategy, hour * HOUR_NS, int(r * 10**9), 10**9)
    e = made.state.expectancy
    first, second, last = kept**3, kept**1, min(50.0, MOST_R)
    cell = e[1, CHOP, 3]
    assert cell.weight == pytest.approx(first + second) and cell.trades == 2
    assert cell.total_r == pytest.approx(1.5 * first - 0.5 * second)
    assert cell.total_r2 == pytest.approx(2.25 * first + 0.25 * second)
    assert e[2, CHOP, 4].weight == pytest.approx(kept**2), "what others learn in a regime ages it"
    assert (e[1, WILD, 3].weight, e[1, WILD, 3].total_r, e[1, CHOP, 5].total_r) == (1.0, 2.0, last)
    assert e["trades"].sum() == len(told)


@settings(max_examples=60, deadline=None)
@given(net=hs.integers(-(10**15), 10**15), risk=hs.integers(-5, 10**12))
def test_any_result_gives_a_finite_r_and_only_planned_trades_teach(net: int, risk: int) -> None:
    made = PLAIN
    before = made.state.expectancy["trades"].sum()
    made.out.count[0] = 0
    settling(made.state, made.out, 1, 0, net, risk)
    note = made.out.records[0]
    if risk <= 0:
        assert note.r_e9 == 0 and made.state.expectancy["trades"].sum() == before
    else:
        assert note.r_e9 == math.floor(min(max(net / risk, -1e9), 1e9) * 1e9)
        assert made.state.expectancy["trades"].sum() == before + 1
    assert np.isfinite(made.state.expectancy["total_r2"]).all()


PLAIN = Desk([instrument("AAA")], strategies=EAGER, **WIDE)
