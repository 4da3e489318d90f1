"""A walk in a terminal: the verdict first, then folds, yardsticks, and what it costs to believe it."""

from __future__ import annotations

from typing import Final

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engine.research.breakdown import iso
from engine.research.dossier import Dossier, fall_pct
from engine.research.optimizing import Search
from engine.research.overfitting import Proof
from engine.research.report import wording
from engine.research.robustness import Again, Band
from engine.research.verdict import ON_SYNTHETIC, counted, dollars, percent, ratio

WIDTH: Final = 100
MISSING: Final = wording.MISSING


def print_walk(console: Console, dossier: Dossier) -> None:
    """Everything a dossier holds, made for 100 columns."""
    width = min(WIDTH, console.width)
    for part in (_headline(dossier), _folds(dossier), _yardsticks(dossier), proof_table(dossier.walk.proof)):
        console.print(part, width=width)
    if dossier.monte_carlo is not None:
        console.print(_luck(dossier), width=width)
    for title, rows in (("Stress: played again with dearer assumptions", dossier.stress),
                        ("Capacity: the account and its limits in dollars times", dossier.capacity)):  # fmt: skip
        if rows:
            console.print(_again(title, rows), width=width)
    console.print(Text(wording.DISCLOSURE, style="dim"), width=width)


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, expand=True, pad_edge=False
    )


def number(value: float | None) -> str:
    """A ratio, or the dash of what does not exist."""
    return MISSING if value is None else ratio(value)


def chance(value: float | None) -> str:
    """A probability: ``97 %``, three digits where it is small."""
    if value is None:
        return MISSING
    return f"{value * 100:.1f} %" if 0.001 <= value < 0.1 else f"{value * 100:.0f} %"


def interval(pair: tuple[float, ...] | None, unit: str = "") -> str:
    """``−1.20 to 0.35`` of the first and the last."""
    return MISSING if pair is None else f"{ratio(pair[0])} to {ratio(pair[-1])}{unit}"


def _headline(dossier: Dossier) -> Panel:
    done, marks = dossier.walk, dossier.yardsticks
    span = f"{iso(done.span.from_ns)[:10]} to {iso(done.span.to_ns)[:10]}"
    lines = Text(f"{span}, {counted(dossier.symbols, 'symbol')}, {counted(done.proof.trials, 'trial')}\n", style="dim")
    lines.append(done.proof.sentence, style="bold green" if done.proof.shown else "bold")
    held = MISSING if marks.buy_and_hold_pct is None else percent(marks.buy_and_hold_pct)
    lines.append(
        f"\nOut of sample {percent(marks.strategy_pct)} after all costs in {marks.days} days, deepest fall "
        f"{percent(fall_pct(done.outside))}; buying and holding {held}."
    )
    if dossier.synthetic:
        lines.append(f"\n{ON_SYNTHETIC}")
    title = f"Walk-forward · {done.plan.strategy}"
    return Panel(lines, title=Text(title), title_align="left", box=box.ROUNDED)


def _folds(dossier: Dossier) -> Table:
    table = _table("Folds: chosen in sample (dim), judged out of sample")
    for head in ("", "Test from", "In", "Out", "Net out", "Trades", "Left out"):
        table.add_column(head, justify="left" if head in ("", "Test from") else "right", no_wrap=True)
    table.add_column("Chosen", min_width=16)
    for one in dossier.walk.folds:
        named = {k: v for k, v in one.params.items() if k in dossier.walk.plan.grid}
        table.add_row(
            str(one.fold.number), iso(one.fold.test.from_ns)[:10],
            Text(number(one.inside.sharpe), style="dim"), number(one.outside.sharpe),
            Text(dollars(one.outside.net_usd, True), style="green" if one.outside.net_usd > 0 else "red"),
            str(one.outside.trades), str(one.outside.left_out), words(named),
        )  # fmt: skip
    table.caption = "in, out: Sharpe ratios; left out: open at the end of the test stretch, so of neither side"
    return table


def words(params: dict[str, float]) -> str:
    """``fast=12 slow=48``"""
    return " ".join(f"{name}={value:g}" for name, value in params.items())


def _yardsticks(dossier: Dossier) -> Table:
    marks = dossier.yardsticks
    table = _table("The same days")
    for head in ("", "Result", "95 % interval", "Note"):
        table.add_column(head, justify="right" if head in ("Result", "95 % interval") else "left")
    rows: list[tuple[str, float | None, str, str]] = [
        ("Strategy, out of sample", marks.strategy_pct, "", "after fees, funding and slippage"),
        ("Cash", marks.cash_pct, "", ""),
        ("Buy and hold", marks.buy_and_hold_pct, "", "equal shares, both fees"),
        ("Same trades at random", marks.random_pct, interval(marks.random_ci95_pct, " %"),
         f"{chance(marks.random_better)} of draws did better"),
    ]  # fmt: skip
    if marks.rule is not None:
        note = f"p that ours is no better: {chance(marks.spa_rule)}"
        rows.append((f"Plain rule: {marks.rule}", marks.rule_pct, "", note))
    for name, value, band, note in rows:
        table.add_row(name, MISSING if value is None else percent(value), band or MISSING, note)
    return table


