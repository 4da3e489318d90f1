"""exchangeInfo: symbols, filters and limits, as they are in force."""

from __future__ import annotations

from typing import Any, Final

from engine.core.orders import POOL
from engine.sandbox.binance_spot.errors import BinanceError
from engine.sandbox.binance_spot.parameters import Parameters
from engine.sandbox.exchange import MAX_STOPS, Exchange
from engine.sandbox.self_trade import DECREMENT, EXPIRE_BOTH, EXPIRE_MAKER, EXPIRE_TAKER, NONE
from engine.sandbox.show import Show
from engine.sandbox.tape import Tape, text_e8
from engine.sandbox.weights import DAY_ORDERS, MINUTE_WEIGHT, RAW_REQUESTS, TEN_SECOND_ORDERS
from engine.simulation.filters import MAX_OPEN

ORDER_TYPES: Final = (
    "LIMIT",
    "LIMIT_MAKER",
    "MARKET",
    "STOP_LOSS",
    "STOP_LOSS_LIMIT",
    "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT",
)
STP_MODES: Final = (NONE, EXPIRE_TAKER, EXPIRE_MAKER, EXPIRE_BOTH, DECREMENT)
STP_DEFAULT: Final = EXPIRE_MAKER
MOST_NOTIONAL_E8: Final = 9_000_000 * 10**8
RATE_LIMITS: Final = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": MINUTE_WEIGHT},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": TEN_SECOND_ORDERS},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": DAY_ORDERS},
    {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": RAW_REQUESTS},
]


def exchange_info(exchange: Exchange, p: Parameters) -> dict[str, Any]:
    """GET exchangeInfo, all symbols or those of `symbol` / `symbols`."""
    return {
        "timezone": "UTC",
        "serverTime": exchange.clock.now_ms(),
        "rateLimits": RATE_LIMITS,
        "exchangeFilters": [{"filterType": "EXCHANGE_MAX_NUM_ORDERS", "maxNumOrders": POOL}],
        "symbols": [_symbol(exchange, tape) for tape in chosen(exchange, p) or exchange.tapes],
    }


def chosen(exchange: Show, p: Parameters) -> list[Tape]:
    """The symbols a request names by `symbol` or by `symbols=["A","B"]`; empty where it names none."""
    if "symbol" in p and "symbols" in p:
        raise BinanceError(-1128)
    if "symbol" in p:
        return [p.tape(exchange.by_name)]
    text = p.text("symbols")
    if text is None:
        return []
    if not (text.startswith("[") and text.endswith("]")):
        raise BinanceError(-1100, "symbols", r'^\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\]$')
    names = [name.strip().strip('"') for name in text[1:-1].split(",")]
    return [Parameters({"symbol": name}).tape(exchange.by_name) for name in names]


def _symbol(exchange: Exchange, tape: Tape) -> dict[str, Any]:
    one = tape.instrument
    return {
        "symbol": tape.name,
        "status": "TRADING",
        "baseAsset": one.base,
        "baseAssetPrecision": 8,
        "quoteAsset": one.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": False,
        "ocoAllowed": True,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(exchange, tape),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": STP_DEFAULT,
        "allowedSelfTradePreventionModes": list(STP_MODES),
    }


def _filters(exchange: Exchange, tape: Tape) -> list[dict[str, Any]]:
    row = exchange.filters(tape)
    up, down = _multiplier(int(row.band_up_e4)), _multiplier(int(row.band_down_e4))
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": tape.price(tape.tick_step),
            "maxPrice": tape.price(exchange.max_price_ticks(tape)),
            "tickSize": tape.price(tape.tick_step),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": tape.quantity(max(int(row.min_lots), tape.lot_step)),
            "maxQty": tape.quantity(int(row.max_lots)),
            "stepSize": tape.quantity(tape.lot_step),
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": up,
            "bidMultiplierDown": down,
            "askMultiplierUp": up,
            "askMultiplierDown": down,
            "avgPriceMins": 0,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": text_e8(int(row.min_notional_e8)),
            "applyMinToMarket": True,
            "maxNotional": text_e8(MOST_NOTIONAL_E8),
            "applyMaxToMarket": False,
            "avgPriceMins": 0,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": MAX_OPEN},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": MAX_STOPS},
    ]


def _multiplier(e4: int) -> str:
    """12000 -> ``1.2``."""
    return text_e8(e4 * 10_000).rstrip("0").removesuffix(".")
