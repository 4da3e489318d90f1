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
from engine.markets.crosses import synthesize_crosses
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


def test_several_strategies_share_one_account_by_the_selector(market: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"data": [market], "home": tmp_path, "params": SLICE["crossover"]}
    request = BacktestRequest(strategy="crossover", beside={"momentum": {}}, selector={"enabled": 1.0}, **asked)
    done = run(request)
    assert done.manifest.run_id.endswith("-crossover+momentum")
    assert sorted(done.manifest.strategies) == done.metrics.strategies == ["crossover", "momentum"]
    assert done.manifest.selector["enabled"] == 1.0 and done.manifest.selector["tier2_cap"] == 0.7
    came = {one.key: one for one in done.metrics.by_strategy}
    assert set(came) == {"crossover", "momentum"} and all(one.trades for one in came.values())
    assert sum(one.net_usd for one in came.values()) == pytest.approx(done.metrics.net_pnl_usd)
    assert done.ledger.selections and done.metrics.balances
    assert replay(done.run_dir).digest == done.manifest.digest
    alone = run(BacktestRequest(strategy="crossover", selector={"enabled": 1.0}, **asked))
    assert alone.manifest.selector == {} and not alone.ledger.selections, "there is nothing to choose between"


def test_a_strategy_beside_that_there_is_not_is_refused(market: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="unknown strategy 'astrology'"):
        run(BacktestRequest(strategy="crossover", beside={"astrology": {}}, data=[market], home=tmp_path))
    assert not (tmp_path / "runs").exists()


def test_what_lives_on_ticks_abstains_on_candles_and_says_so(tmp_path: Path) -> None:
    """Three pairs whose candles contradict each other by half a per cent: a path is no quote of one moment."""
    opened, count = {"BTC/USDT": 10_000.0, "ETH/USDT": 400.0, "ETH/BTC": 0.0398}, 400
    tables = []
    for symbol, price in opened.items():
        ts = pa.array(1_735_689_600_000 + 60_000 * np.arange(count), pa.timestamp("ms", "UTC"))
        prices = {name: np.full(count, price * wide) for name, wide in
                  (("open", 1.0), ("high", 1.0001), ("low", 0.9999), ("close", 1.0))}  # fmt: skip
        tables.append(pa.table({"venue": ["v"] * count, "symbol": [symbol] * count, "ts": ts, **prices,
                                "volume": np.full(count, 5000.0)}))  # fmt: skip
    pq.write_table(pa.concat_tables(tables), tmp_path / "candles.parquet")
    eager = {"shadow_cycles": 0.0, "min_edge_bps": 0.1, "decay_bps": 0.0}
    asked: dict[str, Any] = {"data": [tmp_path / "candles.parquet"], "home": tmp_path, "params": eager}
    done = run(BacktestRequest(strategy="arbitrage", **asked))
    assert not done.ledger.orders and not done.ledger.refusals
    assert "arbitrage: abstains on candles" in done.metrics.warnings[0]


def test_a_run_of_cycles_adds_up_and_holds_no_position(tmp_path: Path) -> None:
    files = synthesize_crosses(tmp_path, seed=4, minutes=20, symbols=("BTC/USDT", "ETH/USDT", "ETH/BTC"))
    table = pq.read_table(files[0])
    away = (table["ts_exch_ms"].to_numpy() // 20_000 % 2 == 0) & (np.array(table["symbol"].to_pylist()) == "ETH/BTC")
    for name in ("bid", "ask"):
        prices = np.round(table[name].to_numpy() * np.where(away, 0.99, 1.0), 6)
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(prices))
    pq.write_table(table, tmp_path / "away.parquet")
    eager = {"shadow_cycles": 0.0, "judged_cycles": 64.0}
    asked: dict[str, Any] = {"data": [tmp_path / "away.parquet"], "home": tmp_path / "home", "params": eager}
    done = run(BacktestRequest(strategy="arbitrage", **asked)).metrics
    assert done.trades > 3 and done.balances
    assert done.open_positions in ([], ["coins that cycles left over"]), "legs open no position"
    assert done.start_equity_usd + done.net_pnl_usd + done.open_pnl_usd == pytest.approx(done.end_equity_usd, abs=1e-8)
    assert abs(done.open_pnl_usd) < 10.0, "less than the venue takes an order for"
