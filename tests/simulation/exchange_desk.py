"""A simulated venue on the bench: send it market events and commands one by one, read its answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from engine.contracts import records as r
from engine.contracts.instruments import E8, Instrument
from engine.contracts.reasons import NAMES
from engine.core.compile import kernel
from engine.core.limits import Limits
from engine.core.state import new_core
from engine.simulation.exchange import on_command, on_market
from engine.simulation.venue import SimulationModel, new_venue

MS = 1_000_000
FIRST_COMMAND = r.FIRST_COMMAND


@kernel(entry=True)
def play(v: Any, happenings: Any) -> None:
    """Let market events and commands happen at the venue, in order."""
    for k in range(happenings.shape[0]):
        if happenings[k].kind >= FIRST_COMMAND:
            on_command(v, happenings[k])
        else:
            on_market(v, happenings[k])


def spot(symbol: str = "AXO/USDT", **changes: Any) -> Instrument:
    """A coin with ticks of 1 cent and lots of 0.01: one tick times one lot is 10,000 e8. Fees 0.1 %."""
    base, quote = symbol.split("/")
    values: dict[str, Any] = {
        "symbol": symbol, "venue": "test", "base": base, "quote": quote, "tick_size": Decimal("0.01"),
        "lot_size": Decimal("0.01"), "min_qty": Decimal("0.01"), "max_qty": Decimal(100_000),
    }  # fmt: skip
    return Instrument(**(values | changes))


def perp(**changes: Any) -> Instrument:
    """The same as a perpetual: fees 0.02 % and 0.05 %, maintenance 1 %, leverage up to 20."""
    values: dict[str, Any] = {
        "kind": "perp", "maker_fee": Decimal("0.0002"), "taker_fee": Decimal("0.0005"), "max_leverage": 20,
    }  # fmt: skip
    return spot(**(values | changes))


class Desk:
    """Prices in ticks, quantities in lots, cash in USD, as the venue of `exchange_desk` counts them."""

    def __init__(self, *instruments: Instrument, cash: float = 10_000.0, coins_lots: int = 0, **model: float) -> None:
        self.instruments = instruments or (spot(),)
        core = new_core(self.instruments, Limits(), cash, {}, (60, 180, 720))
        self.v = new_venue(core, SimulationModel(**model))
        self.v.holdings["base_e8"] = coins_lots * self.v.instruments["lot_base_e8"]
        self.now_ms = 0
        self.last_id = 0

    @property
    def head(self) -> Any:
        return self.v.head[0]

    @property
    def holding(self) -> Any:
        return self.v.holdings[0]

    def happen(self, kind: int, instrument: int = 0, **fields: int) -> None:
        """One record of any kind, a millisecond after the last."""
        self.now_ms += 1
        record = np.zeros(1, r.RECORD)
        record["kind"], record["instrument"] = kind, instrument
        record["ts_ns"] = self.now_ms * MS
        if kind < FIRST_COMMAND:
            record["venue_ts_ns"] = self.now_ms * MS
        for name, value in fields.items():
            record[name] = value
        play(self.v, record)

    def quote(self, bid: int, ask: int, bid_lots: int = 100, ask_lots: int = 100, instrument: int = 0) -> None:
        self.happen(
            r.QUOTE, instrument, bid_ticks=bid, ask_ticks=ask, bid_lots=bid_lots, ask_lots=ask_lots
        )

    def depth(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        for k, (bid, ask) in enumerate(zip(bids, asks, strict=True)):
            last = r.LAST if k == len(bids) - 1 else 0
            self.happen(
                r.DEPTH, level=k, bits=last, bid_ticks=bid[0], bid_lots=bid[1], ask_ticks=ask[0], ask_lots=ask[1]
            )

    def trade(self, price: int, lots: int, side: int) -> None:
        self.happen(r.TRADE, price_ticks=price, qty_lots=lots, side=side)

    def path(self, price: int, lots: int = 300, spread: int = 2, depth: int = 100, bits: int = 0) -> None:
        self.happen(r.PATH, price_ticks=price, qty_lots=lots, spread_ticks=spread, depth_lots=depth, bits=bits)

    def place(
        self, side: int, lots: int, order_type: int = r.MARKET, *, price: int = 0, trigger: int = 0, tif: int = r.GTC,
        bits: int = 0, leverage: int = 1, replaces: int = 0, client_id: int = 0, instrument: int = 0,
    ) -> int:  # fmt: skip
        """Send an order; returns its client id."""
        client_id = client_id or self.last_id + 1
        self.last_id = max(self.last_id, client_id)
        self.happen(
            r.PLACE, instrument, side=side, qty_lots=lots, order_type=order_type, price_ticks=price, tif=tif, bits=bits,
            trigger_ticks=trigger, leverage=leverage, ref_id=replaces, client_id=client_id,
        )  # fmt: skip
        return client_id

    def limit(self, side: int, lots: int, price: int, **more: int) -> int:
        return self.place(side, lots, r.LIMIT_ORDER, price=price, **more)

    def stop(self, side: int, lots: int, trigger: int, **more: int) -> int:
        return self.place(side, lots, r.STOP_MARKET, trigger=trigger, **more)

    def cancel(self, client_id: int, instrument: int = 0) -> None:
        self.happen(r.CANCEL, instrument, client_id=client_id)

    def records(self) -> list[Any]:
        """The answers since the last call, as they are on their way to us."""
        first, count, size = int(self.head.replies_first), int(self.head.replies_count), len(self.v.replies)
        found = [self.v.replies[(first + k) % size].copy() for k in range(count)]
        self.head.replies_first, self.head.replies_count = (first + count) % size, 0
        return found

    def answers(self) -> list[str]:
        """The same as short text: `ack 1`, `fill 1 100@10001 fee 1`, `reject 2 LOT_SIZE`."""
        return [_text(record) for record in self.records()]

    def usd(self, e8: Any) -> Decimal:
        return Decimal(int(e8)) / E8

    @property
    def cash(self) -> Decimal:
        return self.usd(self.head.cash_e8)

    def live(self) -> list[int]:
        """Client ids of the orders at the venue, oldest first."""
        return [int(self.v.orders[slot].client_id) for slot in self.v.live[: self.head.live_count]]


def _text(record: Any) -> str:
    name = r.KINDS[int(record["kind"])].name.removeprefix("order_")
    order = int(record["client_id"])
    if record["kind"] == r.FILL:
        marks = {r.MAKER: " maker", r.FEE_IN_BASE: " in base", r.FORCED: " forced"}
        tail = "".join(text for bit, text in marks.items() if int(record["bits"]) & bit)
        fee = f"{Decimal(int(record['fee_e8'])) / E8:f}"
        return f"fill {order} {record['qty_lots']}@{record['price_ticks']} fee {fee}{tail}"
    reason = int(record["reason"])
    return f"{name} {order}" + (f" {NAMES[reason]}" if reason else "")


def uncompiled(function: Any) -> Any:
    """A kernel as plain Python, on numbers of any size."""
    return getattr(function, "py_func", function)
