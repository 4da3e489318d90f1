"""The control endpoint: faults on request, the replay's hand brake, balances. No exchange has one.

``GET /``: state and the table of faults. ``POST /faults`` a `Fault`; ``DELETE /faults`` disarms all.
``POST /advance {"events": n}`` plays on by hand. ``POST /deposit {"account", "asset", "amount"}``.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec
from aiohttp import web

from engine.contracts.errors import BadInput, KeelError
from engine.contracts.instruments import E8
from engine.sandbox.accounts import Account
from engine.sandbox.exchange import Exchange, Ticket
from engine.sandbox.faults import FAULTS, Fault
from engine.sandbox.replay import Replay
from engine.sandbox.tape import Tape


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    """How many events to play."""

    events: int


class Deposit(msgspec.Struct, forbid_unknown_fields=True):
    """Money or coins from nowhere (negative: to nowhere)."""

    account: int
    asset: str
    amount: str


class Control:
    """The hand that causes trouble."""

    def __init__(self, exchange: Exchange, replay: Replay) -> None:
        self._exchange = exchange
        self._replay = replay

    def app(self) -> web.Application:
        """The endpoint as an aiohttp application."""
        app = web.Application(middlewares=[_plain_errors])
        app.router.add_get("/", self._state)
        app.router.add_post("/faults", self._fault)
        app.router.add_delete("/faults", self._clear)
        app.router.add_post("/advance", self._advance)
        app.router.add_post("/deposit", self._deposit)
        return app

    async def _state(self, request: web.Request) -> web.Response:
        table = {number: {"name": kind.name, "meaning": kind.meaning} for number, kind in FAULTS.items()}
        return _json(
            {
                "simulated": True,
                "played": self._replay.played,
                "total": self._replay.total,
                "is_over": self._replay.is_over,
                "armed": self._exchange.faults.armed,
                "faults": table,
            }
        )

    async def _fault(self, request: web.Request) -> web.Response:
        fault = msgspec.json.decode(await request.read(), type=Fault)
        if FAULTS[fault.number].point == "now":
            ACTIONS[fault.number](self._exchange, fault)
        else:
            self._exchange.faults.arm(msgspec.structs.replace(fault, fault=fault.number))
        return _json({"done": fault.number})

    async def _clear(self, request: web.Request) -> web.Response:
        self._exchange.faults.clear()
        return _json({"done": "cleared"})

    async def _advance(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=Advance).events
        played = 0
        while played < wanted and not self._replay.is_over:
            played += self._replay.advance(events=wanted - played)
        return _json({"played": played})

    async def _deposit(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=Deposit)
        self._exchange.deposit(account_of(self._exchange, wanted.account), wanted.asset, _e8(wanted.amount, "amount"))
        return _json({"done": True})


def _json(document: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=status, content_type="application/json")


@web.middleware
async def _plain_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        answer: web.StreamResponse = await handler(request)
    except (KeelError, msgspec.MsgspecError) as error:
        return _json({"error": str(error)}, 400)
    return answer


def account_of(exchange: Exchange, number: int) -> Account:
    """An account by its number. Raises BadInput."""
    if not 0 <= number < len(exchange.accounts.all):
        raise BadInput(f"account = {number}: there are accounts 0..{len(exchange.accounts.all) - 1}")
    return exchange.accounts.all[number]


def _tape(exchange: Exchange, fault: Fault) -> Tape:
    if fault.symbol not in exchange.by_name:
        raise BadInput(f"symbol = {fault.symbol!r}: known are {', '.join(exchange.by_name)}")
    return exchange.by_name[fault.symbol]


def _e8(text: str, field: str) -> int:
    try:
        amount = Decimal(text) * E8
    except ArithmeticError:
        raise BadInput(f"{field} = {text!r} is no decimal number") from None
    if not amount.is_finite() or amount != int(amount):
        raise BadInput(f"{field} = {text!r} has more than eight decimals")
    return int(amount)


def _venue_cancels(exchange: Exchange, fault: Fault) -> None:
    account = account_of(exchange, fault.account)
    for order in list(account.working.values()):
        if not fault.order_types or order.order_type in fault.order_types:
            exchange.cancel(account, order, "")


def _manual_close(exchange: Exchange, fault: Fault) -> None:
    account, tape = account_of(exchange, fault.account), _tape(exchange, fault)
    lots = exchange.balances(account, tape.index)[tape.instrument.base][0] // tape.lot_e8
    exchange.place(account, Ticket(tape.index, -1, "MARKET", "GTC", lots, 0, 0, "web_manual_close"))


def _manual_open(exchange: Exchange, fault: Fault) -> None:
    account, tape = account_of(exchange, fault.account), _tape(exchange, fault)
    exchange.place(account, Ticket(tape.index, 1, "MARKET", "GTC", fault.lots, 0, 0, "web_manual_open"))


def _filter_change(exchange: Exchange, fault: Fault) -> None:
    tape = _tape(exchange, fault)
    notional = _e8(fault.min_notional, "min_notional") if fault.min_notional else None
    lots = -(-_e8(fault.min_qty, "min_qty") // tape.lot_e8) if fault.min_qty else None
    exchange.change_filters(tape, notional, lots)


def _clock_jump(exchange: Exchange, fault: Fault) -> None:
    exchange.clock.skew_ms = fault.skew_ms


def _key_revoked(exchange: Exchange, fault: Fault) -> None:
    account_of(exchange, fault.account).is_revoked = True


ACTIONS: Final[dict[str, Callable[[Exchange, Fault], None]]] = {
    "A8": _venue_cancels,
    "A10": _manual_close,
    "A11": _manual_open,
    "A12": _filter_change,
    "A14": _clock_jump,
    "A23": _key_revoked,
}
