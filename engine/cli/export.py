"""``trading-cli export``: closed trades, fills or orders as CSV or JSON, for taxes and for yourself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from engine.cli.terminal import JsonOption, print_json, say

if TYPE_CHECKING:
    from engine.settings import Settings
    from engine.store.catching_up import CaughtUp
    from engine.store.database import Database
    from engine.store.export import Period

SHOWN_MISSING: Final = 5


def export(
    what: Annotated[Literal["trades", "fills", "orders"], typer.Option(help="What to export.")] = "trades",
    form: Annotated[Literal["csv", "json"], typer.Option("--format", help="csv, or one JSON array.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="File to write; without it: stdout.")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="ISO", help="First moment (UTC).")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="ISO", help="End, not included (UTC).")] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Paper, shadow and backtests too; such rows say SIMULATED.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """One row per closed trade (fill, order): times UTC, prices, cost, proceeds, fees, funding, net, exact decimals.

    Exit code 1 where a run on disk could not be read: its rows are missing.

    Example: trading-cli export --from 2025-01-01 --to 2026-01-01 --out trades-2025.csv
    """
    from engine import bootstrap, settings
    from engine.cli.backtest import moment
    from engine.core.strategies import table
    from engine.store.catching_up import catch_up
    from engine.store.export import Period

    in_force = settings.load()
    period = Period(moment("--from", from_), moment("--to", to))
    with bootstrap.open_store(in_force) as store:
        caught = catch_up(
            store, in_force.home, table.NAMES, lambda one: simulated or not one.simulated,
            lambda run: say(f"{run}: bringing PostgreSQL up to its journal"),
        )  # fmt: skip
        told = _write(store, what, form, out, period, simulated, as_json)
    told["not_real_money"] = [name for name in told["real_venues"] if _is_test(in_force, name)]
    _tell(told, caught, form, as_json)
    raise typer.Exit(1 if caught.missing else 0)


def _write(
    store: Database, what: Any, form: Any, out: Path | None, period: Period, simulated: bool, as_json: bool
) -> dict[str, Any]:
    from engine.journal.atomic import replace_file
    from engine.store import export as exporting

    count, real = 0, set[str]()
    with store.begin() as connection:
        left_out = 0 if simulated else exporting.count_simulated(connection, what, period)
        found = exporting.rows(connection, what, period, simulated)
        told: dict[str, Any] = {"what": what, "rows": 0, "simulated_left_out": left_out, "file": out}

        def counted() -> Iterator[dict[str, str]]:
            nonlocal count
            for row in found:
                count += 1
                if row["kind"] == exporting.REAL:
                    real.add(row["venue"])
                yield row

        if as_json and out is None:
            told[what] = list(counted())
        elif out is None:
            sys.stdout.writelines(exporting.encode(counted(), what, form))
        else:
            replace_file(out, (line.encode() for line in exporting.encode(counted(), what, form)))
    return told | {"rows": count, "real_venues": sorted(real)}


def _is_test(settings: Settings, venue: str) -> bool:
    """By the settings in force it is a test network or a sandbox: a run does not remember that."""
    plan = settings.venues.get(venue)
    return plan is not None and bool(plan.testnet or plan.urls)


def _tell(told: dict[str, Any], caught: CaughtUp, form: str, as_json: bool) -> None:
    if as_json:
        print_json(told | {"missing": caught.missing, "brought_up": caught.projected, "ahead": caught.ahead})
        return
    place = f" in {told['file']}" if told["file"] else ""
    left_out = f"; {told['simulated_left_out']:,} SIMULATED ones are left out (--simulated)"
    say(f"{told['rows']:,} {told['what']}{place}{left_out if told['simulated_left_out'] else ''}")
    if not told["rows"]:
        say("there are none in that time" + (": only the header was written" if form == "csv" else ""))
    for venue in told["not_real_money"]:
        say(f"WARNING: {venue} is a test network by your settings: its rows say REAL, its money is not")
    for run in caught.ahead:
        say(f"run {run}: PostgreSQL knows more than its journal on disk (of a backup?); its rows are exported")
    for run, why in list(caught.missing.items())[:SHOWN_MISSING]:
        say(f"MISSING: run {run} could not be read: {why}")
    if len(caught.missing) > SHOWN_MISSING:
        say(f"MISSING: and {len(caught.missing) - SHOWN_MISSING} more runs; --json names them all")
