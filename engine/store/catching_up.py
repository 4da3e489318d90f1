"""Bring the store up to the journals of a home: whatever reads PostgreSQL afterwards misses nothing that is on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import select

from engine.contracts.errors import Fatal
from engine.contracts.runs import Manifest
from engine.journal import manifest as manifests
from engine.store import projector, schema
from engine.store.database import Database

RUNS: Final = "runs"
"""The folder of runs in a home."""


class CaughtUp(NamedTuple):
    """`projected` runs got new rows, `missing` could not be read: name and reason. Of the runs `ahead` the store knows
    more than their journals: they stay as they are."""

    projected: list[str]
    missing: dict[str, str]
    ahead: list[str]


def run_folders(home: Path) -> list[Path]:
    """The folders of a home's runs, the oldest first."""
    return sorted(path for path in (home / RUNS).glob("*") if path.is_dir())


def catch_up(
    database: Database,
    home: Path,
    strategies: Mapping[int, str],
    wanted: Callable[[Manifest], bool] = lambda manifest: True,
    tell: Callable[[str], None] = lambda run: None,
) -> CaughtUp:
    """Project every run of `home` that is `wanted` and not complete in the store. `tell` hears each run before it is
    read. Raises Retryable where the server goes away."""
    complete = _complete(database)
    projected: list[str] = []
    ahead: list[str] = []
    missing: dict[str, str] = {}
    for folder, manifest in _read(home, missing):
        if not wanted(manifest) or (manifest.digest and complete.get(manifest.run_id) == manifest.digest):
            continue
        tell(folder.name)
        try:
            projector.project(database, folder, strategies)
        except projector.ShorterJournal:
            ahead.append(folder.name)
        except Fatal as error:
            missing[folder.name] = str(error)
        else:
            projected.append(folder.name)
    return CaughtUp(projected, missing, ahead)


def _complete(database: Database) -> dict[str, str]:
    """The digest of every run that was projected after it had ended."""
    query = select(schema.runs.c.run_id, schema.runs.c.digest).join(schema.projections)
    with database.begin() as connection:
        return {run_id: digest for run_id, digest in connection.execute(query) if digest}


def _read(home: Path, missing: dict[str, str]) -> Iterator[tuple[Path, Manifest]]:
    for folder in run_folders(home):
        try:
            yield folder, manifests.read(folder)
        except Fatal as error:
            missing[folder.name] = str(error)
