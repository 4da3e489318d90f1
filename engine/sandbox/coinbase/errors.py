"""Coinbase's errors: HTTP ones with their bodies, and the reasons an order fails for in an answer that is HTTP 200."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from engine.contracts import reasons
from engine.contracts.errors import Refused


class HttpError(Refused):
    """An answer with an HTTP status and Coinbase's JSON body, or with `page` as plain text.

    `why` says to people what exactly is wrong; the exchange's own clients never see it in the body.
    """

    def __init__(self, status: int, body: Any, why: str = "") -> None:
        super().__init__(why or str(body))
        self.status = status
        self.body = body
        self.why = why


def unauthorized(why: str) -> HttpError:
    """401: the body is the bare word, whatever the fault."""
    return HttpError(401, "Unauthorized\n", why)


def invalid_argument(details: str) -> HttpError:
    """400: a parameter that cannot be."""
    return HttpError(400, _body("INVALID_ARGUMENT", details))


def not_found(details: str, error: str = "NOT_FOUND") -> HttpError:
    """404: nothing has that id."""
    return HttpError(404, _body(error, details))


def too_many() -> HttpError:
    """429."""
    return HttpError(429, {"errors": [{"id": "rate_limit_exceeded", "message": "Too many requests"}]})


def _body(error: str, details: str) -> dict[str, str]:
    return {"error": error, "error_details": details, "message": details}


class Failure(NamedTuple):
    """Why an order fails: the new order's reason, the preview's, and the sentence."""

    error: str
    preview: str
    message: str = ""


class OrderFailed(Refused):
    """An order the exchange answers with ``success: false``."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.preview)
        self.failure = failure


UNSUPPORTED: Final = Failure(
    "UNSUPPORTED_ORDER_CONFIGURATION", "PREVIEW_INVALID_ORDER_CONFIG", "order type is not supported"
)
NO_FUNDS: Final = Failure("INSUFFICIENT_FUND", "PREVIEW_INSUFFICIENT_FUND", "Insufficient balance in source account")
POST_ONLY: Final = Failure("INVALID_LIMIT_PRICE_POST_ONLY", "PREVIEW_INVALID_LIMIT_PRICE_POST_ONLY")
BAD_SIDE: Final = Failure("INVALID_SIDE", "PREVIEW_INVALID_SIDE")
BAD_CONFIGURATION: Final = Failure("UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_ORDER_CONFIG")
SIZE_PRECISION: Final = Failure("INVALID_SIZE_PRECISION", "PREVIEW_INVALID_SIZE_PRECISION")
QUOTE_PRECISION: Final = Failure("INVALID_SIZE_PRECISION", "PREVIEW_INVALID_QUOTE_SIZE_PRECISION")
PRICE_PRECISION: Final = Failure("INVALID_PRICE_PRECISION", "PREVIEW_INVALID_PRICE_PRECISION")
PRICE_TOO_LARGE: Final = Failure("UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_PRICE_TOO_LARGE")
SIZE_TOO_SMALL: Final = Failure("UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_BASE_SIZE_TOO_SMALL")
SIZE_TOO_LARGE: Final = Failure("UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_BASE_SIZE_TOO_LARGE")
QUOTE_TOO_SMALL: Final = Failure("UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL")
STOP_ABOVE_LAST: Final = Failure("UNKNOWN_FAILURE_REASON", "PREVIEW_STOP_PRICE_ABOVE_LAST_TRADE_PRICE")
STOP_BELOW_LAST: Final = Failure("UNKNOWN_FAILURE_REASON", "PREVIEW_STOP_PRICE_BELOW_LAST_TRADE_PRICE")
STOP_ABOVE_LIMIT: Final = Failure("UNKNOWN_FAILURE_REASON", "PREVIEW_STOP_PRICE_ABOVE_LIMIT_PRICE")
STOP_BELOW_LIMIT: Final = Failure("UNKNOWN_FAILURE_REASON", "PREVIEW_STOP_PRICE_BELOW_LIMIT_PRICE")
NO_END_TIME: Final = Failure("GTD_ORDERS_MUST_HAVE_END_TIME", "PREVIEW_GTD_ORDERS_MUST_HAVE_END_TIME")
END_TIME_PAST: Final = Failure("END_TIME_IS_IN_THE_PAST", "PREVIEW_END_TIME_IS_IN_THE_PAST")

# the simulated venue's reason: why Coinbase says it is
FAILURES: Final[dict[int, Failure]] = {
    reasons.PRICE_FILTER: PRICE_PRECISION,
    reasons.LOT_SIZE: SIZE_TOO_SMALL,
    reasons.MIN_NOTIONAL: QUOTE_TOO_SMALL,
    reasons.PERCENT_PRICE: Failure("LIMIT_PRICE_TOO_FAR_FROM_MARKET", "PREVIEW_LIMIT_PRICE_TOO_FAR_FROM_MARKET"),
    reasons.MAX_ORDERS: Failure(
        "COMMANDER_REJECTED_NEW_ORDER", "UNKNOWN_PREVIEW_FAILURE_REASON", "too many open orders"
    ),
    reasons.ORDER_POOL_FULL: Failure(
        "COMMANDER_REJECTED_NEW_ORDER", "UNKNOWN_PREVIEW_FAILURE_REASON", "too many open orders"
    ),
    reasons.INSUFFICIENT_BALANCE: NO_FUNDS,
    reasons.WOULD_TAKE: POST_ONLY,
    reasons.NO_LIQUIDITY: Failure("INVALID_NO_LIQUIDITY", "PREVIEW_INVALID_NO_LIQUIDITY"),
}
