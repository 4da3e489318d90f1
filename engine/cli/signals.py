"""``trading-cli signals``: try a signal source before believing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.terminal import JsonOption, progress_bar
from engine.contracts.errors import BadInput

app = typer.Typer(help="Try signal sources on recorded data.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def signals() -> None:
    """Signal sources: Python classes whose forecasts the strategies may follow."""


@app.command("check")
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The source's table in keel.toml: [signals.NAME].")],
    data: Annotated[list[Path], typer.Option(metavar="FILE", help="Parquet of candles, quotes or trades. Repeatable.")],
    symbols: Annotated[str | None, typer.Option(metavar="A,B", help="Only these symbols, separated by commas.")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="ISO", help="First moment (UTC).")] = None,
    to: Annotated[str | None, typer.Option("--to", help="First moment that is left out, ISO 8601.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a source about every bar of recorded data, and say whether it keeps to the rules: the same answers when asked
    again, alone, and with another future; in time; in bounds. Ends with 1 where it does not.

    Example: trading-cli signals check reversion --data candles.parquet --symbols BTC/USDT
    """
    from engine import settings
    from engine.cli.backtest import moment
    from engine.cli.data import show
    from engine.research import signalcheck

    plans = settings.load().signals
    if name not in plans:
        known = ", ".join(plans) or "none; write its table into keel.toml first"
        raise BadInput(f"signals.{name} is not in the settings; there are: {known}")
    with progress_bar(quiet=as_json) as report:
        found = signalcheck.check(
            plans[name],
            data,
            symbols=[one.strip() for one in symbols.split(",") if one.strip()] if symbols else None,
            from_ns=moment("--from", from_),
            to_ns=moment("--to", to),
            progress=report,
        )
    show(found, as_json)
    raise typer.Exit(1 if found.verdict == "failed" else 0)
