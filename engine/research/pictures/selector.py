"""Weeks of a recorded market as the selector saw them: features, regimes, results, and the shares it made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.contracts.ledger import Ledger, TradeRow
from engine.core import regime
from engine.core.selector import resolved
from engine.core.strategies import table
from engine.journal import ledger as ledgers
from engine.markets.market import open_market
from engine.research.equity import Floats, Times
from engine.research.pictures.watching import day_of, watch
from engine.research.report.panels import Blocks, Dots, Line, Panel, draw

LOOK_NS: Final = 2 * 3_600_000_000_000
TIMEFRAMES_S: Final = (300, 900, 3600)
STRATEGIES: Final = {"momentum": "blue", "crossover": "orange"}
"""Those that trade on candles, and their colours."""
WHY: Final = {
    "SHARE_BY_REGIME": "since the market changed",
    "SHARE_BY_EVIDENCE": "by results",
    "SHARE_DEMOTED_GAP": "after a trade lost more than its plan",
    "SHARE_DEMOTED_DAY": "after the day's limit",
    "SHARE_COOLED_DOWN": "back from that",
}
"""Reasons of a change of a share, in words."""
SHOWN: Final[tuple[str, ...]] = ("calm_up", "calm_down", "chop", "wild", "thin", "unknown")


def picture(paths: Sequence[Path], from_day: str, to_day: str) -> str:
    """The picture of the days from ``2025-01-01`` until before ``2025-02-01``, traded by two strategies of one account
    with $1,000. Raises BadInput where `paths` do not hold them."""
    from_ns, to_ns = (
        int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000_000 for day in (from_day, to_day)
    )
    market = open_market(paths).between(from_ns, to_ns)
    stamps: list[int] = []
    features: list[Floats] = []
    shares: list[Floats] = []
    numbers = [row.number for row in table.STRATEGIES if row.name in STRATEGIES]

    def look(s: Any) -> None:
        stamps.append(int(s.head[0].now_ns))
        features.append(s.climate[0]["features"].copy())
        shares.append(s.shares["share"][numbers].copy())

    strategies: dict[str, dict[str, float]] = {name: {} for name in STRATEGIES}
    journal = watch(market, LOOK_NS, look, strategies=strategies, timeframes_s=TIMEFRAMES_S, selector={"enabled": 1.0})
    book = ledgers.fold(journal, market.instruments, table.NAMES)
    ts = np.array(stamps)
    words = (
        f"{day_of(from_ns)} to {day_of(to_ns - 1)}, {len(market.instruments)} recorded spot pairs by five minutes; "
        "momentum and the plain crossover on one account in the real core, parameters as shipped (the other two "
        "strategies do not trade on candles). Prices are left out on purpose: the recording is not ours to publish."
    )
    panels = [
        *_features(ts, np.array(features)), _regimes(book, from_ns, to_ns), _results(book.trades),
        _shares(ts, np.array(shares), book),
    ]  # fmt: skip
    return draw("The selector: what the market was like, what was earned in it, who may enter", words, panels,
                from_ns, to_ns)  # fmt: skip


def _features(ts: Times, features: Floats) -> list[Panel]:
    known = features.any(axis=1)

    def line(feature: int, name: str, colour: str) -> Line:
        return Line(name, ts, np.where(known, features[:, feature], np.nan), colour)

    def level(value: float) -> Line:
        return Line("", ts[[0, -1]], np.full(2, value), "red", 1.0, True)

    return [
        Panel(
            "What is measured: the leader's trend, and how many go with it",
            "Trend of Bitcoin (fast less slow mean, in mean ranges of an hour) and part of all pairs that rise. "
            "Beyond a half either way (dashed) the market counts as moving.",
            [line(regime.TREND, "trend", "blue"), line(regime.BREADTH, "part that rise", "grey"), level(0.5),
             level(-0.5)],
            height=110, unit="{:+g}",
        ),
        Panel(
            "And how much it moves",
            "Volatility of the last hour in times that of the last day. From 2 on (dashed) it is wild.",
            [line(regime.VOLATILITY, "volatility", "violet"), level(2.0)],
            height=80, low=0.0,
        ),
    ]  # fmt: skip


def _regimes(book: Ledger, from_ns: int, to_ns: int) -> Panel:
    begins = [from_ns, *(one.ts_ns for one in book.regimes)]
    names = [book.regimes[0].before if book.regimes else "unknown", *(one.after for one in book.regimes)]
    ends = [*begins[1:], to_ns]
    rows = [name for name in SHOWN if name in names]
    place = np.array([float(rows.index(name)) for name in names])
    colours = {"calm_up": "green", "calm_down": "red", "chop": "grey", "wild": "violet", "thin": "orange"}
    marks = []
    for k, name in enumerate(rows):
        mine = place == k
        marks.append(Blocks("", np.array(begins)[mine], np.array(ends)[mine], place[mine] - 0.36, place[mine] + 0.36,
                            colours.get(name, "pale"), 0.8))  # fmt: skip
    return Panel(
        "What that is called: the regime",
        f"{len(book.regimes)} changes. Evidence is kept apart for each regime; a change moves the shares at once.",
        marks, height=18 * len(rows), rows=[name.replace("_", " ") for name in rows],
    )  # fmt: skip


def _results(trades: Sequence[TradeRow]) -> Panel:
    marks = []
    said = []
    for name, colour in STRATEGIES.items():
        mine = [one for one in trades if one.strategy == name and one.r_multiple is not None]
        made = np.array([one.r_multiple for one in mine], float)
        at = np.array([one.closed_ns for one in mine], np.int64)
        marks.append(Dots(name, at, made, colour, "up" if name == "momentum" else "dot"))
        said.append(f"{name} {len(mine)} with {made.mean() if len(made) else 0.0:+.2f} R in the mean")
    return Panel(
        "What was earned in it: every closed trade, in R (1 is the loss planned at the stop)",
        f"{'; '.join(said)}.", marks, height=110, unit="{:+g}",
    )  # fmt: skip


def _shares(ts: Times, shares: Floats, book: Ledger) -> Panel:
    lines = [
        Line(name, ts, shares[:, k], STRATEGIES[name], 2.0, stepped=True)
        for k, name in enumerate(row.name for row in table.STRATEGIES if row.name in STRATEGIES)
    ]
    counts = Counter(WHY.get(one.reason, "for another reason") for one in book.selections)
    by = ", ".join(f"{count} {what}" for what, count in counts.most_common())
    return Panel(
        "Who may enter: shares of the risk budget",
        f"{len(book.selections)} changes: {by or 'none'}. Where nothing has been tried a strategy has the benefit of "
        f"the doubt; where it lost it falls, to its floor of {resolved({})['floor']:.0%} at the lowest.",
        lines, height=110, unit="{:.0%}", low=0.0, high=1.0,
    )  # fmt: skip
