"""The evidence: every row done or named, the pages say what was measured, the same bytes again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import planted
import pytest

from engine.contracts.errors import BadInput
from engine.core.strategies import table
from engine.research import evidence
from engine.research.evidence import Work
from engine.research.folds import Cut
from engine.research.report.picture import Curve, draw
from engine.research.search import trials_of
from engine.research.studies import STRETCHES, STUDIES, Recorded, Study

CUT = Cut(folds=2, train_days=8, test_days=5, warm_days=1)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    planted.noisy(folder / "noise.parquet", days=20)
    return folder


def work(*more: Study) -> Work:
    study = Study("noise", "Nothing but noise", "crossover", ("noise.parquet",), {"fast": [12, 24], "slow": [96]}, CUT)
    return Work((study, *more), (Recorded("Noise as shipped", ("noise.parquet",)), Recorded("Gone", ("gone.parquet",))))


def test_the_pages_say_what_was_measured(recordings: Path, tmp_path: Path) -> None:
    gone = Study("gone", "Nobody recorded this", "crossover", ("gone.parquet",), {"fast": [12]})
    first = evidence.make(recordings, tmp_path / "one", 1, work(gone)).read_text(encoding="utf-8")
    assert "no evidence of edge" in first and "Nobody recorded this: gone.parquet is not in" in first
    assert "Gone: gone.parquet is not in" in first
    for row in table.STRATEGIES:
        assert f"| Noise as shipped | {row.name} |" in first
    found = json.loads((tmp_path / "one" / "noise.json").read_text())
    page = (tmp_path / "one" / "noise.md").read_text(encoding="utf-8")
    assert found["verdict"] in page and found["proof"]["trials"] == 2
    assert "held" not in found and "ruled" not in found, "prices of few symbols are not published"
    assert (tmp_path / "one" / "noise-trials.csv").read_text().count("\n") == 1 + 2 * (1 + CUT.folds)
    assert "Buy and hold" not in (tmp_path / "one" / "noise.svg").read_text(), "three symbols are no aggregate"
    evidence.make(recordings, tmp_path / "two", 1, work(gone).only(["noise"]))
    for name in ("noise.md", "noise.svg", "noise.json", "noise-trials.csv"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert not (tmp_path / "two" / "README.md").exists(), "a part does not pass for the whole"


def test_what_cannot_be_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="KEEL_DATA_DIR"):
        evidence.make(tmp_path, tmp_path / "out", 1, Work())
    with pytest.raises(BadInput, match="studies are momentum"):
        Work().only(["astrology"])


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_the_studies_grids_are_allowed(study: Study) -> None:
    if study.strategy in {row.name for row in table.STRATEGIES}:
        assert len(trials_of(study.strategy, study.grid, {})) >= 2
    assert study.mind and STRETCHES


def test_a_picture_holds_its_lines() -> None:
    times = np.arange(0, 10**15, 10**13)
    drawn = draw("A <line>", [Curve("up & down", times, np.sin(times / 1e14), "#123456")], [5 * 10**14])
    assert drawn.count("<polyline") == 1 and "A &lt;line&gt;" in drawn and "up &amp; down" in drawn
    points = [tuple(map(float, p.split(","))) for p in drawn.split('points="')[1].split('"')[0].split()]
    assert all(0 <= x <= 900 and 0 <= y <= 320 for x, y in points)
