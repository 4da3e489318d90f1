"""One finding of ``doctor`` or ``keys test``, and how findings are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import typer

from engine.cli.terminal import print_json


class Check(NamedTuple):
    """`fix` says what to do where `ok` is false (or would be better)."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def show(checks: Sequence[Check], as_json: bool) -> bool:
    """Print them; True where all are well."""
    healthy = all(check.ok for check in checks)
    if as_json:
        print_json({"ok": healthy, "checks": {check.name: check._asdict() for check in checks}})
        return healthy
    for check in checks:
        typer.secho(f"{'ok  ' if check.ok else 'FAIL'}", fg="green" if check.ok else "red", nl=False)
        print(f"  {check.name:<14} {check.found}")
        if check.fix:
            print(f"{'':<20} -> {check.fix}")
    return healthy
