"""Orders to one Binance market: the port's face of the desk that sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from engine.contracts import reasons
from engine.contracts.errors import Refused, Retryable
from engine.contracts.instruments import Instrument
from engine.contracts.records import CANCEL, CANCEL_REJECT, ORDER_REJECT
from engine.venues.binance.countdown import count_down
from engine.venues.binance.desk import Desk
from engine.venues.binance.link import Link
from engine.venues.binance.order_words import unpack
from engine.venues.binance.queries import Queries
from engine.venues.port import Inlet, StreamHealth
from engine.venues.signing import Signer

ANSWER_S: Final = 2.0
MUTE_S: Final = 20.0


class BinanceExecution:
    """Execution of one Binance market."""

    def __init__(self, link: Link, answer_s: float = ANSWER_S, mute_s: float = MUTE_S) -> None:
        self._link, self._answer_s, self._mute_s = link, answer_s, mute_s
        self._desk: Desk | None = None

    async def run(self, instruments: Sequence[Instrument], inlet: Inlet) -> None:
        link = self._link
        if link.rest.signer is None:
            raise Refused(f"{link.venue}: orders need a key; give key and secret")
        async with link.open(instruments, inlet):
            if not link.rules:
                await link.load_rules()
            desk = Desk(link, self._answer_s, self._mute_s)
            try:
                await desk.begin()
                self._desk = desk
                async with asyncio.TaskGroup() as group:
                    for work in desk.work():
                        group.create_task(work)
            finally:
                self._desk = None
                await desk.close()

    @property
    def is_ready(self) -> bool:
        return self._desk is not None and self._desk.is_ready

    def send(self, command: Any) -> None:
        order = unpack(command)
        if self._desk is not None:
            self._desk.send(order)
        else:  # starting again: nothing can leave, the engine tries once more
            kind = CANCEL_REJECT if order.kind == CANCEL else ORDER_REJECT
            if kind == ORDER_REJECT and order.ref_id:  # what it was to replace stands
                self._link.refuse(CANCEL_REJECT, order.instrument, order.ref_id, reasons.MARKET_CLOSED)
            self._link.refuse(kind, order.instrument, order.client_id, reasons.MARKET_CLOSED)

    def rehearse(self, command: Any) -> None:
        order = unpack(command)
        if self._desk is not None:
            self._desk.rehearse(order)

    def rekey(self, key: str, signer: Signer) -> None:
        """Another key of the account, from now on."""
        self._link.rest.key, self._link.rest.signer = key, signer
        if self._desk is not None:
            self._desk.rekey(signer)
        self._link.key.look_now()

    def know(self, instrument: int, trade_ids: Iterable[int]) -> None:
        self._link.fills.remember(instrument, trade_ids)

    async def ask(self, instrument: int, client_id: int) -> bool:
        return await self.queries.ask(instrument, client_id)

    @property
    def queries(self) -> Queries:
        """For the account. Raises Retryable before `run`."""
        if self._desk is None:
            raise Retryable(f"{self._link.venue}: not running yet")
        return self._desk.queries

    @property
    def counts_down(self) -> bool:
        return bool(self._link.dialect.algo_types)

    async def count_down(self, instrument: int, after_ms: int) -> None:
        await count_down(self._link, instrument, after_ms)

    def health(self) -> list[StreamHealth]:
        return [] if self._desk is None else self._desk.health()
