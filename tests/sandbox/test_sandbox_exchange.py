"""The exchange behind the wire: matching is the simulation's, texts are exact, customers are apart."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contracts import records as r
from engine.contracts.errors import BadInput
from engine.contracts.instruments import E8, Instrument
from engine.contracts.reasons import INSUFFICIENT_BALANCE
from engine.sandbox.accounts import Report
from engine.sandbox.binance_spot.parameters import Parameters
from engine.sandbox.clock import Clock
from engine.sandbox.exchange import Exchange, OrderRefused, Ticket
from engine.sandbox.tape import Tape, text_e8

CENT = Decimal("0.01")


def coin(symbol: str = "AXO/USDT", **changes: Any) -> Instrument:
    base, quote = symbol.split("/")
    values: dict[str, Any] = {
        "symbol": symbol, "venue": "test", "base": base, "quote": quote, "tick_size": CENT, "lot_size": CENT,
        "min_qty": CENT, "max_qty": Decimal(100_000),
    }  # fmt: skip
    return Instrument(**(values | changes))


def events(*rows: dict[str, int]) -> Any:
    made: Any = np.zeros(len(rows), r.RECORD)
    for place, row in enumerate(rows):
        for name, value in row.items():
            made[name][place] = value
    return made


def quote(bid: int, ask: int, lots: int = 1000) -> dict[str, int]:
    return {"kind": r.QUOTE, "bid_ticks": bid, "bid_lots": lots, "ask_ticks": ask, "ask_lots": lots}


def trade(price: int, lots: int, side: int) -> dict[str, int]:
    return {"kind": r.TRADE, "price_ticks": price, "qty_lots": lots, "side": side}


class Floor:
    """An exchange with two customers; `heard` is what the first is told."""

    def __init__(self) -> None:
        self.exchange = Exchange([coin()], Clock(), 2, 10_000.0)
        self.first, self.second = self.exchange.accounts.all
        self.heard: list[Report] = []
        self.first.listeners.append(self.heard.append)
        self.play(quote(9_990, 10_010), trade(10_000, 1, 1))

    def play(self, *rows: dict[str, int]) -> None:
        self.exchange.play(events(*rows))

    def place(self, side: int, kind: str, lots: int, ticks: int = 0, stop: int = 0, tif: str = "GTC") -> Any:
        ticket = Ticket(0, side, kind, tif, lots, ticks, stop, f"c{len(self.first.orders)}")
        return self.exchange.place(self.first, ticket)

    def said(self) -> list[str]:
        found = [f"{one.event} {one.order.status} {one.order.executed_lots}" for one in self.heard]
        self.heard.clear()
        return found


def test_a_resting_order_is_filled_by_trades_through_it() -> None:
    floor = Floor()
    order = floor.place(1, "LIMIT", 500, 9_980)
    floor.play(trade(9_970, 200, -1))
    floor.play(trade(9_970, 900, -1))
    assert floor.said() == ["NEW NEW 0", "TRADE PARTIALLY_FILLED 200", "TRADE FILLED 500"]
    assert all(fill.is_maker and fill.ticks == 9_980 and fill.fee_in_base for fill in order.fills)
    free, locked = floor.exchange.balances(floor.first)["USDT"]
    assert (free, locked) == (10_000 * E8 - 500 * 9_980 * 10_000, 0)
    assert floor.exchange.balances(floor.first)["AXO"] == (5 * E8 - sum(fill.fee_e8 for fill in order.fills), 0)
    assert floor.exchange.balances(floor.second)["USDT"] == (10_000 * E8, 0)


def test_a_stop_is_triggered_by_the_last_price() -> None:
    floor = Floor()
    floor.place(1, "MARKET", 500)
    floor.said()
    order = floor.place(-1, "STOP_LOSS", 400, stop=9_900)
    assert order.working_ms == -1
    floor.play(quote(9_880, 9_895), trade(9_890, 5, -1))
    assert floor.said() == ["NEW NEW 0", "NEW NEW 0", "TRADE FILLED 400"]
    assert order.working_ms > 0 and [fill.ticks for fill in order.fills] == [9_880]
    assert floor.first.working == {}


def test_a_refused_order_leaves_nothing() -> None:
    floor = Floor()
    before = floor.exchange.balances(floor.first)
    with pytest.raises(OrderRefused) as refusal:
        floor.place(1, "LIMIT", 99_000, 10_000)
    assert refusal.value.reason == INSUFFICIENT_BALANCE
    assert (floor.exchange.balances(floor.first), floor.first.orders, floor.first.working) == (before, {}, {})
    assert floor.said() == []


def test_asking_first_changes_nothing() -> None:
    floor = Floor()
    ticket = Ticket(0, 1, "MARKET", "GTC", 100, 0, 0, "x")
    before = [getattr(floor.first.venue, name).copy() for name in ("head", "orders", "holdings")]
    assert floor.exchange.refusal(floor.first, ticket) == 0
    after = [getattr(floor.first.venue, name) for name in ("head", "orders", "holdings")]
    assert all((one == two).all() for one, two in zip(before, after, strict=True))


def test_two_hundred_orders_and_no_more() -> None:
    floor = Floor()
    for _ in range(200):
        floor.place(1, "LIMIT", 10, 9_000)
    with pytest.raises(OrderRefused, match="MAX_ORDERS"):
        floor.place(1, "LIMIT", 10, 9_000)
    for order in list(floor.first.working.values()):
        floor.exchange.cancel(floor.first, order, "bye")
    assert floor.exchange.balances(floor.first)["USDT"] == (10_000 * E8, 0)


def test_minutes_without_trades_repeat_the_close() -> None:
    tape = Tape(0, coin())
    tape.trade(10_000, 5, 1, 60_000)
    tape.trade(10_100, 5, -1, 61_000)
    tape.trade(10_200, 1, 1, 245_000)
    assert [(bar.open_ms, bar.open, bar.close, bar.count) for bar in tape.bars] == [
        (60_000, 10_000, 10_100, 2), (120_000, 10_100, 10_100, 0), (180_000, 10_100, 10_100, 0),
        (240_000, 10_200, 10_200, 1),
    ]  # fmt: skip
    assert tape.bars[0].taker_lots == 5 and tape.bars[0].quote_e8 == (10_000 + 10_100) * 5 * 10_000


def test_prices_finer_than_the_exchange_writes_are_refused() -> None:
    with pytest.raises(BadInput, match="finer than 1e-8"):
        Tape(0, coin(tick_size=Decimal("1e-9")))


@given(st.integers(0, 10**19))
def test_amounts_go_out_and_come_back_exactly(amount: int) -> None:
    assert Parameters({"price": text_e8(amount)}).amount_e8("price") == amount
    assert Decimal(text_e8(-amount)) == -Decimal(amount) / E8
