"""The report in a terminal: made for 100 columns, whole amounts from 80 on."""

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
from engine.research.report.wording import MISSING
from engine.research.verdict import dollars

WIDTH: Final = 100
BAR: Final = 40
KEY: Final = 24  # room for the name of a slice
PADDING: Final = 3  # around a column
DROPPED: Final = ("Slippage", "Funding", "Fees", "Gross", "Won")  # first to go where the width is short
SYMBOLS: Final = 12
GAPS: Final = 10
NOTHING: Final = dollars(0.0)


def print_report(console: Console, metrics: Metrics, ledger: Ledger) -> None:
    """Headline and verdict, figures, gross to net, symbols, exits, cycles, the selector's shares, refusals, gaps."""
    width = min(WIDTH, console.width)
    console.print(_headline(metrics), width=width)
    console.print(_figures(metrics, width), width=width)
    if metrics.trades:
        console.print(_waterfall(metrics, width), width=width)
    if len(metrics.strategies) > 1:
        console.print(_slices(metrics.by_strategy, "Strategies", width), width=width)
    if metrics.trades:
        console.print(_slices(metrics.by_symbol, "Symbols", width), width=width)
        console.print(_slices(metrics.by_exit_reason, "Exits", width), width=width)
    if metrics.cycles:
        console.print(_cycles(metrics), width=width)
    if ledger.selections:
        console.print(_selections(ledger), width=width)
    if metrics.refusals or metrics.expired_entries:
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


def _figures(metrics: Metrics, width: int) -> Table:
    """Groups of figures one below the other, in two columns where there is room for them."""
    left = [*_group(metrics, "Result"), *_group(metrics, "Risk"), *_group(metrics, "Activity")]
    right = [*_group(metrics, "Ratios"), *_group(metrics, "Trades")]
    grid = Table(box=None, pad_edge=False, expand=True, show_header=False)
    if width < WIDTH:
        return _column(grid, [*left, *right])
    for _ in range(2):
        grid.add_column(ratio=3, no_wrap=True)
        grid.add_column(ratio=2, justify="right", no_wrap=True)
        grid.add_column(width=1)
    blank = (Text(), Text())
    for one, other in zip_longest(left, right, fillvalue=blank):
        grid.add_row(*one, "", *other, "")
    return grid


def _column(grid: Table, lines: Sequence[tuple[Text, Text]]) -> Table:
    grid.expand = False
    grid.add_column()
    grid.add_column(justify="right", no_wrap=True, min_width=max(len(value) for _, value in lines))
    for line in lines:
        grid.add_row(*line)
    return grid


def _group(metrics: Metrics, name: str) -> list[tuple[Text, Text]]:
    lines = [(Text(), Text()), (Text(name, style="bold"), Text())]
    for figure in wording.GROUPS[name]:
        lines.append((Text(figure.label), Text(wording.figure_text(metrics, figure))))
    return lines


def _waterfall(metrics: Metrics, width: int) -> Table:
    """Floating bars: every step begins where the one before ended; a step of nothing draws none."""
    steps = waterfall_steps(metrics)
    edges, reached = [], 0.0
    for _, usd, total in steps:
        begin = 0.0 if total else reached
        reached = usd if total else reached + usd
        edges.append((min(begin, reached), max(begin, reached)))
    low, high = min(0.0, *(e[0] for e in edges)), max(0.0, *(e[1] for e in edges))
    amounts = [dollars(usd, True) for _, usd, _ in steps]
    room = max(map(len, amounts))
    bar = max(min(BAR, width - room - max(len(label) for label, _, _ in steps) - 3 * PADDING), 1)
    scale = bar / ((high - low) or 1.0)
    table = _table("From gross to net")
    table.add_column("", no_wrap=True)
    table.add_column("USD", justify="right", no_wrap=True, min_width=room)
    table.add_column("", width=bar + 1, no_wrap=True)
    for (label, usd, total), amount, (begin, end) in zip(steps, amounts, edges, strict=True):
        before = round((begin - low) * scale)
        length = max(1, round((end - low) * scale) - before) if amount != NOTHING else 0
        style = "blue" if total else _colour(usd)
        table.add_row(Text(label), amount, Text(" " * before + "█" * length, style=style))
    return table


