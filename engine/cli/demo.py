"""``trading-cli demo``: recorded (or synthetic) markets, all the way to a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from engine.cli.backtest import print_result, show_result, write_html
from engine.cli.terminal import JsonOption, progress_bar, say
from engine.contracts.errors import KeelError

if TYPE_CHECKING:
    from engine.settings import Settings

STRATEGY: Final = "momentum"
RECORDING: Final = Path("candles/binance_spot_5m_39pairs_2025H1.parquet")
SYNTHETIC_SEED: Final = 7
SYNTHETIC_DAYS: Final = 60


def demo(as_json: JsonOption = False) -> None:
    """Backtest momentum with the default limits, store the run, write the report, and say where to look.

    Example: trading-cli demo
    """
    from engine import bootstrap, settings
    from engine.research import backtest

    in_force = settings.load()
    say("1/4 market")
    market = find_market(in_force)
    say(f"2/4 backtest: {STRATEGY} with ${in_force.account.capital_usd:,.0f} under its hard limits")
    request = bootstrap.backtest_request(in_force, STRATEGY, [market])
    with progress_bar() as report:
        result = backtest.run(request, report)
    say(f"    {result.manifest.events:,} events in {result.manifest.wall_s:.1f} s, compiling included")
    say("3/4 report")
    page = write_html(result)
    say("4/4 PostgreSQL")
    trouble = ""
    try:
        written, url = bootstrap.project(in_force, result.run_dir)
        say("    " + ", ".join(f"{count:,} {table}" for table, count in written.rows.items()) + f" at {url}")
    except KeelError as error:
        trouble = str(error)
    if as_json:
        print_result(result, page)
    else:
        show_result(result)
        where_to_look(in_force, result.run_dir, page)
    if trouble:
        say(f"error: the run is complete, but was not stored: {trouble}")
        raise typer.Exit(1)


def find_market(settings: Settings) -> Path:
    """The recording the demo is made for, else a seeded synthetic market in the home folder."""
    if settings.data_dir is not None and (settings.data_dir / RECORDING).is_file():
        say(f"    recorded: {settings.data_dir / RECORDING}")
        return settings.data_dir / RECORDING
    from engine.markets.synthetic import synthesize

    made = settings.home / f"synthetic-{SYNTHETIC_SEED}-{SYNTHETIC_DAYS}d.parquet"
    say("    no recordings found (KEEL_DATA_DIR): making a SYNTHETIC market; its results mean nothing about real ones")
    made.parent.mkdir(parents=True, exist_ok=True)
    synthesize(made, seed=SYNTHETIC_SEED, days=SYNTHETIC_DAYS)
    return made


def where_to_look(settings: Settings, run_dir: Path, page: Path) -> None:
    """What was left on disk and how to look at it."""
    by_url = f'psql "$DATABASE_URL" -c "select * from trades where run_id = \'{run_dir.name}\'"'
    embedded = f"{settings.home / 'postgres'} (running only while Keel does; or set DATABASE_URL)"
    print()
    print("Where to look")
    print(f"  report   {page.resolve().as_uri()}")
    print(f"  run      {run_dir} (manifest.json, journal, report.json)")
    print(f"  SQL      {by_url if settings.database_url else embedded}")
    print(f"  replay   .venv/bin/trading-cli replay {run_dir.name}")
