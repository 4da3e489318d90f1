"""``trading-cli evidence``: the strategies on the recorded markets, out of sample, as pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.terminal import JsonOption, print_json, progress_bar, say
from engine.contracts.errors import BadInput


def evidence(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the pages go.")] = Path("docs/evidence"),
    workers: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Processes that search.")] = 2,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Only this study; repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Walk every strategy over the recorded markets (KEEL_DATA_DIR), write what came of it, and say which defaults the
    search would change. Minutes.

    Example: trading-cli evidence --out docs/evidence --workers 2
    """
    from engine import settings
    from engine.research import evidence as research

    folder = settings.load().data_dir
    if folder is None:
        raise BadInput("data_dir is not set: set KEEL_DATA_DIR to the folder of recorded markets")
    with progress_bar(quiet=as_json) as report:
        made = research.make(folder, out, workers, research.Work().only(only or []), report)
    changes = [change for one in made.choices for change in one.changes]
    if as_json:
        print_json({"page": made.page, "choices": made.choices, "changes": changes})
        return
    say(f"evidence: {made.page}")
    for change in changes:
        say(f"to change: {change}")
    if made.choices and not changes:
        say("defaults: what ships is what the search chose")
