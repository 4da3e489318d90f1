"""A backtest with a user's class, from files to results; its replay needs the journal alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.contracts.errors import BadInput
from engine.contracts.records import FORECAST, joined
from engine.journal import segments
from engine.markets.synthetic import synthesize
from engine.research.backtest import BacktestRequest, BacktestResult, run
from engine.research.replay import replay
from engine.signals.plan import SignalPlan

SYMBOLS = ("BTC/USDT", "ETH/USDT")


def request(folder: Path, class_path: str, **parameters: Any) -> BacktestRequest:
    data = folder / "market.parquet"
    if not data.exists():
        synthesize(data, seed=3, days=2)
    mine = SignalPlan(name="mine", class_path=class_path, symbols=SYMBOLS, parameters=parameters)
    return BacktestRequest(
        strategy="crossover", data=[data], home=folder, symbols=SYMBOLS, params={"fast": 5.0, "slow": 12.0},
        signals={"mine": mine},
    )  # fmt: skip


def forecasts(done: BacktestResult) -> Any:
    records = joined(list(segments.read(done.run_dir)))["record"]
    return records[records["kind"] == FORECAST]


def test_a_run_with_a_users_class_replays_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(__file__).with_name("spoken.py").read_text()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("my_own.py").write_text(text)
    done = run(request(tmp_path, "my_own:Drift"))
    found = forecasts(done)
    assert len(found) > 300 and set(found["instrument"].tolist()) == {0, 1}
    assert len(np.unique(found["digest"])) == 1
    digest = int(found["digest"][0]) & 0xFFFF_FFFF_FFFF_FFFF
    assert done.manifest.signals == {"mine": f"my_own:Drift() {digest:016x}"}
    again = run(request(tmp_path, "my_own:Drift"))
    assert again.manifest.digest == done.manifest.digest
    Path("my_own.py").unlink()
    del sys.modules["my_own"]
    told = replay(done.run_dir)
    assert told.ok and told.entries == len(joined(list(segments.read(done.run_dir))))


def test_a_class_that_fails_leaves_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="bar that ended .*: Forecast.value = nan"):
        run(request(tmp_path, "spoken:Bad", how="nan"))
    with pytest.raises(BadInput, match="there is no module nowhere"):
        run(request(tmp_path, "nowhere:Bad"))
    assert len(list((tmp_path / "runs").iterdir())) == 1, "the second was refused before anything was written"
