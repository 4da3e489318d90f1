"""The projector: exact rows, twice the same, more when more was journalled, all of it again from scratch."""

from __future__ import annotations

import time
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_journal import STRATEGIES, round_trip, run_manifest, write_run
from sqlalchemy import text

from engine.contracts.errors import DamagedJournal, Fatal
from engine.journal import manifest
from engine.journal.segments import JournalWriter
from engine.store import audit
from engine.store.database import Database
from engine.store.projector import Projection, project, rebuild

TABLES = ("runs", "orders", "fills", "trades", "equity", "refusals", "gaps", "states", "projections")
ONE_TRIP = {"orders": 2, "fills": 2, "trades": 1, "equity": 1, "refusals": 1, "gaps": 1, "states": 1} | {
    "regimes": 0,
    "selections": 0,
}


def rows(database: Database, run_id: str) -> dict[str, list[str]]:
    """Every row of a run as text, by table."""
    query = "SELECT t::text FROM {} t WHERE run_id = :run ORDER BY 1"
    with database.begin() as connection:
        return {name: list(connection.scalars(text(query.format(name)), {"run": run_id})) for name in TABLES}


def audited(database: Database, run_id: str) -> list[Any]:
    query = text("SELECT what, why, before, after FROM audit WHERE who = :who ORDER BY seq")
    with database.begin() as connection:
        return [tuple(row) for row in connection.execute(query, {"who": f"run {run_id}"})]


def test_rows_are_exact(database: Database, tmp_path: Path) -> None:
    done = project(database, write_run(tmp_path, "exact", range(1), digest="d"), STRATEGIES)
    added = ONE_TRIP | {"audit": 4}
    assert done == Projection(run_id="exact", entries=12, rows=ONE_TRIP, added=added, torn_bytes=0)
    with database.begin() as connection:
        fill = connection.execute(text("SELECT * FROM fills WHERE run_id = 'exact' AND trade_id = 1")).mappings().one()
        trade = connection.execute(text("SELECT * FROM trades WHERE run_id = 'exact'")).mappings().one()
        run = connection.execute(text("SELECT * FROM runs WHERE run_id = 'exact'")).mappings().one()
    assert (fill["price"], fill["qty"], fill["fee_usd"]) == (D("1005.00"), D("0.020"), D("0.02000001"))
    assert (fill["ts_ns"], fill["ts"].isoformat()) == (1_700_000_000_000_000_000, fill["ts"].isoformat())
    assert fill["ts"].timestamp() == 1_700_000_000
    assert (trade["entry_price"], trade["net_usd"], trade["opened"]) == (D(1000), D("0.05999998"), None)
    assert (run["capital_usd"], run["to_ts"].timestamp()) == (D("1000.1"), 1_700_000_000.123457)
    assert run["manifest"]["instruments"][0]["symbol"] == "BTCUSDT"


def test_projecting_twice_changes_nothing(database: Database, tmp_path: Path) -> None:
    run = write_run(tmp_path, "twice", range(5), digest="d")
    first = project(database, run, STRATEGIES)
    before, told = rows(database, "twice"), audited(database, "twice")
    second = project(database, run, STRATEGIES)
    assert (second.rows, set(second.added.values())) == (first.rows, {0})
    assert (rows(database, "twice"), audited(database, "twice")) == (before, told)


