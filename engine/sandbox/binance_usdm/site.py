"""Binance USD-M as one aiohttp application: REST, the split streams and the WS API on one port."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from aiohttp import web

from engine.contracts.instruments import Instrument
from engine.sandbox.binance_spot.actions import change_rights, hand_out_key, revoke_key
from engine.sandbox.binance_spot.rest import SIMULATED
from engine.sandbox.binance_spot.ws_api import WsApi
from engine.sandbox.binance_usdm.actions import ACTIONS, deposit, fund
from engine.sandbox.binance_usdm.catalogue import MINUTE_ORDERS, MINUTE_WEIGHT, TEN_SECOND_ORDERS
from engine.sandbox.binance_usdm.rest import CALLS, UsdmRest
from engine.sandbox.binance_usdm.streams import MarketStreams, market_streams, public_streams
from engine.sandbox.binance_usdm.user_stream import UserStreams
from engine.sandbox.binance_usdm.ws_api import METHODS
from engine.sandbox.clock import Clock
from engine.sandbox.faults import Fault
from engine.sandbox.futures import Futures
from engine.sandbox.site import Opening, Site, account_lines
from engine.sandbox.switchboard import Switchboard
from engine.sandbox.weights import Budget, Window


def open_binance_usdm(instruments: Sequence[Instrument], opening: Opening) -> Site:
    """The venue with its own clock, accounts and budget. Raises BadInput for instruments it cannot list."""
    futures = Futures(instruments, Clock(), opening.accounts, opening.cash, opening.seed)
    public, market, users = public_streams(futures), market_streams(futures), UserStreams(futures)

    def describe(addresses: Mapping[str, str]) -> dict[str, Any]:
        at = addresses["all"]
        return {
            "rest": f"http://{at}",
            "ws": f"ws://{at}",
            "ws_api": f"ws://{at}/ws-fapi/v1",
            "symbols": list(futures.by_name),
            "accounts": account_lines(futures.accounts.all),
        }

    actions: dict[str, Callable[[Fault], None]] = {number: partial(act, futures) for number, act in ACTIONS.items()}
    actions["A9"] = partial(_liquidated_unseen, actions["A9"], futures, users)
    return Site(
        futures, {"all": _app(futures, public, market, users)}, describe, (public.run, market.run, users.run),
        actions,
        {
            "deposit": partial(deposit, futures), "fund": partial(fund, futures),
            "rights": partial(change_rights, futures.accounts),
            "revoke": partial(revoke_key, futures.accounts.revoke),
            "key": partial(hand_out_key, futures.accounts.hand_out),
        },
    )  # fmt: skip


def _liquidated_unseen(act: Callable[[Fault], None], futures: Futures, users: UserStreams, fault: Fault) -> None:
    """A9: the customer's connections are cut first."""
    users.cut(futures.accounts.numbered(fault.account))
    act(fault)


def _app(futures: Futures, public: MarketStreams, market: MarketStreams, users: UserStreams) -> web.Application:
    orders = (("10S", Window(10_000, TEN_SECOND_ORDERS)), ("1M", Window(60_000, MINUTE_ORDERS)))
    budget = Budget(futures.clock, Window(60_000, MINUTE_WEIGHT), orders)
    rest = UsdmRest(futures, budget, CALLS)
    ws_api = WsApi(futures, budget, rest, METHODS)
    silent = Switchboard(futures.faults)  # X5: the paths before the split still connect
    app = web.Application()
    app.on_response_prepare.append(_say_simulated)
    app.router.add_get("/ws-fapi/v1", ws_api.connect)
    for prefix, streams in (("/public", public), ("/market", market), ("", silent)):
        for path in ("/ws", "/ws/", "/ws/{names:.+}", "/stream"):
            app.router.add_get(prefix + path, streams.connect)
    for path in ("/private/ws", "/private/ws/", "/private/ws/{key}", "/private/stream"):
        app.router.add_get(path, users.connect)
    app.router.add_route("*", "/{path:.*}", rest.answer)
    return app


async def _say_simulated(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SIMULATED)
