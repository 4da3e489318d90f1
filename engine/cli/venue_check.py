"""Is a venue reachable, is its key accepted, what may that key do, and, where it is refused, where does it work?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from engine.cli.findings import Check
from engine.contracts.errors import BadInput, KeelError, Retryable
from engine.venues.plan import TESTNETS, VenuePlan
from engine.venues.port import AccountFacts, Venue
from engine.venues.server_clock import spoken_offset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from engine.settings import Settings
    from engine.store.keys import StoredKey

ANSWER_S: Final = 30.0
FAR_MS: Final = 1_000.0
# Source: developers.binance.com, spot API docs, "Demo Mode for SPOT Trading".
SPOT_DEMO: Final = {
    "rest": "https://demo-api.binance.com", "ws": "wss://demo-stream.binance.com",
    "ws_api": "wss://demo-ws-api.binance.com/ws-api/v3",
}  # fmt: skip
NO_KEY: Final = "no key: market data and paper trading only"

Opened = Callable[[VenuePlan, "StoredKey | None"], Venue]


async def examine_venue(
    plan: VenuePlan, key: StoredKey | None, opened: Opened, others: Mapping[str, VenuePlan] | None = None
) -> list[Check]:
    """Checks ``venue NAME`` (reachable, symbols known) and ``key NAME`` (accepted, rights, fees).

    `others`: where else a refused key may belong; by default the exchange's other network. Raises nothing of ours.
    """
    checks = [await _market(plan, opened)]
    if key is None:
        return checks
    at = f"key {plan.name}"
    try:
        async with _open(plan, key, opened) as venue:
            if checks[0].ok:
                await venue.market.load(plan.symbols)
            return [*checks, _judged(at, key, await venue.account.check())]
    except Retryable as error:
        return [*checks, Check(at, False, str(error), "see whether the venue is up; run doctor again")]
    except (KeelError, TimeoutError) as error:
        works = await _where_it_works(key, opened, elsewhere(plan) if others is None else others)
        return [*checks, Check(at, False, str(error) or f"no answer within {ANSWER_S:g} s", works)]


def elsewhere(plan: VenuePlan) -> dict[str, VenuePlan]:
    """The other networks of the same exchange, by the setting that goes there."""
    if plan.exchange not in TESTNETS or plan.urls:
        return {}
    name = f"testnet = {'false' if plan.testnet else 'true'} ({'production' if plan.testnet else 'the test network'})"
    found = {name: msgspec.structs.replace(plan, testnet=not plan.testnet)}
    if plan.exchange == "binance":
        places = ", ".join(f'{what} = "{url}"' for what, url in SPOT_DEMO.items())
        demo = msgspec.structs.replace(plan, testnet=False, urls=SPOT_DEMO)
        found[f"urls = {{ {places} }} (Binance's demo mode for spot)"] = demo
    return found


async def examine_all(settings: Settings, keys: Mapping[str, StoredKey]) -> list[Check]:
    """Every configured venue, all at once."""
    async with opener(settings) as opened:
        found = await asyncio.gather(
            *(_configured(settings.mode, plan, keys, opened) for plan in settings.venues.values())
        )
    return [check for checks in found for check in checks]


@asynccontextmanager
async def opener(settings: Settings) -> AsyncIterator[Opened]:
    """What opens venues under the settings in force: within the rate limits that all our processes share."""
    from engine import bootstrap
    from engine.cli.servers import open_redis
    from engine.venues.binance.client_ids import ClientIds
    from engine.venues.limiter import RateLimiter

    with open_redis(settings) as live:
        async with live.asynchronous(bootstrap.LIMITER_REPLY_S) as client:
            ids = ClientIds(f"k{time.time_ns() // 1_000_000_000:x}")

            def opened(plan: VenuePlan, key: StoredKey | None) -> Venue:
                limiter = RateLimiter(client, bootstrap.counted_by(plan), plan.key or "")
                return bootstrap.open_venue(plan, key, limiter, ids)

            yield opened


async def _configured(mode: str, plan: VenuePlan, keys: Mapping[str, StoredKey], opened: Opened) -> list[Check]:
    at = f"key {plan.name}"
    if plan.key is not None and plan.key in keys:
        return await examine_venue(plan, keys[plan.key], opened)
    checks = await examine_venue(plan, None, opened)
    if plan.key is not None:
        return [*checks, Check(at, False, f"{plan.key} is not stored", f"trading-cli keys add {plan.key}")]
    fix = f"store one (trading-cli keys add) and name it in venues.{plan.name}.key"
    return [*checks, Check(at, mode == "paper", NO_KEY, "" if mode == "paper" else f"mode = {mode} needs a key: {fix}")]


async def _market(plan: VenuePlan, opened: Opened) -> Check:
    at, begun = f"venue {plan.name}", time.monotonic()
    if not plan.symbols:
        return Check(at, False, "no symbols", f'name what to trade: venues.{plan.name}.symbols = ["BTC/USDT"]')
    try:
        async with _open(plan, None, opened) as venue:
            instruments = await venue.market.load(plan.symbols)
    except BadInput as error:
        return Check(at, False, str(error), f"correct venues.{plan.name}")
    except (KeelError, TimeoutError) as error:
        said = str(error) or f"no answer within {ANSWER_S:g} s"
        return Check(at, False, said, "see whether it is reachable from this machine (network, firewall, country)")
    took_ms = (time.monotonic() - begun) * 1000
    place = "its test network" if plan.testnet else ", ".join(sorted(plan.urls.values())) or "production"
    fees = _fees([(one.maker_fee, one.taker_fee) for one in instruments])
    return Check(
        at, True, f"{plan.exchange} ({place}): {len(instruments)} symbols in {took_ms:.0f} ms, standard {fees}"
    )


def _judged(at: str, key: StoredKey, facts: AccountFacts) -> Check:
    bound = {True: "bound to addresses", False: "bound to no address", None: "addresses not told"}[facts.is_ip_bound]
    untold = any("withdraw" in note for note in facts.notes)  # where the venue does not say, the note asks to look
    withdraws = "may WITHDRAW" if facts.can_withdraw else "rights not told" if untold else "may not withdraw"
    rights = f"{'may trade' if facts.can_trade else 'may NOT trade'}, {withdraws}"
    found = f"{key.name} ({key.hint}) accepted: {rights}, {bound}"
    if facts.fees:
        found += f", {_fees(list(facts.fees.values()))}"
    offset_ms = facts.clock_offset_ms
    if offset_ms is not None:
        found += f", its clock {spoken_offset(offset_ms)}"
    if facts.can_withdraw:
        return Check(at, False, found, "switch withdrawals off for this key, or make a new one")
    if not facts.can_trade:
        return Check(at, False, found, "switch trading on for this key at the exchange")
    fixes = [*facts.notes]
    if facts.is_ip_bound is False and not any("address" in note for note in fixes):
        fixes.append("bind the key to this machine's address at the exchange")
    if offset_ms is not None and abs(offset_ms) > FAR_MS:
        fixes.append("clocks that far apart are corrected for; turn on time synchronisation (timedatectl set-ntp true)")
    return Check(at, True, found, "; ".join(fixes))


async def _where_it_works(key: StoredKey, opened: Opened, others: Mapping[str, VenuePlan]) -> str:
    for setting, plan in others.items():
        try:
            async with _open(plan, key, opened) as venue:
                await venue.account.check()
        except (KeelError, TimeoutError):
            continue
        return f"this key works elsewhere: {setting}"
    tried = f" (tried too, in vain: {', '.join(others)})" if others else ""
    return f"see that key and secret are whole, active, and of this exchange and network{tried}"


@asynccontextmanager
async def _open(plan: VenuePlan, key: StoredKey | None, opened: Opened) -> AsyncIterator[Venue]:
    """A venue for a few questions; its connections are closed afterwards. Raises TimeoutError past `ANSWER_S`."""
    venue = opened(plan, key)
    try:
        async with asyncio.timeout(ANSWER_S):
            yield venue
    finally:
        await venue.close()


def _fees(pairs: Sequence[tuple[Decimal, Decimal]]) -> str:
    """``fees 0.1 % maker, 0.1 % taker``, or their ranges."""

    def span(values: list[Decimal]) -> str:
        low, high = (f"{float(one) * 100:.4g}" for one in (min(values), max(values)))
        return f"{low} %" if low == high else f"{low} to {high} %"

    return f"fees {span([maker for maker, _ in pairs])} maker, {span([taker for _, taker in pairs])} taker"
