"""The sandbox's own books of Binance spot against a live run's journal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine_rig import Trading

from engine.contracts import records as r
from engine.contracts.instruments import E8, Instrument
from engine.core.state import CASH_ASSETS
from engine.research.replay import replay


async def agree(running: Trading, since: Trading | None = None) -> None:
    """What the journal says is what the venue's own books say, to the last unit; each order and fill there is ours
    exactly once; the journal replays to the same bytes. The engine has been stopped. `since`: the run before it."""
    blocks = [running.records()["record"]]
    if since is not None:
        blocks.insert(0, since.records()["record"])
    records = r.joined(blocks, r.RECORD)
    core = running.core.state
    for k, one in enumerate(running.core.instruments):
        await _agree_fills(running, k, one, records[records["instrument"] == k])
    account = await running.ask("/api/v3/account")
    held = {row["asset"]: Decimal(row["free"]) + Decimal(row["locked"]) for row in account["balances"]}
    for index, asset in enumerate(running.core.assets):
        assert held.get(asset, Decimal(0)) * E8 == int(core.balances[index]), (asset, held, core.balances)
    assert core.head[0].cash_e8 == sum(held.get(asset, Decimal(0)) for asset in CASH_ASSETS) * E8
    replayed = replay(running.service.run_dir)
    assert replayed.ok, replayed.first_difference


async def _agree_fills(running: Trading, number: int, one: Instrument, mine: Any) -> None:
    symbol = f"{one.base}{one.quote}"
    orders = {row["orderId"]: row for row in await running.ask("/api/v3/allOrders", symbol=symbol)}
    prefix = f"t{running.account}-"
    ours = {k: row for k, row in orders.items() if row["clientOrderId"].startswith(prefix)}
    sent = [int(x) for x in mine["client_id"][mine["kind"] == r.PLACE]]
    at_venue = [int(row["clientOrderId"].removeprefix(prefix)) for row in ours.values()]
    assert len(set(sent)) == len(sent) and len(set(at_venue)) == len(at_venue) and set(at_venue) <= set(sent)
    trades = [row for row in await running.ask("/api/v3/myTrades", symbol=symbol) if row["orderId"] in ours]
    fills = mine[mine["kind"] == r.FILL]
    theirs = sorted(
        (row["id"], int(Decimal(row["price"]) / one.tick_size), int(Decimal(row["qty"]) / one.lot_size),
         int(Decimal(row["commission"]) * E8), 1 if row["isBuyer"] else -1)
        for row in trades
    )  # fmt: skip
    told = sorted(
        zip(*(fills[name].tolist() for name in ("trade_id", "price_ticks", "qty_lots", "fee_e8", "side")), strict=True)
    )
    assert told == theirs
    working = sorted(int(o["client_id"]) for o in running.working(symbol=one.symbol))
    open_there = sorted(
        int(row["clientOrderId"].removeprefix(prefix))
        for row in await running.ask("/api/v3/openOrders", symbol=symbol) if row["clientOrderId"].startswith(prefix)
    )  # fmt: skip
    assert working == open_there
