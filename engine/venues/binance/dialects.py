"""What differs between Binance's markets, as one literal table: paths, weights, words.

Weights are those of a request for one symbol. Sources: developers.binance.com, spot REST and WebSocket API, USD-M REST
and WebSocket API, checked against the pinned ccxt.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from engine.contracts.records import LIMIT_ORDER, MARKET, STOP_LIMIT, STOP_MARKET
from engine.venues.binance.endpoints import MarketName


class Call(NamedTuple):
    """One REST call."""

    path: str
    weight: int


class Dialect(NamedTuple):
    """One market. Orders of `algo_types` go through the algo calls (USD-M), whose words differ."""

    name: str  # the venue's name unless the caller gives another
    budget: str  # prefix in venues.budgets
    time: Call
    info: Call
    klines: Call
    depth: Call
    price: Call
    order: Call  # POST place, DELETE cancel, GET ask
    open_orders: Call
    own_trades: Call
    commission: Call
    account: Call
    algo_order: Call | None
    open_algo_orders: Call | None
    brackets: Call | None  # leverage and maintenance margin
    order_types: dict[int, str]  # contracts.records -> Binance
    algo_types: frozenset[int]
    quote_streams: tuple[str, tuple[str, ...], str]  # path, channels, the depth channel on the same path
    other_streams: tuple[str, tuple[str, ...]]  # path and channels of what needs another socket
    replaces: bool  # has order.cancelReplace
    trades_span_ms: int  # longest span of one question about own trades
    signs_subscription: bool  # user stream by signature on the WS API, else by listen key
    candles: tuple[int, ...]  # lengths in s, finest first
    standard_fees: tuple[str, str]  # maker, taker of an account without discounts
    post_only: tuple[str, str]  # type and time in force


DAY_MS: Final = 86_400_000
MINUTES: Final = tuple(60 * n for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 480, 720, 1440))

DIALECTS: Final[dict[MarketName, Dialect]] = {
    "spot": Dialect(
        name="binance_spot",
        budget="binance.spot",
        time=Call("/api/v3/time", 1),
        info=Call("/api/v3/exchangeInfo", 20),
        klines=Call("/api/v3/klines", 2),
        depth=Call("/api/v3/depth", 50),
        price=Call("/api/v3/ticker/price", 2),
        order=Call("/api/v3/order", 4),
        open_orders=Call("/api/v3/openOrders", 80),
        own_trades=Call("/api/v3/myTrades", 20),
        commission=Call("/api/v3/account/commission", 20),
        account=Call("/api/v3/account", 20),
        algo_order=None,
        open_algo_orders=None,
        brackets=None,
        order_types={
            MARKET: "MARKET", LIMIT_ORDER: "LIMIT", STOP_MARKET: "STOP_LOSS", STOP_LIMIT: "STOP_LOSS_LIMIT",
        },
        algo_types=frozenset(),
        quote_streams=("/stream", ("bookTicker", "trade"), "depth@100ms"),
        other_streams=("", ()),
        replaces=True,
        trades_span_ms=DAY_MS,
        signs_subscription=True,
        candles=(1, *MINUTES),
        standard_fees=("0.001", "0.001"),
        post_only=("LIMIT_MAKER", ""),
    ),
    "usdm": Dialect(
        name="binance_usdm",
        budget="binance.usdm",
        time=Call("/fapi/v1/time", 1),
        info=Call("/fapi/v1/exchangeInfo", 1),
        klines=Call("/fapi/v1/klines", 10),
        depth=Call("/fapi/v1/depth", 20),
        price=Call("/fapi/v1/ticker/price", 1),
        order=Call("/fapi/v1/order", 1),
        open_orders=Call("/fapi/v1/openOrders", 40),
        own_trades=Call("/fapi/v1/userTrades", 5),
        commission=Call("/fapi/v1/commissionRate", 20),
        account=Call("/fapi/v3/account", 5),
        algo_order=Call("/fapi/v1/algoOrder", 1),
        open_algo_orders=Call("/fapi/v1/openAlgoOrders", 40),
        brackets=Call("/fapi/v1/leverageBracket", 1),
        order_types={
            MARKET: "MARKET", LIMIT_ORDER: "LIMIT", STOP_MARKET: "STOP_MARKET", STOP_LIMIT: "STOP",
        },
        algo_types=frozenset((STOP_MARKET, STOP_LIMIT)),
        quote_streams=("/public/stream", ("bookTicker",), "depth@100ms"),
        other_streams=("/market/stream", ("aggTrade", "markPrice@1s")),
        replaces=False,
        trades_span_ms=7 * DAY_MS,
        signs_subscription=False,
        candles=MINUTES,
        standard_fees=("0.0002", "0.0005"),
        post_only=("LIMIT", "GTX"),
    ),
}  # fmt: skip
