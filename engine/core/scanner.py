"""The scanner: which of hundreds of pairs are worth entering, by strength, liquidity and spread, and how the market is.

Rules
-----
* Nothing is kept sorted and nothing happens between closes: a pair that wants to enter is held against all others
  once, at the close of its bar. Prices cost nothing.
* Scanned are pairs against cash that are not stablecoin pairs and whose longest timeframe has warmed up.
* A place is a share, 0 (worst) to 1 (best), of the *other* scanned pairs that it beats. Ties count half and only whole
  numbers are added up, so the order of symbols never matters. Who is alone is best.
* The leader is the market's (`engine.core.regime`), once its longest timeframe has warmed up here.
"""

from __future__ import annotations

from typing import Any, Final

from engine.core import book
from engine.core.bars import TIMEFRAMES
from engine.core.compile import kernel
from engine.core.regime import NOBODY

LONG: Final = TIMEFRAMES - 1
HOUR_NS: Final = 3_600_000_000_000


@kernel
def turnover_usd_per_hour(s: Any, i: int) -> float:
    """Mean hourly quote volume, from the longest timeframe."""
    instrument = s.instruments[i]
    hours = s.timeframes_ns[LONG] / HOUR_NS
    return s.momentum[i].turnover[LONG] * instrument.value_num / instrument.value_den / 1e8 / hours


@kernel
def strength(s: Any, i: int) -> float:
    """Trend against noise on the longest timeframe: fast mean less slow one, in mean true ranges. 0 without any."""
    m = s.momentum[i]
    return (m.fast[LONG] - m.slow[LONG]) / m.atr[LONG] if m.atr[LONG] > 0.0 else 0.0


@kernel
def is_tradable(s: Any, i: int) -> bool:
    """A pair against cash that is meant to move."""
    return s.instruments[i].is_stable == 0 and s.instruments[i].quote_is_cash != 0


@kernel
def is_scanned(s: Any, i: int) -> bool:
    """Tradable and warmed up."""
    return is_tradable(s, i) and s.momentum[i].seen[LONG] >= s.momentum_params[0].slow


@kernel
def in_universe(s: Any, i: int) -> bool:
    """Among the first `universe` pairs by quote volume, and with enough of it."""
    p = s.momentum_params[0]
    mine = turnover_usd_per_hour(s, i)
    if not is_tradable(s, i) or mine < p.min_turnover_usd:
        return False
    larger = 0
    for j in range(s.head[0].instruments):
        if j == i or not is_tradable(s, j):
            continue
        theirs = turnover_usd_per_hour(s, j)
        if theirs > mine or (theirs == mine and s.instruments[j].tie_break < s.instruments[i].tie_break):
            larger += 1
    return larger < p.universe


@kernel
def beaten(mine: float, theirs: float) -> int:
    """2 where mine is better (larger), 1 where they are equal, else 0."""
    return 2 if mine > theirs else 1 if mine == theirs else 0


@kernel
def place(s: Any, i: int) -> float:
    """The pair's place, 0..1: the mean of its places by strength, by turnover and by (least) spread, weighted by the
    parameters `by_strength`, `by_turnover`, `by_spread`. All weights 0: 1, nothing is ranked."""
    p = s.momentum_params[0]
    weights = p.by_strength + p.by_turnover + p.by_spread
    strong, turnover, spread = strength(s, i), turnover_usd_per_hour(s, i), book.spread_bps(s.books[i])
    stronger = larger = tighter = others = 0
    for j in range(s.head[0].instruments):
        if j == i or not is_scanned(s, j):
            continue
        others += 1
        stronger += beaten(strong, strength(s, j))
        larger += beaten(turnover, turnover_usd_per_hour(s, j))
        tighter += beaten(-spread, -book.spread_bps(s.books[j]))
    if others == 0 or weights <= 0.0:
        return 1.0
    return (p.by_strength * stronger + p.by_turnover * larger + p.by_spread * tighter) / (2.0 * others * weights)


@kernel
def breadth(s: Any) -> float:
    """Part of the warmed-up pairs (stablecoin pairs left out) whose longest trend is up; 0 without any."""
    up = 0
    known = 0
    for j in range(s.head[0].instruments):
        m = s.momentum[j]
        if s.instruments[j].is_stable == 0 and m.seen[LONG] >= s.momentum_params[0].slow:
            known += 1
            if m.fast[LONG] > m.slow[LONG]:
                up += 1
    return up / known if known > 0 else 0.0


@kernel
def leader(s: Any) -> int:
    """The leader of the market, `NOBODY` where there is none or it has not warmed up."""
    i = s.climate[0].leader
    return i if i != NOBODY and is_scanned(s, i) else NOBODY


@kernel
def market_allows(s: Any) -> bool:
    """The market as a whole: enough pairs rise, and BTC, where it is traded, neither falls clearly nor is wild. Without
    a BTC pair breadth alone decides."""
    p = s.momentum_params[0]
    if breadth(s) < p.min_breadth:
        return False
    b = leader(s)
    if b == NOBODY:
        return True
    m = s.momentum[b]
    wild = 100.0 * m.atr[LONG] > p.max_btc_range_pct * m.slow[LONG]
    return strength(s, b) >= p.min_btc_trend and not wild
