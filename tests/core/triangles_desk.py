"""A desk with the triangle USDT, BTC, ETH, USDC: five pairs of one venue, and an arbitrage that trades at once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from probes import Desk
from streams import instrument

from engine.contracts import records as r
from engine.contracts.instruments import Instrument

FINE: Final = Decimal("0.00001")
BTC, ETH, CROSS, USDC, BTC_USDC = range(5)
QUOTES: Final = {
    BTC: (5_000_000, 5_000_100),
    ETH: (200_000, 200_010),
    CROSS: (39_990, 40_001),
    USDC: (9_999, 10_000),
    BTC_USDC: (5_000_000, 5_000_500),
}
"""No way round pays: what a cycle needs is moved into one of them."""
CHEAP: Final = (39_000, 39_010)
"""Of ETH/BTC: buying ETH with BTC pays about 2 %."""


def pairs(**changes: Any) -> list[Instrument]:
    """Prices: BTC 50,000, ETH 2,000, ETH/BTC 0.04."""
    fine = {"lot_size": FINE, "min_qty": FINE} | changes
    cross = {"tick_size": Decimal("0.000001"), "min_notional": Decimal("0.0001"), "quote": "BTC"}
    return [
        instrument("BTC", cluster="major", **fine),
        instrument("ETH", cluster="major", **fine),
        instrument("ETH", symbol="ETHBTC", cluster="major", **(fine | cross)),
        instrument("USDC", cluster="stable", tick_size=Decimal("0.0001"), **changes),
        instrument("BTC", symbol="BTCUSDC", cluster="major", quote="USDC", **fine),
    ]


def trading(**params: float) -> dict[str, dict[str, float]]:
    """The strategy without shadow; a maker's rebate alone does not pay for a cycle."""
    return {"arbitrage": {"shadow_cycles": 0, "max_age_ms": 60_000, "min_edge_bps": 3} | params}


def desk_of(changes: dict[str, Any] | None = None, limits: dict[str, float] | None = None, **params: float) -> Desk:
    """A quoted market in which nothing pays yet."""
    desk = Desk(pairs(**(changes or {})), trading(**params), **({"max_data_age_s": 60} | (limits or {})))
    for i, (bid, ask) in QUOTES.items():
        desk.quote(i, bid, ask)
    assert not working(desk)
    return desk


def working(desk: Desk) -> list[Any]:
    """Legs at work."""
    return [one for one in desk.state.orders if one.role == r.ROLE_LEG and 0 < one.status < 6]


def leg(desk: Desk) -> Any:
    """The one leg at work."""
    (order,) = working(desk)
    return order


def fee_of(desk: Desk, order: Any, ticks: int, lots: int) -> tuple[int, int]:
    """(fee, bits) as the venue would take it, rounded up."""
    row = desk.state.instruments[order.instrument]
    rate = int(row.taker_fee_e8)
    if row.fee_in_base and order.side > 0 and rate > 0:
        return -(-lots * int(row.lot_base_e8) * rate // 10**8), r.FEE_IN_BASE
    value = ticks * lots * int(row.value_num)
    value = -(-value // int(row.value_den)) if order.side > 0 else value // int(row.value_den)
    return -(-value * rate // 10**8), 0


def fill(desk: Desk, lots: int = 0, ticks: int = 0) -> Any:
    """The leg at work is executed, wholly unless `lots` says otherwise, at the touch or its limit, whichever is better,
    unless `ticks` does; what is left of it expires. The records that follow."""
    order = leg(desk)
    book, limit = desk.state.books[order.instrument], int(order.price_ticks)
    best = min(int(book.ask_ticks), limit) if order.side > 0 else max(int(book.bid_ticks), limit)
    lots = min(lots or int(order.qty_lots), int(order.qty_lots))
    ticks = ticks or best
    fee, bits = fee_of(desk, order, ticks, lots)
    client_id, whole = int(order.client_id), int(order.qty_lots)
    said = desk.fill(client_id, ticks, lots, fee, bits)
    return said if lots == whole else desk.ack(client_id, r.ORDER_EXPIRED)


def end(desk: Desk, kind: int = r.ORDER_EXPIRED, **columns: Any) -> Any:
    """The leg at work ends without a fill."""
    return desk.ack(int(leg(desk).client_id), kind, **columns)


def notes(said: Any, kind: int) -> list[Any]:
    return [one for one in said if one["kind"] == kind]


def check_books(desk: Desk) -> None:
    """The identities of positions and pots."""
    s, head = desk.state, desk.head
    book = head.deposits_e8 + head.gross_e8 - head.fees_e8 + head.funding_e8
    cost = int(s.pots["cost_e8"].sum())
    assert head.cash_e8 + cost + int(s.positions["cost_e8"].sum()) == book
    assert head.cash_e8 == int(s.wallets["cash_e8"].sum())
    assert head.exposure_e8 == cost + int(s.positions["cost_e8"].sum())
    assert head.unrealised_e8 == int(s.pots["unrealised_e8"].sum()) + int(s.positions["unrealised_e8"].sum())
    assert (s.pots["qty_e8"] >= 0).all() and (s.pots["cost_e8"] >= 0).all()
    held = dict.fromkeys(desk.core.assets, 0)
    for i, one in enumerate(desk.core.instruments):
        held[one.base] += int(s.pots["qty_e8"][i])
    cash = sum(int(s.balances[k]) for k, name in enumerate(desk.core.assets) if name in ("USDT", "USDC"))
    assert cash == head.cash_e8
    for k, name in enumerate(desk.core.assets):
        if name not in ("USDT", "USDC"):
            assert held[name] == int(s.balances[k]), name
