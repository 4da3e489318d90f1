"""One recorded day of many pairs as the momentum strategy saw it: the market, every breakout, what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from engine.contracts.ledger import Ledger, RefusalRow, TradeRow
from engine.core.strategies import table
from engine.core.strategies.momentum import STRATEGY
from engine.journal import ledger as ledgers
from engine.markets.market import Market, open_market
from engine.research.equity import DAY_NS, Floats, Times
from engine.research.pictures.looks import read_scan
from engine.research.pictures.watching import day_of, watch
from engine.research.report.panels import Blocks, Dots, Line, Mark, Panel, Words, draw

BAR_NS: Final = 300_000_000_000
CELL_NS: Final = 6 * BAR_NS
TIMEFRAMES_S: Final = (300, 900, 3600)
AFTER_NS: Final = 5 * DAY_NS  # the longest a position is held, and a little
REASONS: Final = {
    "MARKET_AGAINST": ("market against it", "orange"),
    "RANKED_LOW": ("ranked low", "grey"),
    "PUMP": ("like a pump", "red"),
    "MAX_POSITIONS": ("account is full", "violet"),
}
"""Refusals that are drawn: what they are called, and their colour; any other is ``else``, in grey."""


class _Day(NamedTuple):
    """What was seen at the end of every base bar of the day, by pair, and what the journal says of all days."""

    ts_ns: Times
    places: Floats  # [looks, pairs], NaN where a pair is not scanned
    breadth: Floats
    trend: Floats
    allows: Floats
    book: Ledger


def picture(paths: Sequence[Path], day: str) -> str:
    """The picture of a day (``2025-03-02``) of five-minute candles; everything before it is traded too, with $1,000 at
    the beginning. Raises BadInput where `paths` do not hold it."""
    from_ns = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000_000
    market = open_market(paths)
    seen = _seen(market, from_ns)
    asked = STRATEGY.resolve({})
    trades = [one for one in seen.book.trades if from_ns <= one.opened_ns < from_ns + DAY_NS]
    refused = [one for one in seen.book.refusals if from_ns <= one.ts_ns < from_ns + DAY_NS]
    words = (
        f"{day_of(from_ns)}, {len(market.instruments)} recorded spot pairs by five minutes; the real core with the "
        f"parameters as shipped, trading since {day_of(market.from_ns)}. Prices are left out on purpose: the recording "
        "is not ours to publish."
    )
    panels = [*_market(seen, asked), _breakouts(market, seen, trades, refused), _results(trades, from_ns)]
    return draw("Momentum: one day, every breakout and what became of it", words, panels, from_ns, from_ns + DAY_NS)


def _seen(market: Market, from_ns: int) -> _Day:
    count = len(market.instruments)
    rows: list[tuple[int, Floats, float, float, float]] = []

    def look(s: Any) -> None:
        now = int(s.head[0].now_ns)
        if from_ns < now <= from_ns + DAY_NS:
            places = np.zeros(count)
            breadth, trend, allows = read_scan(s, places)
            rows.append((now, np.where(places < 0.0, np.nan, places), breadth, trend, float(allows)))

    part = market.between(market.from_ns, min(from_ns + DAY_NS + AFTER_NS, market.to_ns))
    journal = watch(part, BAR_NS, look, strategies={"momentum": {}}, timeframes_s=TIMEFRAMES_S)
    book = ledgers.fold(journal, market.instruments, table.NAMES)
    columns = list(zip(*rows, strict=True))
    breadth, trend, allows = (np.array(one, float) for one in columns[2:])
    return _Day(np.array(columns[0]), np.array(columns[1]), breadth, trend, allows, book)


def _market(seen: _Day, asked: dict[str, float]) -> list[Panel]:
    ends = seen.ts_ns[[0, -1]]
    shut = seen.allows == 0.0
    closed = Blocks(
        "no entries", seen.ts_ns[shut] - BAR_NS, seen.ts_ns[shut], np.full(shut.sum(), -1e9), np.full(shut.sum(), 1e9),
        "pale", 0.6,
    )  # fmt: skip
    return [
        Panel(
            "Is the market with it? Part of all pairs that rise",
            f"Fast mean above the slow one, by the hour. Below {asked['min_breadth']:.0%} (dashed) nothing is entered "
            f"(shaded: {shut.mean():.0%} of the day).",
            [closed, Line("pairs that rise", seen.ts_ns, seen.breadth, "blue", 1.8, stepped=True),
             Line("", ends, np.full(2, asked["min_breadth"]), "red", 1.2, True)],
            height=80, unit="{:.0%}", low=0.0, high=1.0,
        ),
        Panel(
            "And the leader? The trend of Bitcoin",
            f"Fast less slow mean, in mean ranges of an hour. Below {asked['min_btc_trend']:g} (dashed) nothing is "
            "entered either.",
            [closed._replace(name=""), Line("trend", seen.ts_ns, seen.trend, "blue", 1.8, stepped=True),
             Line("", ends, np.full(2, asked["min_btc_trend"]), "red", 1.2, True)],
            height=80, unit="{:+g}", low=min(-3.0, float(seen.trend.min())), high=max(3.0, float(seen.trend.max())),
        ),
    ]  # fmt: skip


def _breakouts(market: Market, seen: _Day, trades: Sequence[TradeRow], refused: Sequence[RefusalRow]) -> Panel:
    """A row for each pair that broke out: its place by the half-hour, entries and refusals."""
    names = [one.symbol for one in market.instruments]
    first: dict[str, int] = {}
    for ts_ns, symbol in sorted([(t.opened_ns, t.symbol) for t in trades] + [(f.ts_ns, f.symbol) for f in refused]):
        first.setdefault(symbol, ts_ns)
    symbols = list(first)[::-1]  # the first to break out at the top
    marks: list[Mark] = []
    for name, low, high, opacity in (("place: lower half", 0.0, 0.5, 0.10), ("upper half", 0.5, 0.75, 0.28),
                                     ("best quarter", 0.75, 1.1, 0.55)):  # fmt: skip
        spans = [span for row, one in enumerate(symbols)
                 for span in _cells(seen, names.index(one), row, low, high)]  # fmt: skip
        columns = np.array(spans, float).reshape(-1, 4).T
        marks.append(Blocks(name, columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2], columns[3],
                            "blue", opacity))  # fmt: skip
    counts = []
    for reason in dict.fromkeys([*REASONS, *(one.reason for one in refused)]):
        mine = [one for one in refused if one.reason == reason]
        called, colour = REASONS.get(reason, (reason.lower().replace("_", " "), "grey"))
        if mine:
            marks.append(Dots(called, *_at(mine, symbols), colour, "cross"))
            counts.append(f"{len(mine)} {called}")
    at = (
        np.array([one.opened_ns for one in trades], np.int64),
        np.array([symbols.index(t.symbol) for t in trades], float),
    )
    marks.append(Dots("entered", *at, "green", "up"))
    return Panel(
        "Every breakout of the day, by pair",
        f"Three timeframes, volume and price agree: {len(trades)} were entered, {len(refused)} refused "
        f"({', '.join(counts)}). A cross repeats while the breakout does. Blue: the pair's place among all by "
        "strength, turnover and spread.",
        marks, height=max(18 * len(symbols), 36), rows=[one.removesuffix("/USDT") for one in symbols],
    )  # fmt: skip


def _at(rows: Sequence[RefusalRow], symbols: Sequence[str]) -> tuple[Times, Floats]:
    return np.array([one.ts_ns for one in rows], np.int64), np.array([symbols.index(one.symbol) for one in rows], float)


def _cells(seen: _Day, pair: int, row: int, low: float, high: float) -> list[tuple[float, float, float, float]]:
    """Stretches of half an hour in which the pair's mean place lies within, as long as they last."""
    bins = (seen.ts_ns - 1) // CELL_NS
    spans: list[list[float]] = []
    for one in np.unique(bins):
        place = float(np.nanmean(seen.places[bins == one, pair])) if np.isfinite(
            seen.places[bins == one, pair]).any() else np.nan  # fmt: skip
        if low <= place < high:
            if spans and spans[-1][1] == one:
                spans[-1][1] = one + 1
            else:
                spans.append([one, one + 1])
    return [(a * CELL_NS, b * CELL_NS, row - 0.42, row + 0.42) for a, b in spans]


