"""Small-cap momentum: buy strength that several timeframes and the volume agree on, leave it by rule.

Rules
-----
* Universe: spot and perpetual pairs that are not stablecoin pairs, ranked by hourly quote volume, the first
  `universe` of them, with a spread of at most `max_spread_bps` and `min_turnover_usd` an hour; among those scanned
  the pair's place by strength, turnover and spread is `min_place` or better (`engine.core.scanner`).
* Entry, at the close of a base bar: the fast mean is above the slow one on at least `agree` of the three
  timeframes, always including the longest; the close is above the highest high of the last `breakout_bars`
  bars of the longest timeframe; the base bar's quote volume is at least `surge` times its mean.
* Market: at least `min_breadth` of all pairs are in an up-trend on the longest timeframe; BTC, where it is traded, has
  a trend of at least `min_btc_trend` ranges and a mean range of at most `max_btc_range_pct`.
* No entry into what looks like an organised pump (`engine.core.pumps`).
* Size: `risk_share` of the per-trade loss limit, scaled by confidence (surge and trend strength); less where a model's
  forecast speaks against it; less where what is open moves together with it (`engine.core.correlation`), so that all
  of that together risks `max_correlated_risk` times the limit of one trade at most.
* Stop: `stop_atr` mean true ranges of the longest timeframe below, kept within `min_stop_pct`..`max_stop_pct`.
* First target: at a gain of `first_target_r` R `first_exit_share` of the position leaves (0: none), and the stop of the
  rest moves up to where it closes without a loss, fees included.
* Exit: the stop; after a gain of `trail_start_r` R a stop trailing `trail_atr` ranges behind the best price;
  `target_r` R; the longest timeframe's means cross down; `max_hours`. Then `cooldown_bars` of rest, thrice that
  after a loss.

A forecast can only take away. Its vote is its confidence (0..1) where its value is below 0; one that is 0, without
confidence, expired, or older than `forecast_max_age_s` abstains, and so does one that agrees. The size is multiplied by
1 - 2 x `forecast_weight` x vote: with full weight a confidence of a half forbids the entry.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts.records import BUY
from engine.core import bars, book, scanner
from engine.core.compile import kernel
from engine.core.correlation import correlated_risk_e8
from engine.core.entry import enter, terms_of
from engine.core.indicators import ema, true_range, wilder
from engine.core.openrisk import tighten_stop
from engine.core.parting import break_even_ticks, want_part
from engine.core.protect import want_exit
from engine.core.pumps import looks_like_pump
from engine.core.refusal import refuse
from engine.core.risk import trade_limit_e8
from engine.core.scanner import HOUR_NS, LONG
from engine.core.strategies.spec import EXECUTION, Param, Strategy

NUMBER: Final = 1
BASE, MIDDLE = 0, 1
CRUMB: Final = 0.1  # with less than this part of the correlated risk left there is no entry

PARAMS: Final = (
    Param("universe", 15, 1, 500, "pairs", "how many pairs, by hourly quote volume, may be entered", True),
    Param("max_spread_bps", 20, 0.1, 200, "bps", "no entry above this quoted spread"),
    Param("min_breadth", 0.5, 0.0, 1.0, "", "part of all pairs whose longest trend must be up, to enter any"),
    Param("min_turnover_usd", 20_000, 0, 1e9, "USD/h", "no entry below this mean hourly quote volume"),
    Param("fast", 12, 2, 200, "bars", "span of the fast mean on every timeframe", True),
    Param("slow", 36, 3, 400, "bars", "span of the slow mean on every timeframe", True),
    Param("agree", 3, 1, 3, "timeframes", "timeframes whose fast mean must be above the slow one", True),
    Param("breakout_bars", 48, 2, 62, "bars", "the close must be above the high of so many of the longest bars", True),
    Param("surge", 1.5, 0.0, 50, "x", "volume of the bar against its mean"),
    Param("surge_span", 48, 2, 500, "bars", "span of the mean volume", True),
    Param("atr_span", 14, 2, 200, "bars", "span of the mean true range", True),
    Param("stop_atr", 3.0, 0.2, 20, "ranges", "distance of the first stop"),
    Param("min_stop_pct", 0.8, 0.05, 20, "%", "a nearer stop is moved out to this"),
    Param("max_stop_pct", 12.0, 0.1, 50, "%", "no entry where the stop would be further away"),
    Param("trail_start_r", 1.0, 0.0, 20, "R", "gain at which the stop starts to trail"),
    Param("trail_atr", 5.0, 0.2, 20, "ranges", "distance of the trailing stop from the best price"),
    Param("target_r", 4.0, 0.2, 50, "R", "take-profit"),
    Param("max_hours", 96, 0.1, 2000, "h", "time stop"),
    Param("cooldown_bars", 72, 0, 2000, "bars", "rest after a trade in the same pair", True),
    Param("risk_share", 0.25, 0.01, 1.0, "", "part of the per-trade loss limit risked at most"),
    Param("entry_cap_bps", 10, 0.0, 100, "bps", "worst entry price against the touch"),
    *EXECUTION,
    Param("by_strength", 2.0, 0.0, 10, "", "weight of the pair's trend against its noise in its place among all pairs"),
    Param("by_turnover", 1.0, 0.0, 10, "", "weight of its hourly quote volume"),
    Param("by_spread", 1.0, 0.0, 10, "", "weight of its spread"),
    Param("min_place", 0.5, 0.0, 1.0, "", "no entry below this place, 0 the worst and 1 the best of all pairs"),
    Param("min_btc_trend", -1.0, -50, 50, "ranges", "no entry while the means of BTC lie further apart downwards"),
    Param("max_btc_range_pct", 3.0, 0.01, 100, "%", "no entry while the mean range of BTC's longest bars is larger"),
    Param("pump_minutes", 60, 1, 1440, "min", "the latest so many minutes are looked at for a pump"),
    Param("pump_rise_pct", 8.0, 0.1, 1000, "%", "a pump rises at least so far in them"),
    Param("pump_volume", 10.0, 0.0, 1e6, "x", "its largest bar turns over so many median bars; 0: nothing is a pump"),
    Param("pump_candle_share", 0.5, 0.0, 1.0, "", "one bar makes up so much of its range"),
    Param("forecast_weight", 0.0, 0.0, 1.0, "", "weight of a forecast that speaks against an entry; 0: not looked at"),
    Param("forecast_max_age_s", 900, 1, 86_400, "s", "an older forecast abstains"),
    Param("max_correlated_risk", 1.0, 0.01, 10, "trades", "risk of all that moves together, in per-trade limits"),
    Param("first_exit_share", 0.0, 0.0, 0.9, "", "part of the position that leaves at the first target; 0: none"),
    Param("first_target_r", 1.5, 0.1, 20, "R", "gain at which it does"),
)
"""New ones come last: a change of a parameter is journalled by its place."""

STATE: Final = np.dtype(
    (
        np.record,
        [
            ("fast", "<f8", (bars.TIMEFRAMES,)),  # ticks
            ("slow", "<f8", (bars.TIMEFRAMES,)),
            ("atr", "<f8", (bars.TIMEFRAMES,)),
            ("turnover", "<f8", (bars.TIMEFRAMES,)),  # mean ticks x lots a bar
            ("previous_close", "<f8", (bars.TIMEFRAMES,)),
            ("seen", "<i8", (bars.TIMEFRAMES,)),
            ("surge_now", "<f8"),
            ("held", "<i8"),  # 1 while a position of ours is open, to notice its end
        ],
    )
)


@kernel
def learn(s: Any, i: int, k: int) -> None:
    """Take the latest closed bar of timeframe `k` into the indicators."""
    m = s.momentum[i]
    p = s.momentum_params[0]
    bar = bars.closed_bar(s, i, k, 0)
    n = m.seen[k]
    close = float(bar.close_ticks)
    span = true_range(float(bar.high_ticks), float(bar.low_ticks), m.previous_close[k])
    if k == BASE:
        m.surge_now = bar.turnover / m.turnover[k] if n > 0 and m.turnover[k] > 0.0 else 0.0
    m.fast[k] = ema(m.fast[k], close, p.fast, n)
    m.slow[k] = ema(m.slow[k], close, p.slow, n)
    m.atr[k] = wilder(m.atr[k], span, p.atr_span, n)
    m.turnover[k] = ema(m.turnover[k], bar.turnover, p.surge_span, n)
    m.previous_close[k] = close
    m.seen[k] = n + 1


@kernel
def trends_agree(s: Any, i: int) -> bool:
    """Fast above slow on `agree` timeframes, the longest among them, all warmed up."""
    m = s.momentum[i]
    p = s.momentum_params[0]
    agreeing = 0
    for k in range(bars.TIMEFRAMES):
        if m.seen[k] < p.slow:
            return False
        if m.fast[k] > m.slow[k]:
            agreeing += 1
    return agreeing >= p.agree and m.fast[LONG] > m.slow[LONG]


@kernel
def confidence(s: Any, i: int) -> float:
    """0.4..1: how far volume exceeds its threshold, and the trend of the middle timeframe its noise."""
    m = s.momentum[i]
    p = s.momentum_params[0]
    volume = min(m.surge_now / max(2.0 * p.surge, 0.1), 1.0)
    trend = min((m.fast[MIDDLE] - m.slow[MIDDLE]) / max(2.0 * m.atr[MIDDLE], 1e-9), 1.0)
    return 0.4 + 0.3 * max(volume, 0.0) + 0.3 * max(trend, 0.0)


@kernel
def breaks_out(s: Any, i: int) -> bool:
    """Trends, volume and price say that the pair moves, at a spread that can be paid."""
    p = s.momentum_params[0]
    if not trends_agree(s, i) or s.momentum[i].surge_now < p.surge:
        return False
    ceiling = bars.highest(s, i, LONG, 0, int(p.breakout_bars))
    close = bars.closed_bar(s, i, BASE, 0).close_ticks
    return ceiling != 0 and close > ceiling and book.spread_bps(s.books[i]) <= p.max_spread_bps


@kernel
def forecast_factor(s: Any, i: int) -> float:
    """1 where the forecast abstains, agrees or is not looked at, down to 0 where it forbids the entry."""
    p = s.momentum_params[0]
    row = s.forecasts[i]
    now = s.head[0].now_ns
    is_old = row.expires_ns <= now or now - row.told_ns > p.forecast_max_age_s * 1e9
    if p.forecast_weight <= 0.0 or is_old or row.value_e9 >= 0 or row.confidence_e9 <= 0:
        return 1.0
    vote = min(row.confidence_e9 / 1e9, 1.0)
    return max(1.0 - 2.0 * p.forecast_weight * vote, 0.0)


@kernel
def objection(s: Any, i: int) -> int:
    """Why a breakout is left alone all the same; 0 where nothing speaks against it."""
    p = s.momentum_params[0]
    if not scanner.market_allows(s):
        return reasons.MARKET_AGAINST
    if p.min_place > 0.0 and scanner.place(s, i) < p.min_place:
        return reasons.RANKED_LOW
    if looks_like_pump(s, i, scanner.leader(s), p):
        return reasons.PUMP
    return reasons.FORECAST_AGAINST if forecast_factor(s, i) <= 0.0 else 0


@kernel
def consider(s: Any, out: Any, i: int) -> None:
    """Enter if every rule says so."""
    p = s.momentum_params[0]
    if not breaks_out(s, i) or not scanner.in_universe(s, i):
        return
    price = float(s.books[i].ask_ticks)
    distance = max(p.stop_atr * s.momentum[i].atr[LONG], price * p.min_stop_pct / 100.0)
    if distance > price * p.max_stop_pct / 100.0:
        return
    reason = objection(s, i)
    if reason != 0:
        refuse(s, out, i, NUMBER, BUY, (reason, 0, 0), 0)
        return
    limit = trade_limit_e8(s)
    cap = int(p.max_correlated_risk * limit)
    together = correlated_risk_e8(s, i, BUY)
    if cap - together < CRUMB * cap:
        refuse(s, out, i, NUMBER, BUY, (reasons.CORRELATED, together, cap), 0)
        return
    share = min(p.risk_share * confidence(s, i) * forecast_factor(s, i), (cap - together) / limit)
    enter(s, out, i, NUMBER, BUY, int(price - distance), share, terms_of(p), 1)


@kernel
def on_bar(s: Any, out: Any, i: int, closed_mask: int) -> None:
    """Update the timeframes that closed; decide when the base one did."""
    for k in range(bars.TIMEFRAMES):
        if (closed_mask >> k) & 1:
            learn(s, i, k)
    position = s.positions[i]
    m = s.momentum[i]
    p = s.momentum_params[0]
    if position.qty_lots != 0:
        if position.strategy == NUMBER and (closed_mask >> LONG) & 1 and m.fast[LONG] < m.slow[LONG]:
            want_exit(s, i, reasons.EXIT_SIGNAL)
        return
    if m.held != 0:
        m.held = 0
        lost = position.gross_e8 - position.fees_e8 + position.funding_e8 < 0
        rest = p.cooldown_bars * (3.0 if lost else 1.0)
        position.cooldown_ns = s.head[0].now_ns + int(rest) * s.timeframes_ns[BASE]
    if closed_mask & 1 and s.head[0].now_ns >= position.cooldown_ns and s.head[0].trading_state == 0:
        consider(s, out, i)


@kernel
def take_first_part(s: Any, i: int, goal: int) -> None:
    """At the first target a part leaves; once it has, the rest is not to end in a loss."""
    position = s.positions[i]
    if position.parted_lots == 0:
        if position.mark_ticks >= goal:
            want_part(s, i, int(s.momentum_params[0].first_exit_share * position.qty_lots), goal)
        return
    even = break_even_ticks(s, i)
    if position.stop_ticks < even < position.mark_ticks:
        tighten_stop(s, i, even)


@kernel
def on_tick(s: Any, out: Any, i: int) -> None:
    """Manage an open position: first target, target, trailing stop, time stop."""
    m = s.momentum[i]
    p = s.momentum_params[0]
    position = s.positions[i]
    m.held = 1
    instrument = s.instruments[i]
    entry = position.entry_value_e8 * instrument.value_den / (instrument.value_num * position.entry_lots)
    one_r = entry - position.first_stop_ticks
    if position.target_ticks == 0:
        position.target_ticks = int(entry + p.target_r * one_r) + 1
    if p.first_exit_share > 0.0:
        take_first_part(s, i, int(entry + p.first_target_r * one_r) + 1)
    if m.atr[LONG] > 0.0 and position.best_ticks - entry >= p.trail_start_r * one_r:
        trail = int(position.best_ticks - p.trail_atr * m.atr[LONG])
        if trail - position.stop_ticks > 0.25 * m.atr[LONG]:
            tighten_stop(s, i, trail)
    if s.head[0].now_ns - position.opened_ns >= p.max_hours * HOUR_NS:
        want_exit(s, i, reasons.TIME_STOP)


@kernel
def forget(s: Any, i: int) -> None:
    """Begin the indicators anew; `held` stays, it is about a position."""
    m = s.momentum[i]
    for k in range(bars.TIMEFRAMES):
        m.fast[k] = m.slow[k] = m.atr[k] = m.turnover[k] = m.previous_close[k] = 0.0
        m.seen[k] = 0
    m.surge_now = 0.0


STRATEGY: Final = Strategy(
    NUMBER, "momentum", "Small-cap momentum", PARAMS, STATE, on_bar, on_tick, forget,
    rising=(("fast", "slow"), ("min_stop_pct", "max_stop_pct")),
)  # fmt: skip
