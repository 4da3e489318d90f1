"""Paper over the sandbox's wire and a backtest over the same recording, dated as it was played, decide the same.

Recording, assumed latencies and start lie so that orders arrive, and bars end, at least 60 ms from any price: what the
wire adds decides nothing unless it adds more than that. Where it did (the journal says so), nothing can be compared,
and it is played once more.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

sys.path.append(str(Path(__file__).parents[1] / "sandbox"))
from running_sandbox import Running  # noqa: E402

from engine.contracts import records as r
from engine.core import state
from engine.core.limits import Limits
from engine.journal import segments
from engine.markets.market import open_market
from engine.markets.retimed import Played, retime
from engine.markets.writing import write_parquet
from engine.research.session import Session
from engine.runtime.loop import LiveLoop
from engine.simulation.venue import SimulationModel
from engine.venues.binance.client_ids import ClientIds
from engine.venues.ccxt.opening import open_ccxt
from engine.venues.port import Notice
from engine.venues.simulated.venue import open_simulated

SYMBOLS = tuple(f"{base}/USDT" for base in ("BTC", "ETH", "AXO", "BREN", "CIRO", "DUVA", "ELTO", "FENN"))
START_MS = 1_735_736_400_000
HISTORY_S, FLAT_S, LIVE_S, STEP_MS = 4, 4, 13, 200
START_PHASE_S = 0.1
MOST_LATE_NS = 50_000_000
NEVER_NS = 2**62
TURNS = 3
EAGER = {"crossover": {"fast": 2, "slow": 3, "stop_pct": 0.5, "notional_usd": 40.0, "entry_cap_bps": 50}}
TIMEFRAMES = (1, 3, 9)
MODEL = SimulationModel(order_latency_ms=120.0, reply_latency_ms=60.0)
DECIDED = {
    r.PLACE: ("side", "order_type", "role", "reason", "client_id", "price_ticks", "qty_lots", "trigger_ticks"),
    r.CANCEL: ("client_id", "reason"),
    r.REFUSED: ("side", "reason", "strategy"),
    r.CLOSED: ("side", "reason", "trade_no", "gross_e8", "fees_e8"),
}


def record(path: Path) -> Path:
    """Quotes of eight pairs, each at moments of its own: flat at first, then short trends."""
    rng = np.random.default_rng(12)
    count = (HISTORY_S + LIVE_S) * 1000 // STEP_MS
    tables = []
    for k, symbol in enumerate(SYMBOLS):
        trend = np.repeat(rng.choice([-1.0, 1.0], count // 10 + 1), 10)[:count] * 1e-3
        moves = trend + rng.normal(0, 3e-4, count)
        moves[: (HISTORY_S + FLAT_S) * 1000 // STEP_MS] = 0
        mid = 100.0 * (k + 1) * np.exp(np.cumsum(moves))
        columns = {
            "ts_exch_ms": START_MS + np.arange(count) * STEP_MS + k * 5,
            "bid": np.round(mid - 0.01, 2), "bid_size": np.full(count, 900.0),
            "ask": np.round(mid + 0.01, 2), "ask_size": np.full(count, 900.0),
        }  # fmt: skip
        words = {"venue": pa.array(["binance"] * count), "symbol": pa.array([symbol] * count)}
        tables.append(pa.table(words | columns))
    write_parquet(pa.concat_tables(tables), path)
    return path


async def trade_on_paper(running: Running, folder: Path) -> tuple[Any, list[Any], Played]:
    """The journal, the instruments as loaded over the wire, and how the market was played."""
    urls = running.line["venues"]["binance_spot"]
    real = open_ccxt("binance", "paper", ClientIds("keel7f"), urls=urls, with_depth=False, mute_s=5.0)
    venue = open_simulated(real.market, MODEL, 1_000.0)
    instruments = await venue.market.load(SYMBOLS)
    core = state.new_core(instruments, Limits(), 1_000.0, EAGER, TIMEFRAMES)
    journal = segments.JournalWriter(folder)
    connected = asyncio.Event()

    def noticed(notice: Notice) -> None:
        if notice.kind == "connected":
            connected.set()

    engine = LiveLoop(core, journal, [venue.execution] * len(instruments), noticed)
    runs = [asyncio.create_task(part.run(instruments, engine.lanes)) for part in (venue.market, venue.execution)]
    while not connected.is_set():  # flat prices, so that it does not matter how many were heard before
        await asyncio.to_thread(running.advance, len(SYMBOLS))
        await asyncio.wait([asyncio.create_task(connected.wait())], timeout=0.3)
    await asyncio.sleep((START_PHASE_S - time.time()) % 1.0)
    played = Played(**await asyncio.to_thread(running.tell, "/play", {"speed": 1.0}))
    while not running.sandbox.replay.is_over:
        await asyncio.sleep(0.2)
    await asyncio.sleep(0.5)
    for task in runs:
        task.cancel()
    await asyncio.gather(*runs, return_exceptions=True)
    engine.close()
    journal.close()
    return r.joined(list(segments.read(folder))), instruments, played


def decisions(journal: Any, until_ns: int) -> list[list[tuple[int, ...]]]:
    """What was decided on each instrument, in order, to the last unit, without its date."""
    found: list[list[tuple[int, ...]]] = [[] for _ in SYMBOLS]
    for one in journal["record"]:
        kind = int(one["kind"])
        if kind in DECIDED and one["ts_ns"] < until_ns:
            found[int(one["instrument"])].append((kind, *(int(one[name]) for name in DECIDED[kind])))
    return found


def latest_ns(journal: Any, market: Any, played: Played) -> int:
    """How late the latest quote was heard: those of the recording, in its order. NEVER_NS where one was not: whoever
    does not read for long is told the newest only."""
    heard, expected = journal["record"], r.joined(list(market.blocks()), r.RECORD)
    late = []
    for i in range(len(SYMBOLS)):
        mine = heard[(heard["kind"] == r.QUOTE) & (heard["instrument"] == i) & (heard["ts_ns"] >= played.wire_ns)]
        theirs = expected[expected["instrument"] == i]
        names = ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots")
        told, known = (list(zip(*(rows[name].tolist() for name in names), strict=True)) for rows in (mine, theirs))
        rest = iter(known)
        assert all(quote in rest for quote in told), "a quote was heard that was not played, or out of order"
        late.append((mine["ts_ns"] - theirs["ts_ns"]).max() if len(told) == len(known) else NEVER_NS)
    return int(max(late))


def test_paper_over_the_wire_decides_as_the_backtest(tmp_path: Path) -> None:
    recording = record(tmp_path / "quotes.parquet")
    for turn in range(TURNS):
        running = Running(data=(recording,), speed=0.0, history_s=float(HISTORY_S))
        try:
            journal, instruments, played = asyncio.run(trade_on_paper(running, tmp_path / f"run{turn}"))
        finally:
            running.stop()
        market = retime(open_market([recording]), played, instruments=instruments)
        late_ns = latest_ns(journal, market, played)
        if late_ns <= MOST_LATE_NS:
            break
    else:
        how = "was not heard" if late_ns == NEVER_NS else f"was heard {late_ns / 1e6:.0f} ms after it was played"
        pytest.skip(f"this machine is too busy: a quote {how}")
    kept: list[Any] = []
    Session(
        market, strategies=EAGER, capital_usd=1_000.0, limits=Limits(), simulation=MODEL, timeframes_s=TIMEFRAMES,
        sinks=[kept.append],
    ).run()  # fmt: skip
    last_ns = played.wire_ns + (LIVE_S - 1) * 10**9  # what the end of the market cuts off is left out
    expected, made = decisions(r.joined(kept), last_ns), decisions(journal, last_ns)
    assert made == expected
    counted = np.bincount([row[0] for rows in made for row in rows], minlength=r.CLOSED + 1)
    assert counted[r.PLACE] > 15 and counted[r.CLOSED] >= 3
