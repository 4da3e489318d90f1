"""Doors into single kernels of the core, for tests that look at one rule at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from streams import EAGER, START_NS, events, quote

from engine.contracts.records import FILL, NO_INSTRUMENT, ORDER_ACK, RECORD, TIMER, joined
from engine.core import state
from engine.core.compile import kernel
from engine.core.entry import Terms, enter_lots
from engine.core.limits import Limits
from engine.core.orders import loss_at_stop, move
from engine.core.output import drain, new_output
from engine.core.portfolio import liquidation_ticks
from engine.core.replay import step_all
from engine.core.risk import check_order, check_state
from engine.core.sizing import lots_for


@kernel(entry=True)
def entering(
    s: Any, out: Any, i: int, side: int, lots: int, stop: int, terms: tuple[float, float, float, float], leverage: int
) -> int:
    """Ask for an entry of fixed size in nobody's name: no strategy will manage it."""
    return enter_lots(s, out, i, 0, side, lots, stop, Terms(terms[0], terms[1], terms[2], terms[3]), leverage)


@kernel(entry=True)
def refusal(s: Any, i: int, side: int, ticks: int, lots: int, stop: int, leverage: int) -> int:
    """The reason the gate gives, 0 for none."""
    reason = check_state(s, i)
    return reason if reason != 0 else check_order(s, i, side, ticks, lots, stop, leverage)[0]


@kernel(entry=True)
def sized(s: Any, i: int, side: int, ticks: int, stop: int, leverage: int, share: float) -> int:
    """Lots for a share of the trade limit."""
    return lots_for(s, i, side, ticks, stop, leverage, share)


@kernel(entry=True)
def planned_loss(s: Any, i: int, side: int, ticks: int, lots: int, stop: int) -> int:
    """Loss at the stop in 1e-8 USD."""
    return loss_at_stop(s, i, side, ticks, lots, stop)


@kernel(entry=True)
def happen(s: Any, out: Any, client_id: int, happening: int) -> bool:
    """One step in the life of an order."""
    return move(s, out, client_id, happening)


@kernel(entry=True)
def liquidation(s: Any, i: int, side: int, entry: float, leverage: int) -> float:
    """Liquidation price in ticks."""
    return liquidation_ticks(s, i, side, entry, leverage)


class Desk:
    """A core without a market: feed it events, ask it for entries, read what it says."""

    def __init__(
        self, instruments: list[Any], strategies: Any = None, wallets: dict[str, float] | None = None, **limits: float
    ) -> None:
        self.core = state.new_core(
            instruments,
            Limits(**limits),
            1000.0,
            EAGER if strategies is None else strategies,
            (300, 900, 1800),
            wallets,
        )
        self.state = self.core.state
        self.out = new_output()
        self.now_ns = START_NS + 3_600_000_000_000
        self.journal = np.zeros(0)

    @property
    def head(self) -> Any:
        return self.state.head[0]

    def feed(self, *given: np.ndarray[Any, Any]) -> Any:
        """Apply events; returns the records they caused."""
        for one in given:
            assert step_all(self.state, one, self.out) == len(one)
        return drain(self.out)["record"]

    def quote(self, i: int, bid: int, ask: int, after_ns: int = 1_000_000) -> Any:
        """The market moves."""
        self.now_ns += after_ns
        return self.feed(quote(self.now_ns, i, bid, ask))

    def say(self, kind: int, i: int = 0, **columns: Any) -> Any:
        """Any one event, now."""
        self.now_ns += 1_000_000
        return self.feed(events(1, ts_ns=self.now_ns, kind=kind, instrument=i, **columns))

    def wait(self, seconds: float) -> Any:
        """Nothing happens for a while but timers; the records they caused."""
        until = self.now_ns + int(seconds * 1_000_000_000)
        said = [self.feed()]
        while self.head.next_timer_ns <= until:
            self.now_ns = max(int(self.head.next_timer_ns), self.now_ns)
            timer = events(1, ts_ns=self.now_ns, kind=TIMER, instrument=NO_INSTRUMENT)
            timer["timer_id"] = self.head.next_timer_id
            said.append(self.feed(timer))
        self.now_ns = until
        return joined(said, RECORD)

    def enter(
        self, i: int, lots: int, stop: int, side: int = 1, leverage: int = 1, cap_bps: float = 10.0,
        patience_s: float = 0.0, post_only: int = 0, reprices: int = 0,
    ) -> int:  # fmt: skip
        """Ask for an entry; the client id, or 0 (see `refused`)."""
        terms = (cap_bps, float(patience_s), float(post_only), float(reprices))
        return int(entering(self.state, self.out, i, side, lots, stop, terms, leverage))

    def refused(self) -> int:
        """The reason of the last refusal among what is in the output, 0 for none."""
        records = drain(self.out)["record"]
        reasons = records["reason"][records["kind"] == 110]
        return int(reasons[-1]) if len(reasons) else 0

    def order(self, client_id: int) -> Any:
        return self.state.orders[client_id % len(self.state.orders)]

    def ack(self, client_id: int, kind: int = ORDER_ACK, **columns: Any) -> Any:
        """The venue says something about an order of ours."""
        return self.say(kind, int(self.order(client_id).instrument), client_id=client_id, **columns)

    def fill(self, client_id: int, price: int, lots: int, fee_e8: int = 0, bits: int = 0) -> Any:
        """An execution of an order of ours."""
        order = self.order(client_id)
        columns = {"price_ticks": price, "qty_lots": lots, "fee_e8": fee_e8, "bits": bits, "side": int(order.side)}
        return self.ack(client_id, FILL, **columns)

    def open(self, i: int, lots: int, price: int, stop: int, leverage: int = 1) -> int:
        """Quote, enter, fill and acknowledge the stop; the stop's client id."""
        self.quote(i, price - 1, price)
        entry = self.enter(i, lots, stop, leverage=leverage)
        assert entry, f"refused: {self.refused()}"
        self.fill(entry, price, lots)
        stop_id = int(self.state.positions[i].stop_id)
        self.ack(stop_id)
        return stop_id
