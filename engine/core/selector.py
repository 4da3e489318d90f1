"""Which strategies may enter, and with what share of the risk budget: a discounted bandit over realised R.

Rules
-----
* It only tightens. A share (0..1) scales what a strategy asks for; shares of all strategies together never exceed 1,
  and every limit of the account holds as before. Exits, stops and cancels never ask here.
* Optimism (UCB): a strategy's weight in a regime is its mean R there plus a confidence radius, nothing where even that
  is below zero. Shares above the floor are in proportion to the weights, each at most the cap of the strategy's tier.
* The mean leans on the strategy's mean in the other regimes while there are few trades; the radius shrinks with their
  (discounted) number. Nothing is drawn at random: the same history gives the same shares.
* Shares move when a strategy's target was `min_change` away for `settle_bars` bars in a row (or at the floor for so
  long), then all at once; and when the regime changed, which has a hysteresis of its own.
* A strategy that lost more than a trade's limit, or was taken out by the day's limit, is demoted on the spot: it keeps
  `demoted_share` for `cool_down_h` (with none, its resting entries are withdrawn), then its floor, and climbs again by
  evidence.
* With one strategy, or switched off, every share is 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts.records import NO_INSTRUMENT, SELECTION
from engine.core import regime
from engine.core.compile import kernel
from engine.core.indicators import in_e9
from engine.core.outcomes import HOURS
from engine.core.output import emit
from engine.core.parameters import Param, resolve

NAME: Final = "selector"
NUMBER: Final = 0
"""In PARAMETER events: strategies have 1 and more."""
ROOM: Final = 16
"""Strategy numbers there is room for in the state: more strategies do not change its layout."""

PARAMS: Final = (
    Param("enabled", 1, 0, 1, "", "1: choose between strategies; 0: each has the whole risk budget", True),
    Param("floor", 0.05, 0.0, 0.2, "", "share every strategy keeps, so that it goes on being tried"),
    Param("tier1_cap", 1.0, 0.2, 1.0, "", "largest share of a strategy of tier 1 (arbitrage)"),
    Param("tier2_cap", 0.7, 0.2, 1.0, "", "largest share of a strategy of tier 2 (momentum, crossover)"),
    Param("tier3_cap", 0.4, 0.2, 1.0, "", "largest share of a strategy of tier 3 (scalping)"),
    Param("discount", 0.98, 0.5, 1.0, "", "what evidence keeps with every further trade in the same regime"),
    Param("prior_trades", 10, 0.5, 100, "trades", "so many trades of evidence weigh as much as none at all"),
    Param("confidence", 1.0, 0.0, 5.0, "deviations", "how much not knowing a strategy speaks for it"),
    Param("min_change", 0.15, 0.0, 1.0, "", "shares move when one is off its target by this"),
    Param("settle_bars", 3, 1, 1000, "bars", "for so many base bars in a row", True),
    Param("cool_down_h", 24, 0, 720, "h", "how long a strategy that broke a limit is held back"),
    Param("demoted_share", 0.0, 0.0, 0.2, "", "share it has in that time"),
)
PARAMS_DTYPE: Final = np.dtype((np.record, [(param.name, "<f8") for param in PARAMS]))

SHARE: Final = np.dtype(
    (
        np.record,
        [
            ("tier", "<i8"),
            ("share", "<f8"),  # without a demotion; see `granted`
            ("target", "<f8"),
            ("mean_r", "<f8"),  # what the target was made from, in the present regime
            ("radius_r", "<f8"),
            ("weight", "<f8"),  # trades, discounted
            ("leaning", "<i8"),  # bars in a row the target was far above (+) or below (-) the share
            ("demoted_until_ns", "<i8"),  # 0: it is not
            ("reason", "<i8"),  # of the last change, 0: none yet
            ("since_ns", "<i8"),
        ],
    )
)
"""Of one strategy, by its number."""


def resolved(given: Mapping[str, float]) -> dict[str, float]:
    """Defaults overlaid with `given`. Raises BadInput naming the parameter, its bounds or the nearest name."""
    return resolve(NAME, PARAMS, given)


def asked(given: Mapping[str, float] | None) -> dict[str, float]:
    """`resolved`, and switched off where nobody asked for a selector at all. Raises BadInput."""
    return resolved(given or {"enabled": 0.0})


def prepare(s: Any, tiers: Mapping[int, int], given: Mapping[str, float] | None) -> None:
    """Fill a fresh state: parameters (see `asked`), and the shares without any evidence,
    the same for all up to the caps of their tiers. `tiers` by strategy number. Raises BadInput."""
    values = asked(given)
    s.selector_words[:] = [values[param.name] for param in PARAMS]
    s.selector_bounds[:] = [(param.low, param.high) for param in PARAMS]
    running = int((s.enabled != 0).sum())
    for number, tier in tiers.items():
        row = s.shares[number]
        row.tier = tier
        if s.enabled[number]:
            row.share = row.target = min(values[f"tier{tier}_cap"], int(100 / running) / 100)


@kernel
def is_choosing(s: Any) -> bool:
    """True where there is a choice: switched on, and more than one strategy."""
    return s.selector_params[0].enabled != 0.0 and _count(s) > 1


@kernel
def granted(s: Any, strategy: int) -> float:
    """The share (0..1) a strategy may enter with now. Nobody's entries (strategy 0) are not for it to judge."""
    if strategy <= 0 or strategy >= s.enabled.shape[0] or not is_choosing(s):
        return 1.0
    return _in_force(s, strategy)


