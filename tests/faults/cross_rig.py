"""An engine that trades triangles, in the live world, on a sandbox whose market plays by itself and leaves its own
way now and then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from engine_rig import CASH, LATE_S, Running, Trading, spot, usdm

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.errors import KeelError
from engine.contracts.instruments import E8
from engine.core.limits import Limits
from engine.core.state import CASH_ASSETS
from engine.markets.dislocations import Dislocating
from engine.runtime import inflight
from engine.runtime.service import LivePlan, start
from engine.store.redis_server import connect_redis

__all__ = [
    "CROSS", "EAGER", "LEGS", "TRIANGLE", "CrossFloor", "Cycle", "crossing", "cycles", "is_idle", "judged",
    "left_over_usd", "lots_worth", "told_cycles",
]  # fmt: skip

TRIANGLE: Final = ("BTC/USDT", "ETH/USDT", "ETH/BTC")
CROSS: Final = (*TRIANGLE, "USDC/USDT", "BTC/USDC", "ETH/USDC", "EUR/USDT", "BTC/EUR", "ETH/EUR")
LEGS: Final = {1: ("ETHUSDT", "ETHBTC", "BTCUSDT"), -1: ("BTCUSDT", "ETHBTC", "ETHUSDT")}
"""The legs of the triangle where ETH/BTC is too dear (1), and where it is too cheap (-1)."""
EAGER: Final[dict[str, float]] = {"shadow_cycles": 0, "judged_cycles": 64, "max_seconds": 2.0}
NONE: Final = Dislocating()
USUAL: Final = Limits()
TIMEFRAMES_S: Final = (1, 2, 4)
HISTORY_S: Final = 60.0
READY_S: Final = 20.0
ENDED: Final = (reasons.CYCLE_DONE, reasons.CYCLE_UNWOUND, reasons.CYCLE_MISSED)


class CrossFloor(Running):
    """A sandbox that plays from the moment its first engine is up; its accounts hold tether alone, so that all they
    have is the engine's."""

    def __init__(
        self,
        folder: Path,
        symbols: Sequence[str] = CROSS,
        seconds: float = 120.0,
        dislocations: Dislocating = NONE,
        seed: int = 1,
        accounts: int = 2,
    ) -> None:
        self._stack = ExitStack()
        self.redis = self._stack.enter_context(connect_redis(None, folder))
        super().__init__(
            symbols=tuple(symbols), speed=0.0, history_s=HISTORY_S, minutes=int((seconds + HISTORY_S) // 60) + 2,
            cash=CASH, accounts=accounts, seed=seed, dislocations=dislocations,
        )  # fmt: skip
        for account in range(accounts):
            for asset in self.exchange.quotes:
                free = self.exchange.balances(self.exchange.accounts.all[account])[asset][0]
                if free and asset != "USDT":
                    self.tell("/deposit", {"account": account, "asset": asset, "amount": f"-{free / E8:.8f}"})

    def stop(self) -> None:
        super().stop()
        self._stack.close()

    def play(self) -> None:
        """Let the market go, unless it goes already."""
        if self.sandbox.replay.playing is None:
            self.tell("/play", {"speed": 1.0})

    @property
    def begun(self) -> list[dict[str, Any]]:
        """The dislocations that began."""
        found: list[dict[str, Any]] = self.tell("/dislocations", {})["begun"]
        return found


@asynccontextmanager
async def crossing(
    floor: CrossFloor,
    home: Path,
    account: int = 0,
    strategies: Mapping[str, Mapping[str, float]] | None = None,
    perps: Sequence[str] = (),
    limits: Limits = USUAL,
) -> AsyncIterator[Trading]:
    """An engine that trades live on all spot pairs of the floor (and `perps`), once it hears all of them."""
    pairs = [tape.instrument.symbol for tape in floor.exchange.tapes]
    venues: list[Any] = [(spot(floor, account), pairs)]
    if perps:
        venues.append((usdm(floor, account), list(perps)))
    shares = {venue.name: CASH / len(venues) for venue, _ in venues}
    plan = LivePlan(
        world="live", home=home, venues=venues, strategies=strategies or {"arbitrage": EAGER}, limits=limits,
        capital_usd=CASH, wallets_usd=shares, must_hold_usd=shares, timeframes_s=TIMEFRAMES_S, warm_up_bars=6,
        order_prefix=f"t{account}",
    )  # fmt: skip
    inflight.LATE_S = LATE_S  # type: ignore[misc]
    try:
        service = await start(plan)
    except KeelError:
        for venue, _ in venues:
            await venue.close()
        raise
    running = Trading(floor, service, account)  # type: ignore[arg-type]
    try:
        await asyncio.to_thread(floor.play)
        await running.until(lambda: _hears(running) and all(venue.execution.is_ready for venue, _ in venues), READY_S)
        yield running
        await running.settle()
        assert not service.monitor.violations, service.monitor.violations
    finally:
        await running.stop()


def _hears(running: Trading) -> bool:
    """Every book has a price."""
    return bool((running.core.state.books["updated_ns"] > 0).all())


class Cycle(NamedTuple):
    """A real cycle that ended: which records say that it began (-1: none) and ended, how, with what, what came of it,
    and what it was allowed to lose."""

    begun: int
    ended: int
    reason: int
    amount_usd: float
    realised_usd: float
    bound_usd: float

    @property
    def is_winner(self) -> bool:
        return self.realised_usd > 0

    @property
    def is_within_bound(self) -> bool:
        return self.realised_usd >= -self.bound_usd


def cycles(running: Trading) -> list[Cycle]:
    """The real cycles that ended, in order, as they were journalled; those that bought nothing are left out."""
    return told_cycles(running.records()["record"])


def told_cycles(records: Any) -> list[Cycle]:
    """The same of any records."""
    found: list[Cycle] = []
    begun = -1
    for at in np.flatnonzero((records["kind"] == r.CYCLE) & (records["bits"] & r.SHADOW == 0)).tolist():
        one = records[at]
        if one["reason"] == reasons.CYCLE_BEGUN:
            begun = at
        elif one["reason"] in ENDED:
            amount, bound_usd = float(one["amount_e8"]) / E8, float(one["risk_e8"]) / E8
            if amount > 0:
                realised_usd = amount * float(one["realised_e9"]) / 1e9
                found.append(Cycle(begun, at, int(one["reason"]), amount, realised_usd, bound_usd))
            begun = -1
    return found


def lots_worth(floor: CrossFloor, symbol: str, usd: float) -> int:
    """Lots of a pair (as the venue writes it) that are worth so many dollars, about."""
    tape = floor.exchange.by_name[symbol]
    coin = floor.exchange.by_name.get(f"{tape.instrument.base}USDT", tape)
    return int(usd * E8 / coin.value_e8(coin.bid_ticks, 1) * coin.lot_e8 / tape.lot_e8)


def left_over_usd(running: Trading) -> float:
    """What coins of ours are worth at the touch."""
    core, worth = running.core, 0.0
    for k, asset in enumerate(core.assets):
        amount = int(core.state.balances[k])
        if asset in CASH_ASSETS or not amount:
            continue
        home = next(i for i, one in enumerate(core.instruments) if (one.base, one.quote) == (asset, "USDT"))
        worth += amount / E8 * float(core.instruments[home].price(int(core.state.books[home].bid_ticks)))
    return worth


def judged(running: Trading) -> int:
    """How many cycles ended that bought something."""
    return int(running.core.state.arbitrage["count"].sum())


def is_idle(running: Trading) -> bool:
    """No cycle is under way."""
    return int(running.core.state.cycle[0].stage) == 0
