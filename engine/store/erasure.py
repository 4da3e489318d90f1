"""Remove a user's data: Keel's part of a home folder, Keel's tables in a database, the runs' keys in a Redis.

Rules
-----
* Nothing goes while an engine, a watchdog or a demo lives in the home, or another program uses its embedded servers.
* Only what `engine.store.homefolder` names is removed: a home set to a wrong folder loses nothing else.
* The audit refuses DELETE and TRUNCATE by a trigger, on purpose. Erasing drops its table as a whole, with the others:
  this is the one place that does.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import redis
from sqlalchemy import func, inspect, select, text

from engine.contracts.errors import Fatal, KeelError, Refused, Retryable
from engine.core import life
from engine.core.state import Core
from engine.journal import manifest as manifests
from engine.journal.recovery import recover_run
from engine.store import database as databases
from engine.store import homefolder, liveview, redis_server, running, schema
from engine.store.catching_up import run_folders
from engine.store.database import Database

DEMO: Final = "demo"
_AT_ONCE: Final = 500  # keys of Redis


class Venue(msgspec.Struct, frozen=True, kw_only=True):
    """What real runs did at a venue: their number, and what the last one knows to be open there."""

    name: str
    runs: int
    symbols: list[str]
    positions: list[str] = []
    orders: int = 0


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to erase in a home, and what stays: `strangers` are not Keel's. `notes` say what is not known."""

    entries: list[str]
    strangers: list[str]
    runs: int
    venues: list[Venue]
    notes: list[str]


class Tables(NamedTuple):
    """What a database holds: rows of the audit with its last hash, and runs that are not of this home."""

    audit_rows: int
    audit_head: str
    runs: int
    other_runs: int


class _Held(NamedTuple):
    positions: list[str]
    orders: int


_NOTHING: Final = _Held([], 0)


def check_idle(home: Path) -> None:
    """Raises Refused while something of Keel's lives in `home`."""
    for folder in (home, home / DEMO):
        running.check_free(folder)
        running.check_free(folder, running.WATCHDOG)


def survey(home: Path) -> Survey:
    """What lies in a home, and what its real runs left at venues."""
    notes: list[str] = []
    found: dict[str, tuple[set[str], set[str]]] = {}
    last: Path | None = None
    folders = run_folders(home)
    for folder in folders:
        try:
            manifest = manifests.read(folder)
        except Fatal as error:
            notes.append(f"run {folder.name} cannot be read, where it traded is not known: {error}")
            continue
        if manifest.simulated:
            continue
        last = folder
        for one in manifest.instruments:
            runs, symbols = found.setdefault(one.venue, (set(), set()))
            runs.add(folder.name)
            symbols.add(one.symbol)
    held = _held(last, notes) if last is not None else {}
    venues = [
        Venue(name=name, runs=len(runs), symbols=sorted(symbols), positions=open_.positions, orders=open_.orders)
        for name, (runs, symbols) in sorted(found.items())
        if (open_ := held.get(name, _NOTHING))
    ]
    return Survey(
        entries=[path.name for path in homefolder.ours(home)],
        strangers=[path.name for path in homefolder.strangers(home)],
        runs=len(folders), venues=venues, notes=notes,
    )  # fmt: skip


def tables_of(database: Database, home: Path) -> Tables:
    """What a database holds."""
    here = {folder.name for folder in run_folders(home)}
    with database.begin() as connection:
        runs = set(connection.scalars(select(schema.runs.c.run_id)))
        count = connection.scalar(select(func.count()).select_from(schema.audit)) or 0
        head = connection.scalar(select(schema.audit.c.hash).order_by(schema.audit.c.seq.desc()).limit(1)) or ""
    return Tables(count, head, len(runs), len(runs - here))


def erase_database(database: Database) -> list[str]:
    """Drop every table of Keel's, the append-only audit among them, in one transaction. Returns their names."""
    with database.begin() as connection:
        there = set(inspect(connection).get_table_names())
        mine = [table.name for table in schema.metadata.sorted_tables if table.name in there]
        schema.metadata.drop_all(connection)
        connection.execute(text("DROP FUNCTION IF EXISTS audit_is_append_only()"))
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    return sorted(mine)


def erase_redis(server: redis.Redis, home: Path) -> int:
    """Remove live view and commands of this home's runs from a Redis that others may use too. Returns how many keys.

    Raises Retryable where it goes away.
    """
    gone = 0
    try:
        for folder in run_folders(home):
            keys = list(server.scan_iter(match=f"keel:live:{liveview.check_run(folder.name)}:*", count=_AT_ONCE))
            gone += sum(server.delete(*keys[k : k + _AT_ONCE]) for k in range(0, len(keys), _AT_ONCE))
            server.zrem(liveview.RUNS, folder.name)
    except (redis.RedisError, OSError) as error:
        raise Retryable(f"Redis went away ({type(error).__name__}); erase again when it is back") from None
    return gone


def stop_servers(home: Path) -> None:
    """Stop the embedded servers of a home. Raises Refused where another program still uses the embedded PostgreSQL."""
    for folder in (home, home / DEMO):
        redis_server.stop_redis(folder)
        _stop_postgres(folder)


def erase_home(home: Path) -> list[str]:
    """Stop the embedded servers and remove everything of Keel's in `home`; the folder itself where nothing else is in
    it. Returns the names. Raises Refused where another program still uses the embedded PostgreSQL."""
    stop_servers(home)
    gone = []
    for path in homefolder.ours(home):
        try:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError as error:
            raise Fatal(
                f"{path} could not be removed: {error.strerror or error}; correct its permissions and erase again"
            ) from error
        gone.append(path.name)
    if home.is_dir() and not any(home.iterdir()):
        home.rmdir()
    return gone


def _stop_postgres(home: Path) -> None:
    """The last user of the embedded server stops it: be that."""
    folder = home / databases.FOLDER
    if not _postmaster(folder):
        return
    with databases.connect(None, home):
        pass
    if pid := _postmaster(folder):
        raise Refused(
            f"another program uses the embedded PostgreSQL in {folder} (server process {pid}): end trading-cli up and "
            "whatever else works in this home, then erase again"
        )


def _postmaster(folder: Path) -> int:
    """The process of the embedded server, 0 where none lives."""
    try:
        pid = int((folder / "postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(pid, 0)
    except (FileNotFoundError, NotADirectoryError, ValueError, ProcessLookupError):
        return 0
    except PermissionError:
        pass  # it lives, as another user
    return pid


def _held(run: Path, notes: list[str]) -> dict[str, _Held]:
    """What the last real run knows to be open, by venue."""
    try:
        core = recover_run(run).core
    except KeelError as error:
        notes.append(f"what run {run.name} left open is not known: {error}")
        return {}
    return {name: _of_venue(core, name) for name in {one.venue for one in core.instruments}}


def _of_venue(core: Core, name: str) -> _Held:
    positions, count = [], 0
    orders = core.state.orders
    working = orders[(orders["status"] != life.FREE) & (orders["status"] < life.FIRST_DONE)]
    for number, one in enumerate(core.instruments):
        if one.venue != name:
            continue
        if lots := int(core.state.positions[number].qty_lots):
            positions.append(f"{one.quantity(lots).normalize():f} {one.symbol}")
        count += int((working["instrument"] == number).sum())
    return _Held(positions, count)
