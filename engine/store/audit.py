"""The audit: who changed what, from what to what, why and on what evidence. Append-only, chained by hashes.

`hash` is SHA-256 over the canonical JSON (sorted keys, no spaces, ASCII) of the row without it; `prev_hash` is the
hash of the row before (64 zeros for the first). A trigger refuses UPDATE, DELETE and TRUNCATE; `verify` finds what
gets past it, except rows cut off the end: `engine.store.audit_check` notices those by what the home folder remembers.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, insert, select, text

from engine.contracts.errors import BadInput
from engine.store import audit_head
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
    """`rows` hold, `chain` is the first one's hash and `head` the last one's. `broken_seq` is the first row that does
    not hold (None: all hold), `problem` says how. `found`: the hashes that were looked for, and their rows."""

    rows: int
    head: str
    chain: str = ""
    broken_seq: int | None = None
    problem: str = ""
    found: dict[str, int] = {}


class Appended(NamedTuple):
    """How many rows were new, and the chain after them."""

    rows: int
    chain: str
    last_seq: int
    head: str


class Chain:
    """Rows taken one after the other, each held against the one before. `wanted` hashes are noticed on the way."""

    def __init__(self, wanted: Collection[str] = ()) -> None:
        self._wanted = frozenset(wanted)
        self.found: dict[str, int] = {}
        self.rows = 0
        self.head = GENESIS
        self.chain = ""

    def take(self, row: dict[str, Any]) -> Verification | None:
        """The next row; says what is wrong with it, None where it holds."""
        if problem := _problem(row, self.rows + 1, self.head):
            return self.told(row["seq"], problem)
        self.rows, self.head = self.rows + 1, row["hash"]
        self.chain = self.chain or self.head
        if self.head in self._wanted:
            self.found[self.head] = self.rows
        return None

    def told(self, broken_seq: int | None = None, problem: str = "") -> Verification:
        """What was found so far."""
        return Verification(
            rows=self.rows, head=self.head, chain=self.chain, broken_seq=broken_seq, problem=problem, found=self.found
        )


def append(database: Database, changes: Sequence[Change]) -> int:
    """Append `changes` in one transaction of their own, and note the new head. Returns how many were new."""
    with database.begin() as connection:
        appended = append_within(connection, changes)
    note_head(database, appended)
    return appended.rows


def note_head(database: Database, appended: Appended) -> None:
    """Remember the new head in the home folder, once the transaction holds. Raises Fatal where that cannot be written:
    the rows are in the audit all the same."""
    if appended.rows:
        head = audit_head.head_now(appended.chain, appended.last_seq, appended.head, database.where)
        audit_head.note(database.home, head)


def append_within(connection: Connection, changes: Sequence[Change]) -> Appended:
    """The same inside the caller's transaction; `note_head` is the caller's then. Raises BadInput for values JSON
    cannot hold."""
    lock(connection)
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
    first = connection.scalar(select(audit.c.hash).where(audit.c.seq == 1))
    return Appended(len(rows), first or "", seq, prev_hash)


def lock(connection: Connection) -> None:
    """Be the only one who appends until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def verify(database: Database, wanted: Collection[str] = ()) -> Verification:
    """Recompute the whole chain, looking for the `wanted` hashes on the way."""
    chain = Chain(wanted)
    with database.begin() as connection:
        for row in rows_of(connection):
            if (broken := chain.take(row)) is not None:
                return broken
    return chain.told()


def rows_of(connection: Connection, last: int | None = None) -> Iterator[dict[str, Any]]:
    """Every row as it was hashed, from the first on; `last`: that many from the end only."""
    columns = [column for column in audit.c if column.name != "ts"]
    query = select(*columns).order_by(audit.c.seq)
    if last is not None:
        newest = select(audit.c.seq).order_by(audit.c.seq.desc()).limit(last)
        query = query.where(audit.c.seq.in_(newest))
    for row in connection.execute(query.execution_options(yield_per=1000)):
        yield dict(row._mapping)


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
