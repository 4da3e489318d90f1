"""Erase: everything of Keel's goes, nothing else does, not while something runs, and what stays elsewhere is said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from fresh_database import fresh_url
from pydantic import SecretStr
from sample_journal import STRATEGIES, run_manifest, write_run
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner, Result

from engine.cli.main import app
from engine.contracts.errors import Refused
from engine.journal import manifest as manifests
from engine.store import audit, audit_check, erasure, projector
from engine.store.database import Database, connect
from engine.store.keys import KeyFile
from engine.store.redis_server import connect_redis
from engine.store.running import FILE, WATCHDOG

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from engine_rig import Floor, trading  # noqa: E402

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
LIVES = (
    "import sys; from pathlib import Path; from engine.store.running import write_running;"
    "write_running(Path(sys.argv[1]), 'r', 'paper', (), sys.argv[2]); print('ready', flush=True); sys.stdin.read()"
)


class Home:
    """A home with runs, keys and what else lies there; an external database; a keel.toml beside it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder / "home", url
        self.config = folder / "keel.toml"
        self.config.write_text('[venues.main]\nexchange = "binance"\nkey = "trading"\nsymbols = ["BTC/USDT"]\n')
        write_run(self.folder / "runs", "a", range(2), digest="d")
        live = msgspec.structs.replace(run_manifest("b", "d"), simulated=False, world="live")
        manifests.write(write_run(self.folder / "runs", "b", range(2), digest="d"), live)
        keys = KeyFile(self.folder, SecretStr("correct horse"), 14)
        keys.add("old", "okx", SecretStr("k" * 64), SecretStr(SECRET), None)
        (self.folder / "demo" / "runs").mkdir(parents=True)
        for name in ("engine.log", "emergency", ".keys.123.tmp", "heartbeat"):
            (self.folder / name).touch()

    @contextmanager
    def store(self) -> Iterator[Database]:
        with connect(self.url, self.folder) as opened:
            yield opened

    def call(self, *words: str, input: str | None = None, **more: str) -> Result:
        variables = {"KEEL_HOME": str(self.folder), "DATABASE_URL": self.url, "KEEL_CONFIG": str(self.config)}
        return CliRunner().invoke(app, list(words), env=variables | {"REDIS_URL": ""} | more, input=input)


@pytest.fixture
def home(database: Database, tmp_path: Path) -> Home:
    made = Home(tmp_path, fresh_url(database))
    with made.store() as store:
        for name in "ab":
            projector.project(store, made.folder / "runs" / name, STRATEGIES)
    return made


def tables(url: str, home: Path) -> set[str]:
    """The tables there are, without making any."""
    from sqlalchemy import create_engine

    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_everything_of_keels_goes(home: Home) -> None:
    done = home.call("erase", "--yes")
    assert done.exit_code == 0, done.output
    assert not home.folder.exists()
    assert tables(home.url, home.folder) == set()
    with home.store() as store:
        assert audit_check.check(store).rows == 0, "a new audit begins, and nothing is missed"
        audit.append(store, [audit.Change(who="a", what="b", why="c")])
        with pytest.raises(DBAPIError, match="append-only"), store.begin() as connection:
            connection.execute(text("DELETE FROM audit"))


def test_what_stays_is_said(home: Home) -> None:
    done = home.call("erase", "--yes")
    said = " ".join(done.stderr.split())
    assert "STAYS at binance: what 1 runs did there (BTCUSDT)" in said
    assert "REVOKE at binance: the API key trading" in said and "which is locked" in said
    assert "STAYS at every exchange: orders, fills" in said and str(home.config) in said
    assert "append-only audit, whose trigger refuses to delete single rows, goes as a whole" in said
    assert "what run b left open is not known" in said, "its journal is made up, no core would write it"
    assert SECRET not in done.output


def test_the_keys_are_named_where_the_file_opens_by_itself(home: Home, tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    passphrase.chmod(0o600)
    told = json.loads(home.call("erase", "--yes", "--json", KEEL_PASSPHRASE_FILE=str(passphrase)).stdout)
    assert "REVOKE at okx: the API key old" in told["remains"]
    assert {one["name"] for one in told["venues"]} == {"binance"} and "audit" in told["tables"]
    assert any(str(passphrase) in line for line in told["remains"]) and passphrase.exists()


def test_what_is_not_keels_stays_and_is_named(home: Home) -> None:
    (home.folder / "letters").mkdir()
    (home.folder / "letters" / "mine.txt").write_text("mine")
    done = home.call("erase", "--yes")
    assert done.exit_code == 0
    assert [path.name for path in home.folder.iterdir()] == ["letters"]
    assert (home.folder / "letters" / "mine.txt").read_text() == "mine"
    assert str(home.folder / "letters") in done.stderr


def everything(home: Home) -> set[str]:
    return {path.relative_to(home.folder).as_posix() for path in home.folder.rglob("*")}


def test_without_the_words_nothing_goes(home: Home) -> None:
    before = everything(home)
    done = home.call("erase", input="erase everything\n")  # no terminal: words from a pipe do not count
    assert done.exit_code == 3 and "not confirmed" in done.output
    assert "WILL BE ERASED" in done.stderr and "runs" in done.stderr
    assert everything(home) == before and "audit" in tables(home.url, home.folder)


@pytest.mark.parametrize("typed", ["", "yes", "erase everything"])
def test_a_person_types_the_words(home: Home, typed: str) -> None:
    import os
    import pty

    main, terminal = pty.openpty()
    variables = {"KEEL_HOME": str(home.folder), "DATABASE_URL": home.url, "KEEL_CONFIG": str(home.config)}
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.cli.main", "erase"], stdin=terminal, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, **variables},
    )  # fmt: skip
    os.close(terminal)
    os.write(main, f"{typed}\n".encode())
    out, err = process.communicate(timeout=60)
    os.close(main)
    erased = typed == "erase everything"
    assert process.returncode == (0 if erased else 3), out + err
    assert home.folder.exists() != erased


