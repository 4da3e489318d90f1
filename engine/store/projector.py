"""Write a run's journal into the store: once, again, after more was journalled, or from scratch.

Rules
-----
* One transaction per call: an interruption leaves what was there before.
* The cursor (`projections`) holds how many entries were projected and their digest. Rows of a longer journal are
  added after those there; orders seen before are brought up to date. The same journal again changes nothing.
* A journal that does not continue what was projected is refused: `rebuild` is the way out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from sqlalchemy import Connection, Table, delete, select, text
from sqlalchemy.dialects.postgresql import insert

from engine.contracts import records
from engine.contracts.errors import Fatal
from engine.contracts.ledger import (
    EquityRow,
    FillRow,
    GapRow,
    Ledger,
    OrderRow,
    RefusalRow,
    RegimeRow,
    SelectionRow,
    StateRow,
    TradeRow,
)
from engine.contracts.runs import Manifest
from engine.journal import frames, segments
from engine.journal import ledger as ledgers
from engine.journal import manifest as manifests
from engine.store import audit, schema
from engine.store.changes import changes_of
from engine.store.database import Database


class _Projected(NamedTuple):
    """How one list of the ledger becomes a table; `counted` tables have a `place` column before the row's fields."""

    table: Table
    row: type[msgspec.Struct]
    counted: bool

    @property
    def columns(self) -> str:
        fields = [field.name for field in msgspec.structs.fields(self.row)]
        return ", ".join(["run_id", *(["place"] if self.counted else []), *fields])


_PROJECTED: Final[dict[str, _Projected]] = {
    "orders": _Projected(schema.orders, OrderRow, counted=False),
    "fills": _Projected(schema.fills, FillRow, counted=False),
    "trades": _Projected(schema.trades, TradeRow, counted=False),
    "equity": _Projected(schema.equity, EquityRow, counted=True),
    "refusals": _Projected(schema.refusals, RefusalRow, counted=True),
    "gaps": _Projected(schema.gaps, GapRow, counted=True),
    "states": _Projected(schema.states, StateRow, counted=True),
    "regimes": _Projected(schema.regimes, RegimeRow, counted=True),
    "selections": _Projected(schema.selections, SelectionRow, counted=True),
}

_REFRESH_ORDERS: Final = """
    UPDATE orders SET status = new.status, filled_qty = new.filled_qty, refusal = new.refusal,
        done_ts_ns = new.done_ts_ns
    FROM incoming new
    WHERE orders.run_id = new.run_id AND orders.client_id = new.client_id
        AND (orders.status, orders.filled_qty, orders.refusal, orders.done_ts_ns)
            IS DISTINCT FROM (new.status, new.filled_qty, new.refusal, new.done_ts_ns)
"""


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """`rows` by table after the call, `added` by this call (audit included). `torn_bytes` were left out."""

    run_id: str
    entries: int
    rows: dict[str, int]
    added: dict[str, int]
    torn_bytes: int


class ShorterJournal(Fatal):
    """The store knows more of a run than its journal does: the journal comes from a backup, or its end was lost."""


class _Cursor(NamedTuple):
    entries: int
    digest: str
    rows: dict[str, int]


def project(database: Database, run_directory: Path, strategies: Mapping[int, str]) -> Projection:
    """Bring the store up to the journal in `run_directory`. `strategies` maps number to name.

    Raises Fatal (DamagedJournal, ShorterJournal) for a run that cannot be read or does not continue what was projected,
    Retryable when the server goes away; in both cases nothing was written.
    """
    return _project(database, run_directory, strategies, afresh=False)


def rebuild(database: Database, run_directory: Path, strategies: Mapping[int, str]) -> Projection:
    """Delete every row of the run (the audit stays) and project it again, in one transaction."""
    return _project(database, run_directory, strategies, afresh=True)


