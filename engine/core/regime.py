"""The state of the whole market as one of a few named regimes, from seven features measured at closed bars.

Rules
-----
* The *leader* is the pair of Bitcoin against cash that turns over most, one that has warmed up before one that has not
  (ties by name, never by place in a file). Everything that asks how Bitcoin does asks this one. Its
  base bars are the clock. Without one, the first base bar to close in each interval is, the trend is the breadth of all
  pairs, and the other features are means over all pairs.
* `TABLE` says which features make which regime: the first row whose every bound holds. Nothing else decides.
* A regime is taken over once it was seen `CONFIRM_BARS` bars in a row, so a market on a border does not flip.
* Every pair against cash that is no stablecoin pair counts. A pair not heard of for `SILENT_BARS` of the longest bars
  leads no more.
* Sums over pairs are sums of integers: the order of symbols changes nothing.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contracts.records import NO_INSTRUMENT, REGIME
from engine.core import bars
from engine.core.book import spread_bps
from engine.core.compile import kernel
from engine.core.indicators import ema, in_e9, true_range, wilder
from engine.core.output import emit

BASE, LONG = 0, bars.TIMEFRAMES - 1
FAST: Final = 12.0  # bars of the longest timeframe
SLOW: Final = 36.0
RANGE_SPAN: Final = 14.0
SHORT_SPAN: Final = 12.0  # base bars: an hour of five-minute bars
LONG_SPAN: Final = 288.0  # a day of them
CONFIRM_BARS: Final = 3
SILENT_BARS: Final = 4
HOUR_NS: Final = 3_600_000_000_000
NOBODY: Final = -1
ROOM: Final = 8
"""Regimes there is room for in the state: more may be appended without changing its layout."""

UNKNOWN, CALM_UP, CALM_DOWN, CHOP, WILD, THIN = range(6)
REGIMES: Final = ("unknown", "calm_up", "calm_down", "chop", "wild", "thin")
"""Names by number, which is journalled: append only. `unknown`: not enough bars yet."""

TREND, VOLATILITY, BREADTH, SPREAD, LIQUIDITY, FUNDING, CYCLES = range(7)
FEATURES: Final = ("trend", "volatility", "breadth", "spread", "liquidity", "funding", "cycles")
"""trend: fast less slow mean of the longest bars, in mean true ranges; volatility: deviation of the returns of the
last hour against that of the last day; breadth: part of all pairs whose long trend is up (a flat one is half up);
spread and liquidity: quoted spread and turnover of the last hour against their day (hour and day: `SHORT_SPAN`,
`LONG_SPAN` base bars); funding: rate of one interval; cycles: triangles found an hour."""

ANY: Final = (-np.inf, np.inf)
TABLE: Final[tuple[tuple[int, dict[int, tuple[float, float]]], ...]] = (
    (WILD, {VOLATILITY: (2.0, np.inf)}),
    (WILD, {CYCLES: (60.0, np.inf)}),  # prices out of line all the time
    (WILD, {FUNDING: (0.001, np.inf)}),  # everybody leans the same way
    (WILD, {FUNDING: (-np.inf, -0.001)}),
    (THIN, {SPREAD: (2.5, np.inf)}),
    (THIN, {LIQUIDITY: (-np.inf, 0.2)}),
    (CALM_UP, {TREND: (0.5, np.inf), BREADTH: (0.5, np.inf)}),
    (CALM_DOWN, {TREND: (-np.inf, -0.5), BREADTH: (-np.inf, 0.5)}),
    (CHOP, {}),
)
"""(regime, inclusive bounds of features); the last row holds always."""

_REGIME_OF: Final = np.array([regime for regime, _ in TABLE], np.int64)
_BOUNDS: Final = np.array([[row.get(k, ANY) for k in range(len(FEATURES))] for _, row in TABLE], np.float64)

GAUGE: Final = np.dtype(
    (
        np.record,
        [
            ("fast", "<f8"),  # of the longest bars, ticks
            ("slow", "<f8"),
            ("range", "<f8"),
            ("long_close", "<f8"),
            ("long_turnover", "<f8"),  # mean ticks x lots of a longest bar
            ("long_seen", "<i8"),
            ("base_close", "<f8"),
            ("variance_short", "<f8"),  # of base bars' returns
            ("variance_long", "<f8"),
            ("turnover_short", "<f8"),
            ("turnover_long", "<f8"),
            ("spread_short", "<f8"),  # bps
            ("spread_long", "<f8"),
            ("spread_seen", "<i8"),
            ("base_seen", "<i8"),
            ("heard_ns", "<i8"),  # begin of the last closed base bar
            ("funding_e12", "<i8"),  # last rate of a perpetual
        ],
    )
)
"""What is measured of one instrument."""

CLIMATE: Final = np.dtype(
    (
        np.record,
        [
            ("leader", "<i8"),  # instrument, NOBODY where there is none
            ("clock_ns", "<i8"),  # begin of the last base bar that was looked at
            ("regime", "<i8"),
            ("noted", "<i8"),  # the regime that was told last
            ("since_ns", "<i8"),
            ("candidate", "<i8"),
            ("candidate_bars", "<i8"),
            ("cycles", "<i8"),  # since the last bar of the clock
            ("ticks", "<i8"),  # bars of the clock so far
            ("features", "<f8", (len(FEATURES),)),
        ],
    )
)
"""The market as a whole."""

NO_BAR, BAR, CHANGED = range(3)


@kernel
def on_bar(s: Any, out: Any, i: int, closed_mask: int, is_history: bool) -> int:
    """Take an instrument's closed bars in. BAR where the clock moved on, CHANGED where the regime did too. Bars of the
    past are learned from in silence: what they came to is told with the first of the present."""
    if s.instruments[i].is_stable != 0 or s.instruments[i].quote_is_cash == 0:
        return NO_BAR
    if (closed_mask >> LONG) & 1:
        _learn_long(s, i)
    if closed_mask & 1 == 0:
        return NO_BAR
    _learn_base(s, i)
    if s.instruments[i].is_btc != 0 or _is_silent(s, s.gauges[i].heard_ns):
        elect(s)
    climate = s.climate[0]
    if (climate.leader != NOBODY and climate.leader != i) or s.gauges[i].heard_ns <= climate.clock_ns:
        return NO_BAR
    climate.clock_ns = s.gauges[i].heard_ns
    found = classify(climate.features) if _measure(s) else UNKNOWN
    climate.ticks += 1
    _settle(s, found)
    if is_history:
        return NO_BAR
    return CHANGED if _tell(s, out) else BAR


@kernel
def on_funding(s: Any, i: int, rate_e12: int) -> None:
    """A perpetual's funding rate of one interval, as the venue settled it."""
    s.gauges[i].funding_e12 = rate_e12