@pytest.mark.parametrize(("place", "file"), [(".", FILE), (".", WATCHDOG), ("demo", FILE)])
def test_it_is_refused_while_something_runs(home: Home, place: str, file: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LIVES, str(home.folder / place), file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        before = everything(home)
        done = home.call("erase", "--yes")
        assert done.exit_code == 3 and f"process {process.pid}" in done.output
        assert everything(home) == before and "audit" in tables(home.url, home.folder)
    finally:
        process.communicate(timeout=30)
    assert home.call("erase", "--yes").exit_code == 0, "it died without a word: its file does not count"


def test_a_database_that_is_away_keeps_the_home(home: Home) -> None:
    before = everything(home)
    done = home.call("erase", "--yes", DATABASE_URL="postgresql://keel@127.0.0.1:1/keel")
    assert done.exit_code == 4
    assert everything(home) == before


def test_runs_of_other_homes_in_the_same_database_are_told_before(home: Home, tmp_path: Path) -> None:
    with home.store() as store:
        projector.project(store, write_run(tmp_path / "elsewhere", "x", range(1), digest="d"), STRATEGIES)
    done = home.call("erase", input="")
    assert "3 runs, 1 of them not of this home" in done.stderr


def test_embedded_servers_are_stopped_and_go(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with connect(None, home) as store, connect_redis(None, home):
        audit.append(store, [audit.Change(who="a", what="b", why="c")])
    assert (home / "postgres").is_dir() and (home / "redis").is_dir()
    assert {"postgres", "redis", "audit.head"} <= set(erasure.erase_home(home))
    assert not home.exists()


def test_embedded_postgres_that_another_program_uses_is_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    program = (
        "import sys; from pathlib import Path; from engine.store.database import connect\n"
        "with connect(None, Path(sys.argv[1])):\n    print('ready', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        with pytest.raises(Refused, match="another program uses the embedded PostgreSQL"):
            erasure.erase_home(home)
        assert (home / "postgres" / "PG_VERSION").exists()
    finally:
        process.communicate(timeout=60)
    erasure.erase_home(home)
    assert not home.exists()


def test_the_live_view_goes_from_a_redis_that_others_use_too(home: Home, tmp_path: Path) -> None:
    with connect_redis(None, tmp_path / "server") as live:
        url = f"unix://{live.blocking.connection_pool.connection_kwargs['path']}"
        for key in ("keel:live:b:orders", "keel:live:b:commands", "keel:live:bb:orders", "keel:rate:binance", "other"):
            live.blocking.set(key, "x")
        live.blocking.zadd("keel:live:runs", {"b": 1, "bb": 1})
        told = json.loads(home.call("erase", "--yes", "--json", REDIS_URL=url).stdout)
        left = {key.decode() for key in live.blocking.keys()}
        assert told["redis_keys"] == 2 and left == {
            "keel:live:bb:orders",
            "keel:rate:binance",
            "other",
            "keel:live:runs",
        }
        assert live.blocking.zrange("keel:live:runs", 0, -1) == [b"bb"]


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    running = Floor(tmp_path_factory.mktemp("floor"))
    yield running
    running.stop()


@pytest.mark.asyncio(loop_scope="function")
async def test_an_open_position_and_its_stop_are_named(floor: Floor, tmp_path: Path) -> None:
    async with trading(floor, tmp_path, 4) as running:
        await running.enter()
        await running.guarded()
        position, symbol = running.position(), running.symbol
        held = running.core.instruments[0].quantity(int(position.qty_lots))
    found = erasure.survey(tmp_path)
    assert found.notes == []
    (venue,) = found.venues
    assert (venue.name, venue.runs, venue.symbols, venue.orders) == ("sandbox", 1, [symbol], 1)
    assert venue.positions == [f"{held.normalize():f} {symbol}"]
