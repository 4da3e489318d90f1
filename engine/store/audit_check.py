"""Is the audit whole: its chain by itself, and against the heads this home has seen (`engine.store.audit_head`).

| status      | means                                                                                       |
|-------------|---------------------------------------------------------------------------------------------|
| `whole`     | the chain holds, and every head seen is in it                                               |
| `broken`    | a row was changed, removed in the middle or put in: the first bad one is named              |
| `older`     | the chain holds but ends before a head that was seen: a database restored from an older     |
|             | backup, or rows cut off at the end                                                          |
| `rewritten` | the chain holds but has other rows where a head was seen: it was set back and went on from  |
|             | there, or rows were written anew together with their hashes                                 |
| `replaced`  | another audit (another first row, or none) where this home saw one before                   |
| `missing`   | the head a person named is not in it                                                        |

`older`, `rewritten` and `replaced` can be right: a person says so with `accept`, which is a row of the audit itself.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from sqlalchemy import select

from engine.contracts.errors import Refused
from engine.store import audit, audit_head, schema
from engine.store.audit import Change, Verification
from engine.store.audit_head import Head
from engine.store.database import Database

Status = Literal["whole", "broken", "older", "rewritten", "replaced", "missing"]
ACCEPTABLE: Final = ("older", "rewritten", "replaced")
ACCEPTED: Final = "audit.accepted"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`rows` and `head` of what holds; `words` say what is wrong and what may be the cause. `seen` is the head that
    does not hold any more (the newest of them), None where all do; `elsewhere` are audits seen in other databases."""

    status: Status
    rows: int
    head: str
    broken_seq: int | None = None
    words: str = ""
    seen: Head | None = None
    elsewhere: list[str] = []

    @property
    def ok(self) -> bool:
        return self.status == "whole"


def check(database: Database, wanted: str = "") -> Verdict:
    """Verify the audit; `wanted` is a head somebody kept, which must be in it. A good end is noted.

    Raises BadData where the noted heads cannot be read.
    """
    heads = audit_head.read(database.home)
    found = audit.verify(database, {head.head for head in heads} | {wanted})
    verdict = _judge(found, heads, database.where, wanted)
    if verdict.ok and found.rows:
        audit_head.note(database.home, audit_head.head_now(found.chain, found.rows, found.head, database.where))
    return verdict


def glance(database: Database) -> str:
    """What is wrong at the heads this home has seen in this database, in words, without reading the whole chain; empty
    where they all stand. Raises BadData where the noted heads cannot be read."""
    heads = [head for head in audit_head.read(database.home) if head.where == database.where]
    if not heads:
        return ""
    query = select(schema.audit.c.seq, schema.audit.c.hash).where(schema.audit.c.seq.in_({head.rows for head in heads}))
    with database.begin() as connection:
        now = {row.seq: row.hash for row in connection.execute(query)}
    for head in reversed(heads):
        if now.get(head.rows) != head.head:
            how = "has another hash" if head.rows in now else "is missing"
            return (
                f"the audit is not the one this home saw at {moment(head.ts_ns)}: row {head.rows} {how}; "
                "trading-cli audit verify says what that may be"
            )
    return ""


def accept(database: Database, who: str, why: str) -> Verdict:
    """Take the audit as it is for the right one: a row says who, why and what was lost, and heads that do not hold are
    forgotten. Raises Refused where nothing is to be accepted, or the chain itself is broken."""
    before = check(database)
    if before.status not in ACCEPTABLE:
        reason = "it is whole" if before.ok else f"its chain is broken ({before.words}); restore a backup"
        raise Refused(f"nothing to accept in the audit at {database.where}: {reason}")
    assert before.seen is not None
    lost = {"rows": before.seen.rows, "head": before.seen.head, "seen": moment(before.seen.ts_ns)}
    note = Change(
        who=who, what=ACCEPTED, why=why, before=lost, after={"rows": before.rows, "head": before.head},
        evidence={"status": before.status, "where": database.where},
    )  # fmt: skip
    heads = audit_head.read(database.home)
    found = audit.verify(database, {head.head for head in heads})
    held = {head.head for head in heads if found.found.get(head.head) == head.rows}
    audit.append(database, [note])
    newest = audit_head.read(database.home)[-1]
    audit_head.keep(
        database.home,
        lambda head: (
            head == newest or head.head in held or (head.chain != found.chain and head.where != database.where)
        ),
    )
    return check(database)


def moment(ts_ns: int) -> str:
    """A time for people, to the second, UTC."""
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _judge(found: Verification, heads: list[Head], where: str, wanted: str) -> Verdict:
    elsewhere = sorted({f"{head.where}" for head in heads if head.chain != found.chain and head.where != where})

    def verdict(status: Status, words: str, seen: Head | None = None) -> Verdict:
        return Verdict(
            status=status, rows=found.rows, head=found.head, broken_seq=found.broken_seq, words=words, seen=seen,
            elsewhere=elsewhere,
        )  # fmt: skip

    if found.broken_seq is not None:
        return verdict("broken", found.problem)
    lost = [head for head in heads if head.chain == found.chain and found.found.get(head.head) != head.rows]
    gone = [head for head in heads if head.chain != found.chain and head.where == where]
    if lost:
        newest = max(lost, key=lambda head: (head.rows, head.ts_ns))
        held = [head for head in heads if head.chain == found.chain and head not in lost]
        if min(head.rows for head in lost) > found.rows:
            return verdict("older", _older(found, newest, held), newest)
        return verdict("rewritten", _rewritten(lost, newest, held), newest)
    if gone:
        return verdict("replaced", _replaced(found, gone[-1]), gone[-1])
    if wanted and wanted not in found.found:
        return verdict("missing", f"no row has the hash {wanted}: rows were cut off, or it is of another audit")
    return verdict("whole", "")


def _older(found: Verification, newest: Head, held: list[Head]) -> str:
    known = next((head for head in reversed(held) if head.rows == found.rows), None)
    exactly = f", exactly where this home saw it end at {moment(known.ts_ns)}" if known else ""
    return (
        f"older than what this home has seen: it ends at row {found.rows}{exactly}; at {moment(newest.ts_ns)} it had "
        f"{newest.rows} rows. Its chain holds: the database was restored from an older backup, or rows were cut off at "
        "the end"
    )


def _rewritten(lost: list[Head], newest: Head, held: list[Head]) -> str:
    first = min(head.rows for head in lost)
    base = max((head.rows for head in held if head.rows < first), default=0)
    return (
        f"other rows than this home has seen: rows up to {base} are the same, of those after it some are not; at "
        f"{moment(newest.ts_ns)} it ended with row {newest.rows} and another hash. The database was restored from an "
        "older backup and written on since, or rows were written anew together with their hashes"
    )


def _replaced(found: Verification, gone: Head) -> str:
    now = f"one of {found.rows} rows that begins differently" if found.rows else "none"
    return (
        f"another audit than the one this home has seen in {gone.where}: there were {gone.rows} rows at "
        f"{moment(gone.ts_ns)}, now there is {now}. The database was emptied, exchanged or made anew"
    )
