"""A seeded mix over one trading engine: killed, cut off, slowed down, lied to, refused, Redis stopped, the disk full,
the clock moved. After every spell all positions have their stops and all books agree; in the end every order and
every fill there is once, in the journals and at the venues.

`CHAOS_SEED=7 .venv/bin/python -m pytest tests/faults/test_chaos.py -s` repeats a seed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "kills"))
from grounds import symbols_of, wide_floor  # noqa: E402
from market import Walk  # noqa: E402
from storms import TROUBLES, Storm  # noqa: E402
from zygotes import Zygote  # noqa: E402

SEED = int(os.environ.get("CHAOS_SEED", "1"))
SECONDS = float(os.environ.get("SECONDS_TO_SOAK", "3600"))
SPELL_S = 2.5
STRIKES_S = (0.05, 0.35)


def chaos(folder: Path, seed: int, spells: int) -> Storm:
    """So many spells of trouble, each with a calm behind it."""
    floor = wide_floor(folder, 1, 1)
    zygote = Zygote(folder)
    spots, perps = symbols_of(0)
    storm = Storm(floor, zygote, Walk(floor, spots + perps, seed, 0.25), folder, 0, spots, perps, seed)
    try:
        storm.begin()
        for _ in range(spells):
            storm.spell(SPELL_S, tuple(TROUBLES), STRIKES_S)
            storm.check()
        totals = storm.end()
    finally:
        zygote.close()
        storm.close()
        floor.stop()
    print(f"\nseed {seed}: {spells} spells, {dict(storm.counts)}, {totals}")
    assert totals["placed"] > 0 and totals["fills"] > 0
    return storm


def test_everything_goes_wrong_at_once(tmp_path: Path) -> None:
    storm = chaos(tmp_path, SEED, 3)
    assert len(storm.counts) >= len(TROUBLES) * 2 // 3, "most of them happened"


@pytest.mark.soak
def test_everything_goes_wrong_for_a_long_time(tmp_path: Path) -> None:
    for seed in range(SEED, SEED + max(int(SECONDS / 2 / (20 * SPELL_S)), 1)):
        chaos(tmp_path / str(seed), seed, 20)
