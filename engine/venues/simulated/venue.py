"""The paper world's venue: the prices of a real one, with simulated orders and a simulated account.

It stands behind the same port as a real venue, and its orders meet the same `engine.simulation` as in a backtest:
whoever trades on it cannot tell, and needs no mode. Everything it shows to people says that it is simulated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.contracts.errors import Retryable
from engine.contracts.instruments import E8, Instrument
from engine.contracts.records import FILL, ORDER_TYPES, RECORD
from engine.simulation.venue import SimulationModel
from engine.venues.port import (
    Account,
    AccountFacts,
    Inlet,
    MarketData,
    Notice,
    OpenOrder,
    Position,
    Records,
    StreamHealth,
    Venue,
    Wallet,
)
from engine.venues.simulated.clock import Clock, WallClock
from engine.venues.simulated.desk import Desk
from engine.venues.simulated.history import picked

SIMULATED: Final = "simulated account: real prices, no real order, no real money"


def open_simulated(
    market: MarketData,
    model: SimulationModel,
    capital_usd: float,
    *,
    folder: Path | None = None,
    clock: Clock | None = None,
) -> Venue:
    """Trade on paper at the prices of `market`, with an account of `capital_usd` (1..10,000,000).

    `folder` is where the account is saved and found again, one of its own for each venue; without one it is gone
    with the process. One call for each real venue: the accounts know nothing of each other. `market` runs before
    or beside `execution`, with the same instruments.
    """
    desk = Desk(market.name, model, capital_usd, folder, clock or WallClock())
    return Venue(market.name, _Market(market, desk), _Execution(desk), _Account(desk))


class _Tap:
    """An inlet on the way to the engine's: what is heard happens at the simulated venue first."""

    def __init__(self, desk: Desk, inlet: Inlet) -> None:
        self._desk, self._inlet = desk, inlet

    def market(self, records: Records, count: int) -> None:
        self._desk.market(records, count)
        self._inlet.market(records, count)

    def account(self, records: Records, count: int) -> None:
        self._desk.rules(records, count)
        self._inlet.account(records, count)

    def notice(self, notice: Notice) -> None:
        self._inlet.notice(notice)


class _Market:
    """The real market data, tapped."""

    def __init__(self, real: MarketData, desk: Desk) -> None:
        self._real, self._desk = real, desk

    @property
    def name(self) -> str:
        return self._real.name

    async def load(self, symbols: Sequence[str]) -> list[Instrument]:
        return await self._real.load(symbols)

    async def history(self, number: int, instrument: Instrument, timeframe_s: int, count: int) -> Records:
        return await self._real.history(number, instrument, timeframe_s, count)

    async def run(self, instruments: Sequence[Instrument], inlet: Inlet) -> None:
        self._desk.open(instruments)
        await self._real.run(instruments, _Tap(self._desk, inlet))

    def health(self) -> list[StreamHealth]:
        return self._real.health()


