"""The stream of our own orders, fills and balances.

Spot subscribes by signature on a socket of the WS API; USD-M opens a socket under a listen key that has to be kept
alive. What was missed while the stream was down is asked for once it is back.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Final

import msgspec

from engine.contracts.errors import Fatal, Refused, Retryable
from engine.venues.binance.asides import Fault, Reply, StreamEnded
from engine.venues.binance.dialects import Call
from engine.venues.binance.link import Link
from engine.venues.binance.market import allow_connection
from engine.venues.binance.queries import Queries
from engine.venues.binance.rest import CLOCK, KeyRefused
from engine.venues.binance.teller import Teller
from engine.venues.budgets import Urgency
from engine.venues.connection import Connection
from engine.venues.port import NoticeKind
from engine.venues.signing import Signer, signed_parameters
from engine.venues.undecodable import shown

SUBSCRIBE: Final = "userDataStream.subscribe.signature"
SUBSCRIPTION: Final = "user"
PULSE: Final = b'{"id":"pulse","method":"ping"}'
PULSE_ON_STREAMS: Final = b'{"id":1,"method":"LIST_SUBSCRIPTIONS"}'
LISTEN_KEY: Final = Call("/fapi/v1/listenKey", 1)
KEEP_ALIVE_S: Final = 30 * 60.0
CATCH_UP_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
OVERLAP_NS: Final = 5_000_000_000


class _ListenKey(msgspec.Struct):
    listenKey: str


class UserStream:
    """`is_ready`: our events would be heard. Run `connection.run` and `keep_alive`."""

    def __init__(self, link: Link, signer: Signer, teller: Teller, queries: Queries, mute_s: float) -> None:
        self._link, self._signer, self._teller, self._queries = link, signer, teller, queries
        signs = link.dialect.signs_subscription
        pulse = PULSE if signs else PULSE_ON_STREAMS
        self.connection = Connection(f"{link.venue} user stream", self._where, self, mute_s, pulse)
        self.is_ready = False
        self._catching: asyncio.Task[None] | None = None

    async def _where(self) -> str:
        await allow_connection(self._link)
        endpoints = self._link.rest.endpoints
        if self._link.dialect.signs_subscription:
            return endpoints.ws_api
        try:
            key = await self._listen_key("POST")
        except KeyRefused as error:
            self._link.key.refused(str(error))
            raise Retryable(str(error)) from None
        except Refused as error:
            self._link.say("refused", str(error))
            raise Retryable(str(error)) from None
        return f"{endpoints.ws}/private/ws?listenKey={key}"

    def rekey(self, signer: Signer) -> None:
        """Go on under another key of the account: the stream is opened anew, what was missed is asked for."""
        self._signer = signer
        self.connection.renew("the API key was replaced")

    async def _listen_key(self, method: str) -> str:
        rest = self._link.rest
        answer = await rest.exchange(method, LISTEN_KEY, {}, False, Urgency.EXIT)
        body = rest.judged(answer, LISTEN_KEY)
        try:
            return msgspec.json.decode(body, type=_ListenKey).listenKey if method == "POST" else ""
        except msgspec.MsgspecError:
            raise Retryable(f"{self._link.venue}: the answer holds no listen key") from None

    async def keep_alive(self) -> None:
        """Prolong the listen key, where there is one. Runs until cancelled."""
        while not self._link.dialect.signs_subscription:
            await asyncio.sleep(KEEP_ALIVE_S)
            try:
                await self._listen_key("PUT")
            except (Retryable, Refused) as error:
                self.connection.renew(f"the listen key was not prolonged: {error}")

    # --- the socket -------------------------------------------------------------------------------------

    def up(self) -> None:
        if self._link.dialect.signs_subscription:
            self._subscribe()
        else:
            self._begin()

    def _subscribe(self) -> None:
        params = signed_parameters(self._signer, self._link.rest.key, {"timestamp": self._link.timestamp_ms})
        request = {"id": SUBSCRIPTION, "method": SUBSCRIBE, "params": params}
        self.connection.send(msgspec.json.encode(request))

    def hear(self, message: bytes, ts_ns: int) -> None:
        for aside in self._teller.read(message, ts_ns):
            if isinstance(aside, Reply) and aside.request_id == SUBSCRIPTION:
                self._begin()
            elif isinstance(aside, Fault) and aside.request_id == SUBSCRIPTION:
                self._refused(aside)
            elif isinstance(aside, StreamEnded):
                self.connection.renew(f"the venue ends the stream ({aside.event})")
        self._teller.tell()

    def down(self) -> None:
        if self.is_ready:
            self._link.deaf_since_ns = self._link.deaf_since_ns or time.time_ns()
        self.is_ready = False
        if self._catching is not None:
            self._catching.cancel()

    def say(self, kind: NoticeKind, text: str) -> None:
        self._link.say(kind, text)

    def _begin(self) -> None:
        self.is_ready = True
        if self._link.deaf_since_ns:
            self._catching = self._link.spawn(self._catch_up())

    async def _catch_up(self) -> None:
        """Tell the fills missed, asked for until they are told; a stream that breaks meanwhile begins anew."""
        for wait_s in itertools.chain(CATCH_UP_S, itertools.repeat(CATCH_UP_S[-1])):
            try:
                await self._queries.fills_since(self._link.deaf_since_ns - OVERLAP_NS)
            except Retryable as error:
                self._link.say("lost", f"fills missed meanwhile are not told yet: {error}; asking again")
                await asyncio.sleep(wait_s)
            else:
                self._link.deaf_since_ns = 0
                return

    def _refused(self, fault: Fault) -> None:
        if fault.code == CLOCK:
            self._link.spawn(self._again())
            return
        text = f"user stream refused: {fault.code} {shown(fault.message)}"
        if fault.reaction is Fatal:
            self._link.key.refused(text)
        else:
            self._link.say("refused", f"{text}; check key, secret and permissions")
        self.connection.renew("the subscription was refused")

    async def _again(self) -> None:
        await self._link.rest.measure_clock()
        if self.connection.is_up:
            self._subscribe()
