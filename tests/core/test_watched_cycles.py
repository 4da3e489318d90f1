"""The invariant monitor beside cycles: silent on what the rules allow, and every forgery is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import Desk
from streams import Array
from triangles_desk import CHEAP, CROSS, QUOTES, end, fill, leg, pairs, trading, working

from engine.contracts import records as r
from engine.core.output import drain
from engine.core.replay import step_all
from engine.runtime.invariants import Monitor

STEP = st.tuples(st.sampled_from(["fill", "fill", "part", "miss", "reject", "doubt", "wait"]), st.integers(1, 99))


class Watched(Desk):
    """A desk whose every event, and what it led to, the monitor hears."""

    def __init__(self) -> None:
        super().__init__(pairs(), trading(), max_data_age_s=60)
        self.change: Any = None
        self.monitor = Monitor(self.core, self.core.instruments, lambda _violation: None)
        for i, (bid, ask) in QUOTES.items():
            self.quote(i, bid, ask)

    def feed(self, *given: Array) -> Any:
        caused = [self._heard()]
        for one in given:
            for k in range(len(one)):
                assert step_all(self.state, one[k : k + 1], self.out) == 1
                event = np.zeros(1, r.ENTRY)
                event["seq"], event["record"] = self.head.seq, one[k : k + 1]
                if self.change is not None:
                    self.change(event["record"])
                self.monitor.hear(event.tobytes())
                caused.append(self._heard())
        return r.joined(caused)["record"]

    def _heard(self) -> Array:
        entries = drain(self.out).copy()
        if self.change is not None:
            self.change(entries["record"])
        self.monitor.hear(entries.tobytes())
        return entries

    def codes(self) -> set[str]:
        self.monitor.look(self.now_ns)
        return {one.code for one in self.monitor.violations}


@settings(max_examples=20, deadline=None)
@given(steps=st.lists(STEP, min_size=3, max_size=10))
def test_no_word_about_what_the_rules_allow(steps: list[tuple[str, int]]) -> None:
    desk = Watched()
    for how, part in steps:
        if not working(desk):
            for i in QUOTES:
                desk.quote(i, *(CHEAP if i == CROSS else QUOTES[i]), after_ns=100_000_000)
        elif how == "fill":
            fill(desk)
        elif how == "part":
            fill(desk, max(int(leg(desk).qty_lots) * part // 100, 1))
        elif how == "wait":
            desk.wait(part / 10)
        else:
            end(desk, {"miss": r.ORDER_EXPIRED, "reject": r.ORDER_REJECT, "doubt": r.ORDER_UNKNOWN}[how])
        assert desk.codes() == set()


def forged(kind: int, **changes: int) -> Any:
    def change(records: Any) -> None:
        for name, by in changes.items():
            records[name][records["kind"] == kind] += by

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (forged(r.FILL, price_ticks=1), "MONEY"),
        (forged(r.FILL, fee_e8=7), "MONEY"),
        (forged(r.CYCLE, risk_e8=10**10), "ENTRY_TRADE_LOSS"),
        (forged(r.CYCLE, amount_e8=10**13), "ENTRY_CAP"),
    ],
)
def test_a_forged_record_is_found(change: Any, code: str) -> None:
    desk = Watched()
    desk.change = change
    desk.quote(CROSS, *CHEAP)
    fill(desk)
    assert code in desk.codes()


def test_coins_that_nobody_sells_are_told() -> None:
    desk = Watched()
    desk.quote(CROSS, *CHEAP)
    fill(desk)
    assert desk.codes() == set()
    desk.monitor.books.orders.clear()  # as if the next order had never been sent
    assert "POT_HELD" not in desk.codes()
    desk.monitor._pots_sold(desk.now_ns + 90_000_000_000)
    assert "POT_HELD" in {one.code for one in desk.monitor.violations}
