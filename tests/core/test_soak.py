"""The must-holds over as many random sessions as the time given allows (`make soak SECONDS=900`)."""

from __future__ import annotations

import os
import time

import pytest
from test_must_holds import calm, check_books, check_losses, narrow, storm

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
        quiet, wild, falling = calm(seed, patient), storm(seed, patient), narrow(seed)
        try:
            for session in (quiet, falling):
                check_books(session)
                assert session.of(GAP).size == 0
            check_books(wild)
            check_losses(wild, Limits(trade_loss_usd=50, day_loss_usd=100))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        trades += sum(len(session.of(CLOSED)) for session in (quiet, wild, falling))
        gaps += len(wild.of(GAP))
        seed += 1
    print(f"seeds {first}..{seed - 1}: {3 * (seed - first)} sessions, {trades} trades, {gaps} gaps, nothing unlisted")
    assert trades > 0
