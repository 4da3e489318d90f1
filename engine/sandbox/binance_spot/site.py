"""Binance spot as one aiohttp application: REST, market streams and the WS API on one port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from aiohttp import web

from engine.contracts.instruments import Instrument
from engine.sandbox.binance_spot.actions import ACTIONS, change_limits, change_rights, deposit, hand_out_key, revoke_key
from engine.sandbox.binance_spot.apart import begin_dislocation, dislocations
from engine.sandbox.binance_spot.rest import SIMULATED, Rest
from engine.sandbox.binance_spot.streams import Streams
from engine.sandbox.binance_spot.ws_api import WsApi
from engine.sandbox.clock import Clock
from engine.sandbox.exchange import Exchange
from engine.sandbox.rate import Rate
from engine.sandbox.site import Opening, Site, account_lines
from engine.sandbox.weights import Budget


def is_listed(one: Instrument, market: Sequence[Instrument]) -> bool:
    """Spot pairs, but not those recorded at Coinbase, nor a synthetic market's in US dollars."""
    is_dollars = one.venue == "synthetic" and one.quote == "USD"
    return one.kind == "spot" and one.venue != "coinbase" and not is_dollars


def open_binance_spot(instruments: Sequence[Instrument], opening: Opening) -> Site:
    """The venue with its own clock, accounts and budget. Raises BadInput for instruments it cannot list."""
    exchange = Exchange(instruments, Clock(), opening.accounts, opening.cash, dislocations=opening.dislocations)
    streams = Streams(exchange)
    budget = Budget(exchange.clock)
    rest = Rest(exchange, budget)
    ws_api = WsApi(exchange, budget, rest)
    rate = Rate(exchange, streams.flush, ws_api.arrivals)

    def describe(addresses: Mapping[str, str]) -> dict[str, Any]:
        at = addresses["all"]
        return {
            "rest": f"http://{at}",
            "ws": f"ws://{at}",
            "ws_api": f"ws://{at}/ws-api/v3",
            "symbols": list(exchange.by_name),
            "accounts": account_lines(exchange.accounts.all),
        }

    return Site(
        exchange, {"all": binance_spot_app(streams, rest, ws_api)}, describe, (streams.run,),
        {number: partial(act, exchange) for number, act in ACTIONS.items()},
        {
            "deposit": partial(deposit, exchange), "rights": partial(change_rights, exchange.accounts),
            "revoke": partial(revoke_key, exchange.accounts.revoke),
            "key": partial(hand_out_key, exchange.accounts.hand_out),
            "limits": partial(change_limits, budget), "rate": rate.start, "sent": rate.sent, "arrivals": rate.arrivals,
            "dislocate": partial(begin_dislocation, exchange), "dislocations": partial(dislocations, exchange),
        },
    )  # fmt: skip


def binance_spot_app(streams: Streams, rest: Rest, ws_api: WsApi) -> web.Application:
    """Everything under one roof."""
    app = web.Application()
    app.on_response_prepare.append(_say_simulated)
    app.router.add_get("/ws-api/v3", ws_api.connect)
    for path in ("/ws", "/ws/", "/ws/{names:.+}", "/stream"):
        app.router.add_get(path, streams.connect)
    app.router.add_route("*", "/{path:.*}", rest.answer)
    return app


async def _say_simulated(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SIMULATED)
