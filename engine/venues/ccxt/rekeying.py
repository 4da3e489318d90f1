"""Another key of the same account at an exchange through ccxt, taken up while everything runs.

The new key is tried in a client of its own, as at the start: it may trade, it may not withdraw, and it opens the same
account where the exchange tells whose it is. What fails leaves the old one alone. Then our client signs with it, and
the sockets that were logged in with the old one are opened anew: what was missed meanwhile is asked for.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.contracts.errors import Refused
from engine.venues.ccxt.account import CcxtAccount
from engine.venues.ccxt.execution import CcxtExecution
from engine.venues.ccxt.facts import Facts
from engine.venues.port import Venue
from engine.venues.signing import Secret


async def rekey(
    facts: Facts, execution: CcxtExecution, account: CcxtAccount, other: Callable[[str, Secret], Venue], key: str,
    secret: Secret,
) -> None:  # fmt: skip
    """See `port.Venue`. `other` opens the same venue with another key."""
    trial = other(key, secret)
    if facts.needs_pem and "-----BEGIN" not in secret.reveal():
        raise Refused(f"{trial.name}: orders and fills are heard with an ECDSA key (PEM) only; make one of that kind")
    judge = trial.account
    assert isinstance(judge, CcxtAccount)
    try:
        await judge.check()
    finally:
        await trial.close()
    if judge.owner != account.owner:
        raise Refused(f"{trial.name}: the new key belongs to another account; make one where the orders lie")
    execution.rekey(key, secret)
