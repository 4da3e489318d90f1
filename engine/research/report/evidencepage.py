"""The evidence as Markdown and pictures: what a study found, and the table over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from engine.research.breakdown import iso
from engine.research.dossier import Dossier, fall_pct
from engine.research.report import wording
from engine.research.report.picture import Curve, draw
from engine.research.report.walkterminal import chance, changed, interval, number, proof_rows, words
from engine.research.robustness import Again
from engine.research.studies import Study
from engine.research.verdict import counted, dollars, percent

if TYPE_CHECKING:
    from engine.research.evidence import Shipped

GREY, COLOUR, HELD, RULE_LINE, FAINT = "#c3c9cf", "#2b5fb3", "#98a2ad", "#c2553c", "#dcdedb"
MISSING: Final = wording.MISSING
GENERATED: Final = "<!-- written by `make evidence`; do not edit -->"


def picture(study: Study, dossier: Dossier, least_symbols: int) -> str:
    """In sample grey, out of sample coloured; buying and holding only over enough symbols to be an aggregate."""
    done, marks = dossier.walk, dossier.yardsticks
    capital = done.plan.terms.capital_usd
    curves = [Curve("In sample", done.inside.ts_ns, done.inside.usd / done.inside.usd[-1] * capital, GREY)]
    if marks.held is not None and dossier.symbols >= least_symbols:
        curves.append(Curve("Buy and hold", marks.held.ts_ns, marks.held.usd, HELD, 1.2))
    if marks.ruled is not None:
        curves.append(Curve(f"Plain rule ({marks.rule})", marks.ruled.ts_ns, marks.ruled.usd, RULE_LINE, 1.0))
    curves.append(Curve("Out of sample", done.outside.ts_ns, done.outside.usd, COLOUR, 2.2))
    return draw(f"{study.title}: equity in and out of sample", curves, [one.fold.test.from_ns for one in done.folds])


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; every column but the first to the right where it holds figures."""
    head = "| " + " | ".join(heads) + " |\n|" + "|".join([" --- "] + [" ---: "] * (len(heads) - 1)) + "|\n"
    return head + "".join("| " + " | ".join(str(cell) for cell in row) + " |\n" for row in rows)


def study_page(study: Study, dossier: Dossier) -> str:
    """One study, verdict first."""
    done, marks, luck = dossier.walk, dossier.yardsticks, dossier.monte_carlo
    grid = "; ".join(f"`{name}` {', '.join(f'{v:g}' for v in values)}" for name, values in study.grid.items())
    cut = done.plan.cut
    parts = [
        f"{GENERATED}\n\n# {study.title}\n\n**{done.proof.sentence}**\n\n{study.mind}\n",
        f"![Equity]({study.name}.svg)\n\nGrey: in sample, where the parameters were chosen. Blue: out of sample, the "
        "only part that counts.\n",
        f"{iso(done.span.from_ns)[:10]} to {iso(done.span.to_ns)[:10]}, {counted(dossier.symbols, 'symbol')}. Grid: "
        f"{grid}: {counted(done.proof.trials, 'trial')}. {cut.folds} folds, embargo {cut.embargo_hours:g} h, warm-up "
        f"{cut.warm_days:g} days, seed {done.plan.seed}. Every trial stands in "
        f"[a table]({study.name}-trials.csv), every figure in [a document]({study.name}.json).\n",
        "## The same days\n\n" + table(["", "Result", "95 %"], _yardsticks(dossier)),
        "## Folds\n\n" + table(
            ["Test from", "Sharpe in", "Sharpe out", "Net out", "Trades", "Left out", "Chosen"],
            [(iso(one.fold.test.from_ns)[:10], number(one.inside.sharpe), number(one.outside.sharpe),
              dollars(one.outside.net_usd, True), one.outside.trades, one.outside.left_out,
              words({k: v for k, v in one.params.items() if k in study.grid})) for one in done.folds],
        ) + "\nLeft out: open at the end of a test stretch, so of neither side. Most steady in training: "
        f"`{words({k: v for k, v in done.recommended.items() if k in study.grid})}`.\n",
        "## How far to believe it\n\n" + table(
            ["", "Value", "Meaning"],
            [(label, value, done.proof.why_null.get(name, meaning))
             for name, label, value, meaning in proof_rows(done.proof)],
        ),
    ]  # fmt: skip
    if luck is not None:
        bands = [
            (f"Result, {counted(luck.trades, 'trade')} drawn again", interval(luck.drawn_return_pct, " %")),
            ("Deepest fall, trades in another order", interval(luck.order_drawdown_pct, " %")),
            (f"Result, everything heard late by up to two bars, {luck.jitters} runs",
             interval(luck.jitter_return_pct, " %")),
        ]  # fmt: skip
        parts.append("## Luck: 5 % to 95 %\n\n" + table(["", "5 % to 95 %"], bands))
    parts.append("## Stress\n\n" + _again(dossier.stress))
    parts.append("## Capacity: the account and its limits in dollars times\n\n" + _again(dossier.capacity))
    parts.append(f"{marks.days} days out of sample. {wording.DISCLOSURE}\n")
    return "\n".join(parts)