@kernel
def on_cycle(s: Any) -> None:
    """A triangle that would have paid was found."""
    s.climate[0].cycles += 1


@kernel
def forget(s: Any, i: int) -> None:
    """Begin an instrument's gauges anew; the regime stands until bars say otherwise."""
    g = s.gauges[i]
    g.fast = g.slow = g.range = g.long_close = g.long_turnover = 0.0
    g.base_close = g.variance_short = g.variance_long = g.turnover_short = g.turnover_long = 0.0
    g.spread_short = g.spread_long = 0.0
    g.long_seen = g.spread_seen = g.base_seen = 0


@kernel
def classify(features: Any) -> int:
    """The regime of the first row of `TABLE` that the features keep to."""
    for row in range(_BOUNDS.shape[0]):
        fits = True
        for k in range(_BOUNDS.shape[1]):
            if not _BOUNDS[row, k, 0] <= features[k] <= _BOUNDS[row, k, 1]:
                fits = False
        if fits:
            return _REGIME_OF[row]
    return UNKNOWN  # a feature that is not a number


@kernel
def _learn_long(s: Any, i: int) -> None:
    g = s.gauges[i]
    bar = bars.closed_bar(s, i, LONG, 0)
    close = float(bar.close_ticks)
    span = true_range(float(bar.high_ticks), float(bar.low_ticks), g.long_close)
    g.fast = ema(g.fast, close, FAST, g.long_seen)
    g.slow = ema(g.slow, close, SLOW, g.long_seen)
    g.range = wilder(g.range, span, RANGE_SPAN, g.long_seen)
    g.long_turnover = ema(g.long_turnover, bar.turnover, FAST, g.long_seen)
    g.long_close = close
    g.long_seen += 1


