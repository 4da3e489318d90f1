"""A backtest from files to results: repeatable, resumable, replayable, and blind to the future."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from engine.contracts.errors import BadInput, DamagedJournal, Fatal
from engine.contracts.ledger import OrderRow
from engine.contracts.records import ENTRY, FILL, PLACE, joined
from engine.core import state
from engine.core.compile import source_digest
from engine.core.limits import Limits
from engine.journal import manifest as manifests
from engine.journal import segments, snapshots
from engine.markets.market import open_market
from engine.markets.synthetic import synthesize
from engine.research import archive
from engine.research.backtest import BacktestRequest, BacktestResult, run
from engine.research.replay import replay
from engine.research.session import Session
from engine.simulation.venue import SimulationModel

DAYS = 40
SLICE = {"momentum": {}, "crossover": {"fast": 12.0, "slow": 48.0}}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("market") / "synthetic.parquet", seed=11, days=DAYS)


@pytest.fixture(scope="module")
def finished(market: Path, tmp_path_factory: pytest.TempPathFactory) -> BacktestResult:
    return run(BacktestRequest(strategy="momentum", data=[market], home=tmp_path_factory.mktemp("home")))


def session(market: Path, entries: list[np.ndarray[Any, Any]]) -> Session:
    return Session(
        open_market([market]),
        strategies=SLICE,
        capital_usd=1000.0,
        limits=Limits(),
        simulation=SimulationModel(),
        timeframes_s=(300, 900, 3600),
        sinks=[entries.append],
    )


def test_a_run_made_again_is_the_same_to_the_byte(market: Path, finished: BacktestResult, tmp_path: Path) -> None:
    again = run(BacktestRequest(strategy="momentum", data=[market], home=tmp_path))
    assert again.manifest.digest == finished.manifest.digest
    assert again.ledger == finished.ledger
    assert finished.ledger.trades, "a market without a single trade proves nothing"


def test_replay_recomputes_commands_and_state(finished: BacktestResult) -> None:
    result = replay(finished.run_dir)
    assert result.ok
    assert (result.digest, result.first_difference, result.torn_bytes) == (finished.manifest.digest, None, 0)
    assert result.events == finished.manifest.events


def test_replay_shows_the_first_entry_that_differs(market: Path, tmp_path: Path) -> None:
    done = run(BacktestRequest(strategy="momentum", data=[market], home=tmp_path))
    entries = joined(list(segments.read(done.run_dir)))
    wanted = int(np.flatnonzero(entries["record"]["kind"] == PLACE)[0])
    entries["record"]["qty_lots"][wanted] += 1
    for file in (done.run_dir / segments.FOLDER).glob("*.keel"):
        file.unlink()
    with segments.JournalWriter(done.run_dir) as journal:
        journal.append(entries)
    result = replay(done.run_dir)
    assert result.first_difference is not None
    assert result.first_difference["entry"] == wanted
    journalled, made = result.first_difference["journalled"], result.first_difference["recomputed"]
    assert journalled["qty_lots"] == made["qty_lots"] + 1


def test_a_torn_tail_is_cut_made_again_and_said(market: Path, tmp_path: Path) -> None:
    done = run(BacktestRequest(strategy="momentum", data=[market], home=tmp_path))
    last = sorted((done.run_dir / segments.FOLDER).glob("*.keel"))[-1]
    last.write_bytes(last.read_bytes()[:-100])
    result = replay(done.run_dir)
    assert result.torn_bytes > 0
    assert result.remade >= 0
    assert result.first_difference is None or result.first_difference["entry"] > 0


def test_a_report_refuses_a_journal_that_lost_its_end(finished: BacktestResult, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.run_dir, copy)
    assert archive.reopen(copy).ledger == finished.ledger
    last = sorted((copy / segments.FOLDER).glob("*.keel"))[-1]
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(Fatal, match=r"copy: the end of the journal is missing: .* hold no whole frame.*replay"):
        archive.reopen(copy)
    segments.recover(copy)
    with pytest.raises(Fatal, match="without its closing mark"):
        archive.reopen(copy)
    with segments.JournalWriter(copy, resume=True):
        pass
    with pytest.raises(Fatal, match=r"ends at event \d+, the run had \d+"):
        archive.reopen(copy)


def test_damage_is_refused_by_segment_and_offset(market: Path, tmp_path: Path) -> None:
    done = run(BacktestRequest(strategy="momentum", data=[market], home=tmp_path))
    first = sorted((done.run_dir / segments.FOLDER).glob("*.keel"))[0]
    data = bytearray(first.read_bytes())
    data[200] ^= 1
    first.write_bytes(bytes(data))
    with pytest.raises(DamagedJournal, match=r"000000\.keel"):
        replay(done.run_dir)


def test_changed_market_data_refuses_to_replay(tmp_path: Path) -> None:
    file = synthesize(tmp_path / "market.parquet", seed=3, days=3)
    done = run(BacktestRequest(strategy="crossover", data=[file], home=tmp_path))
    synthesize(file, seed=4, days=3)
    with pytest.raises(Fatal, match=r"market\.parquet is not the file"):
        replay(done.run_dir)


def test_runs_are_found_by_id_beginning_and_age_those_of_the_demo_too(tmp_path: Path) -> None:
    for folder in ("runs/20250101-a", "runs/20250103-b", "demo/runs/20250102-c"):
        (tmp_path / folder).mkdir(parents=True)
    assert archive.find(tmp_path, "latest") == tmp_path / "runs/20250103-b"
    assert archive.find(tmp_path, "20250102") == tmp_path / "demo/runs/20250102-c"
    (tmp_path / "demo/runs/20250104-d").mkdir()
    assert archive.find(tmp_path, "latest") == tmp_path / "demo/runs/20250104-d"
    with pytest.raises(BadInput, match="fits 20250101-a, .*write more of it"):
        archive.find(tmp_path, "2025")
    with pytest.raises(BadInput, match="holds none yet"):
        archive.find(tmp_path / "absent", "latest")


def test_an_unfinished_run_is_refused(finished: BacktestResult, tmp_path: Path) -> None:
    unfinished = msgspec.structs.replace(finished.manifest, digest="")
    manifests.write(tmp_path, unfinished)
    with pytest.raises(Fatal, match="never finished.*run the backtest again"):
        replay(tmp_path)
    manifests.write(tmp_path, msgspec.structs.replace(unfinished, world="live"))
    for look in (replay, archive.reopen):
        with pytest.raises(Fatal, match="never finished.*trading-cli down ends it"):
            look(tmp_path)


def test_cut_saved_to_disk_and_resumed_is_the_same_run(market: Path, tmp_path: Path) -> None:
    whole: list[np.ndarray[Any, Any]] = []
    straight = session(market, whole)
    straight.run()
    parts: list[np.ndarray[Any, Any]] = []
    meta = {"code": source_digest()}
    live = session(market, parts)
    for cut in (1, 2, 131_072, 200_001, straight.events - 3):
        assert not live.run(until_seq=cut)
        path = snapshots.save(tmp_path, live.events, live.save(), meta)
        live = session(market, parts)  # as after a crash: nothing but the disk is left
        live.restore(snapshots.load(path, meta).parts)  # type: ignore[arg-type]
    assert live.run()
    assert joined(parts).tobytes() == joined(whole).tobytes()
    assert state.digest(live.core) == state.digest(straight.core)
    assert len(joined(whole)) > 100


def wanted_before(result: BacktestResult, then: int) -> list[OrderRow]:
    """Orders placed before `then` as they were wanted; what became of them may be known only later."""
    fate = {"status": "", "filled_qty": 0, "refusal": "", "done_ts_ns": 0}
    return [msgspec.structs.replace(o, **fate) for o in result.ledger.orders if o.ts_ns < then]


def test_the_future_changes_nothing_before_it(market: Path, finished: BacktestResult, tmp_path: Path) -> None:
    """Truncation through the front door: the same file cut at a moment gives the same orders up to it."""
    table = pq.read_table(market)
    stamps = table["ts"]
    first = pc.min(stamps).as_py()
    cut = first + (pc.max(stamps).as_py() - first) * 3 / 5
    short = tmp_path / "short.parquet"
    pq.write_table(table.filter(pc.less(stamps, cut)), short)
    request = BacktestRequest(strategy="momentum", data=[short], home=tmp_path, symbols=None)
    early = run(request)
    then = int(cut.timestamp() * 1e9) - 3_600_000_000_000
    before = wanted_before(finished, then)
    assert before == wanted_before(early, then)
    assert [f for f in finished.ledger.fills if f.ts_ns < then] == [f for f in early.ledger.fills if f.ts_ns < then]
    assert len(before) > 5
    window = run(BacktestRequest(strategy="momentum", data=[market], home=tmp_path, to_ns=int(cut.timestamp() * 1e9)))
    assert wanted_before(window, then) == before


def test_one_symbol_on_two_venues_is_told_apart(tmp_path: Path) -> None:
    whole = pq.read_table(synthesize(tmp_path / "one.parquet", seed=3, days=3))
    one = whole.filter(pc.equal(whole["symbol"], whole["symbol"][0]))
    other = one.set_column(0, "venue", pa.array(["elsewhere"] * one.num_rows))
    for name in ("open", "high", "low", "close"):
        doubled = pc.multiply(other[name], 2.0)
        other = other.set_column(other.schema.get_field_index(name), name, doubled)
    pq.write_table(pa.concat_tables([one, other.cast(one.schema)]), tmp_path / "two.parquet")
    done = run(BacktestRequest(strategy="crossover", data=[tmp_path / "two.parquet"], home=tmp_path))
    assert done.manifest.symbols == sorted(done.closes) and len(done.closes) == 2
    here, there = (done.closes[name][1] for name in done.manifest.symbols)
    assert there / here == pytest.approx(2.0) or here / there == pytest.approx(2.0)
    assert archive.reopen(done.run_dir).metrics == done.metrics


def test_nothing_fills_on_the_event_that_caused_it(finished: BacktestResult) -> None:
    entries: np.ndarray[Any, Any] = joined(list(segments.read(finished.run_dir)), ENTRY)
    kinds = entries["record"]["kind"]
    placed = {int(e["record"]["client_id"]): e for e in entries[kinds == PLACE]}
    fills = entries[kinds == FILL]
    assert len(fills) > 5
    latency = int(finished.manifest.simulation["order_latency_ms"] * 1e6)
    for fill in fills:
        order = placed[int(fill["record"]["client_id"])]
        assert fill["seq"] > order["seq"]
        assert fill["record"]["venue_ts_ns"] >= order["record"]["ts_ns"] + latency


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"strategy": "momentun"}, "unknown strategy 'momentun'"),
        ({"params": {"stop_at": 1.0}}, "did you mean 'stop_atr'"),
        ({"params": {"stop_atr": 99.0}}, "momentum.stop_atr = 99.0 is outside"),
        ({"params": {"universe": 1.5}}, "must be a whole number"),
        ({"capital_usd": float("nan")}, "capital_usd"),
        ({"timeframes_s": (300, 60, 900)}, "timeframes_s"),
        ({"symbols": ["NOPE/USDT"]}, "NOPE/USDT"),
    ],
)
def test_bad_requests_name_the_field(market: Path, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    given = {"strategy": "momentum", "data": [market], "home": tmp_path} | change
    with pytest.raises(BadInput, match=said):
        run(BacktestRequest(**given))
    assert not [p for p in tmp_path.glob("runs/*") if manifests.read(p).digest]
