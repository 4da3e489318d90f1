"""The invariant monitor beside a core that is fed by hand: clocks, long-lived orders, changed rules, lost ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from probes import Desk
from streams import SECOND_NS, Array, instrument

from engine.contracts import records as r
from engine.core import life
from engine.core.output import drain
from engine.core.replay import step_all
from engine.runtime import invariants
from engine.runtime.invariants import Monitor

LOOK_NS = SECOND_NS // 4


class Watched(Desk):
    """A desk whose every event, and what it led to, the monitor hears."""

    def __init__(self, **limits: float) -> None:
        super().__init__(
            [instrument("AAA"), instrument("BBB")], **({"max_data_age_s": 3600.0, "orders_per_minute": 600.0} | limits)
        )
        self.said: list[str] = []
        self.watch()

    def watch(self) -> None:
        """A monitor that begins now."""
        self.monitor = Monitor(self.core, self.core.instruments, lambda _violation: None, say=self.said.append)

    def feed(self, *given: Array) -> Any:
        caused = [self._heard()]
        for one in given:
            for k in range(len(one)):
                assert step_all(self.state, one[k : k + 1], self.out) == 1
                event = np.zeros(1, r.ENTRY)
                event["seq"], event["record"] = self.head.seq, one[k : k + 1]
                self.monitor.hear(event.tobytes())
                caused.append(self._heard())
        return r.joined(caused)["record"]

    def _heard(self) -> Array:
        entries = drain(self.out).copy()
        self.monitor.hear(entries.tobytes())
        return entries

    def look(self, after_ns: int = 0) -> list[str]:
        """Codes of all that was told so far."""
        self.monitor.look(self.now_ns + after_ns)
        return [one.code for one in self.monitor.violations]

    def unprotected(self) -> int:
        """A position is open, its stop is on its way, and no clock of the core rings. Returns the stop."""
        self.quote(0, 9_999, 10_000)
        entry = self.enter(0, 50, 9_900)
        self.fill(entry, 10_000, 50)
        assert self.look() == []
        return int(self.state.positions[0].stop_id)


def test_a_stop_that_nobody_confirms_is_told_after_three_seconds() -> None:
    made = Watched()
    made.unprotected()
    seen = [made.look(k * LOOK_NS) for k in range(1, 40)]
    told = [k for k, codes in enumerate(seen, 1) if codes == ["UNPROTECTED"]]
    assert 3 * SECOND_NS < told[0] * LOOK_NS < 6 * SECOND_NS
    assert seen[-1] == ["UNPROTECTED"], "once"


def test_a_loop_that_stood_still_is_no_violation_but_going_on_like_that_is() -> None:
    made = Watched()
    made.unprotected()
    assert made.look(30 * SECOND_NS) == []
    assert [made.look(30 * SECOND_NS + k * LOOK_NS) for k in range(1, 40)][-1] == ["UNPROTECTED"]


def test_a_stop_nobody_answers_becomes_an_exit_and_that_is_protection() -> None:
    made = Watched()
    made.unprotected()
    for _ in range(60):
        made.wait(0.25)
        assert made.look() == []
    assert any(one.role == r.ROLE_EXIT and one.is_working for one in made.monitor.books.orders.values())


@pytest.mark.parametrize("kind", [r.ORDER_UNKNOWN, r.ORDER_REJECT])
def test_exits_that_cannot_be_sent_are_under_way_all_the_same(kind: int) -> None:
    """A venue that cannot be reached for two minutes: the stop is in doubt, every exit is."""
    made = Watched()
    made.ack(made.unprotected(), r.ORDER_UNKNOWN)
    exits = set()
    for _ in range(480):
        made.wait(0.25)
        assert made.look() == []
        exit_id = int(made.state.positions[0].exit_id)
        if exit_id != 0 and made.order(exit_id).status == life.SUBMITTED:
            exits.add(exit_id)
            made.ack(exit_id, kind)
    assert exits


def test_an_old_order_in_the_pool_is_not_forgotten() -> None:
    made = Watched(max_positions=20)
    stop = made.unprotected()
    made.ack(stop)
    for _ in range(630):
        made.now_ns += SECOND_NS
        made.quote(1, 9_999, 10_000)
        made.ack(made.enter(1, 20, 9_900), r.ORDER_REJECT)
    made.fill(stop, 9_900, 50)
    for _ in range(200):
        made.now_ns += SECOND_NS
        made.quote(1, 9_999, 10_000)
        made.ack(made.enter(1, 20, 9_900), r.ORDER_REJECT)
        assert made.look() == []
    assert len(made.monitor.books.orders) <= 640


def test_a_correction_lifts_the_peak_with_the_next_hour() -> None:
    made = Watched()
    dollars = made.core.assets.index("USDT")
    made.say(r.BALANCE, index=dollars, amount_e8=10**9, bits=r.CORRECTION)
    assert made.look() == []
    before = int(made.head.peak_e8)
    made.wait(7200)
    assert made.look() == []
    assert made.head.peak_e8 == before + 10**9


def test_a_peak_that_moves_by_itself_is_told() -> None:
    made = Watched()
    assert made.look() == []
    made.head.peak_e8 -= 1
    assert made.look() == ["DAY"]


def test_it_may_begin_after_a_venue_changed_its_rules() -> None:
    made = Watched()
    made.say(r.FILTER, 0, index=4, amount_e8=300_000)
    made.watch()
    made.quote(0, 9_999, 10_000)
    entry = made.enter(0, 50, 9_900)
    made.feed()
    assert made.look() == []
    made.fill(entry, 10_000, 50, 1_500_000)
    assert made.look() == []


def test_what_is_said_of_lost_orders_is_nobodys_fault() -> None:
    made = Watched()
    made.head.lost_from_id, made.head.lost_to_id = made.head.next_client_id, made.head.next_client_id + 10
    made.head.next_client_id += 10
    made.watch()
    made.quote(0, 9_999, 10_000)
    columns = {"price_ticks": 10_000, "qty_lots": 50, "side": 1, "client_id": int(made.head.lost_from_id) + 3}
    made.say(r.ORDER_ACK, 0, client_id=columns["client_id"])
    made.say(r.FILL, 0, **columns)
    assert made.state.positions[0].qty_lots == 50
    assert made.look() == []


def test_a_full_inbox_is_dropped_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invariants, "ROOM_BYTES", 1_000)
    made = Watched()
    for _ in range(100):
        made.quote(0, 9_999, 10_000)
        assert sum(map(len, made.monitor.inbox)) <= 1_000
    assert made.monitor.is_behind
    made.head.fees_e8 += 1  # nobody can tell any more: the core's memory is believed
    assert made.look() == [] and ["fell behind" in one for one in made.said] == [True]
    made.quote(0, 9_999, 10_000)
    assert made.look() == []
