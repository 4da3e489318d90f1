"""``trading-cli optimize``: a search that cannot hide how often it looked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import walking
from engine.cli.backtest import assignments, listed, moment
from engine.cli.terminal import JsonOption, print_json, progress_bar
from engine.contracts.errors import BadInput


def optimize(
    strategy: Annotated[str, typer.Option(metavar="NAME", help="Strategy to search the parameters of.")],
    data: Annotated[list[Path], typer.Option(metavar="FILE...", help="Parquet of candles, quotes, trades or funding.")],
    grid: Annotated[list[str], typer.Option("--grid", metavar="PARAM=A,B", help="Values to search; repeatable.")],
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="More data files.")] = None,
    symbols: Annotated[str | None, typer.Option(metavar="A,B", help="Only these symbols, separated by commas.")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="ISO", help="First moment (UTC).")] = None,
    to: Annotated[str | None, typer.Option("--to", help="First moment that is left out, ISO 8601.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="PARAM=VALUE", help="Fixed; repeatable.")] = None,
    trials: Annotated[int, typer.Option(min=0, metavar="N", help="Variants tried on this data before.")] = 0,
    workers: walking.WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Search parameters over a whole market. The winner is named only beside its deflated figures: exit code 3, and no
    winner, where they do not exist. What comes of it later, only backtest --walk-forward can say.

    Example: trading-cli optimize --strategy crossover --data candles.parquet --grid fast=12,24 --grid slow=96,192
    """
    from engine import bootstrap, settings
    from engine.contracts.errors import Refused
    from engine.research.optimizing import search
    from engine.research.search import Workers, parse_grid

    if not grid:
        raise BadInput("--grid: name at least one parameter and its values")
    plan = bootstrap.walk_plan(
        settings.load(), strategy, [*data, *(more or [])], grid=parse_grid(grid), params=assignments(set_ or []),
        symbols=listed(symbols), from_ns=moment("--from", from_), to_ns=moment("--to", to), tried_before=trials,
    )  # fmt: skip
    with progress_bar(quiet=as_json) as report, Workers(plan.data, workers) as pool:
        found = search(plan, pool, report)
    if not found.judged:
        raise Refused(f"no winner is named: {found.why}")
    if as_json:
        print_json(found)
        return
    from rich.console import Console

    from engine.research.report.walkterminal import print_search

    print_search(Console(), found)