@kernel
def _learn_base(s: Any, i: int) -> None:
    g = s.gauges[i]
    bar = bars.closed_bar(s, i, BASE, 0)
    close = float(bar.close_ticks)
    step = close / g.base_close - 1.0 if g.base_close > 0.0 else 0.0
    g.variance_short = wilder(g.variance_short, step * step, SHORT_SPAN, g.base_seen)
    g.variance_long = wilder(g.variance_long, step * step, LONG_SPAN, g.base_seen)
    g.turnover_short = wilder(g.turnover_short, bar.turnover, SHORT_SPAN, g.base_seen)
    g.turnover_long = wilder(g.turnover_long, bar.turnover, LONG_SPAN, g.base_seen)
    spread = spread_bps(s.books[i])
    if spread < 1e6:  # there is a quote
        g.spread_short = wilder(g.spread_short, spread, SHORT_SPAN, g.spread_seen)
        g.spread_long = wilder(g.spread_long, spread, LONG_SPAN, g.spread_seen)
        g.spread_seen += 1
    g.base_close = close
    g.base_seen += 1
    g.heard_ns = bar.start_ns


@kernel
def _is_silent(s: Any, now_ns: int) -> bool:
    """True where there is a leader and nothing was heard of it for long."""
    leader = s.climate[0].leader
    return leader != NOBODY and now_ns - s.gauges[leader].heard_ns > SILENT_BARS * s.timeframes_ns[LONG]


@kernel
def turnover_usd(s: Any, i: int) -> float:
    """Mean turnover of one of the longest bars."""
    return s.gauges[i].long_turnover * s.instruments[i].value_num / s.instruments[i].value_den / 1e8


@kernel
def elect(s: Any) -> None:
    """The leader: of the pairs of Bitcoin that are heard of, the one with most turnover; those that have warmed up
    come first."""
    newest = 0
    for i in range(s.head[0].instruments):
        newest = max(newest, s.gauges[i].heard_ns)
    best = NOBODY
    for i in range(s.head[0].instruments):
        one = s.instruments[i]
        if one.is_btc == 0 or one.quote_is_cash == 0 or s.gauges[i].base_seen == 0:
            continue
        if newest - s.gauges[i].heard_ns > SILENT_BARS * s.timeframes_ns[LONG]:
            continue
        if best == NOBODY or _leads(s, i, best):
            best = i
    s.climate[0].leader = best


@kernel
def _leads(s: Any, i: int, other: int) -> bool:
    """Whether pair `i` leads rather than `other`."""
    warm = _is_warm(s.gauges[i])
    if warm != _is_warm(s.gauges[other]):
        return warm
    mine = turnover_usd(s, i)
    theirs = turnover_usd(s, other)
    return mine > theirs or (mine == theirs and s.instruments[i].tie_break < s.instruments[other].tie_break)


@kernel
def _is_warm(g: Any) -> bool:
    return g.long_seen >= SLOW and g.base_seen >= SLOW


@kernel
def _ratio(part: float, whole: float) -> float:
    """``part / whole``; 1, the ordinary, where there is nothing to compare with."""
    return part / whole if whole > 0.0 else 1.0


