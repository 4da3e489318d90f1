"""exchangeInfo, leverage brackets and commission: the rules in force."""

from __future__ import annotations

from typing import Any, Final

from engine.sandbox.binance_spot.catalogue import chosen
from engine.sandbox.binance_spot.parameters import Parameters
from engine.sandbox.futures import Futures
from engine.sandbox.perp_tape import PerpTape, places
from engine.sandbox.self_trade import EXPIRE_BOTH, EXPIRE_MAKER, EXPIRE_TAKER, NONE
from engine.sandbox.tape import text_e8
from engine.sandbox.traders import Trader
from engine.simulation.filters import MAX_OPEN, MAX_STOPS_PERP

MINUTE_WEIGHT: Final = 2400
TEN_SECOND_ORDERS: Final = 300
MINUTE_ORDERS: Final = 1200
ORDER_TYPES: Final = (
    "LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"
)  # fmt: skip
STP_MODES: Final = (EXPIRE_TAKER, EXPIRE_BOTH, EXPIRE_MAKER, NONE)
STP_DEFAULT: Final = EXPIRE_MAKER
ONBOARD_MS: Final = 1_569_398_400_000
DELIVERY_MS: Final = 4_133_404_800_000
RATE_LIMITS: Final = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": MINUTE_WEIGHT},
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": MINUTE_ORDERS},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": TEN_SECOND_ORDERS},
]
NO_CAP_E8: Final = 10**17


def exchange_info(futures: Futures, p: Parameters) -> dict[str, Any]:
    """GET exchangeInfo."""
    return {
        "timezone": "UTC",
        "serverTime": futures.clock.now_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": RATE_LIMITS,
        "exchangeFilters": [],
        "assets": [{"asset": futures.cash_asset, "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_symbol(futures, tape) for tape in futures.tapes],
    }


def _symbol(futures: Futures, tape: PerpTape) -> dict[str, Any]:
    one = tape.instrument
    row = futures.filters(tape)
    return {
        "symbol": tape.name,
        "pair": tape.name,
        "contractType": "PERPETUAL",
        "deliveryDate": DELIVERY_MS,
        "onboardDate": ONBOARD_MS,
        "status": "TRADING",
        "maintMarginPercent": text_e8(int(row.maintenance_e8) * 100)[:-4],
        "requiredMarginPercent": text_e8(10**10 // one.max_leverage)[:-4],
        "baseAsset": one.base,
        "quoteAsset": one.quote,
        "marginAsset": one.quote,
        "pricePrecision": tape.price_places,
        "quantityPrecision": tape.quantity_places,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.005000",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": _filters(futures, tape),
        "orderTypes": list(ORDER_TYPES),
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        "permissionSets": ["GRID", "COPY"],
    }


def _filters(futures: Futures, tape: PerpTape) -> list[dict[str, Any]]:
    row = futures.filters(tape)
    lots = {
        "maxQty": tape.quantity(int(row.max_lots)),
        "minQty": tape.quantity(max(int(row.min_lots), 1)),
        "stepSize": tape.quantity(1),
    }
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": tape.price(1),
            "maxPrice": tape.price(futures.max_price_ticks(tape)),
            "tickSize": tape.price(1),
        },
        {"filterType": "LOT_SIZE"} | lots,
        {"filterType": "MARKET_LOT_SIZE"} | lots,
        {"filterType": "MAX_NUM_ORDERS", "limit": MAX_OPEN},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": MAX_STOPS_PERP},
        {"filterType": "MIN_NOTIONAL", "notional": _short(int(row.min_notional_e8))},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": text_e8(int(row.band_up_e4) * 10_000)[:-4],
            "multiplierDown": text_e8(int(row.band_down_e4) * 10_000)[:-4],
            "multiplierDecimal": "4",
        },
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE", "notionalCap": "0"},
    ]


def _short(amount_e8: int) -> str:
    """500000000 -> ``5``."""
    return text_e8(amount_e8)[: -(8 - places(amount_e8)) or None].removesuffix(".")


def minimum(futures: Futures, tape: PerpTape) -> str:
    """The least notional of an order, as the refusal says it."""
    return _short(int(futures.filters(tape).min_notional_e8))


def brackets(futures: Futures, trader: Trader, p: Parameters) -> Any:
    """GET leverageBracket: one bracket a symbol."""
    found = [
        {
            "symbol": tape.name,
            "notionalCoef": 1.0,
            "brackets": [
                {
                    "bracket": 1,
                    "initialLeverage": tape.instrument.max_leverage,
                    "notionalCap": NO_CAP_E8 // 10**8,
                    "notionalFloor": 0,
                    "maintMarginRatio": int(futures.filters(futures.tapes[tape.index]).maintenance_e8) / 1e8,
                    "cum": 0.0,
                }
            ],
        }
        for tape in chosen(futures, p) or futures.tapes
    ]
    return found[0] if "symbol" in p else found


def commission(futures: Futures, trader: Trader, p: Parameters) -> Any:
    """GET commissionRate."""
    tape = p.tape(futures.by_name)
    row = futures.filters(futures.tapes[tape.index])
    return {
        "symbol": tape.name,
        "makerCommissionRate": text_e8(int(row.maker_fee_e8))[:-2],
        "takerCommissionRate": text_e8(int(row.taker_fee_e8))[:-2],
        "rpiCommissionRate": "0.000000",
    }
