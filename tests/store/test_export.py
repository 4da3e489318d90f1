"""The export: exact to the last digit, in UTC, what is simulated apart, nothing on disk left out in silence."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal as D
from pathlib import Path

import msgspec
import pytest
from fresh_database import fresh_url
from sample_journal import BTC, round_trip, run_manifest, write_run
from typer.testing import CliRunner, Result

from engine.cli.main import app
from engine.core.strategies import table
from engine.journal import manifest as manifests
from engine.journal.segments import JournalWriter
from engine.store.catching_up import catch_up
from engine.store.database import Database, connect
from engine.store.export import Period, moment, rows

START_NS = 1_700_000_000_000_000_000  # 2023-11-14T22:13:20Z


class Home:
    """A home and an empty database of its own, and the command on them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url

    def run(self, name: str, trips: range, *, real: bool, digest: str = "d") -> Path:
        folder = write_run(self.folder / "runs", name, trips, digest)
        made = msgspec.structs.replace(
            run_manifest(name, digest), world="live" if real else "backtest", simulated=not real
        )
        manifests.write(folder, made)
        return folder

    def call(self, *words: str, **more: str) -> Result:
        variables = {"KEEL_HOME": str(self.folder), "DATABASE_URL": self.url, "KEEL_CONFIG": ""} | more
        return CliRunner().invoke(app, list(words), env=variables)

    def table(self, *words: str) -> list[dict[str, str]]:
        done = self.call("export", *words)
        assert done.exit_code == 0, done.output
        return list(csv.DictReader(io.StringIO(done.stdout)))


@pytest.fixture
def home(database: Database, tmp_path: Path) -> Home:
    return Home(tmp_path / "home", fresh_url(database))


def test_a_closed_trade_is_one_exact_row(home: Home) -> None:
    home.run("20231114-live", range(1), real=True)
    assert home.table() == [
        {
            "opened_utc": "", "closed_utc": "2023-11-14T22:13:20Z", "venue": "binance", "symbol": "BTCUSDT",
            "side": "long", "qty": "0.02", "entry_price": "1000", "exit_price": "1005", "cost": "20",
            "proceeds": "20.1", "gross": "0.1", "fees": "0.04000002", "funding": "0", "net": "0.05999998",
            "currency": "USDT", "kind": "REAL", "world": "live", "strategy": "momentum", "exit_reason": "CODE_0",
            "run_id": "20231114-live", "trade_no": "0",
        }
    ]  # fmt: skip


def test_json_has_the_same_rows_as_text_and_floats_nowhere(home: Home) -> None:
    home.run("a", range(3), real=True)
    done = home.call("export", "--format", "json")
    assert json.loads(done.stdout, parse_float=lambda text: pytest.fail(f"a float: {text}")) == home.table()
    told = json.loads(home.call("export", "--json").stdout)
    assert (told["rows"], told["trades"], told["missing"]) == (3, home.table(), {})


def test_a_short_buys_what_it_sold_before(home: Home) -> None:
    folder = home.folder / "runs" / "short"
    trip = round_trip(0)
    trip["record"]["side"] *= -1
    with JournalWriter(folder) as writer:
        writer.append(trip)
    contracts = msgspec.structs.replace(BTC, contract_size=D("0.1"))
    made = run_manifest("short", "d")
    manifests.write(folder, msgspec.structs.replace(made, simulated=False, world="live", instruments=[contracts]))
    (row,) = home.table()
    assert (row["side"], row["qty"], row["entry_price"]) == ("short", "0.02", "10000")
    assert (row["cost"], row["proceeds"]) == ("20.1", "20"), "worth of contracts, not of their number"


def test_simulated_rows_are_left_out_and_told_and_marked_when_asked_for(home: Home) -> None:
    home.run("a-real", range(2), real=True)
    home.run("b-backtest", range(3), real=False)
    done = home.call("export", "--simulated")
    kinds = [row["kind"] for row in csv.DictReader(io.StringIO(done.stdout))]
    assert (kinds.count("REAL"), kinds.count("SIMULATED")) == (2, 3)
    done = home.call("export")
    assert {row["kind"] for row in csv.DictReader(io.StringIO(done.stdout))} == {"REAL"}
    assert "2 trades; 3 SIMULATED ones are left out (--simulated)" in done.stderr


def test_nothing_is_a_header_and_a_word(home: Home) -> None:
    done = home.call("export")
    assert done.exit_code == 0
    assert done.stdout.startswith("opened_utc,closed_utc,venue,") and done.stdout.count("\n") == 1
    assert "0 trades" in done.stderr and "only the header was written" in done.stderr
    assert json.loads(home.call("export", "--format", "json").stdout) == []


def test_a_period_ends_before_its_end(home: Home) -> None:
    home.run("a", range(5), real=True)  # one trade a second, from 22:13:20 on
    words = ("--from", "2023-11-14T22:13:21Z", "--to", "2023-11-14T22:13:23Z")
    assert [row["trade_no"] for row in home.table(*words)] == ["1", "2"]
    assert len(home.table("--what", "fills", *words)) == 4
    assert len(home.table("--what", "orders", *words)) == 4


