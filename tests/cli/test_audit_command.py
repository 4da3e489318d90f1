"""``trading-cli audit`` as a person and a program meet it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from engine.cli.main import app
from engine.store import audit
from engine.store.database import Database, connect

ABSENT = "postgresql://keel@127.0.0.1:1/keel"


class Machine:
    """A home whose embedded database is held open, so that every call finds it running."""

    def __init__(self, store: Database, url: str) -> None:
        self.store, self.url, self.home = store, url, store.home

    def call(self, *words: str, url: str | None = None) -> Result:
        variables = {"KEEL_HOME": str(self.home), "DATABASE_URL": url or self.url, "KEEL_CONFIG": ""}
        return CliRunner().invoke(app, ["audit", *words], env=variables)

    def add(self, count: int) -> None:
        for number in range(count):
            audit.append(
                self.store, [audit.Change(who="cli:me", what="x", why=f"reason {number}", after={"n": number})]
            )

    def tamper(self, statement: str) -> None:
        with self.store.begin() as connection:
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_append_only"))
            connection.execute(text(statement))
            connection.execute(text("ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_append_only"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with connect(None, tmp_path_factory.mktemp("server")) as opened, opened.begin() as connection:
        yield connection.engine.url.render_as_string(hide_password=False)


@pytest.fixture
def machine(server: str, tmp_path: Path) -> Iterator[Machine]:
    with connect(server, tmp_path / "home") as store:
        made = Machine(store, server)
        made.tamper("DELETE FROM audit")
        made.add(3)
        yield made


def test_verify_prints_rows_and_head(machine: Machine) -> None:
    done = machine.call("verify")
    told = json.loads(machine.call("verify", "--json").stdout)
    assert (done.exit_code, told["ok"], told["rows"], told["status"]) == (0, True, 3, "whole")
    assert done.stdout == f"3 rows, head {told['head']}: every hash holds\n"


def test_verify_names_the_first_bad_row(machine: Machine) -> None:
    machine.tamper("UPDATE audit SET why = 'another' WHERE seq >= 2")
    done = machine.call("verify")
    assert done.exit_code == 1
    assert done.stdout.startswith("BROKEN at row 2: row 2 was changed after it was written (1 rows, head ")
    told = json.loads(machine.call("verify", "--json").stdout)
    assert (told["ok"], told["broken_seq"]) == (False, 2)


def test_rows_cut_off_the_end_are_noticed_without_being_asked(machine: Machine) -> None:
    machine.tamper("DELETE FROM audit WHERE seq = 3")
    done = machine.call("verify")
    assert done.exit_code == 1
    assert "OLDER: older than what this home has seen: it ends at row 2" in done.stdout
    assert "restored from an older backup" in done.stdout and "audit accept --why" in done.stderr
    assert machine.call("accept", "--why", " ").exit_code == 2
    assert machine.call("accept", "--why", "restored Sunday's dump").exit_code == 0
    assert machine.call("verify").exit_code == 0
    assert machine.call("accept", "--why", "again").exit_code == 3


def test_a_head_kept_elsewhere_is_compared(machine: Machine) -> None:
    head = json.loads(machine.call("verify", "--json").stdout)["head"]
    machine.add(1)
    assert machine.call("verify", "--head", head).exit_code == 0
    done = machine.call("verify", "--head", "0" * 64)
    assert done.exit_code == 1 and "MISSING: no row has the hash 000" in done.stdout


def test_show_prints_the_last_rows(machine: Machine) -> None:
    done = machine.call("show", "--last", "2")
    assert "reason 0" not in done.stdout and 'cli:me  x: reason 2\n        after {"n":2}\n' in done.stdout
    rows = json.loads(machine.call("show", "--last", "2", "--json").stdout)["rows"]
    assert [row["seq"] for row in rows] == [2, 3]


def test_an_export_is_verified_where_no_database_is(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    done = machine.call("export", str(file))
    assert done.exit_code == 0 and done.stdout.startswith(f"{file}: 3 rows, head ")
    assert machine.call("verify", url=ABSENT).exit_code == 4
    assert machine.call("verify", "--file", str(file), url=ABSENT).exit_code == 0
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:2], lines[2].replace("reason 1", "reason 9"), *lines[3:]]) + "\n")
    done = machine.call("verify", "--file", str(file), url=ABSENT)
    assert done.exit_code == 1 and "BROKEN at row 2" in done.stdout
    assert machine.call("export", str(file)).exit_code == 3, "what exists is not overwritten"


def test_every_command_notes_the_head(machine: Machine) -> None:
    before = (machine.home / "audit.head").read_text().splitlines()
    machine.add(1)
    after = (machine.home / "audit.head").read_text().splitlines()
    assert after[:-1] == before and json.loads(after[-1])["rows"] == 4
