"""``trading-cli data``: look at market files before trusting them, import them, make synthetic ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.terminal import JsonOption, print_json, progress_bar

app = typer.Typer(help="Check, import or synthesise market files.", no_args_is_help=True, rich_markup_mode=None)


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


@app.command("import")
def import_(
    csv: Annotated[Path, typer.Argument(metavar="CSV", help="CSV file with a header line.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    venue: Annotated[str | None, typer.Option(help="Venue, where the file has no such column.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Symbol, where the file has no such column.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a CSV of candles, trades or quotes into the Parquet every other command reads.

    Example: trading-cli data import btc.csv --out btc.parquet --venue binance --symbol BTCUSDT
    """
    from engine.markets.importing import import_csv

    with progress_bar(quiet=as_json) as report:
        report(0.0, f"importing {csv.name}")
        done = import_csv(csv, out, venue=venue, symbol=symbol)
    show(done, as_json)


@app.command("synth")
def synth(
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    seed: Annotated[int, typer.Option(help="The same seed makes the same market.")] = 1,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Length in days.")] = 30,
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
    """A result struct as JSON, or as indented lines."""
    if as_json:
        print_json(found if not isinstance(found, Path) else {"out": found})
        return
    import msgspec

    plain = msgspec.to_builtins(found, enc_hook=str)
    _lines(plain if isinstance(plain, dict) else {"out": plain}, "")


def _lines(table: dict[str, Any], indent: str) -> None:
    width = max((len(str(name)) for name in table), default=0)
    for name, value in table.items():
        if isinstance(value, dict) and value:
            print(f"{indent}{name}")
            _lines(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            print(f"{indent}{name}")
            for row in value:
                told = (f"{key}={item}" for key, item in row.items() if item not in ({}, [], ""))
                print(indent + "  " + "  ".join(told))
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            print(f"{indent}{name:<{width}}  {shown}")
