"""One Binance market put together."""

from __future__ import annotations

from functools import partial

from engine.contracts.errors import BadInput
from engine.venues.binance.account import BinanceAccount
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.dialects import DIALECTS
from engine.venues.binance.endpoints import Endpoints, MarketName
from engine.venues.binance.execution import ANSWER_S, BinanceExecution
from engine.venues.binance.execution import MUTE_S as ORDERS_MUTE_S
from engine.venues.binance.link import Link
from engine.venues.binance.market import MUTE_S, BinanceMarket
from engine.venues.binance.rekeying import rekey
from engine.venues.binance.rest import Rest
from engine.venues.key_watch import AGAIN_S
from engine.venues.limiter import RateLimiter
from engine.venues.port import Venue
from engine.venues.signing import Secret, binance_signer


def open_binance(
    market: MarketName,
    endpoints: Endpoints,
    key: str,
    secret: Secret | None,
    limiter: RateLimiter,
    client_ids: ClientIds,
    *,
    name: str = "",
    depth: bool = False,
    mute_s: float = MUTE_S,
    orders_mute_s: float = ORDERS_MUTE_S,
    answer_s: float = ANSWER_S,
    key_again_s: float = AGAIN_S,
) -> Venue:
    """The venue `name` (`binance_spot` or `binance_usdm` unless given). Connects to nothing yet.

    Without `secret` only market data works. `depth`: whole books, sequence-checked, as well as best quotes. `mute_s`,
    `orders_mute_s`: a market or order socket without data for that long is dead. `answer_s`: an order request without
    an answer for that long is unknown. `key_again_s`: how often a refused key is tried again. Raises BadInput
    naming a damaged key.
    """
    if market not in DIALECTS:
        raise BadInput(f"market {market!r}: Binance has {' and '.join(DIALECTS)} here")
    if secret is not None and not key:
        raise BadInput(f"{name or market}: a secret without its key; give both")
    dialect = DIALECTS[market]
    venue = name or dialect.name
    signer = None if secret is None else binance_signer(secret, f"{venue}.secret")
    link = Link(venue, dialect, Rest(venue, dialect, endpoints, key, signer, limiter), client_ids, key_again_s)
    execution = BinanceExecution(link, answer_s, orders_mute_s)
    account = BinanceAccount(link, execution)
    return Venue(
        venue, BinanceMarket(link, depth, mute_s), execution, account, link.rest.close,
        partial(rekey, link, execution, account),
    )  # fmt: skip
