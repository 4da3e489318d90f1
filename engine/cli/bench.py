"""``trading-cli bench``: how fast the core is on this machine."""

from __future__ import annotations

import typer

from engine.cli.terminal import JsonOption, print_json, progress_bar

app = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def bench() -> None:
    """Measure speed on this machine."""


@app.command("core")
def core(as_json: JsonOption = False) -> None:
    """Measure a live call and the backtest loop, beside the peers where `make peers` was run.

    Example: trading-cli bench core --json
    """
    from engine import settings
    from engine.research.bench import bench_core

    in_force = settings.load()
    with progress_bar(quiet=as_json) as report:
        figures = bench_core(in_force.data_dir, in_force.limits, in_force.simulation, report)
    if as_json:
        print_json(figures)
        return
    width = max(map(len, figures))
    for name, value in figures.items():
        shown = f"{value:,.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
        print(f"{name:<{width}}  {shown}")
