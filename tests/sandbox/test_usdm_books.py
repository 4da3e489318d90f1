"""Money on the futures venue adds up to the last 1e-8, whatever happens: the wallet is the sum of its income, and
positions are a fold of fills, the same at the simulated venue and in what the exchange tells."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts import records as r
from engine.contracts.errors import BadInput
from engine.contracts.instruments import Instrument
from engine.sandbox.clock import Clock
from engine.sandbox.exchange import OrderRefused
from engine.sandbox.futures import Futures
from engine.sandbox.traders import AlgoOrder, OrderTold, PerpTicket, Position, Trader

CASH = 1_000
START = 1_000
PERP = Instrument(
    symbol="AXO/USDT:USDT", venue="t", base="AXO", quote="USDT", kind="perp", tick_size=Decimal("0.001"),
    lot_size=Decimal("0.3"), min_qty=Decimal("0.3"), max_qty=Decimal(3_000_000), maker_fee=Decimal("0.0002"),
    taker_fee=Decimal("0.0005"), max_leverage=20,
)  # fmt: skip
UNIT_E8 = int(PERP.tick_lot_e8)

sides = st.sampled_from([1, -1])
lots = st.integers(20, 4000)
tifs = st.sampled_from(["GTC", "GTC", "IOC", "FOK", "GTX"])
modes = st.sampled_from(["EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH"])
steps = st.one_of(
    st.tuples(st.just("quote"), st.integers(-60, 60), st.integers(1, 3000)),
    st.tuples(st.just("trade"), sides, lots),
    st.tuples(st.just("market"), sides, lots, modes),
    st.tuples(st.just("limit"), sides, lots, st.integers(-20, 20), tifs, modes),
    st.tuples(st.just("reduce"), sides, lots),
    st.tuples(st.just("stop"), sides, st.integers(1, 40), st.booleans()),
    st.tuples(st.just("trail"), sides, st.integers(10, 300)),
    st.tuples(st.just("fund"), st.integers(-(10**9), 10**9)),
    st.tuples(st.just("leverage"), st.integers(1, 20)),
    st.tuples(st.just("liquidate")),
    st.tuples(st.just("deposit"), st.integers(-(10**9), 10**9)),
)


class Books:
    """The venue driven by hand, and a second fold of everything it tells."""

    def __init__(self) -> None:
        self.futures = Futures([PERP], Clock(), 1, CASH, kinds=("HMAC",))
        self.trader: Trader = self.futures.accounts.all[0]
        self.told: list[OrderTold] = []
        self.trader.listeners.append(lambda one: self.told.append(one) if isinstance(one, OrderTold) else None)
        self.mid, self.number = START, 0
        self.quote(0, 2000)

    def play(self, **fields: int) -> None:
        event: Any = np.zeros(1, r.RECORD)
        for name, value in fields.items():
            event[name] = value
        self.futures.play(event)

    def quote(self, move: int, size: int) -> None:
        self.mid = max(self.mid + move, 100)
        self.play(kind=r.QUOTE, bid_ticks=self.mid - 1, bid_lots=size, ask_ticks=self.mid + 1, ask_lots=size)

    def trade(self, side: int, size: int) -> None:
        self.play(kind=r.TRADE, price_ticks=self.mid + side, qty_lots=size, side=side)

    def send(self, side: int, size: int, kind: str = "MARKET", ticks: int = 0, **more: Any) -> None:
        self.number += 1
        given = {"tif": "GTC", "client_order_id": f"o{self.number}"} | more
        self.futures.place(self.trader, PerpTicket(0, side, kind, lots=size, ticks=ticks, **given))

    def wait(self, side: int, kind: str, trigger: int, closes: bool = False, callback: int = 0) -> None:
        self.number += 1
        self.futures.algos.place(
            self.trader,
            AlgoOrder(
                0, f"a{self.number}", 0, side, kind, "GTC", 0 if closes else 100, 0, trigger, "CONTRACT_PRICE", False,
                closes, False, 0, callback_bps=callback,
            ),
        )  # fmt: skip

    def do(self, step: tuple[Any, ...]) -> None:
        name, *rest = step
        if name == "quote":
            self.quote(*rest)
        elif name == "trade":
            self.trade(*rest)
        elif name == "market":
            self.send(rest[0], rest[1], stp=rest[2])
        elif name == "limit":
            self.send(rest[0], rest[1], "LIMIT", max(self.mid + rest[2], 1), tif=rest[3], stp=rest[4])
        elif name == "reduce":
            self.send(rest[0], rest[1], reduce_only=True)
        elif name == "stop":
            self.wait(rest[0], "STOP_MARKET", max(self.mid + rest[0] * (rest[1] + 2), 1), rest[2])
        elif name == "trail":
            self.wait(rest[0], "TRAILING_STOP_MARKET", 0, callback=rest[1])
        elif name == "fund":
            self.futures.fund(self.futures.tapes[0], rest[0])
        elif name == "leverage":
            self.futures.set_leverage(self.trader, 0, rest[0])
        elif name == "deposit":
            self.futures.deposit(self.trader, rest[0])
        elif self.trader.positions[0].lots:
            self.futures.liquidate(self.trader, 0)

    def check(self) -> None:
        trader, venue = self.trader, self.trader.venue
        held, mine = venue.holdings[0], trader.positions[0]
        assert CASH * 10**8 + sum(row.amount_e8 for row in trader.income) == trader.wallet_e8
        assert (mine.lots, mine.cost_e8, mine.margin_e8) == (held.qty_lots, held.cost_e8, held.margin_e8)
        assert trader.margin_e8 == mine.margin_e8
        assert trader.locked_e8 == sum(int(order.locked_e8) for order in venue.orders if order.client_id)
        assert mine.lots == sum(one.order.side * one.fill.lots for one in self.told if one.fill is not None)
        assert {order.status for order in trader.working.values()} <= {"NEW", "PARTIALLY_FILLED"}
        resting = [order for order in trader.working.values() if order.is_resting]
        bids = [order.ticks for order in resting if order.side > 0]
        asks = [order.ticks for order in resting if order.side < 0]
        assert max(bids, default=0) < min(asks, default=1 << 60)
        assert not (mine.lots == 0 and any(one.close_position for one in trader.waiting()))


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=40))
def test_the_books_add_up_after_every_step(history: list[tuple[Any, ...]]) -> None:
    books = Books()
    for step in history:
        try:
            books.do(step)
        except (OrderRefused, BadInput):  # refused, or nothing there that could be liquidated
            pass
        books.check()


def test_profit_and_fees_of_a_round_trip() -> None:
    books = Books()
    books.send(1, 100)
    books.quote(50, 2000)
    books.send(-1, 100)
    bought, sold = 1001 * 100 * UNIT_E8, 1049 * 100 * UNIT_E8
    fees = -(-bought * 5 // 10_000), -(-sold * 5 // 10_000)
    assert books.trader.wallet_e8 == CASH * 10**8 + sold - bought - sum(fees)
    assert [(row.kind, row.amount_e8) for row in books.trader.income] == [
        ("COMMISSION", -fees[0]), ("REALIZED_PNL", sold - bought), ("COMMISSION", -fees[1]),
    ]  # fmt: skip


def test_a_liquidation_never_costs_more_than_the_margin() -> None:
    books = Books()
    books.send(1, 2000)
    margin, before = books.trader.positions[0].margin_e8, books.trader.wallet_e8
    books.quote(-500, 2000)  # a crash far below the bankruptcy price
    assert books.trader.positions[0] == Position(
        update_ms=books.trader.positions[0].update_ms, realised_e8=books.trader.positions[0].realised_e8
    )
    assert before - books.trader.wallet_e8 <= margin
    assert books.told[-1].order.client_order_id.startswith("autoclose-")
    books.check()


def test_funding_is_exact_and_signed() -> None:
    for side in (1, -1):
        books = Books()
        books.send(side, 1000)
        before = books.trader.wallet_e8
        books.futures.fund(books.futures.tapes[0], 10**8)  # 0.01 %
        value = START * 1000 * UNIT_E8
        assert books.trader.wallet_e8 - before == -side * value // 10_000
