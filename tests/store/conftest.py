"""One real embedded PostgreSQL for all tests of the store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.store.database import Database, connect


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with connect(None, tmp_path_factory.mktemp("home")) as opened:
        yield opened
