"""Run folders with small journals: orders with fills, closed trades, notes."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np

from engine.contracts import reasons as why
from engine.contracts import records as r
from engine.contracts.instruments import Instrument
from engine.contracts.runs import Manifest
from engine.journal import manifest
from engine.journal.segments import JournalWriter

STRATEGIES = {1: "momentum"}
BTC = Instrument(
    symbol="BTCUSDT", venue="binance", base="BTC", quote="USDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"),
    min_qty=Decimal("0.001"), max_qty=Decimal(9000),
)  # fmt: skip


def run_manifest(run_id: str, digest: str = "") -> Manifest:
    return Manifest(
        run_id=run_id, created="2026-01-01T00:00:00Z", world="backtest", strategies={"momentum": {"x": 1.5}},
        instruments=[BTC], capital_usd=1000.1, limits={"day_loss_usd": 20.0}, simulation={}, timeframes_s=[300],
        sources=[], symbols=["BTCUSDT"], from_ns=0, to_ns=1_700_000_000_123_456_789, grade="candle-grade",
        simulated=True, synthetic=False, code="abc", digest=digest,
    )  # fmt: skip


def round_trip(number: int) -> np.ndarray:
    """Twelve entries: in and out with their fills, the trade's notes, equity, refusal, gap, state, parameter."""
    made = np.zeros(12, r.ENTRY)
    made["seq"] = 10 * number
    record = made["record"]
    record["ts_ns"] = 1_700_000_000_000_000_000 + number * 1_000_000_000
    record["kind"] = [
        r.PLACE, r.FILL, r.PLACE, r.FILL, r.CLOSED, r.EXCURSION, r.TRADE_SIZE, r.EQUITY, r.REFUSED, r.GAP, r.STATE,
        r.PARAMETER,
    ]  # fmt: skip
    record["strategy"][[0, 2, 4, 5, 6, 8, 9]] = 1
    record["client_id"][:4] = 2 * number + np.array([0, 0, 1, 1])
    record["side"] = [1, 1, -1, -1, 1, 0, 0, 0, 1, 0, 0, 0]
    record["price_ticks"][:4] = [100_000, 100_000, 0, 100_500 + number]
    record["qty_lots"][:4] = 20
    record["fee_e8"][[1, 3]] = 2_000_001
    record["trade_id"][[1, 3]] = 2 * number + np.array([0, 1])
    record["trade_no"][[4, 5, 6, 9]] = number
    record["entry_value_e8"][6], record["exit_value_e8"][6], record["qty_lots"][6] = 2_000_000_000, 2_010_000_000, 20
    record["gross_e8"][4], record["fees_e8"][4], record["risk_e8"][4] = 10_000_000, 4_000_002, 30_000_000
    record["equity_e8"][7] = 100_000_000_000 + number
    record["reason"][8:12] = [why.DAY_LOSS, why.GAP_FUNDING, why.OPERATOR_REDUCE, 1]
    record["index"][10:12], record["value_e9"][10:12] = [number % 2, 3], [(number + 1) % 2, number * 10**9]
    return made


def write_run(directory: Path, run_id: str, trips: range, digest: str = "", frame_trips: int = 1) -> Path:
    """Add `trips` to the journal of the run in ``directory/run_id`` (made when missing)."""
    run = directory / run_id
    with JournalWriter(run, resume=True) as writer:
        for start in range(trips.start, trips.stop, frame_trips):
            block = np.hstack([round_trip(k).view(np.uint8) for k in trips[start - trips.start :][:frame_trips]])
            writer.append(block.view(r.ENTRY))
    manifest.write(run, run_manifest(run_id, digest))
    return run
