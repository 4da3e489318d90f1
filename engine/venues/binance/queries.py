"""Questions about orders and fills over HTTP, and the records their answers become."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Final, TypeVar

import msgspec
import numpy as np

from engine.contracts import reasons
from engine.contracts.errors import Retryable
from engine.contracts.records import (
    BUY,
    CANCEL_ACK,
    FEE_IN_BASE,
    FILL,
    FORCED,
    MAKER,
    ORDER_ACK,
    ORDER_EXPIRED,
    ORDER_REJECT,
    ORDER_TRIGGERED,
    RECORD,
    SELL,
)
from engine.venues.binance.decimals import fee_e8, signed, time_ns
from engine.venues.binance.dialects import Call
from engine.venues.binance.faults import verdict
from engine.venues.binance.link import Link
from engine.venues.binance.orders import RESTING_STOPS
from engine.venues.binance.slate import Market
from engine.venues.binance.teller import Teller
from engine.venues.budgets import Urgency
from engine.venues.port import Records
from engine.venues.signing import Value
from engine.venues.undecodable import Undecodable

T = TypeVar("T")
PAGE: Final = 1000
MOST_SPANS: Final = 7
"""How far back fills are asked for: a week on spot, seven on USD-M."""
AHEAD_MS: Final = 10_000  # clocks differ: a trade of just now must not fall out
STATES: Final[dict[str, int]] = {
    "NEW": ORDER_ACK,
    "PENDING_NEW": ORDER_ACK,
    "PARTIALLY_FILLED": ORDER_ACK,
    "FILLED": ORDER_ACK,
    "PENDING_CANCEL": ORDER_ACK,
    "CANCELED": CANCEL_ACK,
    "REJECTED": ORDER_REJECT,
    "EXPIRED": ORDER_EXPIRED,
    "EXPIRED_IN_MATCH": ORDER_EXPIRED,
    # of conditional orders
    "TRIGGERING": ORDER_ACK,
    "TRIGGERED": ORDER_TRIGGERED,
    "FINISHED": ORDER_ACK,
}
"""Status -> the record that says so, after the order's fills."""


class OrderState(msgspec.Struct):
    """`{"symbol":"BTCUSDT","orderId":1,"clientOrderId":"keel-7","price":"1.0","origQty":"1","executedQty":"0",
    "status":"NEW","type":"LIMIT","side":"BUY","stopPrice":"0","updateTime":1,"isWorking":true}`"""

    symbol: str
    orderId: int
    clientOrderId: str
    price: str
    origQty: str
    executedQty: str
    status: str
    type: str
    side: str
    updateTime: int
    stopPrice: str = "0"
    isWorking: bool = True


class AlgoState(msgspec.Struct):
    """`{"symbol":"BTCUSDT","algoId":1,"clientAlgoId":"keel-7","orderType":"STOP_MARKET","side":"SELL","quantity":"1",
    "algoStatus":"NEW","triggerPrice":"750.0","price":"0","actualOrderId":"","updateTime":1}`

    Named here as an order's fields are."""

    symbol: str
    orderId: int = msgspec.field(name="algoId")
    clientOrderId: str = msgspec.field(name="clientAlgoId")
    origQty: str = msgspec.field(name="quantity")
    status: str = msgspec.field(name="algoStatus")
    type: str = msgspec.field(name="orderType")
    side: str
    updateTime: int
    stopPrice: str = msgspec.field(name="triggerPrice", default="0")
    price: str = "0"
    actualOrderId: str | int | None = None
    executedQty: ClassVar[str] = "0"  # what it became when it triggered is filled, not it


class OwnTrade(msgspec.Struct):
    """`{"symbol":"BTCUSDT","id":28457,"orderId":1,"price":"4.0","qty":"12","commission":"0.01",
    "commissionAsset":"BNB","time":1,"isBuyer":true,"isMaker":false}`; USD-M says buyer and maker."""

    id: int
    orderId: int
    price: str
    qty: str
    commission: str
    commissionAsset: str
    time: int
    isBuyer: bool | None = None
    isMaker: bool | None = None
    buyer: bool = False
    maker: bool = False

    @property
    def side(self) -> int:
        return BUY if (self.buyer if self.isBuyer is None else self.isBuyer) else SELL

    @property
    def is_maker(self) -> bool:
        return self.maker if self.isMaker is None else self.isMaker


