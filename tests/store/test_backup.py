"""Backup and restore: all of it comes back as it was, a running engine is no hindrance, damage is named."""

from __future__ import annotations

import gzip
import io
import json
import random
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fresh_database import fresh_url
from pydantic import SecretStr
from sample_journal import STRATEGIES, round_trip, run_manifest, write_run
from sqlalchemy import text
from typer.testing import CliRunner, Result

from engine import bootstrap
from engine.cli import up
from engine.cli.main import app
from engine.contracts.errors import BadData, Refused, Retryable
from engine.journal import manifest as manifests
from engine.journal import segments, snapshots
from engine.journal.recovery import recover_run
from engine.journal.segments import JournalWriter
from engine.research.archive import DEMO
from engine.runtime import doors
from engine.store import (
    audit,
    audit_check,
    audit_head,
    backup,
    emergency_file,
    heartbeat,
    homefolder,
    keys,
    projector,
    restoring,
    running,
)
from engine.store import database as database_module
from engine.store.catching_up import RUNS, catch_up
from engine.store.database import Database, connect
from engine.store.keys import KeyFile
from engine.store.restoring import restore

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from engine_rig import Floor, trading  # noqa: E402

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"


def tree(home: Path) -> dict[str, bytes]:
    """What a backup promises to bring back."""
    paths = (
        path for top in homefolder.saved(home) for path in ([top] if top.is_file() else homefolder.plain_files(top))
    )
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in paths if path.name != "audit.head"}


def rows(store: Database) -> list[dict[str, object]]:
    with store.begin() as connection:
        return list(audit.rows_of(connection))


