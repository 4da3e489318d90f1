"""``trading-cli pictures``: a picture of every strategy from a recorded day."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.terminal import JsonOption, print_json, progress_bar, say
from engine.contracts.errors import BadInput


def pictures(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the pictures go.")] = Path("docs/strategies"),
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Only this picture; repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw what each strategy saw on a recorded day (KEEL_DATA_DIR): signals and decisions, no prices. Seconds.

    Example: trading-cli pictures --out docs/strategies --only momentum
    """
    from engine import settings
    from engine.research.pictures import gallery

    folder = settings.load().data_dir
    if folder is None:
        raise BadInput("data_dir is not set: set KEEL_DATA_DIR to the folder of recorded markets")
    with progress_bar(quiet=as_json) as report:
        made = gallery.make(folder, out, only or [], report)
    if as_json:
        print_json({"written": made.written, "left_out": made.left_out})
        return
    for path in made.written:
        say(f"pictures: {path}")
    for line in made.left_out:
        say(f"pictures: not drawn: {line}")
