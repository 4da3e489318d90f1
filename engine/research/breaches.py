"""Losses beyond a hard limit that the ledger does not list as gaps: there should be none.

A limit is the tighter of dollars and per cent, of the equity the UTC day started with (for a trade: the day it was
opened). A loss is listed where a gap row of that trade or day tells a loss as large; a fall from the peak, where a gap
row since that peak tells one. A person who lets trading go on may have begun a new peak.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from engine.contracts.ledger import GapRow, Ledger
from engine.research import equity
from engine.research.breakdown import iso

FALL: Final = "GAP_DRAWDOWN"
ROUNDING: Final = 1e-9  # of floats, in dollars
CENT: Final = 0.01  # the core counts in 1e-8 USD and rounds against us
ENTRY_NS: Final = 60_000_000_000  # an entry sent before midnight may fill after it, under yesterday's limit


def unlisted(ledger: Ledger, limits: Mapping[str, float], curve: equity.Curve) -> list[str]:
    """One line for every loss past its limit without a gap row, trades first."""
    return _trades(ledger, limits, curve) + _days(ledger, limits, curve) + _falls(ledger, limits, curve)


def _trades(ledger: Ledger, limits: Mapping[str, float], curve: equity.Curve) -> list[str]:
    found: list[str] = []
    listed = {gap.trade_no: gap for gap in ledger.gaps if gap.symbol}
    for trade in ledger.trades:
        loss = -float(trade.net_usd)
        begun = (trade.opened_ns, trade.opened_ns - ENTRY_NS)
        limit = max(_limit(limits, "trade_loss", _day_start(curve, ns // equity.DAY_NS)) for ns in begun)
        if loss > limit + 1e-6 and not _tells(listed.get(trade.trade_no), loss):
            found.append(f"trade {trade.trade_no} {trade.symbol} lost ${loss:.2f}, the limit is ${limit:.2f}")
    return found


def _days(ledger: Ledger, limits: Mapping[str, float], curve: equity.Curve) -> list[str]:
    if not len(curve.ts_ns):
        return []
    found: list[str] = []
    last_ns = int(curve.ts_ns[-1])
    listed = {_judged_day(gap.ts_ns, last_ns): gap for gap in ledger.gaps if not gap.symbol and gap.cause != FALL}
    daily = equity.daily(curve)
    for day_ns, pnl in zip(daily.day_ns.tolist(), daily.pnl_usd.tolist(), strict=True):
        day = day_ns // equity.DAY_NS
        limit = _limit(limits, "day_loss", _day_start(curve, day))
        if -pnl > limit + CENT and not _tells(listed.get(day), -pnl):
            found.append(f"{iso(day_ns)[:10]} lost ${-pnl:.2f}, the day limit is ${limit:.2f}")
    return found


def _falls(ledger: Ledger, limits: Mapping[str, float], curve: equity.Curve) -> list[str]:
    found: list[str] = []
    resumed = [state.ts_ns for state in ledger.states if state.after == "ACTIVE"]
    edges = np.searchsorted(curve.ts_ns, np.array(resumed, np.int64)).tolist()
    for first, end in zip([0, *edges], [*edges, len(curve.ts_ns)], strict=True):
        usd = curve.usd[first:end]
        peaks = np.maximum.accumulate(usd)
        falls = np.flatnonzero(peaks - usd >= limits.get("drawdown_pct", np.inf) / 100 * peaks - ROUNDING)
        if len(falls) == 0:
            continue
        at = int(falls[0])
        begun, ns = int(curve.ts_ns[first + int(np.argmax(usd[: at + 1]))]), int(curve.ts_ns[first + at])
        if not any(gap.cause == FALL and begun <= gap.ts_ns <= ns for gap in ledger.gaps):
            fell = (1 - usd[at] / peaks[at]) * 100
            found.append(
                f"equity was {fell:.2f} % below its peak on {iso(ns)[:10]}, the limit is {limits['drawdown_pct']:g} %"
            )
    return found


def _judged_day(ts_ns: int, last_ns: int) -> int:
    """The day a gap row of the account is about: the one before its time stamp, for days are judged at the first
    event from midnight on, except for the day the run ends in, judged by its last event."""
    return (ts_ns - 1) // equity.DAY_NS if ts_ns >= last_ns else ts_ns // equity.DAY_NS - 1


def _tells(gap: GapRow | None, loss: float) -> bool:
    return gap is not None and float(gap.loss_usd) >= loss - CENT and gap.planned_usd < gap.loss_usd


def _limit(limits: Mapping[str, float], name: str, start_usd: float) -> float:
    share = limits.get(f"{name}_pct", np.inf) / 100 * start_usd if start_usd > 0 else np.inf
    return float(min(limits.get(f"{name}_usd", np.inf), share))


def _day_start(curve: equity.Curve, day: int) -> float:
    """Equity the UTC day started with; the capital before the first row."""
    if not len(curve.ts_ns):
        return 0.0
    at = int(np.searchsorted(curve.ts_ns, day * equity.DAY_NS, side="right")) - 1
    return float(curve.usd[max(at, 0)])
