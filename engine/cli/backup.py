"""``trading-cli backup`` and ``restore``: a home and its audit in one file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.terminal import JsonOption, print_json, progress_bar, say

if TYPE_CHECKING:
    from engine.store.catching_up import CaughtUp
    from engine.store.restoring import Restored


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, for instance keel-2026-01-31.tar.gz.")],
    as_json: JsonOption = False,
) -> None:
    """Write runs, journals, encrypted keys, the engine's state and the audit into one file, while an engine runs too.

    Example: trading-cli backup keel-2026-01-31.tar.gz
    """
    from engine import bootstrap, settings
    from engine.store import backup as backups

    in_force = settings.load()
    with bootstrap.open_store(in_force) as store, progress_bar(quiet=as_json) as report:
        made = backups.back_up(store, in_force.home, file, lambda name: report(0.0, f"saving: {name}"))
    size = file.stat().st_size
    if as_json:
        print_json(
            {
                "file": file, "bytes": size, "runs": made.runs, "files": len(made.files), "audit_rows": made.audit_rows,
                "audit_head": made.audit_head, "cut": made.cut, "notes": made.notes,
            }
        )  # fmt: skip
        return
    for note in made.notes:
        say(note)
    for name, count in made.cut.items():
        say(f"{name}: {count:,} bytes behind its last whole frame are not in it")
    print(
        f"{file}: {made.runs} runs, {len(made.files)} files ({made.size / 1e6:,.1f} MB, {size / 1e6:,.1f} MB packed), "
        f"{made.audit_rows:,} rows of audit, head {made.audit_head}"
    )


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file made by trading-cli backup.")],
    as_json: JsonOption = False,
) -> None:
    """Put a backup back into an empty home and an empty database, check it, and make the tables again from journals.

    Refused where the home is not empty, the file is damaged or newer than this program; nothing is changed then.

    Example: trading-cli restore keel-2026-01-31.tar.gz
    """
    from engine import bootstrap, settings
    from engine.cli.control import who
    from engine.core.strategies import table
    from engine.store import restoring
    from engine.store.catching_up import catch_up

    in_force = settings.load()
    with progress_bar(quiet=as_json) as report:
        done = restoring.restore(
            file, in_force.home, lambda: bootstrap.open_store(in_force), who(),
            lambda name: report(0.0, f"unpacking: {name}"),
        )  # fmt: skip
        with bootstrap.open_store(in_force) as store:
            caught = catch_up(store, in_force.home, table.NAMES, tell=lambda run: report(0.5, f"projecting: {run}"))
    _tell(done, caught, in_force.home, as_json)
    raise typer.Exit(0 if done.audit.ok and not caught.missing else 1)


def _tell(done: Restored, caught: CaughtUp, home: Path, as_json: bool) -> None:
    from engine.journal.recovery import last_run

    contents = done.contents
    if as_json:
        print_json(
            {
                "home": home, "created": done.created, "runs": contents.runs, "files": len(contents.files),
                "audit_rows": done.audit.rows, "audit_head": done.audit.head, "audit_status": done.audit.status,
                "projected": caught.projected, "missing": caught.missing, "ahead": caught.ahead,
                "notes": contents.notes,
            }
        )  # fmt: skip
        return
    for note in contents.notes:
        say(f"noted when it was made: {note}")
    for run in caught.ahead:
        say(f"run {run}: PostgreSQL knows more of it than the backup; its rows stay as they are")
    for run, why in caught.missing.items():
        say(f"run {run} is restored as it was, but cannot be read: {why}")
    print(
        f"restored into {home.absolute()}: the state of {done.created}, {contents.runs} runs, {len(contents.files)} "
        f"files; the audit has {done.audit.rows:,} rows, head {done.audit.head}"
    )
    if not done.audit.ok:
        say(f"the audit is {done.audit.status}: {done.audit.words}")
    if last_run(home, "live") is not None:
        say(
            f"if an engine traded after {done.created}, start with trading-cli up --fresh: the order ids it used since "
            "are not known here. Look at the exchange before"
        )
    say("keel.toml and the passphrase are not in a backup: put them back yourself")
