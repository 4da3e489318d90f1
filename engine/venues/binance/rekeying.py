"""Another key of the same account, taken up while everything runs.

Rules
-----
* The new key is checked as one is at the start: it may trade, it may not withdraw. What fails leaves the old one alone.
* It must open the same account: on another one our orders would be unknown and their stops forgotten. Spot tells whose
  account it is; USD-M does not, so there the new key must find a stop we placed, if we placed any.
* Requests on their way were signed already; their answers count. The order socket stays, every request on it names its
  key; the user stream belongs to a key and is opened anew, and what was missed meanwhile is asked for.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from engine.contracts.errors import Refused
from engine.venues.binance.account import BinanceAccount
from engine.venues.binance.execution import BinanceExecution
from engine.venues.binance.link import Link
from engine.venues.binance.rest import Rest
from engine.venues.budgets import Urgency
from engine.venues.signing import Secret, binance_signer

_ASKED: Final = 5  # stops of ours, the newest first


async def rekey(link: Link, execution: BinanceExecution, account: BinanceAccount, key: str, secret: Secret) -> None:
    """See `port.Venue`."""
    rest = link.rest
    signer = binance_signer(secret, f"{link.venue}.secret")
    trial = Link(
        link.venue, link.dialect, Rest(link.venue, link.dialect, rest.endpoints, key, signer, rest.limiter),
        link.client_ids,
    )  # fmt: skip
    judge = BinanceAccount(trial, execution)
    try:
        facts = await judge.check()
        if not facts.can_trade:
            raise Refused(f"{link.venue}: the new key may not trade; switch trading on for it at the exchange")
        if judge.owner != account.owner or not await _knows_our_stops(link, trial.rest):
            raise Refused(f"{link.venue}: the new key belongs to another account; make one where the orders lie")
    finally:
        await trial.rest.close()
    execution.rekey(key, signer)


async def _knows_our_stops(link: Link, rest: Rest) -> bool:
    """One of the newest stops is found; True too where none were placed."""
    call = link.dialect.algo_order
    stops = list(islice((one for one, is_algo in reversed(link.algo_book.items()) if is_algo), _ASKED))
    if call is None or not stops:
        return True
    for client_id in stops:
        by = {"clientAlgoId": link.client_ids.encode(client_id)}
        if (await rest.exchange("GET", call, by, True, Urgency.EXIT)).is_good:
            return True
    return False
