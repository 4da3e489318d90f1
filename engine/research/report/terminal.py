"""The report in a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engine.contracts.ledger import Ledger
from engine.research.breakdown import Slice, iso
from engine.research.metrics import Metrics
from engine.research.report import wording
from engine.research.report.figures import waterfall_steps
from engine.research.verdict import dollars

WIDTH: Final = 100
BAR: Final = 40
SYMBOLS: Final = 12
GAPS: Final = 10


def print_report(console: Console, metrics: Metrics, ledger: Ledger) -> None:
    """Headline and verdict, figures, gross to net, symbols, exits, refusals, gaps."""
    width = min(WIDTH, console.width)
    console.print(_headline(metrics), width=width)
    console.print(_figures(metrics), width=width)
    if metrics.trades:
        console.print(_waterfall(metrics), width=width)
        console.print(_slices(metrics.by_symbol, "Symbols"), width=width)
        console.print(_slices(metrics.by_exit_reason, "Exits"), width=width)
    if metrics.refusals:
        console.print(_refusals(metrics), width=width)
    if ledger.gaps:
        console.print(_gaps(ledger), width=width)
    console.print(Text(wording.DISCLOSURE, style="dim"), width=width)


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, expand=True, pad_edge=False
    )


def _colour(value: float) -> str:
    return "green" if value > 0 else "red" if value < 0 else ""


def _headline(metrics: Metrics) -> Panel:
    marks = [metrics.grade.upper(), *["SIMULATED"] * metrics.simulated, *["SYNTHETIC DATA"] * metrics.synthetic]
    change = metrics.end_equity_usd - metrics.start_equity_usd
    lines = Text()
    lines.append(f"{wording.period(metrics)}   {'  '.join(marks)}\n", style="dim")
    lines.append(metrics.verdict, style=f"bold {_colour(change)}".strip())
    for warning in metrics.warnings:
        lines.append(f"\n! {warning}", style="yellow")
    name = f"{' + '.join(metrics.strategies) or 'no strategy'} · run {metrics.run_id}"
    return Panel(lines, title=Text(name), title_align="left", box=box.ROUNDED)


def _figures(metrics: Metrics) -> Table:
    """Two columns of figures, groups one below the other."""
    grid = Table(box=None, pad_edge=False, expand=True, show_header=False)
    for _ in range(2):
        grid.add_column(ratio=3, no_wrap=True)
        grid.add_column(ratio=2, justify="right", no_wrap=True)
        grid.add_column(width=1)
    left = [*_group(metrics, "Result"), *_group(metrics, "Risk"), *_group(metrics, "Activity")]
    right = [*_group(metrics, "Ratios"), *_group(metrics, "Trades")]
    blank = (Text(), Text())
    for one, other in zip_longest(left, right, fillvalue=blank):
        grid.add_row(*one, "", *other, "")
    return grid


def _group(metrics: Metrics, name: str) -> list[tuple[Text, Text]]:
    lines = [(Text(), Text()), (Text(name, style="bold"), Text())]
    for figure in wording.GROUPS[name]:
        lines.append((Text(figure.label), Text(wording.figure_text(metrics, figure))))
    return lines


def _waterfall(metrics: Metrics) -> Table:
    """Floating bars: every step begins where the one before ended."""
    steps = waterfall_steps(metrics)
    edges, reached = [], 0.0
    for _, usd, total in steps:
        begin = 0.0 if total else reached
        reached = usd if total else reached + usd
        edges.append((min(begin, reached), max(begin, reached)))
    low, high = min(0.0, *(e[0] for e in edges)), max(0.0, *(e[1] for e in edges))
    scale = BAR / ((high - low) or 1.0)
    table = _table("From gross to net")
    table.add_column("", no_wrap=True)
    table.add_column("USD", justify="right", no_wrap=True)
    table.add_column("", width=BAR + 1, no_wrap=True)
    for (label, usd, total), (begin, end) in zip(steps, edges, strict=True):
        before = round((begin - low) * scale)
        length = max(1, round((end - low) * scale) - before)
        style = "blue" if total else _colour(usd)
        table.add_row(Text(label), dollars(usd, True), Text(" " * before + "█" * length, style=style))
    return table


def _slices(slices: Sequence[Slice], title: str) -> Table:
    shown = list(slices)
    if len(shown) > SYMBOLS:
        title = f"{title}: the best and worst {SYMBOLS // 2} of {len(shown)}"
        shown = [*shown[: SYMBOLS // 2], *shown[-SYMBOLS // 2 :]]
    table = _table(title)
    table.add_column("", no_wrap=True, max_width=24, overflow="ellipsis")
    for head in ("Trades", "Won", "Gross", "Fees", "Funding", "Slippage", "Net"):
        table.add_column(head, justify="right", no_wrap=True)
    for s in shown:
        table.add_row(
            Text(s.key), f"{s.trades:,}", f"{s.win_rate:.0%}", dollars(s.gross_usd, True), dollars(s.fees_usd),
            dollars(s.funding_usd, True), dollars(s.slippage_usd),
            Text(dollars(s.net_usd, True), style=_colour(s.net_usd)),
        )  # fmt: skip
    return table


def _refusals(metrics: Metrics) -> Table:
    table = _table(f"Refused entries: {metrics.refusals:,}")
    table.add_column("Reason", no_wrap=True)
    table.add_column("In words", overflow="fold")
    table.add_column("Count", justify="right", no_wrap=True)
    for reason, count in metrics.refusals_by_reason.items():
        table.add_row(Text(reason), wording.REFUSAL_WORDS.get(reason, ""), f"{count:,}")
    return table


def _gaps(ledger: Ledger) -> Table:
    worst = sorted(ledger.gaps, key=lambda gap: -gap.loss_usd)[:GAPS]
    of = f"the {GAPS} largest of {len(ledger.gaps):,}" if len(ledger.gaps) > GAPS else f"{len(ledger.gaps)}"
    table = _table(f"Losses past their plan: {of}")
    for head in ("Time, UTC", "Symbol", "Planned", "Actual", "Cause"):
        table.add_column(head, justify="right" if head in ("Planned", "Actual") else "left", no_wrap=head != "Cause")
    for gap in worst:
        cause = wording.GAP_WORDS.get(gap.cause, gap.cause)
        table.add_row(
            wording.text(iso(gap.ts_ns)), Text(gap.symbol or "the day"), dollars(float(gap.planned_usd)),
            dollars(float(gap.loss_usd)), Text(cause),
        )  # fmt: skip
    return table
