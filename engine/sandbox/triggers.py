"""When conditional orders trigger: on the last price or the mark price, found in a block of market events at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.contracts import records as r
from engine.sandbox.perp_tape import PerpTape
from engine.sandbox.traders import AlgoOrder

Ticks = Any


def reference_ticks(tape: PerpTape, working_type: str) -> int:
    """The price a conditional order is compared with now."""
    return tape.mark if working_type == "MARK_PRICE" else tape.last_ticks


def prices(events: Any, tape: PerpTape, working_type: str) -> tuple[Ticks, Ticks]:
    """(places in `events`, ticks) of the prices that conditional orders of one kind see, in order. Where no mark price
    is recorded the mid stands in for it; the last price is the mid until something trades."""
    kind = events["kind"]
    mine = events["instrument"] == tape.index
    quoted = mine & ((kind == r.QUOTE) | ((kind == r.DEPTH) & (events["level"] == 0)))
    stood_in = tape.mark_ticks == 0 if working_type == "MARK_PRICE" else tape.next_trade_id == 1
    named = (kind == r.MARK) if working_type == "MARK_PRICE" else (kind == r.TRADE) | (kind == r.PATH)
    said = mine & (named | (kind == r.PATH))
    chosen = np.flatnonzero(said | quoted if stood_in else said)
    mids = (events["bid_ticks"][chosen] + events["ask_ticks"][chosen]) >> 1
    return chosen, np.where(said[chosen], events["price_ticks"][chosen], mids)


def trigger_place(algo: AlgoOrder, ticks: Ticks) -> int:
    """Place of the first price that triggers an order, or -1. A trailing one remembers how far the price got."""
    if algo.order_type == "TRAILING_STOP_MARKET":
        return _trail(algo, ticks)
    rises = algo.order_type.startswith("STOP") == (algo.side > 0)
    hits = ticks >= algo.trigger_ticks if rises else ticks <= algo.trigger_ticks
    return int(hits.argmax()) if hits.any() else -1


def _trail(algo: AlgoOrder, ticks: Ticks) -> int:
    """Follows highs for sells, lows for buys, from the activation on."""
    side = -algo.side
    for place, price in enumerate(ticks.tolist()):
        if algo.extreme_ticks == 0 and (price - algo.activate_ticks) * side < 0:
            continue
        algo.extreme_ticks = price if algo.extreme_ticks == 0 else side * max(side * price, side * algo.extreme_ticks)
        algo.trigger_ticks = algo.extreme_ticks * (10_000 - side * algo.callback_bps) // 10_000
        if (price - algo.trigger_ticks) * side <= 0:
            return place
    return -1


def first_triggered(events: Any, tapes: list[PerpTape], waiting: list[AlgoOrder]) -> tuple[int, list[AlgoOrder]]:
    """(how many events happen before, the orders that trigger on the last of them); all and none where none does."""
    earliest = len(events)
    found: list[AlgoOrder] = []
    before = [(algo, algo.extreme_ticks, algo.trigger_ticks) for algo in waiting]
    for algo in waiting:
        places, ticks = prices(events[:earliest], tapes[algo.symbol], algo.working_type)
        place = trigger_place(algo, ticks) if len(ticks) else -1
        if place < 0:
            continue
        count = int(places[place]) + 1
        if count < earliest:
            earliest, found = count, []
        found.append(algo)
    for algo, extreme, trigger in before:  # trailing orders may have looked too far ahead
        if algo.order_type == "TRAILING_STOP_MARKET":
            algo.extreme_ticks, algo.trigger_ticks = extreme, trigger
            _trail(algo, prices(events[:earliest], tapes[algo.symbol], algo.working_type)[1])
    return earliest, found
