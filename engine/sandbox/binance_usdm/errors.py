"""The futures venue's error codes and sentences, and the HTTP status each travels with."""

from __future__ import annotations

from typing import ClassVar, Final

from engine.contracts import reasons
from engine.sandbox.binance_spot.errors import MESSAGES as SPOT_MESSAGES
from engine.sandbox.binance_spot.errors import BinanceError

MESSAGES: Final[dict[int, tuple[int, str]]] = SPOT_MESSAGES | {
    -1111: (400, "Precision is over the maximum defined for this asset."),
    -1125: (400, "This listenKey does not exist."),
    -2018: (400, "Balance is insufficient."),
    -2019: (400, "Margin is insufficient."),
    -2020: (400, "Unable to fill."),
    -2021: (400, "Order would immediately trigger."),
    -2022: (400, "ReduceOnly Order is rejected."),
    -2025: (400, "Reach max open order limit."),
    -2027: (400, "Exceeded the maximum allowable position at current leverage."),
    -2028: (400, "Leverage is smaller than permitted: insufficient margin balance."),
    -4002: (400, "Price greater than max price."),
    -4003: (400, "Quantity less than or equal to zero."),
    -4004: (400, "Quantity less than minimum quantity."),
    -4005: (400, "Quantity greater than max quantity."),
    -4013: (400, "Price less than min price."),
    -4014: (400, "Price not increased by tick size."),
    -4015: (400, "Client order id is not valid."),
    -4016: (400, "Limit price can't be higher than {}."),
    -4023: (400, "Quantity not increased by step size."),
    -4024: (400, "Limit price can't be lower than {}."),
    -4028: (400, "Leverage {} is not valid"),
    -4045: (400, "Reach max stop order limit."),
    -4046: (400, "No need to change margin type."),
    -4047: (400, "Margin type cannot be changed if there exists open orders."),
    -4048: (400, "Margin type cannot be changed if there exists position."),
    -4059: (400, "No need to change position side."),
    -4061: (400, "Order's position side does not match user's setting."),
    -4067: (400, "Position side cannot be changed if there exists open orders."),
    -4068: (400, "Position side cannot be changed if there exists position."),
    -4116: (400, "ClientOrderId is duplicated."),
    -4120: (400, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."),
    -4131: (400, "The counterparty's best price does not meet the PERCENT_PRICE filter limit."),
    -4136: (400, "Target strategy invalid for orderType {},closePosition {}"),
    -4161: (400, "Leverage reduction is not supported in Isolated Margin Mode with open positions."),
    -4164: (400, "Order's notional must be no smaller than {} (unless you choose reduce only)."),
    -4171: (400, "No need to change multi assets mode."),
    -4509: (
        400,
        "Time in Force (TIF) GTE can only be used with open positions or open orders. Please ensure that positions or "
        "open orders are available.",
    ),
    -5021: (
        400,
        "Due to the order could not be filled immediately, the FOK order has been rejected. The order will not be "
        "recorded in the order history",
    ),
    -5022: (
        400,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. The order will not be "
        "recorded in the order history",
    ),
    -5027: (400, "No need to modify the order."),
}

# The simulated venue's reason: code; what fills the message is found where it is said
REFUSALS: Final[dict[int, int]] = {
    reasons.PRICE_FILTER: -4014,
    reasons.LOT_SIZE: -4005,
    reasons.MIN_NOTIONAL: -4164,
    reasons.MAX_ORDERS: -2025,
    reasons.ORDER_POOL_FULL: -2025,
    reasons.INSUFFICIENT_MARGIN: -2019,
    reasons.REDUCE_ONLY_REJECTED: -2022,
    reasons.WOULD_TAKE: -5022,
    reasons.WOULD_TRIGGER: -2021,
    reasons.NO_LIQUIDITY: -2020,
    reasons.UNKNOWN_ORDER: -2011,
    reasons.REPLACED_ORDER_GONE: -2013,
    reasons.DUPLICATE_CLIENT_ID: -4116,
}


class UsdmError(BinanceError):
    """An answer that is an error, in the futures venue's words."""

    messages: ClassVar[dict[int, tuple[int, str]]] = MESSAGES
