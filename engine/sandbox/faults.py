"""What can go wrong at an exchange, on request, by the numbers of the acceptance list.

Rules
-----
* An *armed* fault waits at its point of the exchange and acts on the next `count` requests or events that pass.
  `symbol` narrows it to one symbol, as the venue writes it: so a fault can be aimed at one leg of a cycle.
* An *action* happens at once (see `control`).
* Nothing here acts by chance: the same requests with the same faults meet the same troubles.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import msgspec

from engine.contracts.errors import BadInput

Point = Literal["order", "answer", "cancel", "reports", "request", "stream", "depth", "now"]


class Kind(NamedTuple):
    """One row of the table: where a fault acts ("now": it is an action), and what it does."""

    name: str
    point: Point
    meaning: str


FAULTS: Final[dict[str, Kind]] = {
    "A1": Kind("reply_lost", "answer", "an order is accepted, then the connection closes without an answer"),
    "A2": Kind("accept_after_timeout", "order", "an order is answered -1007 and accepted `delay_ms` later"),
    "A3": Kind("duplicate_fill", "reports", "each fill event is sent twice"),
    "A4": Kind("fill_before_ack", "reports", "fill events are sent before the event of acceptance"),
    "A5": Kind("fills_out_of_order", "reports", "the fill events of one burst are sent last first"),
    "A6": Kind("cancel_fill_race", "cancel", "the order fills the moment its cancel arrives"),
    "A7": Kind("order_503", "order", "an order is answered 503 and not accepted; `order_types` narrows it"),
    "A8": Kind("venue_cancels", "now", "the exchange cancels all orders of `account`, or those of `order_types`"),
    "A9": Kind("liquidated", "now", "the exchange closes the perpetual position of `account` in `symbol`"),
    "A10": Kind("manual_close", "now", "the customer sells all coins of `symbol` by hand"),
    "A11": Kind("manual_open", "now", "the customer buys `lots` lots of `symbol` by hand"),
    "A12": Kind("filter_change", "now", "`min_notional`, `min_qty`, `tick_size`, `step_size` of `symbol` change"),
    "A13": Kind("rate_limited", "request", "requests are answered 429, after ten of them 418, with Retry-After"),
    "A14": Kind("clock_jump", "now", "the exchange's clock runs `skew_ms` ahead"),
    "A15": Kind("mute_socket", "stream", "market streams stay open and answer pings, but send no data"),
    "A16": Kind("book_gap", "depth", "a depth event is not sent"),
    "A23": Kind("key_revoked", "now", "the keys of `account` are revoked"),
    "A26": Kind("thin_book", "order", "an order meets `lots` lots at the touch and nothing behind them (spot)"),
}
"""A22 is how the futures venue always is; A17-A21, A24 and A25 are done to the engine, not by the exchange. A26 comes
after the list: a leg of a cycle that fills in part, or (no lots) not at all; spot pairs only."""


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """One fault as asked for. `fault` is a number or name of the table; -1 in `count` means until cleared."""

    fault: str
    venue: str = ""
    count: int = 1
    account: int = 0
    symbol: str = ""
    order_types: list[str] = []
    delay_ms: int = 200
    skew_ms: int = 0
    lots: int = 0
    min_notional: str = ""
    min_qty: str = ""
    tick_size: str = ""
    step_size: str = ""

    @property
    def number(self) -> str:
        """Number in the table. Raises BadInput for an unknown one."""
        for number, kind in FAULTS.items():
            if self.fault in (number, kind.name):
                return number
        known = ", ".join(f"{number} {kind.name}" for number, kind in FAULTS.items())
        raise BadInput(f"fault {self.fault!r} is not there; known: {known}")


class Faults:
    """The armed faults, oldest first."""

    def __init__(self) -> None:
        self.armed: list[Fault] = []

    def arm(self, fault: Fault) -> None:
        """Let a fault wait for its next occasion. Raises BadInput for one that is an action, or no count."""
        if FAULTS[fault.number].point == "now" or fault.count == 0:
            raise BadInput(f"fault {fault.fault}: count = {fault.count} of {FAULTS[fault.number].point}")
        self.armed.append(fault)

    def clear(self) -> None:
        """Disarm all."""
        self.armed.clear()

    def take(self, number: str, *order_types: str, symbol: str = "") -> Fault | None:
        """The armed fault of that number, used up by one; None where none applies (to any of these order types, and
        to the symbol)."""
        for fault in self.armed:
            if fault.number != number or (fault.order_types and not set(order_types) & set(fault.order_types)):
                continue
            if fault.symbol and fault.symbol.replace("-", "") != symbol.replace("-", ""):  # ETH-BTC is ETHBTC's book
                continue
            if fault.count > 0:
                fault.count -= 1
                if fault.count == 0:
                    self.armed.remove(fault)
            return fault
        return None