def _yardsticks(dossier: Dossier) -> list[tuple[str, str, str]]:
    marks, proof = dossier.yardsticks, dossier.walk.proof
    held = MISSING if marks.buy_and_hold_pct is None else percent(marks.buy_and_hold_pct)
    random = MISSING if marks.random_pct is None else percent(marks.random_pct)
    rows = [
        ("Strategy, out of sample, after all costs", percent(marks.strategy_pct), total_interval(dossier)),
        ("Deepest fall of it", percent(fall_pct(dossier.walk.outside)), MISSING),
        ("Cash", percent(marks.cash_pct), MISSING),
        ("Buy and hold, equal shares", held, MISSING),
        (f"Same trades at random ({chance(marks.random_better)} of draws did better)", random,
         interval(marks.random_ci95_pct, " %")),
    ]  # fmt: skip
    if marks.rule is not None and marks.rule_pct is not None:
        rows.append((f"Plain rule: {marks.rule} (p that ours is no better: {chance(marks.spa_rule)})",
                     percent(marks.rule_pct), MISSING))  # fmt: skip
    return rows if proof.days else rows[:1]


def total_interval(dossier: Dossier) -> str:
    """The interval of the mean daily return, times the days: how far the whole result may be luck."""
    band = dossier.walk.proof.mean_ci95_pct
    return (
        MISSING
        if band is None
        else interval((band[0] * dossier.yardsticks.days, band[1] * dossier.yardsticks.days), " %")
    )


def _again(found: Sequence[Again] | None) -> str:
    rows = [
        (changed(one), percent(one.return_pct), percent(one.max_drawdown_pct), f"{one.trades:,}", dollars(one.fees_usd))
        for one in found or []
    ]
    return table(["", "Result", "Deepest fall", "Trades", "Fees"], rows)


def days_text(days: float) -> str:
    """``0.083`` of a short stretch, ``120`` of a long one."""
    return f"{days:.2g}" if days < 10 else f"{days:.0f}"


def first_page(
    found: Sequence[tuple[Study, Dossier]], shipped: Sequence[Shipped], left_out: Sequence[str], code: str
) -> str:
    """The table over everything, and what was not run."""
    rows = [
        (f"[{study.name}]({study.name}.md)", f"{d.yardsticks.days}", sum(one.outside.trades for one in d.walk.folds),
         percent(d.yardsticks.strategy_pct), total_interval(d),
         MISSING if d.yardsticks.buy_and_hold_pct is None else percent(d.yardsticks.buy_and_hold_pct),
         MISSING if d.yardsticks.random_pct is None else percent(d.yardsticks.random_pct),
         MISSING if d.yardsticks.rule_pct is None else percent(d.yardsticks.rule_pct),
         interval(d.walk.proof.sharpe_ci95), d.walk.proof.trials, chance(d.walk.proof.deflated),
         chance(d.walk.proof.pbo), percent(fall_pct(d.walk.outside)),
         "edge" if d.walk.proof.shown else "no evidence of edge")
        for study, d in found
    ]  # fmt: skip
    heads = ["Study", "Days", "Trades", "Net", "95 %", "Buy and hold", "At random", "Plain rule", "Sharpe, 95 %",
             "Trials", "DSR", "PBO", "Deepest fall", "Verdict"]  # fmt: skip
    falls = [
        (one.stretch, one.strategy, days_text(one.days), one.symbols, f"{one.figures.trades:,}",
         percent(one.figures.return_pct), percent(one.figures.max_drawdown_pct), dollars(one.worst_usd),
         "yes" if one.figures.stopped else "no", "yes" if -one.figures.max_drawdown_pct < one.fall_limit_pct else "NO")
        for one in shipped
    ]  # fmt: skip
    fell = ["Stretch", "Strategy", "Days", "Symbols", "Trades", "Net", "Deepest fall", "Worst trade",
            "Stopped by its limit", "Under 5 %"]  # fmt: skip
    nothing = "\n".join(f"- {line}" for line in left_out)
    parts = [
        f"{GENERATED}\n\n# Evidence\n\nWhat the strategies came to on recorded markets they were not tuned on, after "
        "fees, funding and slippage, beside doing nothing, buying and holding, the same trades at random moments, and "
        "a plain rule. How to read it: [evaluation](../evaluation.md).\n",
        table(heads, rows),
        "Net is out of sample, from $1,000 under the default limits; every fold starts flat. At random: as many trades "
        "of the same size and length on random pairs and moments. DSR allows for all trials; PBO above one half means "
        "that choosing among them was worth nothing.\n",
        "## Every recorded stretch, with the parameters as shipped\n\nNot out of sample where a study above was made "
        "on the same file; it shows what the limits hold. The account is marked by the hour here and watched on every "
        "price by the engine.\n",
        table(fell, falls),
        f"## Not run\n\n{nothing}\n" if left_out else "",
        f"Code {code}. {wording.DISCLOSURE}\n",
    ]
    return "\n".join(part for part in parts if part)
