"""An order somebody wants, what the simulated venue calls it, and the venue's reason against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.errors import Refused
from engine.sandbox.self_trade import EXPIRE_MAKER

ENGINE_TYPES: Final = {
    "LIMIT": r.LIMIT_ORDER, "LIMIT_MAKER": r.LIMIT_ORDER, "MARKET": r.MARKET, "STOP_LOSS": r.STOP_MARKET,
    "STOP_LOSS_LIMIT": r.STOP_LIMIT,
}  # fmt: skip
ENGINE_TIFS: Final = {"GTC": r.GTC, "IOC": r.IOC, "FOK": r.FOK}


class OrderRefused(Refused):
    """The simulated venue's reason (`engine.contracts.reasons`) against an order."""

    def __init__(self, reason: int) -> None:
        super().__init__(reasons.name(reason))
        self.reason = reason


@dataclass(frozen=True)
class Ticket:
    """An order somebody wants, in ticks and lots; 0 where a price does not apply. `stp`: how self-trades are
    prevented (`engine.sandbox.self_trade`)."""

    symbol: int
    side: int
    order_type: str
    tif: str
    lots: int
    ticks: int
    stop_ticks: int
    client_order_id: str
    quote_order_e8: int = 0
    stp: str = EXPIRE_MAKER


def cancel_of(symbol: int, engine_id: int, now_ms: int) -> Any:
    """The command that cancels an order, as one RECORD."""
    command: Any = np.zeros(1, r.RECORD)
    command["kind"], command["instrument"], command["client_id"] = r.CANCEL, symbol, engine_id
    command["ts_ns"] = now_ms * 1_000_000
    return command


def command_of(ticket: Ticket, engine_id: int, now_ms: int) -> Any:
    """The command that places it, as one RECORD."""
    command: Any = np.zeros(1, r.RECORD)
    command["kind"], command["instrument"], command["side"] = r.PLACE, ticket.symbol, ticket.side
    command["order_type"], command["tif"] = ENGINE_TYPES[ticket.order_type], ENGINE_TIFS[ticket.tif]
    command["bits"] = r.POST_ONLY if ticket.order_type == "LIMIT_MAKER" else 0
    command["price_ticks"], command["trigger_ticks"] = ticket.ticks, ticket.stop_ticks
    command["qty_lots"], command["client_id"] = ticket.lots, engine_id
    command["ts_ns"] = now_ms * 1_000_000
    return command
