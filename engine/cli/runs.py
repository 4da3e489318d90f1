"""``trading-cli replay`` and ``trading-cli report``: finished runs."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli.backtest import print_result, show_result, write_html
from engine.cli.terminal import JsonOption, print_json, progress_bar, say

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Run folder, run id, its beginning, or `latest`.")]


def replay(run: RunArgument, as_json: JsonOption = False) -> None:
    """Recompute a run from its journal and compare every command and the final state. Exit code 1 where they differ.

    Example: trading-cli replay latest
    """
    from engine import settings
    from engine.research import archive
    from engine.research import replay as research

    run_dir = archive.find(settings.load().home, run)
    with progress_bar(quiet=as_json) as report:
        result = research.replay(run_dir, report)
    if as_json:
        print_json({"run_dir": run_dir, **{name: getattr(result, name) for name in result.__struct_fields__}})
    else:
        if result.torn_bytes:
            say(f"torn tail: {result.torn_bytes} bytes were cut, {result.remade} entries made again")
        if not result.same_build:
            say("the code changed since this run was made")
        print(f"{result.entries:,} entries, {result.events:,} events, digest {result.digest}")
        print("identical to the run" if result.ok else f"DIFFERENT from the run's digest {result.expected}")
        if result.first_difference:
            print(f"first difference: {result.first_difference}")
    raise typer.Exit(0 if result.ok else 1)


def report(
    run: RunArgument,
    open_: Annotated[bool, typer.Option("--open", help="Open the HTML report in the browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a finished run again, and write its HTML report.

    Example: trading-cli report latest --open
    """
    from engine import settings
    from engine.research import archive

    result = archive.reopen(archive.find(settings.load().home, run))
    page = write_html(result)
    if as_json:
        print_result(result, page)
    else:
        show_result(result)
        say(f"report: {page}")
    if open_ and typer.launch(page.resolve().as_uri()) != 0:
        say(f"no browser could be started; open {page.resolve().as_uri()} yourself")
