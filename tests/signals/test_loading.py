"""What is said about a class that cannot be used, and what a digest covers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from engine import settings
from engine.contracts.errors import BadInput
from engine.signals.loading import load
from engine.signals.plan import SignalPlan, signal_plan


def plan(class_path: str, **parameters: Any) -> SignalPlan:
    return SignalPlan(name="mine", class_path=class_path, parameters=parameters)


@pytest.mark.parametrize(
    ("path", "parameters", "wrong"),
    [
        ("no_such_module:Thing", {}, "there is no module no_such_module in .* or on PYTHONPATH"),
        ("spoken:Drif", {}, "spoken has no class Drif; it has Drift, Leader"),
        ("spoken:Drift", {"span": 3}, "spoken:Drift.span=3. failed at loading.py.*: TypeError"),
        ("spoken:NoMethod", {}, r"has no method on_bar\(bar, history\)"),
        ("spoken:NoLength", {}, "timeframe_s = None must be a whole number, 1 to 604,800"),
        ("spoken:Drift", {"timeframe_s": 60.5}, "timeframe_s = 60.5 must be a whole number"),
        ("spoken:Drift", {"lookback": 0}, "lookback = 0 must be a whole number, 1 to 100,000"),
        ("engine.signals.reversion:Reversion", {"span": 1}, "failed at reversion.py:.*: ValueError: span must"),
    ],
)
def test_a_class_that_cannot_be_used_is_refused_with_the_fix(path: str, parameters: Any, wrong: str) -> None:
    with pytest.raises(BadInput, match=f"^signals.mine.*{wrong}"):
        load(plan(path, **parameters))


def test_a_module_that_does_not_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, text, wrong in (
        ("broken_a", "class X(:", "its import failed.*: SyntaxError"),
        ("broken_b", "import not_installed_anywhere", "needs not_installed_anywhere, which is not installed"),
        ("broken_c", "1 / 0", "its import failed at broken_c.py:1: ZeroDivisionError"),
    ):
        Path(f"{name}.py").write_text(text)
        with pytest.raises(BadInput, match=wrong):
            load(plan(f"{name}:X"))


def test_the_digest_names_the_file_and_the_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same = load(plan("spoken:Drift", lookback=5)).digest
    assert same == load(plan("spoken:Drift", lookback=5)).digest != 0
    assert load(plan("spoken:Drift", lookback=6)).digest != same
    assert load(plan("spoken:Leader", lookback=5)).digest != same
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    text = Path(__file__).with_name("spoken.py").read_text()
    found = []
    for end in ("", "\n# another thought\n"):
        Path("spoken_copy.py").write_text(text + end)
        found.append(load(plan("spoken_copy:Drift")).digest)
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ({}, "signals.mine.class is missing"),
        ({"class": "spoken.Drift"}, "must read like package.module:Class"),
        ({"class": "a:B", "clas": 1}, "signals.mine.clas is not a setting; did you mean 'class'"),
        ({"class": "a:B", "timeout_s": 0}, "signals.mine.timeout_s = 0.0 is outside 0.1..60 s"),
        ({"class": "a:B", "delay_ms": float("nan")}, "signals.mine.delay_ms = nan is outside 0..60,000 ms"),
        ({"class": "a:B", "symbols": 7}, "signals.mine.symbols: expected"),
        ({"class": "a:B", "symbols": ["X", "X"]}, "names one twice"),
        ({"class": "a:B", "parameters": {"a b": 1}}, "write it as a Python argument is written"),
    ],
)
def test_a_table_that_says_something_else_is_refused(table: dict[str, Any], wrong: str) -> None:
    with pytest.raises(BadInput, match=wrong):
        signal_plan("mine", table)


def test_sources_are_named_in_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("keel.toml").write_text(
        '[signals.mine]\nclass = "spoken:Drift"\nsymbols = ["BTC/USDT"]\ntimeout_s = 2\n'
        "[signals.mine.parameters]\nlookback = 5\n"
    )
    found = settings.load()
    assert found.signals["mine"] == SignalPlan(
        name="mine", class_path="spoken:Drift", symbols=("BTC/USDT",), timeout_s=2.0, parameters={"lookback": 5}
    )
    before = found.digest()
    Path("keel.toml").write_text('[signals.mine]\nclas = "spoken:Drift"\n')
    with pytest.raises(BadInput, match=r"signals.mine.clas is not a setting; did you mean 'class'.*set in keel.toml"):
        settings.load()
    Path("keel.toml").write_text("")
    assert settings.load().digest() != before
