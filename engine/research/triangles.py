"""What recorded data would have allowed in triangles, by fee: what was there to see, and what the engine made of it.

* `moments`: at every quote, whether a way round, or its reverse, would have paid the fees at the touch, all three
  quotes young enough. Size, minimums and time on the way are not asked: an upper bound.
* `closes`: candles of one minute; the same of the three closes alone, without spread or size. The three closes need not
  be of one moment: an upper bound, and a loose one.
* `played`: the engine trades the quotes through the simulated venue, latency, lots, minimums, depth and limits and all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow.parquet as pq

from engine.contracts import reasons
from engine.contracts import records as r
from engine.core.limits import Limits
from engine.markets.market import Market
from engine.research.session import Session
from engine.simulation.venue import SimulationModel

Array = np.ndarray[Any, Any]
Way = Sequence[tuple[str, int]]
"""Symbols of the legs, and +1 where a leg buys, -1 where it sells."""

TIERS_BPS: Final = (10.0, 7.5, 2.5, 0.0)
TIMEFRAMES_S: Final = (60, 300, 900)
ASKED: Final[dict[str, dict[str, float]]] = {
    "arbitrage": {"shadow_cycles": 0, "min_edge_bps": 0.5, "decay_bps": 0, "max_age_ms": 5_000}
}
ROOM: Final = Limits(orders_per_minute=600.0)
"""On what terms the recording is traded: at once, for half a basis point, as often as it says so."""
MINUTE_NS: Final = 60_000_000_000


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """What a fee left: `begun` cycles, of which all legs of `done` went through; `net_usd` after everything, coins that
    are still in a pot at their bid. `refused`: by reason, what stood against cycles that the touch promised."""

    fee_bps: float
    begun: int
    done: int
    unwound: int
    net_usd: float
    refused: dict[str, int]


class Moments(msgspec.Struct, frozen=True, kw_only=True):
    """Minutes in which a way round paid a fee, of all minutes in which all three pairs could be looked at. `best_bps`:
    what the best of them left after the fees of three legs, below 0 where none paid."""

    fee_bps: float
    minutes: int
    paying: int
    best_bps: float


def at_fee(market: Market, fee_bps: float) -> Market:
    """The same market for an account that pays so much a fill."""
    rate = Decimal(str(fee_bps)) / 10_000
    pairs = [msgspec.structs.replace(one, taker_fee=rate, maker_fee=rate) for one in market.instruments]
    return replace(market, instruments=pairs)


def played(
    market: Market,
    fees_bps: Sequence[float] = TIERS_BPS,
    order_latency_ms: float = 100.0,
    strategies: dict[str, dict[str, float]] | None = None,
    limits: Limits = ROOM,
) -> list[Tier]:
    """Let the engine trade the market at each fee, with $1,000; as `ASKED` where nothing else is given."""
    found = []
    for fee in fees_bps:
        kept: list[Array] = []
        session = Session(
            at_fee(market, fee), strategies=strategies or ASKED, capital_usd=1_000.0, limits=limits,
            simulation=SimulationModel(order_latency_ms=order_latency_ms), timeframes_s=TIMEFRAMES_S,
            sinks=[kept.append],
        )  # fmt: skip
        session.run()
        records = r.joined(kept)["record"]
        why = records["reason"][(records["kind"] == r.CYCLE) & ((records["bits"] & r.SHADOW) == 0)].tolist()
        against = Counter(reasons.name(one) for one in records["reason"][records["kind"] == r.REFUSED].tolist())
        head = session.core.state.head[0]
        net_e8 = int(head.gross_e8) - int(head.fees_e8) + int(head.unrealised_e8)
        found.append(
            Tier(
                fee_bps=fee, begun=why.count(reasons.CYCLE_BEGUN), done=why.count(reasons.CYCLE_DONE),
                unwound=why.count(reasons.CYCLE_UNWOUND), net_usd=net_e8 / 1e8, refused=dict(against.most_common()),
            )
        )  # fmt: skip
    return found


def moments(market: Market, way: Way, fees_bps: Sequence[float], max_age_ms: float) -> list[Moments]:
    """Minutes in which a way round, or its reverse, paid at the touch, with no quote older than `max_age_ms`."""
    symbols = [one.symbol for one in market.instruments]
    events = r.joined(list(market.blocks()), r.RECORD)
    events = events[events["kind"] == r.QUOTE]
    stamps = events["venue_ts_ns"]
    known = np.ones(len(events), bool)
    there, back = np.ones(len(events)), np.ones(len(events))
    for symbol, side in way:
        i = symbols.index(symbol)
        tick = float(market.instruments[i].tick_size)
        latest = np.maximum.accumulate(np.where(events["instrument"] == i, np.arange(len(events)), -1))
        known &= (latest >= 0) & (stamps - stamps[np.maximum(latest, 0)] <= max_age_ms * 1e6)
        bid, ask = (events[name][np.maximum(latest, 0)] * tick for name in ("bid_ticks", "ask_ticks"))
        there *= 1 / ask if side > 0 else bid
        back *= bid if side > 0 else 1 / ask
    # of several quotes of one moment only the last is looked at: before it the others are of the moment before
    known &= np.append(stamps[1:] != stamps[:-1], True)
    return _counted(stamps[known] // MINUTE_NS, np.maximum(there, back)[known], fees_bps)


def closes(path: Path, venue: str, way: Way, fees_bps: Sequence[float] = TIERS_BPS) -> list[Moments]:
    """Minutes in which the way round, or its reverse, would have paid at the closes."""
    table = pq.read_table(path, columns=["venue", "symbol", "ts", "close", "volume"], filters=[("venue", "=", venue)])
    symbols = np.array(table["symbol"].to_pylist())
    stamps = table["ts"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    close, volume = table["close"].to_numpy(), table["volume"].to_numpy()
    series = {}
    for symbol, _ in way:
        mine = (symbols == symbol) & (volume > 0) & (close > 0)
        series[symbol] = dict(zip(stamps[mine].tolist(), close[mine].tolist(), strict=True))
    shared = sorted(set.intersection(*(set(one) for one in series.values())))
    product = np.ones(len(shared))
    for symbol, side in way:
        product *= np.array([series[symbol][ts] for ts in shared]) ** -side
    return _counted(np.array(shared, np.int64), np.maximum(product, 1.0 / product), fees_bps)


def _counted(minutes: Array, product: Array, fees_bps: Sequence[float]) -> list[Moments]:
    """`product`: what a dollar becomes without fees, by look; `minutes`: which minute each look is in."""
    made = []
    for fee in fees_bps:
        edge = (product * (1 - fee / 1e4) ** 3 - 1) * 1e4
        best = float(edge.max()) if len(edge) else 0.0
        paying = len(np.unique(minutes[edge > 1e-9]))
        made.append(Moments(fee_bps=fee, minutes=len(np.unique(minutes)), paying=paying, best_bps=best))
    return made
