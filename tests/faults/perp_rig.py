"""Perpetuals on the floor: what the futures venue's own books say, what a customer does there by hand, and the next
life of an engine."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

from engine_rig import Floor, Trading

from engine.contracts import records as r
from engine.journal.recovery import Recovered, recover_run

__all__ = [
    "PERP", "SPOT", "Books", "after", "by_hand", "closed", "enter_perp", "fault", "perp_books", "recovered",
    "set_leverage", "trader",
]  # fmt: skip

SPOT: Final = "BTC/USDT"
PERP: Final = "BTC/USDT:USDT"


class Books(NamedTuple):
    """The account's own: client ids of ordinary and of conditional orders, the position in lots, cash (1e-8 USDT)."""

    orders: list[str]
    algos: list[str]
    lots: int
    cash_e8: int


def trader(floor: Floor, account: int) -> Any:
    """A customer of the futures venue."""
    return floor.sandbox.sites["binance_usdm"].stage.accounts.numbered(account)


def perp_books(floor: Floor, account: int) -> Books:
    """What the venue has of an account, in the floor's first perpetual."""
    found = trader(floor, account)
    return Books(
        [order.client_order_id for order in found.working.values()],
        [algo.client_algo_id for algo in found.waiting()],
        int(found.positions[_tape(floor).index].lots),
        int(found.wallet_e8),
    )


def _tape(floor: Floor) -> Any:
    return floor.sandbox.sites["binance_usdm"].stage.by_name["BTCUSDT"]


async def enter_perp(running: Trading) -> None:
    """A position behind its stop, after two falling bars: there are no candles of a second to warm up with."""
    for _ in range(2):
        await running.move(0.9995, PERP)
    await running.enter(PERP)
    await running.guarded(PERP)
    await running.settle()


async def fault(floor: Floor, number: str, **fields: Any) -> None:
    """A fault at the futures venue, in the floor's first perpetual."""
    await asyncio.to_thread(floor.fault, number, venue="binance_usdm", symbol="BTCUSDT", **fields)


async def set_leverage(floor: Floor, account: int, leverage: int) -> None:
    """By the customer's hand: a position that can be liquidated."""

    async def change() -> None:
        floor.sandbox.sites["binance_usdm"].stage.set_leverage(trader(floor, account), _tape(floor).index, leverage)

    await asyncio.to_thread(floor.run, change())


async def by_hand(floor: Floor, account: int, path: str, method: str = "POST", **params: Any) -> Any:
    """A signed request of the customer's own to the futures venue."""
    before = floor.venue, floor.rest
    floor.venue = floor.line["venues"]["binance_usdm"]
    floor.rest = floor.venue["rest"]
    try:
        status, found, _ = await asyncio.to_thread(
            floor.call, method, path, account=account, symbol="BTCUSDT", **params
        )
    finally:
        floor.venue, floor.rest = before
    assert status == 200, found
    return found


def after(life: Trading) -> dict[str, Any]:
    """The plan of the life that follows."""
    return {"continues": recovered(life)}


def recovered(life: Trading) -> Recovered:
    """What is known of a life that ended."""
    return recover_run(life.service.run_dir)


def closed(running: Trading) -> list[int]:
    """Reasons of the trades that a life closed."""
    records = running.records()["record"]
    return [int(one) for one in records["reason"][records["kind"] == r.CLOSED]]
