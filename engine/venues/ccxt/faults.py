"""What ccxt's exceptions mean for our order: accepted, refused or unknown, and what to do about it.

Rules
-----
* The first row whose class fits decides; Binance's own error code, where the message carries one, decides before.
* A failure after the request may have left is Unknown unless the venue certainly did nothing.
* Texts shown to people carry no query string: signatures and keys travel there.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import aiohttp
import ccxt

from engine.contracts import reasons
from engine.contracts.errors import Fatal, KeelError, Refused, Retryable, Unknown
from engine.venues.binance.faults import Verdict, reason_of_text, verdict

_BY_TEXT: Final = 0  # the message says more than the class

CLASSES: Final[tuple[tuple[type[ccxt.BaseError], Verdict], ...]] = (
    # the request
    (ccxt.InsufficientFunds, Verdict(reasons.INSUFFICIENT_BALANCE, Refused)),
    (ccxt.OrderImmediatelyFillable, Verdict(reasons.WOULD_TAKE, Refused)),
    (ccxt.OrderNotFillable, Verdict(reasons.NO_LIQUIDITY, Refused)),
    (ccxt.DuplicateOrderId, Verdict(reasons.DUPLICATE_CLIENT_ID, Refused)),
    (ccxt.OrderNotFound, Verdict(reasons.UNKNOWN_ORDER, Refused)),
    (ccxt.OrderNotCached, Verdict(reasons.UNKNOWN_ORDER, Refused)),
    (ccxt.ContractUnavailable, Verdict(reasons.MARKET_CLOSED, Refused)),
    (ccxt.InvalidOrder, Verdict(_BY_TEXT, Refused)),
    (ccxt.MarketClosed, Verdict(reasons.MARKET_CLOSED, Refused)),
    (ccxt.BadSymbol, Verdict(reasons.MARKET_CLOSED, Refused)),
    (ccxt.BadRequest, Verdict(reasons.BAD_REQUEST, Refused)),
    (ccxt.ArgumentsRequired, Verdict(reasons.BAD_REQUEST, Refused)),
    (ccxt.NotSupported, Verdict(reasons.BAD_REQUEST, Refused)),
    # the key
    (ccxt.PermissionDenied, Verdict(reasons.KEY_REFUSED, Fatal)),
    (ccxt.AccountSuspended, Verdict(reasons.KEY_REFUSED, Fatal)),
    (ccxt.AuthenticationError, Verdict(reasons.KEY_REFUSED, Fatal)),
    # certainly not done
    (ccxt.RateLimitExceeded, Verdict(reasons.RATE_LIMITED, Retryable)),
    (ccxt.DDoSProtection, Verdict(reasons.RATE_LIMITED, Retryable)),
    (ccxt.OnMaintenance, Verdict(reasons.MARKET_CLOSED, Retryable)),
    (ccxt.ChecksumError, Verdict(reasons.VENUE_REFUSED, Retryable)),
    (ccxt.InvalidNonce, Verdict(reasons.CLOCK_SKEW, Retryable)),
    # may have been done
    (ccxt.RequestTimeout, Verdict(reasons.VENUE_REFUSED, Unknown)),
    (ccxt.ExchangeNotAvailable, Verdict(reasons.VENUE_REFUSED, Unknown)),
    (ccxt.NetworkError, Verdict(reasons.VENUE_REFUSED, Unknown)),
    (ccxt.BadResponse, Verdict(reasons.VENUE_REFUSED, Unknown)),
    (ccxt.CancelPending, Verdict(reasons.VENUE_REFUSED, Unknown)),
    (ccxt.OperationFailed, Verdict(reasons.VENUE_REFUSED, Unknown)),
    # a no that ccxt knows no class for
    (ccxt.ExchangeError, Verdict(_BY_TEXT, Refused)),
    (ccxt.BaseError, Verdict(reasons.VENUE_REFUSED, Unknown)),
)

TEXTS: Final[tuple[tuple[str, int], ...]] = (
    ("POST_ONLY", reasons.WOULD_TAKE),
    ("QUOTE_SIZE_TOO_SMALL", reasons.MIN_NOTIONAL),
    ("SIZE_TOO_SMALL", reasons.LOT_SIZE),
    ("SIZE_TOO_LARGE", reasons.LOT_SIZE),
    ("SIZE_PRECISION", reasons.LOT_SIZE),
    ("PRICE_PRECISION", reasons.PRICE_FILTER),
    ("TOO_FAR_FROM_MARKET", reasons.PERCENT_PRICE),
    ("PRICE_TOO_LARGE", reasons.PERCENT_PRICE),
    ("INSUFFICIENT_FUND", reasons.INSUFFICIENT_BALANCE),
    ("NO_LIQUIDITY", reasons.NO_LIQUIDITY),
    ("LAST_TRADE_PRICE", reasons.WOULD_TRIGGER),
)
"""Words of Coinbase, where the class says too little, capitals as written; first wins. Binance's follow after."""

_CODE: Final = re.compile(r'"code"\s*:\s*(-[0-9]{4,5})')
_QUERY: Final = re.compile(r"(https?|wss?)://([^\s?]*)\S*")
_SECRETS: Final = re.compile(r"(?i)(signature|apikey|listenkey|authorization|secret)\W{1,4}\S+")
_LONGEST: Final = 240


class Failure(NamedTuple):
    """A call that did not work. `text` may be shown; `reaction` is one of Retryable, Refused, Unknown, Fatal."""

    reason: int
    reaction: type[KeelError]
    text: str

    def error(self) -> KeelError:
        """As the error a question raises: what is unknown can be asked again."""
        if self.reaction is Unknown or self.reaction is Retryable:
            return Retryable(self.text)
        return Refused(self.text)


def failure_of(error: ccxt.BaseError, codes: str, body: str = "") -> Failure:
    """What an error of ccxt means. `codes` is "binance" where Binance's error codes decide; `body` is the answer it
    was made of, because ccxt does not always keep the reason."""
    text = str(error) or body
    if isinstance(error.__cause__, aiohttp.ClientConnectorError):
        return Failure(reasons.VENUE_REFUSED, Retryable, spoken(text) + ": it cannot be reached; check the network")
    found = _CODE.search(text) if codes == "binance" else None
    if found is not None:
        reason, reaction = verdict(0, int(found[1]), text)
        return Failure(reason, reaction, spoken(text))
    reason, reaction = next(row for kind, row in CLASSES if isinstance(error, kind))
    told = next((why for part, why in TEXTS if part in text or part in body), 0)
    return Failure(reason or told or reason_of_text(text), reaction, spoken(text))


def spoken(text: str) -> str:
    """An exchange's words for people: printable, short, and without anything secret."""
    text = _QUERY.sub(r"\1://\2", text)
    text = _SECRETS.sub(r"\1 hidden", text)
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST]) or "no words"