@kernel
def on_clock(s: Any, out: Any, what: int) -> None:
    """A bar of the market's clock closed (`regime.BAR`), or the regime changed with it (`regime.CHANGED`)."""
    if what == regime.NO_BAR or not is_choosing(s):
        return
    _aim(s)
    due = False
    for k in range(1, s.enabled.shape[0]):
        if s.enabled[k] != 0:
            _cool_down(s, out, k)
            due = _lean(s, k) or due
    if what == regime.CHANGED:
        _adopt(s, out, reasons.SHARE_BY_REGIME)
    elif due:
        _adopt(s, out, reasons.SHARE_BY_EVIDENCE)


@kernel
def demote(s: Any, out: Any, strategy: int, reason: int) -> None:
    """A strategy broke a limit: at once down to `demoted_share`, for `cool_down_h`."""
    if strategy <= 0 or strategy >= s.enabled.shape[0] or s.enabled[strategy] == 0 or not is_choosing(s):
        return
    p = s.selector_params[0]
    before = _in_force(s, strategy)
    row = s.shares[strategy]
    row.share = min(row.share, _floor(s))
    row.leaning = 0
    row.demoted_until_ns = s.head[0].now_ns + int(p.cool_down_h * 3_600e9)
    s.head[0].exits_due = 1  # its resting entries are withdrawn
    _note(s, out, strategy, before, reason)


@kernel
def on_parameter(s: Any, out: Any, k: int, value: float) -> None:
    """A person changed a parameter: shares follow at once."""
    before = is_choosing(s)
    s.selector_words[k] = value
    after = is_choosing(s)
    if after:
        _aim(s)
        _adopt(s, out, reasons.SHARE_BY_PARAMETER)
    if before == after:
        return
    for number in range(1, s.enabled.shape[0]):  # switched on or off
        if s.enabled[number] != 0:
            _note(s, out, number, 1.0 if after else _in_force(s, number), reasons.SHARE_BY_PARAMETER)


@kernel
def _count(s: Any) -> int:
    count = 0
    for k in range(1, s.enabled.shape[0]):
        count += 1 if s.enabled[k] != 0 else 0
    return count


@kernel
def _floor(s: Any) -> float:
    return min(s.selector_params[0].floor, 1.0 / _count(s))


@kernel
def _cap(s: Any, tier: int) -> float:
    p = s.selector_params[0]
    if tier == 1:
        return p.tier1_cap
    return p.tier2_cap if tier == 2 else p.tier3_cap


@kernel
def _in_force(s: Any, strategy: int) -> float:
    row = s.shares[strategy]
    if s.head[0].now_ns < row.demoted_until_ns:
        return min(s.selector_params[0].demoted_share, row.share)
    return row.share


