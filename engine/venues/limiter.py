"""One rate limiter for all our processes: the counts live in Redis, one script run answers and charges at once.

* Entries and market data leave a head-room that only cancels and exits may use (budgets.py).
* What the venue reports it counted, for others behind our address too, raises our counts; never lowers them.
* 429: everybody backs off until Retry-After. 418: a hard stop for everybody until the ban ends.
* Without Redis each process goes on alone within its share of what was left (local_share.py); `state` says so. Back
  again, it adds what it used meanwhile, and all its recent use if Redis forgot everything.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import msgspec
import redis
import redis.asyncio

from engine.contracts.errors import BadInput, Refused, Retryable
from engine.venues.budgets import BUDGETS, MINUTE_MS, Budget, Urgency, ceiling
from engine.venues.local_share import LocalShare
from engine.venues.windows import PAUSE_SCRIPT, SCRIPT, bucket_ms

_RETRY_REDIS_MS: Final = 1_000
_BACK_OFF_MS: Final = {429: MINUTE_MS, 418: 2 * MINUTE_MS}  # without a readable Retry-After; bans start at 2 minutes
_LONGEST_MS: Final = 3 * 24 * 60 * MINUTE_MS  # the longest ban there is
_TOO_MANY_ORDERS: Final = -1015  # Binance's code of a 429 for orders alone


class BudgetFull(Retryable):
    """No room within the caller's patience; nothing was charged. Try again after `wait_s`."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class Grant(NamedTuple):
    """Leave to send one request, good for a sixtieth of the shortest window charged (166 ms for 10 s)."""

    charges: Mapping[str, int]
    shared_ms: int  # when Redis charged it, by Redis' clock; 0: charged by this process alone
    local_ms: int


class LimiterState(msgspec.Struct, frozen=True, kw_only=True):
    """For the live view; times are ms of this process' monotonic clock."""

    alone_since_ms: int | None  # set while Redis is gone
    alone_why: str
    paused_until_ms: dict[str, int]  # venue or budget -> end of its back-off or ban
    granted: int
    waited: int
    refused: int
    malformed_headers: int


class _Reply(NamedTuple):
    done: int
    wait_ms: int
    paused_until_ms: int
    now_ms: int
    epoch: bytes
    used: list[int]


