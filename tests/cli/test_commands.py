"""The commands as a person and a program meet them: output, errors, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from engine.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PROMISED = (
    "run_id digest trades start_equity_usd end_equity_usd net_pnl_usd gross_pnl_usd fees_usd funding_usd slippage_usd "
    "worst_trade_usd worst_day_usd min_reserve_usd refusals gaps sharpe sortino cagr calmar max_drawdown_pct "
    "max_drawdown_usd profit_factor expectancy_usd expectancy_r sqn probabilistic_sharpe deflated_sharpe pbo "
    "days trials sharpe_ci95"
).split()


def call(*args: str | Path, folder: Path, **variables: str) -> Result:
    """Run a command inside `folder` with no settings but `variables`."""
    kept = {key: None for key in os.environ if key.startswith("KEEL_") or key in ("DATABASE_URL", "REDIS_URL")}
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(app, [str(arg) for arg in args], env=kept | variables)
    finally:
        os.chdir(before)


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three synthetic days."""
    folder = tmp_path_factory.mktemp("market")
    made = call("data", "synth", "--out", folder / "m.parquet", "--seed", "3", "--days", "3", folder=folder)
    assert made.exit_code == 0, made.output
    return folder / "m.parquet"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="session")
def run(market: Path, folder: Path) -> dict[str, Any]:
    """The JSON of one backtest in `folder`."""
    arguments = (
        "backtest",
        "--strategy",
        "crossover",
        "--data",
        market,
        "--set",
        "fast=4",
        "--set",
        "slow=12",
        "--json",
    )
    done = call(*arguments, folder=folder)
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def test_backtest_json_is_one_object_with_the_promised_names(run: dict[str, Any]) -> None:
    assert [name for name in PROMISED if name not in run] == []
    assert run["synthetic"] is True
    assert run["grade"] == "candle-grade"
    assert run["start_equity_usd"] == 1000.0
    assert run["trades"] > 0
    assert run["end_equity_usd"] == pytest.approx(1000.0 + run["net_pnl_usd"] + run["open_pnl_usd"])


def test_the_same_backtest_again_has_the_same_digest(run: dict[str, Any], market: Path, folder: Path) -> None:
    arguments = ["backtest", "--strategy", "crossover", "--data", market, "--set", "fast=4", "--set", "slow=12"]
    again = json.loads(call(*arguments, "--no-html", "--json", folder=folder).stdout)
    assert again["digest"] == run["digest"]
    assert again["run_id"] != run["run_id"]
    assert again["report"] is None


def test_several_strategies_run_on_one_account(market: Path, folder: Path) -> None:
    asked = ["backtest", "--strategy", "crossover", "--strategy", "momentum", "--data", market, "--no-html", "--json"]
    values = ["--set", "fast=4", "--set", "crossover.slow=12", "--set", "momentum.surge=2"]
    found = json.loads(call(*asked, *values, folder=folder).stdout)
    assert found["strategies"] == ["crossover", "momentum"]
    assert {one["key"] for one in found["by_strategy"] if one["trades"]} == {"crossover", "momentum"}
    assert sum(one["trades"] for one in found["by_strategy"]) == found["trades"]
    manifest = json.loads((folder / found["run_dir"] / "manifest.json").read_text())
    assert (manifest["strategies"]["crossover"]["fast"], manifest["strategies"]["crossover"]["slow"]) == (4.0, 12.0)
    assert manifest["strategies"]["momentum"]["surge"] == 2.0 and manifest["selector"]["enabled"] == 1.0
    other = call(*asked, "--set", "scalping.hold_s=5", folder=folder)
    assert other.exit_code == 2 and "scalping is not run" in other.stdout
    twice = call(*asked, "--strategy", "momentum", folder=folder)
    assert twice.exit_code == 2 and "name each once" in twice.stdout


def test_symbols_window_and_capital_reach_the_run(market: Path, folder: Path) -> None:
    window = (
        "--from",
        "2025-01-01T12:00:00Z",
        "--to",
        "2025-01-02",
        "--symbols",
        "BTC/USDT,ETH/USDT",
        "--capital",
        "5000",
    )
    done = call("backtest", "--strategy", "momentum", "--data", market, *window, "--no-html", "--json", folder=folder)
    found = json.loads(done.stdout)
    assert found["symbols"] == 2
    assert found["start_equity_usd"] == 5000.0
    assert found["from_time"] == "2025-01-01T12:00:00Z"
    assert found["to_time"] <= "2025-01-02T00:00:00Z"


def test_replay_proves_the_run_and_report_shows_it(run: dict[str, Any], folder: Path) -> None:
    proved = json.loads(call("replay", run["run_id"], "--json", folder=folder).stdout)
    assert proved["ok"] is True
    assert proved["digest"] == proved["expected"] == run["digest"]
    shown = call("report", run["run_id"], folder=folder)
    assert shown.exit_code == 0
    assert "crossover" in shown.stdout
    assert "not financial advice" in " ".join(shown.stdout.split())
    assert Path(folder, run["report"]).is_file()


def test_a_changed_journal_is_refused_by_name(run: dict[str, Any], folder: Path) -> None:
    import shutil

    copy = folder / "copy"
    shutil.copytree(folder / run["run_dir"], copy)
    segment = next((copy / "journal").glob("*.keel"))
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    segment.write_bytes(damaged)
    done = call("replay", copy, "--json", folder=folder)
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["code"] == 1
    assert segment.name in told["error"]


