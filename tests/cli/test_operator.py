"""status, pause, reduce, resume against a real Redis and a process that shows itself as an engine does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from engine.cli.main import app
from engine.store.redis_server import stop_redis
from engine.store.running import FILE

ROOT = Path(__file__).resolve().parents[2]
RUN = "20250101-000000-paper"
NO_POSTGRES = {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d"}  # an operator's word is carried out all the same
Engine = subprocess.Popen[str]


def call(home: Path, *args: str, given: str = "") -> Result:
    kept = {name: None for name in os.environ if name.startswith("KEEL_") or name in ("DATABASE_URL", "REDIS_URL")}
    before = Path.cwd()
    os.chdir(home.parent)
    try:
        variables = NO_POSTGRES | {"KEEL_HOME": str(home), "COLUMNS": "160"}
        return CliRunner().invoke(app, list(args), input=given, env=kept | variables)
    finally:
        os.chdir(before)


def start(home: Path, manner: str = "") -> Engine:
    command = [sys.executable, str(ROOT / "tests" / "cli" / "shown_engine.py"), str(home), manner]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def stop(process: Engine) -> None:
    if process.stdin is not None and not process.stdin.closed:
        process.stdin.close()
    process.wait(20)
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which an engine runs."""
    folder = tmp_path_factory.mktemp("operator") / "home"
    process = start(folder)
    yield folder
    stop(process)


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Callable[[str], tuple[Path, Engine]]]:
    """Starts an engine of its own in a folder of its own."""
    started: list[Engine] = []

    def begin(manner: str) -> tuple[Path, Engine]:
        started.append(start(tmp_path / "home", manner))
        return tmp_path / "home", started[-1]

    yield begin
    for process in started:
        stop(process)
    stop_redis(tmp_path / "home")


def test_status_shows_everything_the_live_view_holds(home: Path) -> None:
    done = call(home, "status")
    assert done.exit_code == 0, done.output
    for said in (
        RUN, "PAPER", "$995.50", "-4.50", "4.50 of 20.00", "7.25", "790.00", "sandbox:BTC/USDT", "0.00312", "64012.34",
        "63000.5", "accepted", "sandbox:quotes", "999", "DAY_LOSS", "21.50", "ENTRY_SIGNAL", "p50 88 us, p99 410 us",
        "+5.0 s", "book [ETH/USDT] read anew", "12,345", "2 conflated", "0.45 of 5 %",
    ):  # fmt: skip
        assert said in done.stdout, said
    assert "NOT LIVE" not in done.stdout


def test_status_as_json_is_one_object_with_every_row(home: Path) -> None:
    found = json.loads(call(home, "status", "--json").stdout)
    assert (found["run"], found["mode"], found["heard_of"]) == (RUN, "paper", True)
    assert found["account"]["equity_usd"] == 995.5
    assert found["positions"]["sandbox:BTC/USDT"]["stop"] == 63_000.5
    assert found["orders"]["7"]["trigger"] == 63_000.5
    assert found["feeds"]["sandbox:quotes"]["age_s"] > 0
    assert found["feeds"]["sandbox:quotes"]["clock_offset_ms"] == 5_012.0
    assert found["refusals"][-1]["reason"] == "DAY_LOSS"
    assert 0 <= found["beat_age_s"] < 5
    assert found["engine"]["tick_to_order_us_p99"] == 410.0


