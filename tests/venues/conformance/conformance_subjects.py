"""The venues every conformance test runs on: one line each in SUBJECTS, and the sandbox they all meet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2] / "sandbox"))

from running_sandbox import Running
from venue_bench import Bench

from engine.simulation.venue import SimulationModel
from engine.store.redis_server import LiveRedis
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.endpoints import MarketName, given
from engine.venues.binance.venue import open_binance
from engine.venues.budgets import BUDGETS
from engine.venues.ccxt.opening import open_ccxt
from engine.venues.key_watch import AGAIN_S
from engine.venues.limiter import RateLimiter
from engine.venues.port import Venue
from engine.venues.signing import Secret
from engine.venues.simulated.venue import open_simulated

SYMBOLS = ("BTC/USDT", "ETH/USDT", "BTC/USDT:USDT", "BTC/USD")
NEVER_MUTE_S = 60.0


class Stage(Running):
    """A sandbox and the Redis of the limiters."""

    live: LiveRedis

    def ask_ticks(self, site: str) -> int:
        """The best offer of a venue's first symbol, as its market stands."""
        stage: Any = self.sandbox.sites[site].stage
        return int(getattr(stage, "exchange", stage).tapes[0].ask_ticks)


def start_sandbox(live: LiveRedis, accounts: int = 3) -> Stage:
    """Four synthetic symbols on three venues, ten minutes of history, played by hand."""
    stage = Stage(speed=0.0, symbols=SYMBOLS, minutes=12, accounts=accounts)
    stage.live = live
    return stage


def wide(live: LiveRedis) -> RateLimiter:
    """A limiter with budgets so large that no test waits for one; the sandbox counts Coinbase's calls per second."""
    large = dict(BUDGETS)
    for name, budget in BUDGETS.items():
        if budget.venue != "coinbase":
            wider = tuple(window._replace(limit=window.limit * 100) for window in budget.windows)
            large[name] = budget._replace(windows=wider)
    return RateLimiter(live.asynchronous(), "127.0.0.1", budgets=large)


class Login(NamedTuple):
    """What a venue is opened with."""

    urls: Mapping[str, str]
    key: str
    secret: str
    mute_s: float
    live: LiveRedis
    key_again_s: float = AGAIN_S


Opener = Callable[[Login], Venue]


def ccxt(exchange: str) -> Opener:
    return lambda login: open_ccxt(
        exchange, "tested", ClientIds("keel7f"), key=login.key, secret=Secret(login.secret), urls=login.urls,
        limiter=wide(login.live), mute_s=login.mute_s, key_again_s=login.key_again_s,
    )  # fmt: skip


def native(market: MarketName) -> Opener:
    return lambda login: open_binance(
        market, given(login.urls), login.key, Secret(login.secret), wide(login.live), ClientIds("keel7f"),
        name="tested", mute_s=login.mute_s, key_again_s=login.key_again_s,
    )  # fmt: skip


def simulated(exchange: str) -> Opener:
    def opened(login: Login) -> Venue:
        real = open_ccxt(exchange, "tested", ClientIds("keel7f"), urls=login.urls, mute_s=login.mute_s)
        return open_simulated(real.market, SimulationModel(), 10_000.0)

    return opened


@dataclass(frozen=True)
class Subject:
    """A venue to test: where in the sandbox it trades, what, and how it is opened."""

    name: str
    site: str
    symbols: tuple[str, ...]
    open: Opener
    is_real: bool = True
    account: int = 0  # subjects of one site do not share one

    @property
    def is_perp(self) -> bool:
        return ":" in self.symbols[0]

    def bench(self, running: Stage, loads: bool = True, **changed: Any) -> Bench:
        """Opened and loaded, not running yet. `changed`: fields of the login."""
        line = running.line["venues"][self.site]
        own = line["accounts"][self.account]
        plain = {"urls": line, "key": own["key"], "secret": own["secret"], "mute_s": NEVER_MUTE_S, "live": running.live}
        login = Login(**(plain | changed))
        return Bench(lambda: self.open(login), self.symbols if loads else ())


SPOT, PERP, DOLLAR = ("BTC/USDT", "ETH/USDT"), ("BTC/USDT:USDT",), ("BTC/USD",)
SUBJECTS = (
    Subject("ccxt-binance", "binance_spot", SPOT, ccxt("binance")),
    Subject("ccxt-binanceusdm", "binance_usdm", PERP, ccxt("binanceusdm")),
    Subject("ccxt-coinbase", "coinbase", DOLLAR, ccxt("coinbase")),
    Subject("binance", "binance_spot", SPOT, native("spot"), account=1),
    Subject("binance-usdm", "binance_usdm", PERP, native("usdm"), account=1),
    Subject("simulated", "binance_spot", SPOT, simulated("binance"), is_real=False),
)
