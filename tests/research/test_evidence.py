"""The evidence: every row done or named, the pages say what was measured, the same bytes again."""

from __future__ import annotations

import json
from pathlib import Path

import crossed
import numpy as np
import planted
import pytest

from engine.contracts.errors import BadInput
from engine.core.strategies import table
from engine.research import defaults, evidence, executable
from engine.research.evidence import Work
from engine.research.folds import Cut
from engine.research.report import evidencetiers
from engine.research.report.picture import Curve, draw
from engine.research.search import trials_of
from engine.research.studies import DEPEG_QUOTES, EVERY_CYCLE, STRETCHES, STUDIES, Recorded, Study

PAGES = Path(__file__).resolve().parents[2] / "docs" / "evidence"
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
    made = evidence.make(recordings, tmp_path / "one", 1, work(gone))
    first = made.page.read_text(encoding="utf-8")
    assert made.choices == [] and "**No study shows an edge.**" in first
    assert "no evidence of edge" in first and "Nobody recorded this: gone.parquet is not in" in first
    assert "Gone: gone.parquet is not in" in first
    for row in table.STRATEGIES:
        assert f"| Noise as shipped | {row.name} |" in first
    assert "| Noise as shipped | all three" in first
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


def test_what_the_search_would_change_is_told(recordings: Path, tmp_path: Path) -> None:
    grid = {"fast": [12, 24], "slow": [96]}
    study = Study("noise", "Noise", "crossover", ("noise.parquet",), grid, CUT, settles=True)
    made = evidence.make(recordings, tmp_path, 1, Work((study,), (Recorded("Noise", ("noise.parquet",)),)))
    (one,) = made.choices
    ships = defaults.shipped("crossover")
    assert one.shipped == {"fast": ships["fast"], "slow": ships["slow"]} and one.told_apart
    assert one.chosen["slow"] == 96 and one.chosen["fast"] in grid["fast"] and one.of_folds == CUT.folds
    wanted = [
        f"engine/core/strategies/crossover.py: {name} {ships[name]:g} -> {value:g}"
        for name, value in one.chosen.items()
        if value != ships[name]
    ]
    assert one.changes == wanted and wanted, "the grid holds no 192: at least that would change"
    assert defaults.read(tmp_path) == made.choices
    page = (tmp_path / "noise.md").read_text(encoding="utf-8")
    assert f"| `slow` | {ships['slow']:g} | 96 |" in page and defaults.RULE in page
    assert json.loads((tmp_path / "noise.json").read_text())["settles"]["chosen"] == one.chosen
    assert f"To be changed: `{wanted[0]}`" in made.page.read_text(encoding="utf-8")


def test_what_ships_is_what_the_committed_evidence_says_was_chosen() -> None:
    chosen = defaults.read(PAGES)
    assert [one.study for one in chosen] == [study.name for study in STUDIES if study.settles]
    assert {one.strategy for one in chosen} == set(evidence.TOGETHER), "every strategy but the plain rule"
    for one in chosen:
        study = next(study for study in STUDIES if study.name == one.study)
        assert set(one.chosen) == set(study.grid), "the grid is another than when it was searched: make evidence"
        ships = defaults.shipped(one.strategy)
        assert {name: ships[name] for name in one.chosen} == one.chosen, "make evidence, and set what it says"
        document = json.loads((PAGES / f"{one.study}.json").read_text(encoding="utf-8"))
        assert document["settles"]["chosen"] == {name: document["recommended"][name] for name in one.chosen}


def test_a_study_of_minutes_says_how_long_it_is(tmp_path: Path) -> None:
    """Known minutes that pay, in a study shaped like the one of the depeg: verdict, fees, units of a short record."""
    away = dict.fromkeys(range(2, 240, 3), 60.0)
    crossed.minutes(tmp_path / "minutes.parquet", count=240, away=away)
    study = Study(
        "minutes", "Minutes", "arbitrage", ("minutes.parquet",), {"min_edge_bps": [0.5, 3.0]},
        Cut(folds=2, embargo_hours=0.1, warm_days=0.005, shortest_hours=0.1), fixed={"shadow_cycles": 0},
        reading="minute_quotes", score="net", rule=EVERY_CYCLE, late_s=(0.0, 60.0), settles=True,
    )  # fmt: skip
    made = evidence.make(tmp_path, tmp_path / "out", 1, Work((study,), ()))
    page = (tmp_path / "out" / "minutes.md").read_text(encoding="utf-8")
    found = json.loads((tmp_path / "out" / "minutes.json").read_text())
    assert found["out_of_sample"]["trades"] > 20 and found["out_of_sample"]["return_pct"] > 0
    assert "No evidence of edge (2 variants tried, 113 minutes out of sample)" in page, "an hour proves nothing"
    assert "are too short a record for any of the figures that judge days" in page
    assert "| Test from | Net in | Net out |" in page and "Naive rule: every cycle the touch promises" in page
    assert "the marks of the account drawn again" in page
    low, high = found["yardsticks"]["strategy_ci95_pct"]
    assert 0 < low < found["out_of_sample"]["return_pct"] < high
    (one,) = made.choices
    assert not one.told_apart and one.chosen == {"min_edge_bps": defaults.shipped("arbitrage")["min_edge_bps"]}


def test_fee_tiers_are_told_as_they_were_found(tmp_path: Path) -> None:
    (tmp_path / Path(DEPEG_QUOTES).parent).mkdir()
    crossed.minutes(tmp_path / DEPEG_QUOTES)
    (found,), nothing = executable.of_study("arbitrage", tmp_path)
    assert not nothing and [one.paying for one in found.seen] == [1, 1, 2, 3], "10, 7.5, 2.5 bps and nothing"
    shown = evidencetiers.triangles([found])
    best = found.seen[0].best_bps
    assert best == pytest.approx((1.005 * 0.999**3 - 1) * 1e4, abs=0.05)
    assert f"| 10 bps | 1 of 20 | {best:.2f} bps | none begun |" in shown, "as shipped it is still in shadow"
    eager = found.played[1].tiers
    assert [tier.begun for tier in eager] == [1, 1, 2, 3] and all(tier.done == tier.begun for tier in eager)
    assert f"1 begun, 1 through, 0 turned back, 0 missed: +${eager[0].net_usd:.2f}" in shown
    assert all(tier.net_usd <= 0 for tier in found.played[2].tiers), "a minute later it is gone"


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
