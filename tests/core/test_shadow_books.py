"""The invariant monitor on the journals of random sessions: silent on true ones, and every forgery is found."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st
from streams import (
    SECOND_NS,
    Array,
    AuditedSession,
    Stream,
    Weather,
    instrument,
    perp,
    random_stream,
    settings,
    word,
)
from test_must_holds import storm_terms

from engine.contracts import records as r
from engine.core.orders import ACTIVE, REDUCING
from engine.core.state import Core, restore, snapshot
from engine.runtime.invariants import Monitor

MONEY = (
    "deposits_e8", "gross_e8", "fees_e8", "funding_e8", "unrealised_e8", "cash_e8", "margin_e8", "reserved_e8",
    "pending_risk_e8", "at_stops_e8", "exposure_e8", "min_free_e8", "day_start_e8", "day_limit_e8", "day_fees_e8",
    "day_funding_e8", "peak_e8",
)  # fmt: skip
Change = Callable[[Array], Array]


class Story:
    """A session and its monitor; the session's journal is kept."""

    def __init__(self, stream: Stream, told: Sequence[tuple[int, Array]] = (), **terms: Any) -> None:
        self.instruments = stream.instruments
        self.blocks: list[Array] = []
        self._words = sorted(told, key=lambda pair: pair[0])
        self.session = AuditedSession(stream, self._heard, **settings(**terms))
        self.core: Core = self.session.core
        self.opening = snapshot(self.core)
        self.monitor: Monitor | None = self.watching()

    def watching(self) -> Monitor:
        return Monitor(self.core, self.instruments, lambda _violation: None, whole=False)

    def _heard(self, block: Array) -> None:
        self.blocks.append(block.copy())
        if self.monitor is not None:
            self.monitor.take(self.blocks[-1])

    def play(self, step: int = 400) -> None:
        until, done = 0, False
        while not done:
            until += step
            while self._words and self._words[0][0] <= until:
                seq, given = self._words.pop(0)
                self.session.run(until_seq=seq)
                given = given.copy()
                given["ts_ns"] = int(self.core.state.head[0].now_ns)
                self.session.tell(given)
            told = list(self.monitor.violations) if self.monitor is not None else []
            done = self.session.run(until_seq=until)
            if done and self.monitor is not None:  # no clock without a market: the core's timers ring no more
                late = [one for one in self.monitor.violations if one not in told and one.code == "UNPROTECTED"]
                self.monitor.violations = [one for one in self.monitor.violations if one not in late]
            if self.monitor is not None:
                self.monitor.check(int(self.core.state.head[0].now_ns))

    def told(self, change: Change) -> set[str]:
        """Codes of what a monitor finds in the same journal, changed, against the same core."""
        ending = snapshot(self.core)
        restore(self.core, self.opening)
        monitor = self.watching()
        restore(self.core, ending)
        monitor.take(change(r.joined(self.blocks)))
        monitor.check(int(self.core.state.head[0].now_ns))
        return {one.code for one in monitor.violations}


def lively(seed: int, hours: float = 12.0, doubts: int = 0) -> Story:
    """Three instruments, jumps, funding; of `doubts` requests about one is in doubt for a while."""
    instruments = [instrument("AAA", fee_in_base=True), perp("PPP"), instrument("BBB")]
    weather = Weather(hours=hours, funding=0.0005, jump_chance=0.01, ticks=seed % 2 == 0)
    return Story(random_stream(seed, instruments, weather), doubts=doubts)


def stormy(seed: int, patient: bool) -> Story:
    """Thin books, slow venues, changed limits, emergencies, patience; and money that comes, goes or is corrected, rules
    that change."""
    stream, told, terms = storm_terms(seed, patient)
    rng = np.random.default_rng([seed, 3])
    asset = int(rng.integers(2))
    said = [word(r.BALANCE, index=k, amount_e8=amount) for k in range(3) for amount in (10**10, -(10**9))]
    said += [word(r.BALANCE, index=asset, amount_e8=amount, bits=r.CORRECTION) for amount in (10**8, -(10**8))]
    said += [word(r.FILTER, index=k, amount_e8=10**5 * (k + 1)) for k in (2, 4)]
    for one in said[-2:]:
        one["instrument"] = 0
    moments = rng.integers(1, len(stream.events) + 2, int(rng.integers(0, 6)))
    return Story(stream, [*told, *((int(at), said[int(rng.integers(len(said)))]) for at in moments)], **terms)


