"""Binance's error codes: what each means for our order and what to do about it.

Reactions
---------
* Retryable: nothing was done; wait (rate, clock, overload), then try again.
* Refused: the venue said no; the same request again gets the same answer.
* Unknown: it may or may not have been done; keep the capital reserved and ask by client id.
* Fatal: keys or signature are wrong; every further request fails too.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from engine.contracts import reasons
from engine.contracts.errors import Fatal, KeelError, Refused, Retryable, Unknown


class Verdict(NamedTuple):
    """Reason code and reaction for one error."""

    reason: int
    reaction: type[KeelError]


_TEXT: Final = reasons.VENUE_REFUSED  # the code alone says little: TEXTS decides

ERRORS: Final[dict[int, Verdict]] = {
    # the server and the network
    -1000: Verdict(reasons.VENUE_REFUSED, Unknown),  # "unknown error while processing the request"
    -1001: Verdict(reasons.VENUE_REFUSED, Unknown),  # internal error; unable to process
    -1002: Verdict(reasons.KEY_REFUSED, Fatal),
    -1003: Verdict(reasons.RATE_LIMITED, Retryable),
    -1006: Verdict(reasons.VENUE_REFUSED, Unknown),  # unexpected response from the message bus
    -1007: Verdict(reasons.VENUE_REFUSED, Unknown),  # timeout waiting for the backend: status unknown
    -1008: Verdict(reasons.RATE_LIMITED, Retryable),  # overload protection: certainly not executed
    -1013: Verdict(_TEXT, Refused),  # a filter, named in the text; reload the instruments
    -1015: Verdict(reasons.RATE_LIMITED, Retryable),  # too many orders
    -1016: Verdict(reasons.MARKET_CLOSED, Refused),  # service shutting down
    -1021: Verdict(reasons.CLOCK_SKEW, Retryable),  # measure the clock offset first
    -1022: Verdict(reasons.KEY_REFUSED, Fatal),  # signature
    -1034: Verdict(reasons.RATE_LIMITED, Retryable),  # too many connections
    # the request
    -1100: Verdict(reasons.BAD_REQUEST, Refused),
    -1101: Verdict(reasons.BAD_REQUEST, Refused),
    -1102: Verdict(reasons.BAD_REQUEST, Refused),
    -1103: Verdict(reasons.BAD_REQUEST, Refused),
    -1104: Verdict(reasons.BAD_REQUEST, Refused),
    -1105: Verdict(reasons.BAD_REQUEST, Refused),
    -1106: Verdict(reasons.BAD_REQUEST, Refused),
    -1111: Verdict(reasons.LOT_SIZE, Refused),  # precision over the maximum for this asset
    -1116: Verdict(reasons.BAD_REQUEST, Refused),
    -1117: Verdict(reasons.BAD_REQUEST, Refused),
    -1121: Verdict(reasons.MARKET_CLOSED, Refused),  # invalid symbol
    -1131: Verdict(reasons.CLOCK_SKEW, Refused),  # recvWindow too large
    # orders, spot and USD-M
    -2010: Verdict(_TEXT, Refused),  # new order rejected: balance, post-only, trigger, duplicate: in the text
    -2011: Verdict(reasons.UNKNOWN_ORDER, Refused),  # cancel rejected; the order may be filled, or in the algo book
    -2013: Verdict(reasons.UNKNOWN_ORDER, Refused),  # the same for queries
    -2014: Verdict(reasons.KEY_REFUSED, Fatal),
    -2015: Verdict(reasons.KEY_REFUSED, Fatal),
    -2018: Verdict(reasons.INSUFFICIENT_BALANCE, Refused),
    -2019: Verdict(reasons.INSUFFICIENT_MARGIN, Refused),
    -2020: Verdict(reasons.NO_LIQUIDITY, Refused),  # unable to fill
    -2021: Verdict(reasons.WOULD_TRIGGER, Refused),  # USD-M; on spot only cancelReplace uses it, see `replies`
    -2022: Verdict(reasons.REDUCE_ONLY_REJECTED, Refused),  # USD-M; the same
    -2023: Verdict(reasons.MARKET_CLOSED, Refused),  # the account is being liquidated
    -2024: Verdict(reasons.REDUCE_ONLY_REJECTED, Refused),  # position not sufficient
    -2025: Verdict(reasons.MAX_ORDERS, Refused),
    -2026: Verdict(reasons.REDUCE_ONLY_REJECTED, Refused),  # reduce-only does not support this order type
    -2027: Verdict(reasons.INSUFFICIENT_MARGIN, Refused),  # position too large for the leverage
    -2028: Verdict(reasons.INSUFFICIENT_MARGIN, Refused),
    # USD-M filters
    -4003: Verdict(reasons.LOT_SIZE, Refused),
    -4004: Verdict(reasons.LOT_SIZE, Refused),
    -4005: Verdict(reasons.LOT_SIZE, Refused),
    -4014: Verdict(reasons.PRICE_FILTER, Refused),
    -4015: Verdict(reasons.BAD_REQUEST, Refused),  # client order id
    -4016: Verdict(reasons.PERCENT_PRICE, Refused),
    -4023: Verdict(reasons.LOT_SIZE, Refused),
    -4024: Verdict(reasons.PERCENT_PRICE, Refused),
    -4045: Verdict(reasons.MAX_ORDERS, Refused),  # stop orders
    -4061: Verdict(reasons.BAD_REQUEST, Refused),  # hedge mode is on; Keel needs one-way
    -4116: Verdict(reasons.DUPLICATE_CLIENT_ID, Refused),
    -4118: Verdict(reasons.REDUCE_ONLY_REJECTED, Refused),
    -4120: Verdict(reasons.OTHER_ORDER_BOOK, Refused),  # conditional orders go through the algo API
    -4131: Verdict(reasons.PERCENT_PRICE, Refused),  # counterparty's best price outside the band
    -4140: Verdict(reasons.MARKET_CLOSED, Refused),
    -4164: Verdict(reasons.MIN_NOTIONAL, Refused),
    -4400: Verdict(reasons.REDUCE_ONLY_REJECTED, Refused),  # trading-rules cool-down: reduce only
    -5021: Verdict(reasons.NO_LIQUIDITY, Refused),  # FOK
    -5022: Verdict(reasons.WOULD_TAKE, Refused),  # post-only
}

TEXTS: Final[tuple[tuple[str, int], ...]] = (
    ("PERCENT_PRICE", reasons.PERCENT_PRICE),  # before PRICE_FILTER; also PERCENT_PRICE_BY_SIDE
    ("PRICE_FILTER", reasons.PRICE_FILTER),
    ("LOT_SIZE", reasons.LOT_SIZE),  # also MARKET_LOT_SIZE
    ("NOTIONAL", reasons.MIN_NOTIONAL),  # also MIN_NOTIONAL
    ("MAX_NUM", reasons.MAX_ORDERS),
    ("MAX_POSITION", reasons.MAX_ORDERS),
    ("GTX_ORDER_REJECT", reasons.WOULD_TAKE),
    ("INSUFFICIENT BALANCE", reasons.INSUFFICIENT_BALANCE),
    ("INSUFFICIENT_BALANCE", reasons.INSUFFICIENT_BALANCE),
    ("IMMEDIATELY MATCH", reasons.WOULD_TAKE),
    ("MATCH_IMMEDIATELY", reasons.WOULD_TAKE),
    ("TRIGGER IMMEDIATELY", reasons.WOULD_TRIGGER),
    ("TRIGGER_IMMEDIATELY", reasons.WOULD_TRIGGER),
    ("DUPLICATE ORDER", reasons.DUPLICATE_CLIENT_ID),
    ("MARKET IS CLOSED", reasons.MARKET_CLOSED),
    ("UNKNOWN ORDER", reasons.UNKNOWN_ORDER),
    ("REDUCE ONLY", reasons.REDUCE_ONLY_REJECTED),
    ("REDUCEONLY", reasons.REDUCE_ONLY_REJECTED),
    ("MARGIN IS INSUFFICIENT", reasons.INSUFFICIENT_MARGIN),
)
"""Texts that decide where a code does not, matched in capitals, first wins. Also the `r` of a rejected order."""

STATUSES: Final[dict[int, Verdict]] = {
    403: Verdict(reasons.RATE_LIMITED, Retryable),  # the firewall: too fast for its taste
    408: Verdict(reasons.VENUE_REFUSED, Unknown),
    418: Verdict(reasons.RATE_LIMITED, Retryable),  # banned for a while; going on lengthens it
    429: Verdict(reasons.RATE_LIMITED, Retryable),
}
"""HTTP statuses that decide before the code is looked at (5xx: unknown, unless the code says certainly not)."""


def verdict(status: int, code: int, message: str) -> Verdict:
    """What an error means. `status` 0 where the venue gave none; an unlisted code of ours to blame is Refused."""
    if status in STATUSES:
        return STATUSES[status]
    found = ERRORS.get(code)
    if status >= 500:
        return found if found is not None and found.reaction is Retryable else Verdict(reasons.VENUE_REFUSED, Unknown)
    if found is None:
        return Verdict(reason_of_text(message), Refused)
    return Verdict(reason_of_text(message), found.reaction) if found.reason == _TEXT else found


def reason_of_text(text: str) -> int:
    """Reason code of an error text or of an order's reject reason; VENUE_REFUSED where none is known."""
    capitals = text.upper()
    return next((reason for part, reason in TEXTS if part in capitals), reasons.VENUE_REFUSED)
