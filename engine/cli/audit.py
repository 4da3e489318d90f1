"""``trading-cli audit``: look at the audit, verify its chain, export it, verify an export without a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.terminal import JsonOption, print_json, say

if TYPE_CHECKING:
    from engine.store.audit import Verification
    from engine.store.audit_check import Verdict

app = typer.Typer(help="Who changed what and why: append-only, chained by hashes.", no_args_is_help=True)


@app.command("verify")
def verify(
    head: Annotated[str, typer.Option(metavar="HASH", help="A head you kept: it must be in the chain.")] = "",
    file: Annotated[Path | None, typer.Option(help="An exported file instead of the database.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute every hash, and compare with the heads this home has seen. Exit code 1 where something is wrong.

    Example: trading-cli audit verify
    """
    from engine import bootstrap, settings
    from engine.store import audit_check, audit_file

    if file is not None:
        told = _of_file(audit_file.verify(file, head), head)
    else:
        with bootstrap.open_store(settings.load()) as store:
            told = audit_check.check(store, head)
    _show(told, as_json)


@app.command("show")
def show(
    last: Annotated[int, typer.Option(min=1, max=100_000, help="How many rows from the end.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """The last rows: when, who, what, why, before and after.

    Example: trading-cli audit show --last 50
    """
    from engine import bootstrap, settings
    from engine.store import audit

    with bootstrap.open_store(settings.load()) as store, store.begin() as connection:
        rows = list(audit.rows_of(connection, last))
    if as_json:
        print_json({"rows": rows})
        return
    if not rows:
        say("the audit has no rows yet")
    for row in rows:
        print(_shown(row))


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, JSON lines.")],
    as_json: JsonOption = False,
) -> None:
    """Write every row as JSON lines; `audit verify --file FILE` verifies them without a database.

    Exit code 1 where the chain is broken (the file is written all the same).

    Example: trading-cli audit export audit-2026.jsonl
    """
    from engine import bootstrap, settings
    from engine.store import audit_file

    with bootstrap.open_store(settings.load()) as store:
        told = _of_file(audit_file.write(store, file), "")
    if as_json:
        print_json({"file": file, **_fields(told)})
    else:
        print(f"{file}: {_line(told)}")
    raise typer.Exit(0 if told.ok else 1)


@app.command("accept")
def accept(
    why: Annotated[str, typer.Option("--why", help="Why the audit is right as it is, for the audit.")],
    as_json: JsonOption = False,
) -> None:
    """After you restored an older database yourself: go on from it. What is missing is noted as a row of the audit.

    Example: trading-cli audit accept --why "restored the database from Sunday's dump"
    """
    from engine import bootstrap, settings
    from engine.cli.control import checked_why, who
    from engine.store import audit_check

    reason = checked_why(why)
    with bootstrap.open_store(settings.load()) as store:
        told = audit_check.accept(store, who(), reason)
    _show(told, as_json)


def _of_file(found: Verification, wanted: str) -> Verdict:
    from engine.store.audit_check import Verdict

    if found.broken_seq is not None:
        return Verdict(
            status="broken", rows=found.rows, head=found.head, broken_seq=found.broken_seq, words=found.problem
        )
    if wanted and wanted not in found.found:
        words = f"no row has the hash {wanted}: rows were cut off, or it is of another audit"
        return Verdict(status="missing", rows=found.rows, head=found.head, words=words)
    return Verdict(status="whole", rows=found.rows, head=found.head)


def _show(told: Verdict, as_json: bool) -> None:
    if as_json:
        print_json(_fields(told))
    else:
        print(_line(told))
        for place in told.elsewhere:
            say(f"this home has also seen an audit in {place}")
        if told.status in ("older", "rewritten", "replaced"):
            say('where this is what you did yourself: trading-cli audit accept --why "..." goes on from here')
    raise typer.Exit(0 if told.ok else 1)


def _line(told: Verdict) -> str:
    counted = f"{told.rows:,} rows, head {told.head}"
    if told.ok:
        return f"{counted}: every hash holds"
    if told.status == "broken":
        return f"BROKEN at row {told.broken_seq}: {told.words} ({counted} before it hold)"
    return f"{told.status.upper()}: {told.words} ({counted})"


def _fields(told: Verdict) -> dict[str, Any]:
    fields = {name: getattr(told, name) for name in told.__struct_fields__}
    return {"ok": told.ok, **fields}


def _shown(row: dict[str, Any]) -> str:
    from engine.store.audit import canonical
    from engine.store.audit_check import moment

    line = f"{row['seq']:>6}  {moment(row['ts_ns'])}  {row['who']}  {row['what']}: {row['why']}"
    for name in ("before", "after"):
        if row[name] is not None:
            line += f"\n        {name} {canonical(row[name])}"
    return line
