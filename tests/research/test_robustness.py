"""Luck, stress and size: what is shuffled keeps its sum, what is dearer costs more, what is larger scales."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import planted
import pytest
from hypothesis import given
from hypothesis import strategies as hs
from rich.console import Console

from engine.contracts.errors import BadInput
from engine.core.limits import BOUNDS, Limits
from engine.research import dossier, robustness, yardsticks
from engine.research.folds import Cut
from engine.research.optimizing import search
from engine.research.report.walkpage import page
from engine.research.report.walkterminal import print_search, print_walk
from engine.research.search import Data, Workers
from engine.research.stretch import Terms, play
from engine.research.walkforward import Plan, Walk, walk


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Workers:
    file = planted.swinging(tmp_path_factory.mktemp("market") / "market.parquet", days=30)
    return Workers(Data(paths=(file,)))


@pytest.fixture(scope="module")
def walked(pool: Workers) -> Walk:
    plan = Plan(
        strategy="crossover", data=Data(paths=()), grid={"fast": [12.0, 24.0], "slow": [96.0]},
        terms=Terms(strategies={}), cut=Cut(folds=2, train_days=10, test_days=6, warm_days=2),
    )  # fmt: skip
    return walk(plan, pool)


@given(hs.lists(hs.floats(-20, 20), min_size=2, max_size=40), hs.integers(0, 9))
def test_a_shuffled_account_ends_where_it_would(nets: list[float], seed: int) -> None:
    falls, drawn = robustness.shuffled(np.array(nets), 1000.0, seed, 50)
    assert (falls <= 0.0).all()
    assert falls.min() >= -100.0 * sum(abs(min(net, 0.0)) for net in nets) / min(1000.0, 1000.0 + sum(nets)) - 1e-9
    low, high = min(nets) * len(nets) / 10, max(nets) * len(nets) / 10
    assert (drawn >= low - 1e-9).all() and (drawn <= high + 1e-9).all()
    again = robustness.shuffled(np.array(nets), 1000.0, seed, 50)
    assert np.array_equal(again[0], falls) and np.array_equal(again[1], drawn)


def test_an_order_of_trades_found_by_hand() -> None:
    falls, _ = robustness.shuffled(np.array([100.0, -100.0]), 1000.0, 1, 400)
    assert set(np.round(falls, 6)) == {round(-100 / 1100 * 100, 6), -10.0}


def test_stress_costs_and_no_stress_changes_nothing(walked: Walk, pool: Workers) -> None:
    timed = msgspec.structs.replace(walked.plan, late_s=(0.0, float(walked.plan.terms.timeframes_s[0])))
    changed = msgspec.structs.replace(walked, plan=timed)
    found = robustness.stress(changed, pool, fees=(1.0, 3.0), slippage_bps=(0.0,))
    plain, late, dear, _ = found
    assert plain.return_pct == yardsticks.growth_pct(walked.outside)
    assert plain.trades == sum(len(one.trades) for one in walked.outcomes) > 10
    assert dear.return_pct < plain.return_pct and dear.fees_usd > 2 * plain.fees_usd
    assert late.change["late_s"] == walked.plan.terms.timeframes_s[0] and late.return_pct != plain.return_pct


def test_takers_that_fare_worse_cost(walked: Walk, pool: Workers) -> None:
    timed = msgspec.structs.replace(walked, plan=msgspec.structs.replace(walked.plan, late_s=(0.0,)))
    plain, worse, worst = robustness.stress(timed, pool, fees=(1.0,), slippage_bps=(0.0, 2.0, 4.0))
    assert worst.return_pct < worse.return_pct < plain.return_pct and worst.trades > 10
    free = msgspec.structs.replace(timed.plan.terms, fee_factor=0.0)
    unpaid = msgspec.structs.replace(timed, plan=msgspec.structs.replace(timed.plan, terms=free))
    assert [one.change["fees"] for one in robustness.stress(unpaid, pool, slippage_bps=(0.0,))] == [1.0]


def test_lateness_is_of_the_bars_or_as_the_plan_says(walked: Walk) -> None:
    base = walked.plan.terms.timeframes_s[0]
    assert robustness.late_s(walked.plan) == (0.0, 0.2 * base, base)
    assert robustness.late_s(msgspec.structs.replace(walked.plan, late_s=(0.0, 0.5))) == (0.0, 0.5)


def test_what_is_heard_late_is_traded_late(walked: Walk, pool: Workers) -> None:
    result, terms = (
        walked.folds[0],
        msgspec.structs.replace(walked.plan.terms, strategies={"crossover": walked.folds[0].params}),
    )
    plain = play(pool.market, result.fold.test, terms)
    late = play(pool.market, result.fold.test, msgspec.structs.replace(terms, late_s=300.0))
    apart = late.trades["opened_ns"][0] - plain.trades["opened_ns"][0]
    assert apart == pytest.approx(300e9, abs=1e9)


def test_a_larger_account_trades_as_much_larger(walked: Walk, pool: Workers) -> None:
    one, ten = robustness.capacity(walked, pool, factors=(1.0, 10.0))
    assert one.return_pct == yardsticks.growth_pct(walked.outside)
    assert ten.fees_usd > 3 * one.fees_usd


@given(hs.floats(1.0, 1e9))
def test_scaled_limits_keep_their_bounds_and_shares(factor: float) -> None:
    scaled = robustness.scaled_limits(Limits(), factor)
    for name, (_, _, high, _, _) in BOUNDS.items():
        money = name.endswith("_usd")
        assert getattr(scaled, name) == (
            min(getattr(Limits(), name) * factor, high) if money else getattr(Limits(), name)
        )


def test_a_dossier_is_printed_and_drawn(walked: Walk, pool: Workers, tmp_path: Path) -> None:
    found = dossier.compile_dossier(walked.plan, pool, robust=True)
    console = Console(width=80, record=True, file=(tmp_path / "out.txt").open("w"))
    print_walk(console, found)
    text = console.export_text()
    assert found.walk.proof.sentence.split("(")[0].strip() in " ".join(text.replace("│", "").split())
    assert "fees × 1.5, late 60 s, takers 5 bps worse" in text and "× 100" in text
    html = page(found)
    assert '"name":"In sample, chosen"' in html and '"color":"--faint"' in html
    assert "Same trades at random" in html and "http://" not in html.split("<script>")[0]


def test_a_search_names_its_winner_beside_its_deflation(walked: Walk, pool: Workers, tmp_path: Path) -> None:
    found = search(walked.plan, pool)
    assert found.judged and found.trials == 2 and found.winner.params in [one.params for one in found.leaders]
    console = Console(width=100, record=True, file=(tmp_path / "out.txt").open("w"))
    print_search(console, found)
    assert "deflated for 2 trials" in console.export_text()


def test_a_search_without_trades_has_no_winner(walked: Walk, pool: Workers) -> None:
    dead = msgspec.structs.replace(walked.plan, fixed={"notional_usd": 1.0}, grid={"fast": [12.0, 24.0]})
    found = search(dead, pool)
    assert not found.judged and found.why


def test_no_worker_is_refused() -> None:
    with pytest.raises(BadInput, match="workers"):
        Workers(Data(paths=()), 0)
