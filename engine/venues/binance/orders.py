"""Order events of the user streams, spot and USD-M: one fold of both into records.

Rules
-----
* The execution type says what happened; where it is a trade that traded nothing, the status does.
* A fill is written first; an order that ended in the same message (self-trade prevention) adds its end after it.
* An order that is not ours is an aside, unless Binance closed our position with it (its fills are FORCED), or somebody
  who stood in for us did (ADOPTED).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from engine.contracts import reasons
from engine.contracts.records import (
    BUY,
    CANCEL_ACK,
    FEE_IN_BASE,
    FILL,
    FORCED,
    MAKER,
    ORDER_ACK,
    ORDER_EXPIRED,
    ORDER_REJECT,
    ORDER_TRIGGERED,
    SELL,
)
from engine.venues.binance.asides import ForeignFee, ForeignOrder
from engine.venues.binance.decimals import fee_e8, signed, time_ns
from engine.venues.binance.faults import reason_of_text
from engine.venues.binance.slate import Market, Slate
from engine.venues.undecodable import Undecodable, shown

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Stamp = Annotated[int, Meta(ge=0, le=10**17)]

NOTHING: Final = 0
BY_STATUS: Final = -1

EXECUTIONS: Final[dict[str, int]] = {
    "NEW": ORDER_ACK,
    "CANCELED": CANCEL_ACK,
    "REPLACED": ORDER_ACK,  # spot: amended by somebody
    "AMENDMENT": ORDER_ACK,  # USD-M: the same
    "REJECTED": ORDER_REJECT,
    "EXPIRED": ORDER_EXPIRED,
    "TRADE": FILL,
    "CALCULATED": FILL,  # liquidation, auto-deleveraging, settlement
    "TRADE_PREVENTION": BY_STATUS,  # the order may go on with what is left
}
"""Execution type (`x`) -> record kind."""

STATUSES: Final[dict[str, int]] = {
    "NEW": ORDER_ACK,
    "PENDING_NEW": ORDER_ACK,
    "PARTIALLY_FILLED": NOTHING,
    "FILLED": NOTHING,
    "CANCELED": CANCEL_ACK,
    "PENDING_CANCEL": NOTHING,
    "REJECTED": ORDER_REJECT,
    "EXPIRED": ORDER_EXPIRED,
    "EXPIRED_IN_MATCH": ORDER_EXPIRED,
    "NEW_INSURANCE": NOTHING,
    "NEW_ADL": NOTHING,
}
"""Order status (`X`) -> record kind, where the execution type leaves it open."""

ALGO_STATUSES: Final[dict[str, int]] = {
    "NEW": ORDER_ACK,
    "TRIGGERING": NOTHING,
    "TRIGGERED": ORDER_TRIGGERED,
    "FINISHED": BY_STATUS,  # filled (the order's own events said so) or ended without
    "CANCELED": CANCEL_ACK,
    "REJECTED": ORDER_REJECT,
    "EXPIRED": ORDER_EXPIRED,
}
"""Status of a USD-M conditional order -> record kind."""

ENDINGS: Final = (CANCEL_ACK, ORDER_EXPIRED, ORDER_REJECT)
SIDES: Final[dict[str, int]] = {"BUY": BUY, "SELL": SELL}
RESTING_STOPS: Final = ("STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
KEPT_CHILDREN: Final = 1024


class Order(msgspec.Struct):
    """The fields spot's executionReport and USD-M's ORDER_TRADE_UPDATE share, under Binance's letters."""

    s: str  # symbol
    c: str  # client order id
    S: str  # side
    o: str  # order type
    f: str  # time in force
    q: str  # quantity
    p: str  # price; 0 for market orders
    x: str  # execution type
    X: str  # order status
    i: Int64  # order id
    l: str  # noqa: E741  last filled quantity
    L: str  # last filled price
    T: Stamp  # transaction time
    t: Int64  # trade id; -1 or 0: none
    m: bool  # we were the maker
    n: str | None = None  # fee
    N: str | None = None  # fee asset


def write_order(slate: Slate, m: Order, client_text: str, trigger: str | None, why: str, is_resting: bool) -> None:
    """Records of one order event; `why` is the venue's reject reason, `is_resting`: the order is on the book."""
    market = slate.market(m.s)
    side = SIDES.get(m.S)
    kind = EXECUTIONS.get(m.x)
    status = STATUSES.get(m.X)
    if side is None or kind is None or status is None:
        raise Undecodable(f"{m.s}: order event with side {shown(m.S)}, execution {shown(m.x)}, status {shown(m.X)}")
    client_id = slate.client_ids.decode(client_text) or slate.algo_children.get(m.i, 0)
    bit = 0 if client_id else slate.client_ids.bit_of(client_text)
    if client_id == 0 and not bit:
        slate.asides.append(_foreign(market, m, client_text, side))
        return
    if kind == FILL and market.lots[m.l] > 0:
        _write_fill(slate, market, m, client_id, side, bit)
        kind = status if status in ENDINGS else NOTHING
    elif kind in (FILL, BY_STATUS):
        kind = status
    if kind == NOTHING or bit:
        return
    code = _reason(kind, m, why)
    words = client_id, market.prices.or_zero(m.p), market.lots[m.q], market.prices.or_zero(trigger), m.i
    at = time_ns(m.T)
    slate.sheet.put(kind, market.number, at, side, 0, code, *words)
    if kind == ORDER_ACK and is_resting and m.o in RESTING_STOPS:
        slate.sheet.put(ORDER_TRIGGERED, market.number, at, side, 0, 0, *words)


