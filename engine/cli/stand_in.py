"""Opening the venues of a run in its engine's place: for the watchdog, and for an emergency without an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from engine.contracts.errors import BadInput

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from engine.runtime.ours import Ours
    from engine.settings import Settings
    from engine.store.keys import KeyFile, StoredKey
    from engine.venues.plan import VenuePlan
    from engine.venues.port import Venue


def key_of(settings: Settings, plan: VenuePlan, keys: Mapping[str, StoredKey]) -> StoredKey:
    """The watchdog's own key where one is named and made for this exchange, else the venue's. Raises BadInput."""
    own = settings.watchdog.key
    if own is not None and own not in keys:
        raise BadInput(f"watchdog.key = {own} is not stored; trading-cli keys add {own}")
    if own is not None and keys[own].exchange == plan.exchange:
        return keys[own]
    if plan.key is None or plan.key not in keys:
        raise BadInput(f"venues.{plan.name}.key = {plan.key or 'unset'} is not stored; trading-cli keys add NAME")
    return keys[plan.key]


def whose_keys(settings: Settings, keys: Mapping[str, StoredKey]) -> str:
    """Which key acts where, in words. Raises BadInput where one is missing."""
    said = []
    for plan in settings.venues.values():
        name = key_of(settings, plan, keys).name
        whose = "a key of its own" if name == settings.watchdog.key else "the venue's key"
        said.append(f"{plan.name} with {whose}, {name}")
    return ", ".join(said)


async def open_stand_ins(
    settings: Settings, client: Redis, open_keys: Callable[[], KeyFile], ours: Ours
) -> Sequence[Venue]:
    """The venues of `ours` under stand-in ids, for `runtime.flatten`; nothing connects yet. `client` shares the rate
    limits. The key file is read now: a rotated key counts at once. A venue whose table or key is missing keeps nothing
    from the others: it is one that cannot be asked. Raises BadInput, Refused where the key file cannot be opened."""
    from engine import bootstrap
    from engine.venues.binance.client_ids import ClientIds
    from engine.venues.limiter import RateLimiter
    from engine.venues.unavailable import unavailable

    keys = await asyncio.to_thread(lambda: open_keys().read())
    ids = ClientIds(ours.order_prefix).stand_in()
    venues = []
    for name in dict.fromkeys(one.venue for one in ours.instruments):
        plan = settings.venues.get(name)
        if plan is None:
            why = f"[venues.{name}] is not in keel.toml any more, but {ours.run} traded there: put it back"
            venues.append(unavailable(name, why))
            continue
        limiter = RateLimiter(client, bootstrap.counted_by(plan), plan.key or "")
        try:
            venues.append(bootstrap.open_venue(plan, key_of(settings, plan, keys), limiter, ids))
        except BadInput as error:
            venues.append(unavailable(name, str(error)))
    return venues
