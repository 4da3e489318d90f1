"""The must-holds over as many random sessions as the time given allows (`make soak SECONDS=900`)."""

from __future__ import annotations

import os
import time

import pytest
from test_must_holds import calm, check_books, check_losses, storm

from engine.contracts.records import CLOSED, GAP
from engine.core.limits import Limits

SECONDS = float(os.environ.get("SECONDS_TO_SOAK", "600"))


@pytest.mark.soak
def test_must_holds_over_many_seeds() -> None:
    until = time.monotonic() + SECONDS
    first = seed = int(time.time()) % 10**6 * 1000
    trades = gaps = 0
    while time.monotonic() < until:
        patient = seed % 2 == 1
        quiet, wild = calm(seed, patient), storm(seed, patient)
        try:
            check_books(quiet)
            assert quiet.of(GAP).size == 0
            check_books(wild)
            check_losses(wild, Limits(trade_loss_usd=50, day_loss_usd=100))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        trades += len(quiet.of(CLOSED)) + len(wild.of(CLOSED))
        gaps += len(wild.of(GAP))
        seed += 1
    print(f"seeds {first}..{seed - 1}: {2 * (seed - first)} sessions, {trades} trades, {gaps} gaps, nothing unlisted")
    assert trades > 0
