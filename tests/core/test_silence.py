"""Silence: no tick, no answer. Timers alone see to it that nothing stays naked, stuck or forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from probes import Desk
from streams import Weather, instrument, perp, play, random_stream

from engine.contracts import reasons
from engine.contracts.records import (
    CANCEL,
    CANCEL_ACK,
    CANCEL_REJECT,
    ORDER_ACK,
    ORDER_EXPIRED,
    ORDER_REJECT,
    ORDER_UNKNOWN,
    PLACE,
    REDUCE_ONLY,
    ROLE_EXIT,
    ROLE_STOP,
)
from engine.core import life, timers
from engine.core.orders import ACTIVE

WIDE = {"max_data_age_s": 3600.0}


def opened(one: Any, lots: int = 50) -> Desk:
    """A position whose stop was just sent."""
    made = Desk([one], **WIDE)
    made.quote(0, 9_999, 10_000)
    entry = made.enter(0, lots, 9_900)
    made.feed()
    made.fill(entry, 10_000, lots)
    return made


def sent(records: Any, role: int = ROLE_EXIT) -> list[tuple[int, int]]:
    """(lots, replaces) of the orders of a role."""
    rows = records[(records["kind"] == PLACE) & (records["role"] == role)]
    return [(int(r["qty_lots"]), int(r["ref_id"])) for r in rows]


def position(made: Desk) -> Any:
    return made.state.positions[0]


def leaving(one: Any) -> tuple[Desk, int]:
    """A position whose exit was just sent in place of its stop; the exit's client id."""
    made = opened(one)
    made.ack(int(position(made).stop_id))
    position(made).exit_reason = reasons.EXIT_SIGNAL
    made.quote(0, 9_998, 10_000)
    return made, int(position(made).exit_id)


def stop_silent(made: Desk) -> None:
    """The venue says nothing."""


def stop_in_doubt(made: Desk) -> None:
    made.ack(int(position(made).stop_id), ORDER_UNKNOWN)


def stop_refused(made: Desk) -> None:
    made.ack(int(position(made).stop_id), ORDER_REJECT, reason=reasons.RATE_LIMITED)


def replacement_silent(made: Desk) -> None:
    made.ack(int(position(made).stop_id))
    position(made).stop_ticks = 9_950
    made.quote(0, 10_019, 10_020)


def replacement_in_doubt(made: Desk) -> None:
    replacement_silent(made)
    made.ack(int(position(made).stop_id), ORDER_UNKNOWN)


SILENCES = [stop_silent, stop_in_doubt, stop_refused, replacement_silent, replacement_in_doubt]


@pytest.mark.parametrize("one", [instrument(), perp()], ids=["spot", "perpetual"])
@pytest.mark.parametrize("silence", SILENCES, ids=lambda s: s.__name__)
def test_two_seconds_without_a_confirmed_stop_mean_out_at_the_market(silence: Any, one: Any) -> None:
    made = opened(one)
    silence(made)
    assert sent(made.wait(1.9)) == [] and position(made).exit_reason == 0
    assert sent(made.wait(0.2))[0][0] == 50
    assert position(made).exit_reason == reasons.NAKED_POSITION and made.head.trading_state == ACTIVE


def test_a_confirmed_stop_lets_the_clock_rest() -> None:
    made = opened(instrument())
    made.ack(int(position(made).stop_id))
    assert made.state.timers[timers.LOOK] == timers.NEVER
    assert sent(made.wait(600)) == []


def test_a_growing_position_gives_each_part_its_own_two_seconds() -> None:
    made = Desk([instrument()], **WIDE)
    made.quote(0, 9_999, 10_000)
    entry = made.enter(0, 80, 9_900, patience_s=60)
    made.feed()
    made.ack(entry)
    for _ in range(4):  # a stop is confirmed each time after more has come: never one for all of it
        made.fill(entry, 9_999, 10)
        made.wait(0.8)
        stop = int(position(made).stop_id)
        made.fill(entry, 9_999, 5)
        made.ack(stop)
        assert position(made).exit_reason == 0
    assert sent(made.wait(2.1)) != [], "the last stop was never confirmed"


def test_spot_coins_that_a_stop_in_doubt_may_hold_are_sold_once_the_venue_lets_go() -> None:
    made = opened(instrument())
    stop = int(position(made).stop_id)
    made.ack(stop, ORDER_UNKNOWN)
    assert sent(made.wait(2.1)) == [(50, 0)], "beside the stop: nobody knows whether it stands"
    refused = {"kind": ORDER_REJECT, "reason": reasons.INSUFFICIENT_BALANCE}
    assert sent(made.ack(int(position(made).exit_id), **refused)) == []
    assert sent(made.wait(2.1)) == [(50, 0)]
    made.ack(int(position(made).exit_id), **refused)
    said = made.ack(stop, ORDER_ACK)
    assert sent(said) == [(50, stop)], "the doubt is over: at once, in the stop's place"
    made.ack(stop, CANCEL_ACK)
    made.fill(int(position(made).exit_id), 9_999, 50)
    assert position(made).qty_lots == 0 and made.head.trading_state == ACTIVE


