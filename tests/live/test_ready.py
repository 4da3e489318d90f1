"""Grants taken ahead: no waiting for Redis, and the budget holds wherever the window starts."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from engine.contracts.errors import BadInput
from engine.store.redis_server import LiveRedis
from engine.venues.budgets import Budget, Urgency, Window
from engine.venues.limiter import BudgetFull, RateLimiter
from engine.venues.ready import ReadyGrants

LENGTH_MS = 6_000  # a grant lives 100 ms
TINY = {"v.orders": Budget("v", "account", (Window(10, LENGTH_MS),))}


class Clock:
    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


def test_what_is_not_used_is_given_back_and_old_grants_expire(live: LiveRedis) -> None:
    async def main() -> None:
        clock = Clock()
        async with live.asynchronous() as client:
            limiter = RateLimiter(client, "h", "", TINY, clock_ms=clock, shared_clock_ms=clock)
            ready = ReadyGrants(limiter, {"v.orders": 1}, Urgency.ENTRY, 2, TINY, clock)
            assert not ready.take()
            for _ in range(20):  # standing by uses nothing up
                assert await ready.renew()
                clock.ms += 50
            assert ready.take() and ready.take() and not ready.take()
            assert await ready.renew()
            clock.ms += 100
            assert not ready.take()
            await ready.close()
            for _ in range(8):
                await limiter.acquire("v.orders", 1, Urgency.CANCEL, patience_s=0)
            with pytest.raises(BudgetFull):
                await limiter.acquire("v.orders", 1, Urgency.CANCEL, patience_s=0)
            assert not await ready.renew() and not ready.take()
            with pytest.raises(BadInput, match="count"):
                ReadyGrants(limiter, {"v.orders": 1}, Urgency.ENTRY, 0, TINY, clock)

    asyncio.run(main())


def test_standing_by_without_redis_uses_nothing_up() -> None:
    async def main() -> None:
        clock = Clock()
        nowhere = redis.asyncio.Redis(unix_socket_path="/nonexistent/redis.sock", retry=Retry(NoBackoff(), 0))
        async with nowhere as client:
            limiter = RateLimiter(client, "h", "", TINY, clock_ms=clock, shared_clock_ms=clock)
            ready = ReadyGrants(limiter, {"v.orders": 1}, Urgency.EXIT, 1, TINY, clock)
            assert not await ready.renew()  # nobody knows what was used: the head-room's share is less than one
            clock.ms += LENGTH_MS + 201
            for _ in range(30):
                assert await ready.renew()
                clock.ms += 50
            await ready.close()
            assert await limiter.acquire("v.orders", 2, Urgency.EXIT, patience_s=0)

    asyncio.run(main())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(["take", "take", "renew", "ask"])), max_size=50))
def test_any_use_stays_within_every_window(live: LiveRedis, steps: list[tuple[int, str]]) -> None:
    live.blocking.flushall()
    sent: list[int] = []

    async def main() -> None:
        clock = Clock()
        async with live.asynchronous() as client:
            limiter = RateLimiter(client, "h", "", TINY, clock_ms=clock, shared_clock_ms=clock)
            ready = ReadyGrants(limiter, {"v.orders": 1}, Urgency.CANCEL, 3, TINY, clock)
            for passed, step in steps:
                clock.ms += passed
                if step == "renew":
                    await ready.renew()
                elif step == "take" and ready.take():
                    sent.append(clock.ms)
                elif step == "ask":
                    try:
                        await limiter.acquire("v.orders", 1, Urgency.CANCEL, patience_s=0)
                    except BudgetFull:
                        continue
                    sent.append(clock.ms)

    asyncio.run(main())
    for start in sent:
        assert sum(start <= at < start + LENGTH_MS for at in sent) <= 10


def test_the_task_keeps_some_ready_and_taking_is_quick(live: LiveRedis) -> None:
    async def main() -> None:
        async with live.asynchronous() as client:
            ready = ReadyGrants(RateLimiter(client, "h", "", TINY), {"v.orders": 1}, Urgency.ENTRY, 2, TINY)
            task = asyncio.create_task(ready.renew_on())
            async with asyncio.timeout(5):
                while not ready.take():
                    await client.ping()
            started = time.perf_counter()
            ready.take()
            assert time.perf_counter() - started < 0.001
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await ready.close()

    asyncio.run(main())
