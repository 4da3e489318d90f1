"""The control channel over a real Redis: at least once, once by id, bad ones refused by name, nothing blocks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contracts.errors import BadInput, Retryable
from engine.store.control import (
    MAX_AGE_S,
    Adopt,
    Answer,
    AnyCommand,
    CommandInbox,
    Pause,
    Reduce,
    Rekey,
    Resume,
    Set,
    await_answer,
    new_id,
    send,
)
from engine.store.redis_server import LiveRedis, connect_redis, stop_redis

WHO: dict[str, Any] = {"who": "ada", "why": "lunch", "ts_ns": 1_700_000_000_000_000_000}
STREAM = "keel:live:run-1:commands"


def play(live: LiveRedis, body: Callable[[redis.asyncio.Redis], Awaitable[None]]) -> None:
    async def main() -> None:
        async with live.asynchronous(2.0) as client:
            await body(client)

    asyncio.run(main())


@pytest.fixture
def own(tmp_path: Path) -> Iterator[LiveRedis]:
    with connect_redis(None, tmp_path) as made:
        yield made


async def received(inbox: CommandInbox) -> list[AnyCommand]:
    return [delivery.command for delivery in await inbox.receive(0)]


def test_every_kind_arrives_in_order_and_is_answered(live: LiveRedis) -> None:
    commands: list[AnyCommand] = [
        Pause(id="a", **WHO), Reduce(id="b", **WHO), Resume(id="c", **WHO),
        Adopt(id="d", instrument="v:S", stop=1.5, **WHO),
        Set(id="e", key="limits.trade_loss_usd", value=5.0, **WHO), Rekey(id="f", key="main", **WHO),
    ]  # fmt: skip

    async def body(client: redis.asyncio.Redis) -> None:
        inbox = CommandInbox(client, "run-1")
        for command in commands:
            send(live.blocking, "run-1", command)
        deliveries = await inbox.receive(0)
        assert [delivery.command for delivery in deliveries] == commands
        assert await received(inbox) == []
        await inbox.acknowledge(deliveries[0], True)
        await inbox.acknowledge(deliveries[4], False, "out of bounds")

    play(live, body)
    assert await_answer(live.blocking, "run-1", "a", 0.01) == Answer(id="a", accepted=True)
    assert await_answer(live.blocking, "run-1", "a", 0.01) == Answer(id="a", accepted=True)
    assert await_answer(live.blocking, "run-1", "e", 0.01) == Answer(id="e", accepted=False, message="out of bounds")
    assert await_answer(live.blocking, "run-1", "b", 0.01) is None
    assert set(MAX_AGE_S) == {type(command) for command in commands}


def test_unacknowledged_commands_come_again_after_a_restart_and_only_those(live: LiveRedis) -> None:
    async def body(client: redis.asyncio.Redis) -> None:
        first = CommandInbox(client, "run-1")
        for name in "abcd":
            send(live.blocking, "run-1", Pause(id=name, **WHO))
        a, b, c, d = await first.receive(0)
        await first.acknowledge(c, True)
        await first.acknowledge(a, True)
        second = CommandInbox(client, "run-1")
        deliveries = await second.receive(0)
        assert [delivery.command.id for delivery in deliveries] == ["b", "d"]
        for delivery in deliveries:
            await second.acknowledge(delivery, True)
        assert await received(CommandInbox(client, "run-1")) == []
        assert await client.get("keel:live:run-1:commands:cursor") == d.entry

    play(live, body)


def test_one_id_is_done_once_however_often_it_is_sent(live: LiveRedis) -> None:
    async def body(client: redis.asyncio.Redis) -> None:
        inbox = CommandInbox(client, "run-1")
        for _ in range(3):
            send(live.blocking, "run-1", Reduce(id="x", **WHO))
        (delivery,) = await inbox.receive(0)
        send(live.blocking, "run-1", Reduce(id="x", **WHO))
        assert await received(inbox) == []
        await inbox.acknowledge(delivery, True, "flat")
        send(live.blocking, "run-1", Reduce(id="x", **WHO))
        assert await received(inbox) == [] and await received(CommandInbox(client, "run-1")) == []

    play(live, body)
    assert await_answer(live.blocking, "run-1", "x", 0.01) == Answer(id="x", accepted=True, message="flat")


BAD = {
    b'{"command":"buy","id":"b1","who":"ada","why":"w","ts_ns":1}': "Invalid value 'buy'",
    b'{"command":"pause","id":"b1","who":"","why":"w","ts_ns":1}': r"\$.who",
    b'{"command":"pause","id":"b1","who":"ada","ts_ns":1}': "why",
    b'{"command":"pause","id":"b1","who":"ada","why":"w","ts_ns":1,"force":true}': "force",
    b'{"command":"set","id":"b1","who":"ada","why":"w","ts_ns":1,"key":"k","value":"5"}': r"\$.value",
    b'{"id":"b1"}': "command",
    b'{"command":"pause","id":"b1","who":"' + b"x" * 20_000 + b'"}': "bytes are too many",
}


@pytest.mark.parametrize("raw", BAD, ids=list(BAD.values()))
def test_what_is_not_understood_is_refused_by_name_and_the_rest_goes_on(live: LiveRedis, raw: bytes) -> None:
    async def body(client: redis.asyncio.Redis) -> None:
        inbox = CommandInbox(client, "run-1")
        live.blocking.xadd(STREAM, {"command": raw})
        send(live.blocking, "run-1", Pause(id="good", **WHO))
        (delivery,) = await inbox.receive(0)
        assert delivery.command.id == "good" and inbox.refused == 1
        await inbox.acknowledge(delivery, True)
        assert await received(CommandInbox(client, "run-1")) == []

    play(live, body)
    answer = await_answer(live.blocking, "run-1", "b1", 0.01)
    assert answer is not None and not answer.accepted
    with pytest.raises(AssertionError, match=BAD[raw]):
        raise AssertionError(answer.message)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(entries=st.lists(st.dictionaries(st.sampled_from(["command", "x"]), st.binary(max_size=40), min_size=1)))
def test_rubbish_never_disturbs(live: LiveRedis, entries: list[dict[str, bytes]]) -> None:
    live.blocking.flushall()

    async def body(client: redis.asyncio.Redis) -> None:
        inbox = CommandInbox(client, "run-1")
        for fields in entries:
            live.blocking.xadd(STREAM, dict(fields))
        assert await received(inbox) == [] and inbox.refused == len(entries)
        assert await received(CommandInbox(client, "run-1")) == []

    play(live, body)


def test_a_resume_that_lay_around_is_refused_and_an_emergency_is_not(live: LiveRedis) -> None:
    seconds, _ = live.blocking.time()
    commands = [Resume(id="r", **WHO), Reduce(id="e", **WHO), Set(id="s", key="k", value=1, **WHO)]
    for k, command in enumerate(commands):
        old = f"{(seconds - 3600) * 1000 + k}-0"
        live.blocking.xadd(STREAM, {"command": msgspec.json.encode(command)}, id=old)

    async def body(client: redis.asyncio.Redis) -> None:
        assert await received(CommandInbox(client, "run-1")) == [Reduce(id="e", **WHO)]

    play(live, body)
    answer = await_answer(live.blocking, "run-1", "r", 0.01)
    assert answer is not None
    assert re.fullmatch(r"resume was sent 360\d s ago, more than 60 s: send it again", answer.message)


def test_redis_gone_is_retryable_and_commands_come_after_it_is_back(own: LiveRedis, tmp_path: Path) -> None:
    async def body(client: redis.asyncio.Redis) -> None:
        inbox = CommandInbox(client, "run-1")
        send(own.blocking, "run-1", Pause(id="before", **WHO))
        (held,) = await inbox.receive(0)
        stop_redis(tmp_path)
        with pytest.raises(Retryable, match="control channel"):
            await inbox.receive(0)
        with pytest.raises(Retryable, match="control channel"):
            await inbox.acknowledge(held, True)
        with pytest.raises(Retryable, match="control channel"):
            send(own.blocking, "run-1", Pause(id="lost", **WHO))
        with pytest.raises(Retryable, match="control channel"):
            await_answer(own.blocking, "run-1", "before", 0.01)
        assert own.revive()
        await inbox.acknowledge(held, True)
        send(own.blocking, "run-1", Pause(id="before", **WHO))
        send(own.blocking, "run-1", Pause(id="after", **WHO))
        assert await received(inbox) == [Pause(id="after", **WHO)]

    play(own, body)
    assert await_answer(own.blocking, "run-1", "before", 0.01) == Answer(id="before", accepted=True)


def test_a_waiting_inbox_wakes_at_once(live: LiveRedis) -> None:
    async def body(client: redis.asyncio.Redis) -> None:
        inbox = CommandInbox(client, "run-1")
        waiting = asyncio.create_task(inbox.receive(1.5))
        await client.ping()
        loop = asyncio.get_running_loop()
        started = loop.time()
        send(live.blocking, "run-1", Reduce(id=new_id(), **WHO))
        assert len(await waiting) == 1 and loop.time() - started < 0.5

    play(live, body)


def test_unsendable_commands_are_refused_at_the_sender(live: LiveRedis) -> None:
    for wrong in (Pause(id="", **WHO), Pause(id="a b", **WHO), Pause(id="x", who="", why="w", ts_ns=1)):
        with pytest.raises(BadInput, match="cannot be sent"):
            send(live.blocking, "run-1", wrong)
    assert live.blocking.exists(STREAM) == 0
