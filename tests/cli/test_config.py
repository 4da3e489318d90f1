"""Showing settings with their sources, and changing one: in the file with an audit row, or in a running engine."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_operator import ROOT, RUN, start, stop
from typer.testing import CliRunner, Result

from engine.cli.main import app
from engine.cli.toml_line import with_number
from engine.contracts.errors import BadInput
from engine.store import audit, database

FILE = """\
# mine
[limits]   # hard
trade_loss_usd = 8   # as agreed
#day_loss_usd = 7
[strategies.momentum]
stop_atr = 3
"""
OKX = '[venues.okx]\nsymbols = ["BTC/USDT"]\n'


def call(folder: Path, *args: str, **variables: str) -> Result:
    kept = {name: None for name in os.environ if name.startswith("KEEL_") or name in ("DATABASE_URL", "REDIS_URL")}
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(app, ["config", *args], env=kept | {"COLUMNS": "200"} | variables)
    finally:
        os.chdir(before)


def test_every_setting_is_shown_with_its_source_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "keel.toml").write_text(FILE + OKX)
    secret = {"DATABASE_URL": "postgresql://u:hunter2@h/d", "REDIS_URL": "redis://:hunter3@h/0"}
    done = call(tmp_path, "--json", KEEL_LIMITS__DAY_LOSS_USD="15", **secret)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["settings"]
    assert found["limits.trade_loss_usd"] == {"value": 8.0, "source": "in keel.toml"}
    assert found["limits.day_loss_usd"] == {"value": 15.0, "source": "by the environment: KEEL_LIMITS__DAY_LOSS_USD"}
    assert found["limits.reserve_usd"] == {"value": 200.0, "source": "default"}
    assert found["venues.okx.symbols"] == {"value": ["BTC/USDT"], "source": "in keel.toml"}
    assert found["database_url"]["value"] == found["redis_url"]["value"] == "(hidden)"
    assert found["mode"]["value"] == "paper"
    plain = call(tmp_path, KEEL_LIMITS__DAY_LOSS_USD="15", **secret)
    assert "in keel.toml" in plain.stdout and "strategies.momentum.stop_atr" in plain.stdout
    assert "hunter" not in done.output + plain.output


def test_without_an_engine_the_file_is_changed_and_the_audit_has_it(tmp_path: Path) -> None:
    (tmp_path / "keel.toml").write_text(FILE)
    done = call(tmp_path, "set", "limits.trade_loss_usd", "5", "--why", "a test", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["before"], told["value"]) == (8.0, 5.0)
    assert (tmp_path / "keel.toml").read_text() == FILE.replace("= 8 ", "= 5 ")
    assert (tmp_path / "keel.toml.bak").read_text() == FILE
    with database.connect(None, tmp_path / ".keel") as store, store.begin() as connection:
        [row] = connection.exec_driver_sql("SELECT who, what, why, before, after FROM audit").all()
    assert row.what == "setting.changed" and row.why == "a test" and row.who.startswith("cli")
    assert (row.before, row.after) == (
        {"of": "limits.trade_loss_usd", "value": 8.0}, {"of": "limits.trade_loss_usd", "value": 5.0},
    )  # fmt: skip
    with database.connect(None, tmp_path / ".keel") as store:
        assert audit.verify(store).problem == ""


REFUSED = [
    (("limits.trade_los_usd", "5"), 2, "did you mean 'trade_loss_usd'"),
    (("limits.trade_loss_usd", "0"), 2, "outside 0.01.."),
    (("limits.trade_loss_usd", "nan"), 2, "outside 0.01.."),
    (("strategies.momentum.fast", "40"), 2, "must be below slow"),
    (("account.capital_usd", "5000"), 2, "cannot be changed by command"),
    (("limits", "5"), 2, "cannot be changed by command"),
    (("mode", "live"), 2, 'put mode = "live" into keel.toml, read at the start'),
    (("venues.okx.testnet", "true"), 2, "put [venues.okx] testnet = true into keel.toml"),
    (("account.capital_usd", "5000"), 2, "put [account] capital_usd = 5000 into keel.toml"),
    (("redis_url", "redis://:hunter@h/0"), 2, "set REDIS_URL in the environment"),
    (("modus", "live"), 2, "there is no such setting; did you mean 'mode'?"),
    (("limits.trade_loss_usd", "five"), 2, "limits.trade_loss_usd = five must be a number"),
    (("limits.day_loss_usd", "5"), 3, "KEEL_LIMITS__DAY_LOSS_USD"),
]


@pytest.mark.parametrize(("args", "code", "said"), REFUSED, ids=[" ".join(one[0]) for one in REFUSED])
def test_a_refused_change_changes_nothing(tmp_path: Path, args: tuple[str, str], code: int, said: str) -> None:
    (tmp_path / "keel.toml").write_text(FILE + OKX)
    done = call(tmp_path, "set", *args, "--why", "a test", KEEL_LIMITS__DAY_LOSS_USD="15")
    assert done.exit_code == code, done.output
    assert said in done.stderr and "hunter" not in done.output
    assert (tmp_path / "keel.toml").read_text() == FILE + OKX
    assert not (tmp_path / "keel.toml.bak").exists() and not (tmp_path / ".keel").exists()


def test_what_cannot_be_audited_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "keel.toml").write_text(FILE)
    url = "postgresql://u:p@127.0.0.1:1/d"
    done = call(tmp_path, "set", "limits.trade_loss_usd", "5", "--why", "a test", DATABASE_URL=url)
    assert done.exit_code == 4, done.output
    assert (tmp_path / "keel.toml").read_text() == FILE


def test_with_an_engine_running_the_change_goes_to_it(tmp_path: Path) -> None:
    process = start(tmp_path / ".keel")
    try:
        done = call(tmp_path, "set", "limits.trade_loss_usd", "5", "--why", "a test", "--json")
        unknown = call(tmp_path, "set", "limits.trade_loss_usd", "5", "--why", " ")
    finally:
        stop(process)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["run"], told["accepted"], told["audited"]) == (RUN, True, True)
    with database.connect(None, tmp_path / ".keel") as store, store.begin() as connection:
        [row] = connection.exec_driver_sql("SELECT who, what, why, before, after, evidence FROM audit").all()
    assert (row.what, row.why, row.evidence["run"]) == ("operator.set", "a test", RUN)
    assert (row.before["value"], row.after) == (10.0, {"of": "limits.trade_loss_usd", "value": 5.0})
    assert told["message"] == "limits.trade_loss_usd: 10 -> 5, in force from now on"
    assert "[limits] trade_loss_usd = 5" in told["kept"]
    assert unknown.exit_code == 2 and "--why" in unknown.stderr
    assert not (tmp_path / "keel.toml").exists()


def audited(home: Path) -> list[tuple[object, object]]:
    """Before and after of every change."""
    with database.connect(None, home) as store, store.begin() as connection:
        rows = connection.exec_driver_sql("SELECT before, after FROM audit ORDER BY seq").all()
    return [(row.before["value"], row.after["value"]) for row in rows]


def test_what_is_in_force_in_the_running_engine_is_shown_and_counts(tmp_path: Path) -> None:
    (tmp_path / "keel.toml").write_text(FILE)  # says 8; the engine started with the default, 10
    process = start(tmp_path / ".keel")
    try:
        call(tmp_path, "set", "limits.trade_loss_usd", "5", "--why", "a test")
        again = call(tmp_path, "set", "limits.trade_loss_usd", "7", "--why", "a test")
        call(tmp_path, "set", "strategies.momentum.slow", "50", "--why", "a test")
        beside = call(tmp_path, "set", "strategies.momentum.fast", "40", "--why", "the file's slow is below")
        refused = call(tmp_path, "set", "strategies.momentum.fast", "60", "--why", "above the engine's slow")
        idle = call(tmp_path, "set", "strategies.crossover.fast", "3", "--why", "it does not run")
        shown = json.loads(call(tmp_path, "--json").stdout)
        plain = call(tmp_path)
    finally:
        stop(process)
    assert "limits.trade_loss_usd: 5 -> 7; until the engine ends" in again.stdout
    assert beside.exit_code == 0, beside.output
    assert refused.exit_code == 2 and "fast = 60 must be below slow = 50" in refused.stderr
    assert idle.exit_code == 3 and "crossover does not run in this engine" in idle.stderr
    assert shown["run"] == RUN
    assert shown["settings"]["limits.trade_loss_usd"] == {
        "value": 7.0, "source": "in the running engine, until it ends; then 8", "at_start": 8.0,
    }  # fmt: skip
    assert shown["settings"]["limits.day_loss_usd"]["source"] == "default"
    assert shown["settings"]["strategies.momentum.slow"]["value"] == 50.0
    assert re.search(r"limits.trade_loss_usd +7 +in the running engine, until it ends; then 8", plain.stdout)
    assert audited(tmp_path / ".keel")[:2] == [(10.0, 5.0), (5.0, 7.0)]
    ended = json.loads(call(tmp_path, "--json").stdout)
    assert (ended["run"], ended["settings"]["limits.trade_loss_usd"]["value"]) == (None, 8.0)


def test_with_redis_gone_the_settings_are_shown_as_those_of_the_next_start(tmp_path: Path) -> None:
    process = start(tmp_path / ".keel")
    try:
        done = call(tmp_path, "--json", REDIS_URL="redis://127.0.0.1:1/0")
        refused = call(
            tmp_path, "set", "limits.trade_loss_usd", "5", "--why", "a test", REDIS_URL="redis://127.0.0.1:1/0"
        )
    finally:
        stop(process)
    assert done.exit_code == 0 and "cannot be asked" in done.stderr
    assert json.loads(done.stdout)["settings"]["limits.trade_loss_usd"]["value"] == 10.0
    assert refused.exit_code == 4 and not (tmp_path / "keel.toml").exists()


def test_every_name_can_be_read_in_a_terminal_of_80_columns(tmp_path: Path) -> None:
    (tmp_path / "keel.toml").write_text('[venues.spot]\nexchange = "binance"\nsymbols = ["BTC/USDT"]\n')
    names = list(json.loads(call(tmp_path, "--json").stdout)["settings"])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KEEL_") and k != "COLUMNS"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        command = [sys.executable, "-m", "engine.cli.main", "config"]
        os.execvpe(command[0], command, environment | {"PYTHONPATH": str(ROOT), "TERM": "dumb"})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    said = b""
    while True:
        try:
            said += os.read(terminal, 65_536)
        except OSError:
            break  # the command ended
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    lines = said.decode().splitlines()
    assert max(map(len, lines)) <= 80
    assert names == [line.split()[0] for line in lines[1:-1] if not line.startswith(" ")]


@pytest.mark.parametrize("args", ["config", "config --json", "doctor --help"])
def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path, args: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KEEL_")} | {"PYTHONPATH": str(ROOT)}
    ears, mouth = os.pipe()
    os.close(ears)
    command = [sys.executable, "-m", "engine.cli.main", *args.split()]
    done = subprocess.run(command, stdout=mouth, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment)
    os.close(mouth)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(("text", "after"), [
    ("", "[limits]\na = 1.5\n"),
    ("# x\n", "# x\n\n[limits]\na = 1.5\n"),
    ("[limits]\nb = 1\n[limits.deep]\na = 2\n", "[limits]\na = 1.5\nb = 1\n[limits.deep]\na = 2\n"),
    ("[ limits ]\n  a=2 # why\n", "[ limits ]\na = 1.5 # why\n"),
    ("[other]\na = 2\n[limits]\n", "[other]\na = 2\n[limits]\na = 1.5\n"),
])  # fmt: skip
def test_one_line_is_changed_or_added(text: str, after: str) -> None:
    assert with_number(text, "limits", "a", 1.5) == after


@pytest.mark.parametrize(
    "text", ["limits = { a = 2 }\n", 'x = """\n[limits]\na = 2\n"""\n', "limits.a = 2\n", "limits = 3"]
)
def test_a_file_written_another_way_is_left_alone(text: str) -> None:
    with pytest.raises(BadInput, match=r"write \[limits\] a = 1.5 yourself"):
        with_number(text, "limits", "a", 1.5)


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(allow_nan=False, allow_infinity=False), max_size=5),
       st.sampled_from("abcdef"), st.floats(allow_nan=False, allow_infinity=False))  # fmt: skip
def test_whatever_is_written_is_read_back(before: dict[str, float], key: str, value: float) -> None:
    text = "[t]\n" + "".join(f"{name} = {number!r}\n" for name, number in before.items()) + "[u]\na = 1\n"
    assert tomllib.loads(with_number(text, "t", key, value)) == {"t": before | {key: value}, "u": {"a": 1}}