@pytest.mark.parametrize(("word", "options", "state", "said"), [
    ("pause", [], "REDUCING", "paused: no entries"), ("resume", ["--yes"], "ACTIVE", "resumed: entries are allowed"),
    ("reduce", [], "REDUCING", "reducing: exits only"),
])  # fmt: skip
def test_a_word_reaches_the_engine_and_its_answer_comes_back(
    home: Path, word: str, options: list[str], state: str, said: str
) -> None:
    done = call(home, word, "--why", "a test", *options, "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["message"].startswith(said)
    assert (answer["command"], answer["accepted"], answer["run"]) == (word, True, RUN)
    assert state in answer["message"]
    assert answer["audited"] is False and "not in the audit" in done.stderr
    plain = call(home, word, "--why", "a test", *options)
    assert state in plain.stdout


def test_resume_says_that_the_drawdown_begins_anew(starting: Callable[[str], tuple[Path, Engine]]) -> None:
    home, _ = starting("")
    done = call(home, "resume", "--why", "a test", "--yes")
    assert "now; drawdown counts from $995.50, no more from $1,000.00" in done.stdout
    assert "drawdown" not in call(home, "resume", "--why", "again", "--yes").stdout


def test_resume_wants_a_person(home: Path) -> None:
    done = call(home, "resume", "--why", "a test")
    assert done.exit_code == 3
    assert "not confirmed" in done.stderr and "--yes" in done.stderr


@pytest.mark.parametrize("word", ["pause", "reduce", "resume"])
def test_a_reason_must_be_given(home: Path, word: str) -> None:
    assert call(home, word).exit_code == 2
    refused = call(home, word, "--why", "  ", *(["--yes"] if word == "resume" else []))
    assert refused.exit_code == 2 and "--why" in refused.stderr


@pytest.mark.parametrize("options", [[], ["--detach"]], ids=["foreground", "detached"])
def test_a_second_start_in_a_home_is_refused_at_once_and_leaves_everything_alone(
    home: Path, options: list[str]
) -> None:
    (home / "engine.log").write_text("what the running engine says\n")
    before = sorted(home.iterdir())
    done = call(home, "up", *options)
    assert done.exit_code == 3, done.output
    assert re.search(rf"run {RUN} \(process \d+, paper\) already runs in .*trading-cli down", done.stderr)
    assert (home / "engine.log").read_text() == "what the running engine says\n"
    assert sorted(home.iterdir()) == before and "PostgreSQL" not in done.stderr


@pytest.mark.parametrize("args", [("status",), ("pause", "--why", "x"), ("emergency",)], ids=lambda args: args[0])
def test_without_an_engine_nothing_is_reachable_and_no_server_is_started(tmp_path: Path, args: tuple[str, ...]) -> None:
    done = call(tmp_path / "home", *args, "--json")
    assert done.exit_code == 4
    assert "no engine runs" in json.loads(done.stdout)["error"]
    assert not (tmp_path / "home").exists()


def test_an_engine_that_was_killed_is_named_as_dead(starting: Callable[[str], tuple[Path, Engine]]) -> None:
    home, process = starting("")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = call(home, "status")
    assert done.exit_code == 4
    assert f"run {RUN} (process {process.pid}) died" in done.stderr
    assert (home / FILE).exists()


def test_an_engine_that_does_not_answer_is_a_timeout(starting: Callable[[str], tuple[Path, Engine]]) -> None:
    home, _ = starting("mute")
    done = call(home, "pause", "--why", "a test", "--wait", "0.3", "--json")
    assert done.exit_code == 5
    assert "has not answered within 0.3 s" in json.loads(done.stdout)["error"]


def test_an_engine_whose_view_is_empty_is_said_to_run(starting: Callable[[str], tuple[Path, Engine]]) -> None:
    home, process = starting("hidden")
    done = call(home, "status")
    assert done.exit_code == 4
    assert f"process {process.pid}) shows nothing yet" in done.stderr


def test_redis_gone_while_the_engine_runs_is_said_as_such(starting: Callable[[str], tuple[Path, Engine]]) -> None:
    home, process = starting("")
    command = [sys.executable, "-m", "engine.cli.main", "status"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "KEEL_HOME": str(home), "REDIS_URL": "redis://127.0.0.1:1/0"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=home.parent, env=environment)
    assert done.returncode == 4, done.stderr
    assert f"the engine runs (run {RUN}, process {process.pid}, paper) but cannot be asked" in done.stderr
    assert f"kill -TERM {process.pid}" in done.stderr


@pytest.mark.parametrize("command", ["status", "pause", "reduce", "resume", "emergency"])
def test_help_shows_an_example(command: str, tmp_path: Path) -> None:
    done = call(tmp_path / "home", command, "--help")
    assert done.exit_code == 0
    assert f"Example: trading-cli {command}" in done.stdout and "--json" in done.stdout
