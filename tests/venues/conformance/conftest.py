"""One sandbox a module; one running venue a module and subject."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conformance_subjects import SUBJECTS, Stage, Subject, start_sandbox
from venue_bench import Bench

from engine.store.redis_server import LiveRedis, connect_redis


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRedis]:
    with connect_redis(None, tmp_path_factory.mktemp("conformance")) as found:
        yield found


@pytest.fixture(scope="module")
def sandbox(live: LiveRedis) -> Iterator[Stage]:
    live.blocking.flushall()
    started = start_sandbox(live)
    yield started
    started.stop()


@pytest.fixture(scope="module", params=SUBJECTS, ids=lambda one: one.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.param
    return found


@pytest.fixture(scope="module")
def bench(subject: Subject, sandbox: Stage) -> Iterator[Bench]:
    made = subject.bench(sandbox)
    made.start()
    made.play = lambda events=20: sandbox.advance(events)
    made.stands_at = lambda: sandbox.ask_ticks(subject.site)
    made.play_until_quoted()
    yield made
    made.stop()