class _Execution:
    """Orders to the simulated venue."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def run(self, instruments: Sequence[Instrument], inlet: Inlet) -> None:
        self._desk.open(instruments)
        await self._desk.run(inlet)

    @property
    def is_ready(self) -> bool:
        return self._desk.is_running

    def send(self, command: Any) -> None:
        self._desk.send(command)

    def know(self, instrument: int, trade_ids: Iterable[int]) -> None:
        self._desk.seen.remember(instrument, trade_ids)

    async def ask(self, instrument: int, client_id: int) -> bool:
        """As the port says. A question takes the assumed latencies, so answers under way come before its own.
        Raises Retryable while the order itself, or what was said about it, is still on its way."""
        desk = self._desk
        await desk.round_trip()
        if desk.is_under_way(client_id):
            raise Retryable(f"{desk.name}: simulated order {client_id}, or its answer, is on its way; ask again later")
        said = desk.history.of(client_id, desk.told)
        said = picked(said, said["instrument"] == instrument)
        is_fill = said["kind"] == FILL
        state = picked(said, ~is_fill)[-1:]
        if not len(state):
            state = desk.standing(instrument, client_id)
        desk.tell(picked(said, is_fill))
        desk.tell(state)
        return bool(len(said) or len(state))

    def health(self) -> list[StreamHealth]:
        desk = self._desk
        return [StreamHealth("simulated orders", desk.is_running, desk.told_ns, desk.told, 0, 0, 0)]


class _Account:
    """Questions about the simulated account. Before it runs they raise Retryable."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def check(self) -> AccountFacts:
        """Nothing can be wrong with it. Its fees are those of the instruments it runs with."""
        return AccountFacts(can_trade=True, can_withdraw=False, is_ip_bound=None, notes=(SIMULATED,))

    async def open_orders(self) -> list[OpenOrder]:
        flat = self._desk.paper.flat
        return [self._shown(flat.orders[slot]) for slot in flat.live[: flat.head[0].live_count]]

    def _shown(self, order: Any) -> OpenOrder:
        left, client_id = int(order.left_lots), int(order.client_id)
        whole = max(self._desk.history.quantity(client_id), left)
        return OpenOrder(
            instrument=int(order.instrument),
            client_id=client_id,
            client_text=f"simulated-{client_id}",
            venue_order_id=str(order.venue_order_id),
            book="orders",
            side=int(order.side),
            order_type=ORDER_TYPES[int(order.order_type)],
            qty_lots=whole,
            filled_lots=whole - left,
            price_ticks=int(order.price_ticks),
            trigger_ticks=int(order.trigger_ticks),
        )

    async def wallets(self) -> list[Wallet]:
        """Cash (margin of positions counts as locked), and coins, added up over the symbols they are held by."""
        flat = self._desk.paper.flat
        head = flat.head[0]
        locked = int(head.locked_e8) + int(head.margin_e8)
        found = {self._desk.cash_asset: [int(head.cash_e8) - locked, locked]}
        for number, one in self._desk.mine:
            if one.kind == "spot":
                held, promised = flat.holdings[number], int(flat.promised_e8[number])
                sums = found.setdefault(one.base, [0, 0])
                sums[0] += int(held.base_e8) - promised
                sums[1] += promised
        return [
            Wallet(asset=asset, free=Decimal(free) / E8, locked=Decimal(locked) / E8)
            for asset, (free, locked) in found.items()
            if free or locked
        ]

    async def positions(self) -> list[Position]:
        holdings = self._desk.paper.flat.holdings
        return [
            Position(
                instrument=number,
                qty_lots=int(holdings[number].qty_lots),
                entry_price=_entry_price(one, int(holdings[number].cost_e8), int(holdings[number].qty_lots)),
            )
            for number, one in self._desk.mine
            if holdings[number].qty_lots
        ]

    async def fills_since(self, since_ns: int) -> int:
        """Fills of an earlier process too, as long as they are remembered (see `history.KEPT`)."""
        desk = self._desk
        return desk.tell(desk.history.fills(desk.told, since_ns))

    async def foreign_fills(self, instrument: int, since_ns: int) -> Records:
        """Nobody else trades on a simulated account."""
        none: Records = np.zeros(0, RECORD)
        return none


class ShadowAccount(_Account):
    """The simulated account of the shadow world, beside a real one whose key, rights and fees are checked."""

    def __init__(self, real: Account, simulated: Venue) -> None:
        assert isinstance(simulated.account, _Account)
        super().__init__(simulated.account._desk)
        self._real = real

    async def check(self) -> AccountFacts:
        """The real account's."""
        return await self._real.check()


def _entry_price(one: Instrument, cost_e8: int, lots: int) -> Decimal:
    """Average price of a position, in quote units."""
    return Decimal(cost_e8) / E8 / (abs(lots) * one.lot_size * one.contract_size)
