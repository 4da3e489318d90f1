"""Somebody who acts in a dead engine's place on the floor, with the account's own key and orders of its own."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from engine_rig import Floor, Trading

from engine.runtime.flatten import Flatten, Standing
from engine.runtime.ours import Ours, read_ours
from engine.runtime.watchplan import Policy
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.endpoints import MarketName, given
from engine.venues.binance.venue import open_binance
from engine.venues.limiter import RateLimiter
from engine.venues.port import Venue
from engine.venues.signing import Secret

__all__ = ["Work", "held", "open_there", "order_by_hand", "stand_in_venue", "trades"]

PATIENCE_S = 20.0


def stand_in_venue(
    floor: Floor, account: int, market: MarketName = "spot", name: str = "sandbox", key_of: int | None = None
) -> Venue:
    """The venue as whoever stands in opens it."""
    line = floor.line["venues"][f"binance_{market}"]
    own = line["accounts"][account if key_of is None else key_of]
    limiter = RateLimiter(floor.redis.asynchronous(), name, f"account{account}")
    ids = ClientIds(f"t{account}").stand_in()
    return open_binance(
        market, given(line), own["key"], Secret(own["secret"]), limiter, ids, name=name, answer_s=0.5
    )  # fmt: skip


class Work:
    """One stand-in's work on what a run left, and what it told."""

    def __init__(self, running: Trading, policy: Policy, *venues: Venue, ours: Ours | None = None) -> None:
        self.told: list[tuple[Standing, ...]] = []
        self.said: list[str] = []
        self.ours = ours or read_ours(running.service.run_dir)
        self.flatten = Flatten(venues, self.ours, policy, self.told.append, self.said.append)

    async def done(self) -> Standing:
        """Until it is done; how the first venue stands."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.flatten.run()
        except TimeoutError:
            raise AssertionError(f"it is not done: {self.told[-3:]} {self.said}") from None
        return self.flatten.standing[0]


async def open_there(running: Trading) -> dict[str, str]:
    """Client id -> type of all that is open in the ordinary book of the account's symbol."""
    rows = await running.ask("/api/v3/openOrders", symbol=running.name)
    return {row["clientOrderId"]: row["type"] for row in rows}


async def trades(running: Trading) -> list[tuple[bool, Decimal]]:
    """(is a buy, quantity) of the account's trades in its symbol."""
    rows = await running.ask("/api/v3/myTrades", symbol=running.name)
    return [(row["isBuyer"], Decimal(row["qty"])) for row in rows]


async def held(running: Trading) -> Decimal:
    """Coins of the account's symbol, promised ones too."""
    rows = (await running.ask("/api/v3/account"))["balances"]
    coin = running.name.removesuffix("USDT")
    return sum((Decimal(row["free"]) + Decimal(row["locked"]) for row in rows if row["asset"] == coin), Decimal(0))


async def order_by_hand(running: Trading, client_id: str, path: str = "/api/v3/order", **params: Any) -> None:
    """An order of the account that its engine did not send (or did not live to hear of)."""
    given_params = {"symbol": running.name, "newClientOrderId": client_id} | params
    call = running.floor.call
    status, found, _ = await asyncio.to_thread(call, "POST", path, account=running.account, **given_params)
    assert status == 200, found
