"""``trading-cli data``: look at market files before trusting them, import them, make synthetic ones."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.terminal import JsonOption, print_json, progress_bar

app = typer.Typer(help="Check, import or synthesise market files.", no_args_is_help=True, rich_markup_mode=None)


class Kind(StrEnum):
    """Kinds of market files."""

    candles = "candles"
    quotes = "quotes"
    trades = "trades"
    funding = "funding"


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Parquet file of candles, quotes, trades or funding.")],
    as_json: JsonOption = False,
) -> None:
    """Say what a market file holds, and which rows a run would leave out and why.

    Example: trading-cli data check candles.parquet
    """
    from engine.markets.check import check as examine

    with progress_bar(quiet=as_json) as report:
        report(0.0, f"checking {file.name}")
        found = examine(file)
    show(found, as_json)
    raise typer.Exit(1 if found.verdict == "refused" else 0)


@app.command("import")
def import_(
    csv: Annotated[Path, typer.Argument(metavar="CSV", help="CSV file, plain or compressed.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    venue: Annotated[str, typer.Option(help="Venue the rows come from, e.g. binance.")],
    symbol: Annotated[str, typer.Option(help="Pair the rows are about, e.g. BTC/USDT.")],
    kind: Annotated[Kind, typer.Option(help="What the rows are.")] = Kind.candles,
    as_json: JsonOption = False,
) -> None:
    """Turn the CSV of one instrument into the Parquet every other command reads, and check it.

    Example: trading-cli data import btc.csv --out btc.parquet --venue binance --symbol BTC/USDT
    """
    from engine.markets.importing import import_csv

    with progress_bar(quiet=as_json) as report:
        report(0.0, f"importing {csv.name}")
        done = import_csv(csv, out, kind=kind.value, venue=venue, symbol=symbol)
    show(done, as_json)


@app.command("synth")
def synth(
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    seed: Annotated[int, typer.Option(help="The same seed makes the same market.")] = 1,
    days: Annotated[int, typer.Option(min=1, max=1500, help="Length in days.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """Write a SYNTHETIC market: seeded, marked as such in the file, worth nothing as evidence.

    Example: trading-cli data synth --out synthetic.parquet --seed 7 --days 60
    """
    from engine.markets.synthetic import synthesize

    with progress_bar(quiet=as_json) as report:
        report(0.0, f"making {days} synthetic days")
        made = synthesize(out, seed=seed, days=days)
    show(made, as_json)


def show(found: Any, as_json: bool) -> None:
    """A result struct as one JSON object, or as lines and tables a person can read; what is empty is left out."""
    plain = found if not isinstance(found, Path) else {"out": found}
    if as_json:
        print_json(plain)
        return
    import msgspec
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console = console if console.is_terminal else Console(width=160)
    for name, value in msgspec.to_builtins(plain, enc_hook=str).items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            table = Table(*(_title(key) for key in value[0]), box=None, pad_edge=False)
            for row in value:
                table.add_row(*(_cell(key, item) for key, item in row.items()))
            console.print(f"\n{name}")
            console.print(table)
        elif value not in ({}, [], "", None):
            console.print(f"{_title(name):<14} {_cell(name, value)}", markup=False, highlight=False)


def _title(name: str) -> str:
    return name.removesuffix("_ns").replace("_", " ")


def _cell(name: str, value: Any) -> str:
    if name.endswith("_ns"):
        return datetime.fromtimestamp(value // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M") if value else "-"
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
