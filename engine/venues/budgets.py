"""What the venues allow, as a literal table, and who may use the last part of it.

A budget is counted in one or more windows; a request is charged to all of them or to none. Counting is stricter than
the venues': they count in fixed windows, we never pass a limit in *any* window of that length.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, NamedTuple

HEADROOM: Final = 0.2  # share of every window that only cancels and exits may use
SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
DAY_MS: Final = 24 * 60 * MINUTE_MS


class Urgency(Enum):
    """Why a request is sent; the value says whether it leaves the head-room alone."""

    MARKET_DATA = ("market data", True)
    ENTRY = ("entry", True)
    EXIT = ("exit", False)  # also protective stops and reconciliation
    CANCEL = ("cancel", False)

    @property
    def leaves_headroom(self) -> bool:
        return self.value[1]


class Window(NamedTuple):
    """At most `limit` (requests or weight) in `length_ms`; `header` is where the venue says how much it counted."""

    limit: int
    length_ms: int
    header: str = ""


class Budget(NamedTuple):
    """`per`: what the venue counts by. `venue`: a 418, or a 429 on weight, stops all budgets of it."""

    venue: str
    per: Literal["ip", "account"]
    windows: tuple[Window, ...]


def ceiling(limit: int, urgency: Urgency) -> int:
    """How far into a window of `limit` such a request may go."""
    return int(limit * (1 - HEADROOM)) if urgency.leaves_headroom else limit


# Sources: developers.binance.com, spot "LIMITS" and GET /api/v3/exchangeInfo (rateLimits); derivatives, USD-M
# "LIMITS" and GET /fapi/v1/exchangeInfo (rateLimits); spot websocket "rate limits" (300 connections in 5 minutes per
# IP); docs.cdp.coinbase.com, Advanced Trade "REST API rate limits" (private per user, public per IP).
BUDGETS: Final[dict[str, Budget]] = {
    "binance.spot.weight": Budget("binance.spot", "ip", (Window(6_000, MINUTE_MS, "x-mbx-used-weight-1m"),)),
    "binance.spot.raw": Budget("binance.spot", "ip", (Window(61_000, 5 * MINUTE_MS),)),
    "binance.spot.orders": Budget("binance.spot", "account", (
        Window(100, 10 * SECOND_MS, "x-mbx-order-count-10s"), Window(200_000, DAY_MS, "x-mbx-order-count-1d"),
    )),
    "binance.spot.connections": Budget("binance.spot", "ip", (Window(300, 5 * MINUTE_MS),)),
    "binance.usdm.weight": Budget("binance.usdm", "ip", (Window(2_400, MINUTE_MS, "x-mbx-used-weight-1m"),)),
    "binance.usdm.orders": Budget("binance.usdm", "account", (
        Window(300, 10 * SECOND_MS, "x-mbx-order-count-10s"), Window(1_200, MINUTE_MS, "x-mbx-order-count-1m"),
    )),
    "coinbase.private": Budget("coinbase", "account", (Window(30, SECOND_MS),)),
    "coinbase.public": Budget("coinbase", "ip", (Window(10, SECOND_MS),)),
}  # fmt: skip