@pytest.mark.parametrize("one", [instrument(), perp()], ids=["spot", "perpetual"])
def test_a_stop_in_doubt_that_outlives_its_position_is_cancelled_once_and_again_when_known(one: Any) -> None:
    made = opened(one)
    stop = int(position(made).stop_id)
    made.ack(stop, ORDER_UNKNOWN)
    made.wait(2.1)
    said = made.fill(int(position(made).exit_id), 9_999, 50)
    assert (said["kind"] == CANCEL).sum() == 1
    for _ in range(5):
        assert not (made.quote(0, 9_999, 10_000)["kind"] == CANCEL).any()
    assert not (made.wait(600)["kind"] == CANCEL).any()
    assert made.enter(0, 50, 9_900) == 0 and made.refused() == reasons.ORDER_IN_DOUBT
    assert (made.ack(stop, ORDER_ACK)["kind"] == CANCEL).sum() == 1
    made.ack(stop, CANCEL_ACK)
    assert made.enter(0, 50, 9_900) > 0


def test_a_refused_cancel_of_a_stop_is_repeated_each_second() -> None:
    made = opened(instrument())
    stop = int(position(made).stop_id)
    made.ack(stop)
    position(made).exit_reason = reasons.EXIT_SIGNAL
    made.quote(0, 9_998, 10_000)
    made.fill(int(position(made).exit_id), 9_998, 50)
    made.wait(5)
    assert (made.ack(stop, CANCEL_REJECT)["kind"] == CANCEL).sum() == 1
    for _ in range(3):
        assert not (made.ack(stop, CANCEL_REJECT)["kind"] == CANCEL).any()
        assert (made.wait(1.1)["kind"] == CANCEL).sum() == 1


EXITS = {
    "refused": {"kind": ORDER_REJECT, "reason": reasons.RATE_LIMITED},
    "expired": {"kind": ORDER_EXPIRED, "reason": reasons.NO_LIQUIDITY},
    "taken away": {"kind": CANCEL_ACK},
}


@pytest.mark.parametrize(
    ("end", "filled"), [("refused", 0), ("expired", 0), ("expired", 20), ("taken away", 0), ("taken away", 20)]
)
def test_an_exit_that_ends_unfilled_is_sent_again_by_the_clock(end: str, filled: int) -> None:
    made, exit_id = leaving(instrument())
    made.ack(int(position(made).stop_id), CANCEL_ACK)
    if filled:
        made.fill(exit_id, 9_998, filled)
    made.ack(exit_id, **EXITS[end])
    stop = int(position(made).stop_id)
    made.ack(stop)
    assert sent(made.wait(1.5)) == []
    assert sent(made.wait(1.0)) == [(50 - filled, stop)]


def test_exits_are_tried_for_ever_but_ever_less_often() -> None:
    made, exit_id = leaving(perp())
    moments = []
    for _ in range(10):
        moments.append(int(made.order(exit_id).placed_ns) // 10**9)
        made.ack(exit_id, ORDER_REJECT, reason=reasons.RATE_LIMITED)
        made.ack(int(position(made).stop_id))
        while position(made).exit_id == 0 and made.now_ns // 10**9 < moments[-1] + 100:
            made.wait(0.5)
        exit_id = int(position(made).exit_id)
        assert exit_id != 0, "forgotten"
    assert [b - a for a, b in zip(moments, moments[1:], strict=False)] == [2, 4, 8, 16, 32, 64, 64, 64, 64]


def test_a_perpetual_exit_in_doubt_is_repeated_reduce_only_a_few_times() -> None:
    made, exit_id = leaving(perp())
    made.ack(exit_id, ORDER_UNKNOWN)
    said = []
    for _ in range(10):
        said += sent(made.wait(70))
        if made.order(int(position(made).exit_id)).status == life.SUBMITTED:
            made.ack(int(position(made).exit_id), ORDER_UNKNOWN)
    assert 1 <= len(said) <= 3
    made.fill(int(position(made).exit_id), 9_998, 50)
    assert position(made).qty_lots == 0
    made.ack(exit_id, ORDER_EXPIRED)
    assert made.head.trading_state == ACTIVE


def test_a_spot_exit_in_doubt_is_never_sent_twice() -> None:
    made, exit_id = leaving(instrument())
    made.ack(int(position(made).stop_id), CANCEL_ACK)
    made.ack(exit_id, ORDER_UNKNOWN)
    assert sent(made.wait(3_000)) == []
    assert sent(made.ack(exit_id, ORDER_EXPIRED, reason=reasons.NO_LIQUIDITY)) == [(50, 0)], "at once"


def test_an_exit_does_not_wait_for_ever_for_a_stop_that_was_never_answered() -> None:
    """An emergency while the stop is on its way: two seconds after it was sent the exit goes out beside it."""
    made = opened(perp())
    position(made).exit_reason = reasons.EMERGENCY_EXIT
    assert sent(made.quote(0, 9_999, 10_000)) == []
    assert sent(made.wait(2.1)) == [(50, 0)]


def test_every_stop_and_exit_is_reduce_only() -> None:
    stream = random_stream(5, [perp("PPP"), instrument("AAA")], Weather(hours=20, jump_chance=0.01))
    orders = play(stream).of(PLACE)
    out = orders[(orders["role"] == ROLE_STOP) | (orders["role"] == ROLE_EXIT)]
    assert len(out) > 10 and ((out["bits"] & REDUCE_ONLY) != 0).all()


def test_dust_waits_for_a_price_not_for_a_clock() -> None:
    made, exit_id = leaving(instrument())
    made.ack(int(position(made).stop_id), CANCEL_ACK)
    made.fill(exit_id, 9_998, 47)
    made.ack(exit_id, ORDER_EXPIRED, reason=reasons.NO_LIQUIDITY)
    made.wait(5)
    assert made.state.timers[timers.LOOK] == timers.NEVER
    assert sent(made.quote(0, 9_998, 10_000, after_ns=3700 * 10**9)) == []
    assert sent(made.quote(0, 29_998, 30_000, after_ns=3700 * 10**9)) == [(3, 0)]
