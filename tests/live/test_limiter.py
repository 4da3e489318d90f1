"""The limiter over a real Redis: head-room, several processes, 429 and 418 (A13), Redis gone (A19)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contracts.errors import BadInput, Refused
from engine.store.redis_server import LiveRedis, connect_redis, stop_redis
from engine.venues.budgets import BUDGETS, Budget, Urgency, Window
from engine.venues.limiter import BudgetFull, RateLimiter

TINY = {
    "v.weight": Budget("v", "ip", (Window(10, 10_000, "x-used"),)),
    "v.orders": Budget("v", "account", (Window(5, 1_000), Window(8, 60_000, "x-orders"))),
    "other.weight": Budget("other", "ip", (Window(10, 10_000),)),
}
ENTRY, MARKET, EXIT, CANCEL = Urgency.ENTRY, Urgency.MARKET_DATA, Urgency.EXIT, Urgency.CANCEL


class Clock:
    """The only clock of a test: sleeping moves it."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms

    async def sleep(self, seconds: float) -> None:
        self.ms += max(1, round(seconds * 1000))


Body = Callable[[Callable[..., RateLimiter], Clock], Awaitable[None]]


def play(live: LiveRedis, body: Body) -> None:
    """Run `body` with a maker of limiters that share one Redis and one clock."""

    async def main() -> None:
        clock, clients = Clock(), [live.asynchronous(0.25) for _ in range(3)]
        spare = iter(clients)

        def make(account: str = "") -> RateLimiter:
            return RateLimiter(
                next(spare), "host", account, TINY, clock_ms=clock, shared_clock_ms=clock, sleep=clock.sleep
            )

        await body(make, clock)
        for client in clients:
            await client.aclose()

    asyncio.run(main())


async def drain(limiter: RateLimiter, budget: str, urgency: Urgency) -> int:
    """How many fit right now."""
    for taken in range(1000):
        try:
            await limiter.acquire(budget, 1, urgency, patience_s=0)
        except BudgetFull:
            return taken
    raise AssertionError("no limit")


def test_cancels_and_exits_get_through_when_entries_starve(live: LiveRedis) -> None:
    async def body(make: Callable[..., RateLimiter], clock: Clock) -> None:
        one, two = make(), make()
        assert await drain(one, "v.weight", ENTRY) == 8
        assert await drain(two, "v.weight", MARKET) == 0
        await two.acquire("v.weight", 1, CANCEL, patience_s=0)
        await one.acquire("v.weight", 1, EXIT, patience_s=0)
        with pytest.raises(BudgetFull, match="v.weight: no room") as caught:
            await one.acquire("v.weight", 1, CANCEL, patience_s=1)
        assert caught.value.wait_s > 9
        before = clock.ms
        await one.acquire("v.weight", 1, ENTRY, patience_s=60)
        assert clock.ms - before >= 10_000
        assert one.state.waited == 1 and two.state.refused == 1

    play(live, body)


def test_several_budgets_are_charged_together_or_not_at_all(live: LiveRedis) -> None:
    async def body(make: Callable[..., RateLimiter], clock: Clock) -> None:
        limiter, order = make(), {"v.weight": 1, "v.orders": 1}
        for _ in range(5):
            await limiter.acquire_all(order, CANCEL, patience_s=0)
        with pytest.raises(BudgetFull):
            await limiter.acquire_all(order, CANCEL, patience_s=0)
        assert await drain(limiter, "v.weight", CANCEL) == 5
        assert await drain(make("second account"), "v.orders", CANCEL) == 5

    play(live, body)


def test_what_was_not_sent_is_given_back(live: LiveRedis) -> None:
    async def body(make: Callable[..., RateLimiter], clock: Clock) -> None:
        limiter = make()
        grant = await limiter.acquire("v.weight", 7, ENTRY)
        clock.ms += 50
        await limiter.give_back(grant)
        assert await drain(limiter, "v.weight", CANCEL) == 10

    play(live, body)


def test_impossible_requests_are_refused_by_name(live: LiveRedis) -> None:
    async def body(make: Callable[..., RateLimiter], clock: Clock) -> None:
        limiter = make()
        with pytest.raises(BadInput, match="'binance'.*v.weight"):
            await limiter.acquire("binance", 1, ENTRY)
        with pytest.raises(BadInput, match="weight 0"):
            await limiter.acquire("v.weight", 0, ENTRY)
        with pytest.raises(Refused, match="takes 8 at once"):
            await limiter.acquire("v.weight", 9, ENTRY)
        await limiter.acquire("v.weight", 9, CANCEL)

    play(live, body)


