"""A foreign position taken over by a person's word: from then on it is ours, with the stop that the person names."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from engine.contracts import reasons
from engine.contracts.errors import BadInput, Refused
from engine.contracts.records import ADOPTED, BUY, FILL, OPERATOR, RECORD, SELL
from engine.core.state import Core
from engine.venues.port import Position

Records = np.ndarray[Any, Any]


def adoption(core: Core, foreign: Mapping[int, Position], name: str, stop: float) -> Records:
    """The events by which the foreign position in ``venue:SYMBOL`` becomes ours: whose it is with its stop (a price),
    and a fill at the venue's entry price. The core then places the stop as it does for any other position.

    Raises BadInput naming what is wrong with instrument or stop, Refused where nothing foreign lies there.
    """
    known = {f"{one.venue}:{one.symbol}": i for i, one in enumerate(core.instruments)}
    if name not in known:
        raise BadInput(f"{name} is not traded here; known: {', '.join(sorted(known))}")
    i = known[name]
    one, lots = core.instruments[i], int(core.state.positions[i]["foreign_lots"])
    if lots == 0 or i not in foreign:
        raise Refused(f"no foreign position is known in {name}; trading-cli foreign lists what there is")
    side = BUY if lots > 0 else SELL
    entry = round(foreign[i].entry_price / one.tick_size)
    ticks = round(Decimal(str(stop)) / one.tick_size)
    book = core.state.books[i]
    touch = int(book["bid_ticks"] if side == BUY else book["ask_ticks"]) or entry
    if ticks <= 0 or (touch - ticks) * side <= 0:
        where = "below" if side == BUY else "above"
        price = touch * one.tick_size
        raise BadInput(f"stop = {stop:g} must lie {where} the price ({price:f}) of a position of {lots} lots")
    events = np.zeros(2, RECORD)
    events["instrument"], events["ts_ns"] = i, time.time_ns()
    events["kind"] = (OPERATOR, FILL)
    events["reason"][0], events["trigger_ticks"][0] = reasons.OPERATOR_ADOPT, ticks
    fill = events[1]
    fill["venue_ts_ns"], fill["side"], fill["bits"] = fill["ts_ns"], side, ADOPTED
    fill["price_ticks"], fill["qty_lots"], fill["fee_e8"], fill["trade_id"] = entry, abs(lots), 0, -time.time_ns()
    return events
