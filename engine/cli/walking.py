"""The options of a search over recorded markets, shared by ``backtest --walk-forward`` and ``optimize``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.terminal import print_json, progress_bar, say

if TYPE_CHECKING:
    from engine.research.dossier import Dossier
    from engine.research.folds import Cut
    from engine.research.walkforward import Plan

GridOption = Annotated[
    list[str] | None, typer.Option("--grid", metavar="PARAM=A,B", help="Values to search over; repeatable.")
]
WorkersOption = Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Processes that search.")]
FoldsOption = Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Walk-forward folds.")]
TrainOption = Annotated[
    float | None, typer.Option(min=0.1, metavar="DAYS", help="Training stretch of a fold (default: half the market).")
]
TestOption = Annotated[
    float | None, typer.Option(min=0.1, metavar="DAYS", help="Test stretch of a fold (default: the rest, shared).")
]
EmbargoOption = Annotated[float, typer.Option(min=0.0, metavar="HOURS", help="Left out between training and test.")]
WarmOption = Annotated[float, typer.Option(min=0.0, metavar="DAYS", help="Before each stretch, for indicators only.")]
AnchoredOption = Annotated[bool, typer.Option("--anchored", help="Every training stretch begins where the first does.")]
RobustOption = Annotated[bool, typer.Option("--robust", help="Also Monte Carlo, stress grid and capacity.")]


def cut(
    folds: int,
    train_days: float | None,
    test_days: float | None,
    embargo_hours: float,
    warm_days: float,
    anchored: bool,
) -> Cut:
    """The options of the folds as one."""
    from engine.research import folds as cutting

    return cutting.Cut(
        folds=folds, train_days=train_days, test_days=test_days, embargo_hours=embargo_hours, warm_days=warm_days,
        anchored=anchored,
    )  # fmt: skip


def parsed(grid: list[str] | None) -> dict[str, list[float]]:
    """The values to search, by parameter. Raises BadInput naming the pair that is none."""
    from engine.research.search import parse_grid

    return parse_grid(grid or [])


def run_walk(plan: Plan, home: Path, workers: int, robust: bool, as_json: bool) -> Dossier:
    """Walk, write its folder, print it. Returns what was found."""
    from engine.research import dossier
    from engine.research.report.walkpage import write_page
    from engine.research.search import Workers

    with progress_bar(quiet=as_json) as report, Workers(plan.data, workers) as pool:
        found = dossier.compile_dossier(plan, pool, report, robust=robust)
    folder = dossier.new_folder(home, plan.strategy)
    files = dossier.write(folder, found)
    page = write_page(folder, found)
    if as_json:
        print_json(dossier.document(found) | {"folder": folder, "trials_table": files[1], "report": page})
        return found
    show(found)
    say(f"trials: {files[1]}")
    say(f"report: {page}")
    return found


def show(found: Any) -> None:
    """The terminal report, on stdout."""
    from rich.console import Console

    from engine.research.report.walkterminal import print_walk

    print_walk(Console(), found)