@kernel
def _judge(s: Any, k: int) -> None:
    """Mean and radius of a strategy's R in the present regime, and how many trades they rest on."""
    p = s.selector_params[0]
    row = s.shares[k]
    here = s.climate[0].regime
    weight = total = squares = 0.0
    other_weight = other_total = 0.0
    for g in range(s.expectancy.shape[1]):
        for h in range(HOURS):
            cell = s.expectancy[k, g, h]
            if g == here:
                weight += cell.weight
                total += cell.total_r
                squares += cell.total_r2
            else:
                other_weight += cell.weight
                other_total += cell.total_r
    elsewhere = other_total / (other_weight + p.prior_trades)
    seen = weight + p.prior_trades
    mean = (total + p.prior_trades * elsewhere) / seen
    variance = max((squares + p.prior_trades * (1.0 + elsewhere * elsewhere)) / seen - mean * mean, 0.01)
    row.weight = weight
    row.mean_r = mean
    row.radius_r = p.confidence * np.sqrt(variance / seen)


@kernel
def _aim(s: Any) -> None:
    """Set every strategy's target: the floor, and of the rest a part in proportion to mean + radius."""
    floor = _floor(s)
    whole = 0.0
    for k in range(1, s.enabled.shape[0]):
        if s.enabled[k] != 0:
            _judge(s, k)
            whole += max(s.shares[k].mean_r + s.shares[k].radius_r, 0.0)
    rest = max(1.0 - floor * _count(s), 0.0)
    for k in range(1, s.enabled.shape[0]):
        if s.enabled[k] != 0:
            row = s.shares[k]
            part = max(row.mean_r + row.radius_r, 0.0) / whole if whole > 0.0 else 0.0
            share = int((floor + rest * part) * 100.0 + 1e-9) / 100.0  # down to a hundredth
            row.target = min(max(share, floor), _cap(s, row.tier))


@kernel
def _lean(s: Any, k: int) -> bool:
    """Count the bars a strategy's target was far off; True once that was long enough."""
    p = s.selector_params[0]
    row = s.shares[k]
    if row.demoted_until_ns != 0:
        return False
    off = row.target - row.share
    far = abs(off) >= p.min_change - 1e-9 and off != 0.0
    if off < 0.0 and row.target <= _floor(s):
        far = True  # the last step to the floor is smaller
    if not far:
        row.leaning = 0
    elif off > 0.0:
        row.leaning = max(row.leaning, 0) + 1
    else:
        row.leaning = min(row.leaning, 0) - 1
    return abs(row.leaning) >= p.settle_bars


@kernel
def _adopt(s: Any, out: Any, reason: int) -> None:
    """Every share becomes its target: all at once, so that together they stay within 1. A demoted strategy's stays at
    its floor at most."""
    for k in range(1, s.enabled.shape[0]):
        if s.enabled[k] == 0:
            continue
        row = s.shares[k]
        before = _in_force(s, k)
        target = min(row.target, _floor(s)) if row.demoted_until_ns != 0 else row.target
        changed = target != row.share
        row.share = target
        row.leaning = 0
        if changed:
            _note(s, out, k, before, reason)


@kernel
def _cool_down(s: Any, out: Any, k: int) -> None:
    """A demotion has run out: the strategy is back at its floor."""
    row = s.shares[k]
    if row.demoted_until_ns == 0 or s.head[0].now_ns < row.demoted_until_ns:
        return
    before = min(s.selector_params[0].demoted_share, row.share)
    row.demoted_until_ns = 0
    _note(s, out, k, before, reasons.SHARE_COOLED_DOWN)


@kernel
def _note(s: Any, out: Any, k: int, before: float, reason: int) -> None:
    row = s.shares[k]
    row.reason = reason
    row.since_ns = s.head[0].now_ns
    note = emit(s, out, SELECTION, NO_INSTRUMENT)
    note.strategy = k
    note.regime = s.climate[0].regime
    note.reason = reason
    note.share_e9 = in_e9(granted(s, k))
    note.mean_e9 = in_e9(row.mean_r)
    note.radius_e9 = in_e9(row.radius_r)
    note.trades_e9 = in_e9(row.weight)
    note.before_e9 = in_e9(before)
