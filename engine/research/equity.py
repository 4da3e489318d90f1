"""The equity curve: daily returns at UTC midnights, drawdown, and what doing nothing would have made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.contracts.ledger import EquityRow

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Closes = Mapping[str, tuple[Times, Floats]]
"""symbol (see `breakdown.labels`) -> (int64 ns UTC ascending, price in quote units), equally long."""

DAY_NS: Final = 86_400_000_000_000
NO_TIMES: Final[Times] = np.empty(0, dtype=np.int64)


class Curve(NamedTuple):
    """Marked equity in USD at int64 ns UTC, ascending, one value a time; starts with the capital."""

    ts_ns: Times
    usd: Floats


class Daily(NamedTuple):
    """Per UTC day, the first and the last possibly partial. `returns` are simple: 0.01 = 1 %."""

    day_ns: Times  # midnight the day began with
    pnl_usd: Floats
    returns: Floats


class Drawdown(NamedTuple):
    """The deepest fall from a peak. `recovery_ns` is None where equity ended below that peak."""

    fraction: float  # <= 0
    usd: float  # <= 0
    start_ns: int
    trough_ns: int
    recovery_ns: int | None


def curve(rows: Sequence[EquityRow], capital_usd: float) -> Curve:
    """Equity rows as arrays, the capital set just before the first; the last of equal times holds."""
    if not rows:
        return Curve(NO_TIMES, np.empty(0))
    ordered = sorted(rows, key=lambda row: row.ts_ns)
    ts = np.array([row.ts_ns for row in ordered], dtype=np.int64)
    usd = np.array([float(row.equity_usd) for row in ordered])
    last = np.append(ts[1:] != ts[:-1], True)
    return Curve(np.concatenate([ts[:1] - 1, ts[last]]), np.concatenate([[capital_usd], usd[last]]))


def daily(equity: Curve) -> Daily:
    """Changes between the last equity at or before each UTC midnight; the ends of the run close its ends.

    Returns after equity reached zero are 0: there is nothing left to lose a share of.
    """
    if len(equity.ts_ns) < 2:
        return Daily(NO_TIMES, np.empty(0), np.empty(0))
    first, last = int(equity.ts_ns[0]) + 1, int(equity.ts_ns[-1])
    midnights = np.arange(first // DAY_NS + 1, -(-last // DAY_NS), dtype=np.int64) * DAY_NS
    bounds = np.append(midnights, last)
    at = np.searchsorted(equity.ts_ns, bounds, side="right") - 1
    usd = np.concatenate([equity.usd[:1], equity.usd[at]])
    pnl = np.diff(usd)
    returns = np.divide(pnl, usd[:-1], out=np.zeros(len(pnl)), where=usd[:-1] > 0)
    starts = np.concatenate([[first // DAY_NS * DAY_NS], midnights])
    return Daily(starts, pnl, returns)


def underwater(equity: Curve) -> Floats:
    """Equity / highest equity so far - 1, at every point of the curve: 0 or negative."""
    if not len(equity.usd):
        return np.empty(0)
    peak = np.maximum.accumulate(equity.usd)
    return np.asarray(np.where(peak > 0, equity.usd / np.where(peak > 0, peak, 1.0) - 1.0, 0.0), dtype=np.float64)


def deepest_drawdown(equity: Curve) -> Drawdown | None:
    """The largest relative fall on the marked curve (not only at midnights); None where equity never fell."""
    under = underwater(equity)
    if not len(under) or under.min() >= 0.0:
        return None
    trough = int(np.argmin(under))
    start = int(np.argmax(equity.usd[: trough + 1]))
    peak = equity.usd[start]
    back = np.flatnonzero(equity.usd[trough:] >= peak)
    return Drawdown(
        float(under[trough]),
        float(equity.usd[trough] - peak),
        int(equity.ts_ns[start]),
        int(equity.ts_ns[trough]),
        int(equity.ts_ns[trough + back[0]]) if len(back) else None,
    )


def buy_and_hold(closes: Closes, symbols: Sequence[str], grid: Times, fees: Mapping[str, float]) -> Floats | None:
    """Growth of 1 USD at each `grid` time (ascending): equal shares in every symbol with prices, held.

    Each share waits as cash for its symbol's first price, pays `fees` (a fraction a side) when bought and
    again at the last grid time when sold. Prices that are not positive numbers are left out. None
    where no symbol has a usable price in the span.
    """
    if not len(grid):
        return None
    shares: list[Floats] = []
    for symbol in dict.fromkeys(symbols):
        ts, price = closes.get(symbol, (NO_TIMES, np.empty(0)))
        usable = np.isfinite(price) & (price > 0) & (ts <= grid[-1])
        ts, price = ts[usable], price[usable]
        if not len(ts) or ts[-1] < grid[0]:
            continue
        begin = max(0, int(np.searchsorted(ts, grid[0], side="right")) - 1)
        at = np.searchsorted(ts, grid, side="right") - 1
        keep = 1.0 - fees.get(symbol, 0.0)
        growth = np.where(at >= begin, price[np.maximum(at, begin)] / price[begin] * keep, 1.0)
        growth[-1] *= keep
        shares.append(growth)
    return np.asarray(np.mean(shares, axis=0), dtype=np.float64) if shares else None


def thinned(ts_ns: Times, values: Floats, most: int) -> tuple[Times, Floats]:
    """At most `most` (>= 4) points that keep the first, the last, and the lowest and highest of every stretch."""
    if len(values) <= most:
        return ts_ns, values
    edges = np.linspace(0, len(values), (most - 2) // 2 + 1).astype(np.int64)
    kept = {0, len(values) - 1}
    for begin, end in zip(edges[:-1], edges[1:], strict=True):
        kept |= {int(begin + np.argmin(values[begin:end])), int(begin + np.argmax(values[begin:end]))}
    chosen = np.array(sorted(kept), dtype=np.int64)
    return ts_ns[chosen], values[chosen]
