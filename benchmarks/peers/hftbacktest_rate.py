"""How many feed events a second hftbacktest takes in, with the simplest compiled strategy and no orders.

The recorded best quotes become what hftbacktest reads natively: level updates of a book that is always one level
deep (a changed side is one event; a moved price is two, the new level and the removal of the old one). They are held
in memory, so no file is read while the clock runs. Two ways of stepping are timed, both with an EMA of the mid price:
`per_feed_event` looks after every message, `elapse_100ms` every 100 ms of recorded time, which is hftbacktest's
usual and cheaper way. The faster one is the headline.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hftbacktest
import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
    ROIVectorMarketDepthBacktest,
)
from hftbacktest.data import validate_event_order
from hftbacktest.types import event_dtype
from numba import njit
from numpy.typing import NDArray
from recorded_quotes import Quotes, load_quotes, tile

TICK_SIZE = 0.1  # BTCUSDT on Binance USD-M in August 2024
LOT_SIZE = 0.001
EMA_ALPHA = 0.01
STEP_NS = 100_000_000
BID = DEPTH_EVENT | EXCH_EVENT | LOCAL_EVENT | BUY_EVENT
ASK = DEPTH_EVENT | EXCH_EVENT | LOCAL_EVENT | SELL_EVENT
Strategy = Callable[[Any, float, int], tuple[float, int]]


@njit
def _put(events: Any, row: int, kind: int, exch_ns: int, local_ns: int, price: float, size: float) -> int:
    events[row].ev = kind
    events[row].exch_ts = exch_ns
    events[row].local_ts = local_ns
    events[row].px = price
    events[row].qty = size
    return row + 1


@njit
def _encode(exch: Any, local: Any, bid: Any, bid_size: Any, ask: Any, ask_size: Any, events: Any) -> int:
    """Write level updates into `events`, return how many. Clearing before crossing keeps the book uncrossed."""
    row = 0
    for i in range(len(bid)):
        t, u = exch[i], local[i]
        if i > 0 and bid[i] < bid[i - 1]:
            row = _put(events, row, BID, t, u, bid[i], bid_size[i])
            row = _put(events, row, BID, t, u, bid[i - 1], 0.0)
        if i == 0 or ask[i] != ask[i - 1] or ask_size[i] != ask_size[i - 1]:
            row = _put(events, row, ASK, t, u, ask[i], ask_size[i])
        if i > 0 and ask[i] != ask[i - 1]:
            row = _put(events, row, ASK, t, u, ask[i - 1], 0.0)
        if i == 0 or bid[i] > bid[i - 1] or (bid[i] == bid[i - 1] and bid_size[i] != bid_size[i - 1]):
            row = _put(events, row, BID, t, u, bid[i], bid_size[i])
        if i > 0 and bid[i] > bid[i - 1]:
            row = _put(events, row, BID, t, u, bid[i - 1], 0.0)
    return row


def level_updates(quotes: Quotes) -> NDArray[Any]:
    events = np.zeros(4 * len(quotes.bid), event_dtype)
    count = _encode(*quotes, events)
    events = events[:count]
    validate_event_order(events)
    return events


@njit
def per_feed_event(hbt: Any, alpha: float, step_ns: int) -> tuple[float, int]:
    """EMA of the mid after every message; returns it and the number of looks."""
    ema = 0.0
    looks = 0
    depth = hbt.depth(0)
    while hbt.wait_next_feed(False, 9_000_000_000_000_000) == 2:
        mid = (depth.best_bid + depth.best_ask) * 0.5
        if mid == mid:  # NaN until both sides are there
            ema = mid if looks == 0 else ema + alpha * (mid - ema)
            looks += 1
    return ema, looks


@njit
def elapse_100ms(hbt: Any, alpha: float, step_ns: int) -> tuple[float, int]:
    """EMA of the mid every `step_ns`; returns it and the number of looks."""
    ema = 0.0
    looks = 0
    depth = hbt.depth(0)
    while hbt.elapse(step_ns) == 0:
        mid = (depth.best_bid + depth.best_ask) * 0.5
        if mid == mid:
            ema = mid if looks == 0 else ema + alpha * (mid - ema)
            looks += 1
    return ema, looks


STRATEGIES: dict[str, Strategy] = {"per_feed_event": per_feed_event, "elapse_100ms": elapse_100ms}
DEPTHS = {"roivec": ROIVectorMarketDepthBacktest, "hashmap": HashMapMarketDepthBacktest}


def backtest(events: NDArray[Any], depth: str, bounds: tuple[float, float]) -> Any:
    asset = (
        BacktestAsset()
        .data([events])
        .linear_asset(1.0)
        .constant_order_latency(1_000_000, 1_000_000)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0002, 0.0005)
        .tick_size(TICK_SIZE)
        .lot_size(LOT_SIZE)
        .last_trades_capacity(0)
        .roi_lb(bounds[0])
        .roi_ub(bounds[1])
    )
    return DEPTHS[depth]([asset])


def expected_ema(quotes: Quotes, alpha: float) -> tuple[float, int]:
    """What `per_feed_event` must return: messages of the same local time are one look; the last one ends the run."""
    last = np.append(np.diff(quotes.local_ns) > 0, False)
    mids = ((quotes.bid + quotes.ask) * 0.5)[last]
    ema = float(mids[0])
    for mid in mids[1:].tolist():
        ema += alpha * (mid - ema)
    return ema, len(mids)


def rate(name: str, depth: str, events: NDArray[Any], bounds: tuple[float, float], repeats: int) -> list[float]:
    """Events per second of each repeat; only the strategy's own loop is timed."""
    rates = []
    for _ in range(repeats):
        hbt = backtest(events, depth, bounds)
        started = time.perf_counter()
        STRATEGIES[name](hbt, EMA_ALPHA, STEP_NS)
        rates.append(len(events) / (time.perf_counter() - started))
        hbt.close()
    return rates


