"""The audit: appended, chained, protected, and telling where it was tampered with."""

from __future__ import annotations

import math

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from engine.contracts.errors import BadInput
from engine.store import audit
from engine.store.audit import Change
from engine.store.database import Database

TAMPERING = [
    ("UPDATE audit SET who = 'nobody' WHERE seq = :seq", 0, "was changed after it was written"),
    ("UPDATE audit SET after = '{\"x\": 2}' WHERE seq = :seq", 0, "was changed after it was written"),
    ("UPDATE audit SET ts_ns = ts_ns + 1 WHERE seq = :seq", 0, "was changed after it was written"),
    ("UPDATE audit SET hash = repeat('0', 64) WHERE seq = :seq", 0, "was changed after it was written"),
    ("DELETE FROM audit WHERE seq = :seq", 1, "is missing"),
]


def change(number: int, key: str | None = None) -> Change:
    return Change(
        who="operator", what="limit.changed", why="tighter", before={"day_loss_usd": 20.0},
        after={"day_loss_usd": 15.0 + number / 3, "big": 1e22, "text": "ü€", "list": [1, None, True]},
        evidence={"seq": number}, key=key,
    )  # fmt: skip


def test_rows_are_chained_and_verified(database: Database) -> None:
    before = audit.verify(database)
    assert before.broken_seq is None
    assert audit.append(database, [change(1), change(2)]) == 2
    after = audit.verify(database)
    assert (after.rows, after.broken_seq) == (before.rows + 2, None) and after.head != before.head


def test_a_change_with_a_known_key_is_appended_once(database: Database) -> None:
    assert audit.append(database, [change(1, "a"), change(2, "b"), change(3, "a")]) == 2
    assert audit.append(database, [change(1, "a"), change(4, "c"), change(5)]) == 2
    assert audit.append(database, []) == 0
    assert audit.verify(database).broken_seq is None


@pytest.mark.parametrize("statement", ["UPDATE audit SET who = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
def test_the_database_refuses_changes(database: Database, statement: str) -> None:
    audit.append(database, [change(1)])
    for prefix in ("", "SET LOCAL session_replication_role = replica; "):
        with pytest.raises(DBAPIError, match="the audit is append-only"), database.begin() as connection:
            connection.execute(text(prefix + statement))


@pytest.mark.parametrize(("statement", "later", "problem"), TAMPERING)
def test_tampering_behind_the_trigger_is_found(database: Database, statement: str, later: int, problem: str) -> None:
    audit.append(database, [change(k) for k in range(3)])
    whole = audit.verify(database)
    target = whole.rows - 1
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_append_only"))
        saved = connection.execute(text("SELECT * FROM audit WHERE seq = :seq"), {"seq": target}).mappings().one()
        connection.execute(text(statement), {"seq": target})
    found = audit.verify(database)
    assert (found.broken_seq, found.rows) == (target + later, target - 1)
    assert found.problem == f"row {target} {problem}"
    with database.begin() as connection:  # put it back for the tests after this one
        connection.execute(text("DELETE FROM audit WHERE seq = :seq"), {"seq": target})
        connection.execute(audit.audit.insert(), {k: v for k, v in saved.items() if k != "ts"} | parsed(saved))
        connection.execute(text("ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_append_only"))
    assert audit.verify(database) == whole


def parsed(row: object) -> dict[str, object]:
    return {name: row[name] for name in ("before", "after", "evidence")}  # type: ignore[index]


@pytest.mark.parametrize("value", [math.nan, {"x": math.inf}, {"x": b"bytes"}, {"x": {1, 2}}])
def test_values_json_cannot_hold_are_refused(database: Database, value: object) -> None:
    with pytest.raises(BadInput, match="plain JSON values"):
        audit.append(database, [Change(who="a", what="b", why="c", after=value)])  # type: ignore[arg-type]
