"""USD-M's countdown: the venue cancels all orders of a symbol by itself unless it is told again in time."""

from __future__ import annotations

from typing import Final

from engine.contracts.errors import Refused, Retryable, Unknown
from engine.venues.binance.dialects import Call
from engine.venues.binance.link import Link
from engine.venues.binance.slate import venue_symbol
from engine.venues.budgets import Urgency
from engine.venues.signing import Value

COUNTDOWN: Final = Call("/fapi/v1/countdownCancelAll", 10)
SHORTEST_MS: Final = 5_000


async def count_down(link: Link, number: int, after_ms: int) -> None:
    """Have all orders of an instrument cancelled `after_ms` from now; 0: never. Conditional orders lie in another book,
    but whether the real venue leaves them alone is not known (X10). Raises Retryable, Refused."""
    if not link.dialect.algo_types:
        raise Refused(f"{link.venue}: there is no countdown here")
    if after_ms and after_ms < SHORTEST_MS:
        raise Refused(f"{link.venue}: a countdown of {after_ms} ms is too short to be renewed in time")
    words: dict[str, Value] = {"symbol": venue_symbol(link.mine[number]), "countdownTime": after_ms}
    try:
        answer = await link.rest.exchange("POST", COUNTDOWN, words, True, Urgency.CANCEL)
    except Unknown as error:
        raise Retryable(str(error)) from None
    link.rest.judged(answer, COUNTDOWN)