def test_the_venues_own_count_raises_ours_for_everybody_and_never_lowers_it(live: LiveRedis) -> None:
    async def body(make: Callable[..., RateLimiter], clock: Clock) -> None:
        one, two = make(), make()
        await one.acquire("v.weight", 2, ENTRY)
        await one.observe("v", {"X-Used": "6"}, 200)
        await one.observe("v", {"X-Used": "1"}, 200)
        await one.observe("other", {"X-Used": "9"}, 200)
        for wrong in ("", "-1", "nan", "9" * 40, "\u0663"):
            await one.observe("v", {"x-used": wrong, "retry-after": wrong}, 200)
        assert one.state.malformed_headers == 5
        assert await drain(two, "v.weight", ENTRY) == 2

    play(live, body)


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [(429, {"Retry-After": "7"}, 7), (429, {}, 60), (429, {"Retry-After": "soon"}, 60),
     (418, {"retry-after": "600"}, 600), (418, {}, 120), (418, {"Retry-After": "99999999"}, 259_200)],
)  # fmt: skip
def test_a13_429_and_418_stop_every_process_until_they_end(
    live: LiveRedis, status: int, headers: dict[str, str], wait_s: int
) -> None:
    async def body(make: Callable[..., RateLimiter], clock: Clock) -> None:
        one, two = make(), make("another account")
        await one.observe("v", headers, status)
        await two.observe("v", {"Retry-After": "1"}, 429)  # never makes a ban shorter
        for limiter in (one, two):
            with pytest.raises(BudgetFull, match="back off") as caught:
                await limiter.acquire("v.weight", 1, CANCEL)
            assert caught.value.wait_s == wait_s and limiter.state.paused_until_ms
        await two.acquire("other.weight", 1, ENTRY, patience_s=0)
        clock.ms += wait_s * 1000
        await two.acquire("v.weight", 1, CANCEL, patience_s=0)
        assert not one.state.paused_until_ms

    play(live, body)


def test_too_many_orders_stops_orders_of_that_account_only(live: LiveRedis) -> None:
    async def body(make: Callable[..., RateLimiter], clock: Clock) -> None:
        one, two = make("a"), make("b")
        await one.observe("v", {"Retry-After": "9"}, 429, code=-1015)
        with pytest.raises(BudgetFull):
            await one.acquire("v.orders", 1, EXIT)
        await one.acquire("v.weight", 1, CANCEL, patience_s=0)
        await two.acquire("v.orders", 1, EXIT, patience_s=0)

    play(live, body)