def proof_table(proof: Proof) -> Table:
    """How far to believe it, with the reason where a figure does not exist."""
    table = _table("How far to believe it")
    for head in ("", "Value", "Meaning"):
        table.add_column(head, justify="right" if head == "Value" else "left")
    for name, label, value, meaning in proof_rows(proof):
        table.add_row(label, value, proof.why_null.get(name, meaning))
    return table


def proof_rows(proof: Proof) -> list[tuple[str, str, str, str]]:
    """(field, label, value, meaning) of every figure, for the terminal and the page."""
    deflated = f"the same, allowing for {counted(proof.trials, 'trial')}"
    return [
        ("sharpe", "Sharpe, out of sample", number(proof.sharpe), f"{proof.days} days, annualised"),
        ("sharpe_ci95", "95 % interval", interval(proof.sharpe_ci95), "stationary bootstrap of the days"),
        ("probabilistic", "Probability of skill (PSR)", chance(proof.probabilistic), "that the true Sharpe is above 0"),
        ("deflated", "Deflated (DSR)", chance(proof.deflated), deflated),
        ("best_sharpe", "Best trial, in sample", number(proof.best_sharpe), "what a search without a walk shows"),
        ("best_deflated", "The same, deflated", chance(proof.best_deflated), deflated),
        ("pbo", "Overfitting (PBO)", chance(proof.pbo), "how often the best in sample is below the median outside"),
        ("loss_probability", "Best in sample loses", chance(proof.loss_probability), "out of sample, same splits"),
        ("spa_cash", "SPA against cash, p", chance(proof.spa_cash), "chance that no trial beats doing nothing"),
    ]  # fmt: skip


def _luck(dossier: Dossier) -> Table:
    luck = dossier.monte_carlo
    table = _table("Luck: 5 %, 50 % and 95 % of each distribution")
    for head in ("", "5 %", "50 %", "95 %"):
        table.add_column(head, justify="left" if not head else "right")
    if luck is not None:
        rows: list[tuple[str, Band | None]] = [
            (f"Result, {counted(luck.trades, 'trade')} drawn again", luck.drawn_return_pct),
            ("Deepest fall, trades in another order", luck.order_drawdown_pct),
            (f"Result, heard late by up to {luck.jitter_s:g} s ({luck.jitters} runs)", luck.jitter_return_pct),
        ]
        for name, band in rows:
            table.add_row(name, *(MISSING,) * 3 if band is None else (percent(value) for value in band))
        table.caption = f"{chance(luck.loss_probability)} of draws lost money"
    return table


def _again(title: str, rows: list[Again]) -> Table:
    table = _table(title)
    table.add_column("", no_wrap=True)
    for head in ("Result", "Deepest fall", "Trades", "Fees"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in rows:
        table.add_row(
            changed(one), percent(one.return_pct), percent(one.max_drawdown_pct), f"{one.trades:,}",
            dollars(one.fees_usd),
        )  # fmt: skip
    return table


_CHANGES: Final = {
    "fees": "fees × {:g}",
    "late_s": "late {:g} s",
    "slippage_bps": "takers {:g} bps worse",
    "capital": "× {:g}",
}


def changed(one: Again) -> str:
    """What was changed: ``fees × 1.5, late 60 s, takers 5 bps worse``."""
    return ", ".join(_CHANGES[name].format(value) for name, value in one.change.items())


def print_search(console: Console, found: Search) -> None:
    """The winner beside its deflated figures, and the next best."""
    width = min(WIDTH, console.width)
    tried = counted(found.trials, "trial")
    lines = Text(f"{tried}, all in sample: what chose the winner cannot judge it\n", style="dim")
    lines.append(f"{words(found.winner.params)}\n", style="bold")
    lines.append(
        f"Sharpe {number(found.proof.sharpe)}, deflated for {tried}: "
        f"{chance(found.proof.deflated)} likely real; overfitting {chance(found.proof.pbo)}. "
    )
    lines.append("Not told from luck." if not found.shown else "Worth a walk-forward.")
    console.print(
        Panel(lines, title=Text(f"Search · {found.strategy}"), title_align="left", box=box.ROUNDED), width=width
    )
    table = _table("The best, in sample")
    table.add_column("Parameters", overflow="fold")
    for head in ("Sharpe", "Result", "Deepest fall", "Trades"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in found.leaders:
        table.add_row(
            words(one.params), number(one.figures.sharpe), percent(one.figures.return_pct),
            percent(one.figures.max_drawdown_pct), f"{one.figures.trades:,}",
        )  # fmt: skip
    console.print(table, width=width)
    console.print(proof_table(found.proof), width=width)
    console.print(Text(wording.DISCLOSURE, style="dim"), width=width)
