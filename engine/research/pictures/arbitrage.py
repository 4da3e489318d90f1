"""What was left of triangles on a recorded day: by fee, by how the legs went, and by how late the orders came."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.instruments import Instrument
from engine.markets.market import Market
from engine.research.equity import Floats, Times
from engine.research.pictures.looks import best_cycle_bps
from engine.research.pictures.watching import Array, day_of, watch
from engine.research.quoted import PAIRS, quotes_of_trades
from engine.research.report.panels import Dots, Line, Panel, draw
from engine.research.triangles import ASKED, ROOM, TIERS_BPS, TIMEFRAMES_S, at_fee
from engine.simulation.venue import SimulationModel

SECOND_NS: Final = 1_000_000_000
BIN_NS: Final = 60 * SECOND_NS
SLOW_MS, QUICK_MS = 100.0, 5.0
COLOURS: Final = ("red", "orange", "violet", "green")  # by fee, the dearest first


def picture(path: Path, pairs: Sequence[Instrument] = PAIRS) -> str:
    """The picture of a recording of trades of three pairs that form a triangle."""
    market = quotes_of_trades(path, pairs)
    runs = [_edges(market, fee, SLOW_MS) for fee in TIERS_BPS]
    slow, quick = runs[-1][2], _edges(market, TIERS_BPS[-1], QUICK_MS)[2]
    begin, end = market.from_ns, market.to_ns
    lines = [
        Line(f"{fee:g} bps" if fee else "no fee", ts, best, colour)
        for fee, (ts, best, _), colour in zip(TIERS_BPS, runs, COLOURS, strict=True)
    ]
    paying = ", ".join(
        f"{int((best > 0).sum())} of {len(best)} {f'at {fee:g} bps' if fee else 'without a fee'}"
        for fee, (_, best, _) in zip(TIERS_BPS, runs, strict=True)
    )
    edges = Panel(
        "What the best way round the triangle would have left, after three fees (bps)",
        "The best second of every minute, at the touch prices, by the fee of one leg. 10 bps is what a new account "
        f"pays, 7.5 with the exchange's own coin. Minutes above 0, where a cycle pays: {paying}.",
        lines, height=190, unit="{:+g}",
    )  # fmt: skip
    words = (
        f"The recorded trades of {day_of(begin)} as quotes; each fee is a run of the real core with $1,000, asking for "
        "half a basis point. Prices are left out on purpose: the recording is not ours to publish."
    )
    panels = [edges, _cycles(slow), _sums(slow, quick, end)]
    return draw("Triangular arbitrage: what fees and time leave", words, panels, begin, end)


def _edges(market: Market, fee_bps: float, latency_ms: float) -> tuple[Times, Floats, Array]:
    """Per minute: when, the best edge of a look a second; and what the core noted."""
    stamps: list[int] = []
    edges: list[float] = []

    def look(s: Any) -> None:
        stamps.append(int(s.head[0].now_ns))
        edges.append(float(best_cycle_bps(s)))

    journal = watch(
        at_fee(market, fee_bps), SECOND_NS, look, strategies=ASKED, timeframes_s=TIMEFRAMES_S, limits=ROOM,
        simulation=SimulationModel(order_latency_ms=latency_ms),
    )  # fmt: skip
    bins = np.array(stamps) // BIN_NS
    known = np.unique(bins)
    best = np.array([max(e for b, e in zip(bins, edges, strict=True) if b == one) for one in known])
    return known * BIN_NS + BIN_NS // 2, np.where(best > -9_999, best, np.nan), r.joined(journal)["record"]


def _cycles(noted: Array) -> Panel:
    """What became of every cycle that was begun without a fee."""
    notes = noted[noted["kind"] == r.CYCLE]
    done, back, missed, begun = (
        notes[notes["reason"] == why]
        for why in (reasons.CYCLE_DONE, reasons.CYCLE_UNWOUND, reasons.CYCLE_MISSED, reasons.CYCLE_BEGUN)
    )
    filled = np.concatenate([done["realised_e9"], back["realised_e9"]]) / 1e5
    quoted = float(begun["quoted_e9"].mean()) / 1e5 if len(begun) else 0.0
    kept = float(filled.mean()) if len(filled) else 0.0
    marks = [
        Dots("all three legs", one["ts_ns"], one["realised_e9"] / 1e5, "green")
        if one is done
        else Dots("turned back", one["ts_ns"], one["realised_e9"] / 1e5, "red", "cross")
        for one in (done, back)
    ]
    return Panel(
        f"What the cycles realised without any fee, orders {SLOW_MS:g} ms on their way (bps)",
        f"{len(begun)} begun: {len(done)} went through, {len(back)} were turned back, {len(missed)} got nothing at the "
        f"first leg and cost nothing. Promised in the mean {quoted:+.2f} bps, kept {kept:+.2f}: the rest is what "
        "happens in between.",
        marks, height=130, unit="{:+g}",
    )  # fmt: skip


def _sums(slow: Array, quick: Array, end: int) -> Panel:
    """What it adds up to, by latency."""
    lines, sums = [], []
    for name, noted, colour in ((f"{QUICK_MS:g} ms", quick, "blue"), (f"{SLOW_MS:g} ms", slow, "orange")):
        closed = noted[noted["kind"] == r.CLOSED]
        total = np.cumsum(closed["gross_e8"] - closed["fees_e8"]) / 1e8
        last = float(total[-1]) if len(total) else 0.0
        ts = np.concatenate([noted["ts_ns"][:1], closed["ts_ns"], [end]])
        lines.append(Line(name, ts, np.concatenate([[0.0], total, [last]]), colour, 2.0, stepped=True))
        sums.append(f"${last:.2f} with orders {name} on their way")
    return Panel(
        "What that adds up to without any fee ($ of $1,000)",
        f"{sums[0]}, {sums[1]}: being late is a cost of its own.",
        lines, height=110, unit="${:g}",
    )  # fmt: skip