def _results(trades: Sequence[TradeRow], from_ns: int) -> Panel:
    """A row for each entry: how long it was held (to the end of the day at most), and what it came to."""
    rows = sorted(trades, key=lambda one: one.opened_ns, reverse=True)
    end_ns = from_ns + DAY_NS
    marks: list[Mark] = []
    for name, won, colour in (("won", True, "green"), ("lost", False, "red")):
        at = [k for k, one in enumerate(rows) if (one.net_usd >= 0) == won]
        place = np.array(at, float)
        opened = np.array([rows[k].opened_ns for k in at], np.int64)
        closed = np.array([min(rows[k].closed_ns, end_ns) for k in at], np.int64)
        marks.append(Blocks(name, opened, closed, place - 0.3, place + 0.3, colour, 0.75))
    for k, one in enumerate(rows):
        hours = (one.closed_ns - one.opened_ns) / 3_600e9
        why = one.exit_reason.lower().replace("_", " ")
        text = f"{one.r_multiple or 0.0:+.1f} R: {why} after {hours:.0f} h"
        early = one.opened_ns - from_ns < DAY_NS // 4
        moment = min(one.closed_ns, end_ns) if early else one.opened_ns
        marks.append(Words(np.array([moment]), np.array([float(k)]), [text], not early))
    made = sum(one.r_multiple or 0.0 for one in trades)
    return Panel(
        "What the entries came to, in R (1 is the loss planned at the stop)",
        f"Each from its entry to its exit, or to midnight where it was held longer; together {made:+.1f} R after all "
        "costs. The day was chosen for what it shows, not for its result: for that see the evidence over all days.",
        marks, height=max(20 * len(rows), 40), rows=[one.symbol.removesuffix("/USDT") for one in rows],
    )  # fmt: skip