@pytest.fixture(scope="module")
def story() -> Story:
    made = lively(7)
    made.play()
    assert made.monitor is not None and made.monitor.violations == []
    return made


@bounds(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), doubts=st.sampled_from([0, 9]))
def test_random_sessions_never_alarm(seed: int, doubts: int) -> None:
    made = lively(seed, 12.0, doubts)
    made.play()
    assert made.monitor is not None and made.monitor.violations == []


@bounds(max_examples=30, deadline=None)
@given(seed=st.integers(0, 100_000), patient=st.booleans())
def test_storms_never_alarm(seed: int, patient: bool) -> None:
    made = stormy(seed, patient)
    made.play(50)
    assert made.monitor is not None and made.monitor.violations == []


@pytest.mark.soak
@bounds(max_examples=1_000, deadline=None)
@given(seed=st.integers(0, 1_000_000), patient=st.booleans())
def test_many_storms_never_alarm(seed: int, patient: bool) -> None:
    made = stormy(seed, patient)
    made.play(20)
    assert made.monitor is not None and made.monitor.violations == []


@pytest.mark.soak
@bounds(max_examples=600, deadline=None)
@given(seed=st.integers(0, 1_000_000), doubts=st.sampled_from([0, 3, 9]))
def test_many_long_random_sessions_never_alarm(seed: int, doubts: int) -> None:
    made = lively(seed, 60.0, doubts)
    made.play()
    assert made.monitor is not None and made.monitor.violations == []


def test_the_whole_journal_at_once_is_as_true(story: Story) -> None:
    assert story.told(lambda entries: entries) == set()


@pytest.mark.parametrize("name", MONEY)
def test_one_unit_in_the_heads_money_is_found(story: Story, name: str) -> None:
    assert story.monitor is not None
    for unit in (1, -1):
        monitor = story.watching()
        monitor.check(0)
        assert monitor.violations == []
        story.core.state.head[0][name] += unit
        monitor.check(0)
        story.core.state.head[0][name] -= unit
        assert len(monitor.violations) > 0


def _first(entries: Array, kind: int, **where: Any) -> int:
    found = entries["record"]["kind"] == kind
    for name, value in where.items():
        found &= entries["record"][name] == value
    return int(found.nonzero()[0][0])


def _without(entries: Array, k: int) -> Array:
    return r.joined([entries[:k], entries[k + 1 :]])


def without_a_stops_ack(entries: Array) -> Array:
    stop = entries["record"]["client_id"][_first(entries, r.PLACE, role=r.ROLE_STOP)]
    return _without(entries, _first(entries, r.ORDER_ACK, client_id=stop))


def with_a_fill_twice(entries: Array) -> Array:
    k = _first(entries, r.FILL)
    again = entries[k : k + 1].copy()
    again["record"]["trade_id"] = 1 << 40
    return r.joined([entries[: k + 1], again, entries[k + 1 :]])


def with_a_smaller_fill(entries: Array) -> Array:
    made = entries.copy()
    made["record"]["qty_lots"][_first(entries, r.FILL)] -= 1
    return made


def with_an_order_twice(entries: Array) -> Array:
    k = _first(entries, r.PLACE)
    return r.joined([entries[: k + 1], entries[k : k + 1], entries[k + 1 :]])


def with_a_strange_answer(entries: Array) -> Array:
    made = entries.copy()
    made["record"]["client_id"][_first(entries, r.ORDER_ACK)] = 1 << 40
    return made


def with_an_entry_while_reducing(entries: Array) -> Array:
    k = _first(entries, r.PLACE, role=r.ROLE_ENTRY)
    note = entries[k : k + 1].copy()
    note["record"]["kind"], note["record"]["instrument"] = r.STATE, r.NO_INSTRUMENT
    note["record"]["index"], note["record"]["value_e9"] = ACTIVE, REDUCING
    return r.joined([entries[:k], note, entries[k:]])


def with_a_far_stop(entries: Array) -> Array:
    made = entries.copy()
    made["record"]["trigger_ticks"][_first(entries, r.PLACE, role=r.ROLE_ENTRY)] = 1
    return made


