"""How many triangular cycles recorded data would have allowed, by fee: an upper bound, and the engine's own word.

Two readings, and what each assumes:

* `played`: public trades become quotes (the last price a buyer paid is the ask, the last a seller got is the bid, the
  size is that trade's, nothing behind it), and the engine trades them through the simulated venue, latency and all.
  Real quotes were often better than the last trade and often gone: this errs both ways.
* `closes`: candles of one minute; a cycle counts where the three closes alone, without spread or size, would have paid
  the fees. The three closes need not be of the same moment: an upper bound and nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow.parquet as pq

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.instruments import Instrument
from engine.core.limits import Limits
from engine.research.session import Session
from engine.simulation.venue import SimulationModel

Array = np.ndarray[Any, Any]
TIERS_BPS: Final = (10.0, 7.5, 2.5, 0.0)
MS: Final = 1_000_000
TIMEFRAMES_S: Final = (60, 300, 900)
ASKED: Final[dict[str, dict[str, float]]] = {
    "arbitrage": {"shadow_cycles": 0, "min_edge_bps": 0.5, "decay_bps": 0, "max_age_ms": 5_000}
}
ROOM: Final = Limits(orders_per_minute=600.0)
"""On what terms the recording is traded: at once, for half a basis point, as often as it says so."""


def _pair(base: str, quote: str, tick: str, lot: str, least: str) -> Instrument:
    size = Decimal(lot)
    return Instrument(
        symbol=f"{base}/{quote}", venue="binance_spot", base=base, quote=quote, tick_size=Decimal(tick), lot_size=size,
        min_qty=size, max_qty=Decimal(9_000), min_notional=Decimal(least),
    )  # fmt: skip


PAIRS: Final = (
    _pair("BTC", "USDT", "0.01", "0.000001", "10"),
    _pair("ETH", "USDT", "0.01", "0.00001", "10"),
    _pair("ETH", "BTC", "0.000001", "0.001", "0.0001"),
)
"""The venue's filters on the recorded day."""


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """What a fee left: `begun` cycles, of which all legs of `done` went through; `net_usd` after everything."""

    fee_bps: float
    begun: int
    done: int
    unwound: int
    net_usd: float


class Moments(msgspec.Struct, frozen=True, kw_only=True):
    """Minutes in which the closes of a triangle paid a fee, of all minutes in which all three traded."""

    fee_bps: float
    minutes: int
    paying: int
    best_bps: float


@dataclass(frozen=True)
class Quoted:
    """A market made of quotes; what `Session` needs."""

    instruments: list[Instrument]
    events: Array

    def blocks(self, max_records: int = 4_096) -> Iterator[Array]:
        """The quotes, in order."""
        for first in range(0, len(self.events), max_records):
            yield self.events[first : first + max_records].copy()


def quotes_of_trades(path: Path, pairs: Sequence[Instrument], feed_latency_ms: float = 20.0) -> Quoted:
    """Quotes as the trades of `path` (schema: shared trades) suggest them; rows of other symbols are left out."""
    table = pq.read_table(path, columns=["symbol", "ts_exch_ms", "price", "size", "side"])
    symbols = np.array([name.replace("/", "") for name in table["symbol"].to_pylist()])
    columns = {name: table[name].to_numpy() for name in ("ts_exch_ms", "price", "size", "side")}
    parts = []
    for i, one in enumerate(pairs):
        mine = symbols == one.symbol.replace("/", "")
        parts.append(_touches(i, one, *(columns[name][mine] for name in ("ts_exch_ms", "price", "size", "side"))))
    whole = r.joined(parts, r.RECORD)
    order = np.argsort(whole["venue_ts_ns"], kind="stable")
    out = np.empty(len(whole), r.RECORD)
    out.view(np.uint8).reshape(-1, r.RECORD_BYTES)[:] = whole.view(np.uint8).reshape(-1, r.RECORD_BYTES)[order]
    out["ts_ns"] = out["venue_ts_ns"] + int(feed_latency_ms * MS)
    return Quoted(list(pairs), out)


