"""The embedded server, the migrations, and servers that are not there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from engine.contracts.errors import BadInput, Fatal, Retryable
from engine.store import schema
from engine.store.database import Database, connect


def test_the_migrations_make_the_tables_of_the_schema(database: Database) -> None:
    with database.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []


def test_a_second_connection_shares_the_server_and_migrates_nothing(database: Database, tmp_path: Path) -> None:
    with database.begin() as connection:
        url = connection.engine.url.render_as_string(hide_password=False)
        before = connection.scalar(text("SELECT count(*) FROM pg_class"))
    with connect(url, tmp_path) as again, again.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_class")) == before
        assert connection.scalar(text("SHOW listen_addresses")) == ""
    assert not list(tmp_path.iterdir())


def test_an_embedded_store_keeps_its_rows_when_opened_again(tmp_path: Path) -> None:
    for count in (1, 2):
        with connect(None, tmp_path / "home") as database, database.begin() as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS kept (n int)"))
            connection.execute(text("INSERT INTO kept VALUES (1)"))
            assert connection.scalar(text("SELECT count(*) FROM kept")) == count


def test_an_unreachable_server_is_retryable_and_keeps_the_password_secret(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"postgresql://keel:hunter2@127.0.0.1:{closed.getsockname()[1]}/keel"
        with pytest.raises(Retryable, match="not reachable") as caught, connect(url, tmp_path):
            pass
    assert "hunter2" not in str(caught.value) and "keel:***@127.0.0.1" in str(caught.value)


@pytest.mark.parametrize("url", ["hunter2", "mysql://keel:hunter2@host/keel", "postgresql://keel:hunter2@host:port/x"])
def test_an_unusable_url_is_bad_input_and_keeps_the_password_secret(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadInput, match="DATABASE_URL") as caught, connect(url, tmp_path):
        pass
    assert "hunter2" not in str(caught.value)


def test_a_server_going_away_in_the_middle_is_retryable(database: Database) -> None:
    with pytest.raises(Retryable, match="terminating connection"), database.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_a_folder_that_is_no_database_is_fatal(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("not a folder")
    with pytest.raises(Fatal, match="did not start"), connect(None, tmp_path):
        pass
