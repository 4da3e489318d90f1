"""Work on the side of a venue, and fills missed by a stream that was away: neither is lost without a word."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
import redis.asyncio

from engine.contracts.errors import Refused, Retryable
from engine.venues.background import Background, reason_of
from engine.venues.binance import user_stream
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.dialects import DIALECTS
from engine.venues.binance.endpoints import ENDPOINTS
from engine.venues.binance.link import Link
from engine.venues.binance.rest import Rest
from engine.venues.binance.teller import Teller
from engine.venues.binance.user_stream import OVERLAP_NS, UserStream
from engine.venues.limiter import RateLimiter
from engine.venues.signing import Secret, binance_signer

pytestmark = pytest.mark.asyncio


async def fail(error: Exception) -> None:
    raise error


async def test_what_fails_on_the_side_is_told_without_the_text_of_a_mistake() -> None:
    told: list[tuple[str, str]] = []
    background = Background(lambda kind, text: told.append((kind, text)))
    work = [background.spawn(fail(error)) for error in (Retryable("away"), Refused("no key"), KeyError("s3cret"))]
    await asyncio.wait(work)
    assert told[:2] == [("lost", "away"), ("refused", "no key")]
    kind, text = told[2]
    assert kind == "lost" and re.fullmatch(r"unexpected KeyError at test_background\.py:\d+", text)


async def test_of_several_reasons_each_is_named() -> None:
    assert (
        reason_of(ExceptionGroup("s3cret", [Retryable("away"), ValueError("s3cret")])) == "away; unexpected ValueError"
    )
    assert reason_of(None) == "it ended by itself"


async def test_the_end_waits_until_everything_is_gone() -> None:
    background, ended = Background(lambda kind, text: None), asyncio.Event()

    async def long() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    background.spawn(long())
    await asyncio.sleep(0)
    await background.end()
    assert ended.is_set()


class Missed:
    """Answers to "which fills since then", from a script."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.asked_ns: list[int] = []

    async def fills_since(self, since_ns: int) -> int:
        self.asked_ns.append(since_ns)
        await asyncio.sleep(0)
        if (error := self.answers.pop(0)) is not None:
            raise error
        return 0


def stream_with(queries: Any) -> tuple[UserStream, Link]:
    dialect = DIALECTS["spot"]
    signer = binance_signer(Secret("s" * 64), "secret")
    limiter = RateLimiter(redis.asyncio.Redis(unix_socket_path="/dev/null"), "test")  # asked by nobody here
    link = Link(
        "test", dialect, Rest("test", dialect, ENDPOINTS["spot", "testnet"], "k", signer, limiter), ClientIds("k1")
    )
    return UserStream(link, signer, Teller(link), queries, 5.0), link


async def test_fills_missed_are_asked_for_until_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_stream, "CATCH_UP_S", (0.0,))
    queries = Missed(Retryable("503"), Retryable("503"), None)
    stream, link = stream_with(queries)
    stream._begin()
    assert stream._catching is None  # nothing was missed yet
    stream.down()
    lost_ns = link.deaf_since_ns
    stream._begin()
    assert stream._catching is not None
    await stream._catching
    assert lost_ns > 0 and queries.asked_ns == [lost_ns - OVERLAP_NS] * 3 and link.deaf_since_ns == 0


async def test_a_stream_that_breaks_again_before_it_caught_up_forgets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_stream, "CATCH_UP_S", (3600.0,))
    queries = Missed(Retryable("503"), None)
    stream, link = stream_with(queries)
    stream._begin()
    stream.down()
    lost_ns = link.deaf_since_ns
    stream._begin()
    await asyncio.sleep(0.01)
    stream.down()
    stream._begin()
    assert stream._catching is not None
    await stream._catching
    assert queries.asked_ns == [lost_ns - OVERLAP_NS] * 2 and link.deaf_since_ns == 0
