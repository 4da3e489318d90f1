"""``trading-cli backtest``"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli import walking
from engine.cli.terminal import JsonOption, print_json, progress_bar, say
from engine.contracts.errors import BadInput

if TYPE_CHECKING:
    from engine.research.backtest import BacktestResult


def backtest(
    strategy: Annotated[
        list[str],
        typer.Option(metavar="NAME", help="momentum, scalping, arbitrage, crossover; repeatable: all on one account."),
    ],
    data: Annotated[list[Path], typer.Option(metavar="FILE...", help="Parquet of candles, quotes, trades or funding.")],
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="More data files.")] = None,
    symbols: Annotated[str | None, typer.Option(metavar="A,B", help="Only these symbols, separated by commas.")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="ISO", help="First moment (UTC).")] = None,
    to: Annotated[str | None, typer.Option("--to", help="First moment that is left out, ISO 8601.")] = None,
    capital: Annotated[float | None, typer.Option(metavar="USD", help="Starting capital (default: setting).")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="PARAM=VALUE", help="Repeatable.")] = None,
    trials: Annotated[int, typer.Option(min=1, metavar="N", help="Variants tried on this data.")] = 1,
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write the HTML report beside the run.")] = True,
    store: Annotated[bool, typer.Option("--store", help="Also write the run into PostgreSQL.")] = False,
    walk_forward: Annotated[bool, typer.Option("--walk-forward", help="Choose parameters, judge them later.")] = False,
    folds: walking.FoldsOption = 4,
    train_days: walking.TrainOption = None,
    test_days: walking.TestOption = None,
    embargo_hours: walking.EmbargoOption = 24.0,
    warm_days: walking.WarmOption = 10.0,
    anchored: walking.AnchoredOption = False,
    grid: walking.GridOption = None,
    workers: walking.WorkersOption = 1,
    robust: walking.RobustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a strategy over recorded markets, under the hard risk limits. With --walk-forward, parameters are chosen by
    --grid on one stretch and judged on the next; see docs/evaluation.md. Several strategies share the account by the
    selector; --set and --grid are of the first, --set NAME.PARAM=VALUE of the one named.

    Example: trading-cli backtest --strategy momentum --data candles.parquet --from 2025-01-01 --set stop_atr=2.5
    """
    from engine import bootstrap, settings
    from engine.research import backtest as research

    in_force = settings.load({"account": {"capital_usd": capital}} if capital is not None else None)
    files = [*data, *(more or [])]
    first, params, beside = parted(strategy, assignments(set_ or []))
    chosen: dict[str, Any] = {"params": params, "beside": beside, "symbols": listed(symbols)}
    chosen |= {"from_ns": moment("--from", from_), "to_ns": moment("--to", to)}
    if walk_forward:
        cut = walking.cut(folds, train_days, test_days, embargo_hours, warm_days, anchored)
        values = walking.parsed(grid)
        plan = bootstrap.walk_plan(in_force, first, files, grid=values, tried_before=trials - 1, cut=cut, **chosen)
        walking.run_walk(plan, in_force.home, workers, robust, as_json)
        return
    if grid:
        raise BadInput("--grid searches: use it with --walk-forward, or trading-cli optimize")
    request = bootstrap.backtest_request(in_force, first, files, trials=trials, **chosen)
    with progress_bar(quiet=as_json) as report:
        result = research.run(request, report)
    page = write_html(result) if html else None
    if store:
        bootstrap.project(in_force, result.run_dir)
    _tell(result, page, as_json)


def _tell(result: BacktestResult, page: Path | None, as_json: bool) -> None:
    if as_json:
        print_result(result, page)
        return
    show_result(result)
    say(f"run:    {result.run_dir}")
    if page:
        say(f"report: {page}")


def listed(symbols: str | None) -> list[str] | None:
    """``A,B`` as a list, None where nothing is named."""
    return [one.strip() for one in symbols.split(",") if one.strip()] if symbols else None


def parted(names: list[str], values: dict[str, float]) -> tuple[str, dict[str, float], dict[str, dict[str, float]]]:
    """The first strategy, its parameters, and those of the others: ``momentum.stop_atr`` is of the one it names, a
    plain name of the first. Raises BadInput for a strategy named twice, or not at all."""
    if len(set(names)) < len(names):
        raise BadInput(f"--strategy {', '.join(names)}: name each once")
    of: dict[str, dict[str, float]] = {name: {} for name in names}
    for key, value in values.items():
        name, dot, parameter = key.rpartition(".")
        if dot and name not in of:
            raise BadInput(f"--set {key}: {name} is not run; strategies are {', '.join(names)}")
        of[name if dot else names[0]][parameter] = value
    return names[0], of.pop(names[0]), of


def assignments(pairs: list[str]) -> dict[str, float]:
    """``["stop_atr=2.5"]`` as a dict. Raises BadInput naming the pair that is not NAME=NUMBER."""
    values: dict[str, float] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        try:
            if not (name.strip() and equals):
                raise ValueError
            values[name.strip()] = float(value)
        except ValueError:
            raise BadInput(f"--set {pair}: write NAME=NUMBER, for example --set stop_atr=2.5") from None
    return values


def moment(option: str, text: str | None) -> int | None:
    """ISO 8601 as ns UTC (UTC where it names no zone). Raises BadInput naming the option."""
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{option} {text}: write ISO 8601, for example 2025-01-31 or 2025-01-31T12:00:00Z") from None
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    whole = aware.replace(microsecond=0)
    return int(whole.timestamp()) * 1_000_000_000 + aware.microsecond * 1000


def write_html(result: BacktestResult) -> Path:
    """The run's self-contained HTML report, in its run folder."""
    from engine.research.report.render import write_report

    paths = write_report(result.run_dir, result.ledger, result.manifest, result.closes, result.metrics.trials)
    return paths.html


def show_result(result: BacktestResult) -> None:
    """The terminal report, on stdout."""
    from rich.console import Console

    from engine.research.report.render import print_report

    print_report(Console(), result.metrics, result.ledger)


def print_result(result: BacktestResult, page: Path | None) -> None:
    """Every metric under its own name, and where the run and its report lie."""
    import msgspec

    metrics = msgspec.to_builtins(result.metrics, enc_hook=str)
    manifest = result.manifest
    print_json(
        metrics | {"run_dir": result.run_dir, "report": page, "events": manifest.events, "wall_s": manifest.wall_s}
    )
