"""Agreement with an independent engine: the same crossover, the same quotes, the same fills to the last cent.

`nautilus_crossover.json` is what nautilus_trader answered (``benchmarks/peers/nautilus_crossover.py`` makes it);
where the peers' environment is installed, it is asked again. The differences that remain, line by line:

1. *When.* nautilus decides at exactly T + D, before it sees the quote that opens the next bar. Keel decides on the
   event that closes the bar, which is that quote, one feed latency (50 ms) later. Keel's order therefore reaches the
   venue 50 ms after nautilus's. Both meet the same quote: the next one comes 100 s later.
2. *Protection.* Keel never holds a position without a stop, nautilus's strategy has none. The stop lies 90 % away
   and is never reached; Keel's exits replace it instead of being sent alone.
3. *Limits.* Keel's entries are limit orders at no worse than 50 bps from the touch, nautilus's are market orders.
   The touch holds enough, so both fill there. Limits that would size or refuse are set out of the way.
4. *Extremes.* Which extreme of a candle comes first differs (a hash here, low first there); only opens and closes
   matter to this strategy.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.contracts.instruments import Instrument
from engine.contracts.ledger import Ledger
from engine.contracts.records import PATH
from engine.core.limits import Limits
from engine.core.strategies import table
from engine.journal.ledger import fold
from engine.markets.market import FeedModel, Market, open_market
from engine.research.session import Session
from engine.simulation.venue import SimulationModel

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("KEEL_DATA_DIR", ROOT.parent / "shared" / "data"))
CANDLES = DATA / "candles" / "binance_spot_5m_39pairs_2025H1.parquet"
TABLE = Path(__file__).with_name("nautilus_crossover.json")
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
FEED_MS, ORDER_MS, NAUTILUS_MS = 50, 100, 100
JANUARY = (1_735_689_600_000_000_000, 1_738_368_000_000_000_000)

needs_recording = pytest.mark.skipif(not CANDLES.is_file(), reason="needs the recorded candles (KEEL_DATA_DIR)")


class SameQuotes:
    """The recorded market with the oracle's constant spread of two ticks and deep touch."""

    def __init__(self, market: Market, instrument: Instrument) -> None:
        self.instruments = [instrument]
        self._market = market

    def blocks(self, max_records: int = 131_072) -> Iterator[np.ndarray[Any, Any]]:
        for block in self._market.blocks(max_records):
            assert (block["kind"] == PATH).all()
            block["spread_ticks"] = 2
            block["depth_lots"] = 10**9
            yield block


def keel(tick: str, lot: str) -> Ledger:
    """Keel's run of January, as a ledger."""
    instrument = Instrument(
        symbol="SOL/USDT", venue="binance_spot", base="SOL", quote="USDT", tick_size=Decimal(tick),
        lot_size=Decimal(lot), min_qty=Decimal(lot), max_qty=Decimal(10**6), cluster="major",
    )  # fmt: skip
    market = open_market(
        [CANDLES], symbols=["SOL/USDT"], from_ns=JANUARY[0], to_ns=JANUARY[1],
        model=FeedModel(feed_latency_ms=FEED_MS), instruments=[instrument],
    )  # fmt: skip
    caps = ("order_notional", "exposure", "instrument_exposure", "cluster_exposure", "trade_loss", "day_loss")
    shares = {"trade_loss_pct": 100, "day_loss_pct": 100, "drawdown_pct": 100, "reserve_pct": 0, "reserve_usd": 0}
    limits = Limits(**dict.fromkeys([f"{cap}_usd" for cap in caps], 1e5), **shares)
    entries: list[np.ndarray[Any, Any]] = []
    session = Session(
        SameQuotes(market, instrument),
        strategies={"crossover": {"fast": 48, "slow": 192, "qty": 1, "stop_pct": 90}},
        capital_usd=10_000,
        limits=limits,
        simulation=SimulationModel(order_latency_ms=ORDER_MS),
        timeframes_s=(300, 900, 3600),
        sinks=[entries.append],
    )
    session.run()
    return fold(entries, [instrument], table.NAMES)


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(TABLE.read_text())
    return answer["runs"][0]


@needs_recording
def test_the_same_crossover_makes_the_same_trades(oracle: dict[str, Any]) -> None:
    ledger = keel(oracle["tick"], oracle["lot"])
    theirs = oracle["fills"]
    late_ns = (FEED_MS + ORDER_MS - NAUTILUS_MS) * 1_000_000
    asked = {order.client_id: order for order in ledger.orders}
    ours = [(asked[f.client_id].ts_ns, f.side, f.qty, f.price, f.fee_usd) for f in ledger.fills]
    assert ours == [
        (f["decided_ns"] + FEED_MS * 1_000_000, f["side"].lower(), Decimal(f["qty"]), Decimal(f["price"]),
         Decimal(f["commission"]))
        for f in theirs
    ]  # fmt: skip
    assert len(ours) == 54
    reply_ns = 50 * 1_000_000
    arrived = [f.ts_ns - reply_ns for f in ledger.fills]
    assert arrived == [f["ts_ns"] + late_ns for f in theirs]
    assert sum(t.net_usd for t in ledger.trades) == Decimal(oracle["total_pnl"])
    assert sum(t.fees_usd for t in ledger.trades) == Decimal(oracle["total_commission"])
    assert [t.net_usd for t in ledger.trades] == [Decimal(t["pnl"]) for t in oracle["round_trips"]]
    assert not ledger.refusals
    assert not ledger.gaps


@needs_recording
@pytest.mark.skipif(not PEERS_PYTHON.is_file(), reason="nautilus_trader is not installed (make peers)")
def test_nautilus_still_says_what_the_table_says() -> None:
    script = ROOT / "benchmarks" / "peers" / "nautilus_crossover.py"
    command = [str(PEERS_PYTHON), str(script), "--from-candles", str(CANDLES)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert json.loads(answer.stdout) == json.loads(TABLE.read_text())