def measure(path: Path, min_events: int, repeats: int) -> dict[str, Any]:
    recorded = load_quotes(path)
    bounds = (float(recorded.bid.min()) - 10.0, float(recorded.ask.max()) + 10.0)
    once = level_updates(recorded)
    ema, looks = per_feed_event(backtest(once, "roivec", bounds), EMA_ALPHA, STEP_NS)  # also compiles
    want, want_looks = expected_ema(recorded, EMA_ALPHA)
    if abs(ema - want) > 1e-6 or looks != want_looks:
        raise SystemExit(
            f"hftbacktest saw other quotes than were recorded: {ema} in {looks}, not {want} in {want_looks}"
        )
    quotes = tile(recorded, -(-min_events // len(once)))
    events = level_updates(quotes)
    variants: dict[str, dict[str, Any]] = {}
    for depth in DEPTHS:
        for name, strategy in STRATEGIES.items():
            strategy(backtest(once, depth, bounds), EMA_ALPHA, STEP_NS)  # compile for this depth type
            rates = rate(name, depth, events, bounds, repeats)
            variants[f"{name}.{depth}"] = {
                "median_events_per_s": round(statistics.median(rates)),
                "best_events_per_s": round(max(rates)),
                "repeats": [round(r) for r in rates],
            }
    fastest = max(variants, key=lambda name: variants[name]["median_events_per_s"])
    head = variants[fastest]
    return {
        "hftbacktest_events_per_s": head["median_events_per_s"],
        "hftbacktest_events_per_s_best": head["best_events_per_s"],
        "hftbacktest_quotes_per_s": round(head["median_events_per_s"] * len(quotes.bid) / len(events)),
        "fastest": fastest,
        "events": len(events),
        "quotes": len(quotes.bid),
        "version": hftbacktest.__version__,
        "repeats": head["repeats"],
        "variants": variants,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path, help="quotes Parquet, e.g. $KEEL_DATA_DIR/book/binance_hft_bbo.parquet")
    parser.add_argument("--events", type=int, default=5_000_000, help="at least this many feed events (default 5 M)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    args = parser.parse_args()
    print(json.dumps(measure(args.input, args.events, args.repeats), indent=None if args.json else 2))


if __name__ == "__main__":
    main()
