"""Binance's error codes and sentences, word for word, and the HTTP status each travels with."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from engine.contracts import reasons
from engine.contracts.errors import Refused

# code: (HTTP status, message)
MESSAGES: Final[dict[int, tuple[int, str]]] = {
    -1000: (500, "An unknown error occurred while processing the request."),
    -1001: (503, "Internal error; unable to process your request. Please try again."),
    -1003: (
        429,
        "Too much request weight used; current limit is {} request weight per 1 MINUTE. Please use WebSocket Streams "
        "for live updates to avoid polling the API.",
    ),
    -1007: (408, "Timeout waiting for response from backend server. Send status unknown; execution status unknown."),
    -1013: (400, "Filter failure: {}"),
    -1015: (429, "Too many new orders; current limit is {} orders per {}."),
    -1021: (400, "Timestamp for this request is outside of the recvWindow."),
    -1022: (400, "Signature for this request is not valid."),
    -1100: (400, "Illegal characters found in parameter '{}'; legal range is '{}'."),
    -1102: (400, "Mandatory parameter '{}' was not sent, was empty/null, or malformed."),
    -1105: (400, "Parameter '{}' was empty."),
    -1106: (400, "Parameter '{}' sent when not required."),
    -1111: (400, "Parameter '{}' has too much precision."),
    -1115: (400, "Invalid timeInForce."),
    -1116: (400, "Invalid orderType."),
    -1117: (400, "Invalid side."),
    -1120: (400, "Invalid interval."),
    -1121: (400, "Invalid symbol."),
    -1127: (400, "More than {} hours between startTime and endTime."),
    -1128: (400, "Combination of optional parameters invalid."),
    -1130: (400, "Data sent for parameter '{}' is not valid."),
    -1131: (400, "recvWindow must be less than 60000"),
    -1135: (400, "Invalid JSON Request"),
    -1145: (400, "Invalid cancelRestrictions"),
    -1158: (400, "Order type not supported in OCO."),
    -1165: (400, "A limit order in a buy OCO must be below."),
    -1166: (400, "A limit order in a sell OCO must be above."),
    -1168: (400, "At least one OCO order must be contingent."),
    -1196: (400, "A stop loss order in a buy OCO must be above."),
    -1197: (400, "A stop loss order in a sell OCO must be below."),
    -1198: (400, "A take profit order in a buy OCO must be below."),
    -1199: (400, "A take profit order in a sell OCO must be above."),
    -2010: (400, "{}"),
    -2011: (400, "Unknown order sent."),
    -2013: (400, "Order does not exist."),
    -2021: (409, "Order cancel-replace partially failed."),
    -2022: (400, "Order cancel-replace failed."),
    -2014: (401, "API-key format invalid."),
    -2015: (401, "Invalid API-key, IP, or permissions for action."),
}
AHEAD: Final = "Timestamp for this request was 1000ms ahead of the server's time."
BANNED: Final = (
    "Way too much request weight used; IP banned until {}. Please use WebSocket Streams for live updates to avoid bans."
)

# The simulated venue's reason: (code, what fills the message)
REFUSALS: Final[dict[int, tuple[int, str]]] = {
    reasons.PRICE_FILTER: (-1013, "PRICE_FILTER"),
    reasons.LOT_SIZE: (-1013, "LOT_SIZE"),
    reasons.MIN_NOTIONAL: (-1013, "NOTIONAL"),
    reasons.PERCENT_PRICE: (-1013, "PERCENT_PRICE_BY_SIDE"),
    reasons.MAX_ORDERS: (-1013, "MAX_NUM_ORDERS"),
    reasons.ORDER_POOL_FULL: (-1013, "EXCHANGE_MAX_NUM_ORDERS"),
    reasons.INSUFFICIENT_BALANCE: (-2010, "Account has insufficient balance for requested action."),
    reasons.WOULD_TAKE: (-2010, "Order would immediately match and take."),
    reasons.WOULD_TRIGGER: (-2010, "Stop price would trigger immediately."),
    reasons.NO_LIQUIDITY: (-2010, "Market is closed."),
    reasons.UNKNOWN_ORDER: (-2011, ""),
    reasons.DUPLICATE_CLIENT_ID: (-2010, "Duplicate order sent."),
}


class BinanceError(Refused):
    """An answer that is an error: `code`, `message`, HTTP `status`, further `data` of the body, and the
    seconds to wait before the next request."""

    messages: ClassVar[dict[int, tuple[int, str]]] = MESSAGES

    def __init__(
        self, code: int, *words: Any, status: int = 0, message: str = "", data: Any = None, wait_s: int = 0
    ) -> None:
        default, text = self.messages[code]
        self.code = code
        self.message = message or text.format(*words)
        self.status = status or default
        self.data = data
        self.wait_s = wait_s
        super().__init__(f"{code} {self.message}")

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        plain: dict[str, Any] = {"code": self.code, "msg": self.message}
        return plain if self.data is None else plain | {"data": self.data}


def refused(reason: int) -> BinanceError:
    """The exchange's error for a simulated venue's reason. Raises KeyError for one spot orders cannot meet."""
    code, words = REFUSALS[reason]
    return BinanceError(code, words)
