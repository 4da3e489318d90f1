"""The venue's clock from round trips: noise, jumps (A14) and the refusal that names the fix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contracts.errors import BadInput, Refused
from engine.venues.server_clock import ServerClock, spoken_offset

MS = 1_000_000
T0 = 1_700_000_000_000 * MS


def exchange(clock: ServerClock, at_ns: int, offset_ns: int, out_ns: int = 5 * MS, back_ns: int = 5 * MS) -> None:
    clock.note(at_ns, at_ns + out_ns + offset_ns, at_ns + out_ns + back_ns)


def test_symmetric_round_trips_give_the_exact_offset() -> None:
    clock = ServerClock("binance")
    for k in range(10):
        exchange(clock, T0 + k * 1000 * MS, 1234 * MS)
    assert clock.offset_ns == 1234 * MS and clock.rtt_ns == 10 * MS and clock.samples == 10
    assert clock.timestamp_ms(T0 + 999_999) == 1_700_000_001_234


@given(
    offset_ms=st.integers(-4000, 4000),
    trips=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=60),
)
def test_the_error_is_at_most_half_the_longest_chosen_round_trip(offset_ms: int, trips: list[tuple[int, int]]) -> None:
    clock = ServerClock("binance")
    for k, (out, back) in enumerate(trips):
        exchange(clock, T0 + k * 1000 * MS, offset_ms * MS, out * MS, back * MS)
    best = sorted(out + back for out, back in trips[-32:])
    chosen = best[: max(1, (len(best) + 3) // 4)]
    assert abs(clock.offset_ns - offset_ms * MS) <= chosen[-1] * MS // 2


def test_one_slow_lopsided_reply_changes_nothing() -> None:
    clock = ServerClock("binance")
    for k in range(8):
        exchange(clock, T0 + k * 1000 * MS, 0)
    exchange(clock, T0, 0, out_ns=4000 * MS, back_ns=5 * MS)
    assert clock.offset_ns == 0


def test_a14_a_clock_that_was_set_is_followed_after_two_samples() -> None:
    for jump in (5000, -5000):
        clock = ServerClock("binance")
        for k in range(32):
            exchange(clock, T0 + k * 1000 * MS, 0)
        exchange(clock, T0, jump * MS)
        assert clock.offset_ns == 0
        exchange(clock, T0, jump * MS)
        assert clock.offset_ns == jump * MS and clock.samples == 2


def test_skew_is_refused_with_the_fix() -> None:
    clock = ServerClock("binance")
    with pytest.raises(Refused, match="never measured"):
        clock.check(5000)
    for behind_ms, told in ((2501, "behind binance's"), (-1001, "ahead of binance's")):
        clock = ServerClock("binance")
        exchange(clock, T0, behind_ms * MS)
        with pytest.raises(Refused, match=told) as caught:
            clock.check(5000)
        assert "set-ntp" in str(caught.value)
    for fine_ms in (2500, 0, -999):
        clock = ServerClock("binance")
        exchange(clock, T0, fine_ms * MS)
        clock.check(5000)


def test_a_reply_before_its_request_is_refused() -> None:
    with pytest.raises(BadInput, match="clock was set"):
        ServerClock("binance").note(T0, T0, T0 - 1)


def test_a_jump_of_the_offset_is_told_once() -> None:
    clock = ServerClock("binance_spot")
    assert clock.jump() == "" and clock.offset_ms is None
    for k, offset_ms in enumerate((5000, 5000, 5900, 5900, -1500, -1500, -1500)):
        sent = k * 10**9
        clock.note(sent, sent + 10**6 + offset_ms * 10**6, sent + 2 * 10**6)
        told = clock.jump()
        if k == 5:
            assert told.startswith("binance_spot's clock jumped against ours by -6.5 s: it is now 1.5 s behind ours")
        else:
            assert told == "", k
    assert clock.offset_ms == -1500
    assert (spoken_offset(12.4), spoken_offset(-1500)) == ("12 ms ahead of ours", "1.5 s behind ours")
