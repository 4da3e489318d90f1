"""Binance over HTTP: signed where needed, within the rate limit, with every answer understood.

The fallback for orders uses it too, instead of ccxt: the same signer, clock, limiter and table of errors then judge a
request on whichever way it goes, and RSA and Ed25519 keys work on both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import aiohttp
import msgspec
from yarl import URL

from engine.contracts.errors import Fatal, Refused, Retryable, Unknown
from engine.venues.binance.dialects import Call, Dialect
from engine.venues.binance.endpoints import Endpoints
from engine.venues.binance.faults import verdict
from engine.venues.budgets import Urgency
from engine.venues.limiter import BudgetFull, RateLimiter
from engine.venues.server_clock import ServerClock
from engine.venues.signing import Signer, Value, query_string, signed_query
from engine.venues.undecodable import shown

RECV_WINDOW_MS: Final = 5_000
TIMEOUT_S: Final = 5.0
PATIENCE_S: Final = 5.0
SAMPLES: Final = 3  # of the clock: one alone would be taken for noise where a clock was set
CLOCK: Final = -1021
NO_CODE: Final = 0


class NotSent(Retryable):
    """The request did not leave: nothing was done at the venue."""


class KeyRefused(Refused):
    """The venue does not take the key: every further request with it fails too."""


class Answer(NamedTuple):
    """What came back. `code` is Binance's, 0 where it gave none."""

    status: int
    body: bytes
    code: int
    text: str

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300


class _Error(msgspec.Struct):
    code: int = NO_CODE
    msg: str = ""


_ERROR: Final = msgspec.json.Decoder(_Error)


class _Time(msgspec.Struct):
    serverTime: int


class Rest:
    """One venue's HTTP side. `close` it in the end; it opens itself."""

    def __init__(
        self, venue: str, dialect: Dialect, endpoints: Endpoints, key: str, signer: Signer | None, limiter: RateLimiter
    ) -> None:
        self.venue, self.dialect, self.endpoints = venue, dialect, endpoints
        self.key, self.signer, self.limiter = key, signer, limiter
        self.clock = ServerClock(venue)
        self.clock_jumped: Callable[[str], None] = lambda text: None
        self._session: aiohttp.ClientSession | None = None

    @property
    def weight(self) -> str:
        """Name of the weight budget."""
        return f"{self.dialect.budget}.weight"

    async def get(
        self, call: Call, params: Mapping[str, Value] | None = None, signed: bool = False,
        urgency: Urgency = Urgency.MARKET_DATA, base: str = "",
    ) -> bytes:  # fmt: skip
        """The body of a good answer. Raises Retryable, Refused or KeyRefused naming what the venue said."""
        return self.judged(await self.exchange("GET", call, params or {}, signed, urgency, base), call)

    def judged(self, answer: Answer, call: Call) -> bytes:
        """The body, or the error the answer stands for."""
        if answer.is_good:
            return answer.body
        reaction = verdict(answer.status, answer.code, answer.text).reaction
        text = f"{self.venue} answered {call.path} with {answer.status} {answer.code or ''} {shown(answer.text)}"
        if reaction is Fatal:
            raise KeyRefused(f"{text}: check key, secret, permissions and the addresses the key is bound to")
        raise Refused(text) if reaction is Refused else Retryable(text)

    async def exchange(
        self, method: str, call: Call, params: Mapping[str, Value], signed: bool, urgency: Urgency, base: str = "",
        charges: Mapping[str, int] | None = None,
    ) -> Answer:  # fmt: skip
        """Any answer at all. A refused clock is measured again, and the request sent once more.

        Raises NotSent where nothing left, Unknown where an order may have been done, Retryable for lost questions.
        """
        charges = charges or {self.weight: call.weight}
        answer = await self._charged(method, call, params, signed, base, charges, urgency)
        if answer.code != CLOCK:
            return answer
        await self.measure_clock()
        return await self._charged(method, call, params, signed, base, charges, urgency)

    async def _charged(
        self, method: str, call: Call, params: Mapping[str, Value], signed: bool, base: str,
        charges: Mapping[str, int], urgency: Urgency,
    ) -> Answer:  # fmt: skip
        try:
            await self.limiter.acquire_all(charges, urgency, PATIENCE_S)
        except BudgetFull as error:
            raise NotSent(f"{self.venue}: {error}") from None
        heed_cancellation()
        return await self._once(method, call, params, signed, base)

    async def measure_clock(self) -> None:
        """Ask for the venue's time a few times. Raises Retryable."""
        for _ in range(SAMPLES):
            sent = time.time_ns()
            answer = await self._once("GET", self.dialect.time, {}, False, "")
            received = time.time_ns()
            try:
                stamp = msgspec.json.decode(self.judged(answer, self.dialect.time), type=_Time)
            except msgspec.MsgspecError:
                raise Retryable(f"{self.venue}: its answer to {self.dialect.time.path} is no time") from None
            if received >= sent:
                self.clock.note(sent, stamp.serverTime * 1_000_000, received)
        if text := self.clock.jump():
            self.clock_jumped(text)

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _once(self, method: str, call: Call, params: Mapping[str, Value], signed: bool, base: str) -> Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S, connect=3.0))
        url = URL(f"{base or self.endpoints.rest}{call.path}?{self._query(params, signed)}", encoded=True)
        headers = {"X-MBX-APIKEY": self.key} if self.key else {}
        try:
            async with self._session.request(method, url, headers=headers) as got:
                body = await got.read()
                status, found = got.status, dict(got.headers)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            where = base or self.endpoints.rest
            raise NotSent(f"{self.venue} cannot be reached at {where}; check network and address") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            text = f"{self.venue}: no answer to {method} {call.path} ({type(error).__name__})"
            raise Unknown(text) if method != "GET" else Retryable(text) from None
        code, words = self._error(status, body)
        await self.limiter.observe(self.dialect.budget, found, status, code)
        heed_cancellation()
        return Answer(status, body, code, words)

    def _query(self, params: Mapping[str, Value], signed: bool) -> str:
        if not signed:
            return query_string(params)
        if self.signer is None:
            raise Refused(f"{self.venue}: this needs a key; give key and secret")
        stamped = {**params, "recvWindow": RECV_WINDOW_MS, "timestamp": self.clock.timestamp_ms(time.time_ns())}
        return signed_query(self.signer, stamped)

    @staticmethod
    def _error(status: int, body: bytes) -> tuple[int, str]:
        if 200 <= status < 300:
            return NO_CODE, ""
        try:
            error = _ERROR.decode(body)
        except msgspec.MsgspecError:
            return NO_CODE, "an answer that is no JSON"
        return error.code, error.msg


def heed_cancellation() -> None:
    """To be called after the limiter was asked: redis-py loses a cancellation that meets a reply."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