def test_runs_not_projected_yet_are_brought_up_and_unreadable_ones_named(home: Home) -> None:
    home.run("a", range(2), real=True, digest="")  # an engine that still runs, or died
    assert len(home.table()) == 2
    with JournalWriter(home.folder / "runs" / "a", resume=True) as writer:
        writer.append(round_trip(2))
    assert len(home.table()) == 3, "what was journalled since is there"
    damaged = home.run("b", range(2), real=True, digest="e") / "journal" / "000000.keel"
    content = bytearray(damaged.read_bytes())
    content[200] ^= 1
    damaged.write_bytes(content)
    (home.folder / "runs" / "c").mkdir()
    done = home.call("export")
    assert done.exit_code == 1 and done.stdout.count("\n") == 4
    assert "MISSING: run b could not be read" in done.stderr and "MISSING: run c could not be read" in done.stderr
    assert list(json.loads(home.call("export", "--json").stdout)["missing"]) == ["b", "c"]


def test_a_fill_asked_for_again_after_a_restart_is_one_row(home: Home) -> None:
    home.run("a", range(2), real=True)
    again = home.folder / "runs" / "b"
    fill = round_trip(1)[3:4].copy()
    with JournalWriter(again) as writer:
        writer.append(fill)
    manifests.write(again, msgspec.structs.replace(run_manifest("b", "e"), simulated=False, world="live"))
    found = home.table("--what", "fills")
    assert [row["trade_id"] for row in found] == ["0", "1", "2", "3"]
    assert [row["run_id"] for row in found] == ["a"] * 4
    assert (found[1]["value"], found[1]["fee"], found[1]["role"]) == ("20.1", "0.02000001", found[1]["role"])


def test_a_venue_that_is_a_test_network_is_warned_of(home: Home) -> None:
    home.run("a", range(1), real=True)
    assert "WARNING" not in home.call("export").stderr
    config = home.folder / "keel.toml"
    config.write_text('[venues.binance]\nexchange = "binance"\ntestnet = true\nsymbols = ["BTC/USDT"]\n')
    assert "WARNING: binance is a test network" in home.call("export", KEEL_CONFIG=str(config)).stderr
    told = json.loads(home.call("export", "--json", KEEL_CONFIG=str(config)).stdout)
    assert (told["not_real_money"], told["rows"]) == (["binance"], 1)


def test_orders_say_what_became_of_them(home: Home) -> None:
    home.run("a", range(1), real=True)
    first, second = home.table("--what", "orders")
    assert (first["side"], first["status"], first["filled_qty"], first["qty"]) == ("buy", "filled", "0.02", "0.02")
    assert (second["time_utc"], second["done_utc"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:13:20Z")


def test_the_file_is_what_stdout_would_have_been(home: Home, tmp_path: Path) -> None:
    home.run("a", range(2), real=True)
    done = home.call("export", "--out", str(tmp_path / "trades.csv"))
    assert done.stdout == "" and "2 trades in " in done.stderr
    assert (tmp_path / "trades.csv").read_text() == home.call("export").stdout


@pytest.fixture(scope="module")
def backtested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a real backtest, with its embedded database."""
    folder = tmp_path_factory.mktemp("backtested")
    variables = {"KEEL_HOME": str(folder / "home"), "DATABASE_URL": "", "KEEL_CONFIG": ""}
    market = str(folder / "m.parquet")
    for words in (
        ["data", "synth", "--out", market, "--seed", "3", "--days", "3"],
        ["backtest", "--strategy", "crossover", "--data", market, "--set", "fast=4", "--set", "slow=12", "--no-html"],
    ):
        done = CliRunner().invoke(app, words, env=variables)
        assert done.exit_code == 0, done.output
    yield folder / "home"


def test_the_columns_of_real_trades_add_up(backtested: Path) -> None:
    with connect(None, backtested) as store:
        assert len(catch_up(store, backtested, table.NAMES).projected) == 1
        assert catch_up(store, backtested, table.NAMES).projected == [], "a run that is complete is not read again"
        columns_add_up(store)


def columns_add_up(store: Database) -> None:
    with store.begin() as connection:
        found = list(rows(connection, "trades", Period(), simulated=True))
        fills = list(rows(connection, "fills", Period(), simulated=True))
        assert list(rows(connection, "trades", Period(), simulated=False)) == []
    assert len(found) > 10 and {row["kind"] for row in found} == {"SIMULATED"}
    for row in found:
        assert D(row["proceeds"]) - D(row["cost"]) == D(row["gross"]), row
        assert D(row["gross"]) - D(row["fees"]) + D(row["funding"]) == D(row["net"]), row
        assert row["opened_utc"] < row["closed_utc"]
    assert sum(D(row["fee"]) for row in fills) >= sum(D(row["fees"]) for row in found)


@pytest.mark.parametrize(
    ("ts_ns", "text"),
    [
        (0, ""),
        (START_NS, "2023-11-14T22:13:20Z"),
        (START_NS + 1, "2023-11-14T22:13:20.000000001Z"),
        (START_NS + 120_000_000, "2023-11-14T22:13:20.12Z"),
    ],
)
def test_times_are_exact(ts_ns: int, text: str) -> None:
    assert moment(ts_ns) == text
