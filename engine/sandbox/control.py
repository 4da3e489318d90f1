"""The control endpoint: faults on request, the replay's hand brake, balances. No exchange has one.

``GET /``: state and the table of faults. ``POST /faults`` a `Fault`; ``DELETE /faults`` disarms all.
``POST /advance {"events": n}`` plays on by hand; ``POST /play {"speed": x}`` starts what stood still (speed 0) and
answers which moment of the market is when on the wire, as the state does from then on. ``POST /deposit {"account",
"asset", "amount"}``, and whatever else a venue's site offers as a command. A `venue` in the body names the venue;
without it the first one is meant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from aiohttp import web

from engine.contracts.errors import BadInput, KeelError
from engine.contracts.instruments import E8
from engine.sandbox.faults import FAULTS, Fault
from engine.sandbox.replay import Replay
from engine.sandbox.site import Site


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    """How many events to play."""

    events: int


class Play(msgspec.Struct, forbid_unknown_fields=True):
    """How fast, in market seconds per wall second."""

    speed: float


class Deposit(msgspec.Struct, forbid_unknown_fields=True):
    """Money or coins from nowhere (negative: to nowhere)."""

    account: int
    asset: str
    amount: str
    venue: str = ""


class _Addressed(msgspec.Struct):
    """Which venue a command is for; its other fields are the venue's business."""

    venue: str = ""


class Control:
    """The hand that causes trouble."""

    def __init__(self, sites: Mapping[str, Site], replay: Replay) -> None:
        self._sites = sites
        self._replay = replay
        self._playing: asyncio.Task[None] | None = None

    def app(self) -> web.Application:
        """The endpoint as an aiohttp application."""
        app = web.Application(middlewares=[_plain_errors])
        app.router.add_get("/", self._state)
        app.router.add_post("/faults", self._fault)
        app.router.add_delete("/faults", self._clear)
        app.router.add_post("/advance", self._advance)
        app.router.add_post("/play", self._play)
        app.router.add_post("/{command}", self._command)
        return app

    def _site(self, name: str) -> Site:
        if name and name not in self._sites:
            raise BadInput(f"venue = {name!r}: open are {', '.join(self._sites)}")
        return self._sites[name or next(iter(self._sites))]

    async def _state(self, request: web.Request) -> web.Response:
        table = {number: {"name": kind.name, "meaning": kind.meaning} for number, kind in FAULTS.items()}
        return _json(
            {
                "simulated": True,
                "played": self._replay.played,
                "total": self._replay.total,
                "is_over": self._replay.is_over,
                "playing": self._replay.playing and self._replay.playing._asdict(),
                "armed": [fault for site in self._sites.values() for fault in site.stage.faults.armed],
                "faults": table,
            }
        )

    async def _fault(self, request: web.Request) -> web.Response:
        fault = msgspec.json.decode(await request.read(), type=Fault)
        site = self._site(fault.venue)
        if FAULTS[fault.number].point != "now":
            site.stage.faults.arm(msgspec.structs.replace(fault, fault=fault.number))
        elif fault.number in site.actions:
            site.actions[fault.number](fault)
        else:
            raise BadInput(f"fault {fault.fault} cannot happen here; this venue knows {', '.join(site.actions)}")
        return _json({"done": fault.number})

    async def _clear(self, request: web.Request) -> web.Response:
        for site in self._sites.values():
            site.stage.faults.clear()
        return _json({"done": "cleared"})

    async def _advance(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=Advance).events
        played = 0
        while played < wanted and not self._replay.is_over:
            played += self._replay.advance(events=wanted - played)
        return _json({"played": played})

    async def _play(self, request: web.Request) -> web.Response:
        speed = msgspec.json.decode(await request.read(), type=Play).speed
        if self._replay.speed or self._replay.is_over:
            raise BadInput("the market plays already, or is over; start the sandbox with speed 0 to hold it back")
        if not 0 < speed <= 1e6:
            raise BadInput(f"speed = {speed} must lie above 0 and up to 1e6")
        self._replay.speed = speed
        self._playing = asyncio.create_task(self._replay.run())
        while self._replay.playing is None:
            await asyncio.sleep(0)
        return _json(self._replay.playing._asdict())

    async def _command(self, request: web.Request) -> web.Response:
        body, name = await request.read(), request.match_info["command"]
        commands = self._site(msgspec.json.decode(body, type=_Addressed).venue).commands
        if name not in commands:
            raise BadInput(f"command {name!r} is not there; this venue knows {', '.join(commands)}")
        return _json(commands[name](body))


def _json(document: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=status, content_type="application/json")


@web.middleware
async def _plain_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        answer: web.StreamResponse = await handler(request)
    except (KeelError, msgspec.MsgspecError) as error:
        return _json({"error": str(error)}, 400)
    return answer


def amount_of(text: str, field: str) -> int:
    """A decimal in 1e-8, exact. Raises BadInput naming the field."""
    try:
        amount = Decimal(text) * E8
    except ArithmeticError:
        raise BadInput(f"{field} = {text!r} is no decimal number") from None
    if not amount.is_finite() or amount != int(amount):
        raise BadInput(f"{field} = {text!r} has more than eight decimals")
    return int(amount)