def test_more_journal_gives_the_rows_of_one_go(database: Database, tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", "grown", range(3))
    with JournalWriter(run, resume=True) as writer:
        writer.append(round_trip(3)[:1])  # placed, and filled only later
    project(database, run, STRATEGIES)
    with JournalWriter(run, resume=True) as writer:
        writer.append(round_trip(3)[1:])
        writer.append(round_trip(4))
    grown = project(database, run, STRATEGIES)
    assert grown.added == {name: 2 * count for name, count in ONE_TRIP.items()} | {"orders": 3, "audit": 4}
    after = rows(database, "grown")
    assert rebuild(database, write_run(tmp_path / "b", "grown", range(5)), STRATEGIES).rows == grown.rows
    assert rows(database, "grown") == after


def test_rebuilding_gives_identical_rows_and_leaves_other_runs_alone(database: Database, tmp_path: Path) -> None:
    run = write_run(tmp_path, "rebuilt", range(4), digest="d")
    project(database, run, STRATEGIES)
    project(database, write_run(tmp_path, "other", range(2)), STRATEGIES)
    before, other, told = rows(database, "rebuilt"), rows(database, "other"), audited(database, "rebuilt")
    with database.begin() as connection:
        connection.execute(text("UPDATE trades SET net_usd = 1 WHERE run_id = 'rebuilt'"))
        connection.execute(text("DELETE FROM fills WHERE run_id = 'rebuilt' AND trade_id = 2"))
    assert rows(database, "rebuilt") != before
    rebuild(database, run, STRATEGIES)
    assert (rows(database, "rebuilt"), rows(database, "other")) == (before, other)
    assert audited(database, "rebuilt") == told


def test_start_end_states_and_parameters_are_audited(database: Database, tmp_path: Path) -> None:
    run = write_run(tmp_path, "told", range(2))
    project(database, run, STRATEGIES)
    manifest.write(run, run_manifest("told", digest="abc"))
    assert project(database, run, STRATEGIES).added["audit"] == 1
    found = audited(database, "told")
    assert [row[0] for row in found] == [
        "run.started", "state.changed", "state.changed", "parameter.changed", "parameter.changed", "run.ended",
    ]  # fmt: skip
    assert found[1] == ("state.changed", "OPERATOR_REDUCE", "ACTIVE", "REDUCING")
    assert found[4][2:] == ({"of": "momentum", "index": 3, "value": 0.0}, {"of": "momentum", "index": 3, "value": 1.0})
    assert found[5][3] == {"digest": "abc", "events": 0}
    assert audit.verify(database).broken_seq is None


@pytest.mark.parametrize("trips", [range(1, 4), range(2)])
def test_a_journal_that_does_not_continue_is_refused_until_rebuilt(
    database: Database, tmp_path: Path, trips: range
) -> None:
    run_id = f"swapped{trips.stop}"
    project(database, write_run(tmp_path / "a", run_id, range(3)), STRATEGIES)
    before = rows(database, run_id)
    other = write_run(tmp_path / "b", run_id, trips)
    with pytest.raises(Fatal, match="does not continue the 36 entries projected before"):
        project(database, other, STRATEGIES)
    assert rows(database, run_id) == before
    assert rebuild(database, other, STRATEGIES).entries == 12 * len(trips)


def test_damage_writes_nothing_and_a_torn_tail_is_told(database: Database, tmp_path: Path) -> None:
    run = write_run(tmp_path, "damaged", range(3))
    path = run / "journal" / "000000.keel"
    content = path.read_bytes()
    path.write_bytes(content[:500] + b"\x00\xff" + content[502:])
    with pytest.raises(DamagedJournal, match=r"000000\.keel is damaged at byte 64"):
        project(database, run, STRATEGIES)
    assert rows(database, "damaged") == {name: [] for name in TABLES}
    path.write_bytes(content[:-20])
    done = project(database, run, STRATEGIES)
    assert (done.entries, done.torn_bytes) == (24, 12 * 72 + 16 - 4)


def test_fifty_thousand_rows_take_seconds(database: Database, tmp_path: Path) -> None:
    run = write_run(tmp_path, "large", range(2), frame_trips=2)
    entries = np.zeros(50_000, round_trip(0).dtype)
    entries[:] = np.tile(round_trip(2)[:4], 12_500)
    entries["seq"] = 20 + np.arange(50_000)
    number = np.arange(50_000) // 2
    entries["record"]["client_id"] = 4 + number
    entries["record"]["trade_id"][1::2] = 4 + number[1::2]
    with JournalWriter(run, resume=True) as writer:
        writer.append(entries)
    started = time.perf_counter()
    done = project(database, run, STRATEGIES)
    print(f"{sum(done.added.values())} rows in {time.perf_counter() - started:.2f} s")
    assert (done.rows["orders"], done.rows["fills"]) == (25_004, 25_004)
    assert time.perf_counter() - started < 15  # about 2 s on an idle machine; others may be busy here
