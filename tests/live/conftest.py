"""One real embedded Redis for all tests that only need a server, emptied before each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.store.redis_server import LiveRedis, connect_redis


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRedis]:
    with connect_redis(None, tmp_path_factory.mktemp("live")) as live:
        yield live


@pytest.fixture
def live(shared_redis: LiveRedis) -> LiveRedis:
    shared_redis.blocking.flushall()
    return shared_redis