def _touches(i: int, one: Instrument, ts_ms: Array, price: Array, size: Array, side: Array) -> Array:
    """One quote a trade, from when both sides have been seen: the side that traded is where it traded, the other where
    it was last, or a tick away where that cannot be."""
    ticks = np.rint(price / float(one.tick_size)).astype(np.int64)
    lots = np.maximum((size / float(one.lot_size)).astype(np.int64), 1)
    out = np.zeros(len(ticks), r.RECORD)
    bid = ask = bid_lots = ask_lots = 0
    for k, (at, many, way) in enumerate(zip(ticks.tolist(), lots.tolist(), side.tolist(), strict=True)):
        if way > 0:
            ask, ask_lots = at, many
            if bid >= ask:
                bid, bid_lots = ask - 1, 1
        else:
            bid, bid_lots = at, many
            if 0 < ask <= bid:
                ask, ask_lots = bid + 1, 1
        row = out[k]
        row["bid_ticks"], row["bid_lots"], row["ask_ticks"], row["ask_lots"] = bid, bid_lots, ask, ask_lots
    out["kind"], out["instrument"] = r.QUOTE, i
    out["venue_ts_ns"] = ts_ms * MS
    return out[(out["bid_ticks"] > 0) & (out["ask_ticks"] > 0)]


def at_fee(market: Quoted, fee_bps: float) -> Quoted:
    """The same market for an account that pays so much a fill."""
    rate = Decimal(str(fee_bps)) / 10_000
    pairs = [msgspec.structs.replace(one, taker_fee=rate, maker_fee=rate) for one in market.instruments]
    return Quoted(pairs, market.events)


def played(market: Quoted, fees_bps: Sequence[float] = TIERS_BPS, order_latency_ms: float = 100.0) -> list[Tier]:
    """Let the engine trade the market at each fee, with $1,000 and an edge of half a basis point asked for."""
    found = []
    for fee in fees_bps:
        kept: list[Array] = []
        session = Session(
            at_fee(market, fee), strategies=ASKED, capital_usd=1_000.0, limits=ROOM,
            simulation=SimulationModel(order_latency_ms=order_latency_ms), timeframes_s=TIMEFRAMES_S,
            sinks=[kept.append],
        )  # fmt: skip
        session.run()
        records = r.joined(kept)["record"]
        why = records["reason"][records["kind"] == r.CYCLE].tolist()
        head = session.core.state.head[0]
        found.append(
            Tier(
                fee_bps=fee, begun=why.count(reasons.CYCLE_BEGUN), done=why.count(reasons.CYCLE_DONE),
                unwound=why.count(reasons.CYCLE_UNWOUND), net_usd=(int(head.gross_e8) - int(head.fees_e8)) / 1e8,
            )
        )  # fmt: skip
    return found


def closes(
    path: Path, venue: str, legs: Sequence[tuple[str, int]], fees_bps: Sequence[float] = TIERS_BPS
) -> list[Moments]:
    """Minutes in which a way round, or its reverse, would have paid at the closes. `legs`: symbol, and +1 where it is
    bought, -1 where it is sold."""
    table = pq.read_table(path, columns=["venue", "symbol", "ts", "close", "volume"], filters=[("venue", "=", venue)])
    symbols = np.array(table["symbol"].to_pylist())
    stamps = table["ts"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    close, volume = table["close"].to_numpy(), table["volume"].to_numpy()
    series = {}
    for symbol, _ in legs:
        mine = (symbols == symbol) & (volume > 0) & (close > 0)
        series[symbol] = dict(zip(stamps[mine].tolist(), close[mine].tolist(), strict=True))
    shared = sorted(set.intersection(*(set(one) for one in series.values())))
    product = np.ones(len(shared))
    for symbol, side in legs:
        product *= np.array([series[symbol][ts] for ts in shared]) ** -side
    either = np.maximum(product, 1.0 / product)
    made = []
    for fee in fees_bps:
        edge = (either * (1 - fee / 1e4) ** 3 - 1) * 1e4
        best = float(edge.max()) if len(edge) else 0.0
        made.append(Moments(fee_bps=fee, minutes=len(shared), paying=int((edge > 0).sum()), best_bps=best))
    return made
