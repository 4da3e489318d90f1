"""The user stream: orders and fills as the exchange tells them, for as long as it takes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import ccxt

from engine.contracts.errors import Fatal, KeelError
from engine.venues.ccxt.backoff import BackOff
from engine.venues.ccxt.board import Board
from engine.venues.ccxt.faults import failure_of
from engine.venues.ccxt.inquiry import Inquiry
from engine.venues.ccxt.reports import Reports
from engine.venues.ccxt.session import Session
from engine.venues.emulated_stops import EmulatedStops
from engine.venues.key_watch import KeyWatch
from engine.venues.port import StreamHealth


class UserStream:
    """Feeds `Reports`. After it was gone, every order that may still live is asked for."""

    def __init__(
        self, session: Session, board: Board, reports: Reports, stops: EmulatedStops, inquiry: Inquiry,
        key: KeyWatch,
    ) -> None:  # fmt: skip
        self._session, self._board, self._reports, self._stops = session, board, reports, stops
        self._inquiry, self._key = inquiry, key
        self._is_up = asyncio.Event()
        self._is_dead_key = False
        self._reconnects = self._messages = 0
        self._data_ns = 0

    @property
    def stands(self) -> bool:
        """What happens to an order now would be heard."""
        return self._is_up.is_set() and not self._is_dead_key

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._orders())
            if self._session.facts.has_trade_stream:
                tasks.create_task(self._trades())

    def health(self) -> StreamHealth:
        return StreamHealth(
            "orders", self._is_up.is_set(), self._data_ns, self._messages, self._reconnects, 0, 0,
            self._session.clock.offset_ms,
        )  # fmt: skip

    async def _orders(self) -> None:
        """The user stream's orders, until cancelled."""
        exchange, back_off = self._session.exchange, BackOff()
        while True:
            try:
                if not self._is_up.is_set():
                    await self._session.ask("load_markets")
                    await self._session.measure_clock()
                orders = await self._next_orders(exchange)
            except (ccxt.BaseError, KeelError) as error:
                self._lost(error)
            else:
                back_off.reset()
                self._data_ns, self._messages = time.time_ns(), self._messages + 1
                for order in orders:
                    self._reports.order(order)
                continue
            await self._session.hang_up("orders")
            await self._session.hang_up("user")
            await back_off.pause()

    async def _next_orders(self, exchange: Any) -> list[Any]:
        if self._is_up.is_set():
            found: list[Any] = await exchange.watch_orders()
            return found
        if self._session.facts.ready == "snapshot":
            found = await exchange.watch_orders()
            self._stand()
            return found
        market = next(iter(self._board.by_symbol.values()))
        kind = "spot" if market.instrument.kind == "spot" else "swap"
        await exchange.authenticate({"type": kind if kind == "spot" else "linear"} if _is_binance(exchange) else {})
        watching = asyncio.ensure_future(exchange.watch_orders())
        try:
            await asyncio.sleep(0)
            await self._session.settle()
            self._stand()
            return list(await watching)
        finally:
            watching.cancel()

    def _stand(self) -> None:
        self._is_dead_key = False
        self._is_up.set()
        self._reports.notice("connected", "orders and fills are heard")
        for sent in list(self._reports.sent.values()):
            if not sent.is_over and self._stops.find(sent.client_id) is None and sent.answered.is_set():
                self._session.spawn(self._inquiry.look_again(sent))

    def _lost(self, error: Exception) -> None:
        failure = failure_of(error, self._session.facts.codes) if isinstance(error, ccxt.BaseError) else None
        text = failure.text if failure is not None else str(error)
        was_up = self._is_up.is_set()
        self._is_up.clear()
        self._session.forget_login()
        self._reconnects += was_up
        if failure is not None and failure.reaction is Fatal:
            self._is_dead_key = True
            self._key.refused(f"orders and fills: {text}")
        else:
            self._reports.notice("lost", f"orders and fills: {text}; connecting again")

    async def _trades(self) -> None:
        exchange = self._session.exchange
        while True:
            await self._is_up.wait()
            try:
                trades = await exchange.watch_my_trades()
            except ccxt.BaseError:
                self._is_up.clear()  # the same socket as the orders', which tell why
                await self._session.hang_up("myTrades")
                continue
            self._data_ns, self._messages = time.time_ns(), self._messages + 1
            for trade in trades:
                self._reports.trade(trade)


def _is_binance(exchange: Any) -> bool:
    return str(exchange.id).startswith("binance")