def _write_fill(slate: Slate, market: Market, m: Order, client_id: int, side: int, bit: int) -> None:
    """FILL. The price of a forced one may be an average: it is rounded to the tick that is worse for us."""
    price = market.prices.rounded(m.L, up=side == BUY) if bit == FORCED else market.prices[m.L]
    bits = (MAKER if m.m else 0) | bit
    fee = fee_e8(m.n, f"{m.s}: fee") if m.n else 0
    if fee and m.N == market.base:
        bits |= FEE_IN_BASE
    elif fee and m.N != market.quote:
        if not m.N:
            raise Undecodable(f"{m.s}: a fee of {shown(m.n)} names no asset")
        slate.asides.append(ForeignFee(slate.sheet.count, market.number, client_id, m.t, m.N, fee))
        fee = 0
    slate.sheet.put(FILL, market.number, time_ns(m.T), side, bits, 0, client_id, price, market.lots[m.l], fee, m.t)


def _reason(kind: int, m: Order, why: str) -> int:
    """Why an order was refused or ran out."""
    if kind == ORDER_REJECT:
        return reason_of_text(why)
    if kind != ORDER_EXPIRED:
        return 0
    if m.X == "EXPIRED_IN_MATCH" or m.x == "TRADE_PREVENTION":
        return reasons.SELF_TRADE
    if m.f == "GTX":
        return reasons.WOULD_TAKE
    return reasons.NO_LIQUIDITY if m.f in ("IOC", "FOK") or m.o == "MARKET" else 0


def _foreign(market: Market, m: Order, client_text: str, side: int) -> ForeignOrder:
    def amount(text: str, field: str) -> Decimal:
        return signed(text, f"{m.s}: order field {field}")

    return ForeignOrder(
        market.number, client_text, m.i, m.x, m.X, side, amount(m.q, "q"), amount(m.p, "p"),
        amount(m.l, "l"), amount(m.L, "L"), m.t, time_ns(m.T),
    )  # fmt: skip


class AlgoOrder(msgspec.Struct):
    """`{"caid":"k-7","aid":2148719,"o":"STOP_MARKET","s":"BNBUSDT","S":"SELL","q":"0.01","X":"NEW","ai":"","tp":"750",
    "p":"0","aq":"0.00","rm":""}`: a conditional order; `ai` is the order it became once triggered."""

    caid: str
    aid: Int64
    s: str
    S: str
    q: str
    X: str
    tp: str = "0"
    p: str = "0"
    ai: str = ""
    aq: str = "0"
    rm: str = ""


def write_algo(slate: Slate, m: AlgoOrder, at: int) -> None:
    """Records of one conditional-order event. The order it turns into is recognised by its id from then on."""
    market = slate.market(m.s)
    side = SIDES.get(m.S)
    kind = ALGO_STATUSES.get(m.X)
    if side is None or kind is None:
        raise Undecodable(f"{m.s}: algo order with side {shown(m.S)}, status {shown(m.X)}")
    client_id = slate.client_ids.decode(m.caid)
    quantity = signed(m.q, f"{m.s}: algo quantity")
    if client_id is None and slate.client_ids.is_stand_in(m.caid):
        return
    if client_id is None:
        price, done = signed(m.tp, f"{m.s}: trigger price"), signed(m.aq, f"{m.s}: algo filled")
        slate.asides.append(
            ForeignOrder(market.number, m.caid, m.aid, "ALGO", m.X, side, quantity, price, done, price, 0, at)
        )
        return
    if m.ai.isdecimal() and len(m.ai) < 19:
        if len(slate.algo_children) >= KEPT_CHILDREN:
            del slate.algo_children[next(iter(slate.algo_children))]
        slate.algo_children[int(m.ai)] = client_id
    if kind == BY_STATUS:
        kind = ORDER_EXPIRED if signed(m.aq, f"{m.s}: algo filled") < quantity else NOTHING
    if kind == NOTHING:
        return
    code = reason_of_text(m.rm) if kind == ORDER_REJECT else 0
    slate.sheet.put(
        kind, market.number, at, side, 0, code,
        client_id, market.prices.or_zero(m.p), market.lots[m.q], market.prices.or_zero(m.tp), m.aid,
    )  # fmt: skip
