"""What a venue's answers mean beside our own books: the proof of an emergency, case by case."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from engine.contracts.instruments import Instrument
from engine.core import life
from engine.core.limits import Limits
from engine.core.state import Core, new_core
from engine.runtime.emergency import progress_of
from engine.runtime.flatness import Answers, Books, judge
from engine.store.emergency_file import Request, VenueProgress
from engine.venues.port import OpenOrder, Position, Wallet

SPOT = Instrument(
    symbol="BTC/USDT", venue="spot", base="BTC", quote="USDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"),
    min_qty=Decimal("0.001"), max_qty=Decimal(9000), min_notional=Decimal(5),
)  # fmt: skip
PERP = Instrument(
    symbol="BTC/USDT:USDT", venue="futures", base="BTC", quote="USDT", kind="perp", tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"), min_qty=Decimal("0.001"), max_qty=Decimal(9000), max_leverage=20,
)  # fmt: skip
ELSEWHERE = Instrument(
    symbol="ETH/USDT", venue="other", base="ETH", quote="USDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"),
    min_qty=Decimal("0.001"), max_qty=Decimal(9000),
)  # fmt: skip
REQUEST = Request(id="1", who="cli", why="a test", ts_ns=1)


def core_with(spot: int = 0, perp: int = 0, working: int | None = None, mark: float = 100.0) -> Core:
    core = new_core([SPOT, PERP, ELSEWHERE], Limits(), 1000.0, {"momentum": {}}, (60, 180, 720))
    positions = core.state.positions
    positions["qty_lots"][:] = (spot, perp, 7)
    positions["mark_ticks"][:] = (round(mark / 0.01), round(mark / 0.1), 1)
    if working is not None:
        core.state.orders[0].client_id, core.state.orders[0].instrument = 5, working
        core.state.orders[0].status = life.UNKNOWN
    return core


def answers(orders: tuple[OpenOrder, ...] = (), perp: int = 0, coins: str = "0", locked: str = "0") -> Answers:
    positions = [Position(instrument=1, qty_lots=perp, entry_price=Decimal(100))] if perp else []
    return Answers(orders, positions, [Wallet(asset="BTC", free=Decimal(coins), locked=Decimal(locked))])


def order(client_id: int | None, instrument: int = 0) -> OpenOrder:
    return OpenOrder(
        instrument=instrument, client_id=client_id, client_text="web_1", venue_order_id="9", book="orders", side=1,
        order_type="LIMIT", qty_lots=20, filled_lots=5, price_ticks=1, trigger_ticks=0,
    )  # fmt: skip


SPOT_CASES: list[tuple[str, dict[str, Any], Answers, dict[str, Any]]] = [
    ("nothing", {}, answers(), {"flat": True}),
    ("ours and there", {"spot": 500}, answers(coins="0.5"), {"flat": False, "positions": ("0.5 BTC/USDT",)}),
    ("locked counts", {"spot": 500}, answers(locked="0.5"), {"flat": False, "positions": ("0.5 BTC/USDT",)}),
    ("more there", {"spot": 500}, answers(coins="2.5"), {"flat": False, "positions": ("0.5 BTC/USDT",)}),
    ("closed by hand", {"spot": 500}, answers(), {"flat": True}),
    ("half by hand", {"spot": 500}, answers(coins="0.2"), {"flat": False, "positions": ("0.2 BTC/USDT",)}),
    ("somebody's coins", {}, answers(coins="2.5"), {"flat": True, "foreign": ("2.5 BTC/USDT",)}),
    ("dust of ours", {"spot": 40}, answers(coins="0.04"), {"flat": True, "dust": ("0.04 BTC/USDT",)}),
    ("not dust", {"spot": 50}, answers(coins="0.05"), {"flat": False, "positions": ("0.05 BTC/USDT",)}),
    ("dust of nobody", {}, answers(coins="0.04"), {"flat": True, "foreign": ()}),
    ("less than a lot", {}, answers(coins="0.0004"), {"flat": True, "foreign": ()}),
    ("our order", {}, answers((order(5),)), {"flat": False, "orders": 1}),
    ("their order", {}, answers((order(None),)), {"flat": True, "foreign": ("order web_1 of 0.015 BTC/USDT",)}),
    ("an order in doubt", {"working": 0}, answers(), {"flat": False, "orders": 1}),
    ("in doubt elsewhere", {"working": 2}, answers(), {"flat": True, "orders": 0}),
]


@pytest.mark.parametrize(("books", "said", "wanted"), [c[1:] for c in SPOT_CASES], ids=[c[0] for c in SPOT_CASES])
def test_spot(books: dict[str, Any], said: Answers, wanted: dict[str, Any]) -> None:
    seen = judge(Books(core_with(**books), "spot"), said)
    assert {name: getattr(seen, name) for name in wanted} == wanted


PERP_CASES: list[tuple[str, dict[str, Any], Answers, dict[str, Any]]] = [
    ("nothing", {}, answers(), {"flat": True}),
    ("ours", {"perp": -500}, answers(perp=-500), {"flat": False, "positions": ("-0.5 BTC/USDT:USDT",)}),
    ("liquidated", {"perp": 500}, answers(), {"flat": True, "positions": ()}),
    ("turned", {"perp": 500}, answers(perp=-10), {"flat": False, "positions": ("-0.01 BTC/USDT:USDT",)}),
    ("somebody's", {}, answers(perp=10), {"flat": True, "foreign": ("0.01 BTC/USDT:USDT",)}),
    ("no dust there", {"perp": 1}, answers(perp=1), {"flat": False, "positions": ("0.001 BTC/USDT:USDT",)}),
    ("coins are margin", {}, answers(coins="3"), {"flat": True, "foreign": ()}),
]


@pytest.mark.parametrize(("books", "said", "wanted"), [c[1:] for c in PERP_CASES], ids=[c[0] for c in PERP_CASES])
def test_perpetuals(books: dict[str, Any], said: Answers, wanted: dict[str, Any]) -> None:
    seen = judge(Books(core_with(**books), "futures"), said)
    assert {name: getattr(seen, name) for name in wanted} == wanted


def venue(name: str, **fields: Any) -> VenueProgress:
    return VenueProgress(venue=name, **fields)


@pytest.mark.parametrize(("venues", "seconds", "flat", "said"), [
    ([venue("a"), venue("b")], 0.1, None, "closing: the venues are being asked."),
    ([venue("a", flat=True), venue("b", flat=True)], 0.3, True, "FLAT after 0.30 s, proved by what a, b answered"),
    ([venue("a", flat=True), venue("b")], 1.0, None, "closing"),
    ([venue("a", flat=True), venue("b", flat=False, orders=2)], 1.0, None, "closing: b open: 2 orders."),
    ([venue("a", flat=True), venue("b", flat=False, orders=2)], 9.0, False, "NOT FLAT after 9 s: b open: 2 orders."),
    ([venue("a", flat=True), venue("b", flat=False, unreachable="no answer", positions=("1 X",))], 0.1, False,
     "NOT FLAT after 0 s: b cannot be asked (no answer); as last heard open: 1 X."),
    ([venue("a", flat=True, dust=("1 X",), foreign=("2 Y",))], 1.0, True,
     "a not ours, left alone: 2 Y, too small to sell: 1 X"),
])  # fmt: skip
def test_all_venues_together(venues: list[VenueProgress], seconds: float, flat: bool | None, said: str) -> None:
    told = progress_of(REQUEST, venues, seconds)
    assert told.flat is flat and said in told.words
    assert told.phase == {True: "FLAT", False: "NOT FLAT", None: "closing"}[flat]
