"""Where settings become what the engine works with. Composition happens here; importing connects to nothing.

What backtests and the database need is imported where it is wanted: an engine that starts, perhaps after a death, waits
for none of it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
import redis.asyncio

from engine.contracts.errors import BadInput
from engine.core.strategies import table
from engine.journal import manifest as manifests
from engine.journal.recovery import Recovered, last_run, recover_run
from engine.runtime.rekeying import Rekeying
from engine.runtime.service import LivePlan
from engine.settings import Settings
from engine.store.keys import KeyFile, StoredKey
from engine.store.redis_server import LiveRedis
from engine.venues.binance.client_ids import ClientIds
from engine.venues.limiter import RateLimiter
from engine.venues.port import Venue
from engine.venues.signing import Secret
from engine.venues.simulated.venue import ShadowAccount, open_simulated

if TYPE_CHECKING:
    from engine.research.backtest import BacktestRequest
    from engine.research.folds import Cut
    from engine.research.walkforward import Plan
    from engine.store.database import Database
    from engine.store.projector import Projection
    from engine.venues.binance.endpoints import MarketName
    from engine.venues.plan import VenuePlan

LIMITER_REPLY_S: Final = 0.25
WARM_UP_BARS: Final = 64
ACCOUNTS: Final = "accounts"
"""Folder of the simulated accounts in a home, one for each line of runs and venue."""


def backtest_request(
    settings: Settings,
    strategy: str,
    data: Sequence[Path],
    *,
    params: dict[str, float] | None = None,
    beside: Mapping[str, dict[str, float]] | None = None,
    symbols: Sequence[str] | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    trials: int = 1,
) -> BacktestRequest:
    """A backtest under the settings in force; `params` overlay those of the settings, and so do those of strategies
    `beside` it. Times ns UTC, `to_ns` exclusive.

    Raises BadInput for an unknown strategy or a parameter out of its bounds.
    """
    from engine.research.backtest import BacktestRequest, check_strategy

    asked = {strategy: params or {}} | dict(beside or {})
    values = {name: dict(settings.strategies.get(name, {})) | given for name, given in asked.items()}
    for name, each in values.items():
        check_strategy(name, each)
    return BacktestRequest(
        strategy=strategy,
        data=[path.resolve() for path in data],  # the manifest must be readable from any folder
        home=settings.home,
        symbols=symbols,
        from_ns=from_ns,
        to_ns=to_ns,
        capital_usd=settings.account.capital_usd,
        params=values.pop(strategy),
        beside=values,
        selector=dict(settings.selector),
        limits=settings.limits,
        simulation=settings.simulation,
        feed=settings.feed,
        signals=settings.signals,
        trials=trials,
    )


def walk_plan(
    settings: Settings,
    strategy: str,
    data: Sequence[Path],
    *,
    grid: dict[str, list[float]],
    params: dict[str, float] | None = None,
    beside: Mapping[str, dict[str, float]] | None = None,
    symbols: Sequence[str] | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    cut: Cut | None = None,
    tried_before: int = 0,
) -> Plan:
    """A walk under the settings in force, `params` overlaying those of the settings and `grid` both; strategies
    `beside` run with it, their parameters fixed."""
    from engine.research.folds import Cut
    from engine.research.search import Data
    from engine.research.stretch import Terms
    from engine.research.walkforward import Plan

    request = backtest_request(
        settings, strategy, data, params=params, beside=beside, symbols=symbols, from_ns=from_ns, to_ns=to_ns
    )
    return Plan(
        strategy=strategy,
        data=Data(
            paths=tuple(request.data), symbols=None if symbols is None else tuple(symbols), from_ns=from_ns,
            to_ns=to_ns, feed=request.feed,
        ),
        grid=grid,
        fixed={name: value for name, value in request.params.items() if name not in grid},
        terms=Terms(
            strategies=request.beside, capital_usd=request.capital_usd, limits=request.limits,
            simulation=request.simulation, timeframes_s=(), selector=request.selector if request.beside else {},
        ),
        cut=cut or Cut(),
        tried_before=tried_before,
    )  # fmt: skip


def open_store(settings: Settings) -> AbstractContextManager[Database]:
    """The PostgreSQL in force, migrated. Raises Retryable where it is not reachable, Fatal where it does not start."""
    from engine.store import database

    secret = settings.database_url
    return database.connect(secret.get_secret_value() if secret else None, settings.home)


def project(settings: Settings, run_dir: Path) -> tuple[Projection, str]:
    """Write a run's ledger into the store; returns what was written and the store's URL without its password."""
    from engine.store import projector

    with open_store(settings) as store:
        return projector.project(store, run_dir, table.NAMES), store.url


@asynccontextmanager
async def live_plan(
    settings: Settings, live_redis: LiveRedis | None, open_keys: Callable[[], KeyFile], fresh: bool = False
) -> AsyncIterator[LivePlan]:
    """What the engine runs under the settings in force. `mode` only chooses what is wired here: paper has simulated
    orders and account at real prices, shadow the same beside the real account's checks and fees, live the real ones.

    It goes on where the last run of this world ended, unless `fresh`. `open_keys` is called where a key is needed.
    Raises BadInput, Refused, and Fatal where that run cannot be recovered.
    """
    before = None if fresh else _before(settings)
    prefix = before.manifest.order_prefix if before is not None else f"k{time.time_ns() // 1_000_000_000:x}"
    client = (
        live_redis.asynchronous(LIMITER_REPLY_S) if live_redis else redis.asyncio.Redis(unix_socket_path="/dev/null")
    )
    ids = ClientIds(prefix)  # names a line of runs: orders of another one are foreign
    file = open_keys() if needs_keys(settings) else None
    keys = file.read() if file else {}
    shares = _shares(settings)
    venues: list[tuple[Venue, Sequence[str]]] = []
    for plan in settings.venues.values():
        if not plan.symbols:
            raise BadInput(f'venues.{plan.name}.symbols is empty; name what to trade there, e.g. ["BTC/USDT"]')
        real = open_venue(
            plan, _key_of(settings, plan, keys), RateLimiter(client, counted_by(plan), plan.key or ""), ids
        )
        venues.append((_in_world(settings, real, shares[plan.name], prefix), plan.symbols))
    try:
        yield LivePlan(
            world=settings.mode,
            home=settings.home,
            venues=venues,
            strategies={name: settings.strategies[name] for name in settings.runtime.strategies},
            limits=settings.limits,
            capital_usd=settings.account.capital_usd,
            wallets_usd=shares,
            selector=settings.selector,
            continues=before,
            order_prefix=prefix,
            must_hold_usd=shares if settings.mode == "live" and before is None else {},
            timeframes_s=settings.runtime.timeframes_s,
            simulation={} if settings.mode == "live" else msgspec.to_builtins(settings.simulation),
            warm_up_bars=WARM_UP_BARS if settings.runtime.warm_up else 0,
            market_queue=settings.runtime.market_queue,
            signals=settings.signals,
            countdown_s=settings.watchdog.countdown_s,
            rekey=Rekeying(file, _by_key(settings, venues)).rekey if file else None,
        )
    finally:
        await client.aclose()


def open_venue(plan: VenuePlan, key: StoredKey | None, limiter: RateLimiter, ids: ClientIds) -> Venue:
    """The real venue a plan describes; nothing connects yet. Raises BadInput."""
    public = key.key.get_secret_value() if key else ""
    secret = Secret(key.secret.get_secret_value()) if key else None
    if plan.adapter == "binance":
        from engine.venues.binance.endpoints import ENDPOINTS, given
        from engine.venues.binance.venue import open_binance

        market: MarketName = "spot" if plan.exchange == "binance" else "usdm"
        places = given(plan.urls) if plan.urls else ENDPOINTS[market, "testnet" if plan.testnet else "production"]
        return open_binance(market, places, public, secret, limiter, ids, name=plan.name)
    from engine.venues.ccxt.opening import open_ccxt

    return open_ccxt(
        plan.exchange, plan.name, ids, key=public, secret=secret, urls=plan.urls or None, testnet=plan.testnet,
        limiter=limiter,
    )  # fmt: skip


def _by_key(settings: Settings, venues: Sequence[tuple[Venue, Sequence[str]]]) -> dict[str, list[Venue]]:
    """The venues that use a key, by its name."""
    found: dict[str, list[Venue]] = {}
    for venue, _ in venues:
        found.setdefault(settings.venues[venue.name].key or "", []).append(venue)
    return found


def counted_by(plan: VenuePlan) -> str:
    """What a venue's rate limits are counted by: the place, so that two tables of one exchange share its budget."""
    if plan.urls:
        return urlsplit(next(iter(plan.urls.values()))).netloc
    return f"{plan.exchange}.testnet" if plan.testnet else plan.exchange


