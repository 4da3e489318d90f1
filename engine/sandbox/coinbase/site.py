"""Coinbase Advanced Trade as one aiohttp application: REST and both websockets on one port."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from engine.contracts.errors import BadInput
from engine.contracts.instruments import Instrument
from engine.sandbox.binance_spot.actions import ACTIONS, change_rights, deposit, hand_out_key, revoke_key
from engine.sandbox.clock import Clock
from engine.sandbox.coinbase.feed import Feed
from engine.sandbox.coinbase.floor import Floor
from engine.sandbox.coinbase.rest import SIMULATED, Rest
from engine.sandbox.coinbase.tokens import Tokens
from engine.sandbox.faults import Fault
from engine.sandbox.site import Opening, Site


def is_listed(one: Instrument, market: Sequence[Instrument]) -> bool:
    """Spot pairs recorded at Coinbase; of a synthetic market those in US dollars, and those between two assets that
    are both traded against dollars there."""
    if one.kind != "spot" or one.venue != "synthetic":
        return one.kind == "spot" and one.venue == "coinbase"
    in_dollars = {other.base for other in market if other.kind == "spot" and other.quote == "USD"}
    return one.quote == "USD" or {one.base, one.quote} <= in_dollars


def open_coinbase(instruments: Sequence[Instrument], opening: Opening) -> Site:
    """The venue with its own clock, customers and keys. Raises BadInput for instruments it cannot list."""
    floor = Floor(instruments, Clock(), opening.accounts, opening.cash)
    tokens = Tokens(floor.ring, floor.is_revoked, floor.clock.now_ms)
    feed = Feed(floor, tokens)

    def describe(addresses: Mapping[str, str]) -> dict[str, Any]:
        at = addresses["all"]
        return {
            "rest": f"http://{at}",
            "ws": f"ws://{at}/ws",
            "ws_user": f"ws://{at}/ws-user",
            "symbols": list(floor.products),
            "accounts": _account_lines(floor),
        }

    return Site(
        floor, {"all": coinbase_app(floor, tokens, feed)}, describe, (feed.run,),
        {number: _action(floor, act) for number, act in ACTIONS.items()},
        {
            "deposit": partial(deposit, floor.exchange), "rights": partial(change_rights, floor.exchange.accounts),
            "revoke": partial(revoke_key, floor.ring.revoke),
            "key": partial(hand_out_key, floor.ring.hand_out),
        },
    )  # fmt: skip


def coinbase_app(floor: Floor, tokens: Tokens, feed: Feed) -> web.Application:
    """Everything under one roof."""
    app = web.Application()
    app.on_response_prepare.append(_say_simulated)
    for path in ("/ws", "/ws-user"):
        app.router.add_get(path, feed.connect)
    Rest(floor, tokens).add_routes(app)
    return app


def _account_lines(floor: Floor) -> list[dict[str, Any]]:
    """The customers with their keys and portfolios, as the start line shows them."""
    lines = []
    for customer, keys in zip(floor.customers, floor.ring.of, strict=True):
        shown = [{"type": key.algorithm, "key": key.name, "secret": key.secret} for key in keys]
        lines.append(
            {
                "account": customer.account.number,
                "portfolio": customer.portfolio_id,
                "key": keys[0].name,
                "secret": keys[0].secret,
                "keys": shown,
            }
        )
    return lines


def _action(floor: Floor, act: Callable[..., None]) -> Callable[[Fault], None]:
    """A fault that happens at once; its symbol is a product id."""

    def happen(fault: Fault) -> None:
        if fault.symbol and fault.symbol not in floor.products:
            raise BadInput(f"symbol = {fault.symbol!r}: known are {', '.join(floor.products)}")
        name = floor.products[fault.symbol].tape.name if fault.symbol else ""
        act(floor.exchange, msgspec.structs.replace(fault, symbol=name))

    return happen


async def _say_simulated(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SIMULATED)
