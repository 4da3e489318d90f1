"""Dislocations by the control endpoint: one at once, and what became of all that began."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.contracts.errors import BadInput
from engine.markets.dislocations import Dislocating
from engine.sandbox.exchange import Exchange


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """``{"symbol": "ETHBTC", "bps": -60}``: the book of a pair goes so far below (above) the others, for so long."""

    symbol: str
    bps: float
    duration_ms: int = 2_000
    depth_usd: float = 1_000.0
    venue: str = ""


def begin_dislocation(exchange: Exchange, body: bytes) -> Any:
    """A dislocation from the next quote of the symbol on, in market time. Raises BadInput."""
    wanted = msgspec.json.decode(body, type=Wanted)
    tape = exchange.by_name.get(wanted.symbol)
    if tape is None:
        raise BadInput(f"symbol = {wanted.symbol!r}: known are {', '.join(exchange.by_name)}")
    how = Dislocating(bps=abs(wanted.bps), duration_ms=wanted.duration_ms, depth_usd=wanted.depth_usd)
    exchange.dislocated.add(tape.instrument.symbol, wanted.bps, how.duration_ms * 1_000_000, how.depth_usd)
    return {"done": True}


def dislocations(exchange: Exchange, body: bytes) -> Any:
    """``begun``: symbol, bps, lots taken of it, whether all of it was, and whether it ``stands`` now."""
    told = exchange.dislocated
    return {
        "begun": [
            {
                "symbol": exchange.tapes[one.number].name, "bps": one.plan.bps, "taken_lots": one.taken_lots,
                "is_taken": one.is_taken, "stands": told.stands(one),
            }
            for one in told.begun
        ]
    }  # fmt: skip
