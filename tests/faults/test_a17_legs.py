"""A17 for triangles: `kill -9` at any instruction of a leg's life, and between legs, while the market goes on. No leg
is lost or sent twice, pots agree with the venue to the last unit, and what was half bought is sold by the next life,
with its own bound. What a kill inside a cycle may cost is not bounded: `kills/cycling.py` says what holds all the same.

`KILL_SEEDS=100 KILL_FROM=4000 make soak` chooses others than 0 to 299; a failure prints the command that repeats it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "kills"))
import lines  # noqa: E402
from cycling import Cycles, Cycling  # noqa: E402
from fates import (  # noqa: E402
    BACK,
    FILES,
    FROM_OUTSIDE,
    LEG_LIVES,
    LEGS,
    STARTUP,
    TOLD,
    TROUBLES,
    Fate,
    leg_fate_of,
)
from grounds import GROUNDS  # noqa: E402
from killing import Report, kill  # noqa: E402
from zygotes import Zygote  # noqa: E402

from engine.contracts import records as r  # noqa: E402

FEW = range(2 * LEG_LIVES)
"""Two lines of eight lives, side by side."""
SEEDS = int(os.environ.get("KILL_SEEDS", "300"))
FROM = int(os.environ.get("KILL_FROM", "0")) // LEG_LIVES * LEG_LIVES


def check(report: Report, seeds: range) -> None:
    print(f"\nseeds {seeds[0]}-{seeds[-1]}\n{report.words()}")
    assert not report.failures, report.words()
    assert len(report.ended) == len(seeds)
    totals = report.totals
    assert totals["won"] > 0 and totals["cut"] > 0, "cycles end well, and others are cut by a kill"
    assert totals["half done at a start"] >= totals["cut"]


def test_a17_killed_on_any_leg(tmp_path: Path) -> None:
    check(kill(FEW, tmp_path, strategy="arbitrage"), FEW)


@pytest.mark.soak
def test_a17_killed_on_any_leg_hundreds_of_times(tmp_path: Path) -> None:
    seeds = range(FROM, FROM + SEEDS)
    check(kill(seeds, tmp_path, strategy="arbitrage"), seeds)


def test_every_instruction_of_a_leg_is_some_seeds_fate() -> None:
    fates = [leg_fate_of(seed) for seed in range(1000)]
    assert {fate.hook for fate in fates} == {*FROM_OUTSIDE, *STARTUP, *LEGS, *TOLD, *BACK, *FILES, "amid"}
    legs = {(fate.hook, fate.count) for fate in fates if fate.hook in LEGS}
    assert legs == {(hook, leg) for hook in LEGS for leg in (1, 2, 3)}
    assert {fate.trouble for fate in fates} == {"", *TROUBLES}


def test_a_cycle_that_lost_or_left_too_much_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals that say so, and coins that nobody bought."""
    zygote = Zygote(tmp_path)
    try:
        with GROUNDS["arbitrage"].open(tmp_path, 1, 1) as made, made(zygote, 0, 0) as line:
            assert isinstance(line, Cycling)
            line.live(Fate(seed=0, hook="end journalled", count=1, after_s=0, while_dead="nothing", patience_s=20))
            assert line.close()["cycles"] > 0
            told = Cycles(line)
            ended = (told.records["kind"] == r.CYCLE) & (told.records["amount_e8"] > 0)
            told.records["realised_e9"][ended] = -20_000_000
            with pytest.raises(lines.Broken, match="it lost more than its bound"):
                told.judge()
            told = Cycles(line)
            sales = (told.records["kind"] == r.FILL) & (told.records["side"] < 0)
            told.records["qty_lots"][sales] //= 2
            with pytest.raises(lines.Broken, match="behind"):
                told.judge()
            line.floor.tell("/deposit", {"account": 0, "asset": "BTC", "amount": "0.00002"})
            monkeypatch.setattr(lines, "AGREE_S", 1.0)
            with pytest.raises(lines.Broken, match="BTC: the engine has .* the venue"):
                line.live(Fate(seed=1, hook="running", count=1, after_s=0, while_dead="nothing"))
    finally:
        zygote.close()