class Place:
    """A home and a database of its own."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url

    @contextmanager
    def store(self) -> Iterator[Database]:
        with connect(self.url, self.home) as opened:
            yield opened

    def restore(self, file: Path) -> restoring.Restored:
        return restore(file, self.home, self.store, "cli:test")


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Place:
    """Three runs, one of them still written, with their audit."""
    made = Place(tmp_path / "home", fresh_url(database))
    runs = made.home / "runs"
    for name, trips in (("a", range(3)), ("b", range(40))):
        write_run(runs, name, trips, digest="d")
    write_run(runs, "c", range(5))
    snapshots.save(runs / "b", 7, {"x": np.arange(9)}, {"of": "b"})
    KeyFile(made.home, SecretStr("correct horse"), 14).add(
        "main", "binance", SecretStr("k" * 64), SecretStr(SECRET), None
    )
    (made.home / "engine.log").write_text("words")
    (made.home / "emergency").touch()
    with made.store() as store:
        for name in "abc":
            projector.project(store, runs / name, STRATEGIES)
        audit.append(
            store, [audit.Change(who="cli:me", what="limit.changed", why="smaller", after={"x": 0.1, "y": "ü"})]
        )
    return made


@pytest.fixture
def other(database: Database, tmp_path: Path) -> Place:
    """Where it is restored: an empty home, an empty database."""
    return Place(tmp_path / "other", fresh_url(database))


@pytest.fixture
def file(place: Place, tmp_path: Path) -> Path:
    with place.store() as store:
        backup.back_up(store, place.home, tmp_path / "keel.tar.gz")
    return tmp_path / "keel.tar.gz"


def test_everything_comes_back_as_it_was(place: Place, other: Place, file: Path) -> None:
    done = other.restore(file)
    assert tree(other.home) == tree(place.home)
    assert (done.contents.runs, done.contents.cut, done.contents.notes) == (3, {}, [])
    assert (other.home / "keys").stat().st_mode & 0o777 == 0o600
    assert KeyFile(other.home, SecretStr("correct horse")).get("main").secret.get_secret_value() == SECRET
    assert not (other.home / "engine.log").exists() and (other.home / "emergency").exists()
    with place.store() as old, other.store() as new:
        before, after = rows(old), rows(new)
        assert after[:-1] == before and audit_check.check(new).status == "whole"
    assert (after[-1]["what"], after[-1]["who"], after[-1]["why"]) == (
        "backup.restored", "cli:test", "restored from keel.tar.gz",
    )  # fmt: skip
    assert [path.name for path in sorted(other.home.iterdir()) if not homefolder.is_ours(path.name)] == []


def test_it_is_for_its_owner_alone_and_holds_no_secret(place: Place, file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    opened = gzip.decompress(file.read_bytes())
    assert SECRET.encode() not in opened and b"correct horse" not in opened and place.url.encode() not in opened
    assert (place.home / "keys").read_bytes() in opened


def test_a_key_file_that_lies_open_is_left_out_and_told(place: Place, other: Place, tmp_path: Path) -> None:
    (place.home / "keys").write_text(json.dumps({"key": "k", "secret": SECRET}))
    (place.home / "passphrase").write_text("correct horse")
    with place.store() as store:
        made = backup.back_up(store, place.home, tmp_path / "open.tar.gz")
    assert made.notes == ["left out, no encrypted key file: keys", "left out, not Keel's: passphrase"]
    assert SECRET.encode() not in gzip.decompress((tmp_path / "open.tar.gz").read_bytes())
    other.restore(tmp_path / "open.tar.gz")
    assert not (other.home / "keys").exists()


def test_what_exists_is_not_overwritten_and_a_failed_backup_leaves_nothing(place: Place, file: Path) -> None:
    before = file.read_bytes()
    with place.store() as store:
        with pytest.raises(Refused, match="is not overwritten"):
            backup.back_up(store, place.home, file)
        with pytest.raises(RuntimeError, match="stop here"):
            backup.back_up(store, place.home, file.with_name("second"), failing("home/runs/b/manifest.json"))
    assert file.read_bytes() == before
    assert sorted(path.name for path in file.parent.iterdir()) == ["home", "keel.tar.gz"]


def failing(at: str) -> Callable[[str], None]:
    def tell(name: str) -> None:
        if name == at:
            raise RuntimeError("stop here")

    return tell


# --- an engine that runs ------------------------------------------------------------------------------


def test_a_torn_tail_is_left_out_and_told(place: Place, other: Place, tmp_path: Path) -> None:
    path = place.home / "runs" / "c" / "journal" / "000000.keel"
    whole = segments.read(place.home / "runs" / "c").drain()
    with path.open("ab") as journal:
        journal.write(b"FRAM\x01\x00\x00\x00")
    with place.store() as store:
        made = backup.back_up(store, place.home, tmp_path / "torn.tar.gz")
    assert made.cut == {"home/runs/c/journal/000000.keel": 8} and made.notes == []
    other.restore(tmp_path / "torn.tar.gz")
    found = segments.read(other.home / "runs" / "c").drain()
    assert (found.torn_bytes, found.digest, found.entries) == (0, whole.digest, whole.entries)


def test_a_damaged_journal_is_saved_as_it_is_and_told(place: Place, other: Place, tmp_path: Path) -> None:
    path = place.home / "runs" / "b" / "journal" / "000000.keel"
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    with place.store() as store:
        made = backup.back_up(store, place.home, tmp_path / "damaged.tar.gz")
    assert len(made.notes) == 1 and made.notes[0].startswith("home/runs/b/journal/000000.keel is DAMAGED at byte 64")
    other.restore(tmp_path / "damaged.tar.gz")
    assert tree(other.home)["runs/b/journal/000000.keel"] == content


def test_while_a_journal_grows_every_backup_holds_a_whole_one(place: Place, tmp_path: Path, database: Database) -> None:
    """Segments begin, snapshots come and go, and each backup has a journal at least as long as its snapshots."""
    run = place.home / "runs" / "d"
    stop, ready = threading.Event(), threading.Event()

    def write() -> None:
        with JournalWriter(run, segment_bytes=30_000) as writer:
            manifests.write(run, run_manifest("d"))
            number = 0
            while not stop.is_set():
                for _ in range(20):
                    writer.append(round_trip(number))
                    number += 1
                snapshots.save(run, 10 * (number - 1), {"x": np.zeros(9)}, {})
                for old in sorted((run / "snapshots").glob("*.snap"))[:-2]:
                    old.unlink()
                ready.set()

    writing = threading.Thread(target=write)
    writing.start()
    try:
        assert ready.wait(60)
        with place.store() as store:
            for number in range(6):
                backup.back_up(store, place.home, tmp_path / f"{number}.tar.gz")
    finally:
        stop.set()
        writing.join()
    lengths = []
    for number in range(6):
        at = Place(tmp_path / f"restored{number}", fresh_url(database))
        at.restore(tmp_path / f"{number}.tar.gz")
        found = segments.read(at.home / "runs" / "d").drain()
        newest = snapshots.latest(at.home / "runs" / "d")
        assert newest is not None and found.last_seq is not None
        assert found.torn_bytes == 0 and snapshots.load(newest).seq <= found.last_seq
        lengths.append(found.entries)
    assert lengths == sorted(lengths) and lengths[0] < lengths[-1]


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"))
    yield running
    running.stop()


@pytest.mark.asyncio(loop_scope="function")
async def test_a_trading_engine_is_saved_with_its_position(floor: Floor, other: Place, tmp_path: Path) -> None:
    """The real engine, in the live world, with an open position: what is restored knows the position and its stop."""
    home = tmp_path / "home"
    async with trading(floor, home, 3) as running:
        await running.enter()
        await running.guarded()
        with other.store() as store:
            made = backup.back_up(store, home, tmp_path / "live.tar.gz")
        lots, stop = int(running.position().qty_lots), int(running.position().stop_id)
        name = running.service.run_dir.name
        await running.close()
    assert (made.runs, made.notes) == (1, []) and homefolder.strangers(home) == []
    other.restore(tmp_path / "live.tar.gz")
    core = recover_run(other.home / "runs" / name).core
    assert (int(core.state.positions[0].qty_lots), int(core.state.positions[0].stop_id)) == (lots, stop) and lots


def test_everything_keel_puts_into_a_home_is_known_there() -> None:
    names = {
        running.FILE, running.WATCHDOG, heartbeat.FILE, heartbeat.WATCHDOG, keys.FILE, emergency_file.FILE,
        emergency_file.TOLD, audit_head.FILE, audit_head.LOCK, database_module.FOLDER, bootstrap.ACCOUNTS,
        doors.TOKEN_FILE, up.LOG, DEMO, RUNS, "redis", "engine.lock",
    }  # fmt: skip
    assert names <= homefolder.ENTRIES.keys(), "name it in engine/store/homefolder.py: is it to be saved?"
    assert not homefolder.ENTRIES[doors.TOKEN_FILE].saved, "a secret that lies open"


# --- refusals ------------------------------------------------------------------------------------------


def test_a_home_that_is_not_empty_is_refused_and_left_alone(other: Place, file: Path) -> None:
    other.home.mkdir()
    (other.home / "keep.txt").write_text("mine")
    with pytest.raises(Refused, match=r"is not empty \(keep\.txt\)"):
        other.restore(file)
    assert [path.name for path in other.home.iterdir()] == ["keep.txt"]


def left(other: Place) -> list[str]:
    return [path.name for path in other.home.iterdir()] if other.home.exists() else []


def test_a_file_cut_anywhere_is_refused_and_nothing_is_restored(other: Place, file: Path) -> None:
    content = file.read_bytes()
    for number in range(25):
        cut = file.with_name("cut.tar.gz")
        cut.write_bytes(content[: len(content) * number // 25])
        with pytest.raises(BadData, match=r"cut\.tar\.gz"):
            other.restore(cut)
        assert left(other) == []


def test_one_flipped_bit_anywhere_is_noticed(other: Place, file: Path) -> None:
    content = file.read_bytes()
    chance = random.Random(11)
    for _ in range(60):
        place, bit = chance.randrange(30, len(content)), chance.randrange(8)  # before that: gzip's name and date
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        file.with_name("flipped.tar.gz").write_bytes(changed)
        with pytest.raises(BadData, match=r"flipped\.tar\.gz"):
            other.restore(file.with_name("flipped.tar.gz"))
        assert left(other) == [], (place, bit)


def repacked(file: Path, change: Callable[[str, bytes], bytes | None], more: dict[str, bytes] | None = None) -> Path:
    """The same backup with other content in some files; `None` leaves one out."""
    made = file.with_name("repacked.tar.gz")
    with tarfile.open(file) as old, tarfile.open(made, "w:gz") as new:
        for member in old:
            opened = old.extractfile(member)
            assert opened is not None
            if (content := change(member.name, opened.read())) is not None:
                member.size = len(content)
                new.addfile(member, io.BytesIO(content))
            for name, added in (more or {}).items() if member.name == "audit.jsonl" else ():
                extra = tarfile.TarInfo(name)
                extra.size = len(added)
                new.addfile(extra, io.BytesIO(added))
    return made


def test_what_is_damaged_is_named(other: Place, file: Path) -> None:
    def change(name: str, content: bytes) -> bytes | None:
        if name == "home/runs/b/journal/000000.keel":
            return content[:-1] + b"x"
        return None if name == "home/keys" else content

    with pytest.raises(BadData, match=r"not as they were saved: home/keys, home/runs/b/journal/000000\.keel; nothing"):
        other.restore(repacked(file, change))
    assert left(other) == []


@pytest.mark.parametrize("name", ["../outside", "/outside", "home/../../outside", "home/runs/added"])
def test_a_file_that_was_put_in_is_refused_and_written_nowhere(other: Place, file: Path, name: str) -> None:
    with pytest.raises(BadData, match="damaged"):
        other.restore(repacked(file, lambda _, content: content, {name: b"x"}))
    assert left(other) == [] and not list(file.parent.rglob("outside"))


def test_a_newer_format_is_refused_with_the_way_out(other: Place, file: Path) -> None:
    newer = json.dumps({"format": 2, "created": "2030-01-01T00:00:00Z"}).encode()
    with pytest.raises(Refused, match="format 2, newer than 1.*install the version of Keel that made it"):
        other.restore(repacked(file, lambda name, content: newer if name == "keel-backup.json" else content))
    assert left(other) == []


@pytest.mark.parametrize("content", [b"", b"hello", gzip.compress(b"hello", mtime=0)], ids=["empty", "text", "gzip"])
def test_another_file_is_no_backup(other: Place, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BadData):
        other.restore(tmp_path / "x")
    with pytest.raises(BadData, match="cannot be read"):
        other.restore(tmp_path / "absent")
    assert left(other) == []


def test_a_database_with_another_audit_is_refused_and_the_home_is_empty_again(other: Place, file: Path) -> None:
    with connect(other.url, file.parent / "elsewhere") as store:
        audit.append(store, [audit.Change(who="a", what="b", why="c")])
    with pytest.raises(Refused, match=r"holds another audit \(row 1 differs\)"):
        other.restore(file)
    assert left(other) == []


def test_a_database_that_has_the_audit_already_keeps_what_it_has(place: Place, tmp_path: Path, file: Path) -> None:
    """The home was lost, the database was not, and went on meanwhile."""
    with place.store() as store:
        audit.append(store, [audit.Change(who="cli:me", what="later", why="after the backup")])
        before = rows(store)
    again = Place(tmp_path / "again", place.url)
    done = again.restore(file)
    assert (done.audit_added, done.audit.status) == (0, "whole")
    with again.store() as store:
        assert rows(store)[:-1] == before


def test_tables_that_know_more_than_the_backup_stay_as_they_are(place: Place, tmp_path: Path, file: Path) -> None:
    """The home was lost, the database was not: trades made since the backup are in its tables only."""
    with JournalWriter(place.home / "runs" / "c", resume=True) as writer:
        writer.append(round_trip(5))
    with place.store() as store:
        assert projector.project(store, place.home / "runs" / "c", STRATEGIES).rows["trades"] == 6
    again = Place(tmp_path / "again", place.url)
    again.restore(file)
    with again.store() as store:
        caught = catch_up(store, again.home, STRATEGIES)
        assert (caught.projected, caught.missing, caught.ahead) == ([], {}, ["c"])
        with store.begin() as connection:
            assert connection.scalar(text("SELECT count(*) FROM trades WHERE run_id = 'c'")) == 6


def test_a_database_restored_from_an_older_dump_gets_the_rows_it_lacks(place: Place, other: Place, file: Path) -> None:
    with place.store() as store:
        half = rows(store)[:4]
    with other.store() as store, store.begin() as connection:
        connection.execute(audit.audit.insert(), half)
    for path in other.home.iterdir() if other.home.exists() else ():
        path.unlink()
    done = other.restore(file)
    assert done.audit.status == "whole" and done.audit_added == done.contents.audit_rows - 4


def test_a_database_that_is_away_leaves_the_home_empty(tmp_path: Path, file: Path) -> None:
    away = Place(tmp_path / "away", "postgresql://keel@127.0.0.1:1/keel")
    with pytest.raises(Retryable, match="not reachable"):
        away.restore(file)
    assert left(away) == []


# --- the drill -------------------------------------------------------------------------------------------


class Machine:
    """The commands in a home with its embedded servers, as a person has them."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def call(self, *words: str, code: int = 0) -> Result:
        variables = {"KEEL_HOME": str(self.home), "DATABASE_URL": "", "REDIS_URL": "", "KEEL_CONFIG": ""}
        done = CliRunner().invoke(app, list(words), env=variables)
        assert done.exit_code == code, done.output
        return done


