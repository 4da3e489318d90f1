"""The account behind a key: whether it may be traded, and what lies in it."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, Literal, TypeVar

import msgspec

from engine.contracts.errors import Refused, Retryable
from engine.contracts.records import BUY, SELL
from engine.venues.binance.dialects import Call
from engine.venues.binance.execution import BinanceExecution
from engine.venues.binance.link import Link
from engine.venues.binance.queries import AlgoState, OrderState
from engine.venues.binance.slate import Market
from engine.venues.binance.usdm_account import UsdmAccount
from engine.venues.budgets import Urgency
from engine.venues.port import AccountFacts, OpenOrder, Position, Records, Wallet
from engine.venues.undecodable import Undecodable

T = TypeVar("T")
RESTRICTIONS: Final = Call("/sapi/v1/account/apiRestrictions", 1)
UNTOLD: Final = "the key's permissions are not told here (only in production): see that it may not withdraw"


class Restrictions(msgspec.Struct):
    """`{"ipRestrict":true,"enableReading":true,"enableWithdrawals":false,"enableSpotAndMarginTrading":true,
    "enableFutures":false,...}`"""

    ipRestrict: bool = False
    enableWithdrawals: bool = False
    enableSpotAndMarginTrading: bool = False
    enableFutures: bool = False


class Coin(msgspec.Struct):
    """One of `balances`."""

    asset: str
    free: Decimal
    locked: Decimal


class SpotState(msgspec.Struct):
    """`{"canTrade":true,"balances":[{"asset":"BTC","free":"1.0","locked":"0.0"}]}`"""

    canTrade: bool
    balances: list[Coin]
    uid: int = 0


class BinanceAccount:
    """Account of one Binance market."""

    def __init__(self, link: Link, execution: BinanceExecution) -> None:
        self._link, self._execution = link, execution
        self.owner = 0  # whose account it is, known once checked, where the venue tells
        self._usdm = UsdmAccount(link) if link.dialect.algo_types else None
        self._told: set[str] = set()

    async def check(self) -> AccountFacts:
        link = self._link
        if link.rest.signer is None:
            raise Refused(f"{link.venue}: trading needs a key; give key and secret")
        await link.rest.measure_clock()
        rights = await self._rights()
        if rights is not None and rights.enableWithdrawals:
            raise Refused(
                f"{link.venue}: this key may withdraw; switch off 'Enable Withdrawals' for it, or make a new key"
            )
        can_trade, notes = await self._can_trade(rights)
        fees = {}
        for symbol in link.loaded:
            fees[symbol] = await link.fees(symbol)
        return AccountFacts(
            can_trade=can_trade,
            can_withdraw=False,
            is_ip_bound=None if rights is None else rights.ipRestrict,
            fees=fees,
            notes=notes,
            clock_offset_ms=link.rest.clock.offset_ms,
        )

    async def _can_trade(self, rights: Restrictions | None) -> tuple[bool, tuple[str, ...]]:
        notes: tuple[str, ...] = ()
        if rights is None:
            notes = (UNTOLD,)
        elif not rights.ipRestrict:
            notes = ("the key is bound to no address; bind it to this machine's on Binance's API page",)
        if self._usdm is not None:
            may, state = rights is None or rights.enableFutures, await self._usdm.check()
        else:
            may = rights is None or rights.enableSpotAndMarginTrading
            told = await self._get(self._link.dialect.account, SpotState)
            state, self.owner = told.canTrade, told.uid
        if not may:
            raise Refused(f"{self._link.venue}: the key may not trade here; enable it on Binance's API page")
        return state, notes

    async def _rights(self) -> Restrictions | None:
        """The key's permissions; None where the venue does not tell them (test networks)."""
        rest = self._link.rest
        if not rest.endpoints.wallet:
            return None
        answer = await rest.exchange("GET", RESTRICTIONS, {}, True, Urgency.EXIT, rest.endpoints.wallet)
        if answer.status == 404:
            return None
        return self._decoded(rest.judged(answer, RESTRICTIONS), Restrictions)

    async def open_orders(self) -> list[OpenOrder]:
        link = self._link.running()
        found = []
        for order in await self._get(link.dialect.open_orders, list[OrderState]):
            number = link.by_symbol.get(order.symbol)
            if number is None:
                self._once(f"an order of {order.symbol}, which is not traded here, is open")
            else:
                found.append(self._open(number, order, "orders"))
        if link.dialect.open_algo_orders is not None:
            for algo in await self._get(link.dialect.open_algo_orders, list[AlgoState]):
                number = link.by_symbol.get(algo.symbol)
                if number is not None:
                    found.append(self._open(number, algo, "algo"))
                    if found[-1].client_id is not None:
                        link.note_book(found[-1].client_id, True)
        return found

    async def wallets(self) -> list[Wallet]:
        if self._usdm is not None:
            return await self._usdm.wallets()
        state = await self._get(self._link.dialect.account, SpotState)
        return [Wallet(asset=c.asset, free=c.free, locked=c.locked) for c in state.balances if c.free or c.locked]

    async def positions(self) -> list[Position]:
        return [] if self._usdm is None else await self._usdm.positions()

    async def fills_since(self, since_ns: int) -> int:
        return await self._execution.queries.fills_since(since_ns)

    async def foreign_fills(self, instrument: int, since_ns: int) -> Records:
        return await self._execution.queries.foreign_fills(instrument, since_ns)

    def _once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._link.say("foreign", text)

    # --- shapes -----------------------------------------------------------------------------------------

    def _open(self, number: int, order: OrderState | AlgoState, book: Literal["orders", "algo"]) -> OpenOrder:
        market = Market(number, self._link.mine[number])
        try:
            return OpenOrder(
                instrument=number,
                client_id=self._link.client_ids.decode(order.clientOrderId),
                client_text=order.clientOrderId,
                venue_order_id=str(order.orderId),
                book=book,
                side=BUY if order.side == "BUY" else SELL,
                order_type=order.type,
                qty_lots=market.sizes[order.origQty],
                filled_lots=market.sizes[order.executedQty],
                price_ticks=market.prices.or_zero(order.price),
                trigger_ticks=market.prices.or_zero(order.stopPrice),
            )
        except Undecodable as error:
            raise Retryable(str(error)) from None

    async def _get(self, call: Call, shape: type[T]) -> T:
        return self._decoded(await self._link.rest.get(call, signed=True, urgency=Urgency.EXIT), shape)

    def _decoded(self, body: bytes, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=shape)
        except msgspec.MsgspecError as error:
            raise Retryable(f"{self._link.venue}: an answer about the account cannot be read: {error}") from None