def _slices(slices: Sequence[Slice], title: str, width: int) -> Table:
    """A line a slice. Where the width cannot hold every amount, whole columns go, never digits."""
    shown = list(slices)
    if len(shown) > SYMBOLS:
        title = f"{title}: the best and worst {SYMBOLS // 2} of {len(shown)}"
        shown = [*shown[: SYMBOLS // 2], *shown[-SYMBOLS // 2 :]]
    columns = {
        "Trades": [f"{s.trades:,}" for s in shown],
        "Won": [f"{s.win_rate:.0%}" for s in shown],
        "Gross": [dollars(s.gross_usd, True) for s in shown],
        "Fees": [dollars(s.fees_usd) for s in shown],
        "Funding": [dollars(s.funding_usd, True) for s in shown],
        "Slippage": [dollars(s.slippage_usd) for s in shown],
        "Net": [dollars(s.net_usd, True) for s in shown],
    }
    wide = {head: max(len(head), *map(len, texts)) for head, texts in columns.items()}
    dropped = iter(DROPPED)
    while sum(wide.values()) + PADDING * len(wide) + KEY > width and (head := next(dropped, None)):
        del columns[head], wide[head]
    table = _table(title)
    table.add_column("", max_width=KEY, overflow="ellipsis")
    for head in columns:
        table.add_column(head, justify="right", no_wrap=True, min_width=wide[head])
    for place, s in enumerate(shown):
        texts = [Text(texts[place]) for texts in columns.values()]
        texts[-1].stylize(_colour(s.net_usd))
        table.add_row(Text(s.key, no_wrap=True), *texts)
    return table


def _cycles(metrics: Metrics) -> Table:
    """Triangular cycles by venue, those sent and those in shadow."""
    table = _table("Triangular cycles: edges in bps, after fees")
    for head in ("Venue", "", "Cycles", "Through", "Back", "Missed", "Won", "Quoted", "Realised", "Net"):
        table.add_column(head, justify="left" if head in ("Venue", "") else "right", no_wrap=True)
    for one in metrics.cycles:
        edges = (MISSING if edge is None else f"{edge:+.1f}" for edge in (one.quoted_bps, one.realised_bps))
        counts = (f"{count:,}" for count in (one.cycles, one.done, one.turned_back, one.missed, one.won))
        net = Text(dollars(one.net_usd, True), style="" if one.shadow else _colour(one.net_usd))
        table.add_row(Text(one.venue), "shadow" if one.shadow else "sent", *counts, *edges, net)
    return table


def _selections(ledger: Ledger) -> Table:
    """The last share of each strategy, and why."""
    last = {one.strategy: one for one in ledger.selections}
    table = _table(f"Shares of the risk budget at the end, moved {len(ledger.selections):,} times")
    for head in ("Strategy", "Share", "R a trade", "Trades", "Market", "Why"):
        right = head in ("Share", "R a trade", "Trades")
        table.add_column(head, justify="right" if right else "left", no_wrap=head != "Why")
    for one in last.values():
        table.add_row(
            Text(one.strategy), f"{one.share:.0%}", f"{one.mean_r:+.2f}", f"{one.trades:.0f}", one.regime,
            wording.SHARE_WORDS.get(one.reason, one.reason),
        )  # fmt: skip
    return table


def _refusals(metrics: Metrics) -> Table:
    expired = f"; expired unfilled: {metrics.expired_entries:,}" if metrics.expired_entries else ""
    table = _table(f"Refused entries: {metrics.refusals:,}{expired}")
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
            wording.text(iso(gap.ts_ns)), Text(wording.loser(gap)), dollars(float(gap.planned_usd)),
            dollars(float(gap.loss_usd)), Text(cause),
        )  # fmt: skip
    return table