def _project(database: Database, run_directory: Path, strategies: Mapping[int, str], afresh: bool) -> Projection:
    manifest = manifests.read(run_directory)
    with database.begin() as connection:
        # readers see the old rows until the end; a second projector of the same run waits here
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:run, 0))"), {"run": manifest.run_id})
        if afresh:
            _forget(connection, manifest.run_id)
        cursor = _read_cursor(connection, manifest.run_id)
        reading = segments.read(run_directory)
        told: list[np.ndarray[Any, Any]] = []
        blocks = _watch(reading, cursor, told, run_directory)
        ledger = ledgers.fold(blocks, manifest.instruments, strategies)
        assert reading.recovery is not None
        _write_run(connection, manifest)
        added = _write_rows(connection, manifest.run_id, ledger, cursor.rows)
        changes = changes_of(manifest, ledger, told, strategies)
        appended = audit.append_within(connection, changes)
        added["audit"] = appended.rows
        rows = {name: len(getattr(ledger, name)) for name in _PROJECTED}
        after = {"entries": reading.entries, "digest": reading.digest, "rows": rows}
        _upsert(connection, schema.projections, {"run_id": manifest.run_id, **after})
    audit.note_head(database, appended)
    return Projection(
        run_id=manifest.run_id,
        entries=reading.entries,
        rows=rows,
        added=added,
        torn_bytes=reading.recovery.torn_bytes,
    )


def _forget(connection: Connection, run_id: str) -> None:
    for table in (schema.projections, *(each.table for each in _PROJECTED.values())):
        connection.execute(delete(table).where(table.c.run_id == run_id))


def _read_cursor(connection: Connection, run_id: str) -> _Cursor:
    table = schema.projections
    found = connection.execute(select(table.c.entries, table.c.digest, table.c.rows).where(table.c.run_id == run_id))
    row = found.first()
    return _Cursor(0, "", {}) if row is None else _Cursor(*row)


def _watch(
    reading: segments.Reading, cursor: _Cursor, told: list[np.ndarray[Any, Any]], run_directory: Path
) -> Iterator[np.ndarray[Any, Any]]:
    """Pass the blocks on; check that they continue what was projected; keep what people and flows told the core."""
    known = hashlib.blake2b(digest_size=frames.CHAIN_BYTES)  # of the entries projected before; blocks know no cursor
    left = cursor.entries
    for block in reading:
        kinds = block["record"]["kind"]
        if (picked := np.isin(kinds, (records.PARAMETER, records.LIMIT, records.OPERATOR))).any():
            told.append(block[picked])
        if left:
            projected = block[:left]
            known.update(projected.view(np.uint8).data)
            left -= len(projected)
        yield block
    if left:
        raise ShorterJournal(
            f"the journal in {run_directory} does not continue the {cursor.entries} entries projected before, it has "
            f"{reading.entries} in all: it is older than the database; if this folder is right, rebuild the run's "
            "projection"
        )
    if cursor.entries and known.hexdigest() != cursor.digest:
        raise Fatal(
            f"the journal in {run_directory} does not continue the {cursor.entries} entries projected before; "
            "if this folder is right, rebuild the run's projection"
        )


def _write_run(connection: Connection, manifest: Manifest) -> None:
    names = [column.name for column in schema.runs.c if column.computed is None and column.name != "manifest"]
    values = {name: getattr(manifest, name) for name in names}
    values["manifest"] = msgspec.to_builtins(manifest)
    _upsert(connection, schema.runs, values)


def _upsert(connection: Connection, table: Table, values: dict[str, Any]) -> None:
    statement = insert(table).values(values)
    changed = {name: statement.excluded[name] for name in values if name != "run_id"}
    connection.execute(statement.on_conflict_do_update(index_elements=["run_id"], set_=changed))


def _write_rows(connection: Connection, run_id: str, ledger: Ledger, before: Mapping[str, int]) -> dict[str, int]:
    added = {}
    for name, projected in _PROJECTED.items():
        rows, start = getattr(ledger, name), before.get(name, 0)
        _copy(connection, name, projected, run_id, rows[start:], start)
        added[name] = len(rows) - start
    if known := ledger.orders[: before.get("orders", 0)]:
        connection.execute(text("CREATE TEMPORARY TABLE incoming (LIKE orders) ON COMMIT DROP"))
        _copy(connection, "incoming", _PROJECTED["orders"], run_id, known, 0)
        connection.execute(text(_REFRESH_ORDERS))
    return added


def _copy(
    connection: Connection, into: str, projected: _Projected, run_id: str, rows: Sequence[msgspec.Struct], start: int
) -> None:
    if not rows:
        return
    driver: Any = connection.connection.driver_connection  # COPY is psycopg's, SQLAlchemy has no word for it
    with driver.cursor() as cursor, cursor.copy(f"COPY {into} ({projected.columns}) FROM STDIN") as copy:
        for place, row in enumerate(rows, start):
            fields = msgspec.structs.astuple(row)
            copy.write_row((run_id, place, *fields) if projected.counted else (run_id, *fields))
