"""One ccxt client with our hands on it: addresses, rate limits, what its streams hear, and how it fails.

Rules
-----
* Every request passes our limiter: ccxt's own throttle is replaced by it.
* A message ccxt cannot digest is counted and left out; by itself it would end ccxt's reading of that socket.
* ccxt logs whole requests; its log is switched off here, so no key or signature reaches one.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import ccxt
import ccxt.pro

from engine.contracts import reasons
from engine.contracts.errors import BadInput, KeelError, Retryable
from engine.venues.background import Background
from engine.venues.budgets import Urgency
from engine.venues.ccxt.facts import EXCHANGES, Facts
from engine.venues.ccxt.faults import Failure, failure_of, spoken
from engine.venues.limiter import RateLimiter
from engine.venues.port import NoticeKind, StreamHealth
from engine.venues.server_clock import ServerClock
from engine.venues.signing import Secret
from engine.venues.undecodable import shown

TIMEOUT_MS: Final = 10_000
ACCOUNT_TOPICS: Final = ("orders", "user", "myTrades")
RECV_WINDOW_MS: Final = 5_000
_CLOCK_SAMPLES: Final = 3
_INDIGESTION: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, ccxt.BaseError)
_URGENCY: ContextVar[Urgency] = ContextVar("urgency", default=Urgency.MARKET_DATA)
_IS_PUBLIC: ContextVar[bool] = ContextVar("is_public", default=False)
_BODY: ContextVar[str] = ContextVar("body", default="")
_SILENT: Final = logging.getLogger("engine.venues.ccxt.client")
_SILENT.disabled = True


@dataclass
class _Stream:
    """What is known of one websocket address."""

    data_ns: int = 0
    messages: int = 0
    connections: int = 0
    undecodable: int = 0


class Session:
    """The client of one exchange. `use` around every task that needs it: the last one out closes it."""

    def __init__(self, name: str, facts: Facts, exchange: Any, limiter: RateLimiter | None) -> None:
        self.name, self.facts, self.exchange = name, facts, exchange
        self.clock = ServerClock(name)
        self.say: Callable[[NoticeKind, str], None] = lambda kind, text: None
        self._limiter = limiter
        self._streams: dict[str, _Stream] = {}
        self._users = 0
        self._digest, self._connected, self._response = (
            exchange.handle_message, exchange.on_connected, exchange.on_rest_response
        )  # fmt: skip
        exchange.handle_message, exchange.on_connected = self._hear, self._connect
        exchange.on_rest_response, exchange.throttle = self._respond, self._throttle
        self._cost, exchange.calculate_rate_limiter_cost = exchange.calculate_rate_limiter_cost, self._weigh
        self._background = Background(lambda kind, text: self.say(kind, text))

    # --- requests -----------------------------------------------------------------------------------

    async def attempt(self, urgency: Urgency, method: str, *args: Any) -> Any:
        """A call of ccxt: its result, or a `Failure`."""
        token = _URGENCY.set(urgency)
        _BODY.set("")
        try:
            return await getattr(self.exchange, method)(*args)
        except ccxt.BaseError as error:
            return failure_of(error, self.facts.codes, _BODY.get())
        except KeelError as error:  # the limiter: it was not sent
            return Failure(reasons.RATE_LIMITED, Retryable, str(error))
        except (*_INDIGESTION, OSError) as error:
            return failure_of(ccxt.BadResponse(f"{self.name} {method}: {type(error).__name__}"), "")
        finally:
            _URGENCY.reset(token)

    async def ask(self, method: str, *args: Any, urgency: Urgency = Urgency.EXIT) -> Any:
        """A question. Raises Retryable where the answer may come later, Refused where it never will."""
        found = await self.attempt(urgency, method, *args)
        if isinstance(found, Failure):
            raise found.error()
        return found

    async def leave_for_order(self, urgency: Urgency) -> Failure | None:
        """Charge an order to the venue's count of orders; a Failure where there is no room for it now."""
        if self._limiter is None or not self.facts.order_budget:
            return None
        try:
            await self._limiter.acquire(self.facts.order_budget, 1, urgency, patience_s=1.0)
        except KeelError as error:
            return Failure(reasons.RATE_LIMITED, Retryable, str(error))
        return None

    async def measure_clock(self) -> None:
        """Ask the venue for its time, and sign with it from now on. Raises Retryable."""
        if not self.facts.has_clock or not self.exchange.has.get("fetchTime"):
            return
        for _ in range(_CLOCK_SAMPLES):
            sent = time.time_ns()
            server_ms = await self.ask("fetch_time")
            self.clock.note(sent, int(server_ms) * 1_000_000, time.time_ns())
        if text := self.clock.jump():
            self.say("clock", text)
        self.exchange.options["timeDifference"] = -self.clock.offset_ns // 1_000_000

    def _weigh(self, api: Any, *about: Any) -> Any:
        _IS_PUBLIC.set("public" in str(api).lower())
        return self._cost(api, *about)

    async def _throttle(self, cost: float | None = None) -> None:
        budget = self.facts.public_budget if _IS_PUBLIC.get() else ""
        budget = budget or self.facts.budget
        if self._limiter is not None and budget:
            weight = max(1, math.ceil((cost or 1.0) * self.facts.weight))
            await self._limiter.acquire(budget, weight, _URGENCY.get())

    def _respond(
        self, code: int, reason: str, url: str, method: str, headers: Mapping[str, str], body: str, *sent: Any
    ) -> Any:
        _BODY.set(body)
        if self._limiter is not None and self.facts.limiter_venue:
            self.spawn(self._limiter.observe(self.facts.limiter_venue, dict(headers), code))
        return self._response(code, reason, url, method, headers, body, *sent)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something on the side until `close`; its errors are told."""
        self._background.spawn(work)

    # --- streams ------------------------------------------------------------------------------------

    def _stream(self, url: str) -> _Stream:
        return self._streams.setdefault(url.partition("?")[0], _Stream())

    def _connect(self, client: Any, message: Any = None) -> None:
        self._stream(client.url).connections += 1
        self._connected(client, message)

    def _hear(self, client: Any, message: Any) -> None:
        stream = self._stream(client.url)
        stream.messages += 1
        if is_data(message):
            stream.data_ns = time.time_ns()
        try:
            self._digest(client, message)
        except _INDIGESTION as error:
            stream.undecodable += 1
            self.say("undecodable", f"a message was left out: {type(error).__name__} {spoken(str(error))}")

    async def hang_up(self, of: str) -> None:
        """Close the sockets whose waiting or subscribed topics begin with `of`; they are opened anew when watched."""
        for url, client in self._speaking_of(of):
            del self.exchange.clients[url]
            await client.close()

    def _speaking_of(self, *of: str) -> list[tuple[str, Any]]:
        """Sockets whose waiting or subscribed topics begin with one of `of`."""
        return [
            (url, client)
            for url, client in self.exchange.clients.items()
            if any(str(topic).startswith(of) for topic in (*client.futures, *client.subscriptions))
        ]

    async def settle(self) -> None:
        """Wait until every socket asked for stands. Raises ccxt's errors."""
        for url, client in list(self.exchange.clients.items()):
            if "://" in url:  # ccxt keeps other things among its sockets too
                await asyncio.shield(client.connected)

    def forget_login(self) -> None:
        """Have listen keys asked for anew with the next login: the old one may be what ended the stream."""
        for option in self.exchange.options.values():
            if isinstance(option, dict) and option.get("listenKey"):
                option["lastAuthenticatedTime"] = 0

    def rekey(self, key: str, secret: Secret) -> None:
        """Sign with another key of the account from now on. Sockets that were logged in with the old one break, as by
        themselves (who waits there would be cancelled by a mere close), and are opened anew."""
        self.exchange.apiKey, self.exchange.secret = key, secret.reveal()
        self.forget_login()
        self.exchange.options.pop("wsToken", None)  # Coinbase's, kept for two minutes
        for _, client in self._speaking_of(*ACCOUNT_TOPICS):
            client.on_error(ccxt.NetworkError("the API key was replaced"))

    def health(self) -> list[StreamHealth]:
        """Every address heard so far."""
        standing = {url.partition("?")[0] for url, client in self.exchange.clients.items() if client.isConnected}
        return [
            StreamHealth(
                url.partition("://")[2], url in standing, one.data_ns, one.messages, max(one.connections - 1, 0), 0,
                one.undecodable,
            )
            for url, one in self._streams.items()
        ]  # fmt: skip

    # --- life ---------------------------------------------------------------------------------------

    @asynccontextmanager
    async def use(self) -> AsyncIterator[None]:
        """Keep the client open inside; the last one out closes it."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                await self.close()

    async def close(self) -> None:
        """Close sockets and connections. A later call opens them again."""
        await self._background.end()
        await self.exchange.close()
        self.exchange.closed_by_user = False


def is_data(message: Any) -> bool:
    """Whether a message is more than an answer to a subscription or a sign of life."""
    if not isinstance(message, dict):
        return isinstance(message, list)
    if message.get("channel") in ("subscriptions", "heartbeats", "heartbeat", "status"):
        return False
    return not (("id" in message and "e" not in message) or message.get("op") in ("pong", "subscribe", "auth"))


def new_client(exchange_id: str, key: str, secret: Secret, urls: Mapping[str, str] | None, testnet: bool) -> Any:
    """ccxt's client of an exchange. Raises BadInput for an exchange, address or testnet that is not there."""
    facts = EXCHANGES.get(exchange_id)
    if facts is None:
        raise BadInput(f"exchange {exchange_id!r} is not supported; known are {', '.join(EXCHANGES)}")
    exchange = getattr(ccxt.pro, exchange_id)(
        {"apiKey": key, "secret": secret.reveal(), "enableRateLimit": True, "timeout": TIMEOUT_MS}
    )
    exchange.options.update(facts.options)
    exchange.options["recvWindow"] = RECV_WINDOW_MS
    exchange.logger, exchange.timeout_on_exit = _SILENT, 0
    if testnet:
        if not facts.testnet:
            raise BadInput(f"{exchange_id} has no testnet that trades; use the sandbox (trading-cli sandbox) or paper")
        exchange.set_sandbox_mode(True) if facts.testnet == "sandbox" else exchange.enable_demo_trading(True)
    if urls is not None:
        _turn(exchange, facts, exchange_id, urls)
    return exchange


def _turn(exchange: Any, facts: Facts, exchange_id: str, urls: Mapping[str, str]) -> None:
    """Point the client at other addresses."""
    if not facts.addresses:
        raise BadInput(f"urls: {exchange_id} cannot be pointed elsewhere; leave them out")
    for path, pattern in facts.addresses.items():
        try:
            address = pattern.format_map(urls)
        except KeyError as error:
            raise BadInput(f"urls: {exchange_id} needs {shown(error.args[0])} as well") from None
        *way, last = path.split(".")
        if not isinstance(exchange.urls["api"], dict):
            exchange.urls["api"] = {}
        place = exchange.urls["api"]
        for name in way:
            place = place.setdefault(name, {})
        place[last] = address
