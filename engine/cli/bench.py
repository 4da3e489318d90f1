"""``trading-cli bench``: how fast the core is on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from engine.cli.terminal import JsonOption, print_json, progress_bar, say

app = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True, rich_markup_mode=None)


class Line(NamedTuple):
    """One row of the table: a figure of ours, what is aimed at, and the peer measured beside it."""

    figure: str
    what: str
    aim: str
    peer: str | None = None


LINES: Final = (
    Line("live_call_us_p50", "one live call, median (µs)", "≤ 2"),
    Line("live_call_us_p99", "one live call, 99th percentile (µs)", ""),
    Line("events_per_s_simple", "recorded quotes, one strategy, no orders (events/s)", "≥ hftbacktest",
         "hftbacktest_events_per_s"),
    Line("events_per_s_simple", "the same, against a Python strategy (events/s)", "≥ 50 × nautilus",
         "nautilus_quotes_per_s"),
    Line("events_per_s_full", "momentum, risk, orders and fills (events/s)", "≥ 5,000,000"),
    Line("backtest_momentum_s", "4 months × 39 pairs of 5m candles, momentum (s)", "≤ 2"),
    Line("backtest_crossover_s", "the same, crossover 48/192 (s)", "≤ 0.8"),
)  # fmt: skip


@app.callback()
def bench() -> None:
    """Measure speed on this machine."""


@app.command("core")
def core(
    write: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures as JSON.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a live call and the backtest loop, beside the peers where `make peers` was run.

    Example: trading-cli bench core --json
    """
    import msgspec

    from engine import settings
    from engine.journal.atomic import replace_file
    from engine.research.bench import bench_core, machine

    in_force = settings.load()
    with progress_bar(quiet=as_json) as report:
        figures = bench_core(in_force.data_dir, in_force.limits, in_force.simulation, report)
    if write is not None:
        replace_file(write, [msgspec.json.format(msgspec.json.encode(figures | {"machine": machine()})), b"\n"])
        say(f"written: {write}")
    if as_json:
        print_json(figures)
    else:
        show(figures)


def show(figures: dict[str, float | int | str | None]) -> None:
    """The figures as a table on stdout, each beside its aim and its peer."""
    from rich.console import Console
    from rich.table import Table

    table = Table("measured", "Keel", "aim", "peer", "ratio", box=None, header_style="bold")
    for line in LINES:
        ours, theirs = figures[line.figure], figures.get(line.peer or "")
        ratio = f"{ours / theirs:.1f} ×" if isinstance(ours, int) and isinstance(theirs, int) else ""
        table.add_row(line.what, written(ours), line.aim, written(theirs), ratio)
    console = Console()
    console.print(table)
    console.print(f"data: {figures['data']}; peers: {figures['peers']}")


def written(value: float | int | str | None) -> str:
    """A figure for the eye; empty where there is none."""
    return "" if value is None else f"{value:,.3f}" if isinstance(value, float) else f"{value:,}"
