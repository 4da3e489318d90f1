"""What the chain alone cannot tell: rows cut off at the end, an older database, another one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from engine.contracts.errors import BadData, Refused
from engine.store import audit, audit_check, audit_file, audit_head
from engine.store.audit import Change
from engine.store.audit_check import Verdict, check
from engine.store.database import Database, connect


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with connect(None, tmp_path_factory.mktemp("server")) as opened, opened.begin() as connection:
        yield connection.engine.url.render_as_string(hide_password=False)


@pytest.fixture
def store(server: str, tmp_path: Path) -> Iterator[Database]:
    """A store with five rows of audit, each appended by itself, and a home that saw every one of them."""
    with connect(server, tmp_path / "home") as opened:
        cut(opened, 0)
        for number in range(5):
            add(opened, number)
        yield opened


def add(store: Database, number: int) -> None:
    audit.append(
        store, [Change(who="operator", what="limit.changed", why="tighter", after={"number": number, "x": 0.1})]
    )


def cut(store: Database, kept: int) -> None:
    """What somebody does who gets past the trigger, or a restored dump: the rows after `kept` were never there."""
    behind_the_trigger(store, f"DELETE FROM audit WHERE seq > {kept}")


def behind_the_trigger(store: Database, statement: str) -> None:
    with store.begin() as connection:
        connection.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_append_only"))
        connection.execute(text(statement))
        connection.execute(text("ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_append_only"))


def heads(store: Database) -> list[tuple[int, str]]:
    return [(head.rows, head.head) for head in audit_head.read(store.home)]


@pytest.mark.parametrize(
    ("then", "words"),
    [
        (lambda store: cut(store, 4), "row 5 is missing"),
        (lambda store: (cut(store, 3), add(store, 7), add(store, 8)), "row 5 has another hash"),
        (lambda store: (cut(store, 3), add(store, 7)), "row 5 is missing"),
    ],
)
def test_a_glance_sees_what_is_gone(store: Database, then: Callable[[Database], object], words: str) -> None:
    assert audit_check.glance(store) == ""
    then(store)
    assert words in audit_check.glance(store)
    audit_check.accept(store, "cli:me", "it is right")
    assert audit_check.glance(store) == ""


def test_every_append_leaves_its_head_in_the_home(store: Database) -> None:
    with store.begin() as connection:
        rows = [(row["seq"], row["hash"]) for row in audit.rows_of(connection)]
    assert heads(store) == rows
    assert check(store) == Verdict(status="whole", rows=5, head=rows[-1][1])
    assert heads(store) == rows, "an end that was seen before is not noted again"


def test_rows_cut_off_the_end_are_noticed_and_named_as_an_older_state(store: Database) -> None:
    cut(store, 3)
    told = check(store)
    assert (told.status, told.rows, told.broken_seq) == ("older", 3, None)
    assert told.seen is not None and told.seen.rows == 5
    assert "ends at row 3, exactly where this home saw it end" in told.words
    assert "restored from an older backup, or rows were cut off" in told.words
    assert check(store) == told, "looking again does not make it right"


def test_going_on_from_an_older_state_is_still_noticed(store: Database) -> None:
    cut(store, 3)
    for number in range(4):
        add(store, 10 + number)
    told = check(store)
    assert (told.status, told.rows) == ("rewritten", 7)
    assert "rows up to 3 are the same" in told.words


def test_a_chain_written_anew_with_its_hashes_is_noticed(store: Database) -> None:
    with store.begin() as connection:
        rows = list(audit.rows_of(connection))
    cut(store, 2)
    prev = rows[1]["hash"]
    for row in rows[2:]:
        row |= {"who": "somebody else", "prev_hash": prev}
        row["hash"] = prev = audit.row_hash(row)
        with store.begin() as connection:
            connection.execute(audit.audit.insert(), row)
    assert audit.verify(store).broken_seq is None, "the chain by itself cannot tell"
    assert (check(store).status, check(store).rows) == ("rewritten", 5)


def test_another_audit_in_the_same_place_is_noticed(store: Database) -> None:
    cut(store, 0)
    assert (check(store).status, check(store).rows) == ("replaced", 0)
    add(store, 7)
    told = check(store)
    assert (told.status, told.rows) == ("replaced", 1)
    assert "there were 5 rows" in told.words


def test_another_database_of_the_same_home_is_told_and_nothing_more(store: Database, tmp_path: Path) -> None:
    with connect(None, store.home) as second:
        add(second, 1)
        told = check(second)
    assert (told.status, told.rows, len(told.elsewhere)) == ("whole", 1, 1)


def test_a_changed_row_is_broken_whatever_else_is_wrong(store: Database) -> None:
    cut(store, 4)
    behind_the_trigger(store, "UPDATE audit SET why = 'looser' WHERE seq = 2")
    told = check(store)
    assert (told.status, told.broken_seq, told.rows) == ("broken", 2, 1)
    with pytest.raises(Refused, match="row 2 was changed"):
        audit_check.accept(store, "cli:me", "never mind")


@pytest.mark.parametrize("kept", [0, 3])
def test_a_person_accepts_an_older_audit_and_that_is_a_row_of_it(store: Database, kept: int) -> None:
    with pytest.raises(Refused, match="it is whole"):
        audit_check.accept(store, "cli:me", "for nothing")
    lost = check(store)
    cut(store, kept)
    told = audit_check.accept(store, "cli:me", "restored Sunday's dump")
    assert (told.status, told.rows) == ("whole", kept + 1)
    with store.begin() as connection:
        row = list(audit.rows_of(connection, 1))[0]
    assert (row["who"], row["what"], row["why"]) == ("cli:me", "audit.accepted", "restored Sunday's dump")
    assert (row["before"]["rows"], row["before"]["head"]) == (5, lost.head)
    add(store, 9)
    assert check(store).status == "whole"


def test_a_head_somebody_kept_is_looked_for(store: Database) -> None:
    third = heads(store)[2][1]
    assert check(store, third).status == "whole"
    assert check(store, "ab" * 32).status == "missing"


def test_a_damaged_head_file_is_named_and_not_overwritten(store: Database) -> None:
    path = store.home / audit_head.FILE
    path.write_bytes(path.read_bytes()[:-30])
    before = path.read_bytes()
    with pytest.raises(BadData, match=r"audit\.head cannot be read"):
        check(store)
    with pytest.raises(BadData, match=r"audit\.head cannot be read"):
        add(store, 6)
    assert path.read_bytes() == before
    assert audit.verify(store).rows == 6, "the row itself is in the audit"


def test_the_last_thousand_heads_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_head, "KEPT", 3)
    for number in range(5):
        audit_head.note(tmp_path, audit_head.head_now("c", number, f"h{number}", "here"))
    assert [head.rows for head in audit_head.read(tmp_path)] == [2, 3, 4]


def test_an_export_is_verified_without_a_database(store: Database, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    written = audit_file.write(store, file)
    assert audit_file.verify(file) == written == audit.verify(store)
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(audit_file.rows(file))[4]["after"] == {"number": 4, "x": 0.1}
    with pytest.raises(Refused, match="is not overwritten"):
        audit_file.write(store, file)
    add(store, 5)
    assert audit_file.verify(file, heads(store)[2][1]).found == {heads(store)[2][1]: 3}


@pytest.mark.parametrize(
    ("line", "change", "broken", "problem"),
    [
        (3, lambda row: row | {"why": "looser"}, 3, "was changed"),
        (3, lambda row: row | {"after": {"number": 2, "x": 0.2}}, 3, "was changed"),
        (3, lambda row: None, 4, "is missing"),
        (5, lambda row: None, 5, "the file was written with 5"),
        (0, lambda head: head | {"head": "0" * 64}, 5, "is not the end"),
    ],
)
def test_a_changed_export_is_found(
    store: Database, tmp_path: Path, line: int, change: object, broken: int, problem: str
) -> None:
    file = tmp_path / "audit.jsonl"
    audit_file.write(store, file)
    lines = [json.loads(one) for one in file.read_text().splitlines()]
    lines[line] = change(lines[line])  # type: ignore[operator]
    file.write_text("".join(json.dumps(one) + "\n" for one in lines if one is not None))
    found = audit_file.verify(file)
    assert found.broken_seq == broken and problem in found.problem


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "first line does not say so"),
        ('{"seq": 1}\n', "first line does not say so"),
        ('{"keel_audit": 2, "rows": 0, "head": ""}\n', "has format 2"),
        ('{"keel_audit": 1, "rows": 1, "head": ""}\nnonsense\n', "line 2 is no JSON"),
        ('{"keel_audit": 1, "rows": 1, "head": ""}\n{"seq": 1}\n', "line 2 is no row"),
    ],
)
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "x.jsonl").write_text(content)
    with pytest.raises(BadData, match=words):
        audit_file.verify(tmp_path / "x.jsonl")


def test_a_broken_chain_is_exported_and_told(store: Database, tmp_path: Path) -> None:
    behind_the_trigger(store, "UPDATE audit SET why = 'looser' WHERE seq = 2")
    file = tmp_path / "audit.jsonl"
    assert audit_file.write(store, file).broken_seq == 2
    assert audit_file.verify(file).broken_seq == 2
    assert len(list(audit_file.rows(file))) == 5
