"""What became of every trade, told the moment it closes, and the running expectancy that is learned from it.

Rules
-----
* A trade is judged by what was known when it was *decided*: the regime and the forecast in force at that moment, not at
  its first fill and not at its end.
* R is the net result over the loss planned at the stop, rounded down; a trade without a plan (adopted, turned round)
  has none and teaches nothing.
* Expectancy is kept by strategy, regime and UTC hour of the entry. Each further trade in a regime discounts what is
  known of *every* strategy there (discounted UCB, Garivier and Moulines 2011): what was not tried for long is unknown
  again. Counts are discounted too, so the mean stays a mean.
* A single trade counts `MOST_R` either way at most: a tiny plan would say more than all others.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts.records import BUY, OUTCOME
from engine.core.compile import kernel
from engine.core.output import emit

HOURS: Final = 24
HOUR_NS: Final = 3_600_000_000_000
R_E9: Final = 1_000_000_000
MOST_R: Final = 10.0
NO_FORECAST: Final = -1
"""`forecast_age_ns` where none was in force."""

DECISION: Final = np.dtype(
    (
        np.record,
        [
            (name, "<i8")
            for name in (
                "regime",
                "forecast_e9",
                "confidence_e9",
                "forecast_age_ns",  # NO_FORECAST: none was in force
            )
        ],
    )
)
"""What was known when the last entry of an instrument was decided."""

EXPECTANCY: Final = np.dtype(
    (
        np.record,
        [
            ("trades", "<i8"),  # ever
            ("weight", "<f8"),  # trades, discounted
            ("total_r", "<f8"),  # their R, discounted the same
            ("total_r2", "<f8"),  # and squared
        ],
    )
)
"""Of one strategy in one regime and UTC hour."""


@kernel
def decide(s: Any, i: int) -> None:
    """An entry of instrument `i` was decided: remember what is known now."""
    decision = s.decisions[i]
    forecast = s.forecasts[i]
    now = s.head[0].now_ns
    decision.regime = s.climate[0].regime
    decision.forecast_e9 = decision.confidence_e9 = 0
    decision.forecast_age_ns = NO_FORECAST
    if forecast.expires_ns >= now > 0 and forecast.expires_ns != 0:
        decision.forecast_e9 = forecast.value_e9
        decision.confidence_e9 = forecast.confidence_e9
        decision.forecast_age_ns = max(now - forecast.told_ns, 0)


@kernel
def settle(
    s: Any, out: Any, i: int, strategy: int, side: int, trade_no: int, opened_ns: int, net_e8: int, risk_e8: int
) -> None:
    """A trade of instrument `i` is over: note its outcome and learn from it. `risk_e8` <= 0: it had no plan."""
    decision = s.decisions[i]
    note = _note(s, out, i, strategy, side, trade_no, opened_ns, net_e8, risk_e8, decision.regime)
    note.confidence_e9 = decision.confidence_e9
    note.forecast_e9 = decision.forecast_e9
    note.forecast_age_ns = decision.forecast_age_ns


@kernel
def settle_cycle(
    s: Any, out: Any, i: int, strategy: int, trade_no: int, opened_ns: int, net_e8: int, risk_e8: int
) -> None:
    """The same of conversions that end where they began, within seconds: no position was held and no forecast asked."""
    _note(s, out, i, strategy, BUY, trade_no, opened_ns, net_e8, risk_e8, s.climate[0].regime)


@kernel
def _note(
    s: Any, out: Any, i: int, strategy: int, side: int, trade_no: int, opened_ns: int, net_e8: int, risk_e8: int,
    regime: int,
) -> Any:  # fmt: skip
    """The note without a forecast; what it says is learned."""
    hour = (opened_ns // HOUR_NS) % HOURS
    note = emit(s, out, OUTCOME, i)
    note.strategy = strategy
    note.side = side
    note.regime = regime
    note.hour = hour
    note.trade_no = trade_no
    note.r_e9 = note.confidence_e9 = note.forecast_e9 = 0
    note.forecast_age_ns = NO_FORECAST
    if risk_e8 <= 0:
        return note
    r = float(net_e8) / float(risk_e8)
    note.r_e9 = int(np.floor(min(max(r, -1e9), 1e9) * R_E9))
    if 0 < strategy < s.expectancy.shape[0]:
        _learn(s, strategy, regime, hour, min(max(r, -MOST_R), MOST_R))
    return note


@kernel
def _learn(s: Any, strategy: int, regime: int, hour: int, r: float) -> None:
    kept = s.selector_params[0].discount
    for k in range(s.expectancy.shape[0]):
        for h in range(HOURS):
            cell = s.expectancy[k, regime, h]
            cell.weight *= kept
            cell.total_r *= kept
            cell.total_r2 *= kept
    cell = s.expectancy[strategy, regime, hour]
    cell.trades += 1
    cell.weight += 1.0
    cell.total_r += r
    cell.total_r2 += r * r
