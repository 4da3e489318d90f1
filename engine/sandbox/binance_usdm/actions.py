"""What the control endpoint can do to futures customers at once: the faults that are actions, deposits, funding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from engine.contracts.errors import BadInput
from engine.sandbox.control import Deposit, amount_of
from engine.sandbox.faults import Fault
from engine.sandbox.futures import Futures
from engine.sandbox.perp_tape import PerpTape
from engine.sandbox.ticket import OrderRefused
from engine.sandbox.traders import PerpTicket, Trader


class Fund(msgspec.Struct, forbid_unknown_fields=True):
    """A funding payment now; `rate` is a fraction (0.0001 = 0.01 %)."""

    symbol: str
    rate: str
    venue: str = ""


def fund(futures: Futures, body: bytes) -> Any:
    """Pay funding now."""
    wanted = msgspec.json.decode(body, type=Fund)
    futures.fund(_named(futures, wanted.symbol), amount_of(wanted.rate, "rate") * 10_000)
    return {"done": True}


def deposit(futures: Futures, body: bytes) -> Any:
    """Money from nowhere (negative: to nowhere)."""
    wanted = msgspec.json.decode(body, type=Deposit)
    if wanted.asset != futures.cash_asset:
        raise BadInput(f"asset = {wanted.asset!r} is no margin here; {futures.cash_asset} is")
    futures.deposit(futures.accounts.numbered(wanted.account), amount_of(wanted.amount, "amount"))
    return {"done": True}


def _trader(futures: Futures, fault: Fault) -> Trader:
    return futures.accounts.numbered(fault.account)


def _named(futures: Futures, symbol: str) -> PerpTape:
    if symbol not in futures.by_name:
        raise BadInput(f"symbol = {symbol!r}: known are {', '.join(futures.by_name)}")
    return futures.by_name[symbol]


def _venue_cancels(futures: Futures, fault: Fault) -> None:
    trader = _trader(futures, fault)
    for order in list(trader.working.values()):
        if not fault.order_types or order.order_type in fault.order_types:
            futures.cancel(trader, order)
    for algo in trader.waiting():
        if not fault.order_types or algo.order_type in fault.order_types:
            futures.algos.cancel(trader, algo)


def _liquidated(futures: Futures, fault: Fault) -> None:
    futures.liquidate(_trader(futures, fault), _named(futures, fault.symbol).index)


def _manual_close(futures: Futures, fault: Fault) -> None:
    trader, tape = _trader(futures, fault), _named(futures, fault.symbol)
    lots = trader.positions[tape.index].lots
    if lots:
        side = -1 if lots > 0 else 1
        futures.place(trader, PerpTicket(tape.index, side, "MARKET", "GTC", abs(lots), 0, "web_manual_close", True))


def _manual_open(futures: Futures, fault: Fault) -> None:
    trader, tape = _trader(futures, fault), _named(futures, fault.symbol)
    side = 1 if fault.lots > 0 else -1
    try:
        futures.place(trader, PerpTicket(tape.index, side, "MARKET", "GTC", abs(fault.lots), 0, "web_manual_open"))
    except OrderRefused as error:
        raise BadInput(
            f"the exchange refuses to open {fault.lots} lots of {tape.name} by hand: {error}; see the account's margin"
        ) from None


def _filter_change(futures: Futures, fault: Fault) -> None:
    tape = _named(futures, fault.symbol)
    notional = amount_of(fault.min_notional, "min_notional") if fault.min_notional else None
    lots = -(-amount_of(fault.min_qty, "min_qty") // tape.lot_e8) if fault.min_qty else None
    futures.change_filters(tape, notional, lots)


def _clock_jump(futures: Futures, fault: Fault) -> None:
    futures.clock.skew_ms = fault.skew_ms


def _key_revoked(futures: Futures, fault: Fault) -> None:
    _trader(futures, fault).is_revoked = True


ACTIONS: Final[dict[str, Callable[[Futures, Fault], None]]] = {
    "A8": _venue_cancels,
    "A9": _liquidated,
    "A10": _manual_close,
    "A11": _manual_open,
    "A12": _filter_change,
    "A14": _clock_jump,
    "A23": _key_revoked,
}
