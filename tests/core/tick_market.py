"""Perpetuals by the tick: quotes and trades whose lean runs ahead of the price, so that there is something to scalp."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
from streams import HOUR_NS, START_NS, Array, Stream, events, merged, perp

from engine.contracts.instruments import Instrument
from engine.contracts.records import FUNDING, QUOTE, TRADE

MS: Final = 1_000_000
KEEN: Final[dict[str, dict[str, float]]] = {
    "scalping": {
        "volatility_s": 10, "warm_up_s": 5, "horizon_s": 5, "entry_z": 0.2, "edge_factor": 1.0, "max_spread_bps": 100,
        "min_stop_bps": 1, "max_stop_bps": 500, "cooldown_s": 0, "hold_s": 8, "target_r": 0.5, "risk_share": 1.0,
        "max_leverage": 20, "liquidation_buffer_pct": 0, "entry_patience_s": 0.5, "reprices": 0, "book_s": 0.5,
    },
}  # fmt: skip
"""The scalper as hungry for trades as this market feeds it."""


def scalped(name: str = "PPP", **changes: Any) -> Instrument:
    """A perpetual worth 10,000.00 whose fees leave something."""
    fees = {"maker_fee": Decimal(0), "taker_fee": Decimal("0.00002")}
    return perp(name, **(fees | {"lot_size": Decimal("0.001"), "min_qty": Decimal("0.001")} | changes))


def tick_stream(
    seed: int, instruments: Sequence[Instrument], seconds: float = 300.0, volatility: float = 20.0, push: float = 1.0,
    jump: int = 0, rate: float = 0.0,
) -> Stream:  # fmt: skip
    """Five quotes and up to five trades a second each; `push`: how strongly the lean moves the price; `jump`: ticks of
    one fall in the middle; `rate`: of a funding payment there. No two instruments ever speak at the same time."""
    parts = []
    for i, one in enumerate(instruments):
        rng = np.random.default_rng([seed, *one.symbol.encode()])
        parts += _ticks(rng, i, one, seconds, volatility, push, jump)
        if rate:
            due = START_NS + HOUR_NS + int(seconds * 500) * MS
            parts.append(events(1, ts_ns=due, kind=FUNDING, instrument=i, rate_e12=round(rate * 1e12)))
    return Stream(list(instruments), merged(parts, 3 * MS))


def _ticks(
    rng: np.random.Generator, i: int, one: Instrument, seconds: float, volatility: float, push: float, jump: int
) -> list[Array]:
    count = int(seconds * 5)
    ts = START_NS + HOUR_NS + np.arange(count) * 200 * MS + sum(one.symbol.encode()) % 41 * MS
    lean = np.clip(np.repeat(rng.normal(0, 0.6, count // 25 + 1), 25)[:count], -0.95, 0.95)
    moves = lean * push * volatility + rng.normal(0, volatility, count)
    mid = 1_000_000 + np.cumsum(moves).astype(np.int64) + np.where(np.arange(count) > count // 2, jump, 0)
    sizes = {"bid_lots": (5_000 * (1 + lean)).astype(np.int64), "ask_lots": (5_000 * (1 - lean)).astype(np.int64)}
    quotes = events(count, ts_ns=ts, kind=QUOTE, instrument=i, bid_ticks=mid - 1, ask_ticks=mid + 1, **sizes)
    traded = rng.random(count) < 0.7
    side = np.where(rng.random(count) < 0.5 + 0.4 * lean, 1, -1)[traded]
    columns = {"price_ticks": mid[traded] + side, "qty_lots": rng.integers(1, 3_000, len(side)), "side": side}
    return [quotes, events(len(side), ts_ns=ts[traded] + 50 * MS, kind=TRADE, instrument=i, **columns)]