def with_a_big_entry(entries: Array) -> Array:
    made = entries.copy()
    made["record"]["qty_lots"][_first(entries, r.PLACE, role=r.ROLE_ENTRY)] *= 50
    return made


def with_a_higher_peak(entries: Array) -> Array:
    made = entries.copy()
    made["record"]["equity_e8"][_first(entries, r.EQUITY)] *= 2
    return made


def with_a_dead_order_alive(entries: Array) -> Array:
    k = _first(entries, r.FILL)
    reject = entries[k : k + 1].copy()
    reject["record"]["kind"] = r.ORDER_REJECT
    return r.joined([entries[: k + 1], reject, entries[k + 1 :]])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (without_a_stops_ack, "UNPROTECTED"), (with_a_fill_twice, "OVERFILL"), (with_a_smaller_fill, "MONEY"),
        (with_an_order_twice, "PLACED_TWICE"), (with_a_strange_answer, "UNKNOWN_ORDER"),
        (with_an_entry_while_reducing, "ENTRY_NOT_ACTIVE"), (with_a_far_stop, "ENTRY_TRADE_LOSS"),
        (with_a_big_entry, "ENTRY_CAP"), (with_a_dead_order_alive, "NOT_IN_LIFE_CYCLE"),
        (with_a_higher_peak, "ENTRY_DRAWDOWN"),
    ],
)  # fmt: skip
def test_a_changed_journal_is_found(story: Story, change: Change, code: str) -> None:
    assert code in story.told(change)


def test_a_fill_told_again_changes_nothing(story: Story) -> None:
    def again(entries: Array) -> Array:
        k = _first(entries, r.FILL)
        assert entries["record"]["trade_id"][k] != 0
        return r.joined([entries[: k + 1], entries[k : k + 1], entries[k + 1 :]])

    assert story.told(again) == set()


@pytest.mark.parametrize(
    ("where", "name", "code"),
    [("positions", "qty_lots", "POSITION"), ("positions", "dust_e8", "POSITION"), ("limits", "day_loss_e8", "LIMIT")],
)
def test_one_unit_elsewhere_is_found(story: Story, where: str, name: str, code: str) -> None:
    monitor = story.watching()
    row = getattr(story.core.state, where)[0]
    row[name] += 1
    monitor.check(0)
    row[name] -= 1
    assert code in {one.code for one in monitor.violations}


def test_a_gap_in_the_journal_is_found() -> None:
    made = lively(3, 1.0)
    monitor = Monitor(made.core, made.instruments, lambda _violation: None)
    quotes = np.zeros(3, r.ENTRY)
    quotes["record"]["kind"], quotes["record"]["ts_ns"] = r.QUOTE, np.arange(3) * SECOND_NS
    quotes["seq"] = (1, 2, 4)
    monitor.take(quotes[:2])
    assert monitor.violations == []
    monitor.take(quotes[2:])
    assert [one.code for one in monitor.violations] == ["RECORDS_MISSING"]


def test_what_a_look_costs(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 10,000 market records and 50 order records, and of no record at all; printed, not judged."""
    booked = r.joined(story.blocks)
    booked = booked[np.isin(booked["record"]["kind"], (r.PLACE, r.ORDER_ACK, r.CANCEL, r.CANCEL_ACK, r.FILL))][:50]
    prices = np.zeros(10_000, r.ENTRY)
    prices["record"]["kind"] = r.QUOTE
    prices["seq"], prices["record"]["ts_ns"] = booked["seq"][-1], booked["record"]["ts_ns"][-1]
    ending = snapshot(story.core)
    took: dict[str, list[float]] = {"10,000 market and 50 order records": [], "nothing new": []}
    for _ in range(7):
        restore(story.core, story.opening)
        monitor = story.watching()
        restore(story.core, ending)
        for block in (*np.split(prices, 100), booked):
            monitor.hear(block.tobytes())
        for times in took.values():
            began_s = time.perf_counter()
            monitor.look(0)
            times.append(time.perf_counter() - began_s)
        assert not monitor.inbox
        assert len(monitor.books.orders) > 9
    with capsys.disabled():
        for what, times in took.items():
            print(f"\na look at {what}: {1e3 * min(times):.2f} ms", end="")