class RateLimiter:
    """`host` and `account` are what the venue counts by. One for each event loop; `client` stays the caller's and
    should have a short reply timeout (a quarter of a second)."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        host: str,
        account: str = "",
        budgets: Mapping[str, Budget] = BUDGETS,
        *,
        clock_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        shared_clock_ms: Callable[[], int] = lambda: -1,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`shared_clock_ms` gives -1 for Redis' own clock."""
        self._count = client.register_script(SCRIPT)
        self._lengthen = client.register_script(PAUSE_SCRIPT)
        self._budgets = budgets
        self._prefix = {"ip": f"keel:rate:{host}", "account": f"keel:rate:{host}:{account}"}
        self._clock_ms, self._shared_clock_ms, self._sleep = clock_ms, shared_clock_ms, sleep
        self._local = LocalShare(budgets)
        self._pauses: dict[str, int] = {}
        self._epoch: bytes | None = None
        self._alone_since_ms: int | None = None
        self._alone_why = ""
        self._ask_again_ms = 0
        self._granted = self._waited = self._refused = self._malformed = 0

    @property
    def state(self) -> LimiterState:
        now = self._clock_ms()
        return LimiterState(
            alone_since_ms=self._alone_since_ms, alone_why=self._alone_why, granted=self._granted,
            waited=self._waited, refused=self._refused, malformed_headers=self._malformed,
            paused_until_ms={key: end for key, end in self._pauses.items() if end > now},
        )  # fmt: skip

    async def acquire(self, budget: str, weight: int, urgency: Urgency, patience_s: float = 5.0) -> Grant:
        """Wait until `weight` may be used from `budget`, and charge it. Errors as in `acquire_all`."""
        return await self.acquire_all({budget: weight}, urgency, patience_s)

    async def acquire_all(self, charges: Mapping[str, int], urgency: Urgency, patience_s: float = 5.0) -> Grant:
        """Charge all of `charges` (budget -> weight) or nothing, waiting up to `patience_s` for room.

        Raises BudgetFull when that is not enough (at once: nobody waits in vain), BadInput for an unknown budget,
        Refused for a weight that can never fit.
        """
        self._check(charges, urgency)
        waited_ms = 0
        while True:
            grant, wait_ms, why = await self._try(charges, urgency)
            if grant is not None:
                self._granted += 1
                return grant
            if waited_ms + wait_ms > patience_s * 1000:
                self._refused += 1
                raise BudgetFull(f"{' + '.join(charges)}: {why}, for {wait_ms / 1000:.3f} s more", wait_ms / 1000)
            self._waited += waited_ms == 0
            waited_ms += wait_ms
            await self._sleep(wait_ms / 1000)

    async def give_back(self, grant: Grant) -> None:
        """The request of `grant` was not sent after all."""
        if grant.shared_ms == 0:
            self._local.give_back(grant.charges, grant.local_ms)
            return
        self._local.note({name: -weight for name, weight in grant.charges.items()}, grant.local_ms)
        with self._redis():
            await self._run("back", self._rows(grant.charges), grant.shared_ms)

    async def observe(self, venue: str, headers: Mapping[str, str], status: int, code: int = 0) -> None:
        """Learn from a reply of `venue` (as in budgets.py): its counts, and 429 or 418 with Retry-After. `code` is
        the venue's error code: it tells whether only the order budget is over."""
        lower = {name.lower(): value for name, value in headers.items()}
        if status in _BACK_OFF_MS:
            orders = f"{venue}.orders"
            narrow = status == 429 and code == _TOO_MANY_ORDERS and orders in self._budgets
            length_ms = self._retry_after_ms(lower.get("retry-after"), _BACK_OFF_MS[status])
            await self._pause(orders if narrow else venue, length_ms)
        for name, budget in self._budgets.items():
            if budget.venue == venue:
                await self._believe(name, budget, lower)

    # -- one attempt ---------------------------------------------------------------------------------------------

    def _check(self, charges: Mapping[str, int], urgency: Urgency) -> None:
        for name, weight in charges.items():
            if name not in self._budgets:
                raise BadInput(f"{name!r} is no rate budget; known are {', '.join(self._budgets)}")
            if weight < 1:
                raise BadInput(f"weight {weight} for {name}: it must be 1 or more")
            most = min(ceiling(w.limit, urgency) for w in self._budgets[name].windows)
            if weight > most:
                raise Refused(f"weight {weight} never fits {name}, which takes {most} at once; ask for less")

    async def _try(self, charges: Mapping[str, int], urgency: Urgency) -> tuple[Grant | None, int, str]:
        now = self._clock_ms()
        end = max((self._pauses.get(key, 0) for key in self._pausing(charges)), default=0)
        if end > now:
            return None, end - now, "the venue told us to back off"
        if self._alone_since_ms is None or now >= self._ask_again_ms:
            self._ask_again_ms = now + _RETRY_REDIS_MS  # one caller asks, the others do not wait for a dead server
            with self._redis():
                await self._tell()
                return await self._try_shared(charges, urgency)
        lost_ms = self._alone_since_ms if self._alone_since_ms is not None else now
        wait_ms = self._local.take(charges, urgency, now, lost_ms)
        if wait_ms == 0:
            return Grant(charges, 0, now), 0, ""
        return None, min(wait_ms, max(1, self._ask_again_ms - now)), "Redis is gone and our share of the budget is used"

    async def _try_shared(self, charges: Mapping[str, int], urgency: Urgency) -> tuple[Grant | None, int, str]:
        reply = await self._run("take", self._rows(charges, urgency), pauses=self._pausing(charges))
        now = self._clock_ms()
        if reply.done:
            self._local.note(charges, now)
        used = iter(reply.used)
        for name in charges:
            self._local.learn(name, [next(used) for _ in self._budgets[name].windows], now)
        if reply.done:
            return Grant(charges, reply.now_ms, now), 0, ""
        if reply.paused_until_ms:
            wait_ms = reply.paused_until_ms - reply.now_ms
            self._pauses.update(dict.fromkeys(charges, now + wait_ms))  # holds even if Redis goes meanwhile
            return None, wait_ms, "the venue told us to back off"
        return None, reply.wait_ms, "no room"

    def _pausing(self, charges: Mapping[str, int]) -> list[str]:
        return [*dict.fromkeys(self._budgets[name].venue for name in charges), *charges]

    # -- what the venue says -------------------------------------------------------------------------------------

    async def _believe(self, name: str, budget: Budget, headers: Mapping[str, str]) -> None:
        now = self._clock_ms()
        for i, window in enumerate(budget.windows):
            text = headers.get(window.header)
            if text is None:
                continue
            if not (text.isascii() and text.isdigit() and len(text) <= 9):
                self._malformed += 1
            elif self._local.at_least(name, i, int(text), now) and self._alone_since_ms is None:
                with self._redis():
                    await self._run("raise", [(name, i, int(text), 0)])

    def _retry_after_ms(self, text: str | None, default_ms: int) -> int:
        if text is None:
            return default_ms
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            self._malformed += 1
            return default_ms
        return min(max(1, int(text)) * 1000, _LONGEST_MS)

    async def _pause(self, key: str, length_ms: int) -> None:
        self._pauses[key] = max(self._pauses.get(key, 0), self._clock_ms() + length_ms)
        with self._redis():
            left_ms = await self._lengthen(keys=[self._pause_key(key)], args=[self._shared_clock_ms(), length_ms])
            self._pauses[key] = self._clock_ms() + int(left_ms)

    # -- Redis ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _redis(self) -> Iterator[None]:
        """Redis failing inside puts us on our own share for a while; succeeding ends that."""
        try:
            yield
        except (redis.RedisError, OSError) as error:
            now = self._clock_ms()
            self._alone_since_ms = now if self._alone_since_ms is None else self._alone_since_ms
            self._alone_why = type(error).__name__
            self._ask_again_ms = now + _RETRY_REDIS_MS
        else:
            self._alone_since_ms, self._alone_why = None, ""

    async def _tell(self) -> None:
        """Back after being alone: charge what was used meanwhile."""
        unsent = self._local.unsent()
        if unsent:
            await self._run("charge", self._rows(unsent))
            self._local.told(unsent)

    def _rows(self, charges: Mapping[str, int], urgency: Urgency = Urgency.CANCEL) -> list[tuple[str, int, int, int]]:
        """(budget, window, weight, ceiling) for every window of every budget."""
        return [
            (name, i, weight, ceiling(window.limit, urgency))
            for name, weight in charges.items()
            for i, window in enumerate(self._budgets[name].windows)
        ]

    async def _run(
        self, verb: str, rows: Sequence[tuple[str, int, int, int]], now_ms: int | None = None,
        pauses: Sequence[str] = (),
    ) -> _Reply:  # fmt: skip
        """One script run. Where Redis lost its memory (another epoch), our own recent use is charged anew."""
        keys = [f"{self._prefix['ip']}:epoch", *map(self._pause_key, pauses)]
        args: list[str | int] = [
            self._shared_clock_ms() if now_ms is None else now_ms, verb, len(pauses), secrets.token_hex(8),
        ]  # fmt: skip
        for name, i, weight, most in rows:
            budget = self._budgets[name]
            length_ms = budget.windows[i].length_ms
            keys.append(f"{self._prefix[budget.per]}:{name}:{length_ms}")
            args += [most, length_ms, bucket_ms(length_ms), weight]
        done, wait_ms, paused, now, epoch, *used = await self._count(keys=keys, args=args)
        reply = _Reply(done, wait_ms, paused, now, epoch, used)
        known, self._epoch = self._epoch, reply.epoch
        if known is not None and known != reply.epoch:
            own = self._local.own(self._clock_ms())
            again = [(name, i, count, 0) for name, counts in own.items() for i, count in enumerate(counts)]
            if again:
                await self._run("charge", again)
        return reply

    def _pause_key(self, key: str) -> str:
        per = self._budgets[key].per if key in self._budgets else "ip"
        return f"{self._prefix[per]}:pause:{key}"
