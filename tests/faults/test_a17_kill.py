"""A17: `kill -9` at any instant, again and again on the same accounts. No order is lost or sent twice, no position is
left without a stop, the books agree to the last unit, and it trades on. See `kills/` for what a seed stands for, and
`test_a17_legs.py` for cycles of arbitrage.

`KILL_SEEDS=200 KILL_FROM=4000 make soak` chooses others than 0 to 999; a failure prints the command that repeats it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "kills"))
from fates import LIVES, RUNNING, STARTUP, fate_of  # noqa: E402
from grounds import symbols_of, wide_floor  # noqa: E402
from killing import kill  # noqa: E402
from lines import Broken, Ledger, Line, crossover  # noqa: E402
from market import Walk  # noqa: E402
from zygotes import Zygote  # noqa: E402

FEW = (*range(8), *range(LIVES, LIVES + 8))
"""Two lines of eight lives, side by side."""
SEEDS = int(os.environ.get("KILL_SEEDS", "1000"))
FROM = int(os.environ.get("KILL_FROM", "0")) // LIVES * LIVES


def test_a17_killed_at_any_instant(tmp_path: Path) -> None:
    report = kill(FEW, tmp_path, workers=2)
    print(f"seeds {FEW}\n{report.words()}")
    assert not report.failures, report.words()
    assert len(report.ended) == len(FEW)
    assert report.totals["placed"] > 0 and report.totals["fills"] > 0, "it trades"
    assert any(one.by_hook for one in report.ended) and any(one.ready_s is not None for one in report.ended)


@pytest.mark.soak
def test_a17_killed_a_thousand_times(tmp_path: Path) -> None:
    report = kill(range(FROM, FROM + SEEDS), tmp_path, workers=2)
    print(f"\nseeds {FROM}-{FROM + SEEDS - 1}\n{report.words()}")
    assert not report.failures, report.words()
    assert len(report.ended) == SEEDS


def test_every_instruction_is_some_seeds_fate() -> None:
    hooks = {fate_of(seed).hook for seed in range(1000)}
    assert hooks == {*STARTUP, *RUNNING, "startup", "running"}


def test_what_is_in_no_journal_would_be_seen(tmp_path: Path) -> None:
    """An order under our ids that no journal has, and coins that nobody bought."""
    floor = wide_floor(tmp_path, 1, 1)
    zygote = Zygote(tmp_path)
    spots, perps = symbols_of(0)
    line = Line(floor, zygote, Walk(floor, spots + perps, 0, 0.25), tmp_path, 0, spots, perps, crossover(False))
    try:
        line.live(fate_of(3))
        line.close()
        order = {"symbol": spots[0].replace("/", ""), "newClientOrderId": "k0-123456", "quantity": "0.5"}
        assert floor.order("BUY", "MARKET", **order)[0] == 200
        with pytest.raises(Broken, match="in no journal: ..k0-123456"):
            Ledger(line).judge()
    finally:
        zygote.close()
        floor.stop()
