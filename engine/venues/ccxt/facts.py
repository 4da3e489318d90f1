"""What differs from exchange to exchange behind ccxt: one literal row each, and no other place knows.

`is_tested` rows are first-class: checked against the sandbox. The others follow ccxt's documentation and are
experimental: they say so when opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from engine.contracts.reasons import BAD_REQUEST, UNKNOWN_ORDER


class Facts(NamedTuple):
    """One exchange. Addresses are patterns over the `urls` of `open_ccxt`; their keys are paths into ccxt's urls."""

    is_tested: bool
    options: Mapping[str, object]  # of the ccxt client
    addresses: Mapping[str, str]
    testnet: Literal["", "sandbox", "demo"]
    # ids
    id_param: str  # what create_order calls our id
    ids: Literal["client", "venue"]  # by which id an order is asked for and cancelled
    longest_id: int
    dash: str = "-"  # what stands for the dash of our ids, where it is not allowed
    # orders
    has_stops: bool = True
    has_algo_book: bool = False  # X2, X3: stops of perpetuals lie in a book of their own
    is_priced_market: bool = False  # a market order is sent as limit IOC at its worst price
    trades_of_order: str = ""  # parameter of fetch_my_trades that narrows it to one order
    has_trade_stream: bool = True
    gone: int = UNKNOWN_ORDER  # the reason a cancel of an order that is over comes back with
    ready: Literal["authenticate", "snapshot"] = "authenticate"  # how the user stream shows that it stands
    forced: tuple[str, ...] = ()  # client ids of orders by which the venue closes positions
    # market
    quotes: Literal["touch", "book"] = "touch"
    fee_in_base: bool = False
    fee_asset: str = ""  # a third asset that fees may be taken in
    # account
    fees: Literal["each", "all"] = "each"
    rights: Literal["", "binance", "coinbase"] = ""
    has_clock: bool = True
    needs_pem: bool = False  # orders and fills are heard with a PEM key only
    codes: Literal["", "binance"] = ""
    # rate: ccxt's cost of a call times `weight` is charged to `budget`, each order to `order_budget`
    limiter_venue: str = ""
    budget: str = ""
    order_budget: str = ""
    public_budget: str = ""  # where calls without a key are counted apart
    weight: float = 1.0


_BINANCE_FORCED: Final = ("autoclose-", "adl_autoclose", "settlement_autoclose-", "delivery_autoclose-")
_QUIET: Final = {"warnOnFetchOpenOrdersWithoutSymbol": False, "fetchOpenOrders": {"warnWithoutSymbol": False}}

EXCHANGES: Final[dict[str, Facts]] = {
    "binance": Facts(
        is_tested=True,
        options=_QUIET | {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "defaultType": "spot"},
        addresses={
            "public": "{rest}/api/v3", "private": "{rest}/api/v3", "sapi": "{rest}/sapi/v1",
            "ws.spot": "{ws}/ws", "ws.ws-api.spot": "{ws_api}",
        },
        testnet="sandbox", id_param="clientOrderId", ids="client", longest_id=36, trades_of_order="orderId",
        fee_in_base=True, fee_asset="BNB", rights="binance", codes="binance",
        limiter_venue="binance.spot", budget="binance.spot.weight", order_budget="binance.spot.orders", weight=5.0,
    ),
    "binanceusdm": Facts(
        is_tested=True,
        options=_QUIET | {"fetchMarkets": {"types": ["linear"]}, "fetchCurrencies": False},
        addresses={
            "fapiPublic": "{rest}/fapi/v1", "fapiPublicV2": "{rest}/fapi/v2", "fapiPublicV3": "{rest}/fapi/v3",
            "fapiPrivate": "{rest}/fapi/v1", "fapiPrivateV2": "{rest}/fapi/v2", "fapiPrivateV3": "{rest}/fapi/v3",
            "fapiData": "{rest}/futures/data", "sapi": "{rest}/sapi/v1", "ws.linear": "{ws}/ws",
        },
        testnet="demo", id_param="clientOrderId", ids="client", longest_id=36, has_algo_book=True,
        trades_of_order="orderId", forced=_BINANCE_FORCED, fee_asset="BNB", codes="binance", rights="binance",
        limiter_venue="binance.usdm", budget="binance.usdm.weight", order_budget="binance.usdm.orders",
    ),
    "coinbase": Facts(
        is_tested=True,
        options={"fetchCurrencies": False, "fetchMarkets": {"types": ["spot"]}},
        addresses={"rest": "{rest}", "ws": "{ws}"},
        testnet="",  # X8: Coinbase's own is a static mock
        id_param="client_order_id", ids="venue", longest_id=128, has_stops=False,  # X9
        is_priced_market=True, trades_of_order="order_id", has_trade_stream=False, ready="snapshot", gone=BAD_REQUEST,
        quotes="book", fees="all", rights="coinbase", needs_pem=True,  # ccxt logs its sockets in with ECDSA keys alone
        limiter_venue="coinbase", budget="coinbase.private", public_budget="coinbase.public",
        weight=0.09,  # v2 calls cost 10.6 there: an hourly limit
    ),
    "kraken": Facts(
        is_tested=False, options={}, addresses={}, testnet="", id_param="clientOrderId", ids="venue", longest_id=18,
        quotes="touch", fees="each",
    ),
    "okx": Facts(
        is_tested=False, options={}, addresses={}, testnet="sandbox", id_param="clientOrderId", ids="client",
        longest_id=32, dash="Z", has_algo_book=True, trades_of_order="ordId", has_trade_stream=False, fee_in_base=True,
    ),
    "bybit": Facts(
        is_tested=False, options={}, addresses={}, testnet="sandbox", id_param="clientOrderId", ids="client",
        longest_id=36, trades_of_order="orderId", fee_in_base=True,
    ),
}  # fmt: skip
