"""The market is held back until somebody says play; then it is known which moment of it is when on the wire."""

from __future__ import annotations

import time
import urllib.error
from collections.abc import Iterator

import pytest
from running_sandbox import Running


@pytest.fixture(scope="module")
def held() -> Iterator[Running]:
    running = Running(speed=0.0, minutes=11, symbols=("BTC/USDT",))
    yield running
    running.stop()


def test_a_market_held_back_plays_when_told_and_says_since_when(held: Running) -> None:
    replay = held.sandbox.replay
    assert held.tell("/", None, "GET")["playing"] is None
    first_ns, before = replay.next_ns, replay.played
    asked_ns = time.time_ns()
    playing = held.tell("/play", {"speed": 50.0})
    assert playing["market_ns"] == first_ns
    assert playing["speed"] == 50.0
    assert asked_ns <= playing["wire_ns"] <= time.time_ns()
    deadline = time.monotonic() + 5
    while replay.played == before and time.monotonic() < deadline:
        time.sleep(0.005)
    state = held.tell("/", None, "GET")
    assert state["playing"] == playing
    assert state["played"] > before


@pytest.mark.parametrize("speed", [0.0, -1.0, 1e7, 50.0])
def test_play_is_refused_twice_and_at_no_speed(held: Running, speed: float) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        held.tell("/play", {"speed": speed})
    assert refused.value.code == 400
