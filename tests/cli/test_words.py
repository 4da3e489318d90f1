"""Whoever listens to the engine cannot stop it."""

from __future__ import annotations

import threading
import time

import pytest

from engine.cli import words
from engine.cli.words import WAITING, Words


def test_a_reader_who_stops_reading_delays_nobody_and_is_told_what_was_left_out() -> None:
    written: list[str] = []
    reads = threading.Event()

    def write(line: str) -> None:
        assert reads.wait(10)
        written.append(line)

    with Words(write) as engine:
        began_s = time.monotonic()
        for number in range(WAITING + 50):
            engine.say(f"line {number}")
        assert time.monotonic() - began_s < 5
        reads.set()
    assert written[0] == "line 0" and "left out" in written[1]
    assert len(written) in (WAITING + 1, WAITING + 2)  # one may be in the writer's hands already


def test_the_end_waits_for_nobody_who_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "LAST_S", 0.05)
    stuck = threading.Event()

    def write(_line: str) -> None:
        stuck.wait(30)

    with Words(write) as engine:
        engine.say("nobody reads this")
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 5
    stuck.set()


def test_a_reader_who_is_gone_is_no_error() -> None:
    def write(_line: str) -> None:
        raise BrokenPipeError

    with Words(write) as engine:
        engine.say("a")
        engine.say("b")
