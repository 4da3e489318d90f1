"""What a run knew when it ended: from its journal alone, from snapshots and what came after them, or not at all."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.contracts.errors import DamagedJournal, Fatal
from engine.contracts.instruments import Instrument
from engine.contracts.reasons import OPERATOR_PAUSE
from engine.contracts.records import NO_INSTRUMENT, OPERATOR, QUOTE, RECORD
from engine.contracts.runs import Manifest
from engine.core import replay as kernels
from engine.core import state
from engine.core.carrying import parts_of
from engine.core.compile import DISABLED, source_digest
from engine.core.limits import Limits
from engine.core.live import FINISHED, LiveCore, new_lane, put
from engine.journal import manifest as manifests
from engine.journal import recovery, snapshots
from engine.journal.recovery import last_run, recover_run
from engine.journal.segments import JournalWriter
from engine.runtime.compiling import ENTRIES

START_NS = 1_735_736_400_000_000_000
COIN = Instrument(
    symbol="AXO/USDT", venue="test", base="AXO", quote="USDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.01"),
    min_qty=Decimal("0.01"), max_qty=Decimal(1000),
)  # fmt: skip


class Life:
    """A run that is written as the live engine writes it: a frame for every turn."""

    def __init__(self, home: Path, run_id: str = "20250101-000000-000000-paper", **manifest: str) -> None:
        self.core = state.new_core([COIN], Limits(), 1_000.0, {"crossover": {}}, (1, 3, 9))
        self.run_dir = home / "runs" / run_id
        self.run_dir.mkdir(parents=True)
        made = Manifest(
            run_id=run_id, created="", world="paper", strategies={"crossover": {}}, instruments=[COIN],
            capital_usd=1_000.0, limits=msgspec.to_builtins(Limits()), simulation={}, timeframes_s=[1, 3, 9],
            sources=[], symbols=[COIN.symbol], from_ns=0, to_ns=0, grade="tick-grade", simulated=True, synthetic=True,
            code=source_digest(), order_prefix="k1",
        )  # fmt: skip
        manifests.write(self.run_dir, msgspec.structs.replace(made, **manifest))
        self.writer = JournalWriter(self.run_dir)
        self._live = LiveCore(self.core)
        self._now_ns = START_NS

    def turns(self, count: int) -> Life:
        """So many quotes, each in a turn of its own."""
        for _ in range(count):
            self._now_ns += 100_000_000
            event = np.zeros(1, RECORD)
            event["kind"], event["ts_ns"], event["venue_ts_ns"] = QUOTE, self._now_ns, self._now_ns
            event["bid_ticks"], event["bid_lots"], event["ask_lots"] = 10_000 + self._now_ns // 10**8 % 7, 500, 500
            event["ask_ticks"] = event["bid_ticks"] + 2
            self.take(event)
        return self

    def take(self, event: np.ndarray) -> None:
        lane = new_lane(1)
        put(lane, event)
        assert self._live.take(lane) == FINISHED
        self.writer.append(self._live.spooled())
        self._live.clear()

    def pause(self) -> Life:
        event = np.zeros(1, RECORD)
        event["kind"], event["instrument"], event["reason"] = OPERATOR, NO_INSTRUMENT, OPERATOR_PAUSE
        event["ts_ns"] = self._now_ns
        self.take(event)
        return self

    def save(self) -> Path:
        seq = int(self.core.state.head[0].seq)
        return recovery.save(self.run_dir, dict(parts_of(self.core)), seq, self.writer.segment)

    def end(self) -> Path:
        self.writer.close()
        return self.run_dir


def test_from_the_journal_alone(tmp_path: Path) -> None:
    life = Life(tmp_path).turns(30).pause()
    found = recover_run(life.end())
    assert state.digest(found.core) == state.digest(life.core)
    assert (found.events, found.snapshot_seq, found.notes) == (31, -1, ())


def test_from_the_newest_snapshot_and_what_came_after_it(tmp_path: Path) -> None:
    life = Life(tmp_path).turns(10)
    life.save()
    life.turns(5)
    path = life.save()
    life.turns(4).pause()
    found = recover_run(life.end())
    assert state.digest(found.core) == state.digest(life.core)
    assert (found.events, found.snapshot_seq) == (5, 15) and path.name == f"{15:020d}.snap"


def test_a_snapshot_of_the_last_event_leaves_nothing_to_replay(tmp_path: Path) -> None:
    life = Life(tmp_path).turns(10)
    life.save()
    assert recover_run(life.end()).events == 0


@pytest.mark.skipif(DISABLED, reason="nothing is compiled")
def test_nothing_is_compiled_while_somebody_waits_for_a_run(tmp_path: Path) -> None:
    life = Life(tmp_path).turns(10)
    life.save()
    life.turns(5)
    recovery.compile_recovery(life.core)
    compiled = list(kernels.replay_block.signatures)
    assert recover_run(life.end()).events == 5
    assert kernels.replay_block.signatures == compiled and "replay_block" in ENTRIES


def test_only_the_newest_snapshots_are_kept(tmp_path: Path) -> None:
    life = Life(tmp_path)
    recovery.save_opening(life.run_dir, life.core)
    for _ in range(5):
        life.turns(2).save()
    names = [path.name for path in sorted((life.run_dir / snapshots.FOLDER).glob("*"))]
    assert names == [f"{seq:020d}.snap" for seq in (8, 10)]
    assert snapshots.latest(life.run_dir / recovery.OPENING) is not None, "the opening one is not among them"


def test_a_damaged_snapshot_is_told_and_an_older_one_used(tmp_path: Path) -> None:
    life = Life(tmp_path).turns(10)
    life.save()
    path = life.turns(5).save()
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(bytes(content))
    life.turns(3)
    found = recover_run(life.end())
    assert state.digest(found.core) == state.digest(life.core)
    assert (found.snapshot_seq, found.events) == (10, 8)
    assert len(found.notes) == 1 and str(path) in found.notes[0] and "checksum" in found.notes[0]


def test_a_torn_tail_is_told_and_left_out(tmp_path: Path) -> None:
    life = Life(tmp_path).turns(9)
    before = state.digest(life.core)
    life.turns(1)
    life.writer.abandon()
    path = life.run_dir / "journal" / "000000.keel"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 3)
    found = recover_run(life.run_dir)
    assert state.digest(found.core) == before
    assert "hold no whole frame" in found.notes[0] and "000000.keel" in found.notes[0]


def test_a_damaged_journal_is_refused_although_a_snapshot_lies_behind_the_damage(tmp_path: Path) -> None:
    life = Life(tmp_path).turns(10)
    life.save()
    path = life.end() / "journal" / "000000.keel"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedJournal, match=r"000000.keel.*byte \d+"):
        recover_run(life.run_dir)


@pytest.mark.parametrize(("code", "words"), [("", "written by this build"), ("0" * 32, "written by another build")])
def test_what_recomputed_gives_something_else_is_refused(tmp_path: Path, code: str, words: str) -> None:
    life = Life(tmp_path, **({"code": code} if code else {})).turns(3)
    lane = new_lane(1)
    event = np.zeros(1, RECORD)
    event["kind"], event["instrument"], event["reason"], event["ts_ns"] = (
        OPERATOR,
        NO_INSTRUMENT,
        OPERATOR_PAUSE,
        START_NS,
    )
    put(lane, event)
    live = LiveCore(life.core)
    assert live.take(lane) == FINISHED
    entries = live.spooled().copy()
    entries["record"]["value_e9"][1] = 2  # the journal says: halted; a pause only reduces
    life.writer.append(entries)
    with pytest.raises(Fatal, match=rf"event 4, recomputed, gives something else .*\(state\).*{words}.*--fresh"):
        recover_run(life.end())


def test_a_gap_in_the_journal_is_refused(tmp_path: Path) -> None:
    life = Life(tmp_path).turns(3)
    seq = int(life.core.state.head[0].seq)
    life.core.state.head["seq"] = seq + 1  # an event that was never written
    life.turns(2)
    with pytest.raises(Fatal, match="recomputed, gives something else|has no event"):
        recover_run(life.end())


def test_a_snapshot_of_another_run_is_refused(tmp_path: Path) -> None:
    life, other = Life(tmp_path).turns(5), Life(tmp_path, "20250102-000000-000000-paper").turns(6)
    shutil.copytree(other.save().parent, life.run_dir / snapshots.FOLDER)
    with pytest.raises(Fatal, match="belongs to run '20250102-000000-000000-paper', not to this one"):
        recover_run(life.end())


def test_a_run_that_continues_needs_its_opening(tmp_path: Path) -> None:
    life = Life(tmp_path, continues="20241231-000000-000000-paper").turns(3)
    with pytest.raises(Fatal, match="continues run 20241231-000000-000000-paper but its opening snapshot is missing"):
        recover_run(life.end())


def test_the_last_run_of_a_world_is_the_newest_with_a_journal(tmp_path: Path) -> None:
    assert last_run(tmp_path, "paper") is None
    first = Life(tmp_path, "20250101-000000-000000-paper").turns(1).end()
    Life(tmp_path, "20250103-000000-000000-live").turns(1).end()
    begun = tmp_path / "runs" / "20250104-000000-000000-paper"
    begun.mkdir()
    assert last_run(tmp_path, "paper") == first
    shutil.copy(first / manifests.FILE, begun)
    assert last_run(tmp_path, "paper") == first, "it never got as far as a journal"