def test_the_drill_back_up_erase_restore_compare(tmp_path: Path) -> None:
    """A real run, backed up, everything erased, restored into an empty home and an empty database, and compared."""
    machine = Machine(tmp_path / "home")
    market, file = str(tmp_path / "m.parquet"), str(tmp_path / "keel.tar.gz")
    machine.call("data", "synth", "--out", market, "--seed", "3", "--days", "3")
    machine.call("backtest", "--strategy", "crossover", "--data", market, "--set", "fast=4", "--set", "slow=12")
    exported = machine.call("export", "--simulated").stdout
    whole = json.loads(machine.call("audit", "verify", "--json").stdout)
    before = tree(machine.home)
    made = json.loads(machine.call("backup", file, "--json").stdout)
    assert (made["runs"], made["audit_rows"], made["audit_head"], made["notes"]) == (
        1,
        whole["rows"],
        whole["head"],
        [],
    )
    machine.call("restore", file, code=3)
    machine.call("erase", "--yes")
    assert not machine.home.exists()
    told = json.loads(machine.call("restore", file, "--json").stdout)
    assert (told["audit_status"], told["audit_rows"], told["missing"]) == ("whole", whole["rows"] + 1, {})
    assert tree(machine.home) == before
    assert json.loads(machine.call("audit", "verify", "--head", whole["head"], "--json").stdout)["ok"]
    assert json.loads(machine.call("replay", "latest", "--json").stdout)["ok"]
    assert machine.call("export", "--simulated").stdout == exported and exported.count("\n") > 10
    machine.call("report", "latest")
