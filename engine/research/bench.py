"""How fast the core is here: one live call, the backtest loop, whole backtests, and the peers in the same run.

Nothing is asserted on these figures. Rates are medians of `REPEATS` runs after one warm-up; only the compiled
loop is timed (not reading files or making blocks), as the peers' scripts do.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import numba
import numpy as np

import engine
from engine.contracts.errors import Fatal
from engine.contracts.instruments import Instrument
from engine.contracts.records import CYCLE, DEPTH, PLACE
from engine.core.limits import Limits
from engine.core.live import LiveCore, new_lane, put
from engine.core.state import new_core
from engine.markets.crosses import synthesize_crosses
from engine.markets.dislocations import Dislocating, plan
from engine.markets.market import open_market
from engine.markets.synthetic import synthesize, synthesize_ticks
from engine.research.backtest import BacktestRequest, run
from engine.research.session import Session
from engine.simulation.venue import SimulationModel

Progress = Callable[[float, str], None]
Figures = dict[str, float | int | str | None]
Block = np.ndarray[Any, Any]

REPEATS: Final = 5
SIMPLE_EVENTS: Final = 5_000_000
FULL_EVENTS: Final = 2_000_000
LIVE_CALLS: Final = 200_000
TIMEFRAMES_S: Final = (60, 180, 720)
ALL_MINUTES: Final = 110
ALL_THREE: Final = ("momentum", "arbitrage", "scalping")
ALL_SYMBOLS: Final = (
    "BTC/USDT", "ETH/USDT", "ETH/BTC", "USDC/USDT", "BTC/USDC", "ETH/USDC", "SOL/USDT", "AVAX/USDT", "LINK/USDT",
    "NEAR/USDT", "BTC/USDT:USDT", "ETH/USDT:USDT",
)  # fmt: skip
DISLOCATED: Final = ("ETH/BTC", "USDC/USDT", "BTC/USDC", "ETH/USDC")
CANDLES: Final = Path("candles/binance_spot_5m_39pairs_2025H1.parquet")
QUOTES: Final = Path("book/binance_hft_bbo.parquet")
PEERS: Final = Path(engine.__path__[0]).parent / "benchmarks" / "peers"
PEERS_PYTHON: Final = Path(engine.__path__[0]).parent / ".venv-peers" / "bin" / "python"


class Tape:
    """Market blocks held in memory and played `times` over, each time later; remembers the seconds it took itself."""

    def __init__(self, instruments: list[Instrument], blocks: list[Block], times: int = 1) -> None:
        self.instruments = instruments
        self._blocks = blocks
        self._times = times
        self.events = times * sum(len(block) for block in blocks)
        self.own_s = 0.0

    def blocks(self, max_records: int = 0) -> Iterator[Block]:
        """The blocks, shifted by whole days for every further repeat. `max_records` plays no part."""
        self.own_s = 0.0
        for repeat in range(self._times):
            for block in self._blocks:
                started = time.perf_counter()
                out = block.view(np.uint8).copy().view(block.dtype)  # field by field takes as long as a step
                out["ts_ns"] += repeat * 86_400_000_000_000
                out["venue_ts_ns"] += repeat * 86_400_000_000_000
                self.own_s += time.perf_counter() - started
                yield out


def bench_core(data_dir: Path | None, limits: Limits, simulation: SimulationModel, progress: Progress) -> Figures:
    """Measure and return the figures by name; those of peers that are not installed are None, and `peers` says so.

    With no recordings in `data_dir` the seeded synthetic market is used, and `data` says "synthetic".
    """
    recorded = data_dir is not None and (data_dir / CANDLES).is_file() and (data_dir / QUOTES).is_file()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if data_dir is not None and recorded:
            candles, quotes = data_dir / CANDLES, data_dir / QUOTES
        else:
            candles = synthesize(home / "candles.parquet", seed=7, days=60)
            quotes, _ = synthesize_ticks(home, seed=7, minutes=60)
        progress(0.0, "reading markets")
        figures: Figures = {"data": "recorded" if recorded else "synthetic"}
        tape = _tape(quotes, SIMPLE_EVENTS, repeat=True)
        progress(0.1, "live call")
        figures |= _live_call(tape, limits)
        progress(0.3, "one simple strategy, no orders")
        figures["events_per_s_simple"] = _rate(tape, ("crossover",), limits, simulation, TIMEFRAMES_S)
        progress(0.5, "momentum, risk, orders, fills")
        full = _tape(candles, FULL_EVENTS, repeat=False)
        figures["events_per_s_full"] = _rate(full, ("momentum",), limits, simulation, (300, 900, 3600))
        progress(0.55, "all three strategies")
        figures |= _all_three(home, limits, simulation)
        progress(0.6, "whole backtests")
        for strategy in ("momentum", "crossover"):
            figures[f"backtest_{strategy}_s"] = _backtest(strategy, candles, home, limits, simulation)
        progress(0.7, "peers")
        figures |= peers(quotes) if recorded else {"peers": "measured on recorded quotes only"}
    return {"hftbacktest_events_per_s": None, "nautilus_quotes_per_s": None} | figures


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    names = [line for line in _cpu_info().splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": os.cpu_count() or 0,
        "system": platform.system(),
        "python": platform.python_version(),
        "numba": numba.__version__,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpu_info() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.is_file() else ""


def _tape(path: Path, events: int, *, repeat: bool) -> Tape:
    """Enough of the file's first instrument (or all of them) to make `events` events."""
    market = open_market([path])
    if repeat:
        one = max(range(len(market.instruments)), key=lambda i: len(market.closes(i)[0]))
        name = market.instruments[one]
        market = open_market([path], symbols=[f"{name.venue}:{name.symbol}"])
    blocks: list[Block] = []
    for block in market.blocks():
        blocks.append(block)
        if not repeat and sum(map(len, blocks)) >= events:
            break
    length = sum(map(len, blocks))
    return Tape(market.instruments, blocks, max(-(-events // length), 1) if repeat else 1)


def _live_call(tape: Tape, limits: Limits) -> Figures:
    core = new_core(tape.instruments, limits, 1000.0, {"momentum": {}}, TIMEFRAMES_S)
    live, lane = LiveCore(core), new_lane(1)
    clock = time.perf_counter_ns
    spent = np.zeros(LIVE_CALLS, np.int64)
    done = 0
    for block in tape.blocks():
        for k in range(min(len(block), LIVE_CALLS - done)):
            put(lane, block[k : k + 1])
            before = clock()
            live.take(lane)
            spent[done + k] = clock() - before
            live.clear()
        done += min(len(block), LIVE_CALLS - done)
        if done == LIVE_CALLS:
            break
    warm = spent[1000:done] / 1000.0
    return {
        "live_call_us_p50": round(float(np.percentile(warm, 50)), 3),
        "live_call_us_p99": round(float(np.percentile(warm, 99)), 3),
    }


def _all_three(home: Path, limits: Limits, simulation: SimulationModel) -> Figures:
    """All three strategies on one account, in a SYNTHETIC market of triangles, small pairs and perpetuals, each with
    its defaults but arbitrage trading for real; what they did is counted beside the rate."""
    quotes, trades = synthesize_crosses(home, seed=7, minutes=ALL_MINUTES, symbols=ALL_SYMBOLS)
    market = open_market([quotes, trades])
    blocks = list(market.blocks())
    _dislocate(market.instruments, blocks)
    tape = Tape(market.instruments, blocks)
    counts: dict[int, int] = {}

    def count(entries: Block) -> None:
        for kind in (PLACE, CYCLE):
            counts[kind] = counts.get(kind, 0) + int((entries["record"]["kind"] == kind).sum())

    _session(tape, ALL_THREE, limits, simulation, TIMEFRAMES_S, [count]).run()
    rate = _rate(tape, ALL_THREE, limits, simulation, TIMEFRAMES_S)
    return {
        "events_per_s_all_three": rate, "all_three_events": tape.events, "all_three_orders": counts[PLACE],
        "all_three_cycle_notes": counts[CYCLE],
    }  # fmt: skip


def _dislocate(instruments: list[Instrument], blocks: list[Block]) -> None:
    """Move the quotes of some pairs away from the others now and then, in place."""
    first, last = int(blocks[0]["venue_ts_ns"][0]), int(blocks[-1]["venue_ts_ns"][-1])
    names = [one.symbol for one in instruments]
    for one in plan(DISLOCATED, Dislocating(per_minute=10.0), seed=7, from_ns=first, to_ns=last):
        for block in blocks:
            if block["venue_ts_ns"][0] < one.end_ns and block["venue_ts_ns"][-1] >= one.start_ns:
                mine = (block["instrument"] == names.index(one.symbol)) & (block["kind"] <= DEPTH)
                mine &= (block["venue_ts_ns"] >= one.start_ns) & (block["venue_ts_ns"] < one.end_ns)
                for name in ("bid_ticks", "ask_ticks"):
                    block[name][mine] = np.rint(block[name][mine] * (1.0 + one.bps / 1e4)).astype(np.int64)
                block["ask_ticks"][mine] = np.maximum(block["ask_ticks"][mine], block["bid_ticks"][mine] + 1)


def _session(
    tape: Tape, strategies: Sequence[str], limits: Limits, simulation: SimulationModel,
    timeframes: tuple[int, int, int], sinks: Sequence[Callable[[Block], None]] = (),
) -> Session:  # fmt: skip
    own = {"arbitrage": {"shadow_cycles": 0.0}}  # trades at once
    return Session(
        tape, strategies={name: own.get(name, {}) for name in strategies}, capital_usd=1000.0, limits=limits,
        simulation=simulation, timeframes_s=timeframes, sinks=sinks,
    )  # fmt: skip


def _rate(
    tape: Tape, strategies: Sequence[str], limits: Limits, simulation: SimulationModel,
    timeframes: tuple[int, int, int],
) -> int:  # fmt: skip
    """Median events per second through venue, core and journal records."""
    rates = []
    for _ in range(REPEATS + 1):
        session = _session(tape, strategies, limits, simulation, timeframes)
        started = time.perf_counter()
        session.run()
        rates.append(tape.events / (time.perf_counter() - started - tape.own_s))
    return round(median(rates[1:]))


def _backtest(strategy: str, candles: Path, home: Path, limits: Limits, simulation: SimulationModel) -> float:
    """Median seconds of a whole backtest, from opening the files to the metrics, journal written."""
    request = BacktestRequest(strategy=strategy, data=[candles], home=home, limits=limits, simulation=simulation)
    return round(median([run(request).manifest.wall_s for _ in range(3)]), 3)


def peers(quotes: Path) -> Figures:
    """The peers' rates on the same quotes, from their own scripts in their own environment."""
    if not PEERS_PYTHON.is_file():
        return {"peers": "not installed (make peers)"}
    hft = _ask("hftbacktest_rate.py", quotes)
    nautilus = _ask("nautilus_rate.py", quotes)
    return {
        "hftbacktest_events_per_s": round(hft["hftbacktest_events_per_s"]),
        "nautilus_quotes_per_s": round(nautilus["nautilus_quotes_per_s"]),
        "peers": f"hftbacktest {hft['version']}, nautilus_trader {nautilus['version']}",
    }


def _ask(script: str, quotes: Path) -> dict[str, Any]:
    command = [str(PEERS_PYTHON), str(PEERS / script), str(quotes), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Fatal(f"{script} failed with {done.returncode}: {done.stderr.strip()[-300:]}; run make peers again")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
