"""Messages of the user streams: orders, wallets, order lists, and streams that end."""

from __future__ import annotations

from typing import Final

import msgspec

from engine.contracts.records import FUNDING
from engine.venues.binance.asides import (
    Balance,
    FundingPaid,
    Holding,
    OrderList,
    StreamEnded,
    Wallet,
    WalletChange,
)
from engine.venues.binance.decimals import floor_of, signed, time_ns
from engine.venues.binance.orders import AlgoOrder, Int64, Order, Stamp, write_algo, write_order
from engine.venues.binance.slate import Slate

NO_CANCEL_ID: Final = ("", "null")


class ExecutionReport(Order):
    """Spot. `C` is the id of the order a cancel was about; `c` is then the id of the cancel request."""

    C: str | None = None
    P: str | None = None  # stop price
    r: str = "NONE"  # reject reason
    w: bool = False  # on the book


class UsdmOrder(Order):
    """USD-M, the `o` of ORDER_TRADE_UPDATE."""

    sp: str | None = None  # stop price


class OrderTradeUpdate(msgspec.Struct):
    """`{"e":"ORDER_TRADE_UPDATE","E":1,"T":1,"o":{...}}`"""

    o: UsdmOrder


class AlgoUpdate(msgspec.Struct):
    """`{"e":"ALGO_UPDATE","T":1,"E":1,"o":{...}}`"""

    T: Stamp
    o: AlgoOrder


class SpotBalance(msgspec.Struct):
    """Asset, free, locked."""

    a: str
    f: str
    l: str  # noqa: E741


class OutboundAccountPosition(msgspec.Struct):
    """`{"e":"outboundAccountPosition","E":1,"u":1,"B":[{"a":"ETH","f":"10.0","l":"0.0"}]}`"""

    u: Stamp
    B: list[SpotBalance]


class BalanceUpdate(msgspec.Struct):
    """`{"e":"balanceUpdate","E":1,"a":"BTC","d":"100.0","T":1}`"""

    a: str
    d: str
    T: Stamp


class UsdmBalance(msgspec.Struct):
    """Asset, wallet balance, change other than by profit and fee."""

    a: str
    wb: str
    bc: str = "0"


class UsdmPosition(msgspec.Struct):
    """Symbol, signed quantity, position side."""

    s: str
    pa: str
    ps: str = "BOTH"


class Account(msgspec.Struct):
    """Why, balances, positions."""

    m: str
    B: list[UsdmBalance] = []
    P: list[UsdmPosition] = []


class AccountUpdate(msgspec.Struct):
    """`{"e":"ACCOUNT_UPDATE","E":1,"T":1,"a":{"m":"ORDER","B":[...],"P":[...]}}`"""

    T: Stamp
    a: Account


class ListStatus(msgspec.Struct):
    """`{"e":"listStatus","E":1,"s":"ETHBTC","g":2,"c":"OCO","l":"EXEC_STARTED","L":"EXECUTING","C":"F4Q","T":1,...}`"""

    s: str
    g: Int64
    l: str  # noqa: E741
    L: str
    C: str
    T: Stamp


class Ended(msgspec.Struct):
    """A message that only has a name."""

    e: str


def read_execution(slate: Slate, m: ExecutionReport, stream: str) -> None:
    """A spot order event; a cancelled order is named by `C` where the venue fills it in."""
    client_text = m.c if m.C is None or m.C in NO_CANCEL_ID else m.C
    write_order(slate, m, client_text, m.P, m.r, m.w)


def read_order_update(slate: Slate, m: OrderTradeUpdate, stream: str) -> None:
    """A USD-M order event."""
    write_order(slate, m.o, m.o.c, m.o.sp, "", False)


def read_algo_update(slate: Slate, m: AlgoUpdate, stream: str) -> None:
    """A USD-M conditional-order event; its venue order id is the algo id until it triggers."""
    write_algo(slate, m.o, time_ns(m.T))


def read_account_position(slate: Slate, m: OutboundAccountPosition, stream: str) -> None:
    """Spot balances that changed."""
    balances = tuple(Balance(b.a, signed(b.f, f"{b.a}: free"), signed(b.l, f"{b.a}: locked")) for b in m.B)
    slate.asides.append(Wallet(time_ns(m.u), "outboundAccountPosition", balances, ()))


def read_balance_update(slate: Slate, m: BalanceUpdate, stream: str) -> None:
    """A spot deposit, withdrawal or transfer."""
    slate.asides.append(WalletChange(time_ns(m.T), m.a, signed(m.d, f"{m.a}: change")))


def read_account_update(slate: Slate, m: AccountUpdate, stream: str) -> None:
    """USD-M balances and positions; FUNDING where the payment names its one position, else `FundingPaid`."""
    at = time_ns(m.T)
    balances = tuple(Balance(b.a, signed(b.wb, f"{b.a}: wallet"), signed("0", "locked")) for b in m.a.B)
    holdings = tuple(_holding(slate, p) for p in m.a.P)
    if m.a.m == "FUNDING_FEE":
        numbers = {holding.instrument for holding in holdings}
        number = numbers.pop() if len(numbers) == 1 else None
        for balance in m.a.B:
            amount = floor_of(balance.bc, f"{balance.a}: funding", 8)
            if amount and number is not None:
                slate.sheet.put(FUNDING, number, at, 0, 0, 0, 0, 0, 0, amount, 0)
            elif amount:
                slate.asides.append(FundingPaid(at, balance.a, amount))
    slate.asides.append(Wallet(at, m.a.m, balances, holdings))


def _holding(slate: Slate, p: UsdmPosition) -> Holding:
    market = slate.markets.get(p.s)
    return Holding(p.s, market.number if market else None, signed(p.pa, f"{p.s}: position"), p.ps)


def read_list_status(slate: Slate, m: ListStatus, stream: str) -> None:
    """State of an order list."""
    slate.asides.append(OrderList(time_ns(m.T), slate.market(m.s).number, m.g, m.C, m.l, m.L))


def read_ended(slate: Slate, m: Ended, stream: str) -> None:
    """The venue ends this stream."""
    slate.asides.append(StreamEnded(m.e))