class Queries:
    """Asks, and tells the answers through the teller. Every failed question raises Retryable."""

    def __init__(self, link: Link, teller: Teller) -> None:
        self._link, self._teller = link, teller
        self._markets = {n: Market(n, one) for n, one in link.mine.items()}

    async def ask(self, number: int, client_id: int) -> bool:
        """Fills of an order of ours, then its state; False where no book knows it."""
        try:
            return await self._ask(number, client_id)
        except Undecodable as error:
            raise Retryable(str(error)) from None

    async def _ask(self, number: int, client_id: int) -> bool:
        text = self._link.client_ids.encode(client_id)
        order = await self._order(number, {"origClientOrderId": text})
        if order is not None:
            await self._tell_order(number, client_id, order)
        if self._link.dialect.algo_order is None:
            return order is not None
        algo = await self._algo(text)
        if algo is None:
            return order is not None
        self._link.note_book(client_id, True)
        child = None
        if algo.actualOrderId and order is None:
            child = await self._order(number, {"orderId": str(algo.actualOrderId)})
        self._tell_algo(number, client_id, algo, child is not None)
        if child is not None:
            await self._tell_order(number, client_id, child)
        return True

    async def fills_since(self, since_ns: int) -> int:
        """Our fills since then; tells those that were not told, and returns how many those were."""
        try:
            return sum([await self._fills_of(number, since_ns) for number in self._link.mine])
        except Undecodable as error:
            raise Retryable(str(error)) from None

    async def foreign_fills(self, number: int, since_ns: int) -> Records:
        """Fills since then by orders that are not ours, told to nobody."""
        try:
            trades = await self._trades_since(number, since_ns // 1_000_000)
            owners = {trade.orderId: "" for trade in trades}
            for order_id in owners:
                order = await self._order(number, {"orderId": order_id})
                owners[order_id] = order.clientOrderId if order is not None else ""
            ids = self._link.client_ids
            strange = [
                one for one in trades
                if ids.decode(owners[one.orderId]) is None and not ids.bit_of(owners[one.orderId])
            ]  # fmt: skip
            found = np.zeros(len(strange), RECORD)
            for k, trade in enumerate(strange):
                self._write(found[k], number, trade)
        except Undecodable as error:
            raise Retryable(str(error)) from None
        return found

    def _write(self, record: Any, number: int, trade: OwnTrade) -> None:
        market = self._markets[number]
        price = market.prices.rounded(trade.price, trade.side == BUY)
        lots, bits, fee = self._terms(number, trade, price)
        record["kind"], record["instrument"], record["side"], record["bits"] = FILL, number, trade.side, bits
        record["ts_ns"] = record["venue_ts_ns"] = time_ns(trade.time)
        record["price_ticks"], record["qty_lots"] = price, lots
        record["fee_e8"], record["trade_id"] = fee, trade.id

    async def _fills_of(self, number: int, since_ns: int) -> int:
        owners: dict[int, str] = {}
        told = 0
        for trade in await self._trades_since(number, since_ns // 1_000_000):
            if self._link.fills.knows(number, trade.id):
                continue
            if trade.orderId not in owners:
                order = await self._order(number, {"orderId": trade.orderId})
                owners[trade.orderId] = order.clientOrderId if order is not None else ""
            told += self._tell_trade(number, trade, owners[trade.orderId])
        return told

    async def _trades_since(self, number: int, since_ms: int) -> list[OwnTrade]:
        """In spans as long as the venue allows, full pages read on by trade id."""
        span, now = self._link.dialect.trades_span_ms, self._link.timestamp_ms
        start = max(since_ms, now - MOST_SPANS * span)
        found: list[OwnTrade] = []
        while start <= now:
            end = min(start + span, now + AHEAD_MS)
            page = await self._trades(number, {"startTime": start, "endTime": end, "limit": PAGE})
            found += page
            while len(page) == PAGE:
                page = await self._trades(number, {"fromId": page[-1].id + 1, "limit": PAGE})
                found += page
            start = end + 1
        return found

    def _tell_trade(self, number: int, trade: OwnTrade, owner: str) -> int:
        client_id = self._link.client_ids.decode(owner) or 0
        bit = 0 if client_id else self._link.client_ids.bit_of(owner)
        if client_id == 0 and not bit:
            self._link.fills.is_new(number, trade.id)
            self._link.say("foreign", f"trade {trade.id} of order {owner!r} is not ours", number)
            return 0
        self._fill(number, trade, client_id, bit)
        return 1

    # --- telling --------------------------------------------------------------------------------------------

    async def _tell_order(self, number: int, client_id: int, order: OrderState) -> None:
        market = self._markets[number]
        if Decimal(order.executedQty) > 0:
            trades = await self._trades(number, {"orderId": order.orderId, "limit": PAGE})
            if sum((Decimal(trade.qty) for trade in trades), Decimal(0)) < Decimal(order.executedQty):
                raise Retryable(f"{market.symbol}: not all fills of order {client_id} are told yet; ask again")
            for trade in trades:
                self._fill(number, trade, client_id, 0)
        kind = STATES.get(order.status)
        if kind is None:
            raise Retryable(f"{market.symbol}: order {client_id} has the unknown state {order.status}")
        side, at = BUY if order.side == "BUY" else SELL, time_ns(order.updateTime)
        trigger = market.prices.or_zero(order.stopPrice)
        words = client_id, market.prices.or_zero(order.price), market.lots[order.origQty], trigger, order.orderId
        code = reasons.VENUE_REFUSED if kind == ORDER_REJECT else 0
        self._teller.put(kind, number, at, side, 0, code, *words)
        if kind == ORDER_ACK and order.isWorking and order.type in RESTING_STOPS:
            self._teller.put(ORDER_TRIGGERED, number, at, side, 0, 0, *words)

    def _tell_algo(self, number: int, client_id: int, algo: AlgoState, is_child_known: bool) -> None:
        market = self._markets[number]
        kind = STATES.get(algo.status)
        if kind is None:
            raise Retryable(f"{market.symbol}: stop {client_id} has the unknown state {algo.status}")
        if is_child_known:
            kind = ORDER_TRIGGERED
        side, prices = BUY if algo.side == "BUY" else SELL, market.prices
        words = prices.or_zero(algo.price), market.lots[algo.origQty], prices.or_zero(algo.stopPrice), algo.orderId
        code = reasons.VENUE_REFUSED if kind == ORDER_REJECT else 0
        self._teller.put(kind, number, time_ns(algo.updateTime), side, 0, code, client_id, *words)

    def _fill(self, number: int, trade: OwnTrade, client_id: int, bit: int) -> None:
        if self._link.fills.knows(number, trade.id):
            return
        market = self._markets[number]
        price = market.prices.rounded(trade.price, trade.side == BUY) if bit == FORCED else market.prices[trade.price]
        lots, bits, fee = self._terms(number, trade, price)
        at = time_ns(trade.time)
        self._teller.put(FILL, number, at, trade.side, bits | bit, 0, client_id, price, lots, fee, trade.id)

    def _terms(self, number: int, trade: OwnTrade, price: int) -> tuple[int, int, int]:
        """Lots, bits and fee of a trade at `price` ticks."""
        market = self._markets[number]
        lots = market.lots[trade.qty]
        bits = MAKER if trade.is_maker else 0
        fee = fee_e8(trade.commission, f"{market.symbol}: commission")
        if fee and trade.commissionAsset == market.base:
            bits |= FEE_IN_BASE
        elif fee and trade.commissionAsset != market.quote:
            amount = signed(trade.commission, f"{market.symbol}: commission")
            fee = self._teller.fee_in_quote(number, trade.commissionAsset, amount, price, lots)
        return lots, bits, fee

    # --- asking ---------------------------------------------------------------------------------------------

    async def _order(self, number: int, by: dict[str, Value]) -> OrderState | None:
        body = await self._maybe(self._link.dialect.order, {"symbol": self._markets[number].symbol, **by})
        return None if body is None else self._decoded(body, OrderState)

    async def _algo(self, text: str) -> AlgoState | None:
        call = self._link.dialect.algo_order
        body = None if call is None else await self._maybe(call, {"clientAlgoId": text})
        return None if body is None else self._decoded(body, AlgoState)

    async def _trades(self, number: int, by: dict[str, Value]) -> list[OwnTrade]:
        params = {"symbol": self._markets[number].symbol, **by}
        body = await self._link.rest.get(self._link.dialect.own_trades, params, True, Urgency.EXIT)
        return self._decoded(body, list[OwnTrade])

    async def _maybe(self, call: Call, params: dict[str, Value]) -> bytes | None:
        """The answer, or None where the venue says there is no such order."""
        rest = self._link.rest
        answer = await rest.exchange("GET", call, params, True, Urgency.EXIT)
        if not answer.is_good and verdict(answer.status, answer.code, answer.text).reason == reasons.UNKNOWN_ORDER:
            return None
        return rest.judged(answer, call)

    def _decoded(self, body: bytes, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=shape)
        except msgspec.MsgspecError as error:
            raise Retryable(f"{self._link.venue}: an answer about orders cannot be read: {error}") from None
