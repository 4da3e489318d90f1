"""The audit: who changed what, from what to what, why and on what evidence. Append-only, chained by hashes.

`hash` is SHA-256 over the canonical JSON (sorted keys, no spaces, ASCII) of the row without it; `prev_hash` is the
hash of the row before (64 zeros for the first). A trigger refuses UPDATE, DELETE and TRUNCATE; `verify` finds what
gets past it, except rows cut off the end: keep the `head` elsewhere to notice those.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, insert, select, text

from engine.contracts.errors import BadInput
from engine.store.database import Database
from engine.store.schema import audit

GENESIS: Final = "0" * 64
_LOCK: Final = 0x41756474  # "Audt": one appender at a time, so that the chain has no forks

Json = dict[str, Any] | list[Any] | str | int | float | bool | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to remember. A change whose `key` is already in the audit is not appended again."""

    who: str
    what: str
    why: str
    before: Json = None
    after: Json = None
    evidence: Json = None
    key: str | None = None


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """`broken_seq` is the first row that does not hold (None: all hold), `problem` says how."""

    rows: int
    head: str
    broken_seq: int | None = None
    problem: str = ""


def append(database: Database, changes: Sequence[Change]) -> int:
    """Append `changes` in one transaction of their own. Returns how many were new."""
    with database.begin() as connection:
        return append_within(connection, changes)


def append_within(connection: Connection, changes: Sequence[Change]) -> int:
    """The same inside the caller's transaction. Raises BadInput for values JSON cannot hold."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    keys = [change.key for change in changes if change.key is not None]
    known = set(connection.scalars(select(audit.c.key).where(audit.c.key.in_(keys))))
    last = connection.execute(select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
    seq, prev_hash = (last.seq, last.hash) if last else (0, GENESIS)
    rows: list[dict[str, Any]] = []
    for change in changes:
        if change.key is not None and change.key in known:
            continue
        known.add(change.key)
        seq += 1
        row = {"seq": seq, "ts_ns": time.time_ns(), **_plain(change), "prev_hash": prev_hash}
        row["hash"] = prev_hash = row_hash(row)
        rows.append(row)
    if rows:
        connection.execute(insert(audit), rows)
    return len(rows)


def verify(database: Database) -> Verification:
    """Recompute the whole chain."""
    prev_hash, count = GENESIS, 0
    columns = [column for column in audit.c if column.name != "ts"]
    with database.begin() as connection:
        for row in connection.execution_options(yield_per=1000).execute(select(*columns).order_by(audit.c.seq)):
            if problem := _problem(dict(row._mapping), count + 1, prev_hash):
                return Verification(rows=count, head=prev_hash, broken_seq=row.seq, problem=problem)
            prev_hash, count = row.hash, count + 1
    return Verification(rows=count, head=prev_hash)


def row_hash(row: dict[str, Any]) -> str:
    """The hash of a row, given by column name (`hash` itself is left out)."""
    return hashlib.sha256(canonical({k: v for k, v in row.items() if k != "hash"}).encode()).hexdigest()


def canonical(value: Json) -> str:
    """One text for one value. Raises BadInput for NaN, infinity and what is not JSON."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadInput(f"an audit row takes plain JSON values only: {error}") from error


def _plain(change: Change) -> dict[str, Any]:
    """As it will be read back (JSON has text keys and no tuples), so that the hash holds then too."""
    fields: dict[str, Any] = json.loads(canonical(msgspec.structs.asdict(change)))
    return fields


def _problem(row: dict[str, Any], seq: int, prev_hash: str) -> str:
    if row["seq"] != seq:
        return f"row {seq} is missing"
    if row["prev_hash"] != prev_hash:
        return f"row {seq} does not continue the row before it"
    if row["hash"] != row_hash(row):
        return f"row {seq} was changed after it was written"
    return ""
