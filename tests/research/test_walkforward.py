"""The walk: repeatable, blind to later data, and neither fooled by noise nor blind to an edge."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import planted
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from engine.contracts.errors import BadInput
from engine.core.strategies import table
from engine.research import dossier
from engine.research.folds import DAY_NS, Cut
from engine.research.overfitting import prove
from engine.research.search import Data, Workers, best, first_of_equals, parse_grid, trials_of
from engine.research.stretch import Terms
from engine.research.walkforward import Plan, join, mean_ranks, place_of_defaults, walk

GRID = {"fast": [6.0, 24.0], "slow": [48.0, 96.0]}
CUT = Cut(folds=2, train_days=12, test_days=6, warm_days=2)


def plan(file: Path, **changes: object) -> Plan:
    plain = Plan(strategy="crossover", data=Data(paths=(file,)), grid=GRID, terms=Terms(strategies={}), cut=CUT)
    return msgspec.structs.replace(plain, **changes)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.noisy(tmp_path_factory.mktemp("noise") / "noise.parquet", days=34)


def documents(one: Plan, folder: Path, workers: int) -> tuple[bytes, bytes]:
    with Workers(one.data, workers) as pool:
        files = dossier.write(folder, dossier.compile_dossier(one, pool))
    return files[0].read_bytes(), files[1].read_bytes()


def test_two_workers_write_the_same_bytes_as_one(noise: Path, tmp_path: Path) -> None:
    alone = documents(plan(noise), tmp_path / "one", 1)
    assert documents(plan(noise), tmp_path / "two", 2) == alone
    table = pq.read_table(tmp_path / "one" / dossier.TABLE_NAME)
    assert table.num_rows == 4 * (1 + CUT.folds), "every trial on the whole market and on every training stretch"
    assert set(table.column("seed").to_pylist()) == {7}
    assert table.filter(pc.field("chosen")).num_rows == CUT.folds


def test_later_data_changes_no_earlier_fold(noise: Path, tmp_path: Path) -> None:
    whole = pq.read_table(noise)
    end = planted.START_MS + round((CUT.warm_days + 12 + 1 + 6) * DAY_NS / 1e6)
    shorter = tmp_path / "shorter.parquet"
    pq.write_table(whole.filter(pc.less(whole["ts"], pc.cast(end, whole["ts"].type))), shorter)
    long, short = plan(noise), plan(shorter, cut=msgspec.structs.replace(CUT, folds=1))
    with Workers(long.data) as a, Workers(short.data) as b:
        first, only = walk(long, a), walk(short, b)
    assert first.folds[0] == only.folds[0]
    assert np.array_equal(first.outcomes[0].usd, only.outcomes[0].usd)
    assert [t.figures for t in first.trials if t.fold == 1] == [t.figures for t in only.trials if t.fold == 1]


def test_an_edge_that_was_planted_is_found(tmp_path: Path) -> None:
    file = planted.swinging(tmp_path / "swinging.parquet")
    one = plan(file, cut=Cut(folds=3, train_days=14, warm_days=2))
    with Workers(one.data) as pool:
        found = dossier.compile_dossier(one, pool)
    proof = found.walk.proof
    assert proof.shown and proof.sentence.startswith("The evidence favours an edge")
    assert proof.deflated is not None and proof.deflated > 0.99
    assert found.yardsticks.random_better is not None and found.yardsticks.random_better < 0.01
    assert proof.spa_cash is not None and proof.spa_cash < 0.05


def test_noise_shows_no_edge(noise: Path) -> None:
    one = plan(noise)
    with Workers(one.data) as pool:
        found = walk(one, pool)
    assert not found.proof.shown and found.proof.sentence.startswith("No evidence of edge")


def test_two_hundred_noisy_trials_are_seen_through() -> None:
    overfit, deflated = [], []
    for seed in range(10):
        trials = np.random.default_rng(seed).normal(0.0, 0.01, (60, 200))
        inside = trials[:, np.argmax(trials.mean(axis=0) / trials.std(axis=0))]
        proof = prove(inside, trials, seed=seed)
        assert proof.probabilistic is not None and proof.probabilistic > 0.97, "taken for itself it looks like skill"
        assert not proof.shown
        overfit.append(proof.pbo or 0.0)
        deflated.append(proof.deflated or 0.0)
    assert np.mean(overfit) == pytest.approx(0.5, abs=0.15)
    assert max(deflated) < 0.95


def test_trials_tried_elsewhere_count() -> None:
    generator = np.random.default_rng(3)
    trials = generator.normal(0.001, 0.01, (200, 5))
    few, many = prove(trials[:, 0], trials), prove(trials[:, 0], trials, tried_before=1000)
    assert (few.trials, many.trials) == (5, 1005)
    assert few.deflated is not None and many.deflated is not None and many.deflated < few.deflated
    assert few.probabilistic == many.probabilistic


def test_a_grid_leaves_out_what_the_strategy_forbids() -> None:
    found = trials_of("crossover", {"fast": [10.0, 50.0], "slow": [40.0, 60.0]}, {"stop_pct": 3.0})
    assert found == [
        {"stop_pct": 3.0, "fast": 10.0, "slow": 40.0},
        {"stop_pct": 3.0, "fast": 10.0, "slow": 60.0},
        {"stop_pct": 3.0, "fast": 50.0, "slow": 60.0},
    ]


@pytest.mark.parametrize(
    ("strategy", "pairs", "fault"),
    [
        ("crossover", ["fast=1,x"], "NAME=A,B"), ("crossover", ["fast=1", "fast=2"], "once"),
        ("nothing", [], "unknown"), ("crossover", ["fats=1"], "did you mean .fast."),
        ("crossover", ["fast=0"], "outside"),
        ("crossover", ["fast=90", "slow=50"], "no combination"),
    ],
)  # fmt: skip
def test_what_is_no_grid_is_refused(strategy: str, pairs: list[str], fault: str) -> None:
    with pytest.raises(BadInput, match=fault):
        trials_of(strategy, parse_grid(pairs), {})


def test_the_best_and_the_steadiest() -> None:
    assert best([-1.0, None, -2.0]) == 1, "doing nothing beats losing"
    assert best([0.5, 0.7, 0.7]) == 1, "the first of equals"
    assert best([0.0, None, -1.0], shipped=1) == 1, "of equals what ships stays"
    assert best([0.5, 0.1], shipped=1) == 0, "and goes where another is better"
    ranks = mean_ranks([[3.0, 2.0, 0.0], [0.0, 2.0, 3.0], [0.0, 2.0, 1.0]])
    assert first_of_equals(ranks, 0) == first_of_equals(ranks, None) == 1
    assert first_of_equals(mean_ranks([[0.0, None], [None, 0.0]]), 1) == 1, "nothing is told apart"


def test_the_place_of_what_ships(tmp_path: Path) -> None:
    defaults = next(row for row in table.STRATEGIES if row.name == "crossover").resolve({})
    here = {name: defaults[name] for name in ("fast", "slow")}
    assert place_of_defaults(plan(tmp_path / "none"), [{"fast": 3.0, "slow": 5.0}, here]) == 1
    assert place_of_defaults(plan(tmp_path / "none"), [{"fast": 3.0, "slow": 5.0}]) is None
    fixed = plan(tmp_path / "none", fixed={"stop_pct": 9.0})
    assert place_of_defaults(fixed, [here | {"stop_pct": 9.0}]) == 0, "what is fixed is not for the grid to choose"


def test_growth_is_chained(noise: Path) -> None:
    one = plan(noise)
    with Workers(one.data) as pool:
        outcomes = walk(one, pool).outcomes
    joined = join(outcomes)
    assert (np.diff(joined.ts_ns) > 0).all()
    product = np.prod([o.usd[-1] / o.usd[0] for o in outcomes])
    assert joined.usd[-1] == pytest.approx(outcomes[0].usd[0] * product)