REFUSED = [
    (("backtest", "--strategy", "momentun", "--data", "MARKET"), 2, "momentum"),
    (("backtest", "--strategy", "momentum", "--data", "absent.parquet"), 1, "absent.parquet"),
    (("backtest", "--strategy", "momentum", "--data", "MARKET", "--set", "fast"), 2, "--set fast"),
    (("backtest", "--strategy", "momentum", "--data", "MARKET", "--set", "fast=1"), 2, "2..200"),
    (("backtest", "--strategy", "momentum", "--data", "MARKET", "--set", "fsat=9"), 2, "fast"),
    (("backtest", "--strategy", "momentum", "--data", "MARKET", "--from", "yesterday"), 2, "ISO 8601"),
    (("backtest", "--strategy", "momentum", "--data", "MARKET", "--capital", "1"), 2, "account.capital_usd"),
    (("backtest", "--strategy", "momentum", "--data", "MARKET", "--symbols", "NOPE/USDT"), 2, "NOPE"),
    (("replay", "nope"), 2, "no run 'nope'"),
    (("report", "nope"), 2, "no run 'nope'"),
    (("data", "synth", "--out", "x.parquet", "--seed", "-1"), 2, "seed"),
    (("data", "import", "absent.csv", "--out", "x.parquet", "--venue", "v", "--symbol", "BTC/USDT"), 1, "absent.csv"),
]


@pytest.mark.parametrize(("args", "code", "said"), REFUSED, ids=[" ".join(refused[0]) for refused in REFUSED])
def test_a_refusal_is_one_line_or_one_object_and_its_code(
    args: tuple[str, ...], code: int, said: str, market: Path, tmp_path: Path
) -> None:
    real = [str(market) if arg == "MARKET" else arg for arg in args]
    plain = call(*real, folder=tmp_path)
    assert plain.exit_code == code, plain.output
    errors = [line for line in plain.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in plain.output
    as_json = call(*real, "--json", folder=tmp_path)
    assert as_json.exit_code == code
    told = json.loads(as_json.stdout)
    assert told["code"] == code
    assert said in told["error"]
    assert not (tmp_path / ".keel" / "runs").exists(), "a refused run must leave nothing behind"


def test_a_bad_setting_stops_every_command_that_reads_settings(market: Path, tmp_path: Path) -> None:
    done = call("replay", "latest", folder=tmp_path, KEEL_LIMITS__TRADE_LOS_USD="3")
    assert done.exit_code == 2
    assert "did you mean 'trade_loss_usd'" in done.stderr


@pytest.mark.parametrize("args", [("backtest",), ("nonsense",), ("data", "check")], ids=" ".join)
def test_usage_errors_exit_two_also_as_json(args: tuple[str, ...], tmp_path: Path) -> None:
    assert call(*args, folder=tmp_path).exit_code == 2
    done = call(*args, "--json", folder=tmp_path)
    assert done.exit_code == 2
    assert json.loads(done.stdout)["code"] == 2


def test_data_check_refuses_a_file_that_is_no_market(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really PAR1")
    done = call("data", "check", "bad.parquet", "--json", folder=tmp_path)
    assert done.exit_code == 1
    assert json.loads(done.stdout)["verdict"] == "refused"


def test_data_import_makes_a_file_that_check_finds_good(tmp_path: Path) -> None:
    rows = "\n".join(f"{1735689600000 + i * 60000},{100 + i},{101 + i},{99 + i},{100 + i},5" for i in range(10))
    (tmp_path / "c.csv").write_text("ts,open,high,low,close,volume\n" + rows + "\n")
    made = call(
        "data", "import", "c.csv", "--out", "c.parquet", "--venue", "v", "--symbol", "BTC/USDT", folder=tmp_path
    )
    assert made.exit_code == 0, made.output
    checked = json.loads(call("data", "check", "c.parquet", "--json", folder=tmp_path).stdout)
    assert (checked["verdict"], checked["rows"], checked["kind"]) == ("good", 10, "candles")


def test_an_unreachable_database_is_named_by_doctor_with_a_fix(tmp_path: Path) -> None:
    import socket

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"postgresql://keel:hunter2@127.0.0.1:{closed.getsockname()[1]}/keel"
        done = call("doctor", "--json", folder=tmp_path, DATABASE_URL=url)
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["ok"] is False
    assert [name for name, check in found["checks"].items() if not check["ok"]] == ["postgresql"]
    assert "not reachable" in found["checks"]["postgresql"]["found"]
    assert "hunter2" not in done.output


def test_doctor_names_a_bad_setting_instead_of_failing(tmp_path: Path) -> None:
    done = call("doctor", folder=tmp_path, KEEL_HOEM="x")
    assert done.exit_code == 1
    assert "did you mean 'home'" in done.stdout


HEAVY = ("numba", "pandas", "numpy", "pyarrow", "sqlalchemy", "plotly", "pydantic", "rich.progress")
UNNEEDED = ("pandas", "pyarrow", "sqlalchemy", "alembic", "plotly", "scipy.stats", "rich", "ccxt")
"""By an engine that trades: it reads no market files, and writes no tables."""


@pytest.mark.parametrize(
    ("entry", "heavy"),
    [
        ("engine.cli.main", HEAVY),
        ("engine.bootstrap, engine.cli.servers, engine.runtime.process", UNNEEDED),
    ],
    ids=["help", "engine"],
)
def test_what_starts_imports_nothing_it_does_not_need(entry: str, heavy: tuple[str, ...]) -> None:
    script = f"import sys, {entry}; print(*(m for m in {heavy!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "backtest",
        "replay",
        "report",
        "data check",
        "data import",
        "data synth",
        "bench core",
        "doctor",
        "keys add",
        "keys list",
        "keys remove",
        "keys test",
        "config",
        "config set",
    ],
)
def test_help_has_an_example_and_a_json_switch(command: str, tmp_path: Path) -> None:
    done = call(*command.split(), "--help", folder=tmp_path)
    assert done.exit_code == 0
    assert f"Example: trading-cli {command}" in done.stdout
    assert "--json" in done.stdout