arrivals = st.lists(
    st.tuples(st.integers(0, 3_000), st.integers(0, 2), st.integers(1, 3), st.sampled_from(Urgency)), max_size=30
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(arrivals=arrivals)
def test_any_mix_of_three_users_stays_within_every_window(
    live: LiveRedis, arrivals: list[tuple[int, int, int, Urgency]]
) -> None:
    live.blocking.flushall()
    granted: list[tuple[int, int, bool]] = []

    async def body(make: Callable[..., RateLimiter], clock: Clock) -> None:
        users = [make(), make(), make()]
        for passed, who, weight, urgency in arrivals:
            clock.ms += passed
            try:
                await users[who].acquire("v.weight", weight, urgency, patience_s=0.5)
            except BudgetFull:
                continue
            granted.append((clock.ms, weight, urgency.leaves_headroom))

    play(live, body)
    for start, _, _ in granted:
        inside = [(weight, entry) for at, weight, entry in granted if start <= at < start + 10_000]
        assert sum(weight for weight, _ in inside) <= 10
        assert sum(weight for weight, entry in inside if entry) <= 8


WORKER = """
import asyncio, json, sys
import redis.asyncio
from engine.venues.budgets import Budget, Urgency, Window
from engine.venues.limiter import RateLimiter
async def main():
    client = redis.asyncio.Redis.from_url("unix://" + sys.argv[1], protocol=2)
    limiter = RateLimiter(client, "host", "", {"b": Budget("v", "ip", (Window(40, 150),))})
    print("ready", flush=True); sys.stdin.readline()
    async def one(urgency):
        return (await limiter.acquire("b", 1, urgency, patience_s=30)).shared_ms
    times = await asyncio.gather(*[one(Urgency.CANCEL if k % 3 else Urgency.ENTRY) for k in range(60)])
    print(json.dumps([times, limiter.state.alone_why])); await client.aclose()
asyncio.run(main())
"""


def test_real_processes_together_never_pass_the_budget_in_any_window(live: LiveRedis, tmp_path: Path) -> None:
    socket = live.blocking.config_get("unixsocket")["unixsocket"]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    answers = [json.loads(worker.communicate(timeout=30)[0]) for worker in workers]
    assert [why for _, why in answers] == ["", "", ""]
    times = sorted(at for sent, _ in answers for at in sent)
    assert len(times) == 180
    assert max(sum(start <= at < start + 150 for at in times) for start in times) <= 40


@pytest.fixture
def own(tmp_path: Path) -> Iterator[LiveRedis]:
    """A Redis this test may kill; `home` is tmp_path."""
    with connect_redis(None, tmp_path) as made:
        yield made


def test_a19_without_redis_each_goes_on_with_its_share_of_what_was_left(own: LiveRedis, tmp_path: Path) -> None:
    async def body(make: Callable[..., RateLimiter], clock: Clock) -> None:
        knowing, fresh = make(), make()
        await knowing.acquire("v.orders", 1, ENTRY)
        await knowing.acquire("other.weight", 1, ENTRY)
        stop_redis(tmp_path)
        assert await drain(knowing, "other.weight", CANCEL) == 1  # 20 % of 10, one of them used already
        assert knowing.state.alone_since_ms == clock.ms and knowing.state.alone_why == "ConnectionError"
        assert await drain(fresh, "other.weight", ENTRY) == 0  # knows nothing: what was used may be all
        clock.ms += 11_000
        assert await drain(fresh, "other.weight", ENTRY) == 1
        assert await drain(knowing, "other.weight", CANCEL) == 2
        assert own.revive()
        clock.ms += 1_000
        assert await drain(fresh, "other.weight", CANCEL) == 9  # the other has not come back yet
        assert fresh.state.alone_since_ms is None
        clock.ms += 11_000
        assert await drain(knowing, "other.weight", ENTRY) <= 8
        assert knowing.state.alone_since_ms is None

    play(own, body)


def test_a_redis_that_lost_its_memory_is_told_what_we_used(own: LiveRedis) -> None:
    async def body(make: Callable[..., RateLimiter], clock: Clock) -> None:
        limiter = make()
        await limiter.acquire("v.weight", 6, ENTRY)
        await limiter.acquire("v.orders", 2, ENTRY)
        own.blocking.flushall()
        await limiter.acquire("other.weight", 1, ENTRY)
        assert limiter.state.alone_since_ms is None
        assert await drain(make(), "v.weight", CANCEL) == 4
        assert await drain(make(), "v.orders", CANCEL) == 3

    play(own, body)


def test_a_back_off_holds_without_redis(own: LiveRedis, tmp_path: Path) -> None:
    async def body(make: Callable[..., RateLimiter], clock: Clock) -> None:
        told, heard = make(), make()
        await told.observe("v", {"Retry-After": "30"}, 418)
        with pytest.raises(BudgetFull):
            await heard.acquire("v.weight", 1, CANCEL)
        stop_redis(tmp_path)
        for limiter in (told, heard):
            with pytest.raises(BudgetFull, match="back off"):
                await limiter.acquire("v.weight", 1, CANCEL)

    play(own, body)


def test_the_table_of_budgets() -> None:
    assert {name: [(w.limit, w.length_ms // 1000) for w in budget.windows] for name, budget in BUDGETS.items()} == {
        "binance.spot.weight": [(6000, 60)], "binance.spot.raw": [(61000, 300)],
        "binance.spot.orders": [(100, 10), (200000, 86400)], "binance.spot.connections": [(300, 300)],
        "binance.usdm.weight": [(2400, 60)], "binance.usdm.orders": [(300, 10), (1200, 60)],
        "coinbase.private": [(30, 1)], "coinbase.public": [(10, 1)],
    }  # fmt: skip