@kernel
def _measure(s: Any) -> bool:
    """The features as they are now; False while there are too few bars."""
    climate = s.climate[0]
    features = climate.features
    up = known = volatility = spread = liquidity = 0
    for i in range(s.head[0].instruments):
        g = s.gauges[i]
        if not _is_warm(g):
            continue
        known += 1
        up += 2 if g.fast > g.slow else 1 if g.fast == g.slow else 0
        volatility += in_e9(np.sqrt(_ratio(g.variance_short, g.variance_long)))
        spread += in_e9(_ratio(g.spread_short, g.spread_long))
        liquidity += in_e9(_ratio(g.turnover_short, g.turnover_long))
    features[FUNDING] = _funding(s)
    features[CYCLES] = ema(features[CYCLES], float(climate.cycles) * HOUR_NS / s.timeframes_ns[BASE], SHORT_SPAN, 1)
    climate.cycles = 0
    if known == 0:
        return False
    features[BREADTH] = up / (2 * known)
    if climate.leader == NOBODY:
        features[TREND] = 2.0 * features[BREADTH] - 1.0
        features[VOLATILITY] = volatility / known / 1e9
        features[SPREAD] = spread / known / 1e9
        features[LIQUIDITY] = liquidity / known / 1e9
        return True
    g = s.gauges[climate.leader]
    features[TREND] = (g.fast - g.slow) / g.range if g.range > 0.0 else 0.0
    features[VOLATILITY] = np.sqrt(_ratio(g.variance_short, g.variance_long))
    features[SPREAD] = _ratio(g.spread_short, g.spread_long)
    features[LIQUIDITY] = _ratio(g.turnover_short, g.turnover_long)
    return _is_warm(g)


@kernel
def _funding(s: Any) -> float:
    """The rate of Bitcoin's perpetual with most turnover; without one, the mean of all perpetuals."""
    best = NOBODY
    total = perpetuals = 0
    for i in range(s.head[0].instruments):
        one = s.instruments[i]
        if one.is_perp == 0:
            continue
        perpetuals += 1
        total += s.gauges[i].funding_e12
        if one.is_btc == 0:
            continue
        mine = turnover_usd(s, i)
        most = turnover_usd(s, best) if best != NOBODY else -1.0
        if mine > most or (mine == most and one.tie_break < s.instruments[best].tie_break):
            best = i
    if best != NOBODY:
        return s.gauges[best].funding_e12 / 1e12
    return total / perpetuals / 1e12 if perpetuals > 0 else 0.0


@kernel
def _settle(s: Any, found: int) -> None:
    """Take a regime over once it was seen often enough."""
    climate = s.climate[0]
    if found == climate.regime:
        climate.candidate_bars = 0
        return
    climate.candidate_bars = climate.candidate_bars + 1 if found == climate.candidate else 1
    climate.candidate = found
    if climate.candidate_bars >= CONFIRM_BARS:
        climate.regime = found
        climate.since_ns = s.head[0].now_ns
        climate.candidate_bars = 0


@kernel
def _tell(s: Any, out: Any) -> bool:
    """Note the regime where it is not the one that was noted last; True then."""
    climate = s.climate[0]
    if climate.regime == climate.noted:
        return False
    features = climate.features
    note = emit(s, out, REGIME, NO_INSTRUMENT if climate.leader == NOBODY else climate.leader)
    note.before = climate.noted
    note.regime = climate.regime
    note.trend_e9 = in_e9(features[TREND])
    note.volatility_e9 = in_e9(features[VOLATILITY])
    note.breadth_e9 = in_e9(features[BREADTH])
    note.spread_e9 = in_e9(features[SPREAD])
    note.liquidity_e9 = in_e9(features[LIQUIDITY])
    note.funding_e6 = int(min(max(features[FUNDING] * 1e6, -32_000.0), 32_000.0))
    note.cycles = int(min(features[CYCLES], 65_000.0))
    climate.noted = climate.regime
    return True
