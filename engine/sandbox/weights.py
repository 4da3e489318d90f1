"""Request weights and order counts: what a client has used, when it is told to wait, when it is banned.

Everything comes from one address, so that all clients of the sandbox share one budget, as they would at home.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from engine.sandbox.clock import Clock

MINUTE_WEIGHT: Final = 6000
TEN_SECOND_ORDERS: Final = 100
DAY_ORDERS: Final = 200_000
RAW_REQUESTS: Final = 61_000
WARNINGS: Final = 10
"""Requests answered 429 before the address is banned."""
BAN_MS: Final = 120_000


@dataclass
class Window:
    """What is used of one interval; intervals begin at whole multiples of their length."""

    length_ms: int
    limit: int
    start_ms: int = 0
    used: int = 0

    def add(self, amount: int, now_ms: int) -> bool:
        """Use some of it; True while the limit is kept."""
        start = now_ms // self.length_ms * self.length_ms
        if start != self.start_ms:
            self.start_ms, self.used = start, 0
        self.used += amount
        return self.used <= self.limit

    def left_ms(self, now_ms: int) -> int:
        """Until the next interval begins."""
        return self.length_ms - now_ms % self.length_ms


@dataclass
class Budget:
    """All that one address has used."""

    clock: Clock
    weight: Window = field(default_factory=lambda: Window(60_000, MINUTE_WEIGHT))
    orders: tuple[tuple[str, Window], ...] = field(
        default_factory=lambda: (("10S", Window(10_000, TEN_SECOND_ORDERS)), ("1D", Window(86_400_000, DAY_ORDERS)))
    )
    warnings: int = 0
    banned_until_ms: int = 0

    def charge(self, weight: int, is_forced: bool = False) -> tuple[int, int]:
        """(status, seconds to wait) of a request of this weight: 200; 429 above the limit (or where a fault
        forces it); 418 for those who do not listen, and while they are banned."""
        now = self.clock.now_ms()
        if now < self.banned_until_ms:
            return 418, -(-(self.banned_until_ms - now) // 1000)
        if self.weight.add(weight, now) and not is_forced:
            self.warnings = 0
            return 200, 0
        self.warnings += 1
        if self.warnings > WARNINGS:
            self.banned_until_ms, self.warnings = now + BAN_MS, 0
            return 418, BAN_MS // 1000
        return 429, -(-self.weight.left_ms(now) // 1000)

    def charge_order(self, orders: int = 1) -> tuple[int, str] | None:
        """Count orders; (limit, interval) where there were too many."""
        now = self.clock.now_ms()
        over = [(window.limit, name) for name, window in self.orders if not window.add(orders, now)]
        return over[0] if over else None

    def order_counts(self) -> list[dict[str, object]]:
        """Orders counted in the intervals that run now, as rateLimit/order shows them."""
        now, shown = self.clock.now_ms(), {"S": "SECOND", "M": "MINUTE", "D": "DAY"}
        for _, window in self.orders:
            window.add(0, now)
        return [
            {"rateLimitType": "ORDERS", "interval": shown[name[-1]], "intervalNum": int(name[:-1]),
             "limit": window.limit, "count": window.used}
            for name, window in self.orders
        ]  # fmt: skip

    def headers(self, with_orders: bool) -> dict[str, str]:
        """What is used, as the exchange's headers say it."""
        found = {"X-MBX-USED-WEIGHT": str(self.weight.used), "X-MBX-USED-WEIGHT-1M": str(self.weight.used)}
        if with_orders:
            found |= {f"X-MBX-ORDER-COUNT-{name}": str(window.used) for name, window in self.orders}
        return found
