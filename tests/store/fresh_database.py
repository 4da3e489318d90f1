"""A database of one's own on a running server."""

from __future__ import annotations

import itertools

import psycopg
from sqlalchemy import make_url, text

from engine.store.database import Database

_NUMBERS = itertools.count(1)


def fresh_url(database: Database) -> str:
    """The URL of a new, empty database on the server of `database`."""
    with database.begin() as connection:
        taken = set(connection.scalars(text("SELECT datname FROM pg_database")))
        url = connection.engine.url
    name = next(name for number in _NUMBERS if (name := f"fresh{number}") not in taken)
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(False), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    return make_url(url).set(database=name).render_as_string(hide_password=False)
