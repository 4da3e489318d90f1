"""Binance spot as one aiohttp application: REST, market streams and the WS API on one port."""

from __future__ import annotations

from aiohttp import web

from engine.sandbox.binance_spot.rest import SIMULATED, Rest
from engine.sandbox.binance_spot.streams import Streams
from engine.sandbox.binance_spot.ws_api import WsApi
from engine.sandbox.exchange import Exchange
from engine.sandbox.weights import Budget


def binance_spot_streams(exchange: Exchange) -> Streams:
    """The market streams; their `run` must be kept running."""
    return Streams(exchange)


def binance_spot_app(exchange: Exchange, streams: Streams) -> web.Application:
    """Everything under one roof."""
    budget = Budget(exchange.clock)
    rest = Rest(exchange, budget)
    ws_api = WsApi(exchange, budget, rest)
    app = web.Application()
    app.on_response_prepare.append(_say_simulated)
    app.router.add_get("/ws-api/v3", ws_api.connect)
    for path in ("/ws", "/ws/", "/ws/{names:.+}", "/stream"):
        app.router.add_get(path, streams.connect)
    app.router.add_route("*", "/{path:.*}", rest.answer)
    return app


async def _say_simulated(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SIMULATED)
