"""The check of a user's class finds what it is for, and lets pass what keeps to the rules."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).parents[1] / "core"))
from spoken import Spy
from streams import Stream, Weather, instrument, perp, random_stream

from engine.cli.main import app
from engine.contracts.errors import BadInput
from engine.markets.synthetic import synthesize
from engine.research.signalcheck import SignalCheck, judge
from engine.signals.plan import SignalPlan

INSTRUMENTS = [instrument("AAA"), perp("BBB"), instrument("CCC")]
STREAM = random_stream(13, INSTRUMENTS, Weather(hours=6, step_s=75, volatility=0.003, hole_chance=0.2))


def checked(kind: str, stream: Stream = STREAM, **changes: Any) -> SignalCheck:
    class_path = kind if ":" in kind else f"spoken:{kind}"
    return judge(SignalPlan(name="mine", class_path=class_path, **changes), stream)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("Drift", {}), ("Leader", {}), ("engine.signals.reversion:Reversion", {"span": 12, "enter_z": 0.5})],
)
def test_a_class_that_keeps_to_the_rules_passes(kind: str, parameters: dict[str, Any]) -> None:
    found = checked(kind, parameters=parameters)
    assert (found.verdict, found.findings, found.notes) == ("passed", [], [])
    assert found.bars == found.forecasts + found.no_opinion > 150 and found.forecasts > 50
    assert found.instruments == 3 and found.late == 0 and found.slowest_ms >= found.mean_ms > 0


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("Counting", "another answer when asked again; it follows a clock, chance or the count of calls"),
        ("Sticky", r"confidence 0.5, asked alone with the same history .*; it depends on what it was asked before"),
        ("Peeking", "another answer where only what came later was changed; it sees the future"),
    ],
)
def test_a_class_that_does_not_is_found_out(kind: str, wrong: str) -> None:
    found = checked(kind)
    assert found.verdict == "failed" and len(found.findings) == 1
    assert re.search(rf"^...USDT, bar that ended 2025-01-01T\S+: .*{wrong}", found.findings[0])


def test_faults_and_slowness_are_findings() -> None:
    found = checked("Bad", parameters={"how": "nan"})
    assert found.verdict == "failed" and "Forecast.value = nan" in found.findings[0]
    slow = checked("Slow", timeout_s=0.1)
    assert slow.verdict == "failed" and slow.slowest_ms >= 150
    assert "the engine ends it after signals.mine.timeout_s" in slow.findings[0]


def test_what_is_no_fault_is_noted() -> None:
    late = checked("Bad", parameters={"how": "late"})
    assert late.verdict == "passed" and late.late == late.forecasts == late.bars
    assert "raise valid_s" in late.notes[0]
    assert checked("Drift", parameters={"lookback": 1}).notes == ["it never had an opinion"]
    nothing = checked("Drift", Stream(INSTRUMENTS, STREAM.events[:2]))
    assert nothing.verdict == "failed" and nothing.notes == ["no bar closed in the data: nothing was tried"]
    with pytest.raises(BadInput, match="none of ZZZ is in the data"):
        checked("Drift", symbols=("ZZZ",))


def test_one_bar_alone_is_asked_with_the_data_cut_off_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(Spy, "look", staticmethod(lambda bar, history: asked.append(bar.end_ns)))
    found = checked("Spy")
    assert found.verdict == "passed"
    alone = len(asked) - 2 * found.bars - int(0.35 * found.bars) - int(0.7 * found.bars)
    assert 20 <= alone <= 40, "the cuts of the other futures may take a bar or two more"


def test_the_command_says_it_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    synthesize(tmp_path / "market.parquet", seed=2, days=1)
    Path("keel.toml").write_text(
        '[signals.good]\nclass = "engine.signals.reversion:Reversion"\nparameters = { span = 24 }\n'
        '[signals.bad]\nclass = "spoken:Counting"\n'
    )
    call = ["--data", "market.parquet", "--symbols", "BTC/USDT", "--json"]
    good = CliRunner().invoke(app, ["signals", "check", "good", *call])
    told = json.loads(good.stdout)
    assert good.exit_code == 0 and told["verdict"] == "passed" and told["bars"] == 287 and told["forecasts"] > 5
    bad = CliRunner().invoke(app, ["signals", "check", "bad", *call])
    assert bad.exit_code == 1 and "another answer when asked again" in json.loads(bad.stdout)["findings"][0]
    unknown = CliRunner().invoke(app, ["signals", "check", "ugly", *call])
    assert unknown.exit_code == 2 and "signals.ugly is not in the settings; there are: good, bad" in unknown.stdout
