"""An exchange through ccxt, put together as a venue."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from engine.venues.binance.client_ids import ClientIds
from engine.venues.ccxt.account import CcxtAccount
from engine.venues.ccxt.board import Board
from engine.venues.ccxt.execution import CcxtExecution
from engine.venues.ccxt.facts import EXCHANGES
from engine.venues.ccxt.market import CcxtMarketData
from engine.venues.ccxt.refresh import Refresh
from engine.venues.ccxt.rekeying import rekey
from engine.venues.ccxt.reports import Reports
from engine.venues.ccxt.session import Session, new_client
from engine.venues.emulated_stops import EmulatedStops
from engine.venues.fills import SeenFills
from engine.venues.key_watch import AGAIN_S
from engine.venues.limiter import RateLimiter
from engine.venues.port import Venue
from engine.venues.signing import Secret

MUTE_S: Final = 15.0
REFRESH_S: Final = 900.0


def open_ccxt(
    exchange_id: str,
    name: str,
    client_ids: ClientIds,
    *,
    key: str = "",
    secret: Secret | None = None,
    urls: Mapping[str, str] | None = None,
    testnet: bool = False,
    limiter: RateLimiter | None = None,
    mute_s: float = MUTE_S,
    refresh_s: float = REFRESH_S,
    with_depth: bool = True,
    key_again_s: float = AGAIN_S,
) -> Venue:
    """A venue of one of `facts.EXCHANGES`; nothing connects yet. Without a key only its market data work.

    `name` is the venue's name in instruments. `urls` are other addresses speaking the same protocol (`rest`, `ws`,
    `ws_api`, as the sandbox prints them). A feed without data for `mute_s` is taken for dead; rules and fees are read
    again every `refresh_s`; a refused key is tried again every `key_again_s`. Raises BadInput for an exchange, address
    or testnet that is not there.
    """
    client = new_client(exchange_id, key, secret or Secret(""), urls, testnet)
    facts = EXCHANGES[exchange_id]
    session = Session(name, facts, client, limiter)
    board, stops = Board(name), EmulatedStops()
    market = CcxtMarketData(session, board, stops, mute_s, with_depth)
    reports = Reports(board, facts, client_ids, SeenFills())
    refresh = Refresh(session, board, market, refresh_s)
    execution = CcxtExecution(session, board, reports, stops, refresh, key_again_s)
    account = CcxtAccount(session, board, reports, stops, refresh, testnet)

    def other(new_key: str, new_secret: Secret) -> Venue:
        return open_ccxt(
            exchange_id, name, client_ids, key=new_key, secret=new_secret, urls=urls, testnet=testnet, limiter=limiter
        )

    return Venue(name, market, execution, account, market.close, partial(rekey, facts, execution, account, other))
