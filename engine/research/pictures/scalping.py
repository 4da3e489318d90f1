"""What the scalper saw in a few recorded minutes of one perpetual, and why it did nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from engine.contracts import records as r
from engine.core.strategies.scalping import STRATEGY
from engine.markets.market import open_market
from engine.research.equity import Floats, Times
from engine.research.pictures.looks import LOOKED_AT, read_scalping
from engine.research.pictures.watching import Array, Charged, day_of, watch
from engine.research.report.panels import Blocks, Line, Panel, Words, draw
from engine.simulation.venue import SimulationModel

LOOK_NS: Final = 1_000_000_000
TIMEFRAMES_S: Final = (60, 180, 720)
LATENCY: Final = SimulationModel(order_latency_ms=20.0, reply_latency_ms=10.0)


class _Seen(NamedTuple):
    """A look a second: one column of `looked` for each of `LOOKED_AT`; and what the core noted."""

    ts_ns: Times
    looked: dict[str, Floats]
    noted: Array


def picture(paths: Sequence[Path], symbol: str) -> str:
    """The picture of one perpetual's recorded quotes and trades. Raises BadInput where `paths` do not hold them."""
    market = open_market(paths, symbols=[symbol])
    asked = STRATEGY.resolve({})
    usual, free = (_seen(Charged(market, factor)) for factor in (1.0, 0.0))
    words = (
        f"{market.instruments[0].symbol}, the recorded quotes and trades of {day_of(market.from_ns)}, looked at once a "
        "second inside the real core with the parameters as shipped. Prices and sizes are left out on purpose: the "
        "recording is not ours to publish."
    )
    panels = [_parts(usual), _signal(usual, asked["entry_z"]), _worth(usual, asked["edge_factor"]), _trades(free)]
    return draw("Scalping: what the signal promises, and what a trade costs", words, panels,
                int(usual.ts_ns[0]), int(usual.ts_ns[-1]))  # fmt: skip


def _seen(market: Charged) -> _Seen:
    stamps: list[int] = []
    rows: list[Floats] = []

    def look(s: Any) -> None:
        row = np.zeros(len(LOOKED_AT))
        read_scalping(s, 0, row)
        stamps.append(int(s.head[0].now_ns))
        rows.append(row)

    journal = watch(market, LOOK_NS, look, strategies={"scalping": {}}, timeframes_s=TIMEFRAMES_S, simulation=LATENCY)
    columns = np.array(rows).T
    return _Seen(np.array(stamps), dict(zip(LOOKED_AT, columns, strict=True)), r.joined(journal)["record"])


def _parts(seen: _Seen) -> Panel:
    colours = zip(("micro", "shown", "takers"), ("microprice", "lean of the book", "takers' flow"),
                  ("grey", "blue", "orange"), strict=True)  # fmt: skip
    return Panel(
        "The parts of the signal",
        "Above 0 they speak for a rise, below for a fall; in units of what the price usually moves in ten seconds (one "
        "volatility). The flow is silent until a minute has shown what is usual; the microprice says little where the "
        "spread is a single tick.",
        [Line(name, seen.ts_ns, seen.looked[part], colour, 1.3) for part, name, colour in colours],
        unit="{:+g}", low=-0.7, high=0.7,
    )  # fmt: skip


def _signal(seen: _Seen, entry_z: float) -> Panel:
    level = np.full(2, entry_z)
    ends = seen.ts_ns[[0, -1]]
    beyond = int((np.abs(seen.looked["signal"]) >= entry_z).sum())
    return Panel(
        "Their sum: the signal",
        f"First condition of an entry: beyond {entry_z:g} either way (dashed). It was in {beyond} of "
        f"{len(seen.ts_ns)} looks.",
        [Line("signal", seen.ts_ns, seen.looked["signal"], "violet"),
         Line("", ends, level, "red", 1.2, True), Line("", ends, -level, "red", 1.2, True)],
        height=100, unit="{:+g}",
    )  # fmt: skip


def _worth(seen: _Seen, factor: float) -> Panel:
    promised = np.abs(seen.looked["edge_bps"])
    needed = seen.looked["needed_bps"]
    volatility = seen.looked["volatility_bps"]
    known = needed > 0.0
    return Panel(
        "What it promises, and what would be worth a trade (basis points)",
        f"Second condition: the move expected must be {factor:g} times fees and spread; the fees here are 0.02 % for "
        f"making and 0.05 % for taking. The most it promised was {promised.max():.1f} of the "
        f"{np.median(needed[known]):.1f} needed. For comparison one volatility, what the price usually moves in that "
        f"time: {volatility.max():.1f} at most.",
        [Line("needed", seen.ts_ns, np.where(known, needed, np.nan), "red", 2.0),
         Line("one volatility", seen.ts_ns, np.where(known, volatility, np.nan), "grey", 1.2),
         Line("promised, either way", seen.ts_ns, promised, "violet")],
        height=150, low=0.0,
    )  # fmt: skip


def _trades(seen: _Seen) -> Panel:
    closed, spans = (seen.noted[seen.noted["kind"] == kind] for kind in (r.CLOSED, r.EXCURSION))
    net = closed["gross_e8"] - closed["fees_e8"] + closed["funding_e8"]
    made = net / np.maximum(closed["risk_e8"], 1)
    marks: list[Blocks | Words] = []
    for name, chosen, colour in (("won", net >= 0, "green"), ("lost", net < 0, "red")):
        marks.append(Blocks(name, spans["opened_ns"][chosen], closed["ts_ns"][chosen], np.minimum(made, 0.0)[chosen],
                            np.maximum(made, 0.0)[chosen], colour, 0.75))  # fmt: skip
    marks.append(Words(closed["ts_ns"], made, ["long" if side > 0 else "short" for side in closed["side"].tolist()]))
    withdrawn = int((seen.noted["kind"] == r.REFUSED).sum())
    return Panel(
        "The same minutes without any fee: its trades, in R (1 is the loss planned at the stop)",
        f"{len(closed)} trades and {withdrawn} entries withdrawn before they filled; together "
        f"{float(made.sum()):+.2f} R. A few minutes say nothing about an edge.",
        marks, height=100, unit="{:+g}",
    )  # fmt: skip
