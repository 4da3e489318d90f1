"""What the control endpoint can do to spot customers at once: the faults that are actions, and deposits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from engine.contracts.errors import BadInput
from engine.sandbox.accounts import Account
from engine.sandbox.control import Deposit, amount_of
from engine.sandbox.exchange import Exchange, OrderRefused, Ticket
from engine.sandbox.faults import Fault
from engine.sandbox.tape import Tape
from engine.sandbox.weights import DAY_ORDERS, MINUTE_WEIGHT, TEN_SECOND_ORDERS, Budget


def deposit(exchange: Exchange, body: bytes) -> Any:
    """Money or coins from nowhere (negative: to nowhere)."""
    wanted = msgspec.json.decode(body, type=Deposit)
    exchange.deposit(exchange.accounts.numbered(wanted.account), wanted.asset, amount_of(wanted.amount, "amount"))
    return {"done": True}


class Rights(msgspec.Struct, forbid_unknown_fields=True):
    """What the keys of an account may do besides trading."""

    account: int
    withdraw: bool
    venue: str = ""


class Customer(Protocol):
    """Somebody whose keys have rights."""

    may_withdraw: bool


class Customers(Protocol):
    """All of a venue's."""

    def numbered(self, number: int) -> Customer:
        """One of them. Raises BadInput."""


def change_rights(customers: Customers, body: bytes) -> Any:
    """Give the keys of an account the right to withdraw, or take it."""
    wanted = msgspec.json.decode(body, type=Rights)
    customers.numbered(wanted.account).may_withdraw = wanted.withdraw
    return {"done": True}


class Whose(msgspec.Struct, forbid_unknown_fields=True):
    """An account by number."""

    account: int
    venue: str = ""


def hand_out_key(make: Callable[[int], tuple[str, str]], body: bytes) -> Any:
    """One more API key for an account; the others stay."""
    key, secret = make(msgspec.json.decode(body, type=Whose).account)
    return {"key": key, "secret": secret}


class Revocation(msgspec.Struct, forbid_unknown_fields=True):
    """One of an account's keys."""

    key: str
    venue: str = ""


def revoke_key(revoke: Callable[[str], None], body: bytes) -> Any:
    """Take one key back; the account's others stay."""
    revoke(msgspec.json.decode(body, type=Revocation).key)
    return {"done": True}


class Limits(msgspec.Struct, forbid_unknown_fields=True):
    """Request weight a minute, and orders in ten seconds and a day, that the venue allows from now on."""

    weight: int = MINUTE_WEIGHT
    orders: int = TEN_SECOND_ORDERS
    day_orders: int = DAY_ORDERS
    venue: str = ""


def change_limits(budget: Budget, body: bytes) -> Any:
    """Other rate limits than the exchange's, for benches; what is left out is the exchange's again."""
    wanted = msgspec.json.decode(body, type=Limits)
    if min(wanted.weight, wanted.orders, wanted.day_orders) < 1:
        raise BadInput("weight, orders, day_orders: each must be at least 1")
    budget.weight.limit = wanted.weight
    for (_, window), limit in zip(budget.orders, (wanted.orders, wanted.day_orders), strict=True):
        window.limit = limit
    return {"done": True}


def _account(exchange: Exchange, fault: Fault) -> Account:
    return exchange.accounts.numbered(fault.account)


def _tape(exchange: Exchange, fault: Fault) -> Tape:
    if fault.symbol not in exchange.by_name:
        raise BadInput(f"symbol = {fault.symbol!r}: known are {', '.join(exchange.by_name)}")
    return exchange.by_name[fault.symbol]


def _venue_cancels(exchange: Exchange, fault: Fault) -> None:
    account = _account(exchange, fault)
    for order in list(account.working.values()):
        if order.is_open and (not fault.order_types or order.order_type in fault.order_types):
            exchange.cancel(account, order, "")


def _manual_close(exchange: Exchange, fault: Fault) -> None:
    account, tape = _account(exchange, fault), _tape(exchange, fault)
    lots = exchange.balances(account, tape.index)[tape.instrument.base][0] // tape.lot_e8
    if not lots:
        raise BadInput(f"account {account.number} has no free {tape.instrument.base} to sell by hand")
    _by_hand(exchange, account, Ticket(tape.index, -1, "MARKET", "GTC", lots, 0, 0, "web_manual_close"))


def _manual_open(exchange: Exchange, fault: Fault) -> None:
    account, tape = _account(exchange, fault), _tape(exchange, fault)
    _by_hand(exchange, account, Ticket(tape.index, 1, "MARKET", "GTC", fault.lots, 0, 0, "web_manual_open"))


def _by_hand(exchange: Exchange, account: Account, ticket: Ticket) -> None:
    try:
        exchange.place(account, ticket)
    except OrderRefused as error:
        name = exchange.tapes[ticket.symbol].name
        raise BadInput(
            f"the exchange refuses to trade {ticket.lots} lots of {name} by hand: {error}; see the account's balances"
        ) from None


def _filter_change(exchange: Exchange, fault: Fault) -> None:
    tape = _tape(exchange, fault)
    notional = amount_of(fault.min_notional, "min_notional") if fault.min_notional else None
    lots = -(-amount_of(fault.min_qty, "min_qty") // tape.lot_e8) if fault.min_qty else None
    tick_step = _multiple(fault.tick_size, "tick_size", tape.tick_e8)
    lot_step = _multiple(fault.step_size, "step_size", tape.lot_e8)
    exchange.change_filters(tape, notional, lots)
    tape.tick_step, tape.lot_step = tick_step or tape.tick_step, lot_step or tape.lot_step


def _multiple(text: str, field: str, unit_e8: int) -> int:
    """How many of the recorded steps the new one is; 0 where there is none."""
    steps, rest = divmod(amount_of(text, field), unit_e8) if text else (0, 0)
    if rest or (text and steps < 1):
        raise BadInput(f"{field} = {text} must be a multiple of the recorded market's {unit_e8 / 10**8:.8f}")
    return steps


def _clock_jump(exchange: Exchange, fault: Fault) -> None:
    exchange.clock.skew_ms = fault.skew_ms


def _key_revoked(exchange: Exchange, fault: Fault) -> None:
    _account(exchange, fault).is_revoked = True


ACTIONS: Final[dict[str, Callable[[Exchange, Fault], None]]] = {
    "A8": _venue_cancels,
    "A10": _manual_close,
    "A11": _manual_open,
    "A12": _filter_change,
    "A14": _clock_jump,
    "A23": _key_revoked,
}