def _before(settings: Settings) -> Recovered | None:
    """The last run of this world, as it was at its last entry; None where there is none, or only such as an older
    version made, whose orders cannot be told from others'."""
    found = last_run(settings.home, settings.mode)
    if found is None or not manifests.read(found).order_prefix:
        return None
    before = recover_run(found)
    then, now = before.manifest.capital_usd, settings.account.capital_usd
    if then == now:
        return before
    text = (
        f"account.capital_usd = {now:,.2f} is not looked at: this account began with {then:,.2f} and goes on with what "
        "it has; trading-cli up --fresh begins anew"
    )
    return before._replace(notes=(*before.notes, text))


def _in_world(settings: Settings, real: Venue, capital_usd: float, prefix: str) -> Venue:
    if settings.mode == "live":
        return real
    folder = settings.home / ACCOUNTS / prefix / real.name
    simulated = open_simulated(real.market, settings.simulation, capital_usd, folder=folder)
    simulated = simulated._replace(close=real.close, rekey=real.rekey)
    return simulated if settings.mode == "paper" else simulated._replace(account=ShadowAccount(real.account, simulated))


def needs_keys(settings: Settings) -> bool:
    """Whether the key file will be opened."""
    return settings.mode != "paper" and any(plan.key for plan in settings.venues.values())


def _key_of(settings: Settings, plan: VenuePlan, keys: dict[str, StoredKey]) -> StoredKey | None:
    if settings.mode == "paper":
        return None
    if plan.key is None:
        raise BadInput(f"mode = {settings.mode} needs venues.{plan.name}.key: store one with trading-cli keys add")
    if plan.key not in keys:
        raise BadInput(f"venues.{plan.name}.key = {plan.key} is not stored; trading-cli keys add {plan.key}")
    return keys[plan.key]


def _shares(settings: Settings) -> dict[str, float]:
    """Capital by venue: what its table says, else an even share of the rest."""
    said = {name: plan.capital_usd for name, plan in settings.venues.items() if plan.capital_usd is not None}
    silent = [name for name in settings.venues if name not in said]
    rest = settings.account.capital_usd - sum(said.values())
    return said | {name: rest / len(silent) for name in silent}
