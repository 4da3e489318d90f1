"""The book behind the touch: recorded where it was recorded, else modelled; what is shown is what orders meet."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from engine.contracts import records as r
from engine.contracts.instruments import Instrument
from engine.sandbox.clock import Clock
from engine.sandbox.exchange import Exchange, Ticket

AXO = Instrument(
    symbol="AXO/USDT", venue="test", base="AXO", quote="USDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.01"),
    min_qty=Decimal("0.01"), max_qty=Decimal(100_000),
)  # fmt: skip


def play(exchange: Exchange, kind: int, bid: int, ask: int, lots: int, **fields: int) -> None:
    event: Any = np.zeros(1, r.RECORD)
    values = {"kind": kind, "bid_ticks": bid, "ask_ticks": ask, "bid_lots": lots, "ask_lots": lots} | fields
    for name, value in values.items():
        event[name] = value
    exchange.play(event)


def test_levels_grow_with_the_distance_and_vary() -> None:
    exchange = Exchange([AXO], Clock(), 1, 1e6)
    play(exchange, r.QUOTE, 9_990, 10_010, 1_000)
    (tape,) = exchange.tapes
    for side in (1, -1):
        ticks, lots = zip(*exchange.levels(tape, side), strict=True)
        touch = tape.ask_ticks if side > 0 else tape.bid_ticks
        assert ticks == tuple(touch + side * 20 * k for k in range(5)) and lots[0] == 1_000
        assert all(500 * (1 + 2 * k) <= lots[k] <= 1_500 * (1 + 2 * k) for k in range(1, 5))
        shares = [lots[k] / (1 + 2 * k) for k in range(1, 5)]
        assert max(shares) > 1.1 * min(shares)


def test_a_thin_moment_at_the_touch_does_not_empty_the_book() -> None:
    exchange = Exchange([AXO], Clock(), 1, 1e6)
    play(exchange, r.QUOTE, 9_990, 10_010, 1_000)
    play(exchange, r.QUOTE, 9_991, 10_011, 1)
    (tape,) = exchange.tapes
    shown = exchange.levels(tape, 1)
    assert shown[0] == (10_011, 1) and sum(lots for _, lots in shown) > 10_000
    (account,) = exchange.accounts.all
    bought = exchange.place(account, Ticket(0, 1, "MARKET", "GTC", 4_000, 0, 0, "all"))
    assert bought.status == "FILLED" and len(bought.fills) > 2
    assert [(fill.ticks, fill.lots) for fill in bought.fills[:-1]] == shown[: len(bought.fills) - 1]


def test_recorded_depth_stands_until_the_touch_moves() -> None:
    exchange = Exchange([AXO], Clock(), 1, 1e6)
    for k in range(5):
        play(exchange, r.DEPTH, 9_990 - k, 10_010 + k, 7 + k, level=k, bits=r.LAST if k == 4 else 0)
    (tape,) = exchange.tapes
    recorded = [(10_010 + k, 7 + k) for k in range(5)]
    assert exchange.levels(tape, 1) == recorded
    play(exchange, r.QUOTE, 9_980, 10_010, 9)
    assert exchange.levels(tape, 1) == [(10_010, 9), *recorded[1:]]
    assert [ticks for ticks, _ in exchange.levels(tape, -1)] == [9_980 - 30 * k for k in range(5)]
