"""The live view over a real Redis: what is written is read; a dead, stuck or restarted server never blocks anybody."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import redis.asyncio

from engine.contracts.errors import BadData, BadInput, Retryable
from engine.store.liveview import LiveWriter, live_runs, read_live
from engine.store.redis_server import LiveRedis, connect_redis, stop_redis

POSITION = {"qty": 0.002, "entry": 60_000.5, "stop": 59_000.0, "long": True, "note": None}


def play(live: LiveRedis, body: Callable[[redis.asyncio.Redis], Awaitable[None]], reply_s: float = 1.0) -> None:
    async def main() -> None:
        async with live.asynchronous(reply_s) as client:
            await body(client)

    asyncio.run(main())


async def flush_all(writer: LiveWriter) -> bool:
    while writer.waiting:
        if not await writer.flush():
            return False
    return await writer.flush()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[LiveRedis]:
    with connect_redis(None, tmp_path) as made:
        yield made


def test_what_was_put_is_read(live: LiveRedis) -> None:
    async def body(client: redis.asyncio.Redis) -> None:
        writer = LiveWriter(client, "run-1", wall_ns=lambda: 1_700_000_000_123_456_789)
        writer.put("positions", {"BTCUSDT": {"qty": 1}, "ETHUSDT": POSITION})
        writer.put("positions", {"BTCUSDT": POSITION})
        writer.put("orders", {})
        writer.put("feeds", {"binance.trades": {"age_ms": 12}})
        for k in range(3):
            writer.add("decisions", {"n": k})
        writer.add("refusals", {"reason": "day loss"})
        assert await writer.flush()

    play(live, body)
    view = read_live(live.blocking, "run-1")
    assert view.positions == {"BTCUSDT": POSITION} and view.orders == {} and view.equity == {}
    assert view.feeds == {"binance.trades": {"age_ms": 12}}
    assert view.decisions == [{"n": 0}, {"n": 1}, {"n": 2}] and view.fills == []
    assert view.refusals == [{"reason": "day loss"}]
    assert read_live(live.blocking, "run-1", last=1).decisions == [{"n": 2}]
    beat = view.heartbeat
    assert beat is not None and (beat.ts_ns, beat.pid) == (1_700_000_000_123_456_789, os.getpid())
    assert (beat.dropped, beat.conflated, beat.failures) == (0, 1, 0)
    assert live_runs(live.blocking) == [] or live_runs(live.blocking) == ["run-1"]
    assert 0 < live.blocking.ttl("keel:live:run-1:heartbeat") <= 5


def test_a_table_is_replaced_and_streams_are_capped(live: LiveRedis) -> None:
    async def body(client: redis.asyncio.Redis) -> None:
        writer = LiveWriter(client, "run-1")
        writer.put("positions", {"A": {"x": 1}, "B": {"x": 2}})
        assert await writer.flush()
        writer.put("positions", {"B": {"x": 3}})
        for batch in range(3):
            for k in range(1000):
                writer.add("fills", {"k": batch * 1000 + k})
            assert await flush_all(writer)

    play(live, body)
    view = read_live(live.blocking, "run-1", last=10_000)
    assert view.positions == {"B": {"x": 3}}
    assert 1000 <= len(view.fills) <= 1200 and view.fills[-1] == {"k": 2999}
    assert live_runs(live.blocking) == ["run-1"]


def test_a19_a_dead_redis_costs_the_engine_nothing_and_the_view_comes_back(own: LiveRedis, tmp_path: Path) -> None:
    async def body(client: redis.asyncio.Redis) -> None:
        writer = LiveWriter(client, "run-1")
        writer.put("equity", {"account": {"usd": 1000.0}})
        assert await writer.flush() and not writer.down
        stop_redis(tmp_path)
        started = time.perf_counter()
        for k in range(1500):
            writer.add("decisions", {"k": k})
            writer.put("positions", {"BTCUSDT": {"k": k}})
        assert time.perf_counter() - started < 0.5
        assert not await writer.flush() and writer.down
        assert (writer.heartbeat.dropped, writer.heartbeat.failures) == (500, 1)
        assert own.revive()  # with nothing in it
        assert await flush_all(writer) and not writer.down

    play(own, body)
    view = read_live(own.blocking, "run-1", last=2000)
    assert view.equity == {"account": {"usd": 1000.0}} and view.positions == {"BTCUSDT": {"k": 1499}}
    assert [row["k"] for row in view.decisions] == list(range(500, 1500))
    assert view.heartbeat is not None and view.heartbeat.dropped == 500


def test_a_stuck_redis_is_given_up_on_and_its_late_write_shows_once(own: LiveRedis) -> None:
    server = int(own.blocking.info("server")["process_id"])

    async def body(client: redis.asyncio.Redis) -> None:
        writer = LiveWriter(client, "run-1")
        assert await writer.flush()
        os.kill(server, signal.SIGSTOP)
        writer.add("fills", {"k": 1})
        try:
            assert not await writer.flush()
            writer.add("fills", {"k": 2})
        finally:
            os.kill(server, signal.SIGCONT)
        assert await writer.flush()
        assert writer.heartbeat.dropped == 0

    play(own, body, reply_s=0.05)
    assert own.blocking.xlen("keel:live:run-1:fills") == 3  # written late, and again
    assert read_live(own.blocking, "run-1").fills == [{"k": 1}, {"k": 2}]


def test_the_task_writes_by_itself_and_beats_without_news(live: LiveRedis) -> None:
    async def body(client: redis.asyncio.Redis) -> None:
        writer = LiveWriter(client, "run-1", beat_s=0.01)
        task = asyncio.create_task(writer.write_on())
        writer.put("equity", {"account": {"usd": 1.0}})
        async with asyncio.timeout(5):
            while await client.exists("keel:live:run-1:equity") == 0:  # each look is a round trip
                pass
            first = read_live(live.blocking, "run-1").heartbeat
            while read_live(live.blocking, "run-1").heartbeat == first:
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    play(live, body)
    assert read_live(live.blocking, "run-1").equity == {"account": {"usd": 1.0}}


def test_a_run_never_heard_of_is_empty(live: LiveRedis) -> None:
    view = read_live(live.blocking, "nobody")
    assert view.heartbeat is None and view.positions == {} and view.fills == []


@pytest.mark.parametrize("kind", ["json", "text", "type"])
def test_foreign_contents_are_named(live: LiveRedis, kind: str) -> None:
    if kind == "type":
        live.blocking.set("keel:live:run-1:orders", "x")
    else:
        live.blocking.hset("keel:live:run-1:orders", "o", "[1" if kind == "json" else b"\xff\xfe")
    with pytest.raises(BadData, match="keel:live:run-1:"):
        read_live(live.blocking, "run-1")


def test_readers_say_when_redis_is_gone(own: LiveRedis, tmp_path: Path) -> None:
    stop_redis(tmp_path)
    with pytest.raises(Retryable, match="live view"):
        read_live(own.blocking, "run-1")
    with pytest.raises(Retryable, match="live view"):
        live_runs(own.blocking)


@pytest.mark.parametrize("run", ["", "a:b", "a b", "x" * 101, "\u0663", "../x"])
def test_a_run_id_is_part_of_a_key(live: LiveRedis, run: str) -> None:
    with pytest.raises(BadInput, match="run id"):
        LiveWriter(live.asynchronous(), run)
