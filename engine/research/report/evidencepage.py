"""A study as a Markdown page and a picture: the verdict, the same days without it, how far to believe it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from engine.research import defaults
from engine.research.breakdown import iso
from engine.research.dossier import Dossier, fall_pct
from engine.research.folds import DAY_NS, HOUR_NS, lasting
from engine.research.report import evidencetiers, wording
from engine.research.report.markdown import table
from engine.research.report.picture import Curve, draw
from engine.research.report.walkterminal import chance, changed, interval, number, proof_rows, words
from engine.research.robustness import Again
from engine.research.statistics import MIN_INTERVAL_DAYS
from engine.research.studies import Study
from engine.research.verdict import counted, dollars, percent

if TYPE_CHECKING:
    from engine.research.evidence import Found

GREY, COLOUR, HELD, RULE_LINE, CASH = "#c3c9cf", "#2b5fb3", "#8a6fb0", "#c2553c", "#59636e"
MISSING: Final = wording.MISSING
GENERATED: Final = "<!-- written by `make evidence`; do not edit -->"
OUT_OF_REACH: Final = (
    "Without a trade: entries carry a worst price, and a book that has moved further than that fills none of them."
)
NO_TRADE: Final = "No trade was made out of sample, so there is nothing to make dearer, later or larger.\n"


def picture(study: Study, dossier: Dossier, least_symbols: int) -> str:
    """In sample grey, out of sample coloured; buying and holding only over enough symbols to be an aggregate."""
    done, marks = dossier.walk, dossier.yardsticks
    capital = done.plan.terms.capital_usd
    ends = np.array([done.outside.ts_ns[0], done.outside.ts_ns[-1]])
    curves = [Curve("In sample", done.inside.ts_ns, done.inside.usd / done.inside.usd[-1] * capital, GREY)]
    curves.append(Curve("Cash", ends, np.array([capital, capital]), CASH, 1.0, dashed=True))
    if marks.held is not None and dossier.symbols >= least_symbols:
        curves.append(Curve("Buy and hold", marks.held.ts_ns, marks.held.usd, HELD, 1.2))
    if marks.ruled is not None:
        curves.append(Curve(f"Naive rule: {marks.rule}", marks.ruled.ts_ns, marks.ruled.usd, RULE_LINE, 1.0))
    curves.append(Curve("Out of sample", done.outside.ts_ns, done.outside.usd, COLOUR, 2.2))
    return draw(f"{study.title}: equity in and out of sample", curves, [one.fold.test.from_ns for one in done.folds])


def moment(ts_ns: int, length_ns: int) -> str:
    """A time as exact as the length of what it belongs to asks for."""
    text = iso(ts_ns)
    return text[:10] if length_ns >= DAY_NS else f"{text[:10]} {text[11 : 19 if length_ns < HOUR_NS else 16]}"


def study_page(found: Found) -> str:
    """One study, verdict first."""
    study, dossier = found.study, found.dossier
    done = dossier.walk
    parts = [
        f"{GENERATED}\n\n# {study.title}\n\n**{done.proof.sentence}**\n\n{study.mind}\n",
        f"![Equity]({study.name}.svg)\n\nGrey: in sample, where the parameters were chosen. Blue: out of sample, the "
        "only part that counts.\n",
        _made_of(study, dossier),
        "## The same days\n\n" + table(["", "Result", "95 %"], _yardsticks(dossier)) + f"\n{_how_sure(dossier)}\n",
        "## Folds\n\n" + _folds(study, dossier),
    ]
    if study.settles:
        parts.append(_settled(study, dossier))
    if found.executable:
        parts.append(evidencetiers.triangles(found.executable))
    if found.at_fees:
        parts.append(evidencetiers.at_fees(found.at_fees))
    parts += ["## How far to believe it\n\n" + _proof(dossier), *_luck(dossier)]
    for title, again in (
        ("## Stress\n\n", dossier.stress),
        ("## Capacity: the account and its limits in dollars times\n\n", dossier.capacity),
    ):
        parts.append(title + _again(again))
    parts.append(f"{wording.DISCLOSURE}\n")
    return "\n".join(parts)


def _made_of(study: Study, dossier: Dossier) -> str:
    done = dossier.walk
    plan, cut = done.plan, done.plan.cut
    grid = "; ".join(f"`{name}` {', '.join(f'{v:g}' for v in values)}" for name, values in study.grid.items())
    fixed = f" Fixed: `{words(study.fixed)}`." if study.fixed else ""
    first = done.folds[0].fold
    length, trained = first.test.to_ns - first.test.from_ns, first.train.to_ns - first.train.from_ns
    gap, warm = first.test.from_ns - first.train.to_ns, first.test.warm_ns
    by = "Sharpe ratio" if plan.score == "sharpe" else "net result"
    fees = "" if plan.terms.fee_factor == 1.0 else f" Fees × {plan.terms.fee_factor:g}."
    return (
        f"{moment(done.span.from_ns, length)} to {moment(done.span.to_ns, length)} UTC, "
        f"{counted(dossier.symbols, 'symbol')}, $1,000 under the default limits; fees, funding, spread, slippage and "
        f"latency paid as [assumed](../backtesting.md).{fees} Grid: {grid}: {counted(done.proof.trials, 'trial')}, "
        f"chosen by {by}.{fixed} {counted(cut.folds, 'fold')}: training {lasting(trained)}, test "
        f"{lasting(length)}, embargo {lasting(gap)}, warm-up {lasting(warm)}; seed {plan.seed}. Every trial stands in "
        f"[a table]({study.name}-trials.csv), every figure in [a document]({study.name}.json).\n"
    )


def _yardsticks(dossier: Dossier) -> list[tuple[str, str, str]]:
    marks = dossier.yardsticks
    rows = [
        ("Strategy, out of sample, after all costs", percent(marks.strategy_pct), band(marks.strategy_ci95_pct)),
        ("Deepest fall of it", percent(fall_pct(dossier.walk.outside)), MISSING),
        ("Cash", percent(marks.cash_pct), MISSING),
        ("Buy and hold, equal shares", result(marks.buy_and_hold_pct), band(marks.buy_and_hold_ci95_pct)),
    ]
    if marks.rule is not None:
        better = f" (p that ours is no better: {chance(marks.spa_rule)})" if marks.spa_rule is not None else ""
        rows.append((f"Naive rule: {marks.rule}{better}", result(marks.rule_pct), band(marks.rule_ci95_pct)))
    if marks.random_pct is not None:
        rows.append((f"Same trades at random ({chance(marks.random_better)} of draws did better)",
                     percent(marks.random_pct), band(marks.random_ci95_pct)))  # fmt: skip
    return rows


def result(value: float | None) -> str:
    """Per cent, or the dash of what does not exist."""
    return MISSING if value is None else percent(value)


def band(pair: tuple[float, float] | None) -> str:
    """An interval in per cent."""
    return interval(pair, " %")


def _how_sure(dossier: Dossier) -> str:
    """Where the intervals come from, and what else the table means."""
    unit = "days" if len(dossier.walk.returns) >= MIN_INTERVAL_DAYS else "marks of the account"
    random = (
        " At random: as many trades of the same size, side and length on random symbols and moments, fees paid, no "
        "spread."
        if dossier.yardsticks.random_pct is not None
        else ""
    )
    return (
        f"Intervals: the {unit} drawn again in blocks; they know nothing of other markets.{random} Buying and holding "
        "pays one fee in and one out."
    )


def _folds(study: Study, dossier: Dossier) -> str:
    done = dossier.walk
    length = done.folds[0].fold.test.to_ns - done.folds[0].fold.test.from_ns
    by_net = done.plan.score == "net"
    rows = [
        (moment(one.fold.test.from_ns, length),
         dollars(one.inside.net_usd, True) if by_net else number(one.inside.sharpe),
         dollars(one.outside.net_usd, True) if by_net else number(one.outside.sharpe),
         *(() if by_net else (dollars(one.outside.net_usd, True),)), one.outside.trades,
         dollars(one.outside.fees_usd), one.outside.left_out,
         words({k: v for k, v in one.params.items() if k in study.grid}))
        for one in done.folds
    ]  # fmt: skip
    heads = ["Net in", "Net out"] if by_net else ["Sharpe in", "Sharpe out", "Net out"]
    return table(["Test from", *heads, "Trades", "Fees", "Left out", "Chosen"], rows) + (
        "\nIn: on the training stretch, by hindsight. Out, and all that follows it: on the test stretch. Left out: "
        "open at its end, so of neither side.\n"
    )


def _settled(study: Study, dossier: Dossier) -> str:
    """What the search chose, beside what ships."""
    one = defaults.choice(study, dossier.walk)
    rows = [(f"`{name}`", f"{one.shipped[name]:g}", f"{value:g}") for name, value in one.chosen.items()]
    alike = (
        f"{one.folds} of {one.of_folds} folds chose this very combination."
        if one.told_apart
        else "Every combination came to the same in training: the search tells nothing apart, and what ships stays."
    )
    return f"## What it settles\n\n{table(['Parameter', 'Ships', 'Chosen'], rows)}\n{defaults.RULE} {alike}\n"


def _proof(dossier: Dossier) -> str:
    proof = dossier.walk.proof
    if all(name in proof.why_null for name, *_ in proof_rows(proof)):
        return f"{proof.length} are too short a record for any of the figures that judge days.\n"
    rows = [(label, value, proof.why_null.get(name, meaning)) for name, label, value, meaning in proof_rows(proof)]
    return table(["", "Value", "Meaning"], rows)


def _luck(dossier: Dossier) -> list[str]:
    luck = dossier.monte_carlo
    if luck is None or luck.trades == 0:
        return []
    bands = [
        (f"Result, {counted(luck.trades, 'trade')} drawn again", band_of(luck.drawn_return_pct)),
        ("Deepest fall, trades in another order", band_of(luck.order_drawdown_pct)),
        (f"Result, everything heard late by up to {luck.jitter_s:g} s, {luck.jitters} runs",
         band_of(luck.jitter_return_pct)),
    ]  # fmt: skip
    return ["## Luck\n\n" + table(["", "5 % to 95 %"], bands)]


def band_of(three: tuple[float, float, float] | None) -> str:
    """The outer two of a low, a middle and a high, in per cent."""
    return interval(three, " %")


def _again(found: Sequence[Again] | None) -> str:
    if not found or not any(one.trades for one in found):
        return NO_TRADE
    rows = [
        (changed(one), percent(one.return_pct), percent(one.max_drawdown_pct), f"{one.trades:,}", dollars(one.fees_usd))
        for one in found
    ]
    missed = "" if all(one.trades for one in found) else f"\n{OUT_OF_REACH}\n"
    return table(["", "Result", "Deepest fall", "Trades", "Fees"], rows) + missed
