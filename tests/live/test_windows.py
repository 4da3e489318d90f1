"""The window in Lua and in Python: the same answers, and never more than the ceiling in any window."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.store.redis_server import LiveRedis
from engine.venues.windows import SCRIPT, SlidingWindow, bucket_ms

T0 = 1_700_000_000_000
steps = st.lists(
    st.tuples(st.integers(0, 700), st.sampled_from(["take", "take", "take", "charge", "raise"]), st.integers(1, 7)),
    min_size=1, max_size=40,
)  # fmt: skip
lengths = st.sampled_from([30, 1_000, 10_000])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(length_ms=lengths, ceiling=st.integers(1, 20), steps=steps)
def test_lua_and_python_agree(live: LiveRedis, length_ms: int, ceiling: int, steps: list[tuple[int, str, int]]) -> None:
    live.blocking.flushall()
    run = live.blocking.register_script(SCRIPT)
    window, now = SlidingWindow(length_ms), T0
    for passed, verb, weight in steps:
        now += passed
        args = [now, verb, 0, "epoch", ceiling, length_ms, bucket_ms(length_ms), weight]
        done, wait_ms, paused, at_ms, epoch, used = run(keys=["e", "w"], args=args)
        expected = window.wait_ms(now, weight, ceiling) if verb == "take" else 0
        if expected == 0:
            window.charge(now, max(0, weight - window.used(now)) if verb == "raise" else weight)
        assert (done, wait_ms, paused, at_ms, epoch) == (expected == 0, expected, 0, now, b"epoch")
        assert used == window.used(now)


@given(
    length_ms=lengths, limit=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 3)), min_size=1, max_size=80),
)  # fmt: skip
def test_no_window_wherever_it_starts_holds_more_than_the_limit(
    length_ms: int, limit: int, steps: list[tuple[int, int]]
) -> None:
    window, now = SlidingWindow(length_ms), T0
    granted: list[tuple[int, int]] = []
    for passed, weight in steps:
        now += passed
        if window.wait_ms(now, weight, limit) == 0:
            window.charge(now, weight)
            granted.append((now, weight))
    for start, _ in granted:
        assert sum(weight for at, weight in granted if start <= at < start + length_ms) <= limit


def test_the_wait_is_exact() -> None:
    window = SlidingWindow(6_000)
    for k in range(5):
        window.charge(T0 + k * 100, 1)
    wait_ms = window.wait_ms(T0 + 450, 2, 5)
    assert window.wait_ms(T0 + 450 + wait_ms - 1, 2, 5) == 1
    assert window.wait_ms(T0 + 450 + wait_ms, 2, 5) == 0
    assert SlidingWindow(6_000).wait_ms(T0, 6, 5) == 6_000


def test_only_what_is_there_is_taken_back(live: LiveRedis) -> None:
    run = live.blocking.register_script(SCRIPT)
    for verb, weight, left in (("take", 3, 3), ("back", 2, 1), ("back", 2, 0)):
        assert run(keys=["e", "w"], args=[T0, verb, 0, "epoch", 5, 1_000, 16, weight])[5] == left
