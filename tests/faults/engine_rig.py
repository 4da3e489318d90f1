"""The whole engine, in the live world, on a sandbox whose prices the test moves by hand."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.errors import KeelError
from engine.core import life
from engine.core.limits import Limits
from engine.core.orders import TRADING_STATES
from engine.journal import segments
from engine.markets.writing import write_parquet
from engine.runtime import inflight
from engine.runtime.service import LivePlan, Service, start
from engine.store.redis_server import connect_redis
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.endpoints import MarketName, given
from engine.venues.binance.venue import open_binance
from engine.venues.ccxt.opening import open_ccxt
from engine.venues.limiter import RateLimiter
from engine.venues.port import Venue
from engine.venues.signing import Secret

sys.path.append(str(Path(__file__).parents[1] / "sandbox"))
from running_sandbox import Running  # noqa: E402

__all__ = ["CASH", "EAGER", "STOP_S", "Floor", "Trading", "coinbase", "spot", "trading", "usdm"]

CASH: Final = 1_000.0
SYMBOLS: Final = tuple(
    f"{base}/USDT" for base in (
        "BTC", "ETH", "AXO", "BREN", "CIRO", "DUVA", "ELTO", "FENN", "GALA", "HIVE", "IRIS", "JUNO", "KAVA", "LOOM",
        "MIRA", "NOVA", "ONYX", "PYRO", "QTUM", "RUNE",
    )
)  # fmt: skip
START_MS: Final = 1_735_736_400_000
HISTORY_S: Final = 24
STEP_MS: Final = 250
WAIT_S: Final = 6.0
STOP_S: Final = 2.0
SLACK_S: Final = 0.3
"""For a busy machine, and for the exit's own way."""
LATE_S: Final = 1.5
"""The engine waits 12 s before it believes that an order never arrived; here nothing takes longer than this."""
EAGER: Final = {"crossover": {"fast": 1, "slow": 2, "stop_pct": 5.0, "notional_usd": 90.0, "entry_cap_bps": 50}}
TIMEFRAMES: Final = (1, 3, 9)
LIMITS: Final = Limits(max_data_age_s=30.0, orders_per_minute=600.0)
SIZE: Final = 7.531


class Floor(Running):
    """A sandbox with a short falling history. `quote` is what moves its market from then on."""

    def __init__(self, folder: Path, symbols: Sequence[str] = SYMBOLS, accounts: int = 20, **options: Any) -> None:
        self._stack = ExitStack()
        self.redis = self._stack.enter_context(connect_redis(None, folder))
        self.mid = {symbol: 100.0 * (k + 1) for k, symbol in enumerate(symbols)}
        path = folder / "history.parquet"
        _write_history(path, self.mid)
        super().__init__(data=(path,), speed=0.0, history_s=float(HISTORY_S), cash=CASH, accounts=accounts, **options)
        self._hall = self.sandbox.replay._hall
        self._market = self.sandbox._market

    def stop(self) -> None:
        super().stop()
        self._stack.close()

    def quote(self, symbol: str, mid: float, size: float = SIZE) -> None:
        """The market of a symbol moves: a touch around `mid`, and a trade there."""
        self.mid[symbol] = mid
        number = next(k for k, one in enumerate(self._market.instruments) if one.symbol == symbol)
        one = self._market.instruments[number]
        ticks, lots = round(mid / float(one.tick_size)), round(size / float(one.lot_size))
        events = np.zeros(2, r.RECORD)
        events["kind"], events["instrument"] = (r.QUOTE, r.TRADE), number
        events["ts_ns"] = events["venue_ts_ns"] = time.time_ns()
        for name, value in (("bid_ticks", ticks - 1), ("bid_lots", lots), ("ask_ticks", ticks + 1), ("ask_lots", lots)):
            events[name][0] = value
        events["side"][1], events["price_ticks"][1], events["qty_lots"][1] = 1, ticks, lots

        async def play() -> None:
            self._hall.play(events)

        self.run(play())

    def calm(self) -> None:
        """No fault is armed, the clock is right."""
        self.tell("/faults", {}, "DELETE")
        self.fault("A14", skew_ms=0)
        self.redis.blocking.flushall()  # nobody is barred any more


def _write_history(path: Path, mids: dict[str, float]) -> None:
    count = (HISTORY_S + 1) * 1000 // STEP_MS
    tables = []
    for symbol, last in mids.items():
        mid = np.round(last * (1 + 1e-4 * np.arange(count)[::-1]), 2)
        columns = {
            "ts_exch_ms": START_MS + np.arange(count) * STEP_MS, "bid": mid - 0.01, "bid_size": np.full(count, SIZE),
            "ask": mid + 0.01, "ask_size": np.full(count, SIZE),
        }  # fmt: skip
        venue = "coinbase" if symbol.endswith("/USD") else "binance"
        words = {"venue": pa.array([venue] * count), "symbol": pa.array([symbol] * count)}
        tables.append(pa.table(words | columns))
    write_parquet(pa.concat_tables(tables), path)


def spot(floor: Floor, account: int = 0, name: str = "sandbox", **options: Any) -> Venue:
    """Binance spot on the floor, with an account's own key; quick to notice that nobody answers."""
    return _binance(floor, "spot", account, name, options)


def usdm(floor: Floor, account: int = 0, name: str = "futures", **options: Any) -> Venue:
    """Binance USD-M on the floor."""
    return _binance(floor, "usdm", account, name, options)


def coinbase(floor: Floor, account: int = 0, name: str = "dollars", **options: Any) -> Venue:
    """Coinbase on the floor, through ccxt."""
    line = floor.line["venues"]["coinbase"]
    own = line["accounts"][account]
    limiter = RateLimiter(floor.redis.asynchronous(), name, f"account{account}")
    return open_ccxt(
        "coinbase", name, ClientIds(f"t{account}"), key=own["key"], secret=Secret(own["secret"]), limiter=limiter,
        **({"urls": line} | options),
    )  # fmt: skip


def _binance(floor: Floor, market: MarketName, account: int, name: str, options: dict[str, Any]) -> Venue:
    line = floor.line["venues"][f"binance_{market}"]
    own = line["accounts"][account]
    urls = options.pop("urls", line)
    client = floor.redis.asynchronous()
    limiter = RateLimiter(client, name, f"account{account}")
    given_options = {"answer_s": 0.5} | options
    ids = ClientIds(f"t{account}")
    return open_binance(
        market, given(urls), own["key"], Secret(own["secret"]), limiter, ids, name=name,
        **given_options,
    )  # fmt: skip


class _Tap(deque[Any]):
    """A deque that tells when something was appended."""

    def __init__(self, news: asyncio.Event) -> None:
        super().__init__(maxlen=4_096)
        self._news = news

    def append(self, item: Any) -> None:
        super().append(item)
        self._news.set()


class Trading:
    """A running engine on a floor, and what tests ask of it."""

    def __init__(self, floor: Floor, service: Service, account: int) -> None:
        self.floor, self.service, self.account = floor, service, account
        self.is_dead = False
        self.may_break = False  # a test that breaks an invariant by itself says so
        self.waited_s = 0.0
        self.symbol = service.core.instruments[0].symbol
        self.core = service.core
        self._news = asyncio.Event()
        service.engine.journalled = _Tap(self._news)
        told = _Tap(self._news)
        told.extend(service.showing.notices)
        service.showing.notices = told
        self.said = told

    # --- the market ---------------------------------------------------------------------------------

    async def quote(self, mid: float, symbol: str = "", size: float = SIZE) -> None:
        await asyncio.to_thread(self.floor.quote, symbol or self.symbol, mid, size)

    async def move(self, share: float, symbol: str = "", size: float = SIZE) -> None:
        """The price goes to `share` of what it was, and a bar ends on it."""
        mid = round(self.floor.mid[symbol or self.symbol] * share, 2)
        await self.quote(mid, symbol, size)
        await asyncio.sleep(1.003 - time.time() % 1.0)
        await self.quote(mid, symbol, size)

    @asynccontextmanager
    async def busy(self, symbol: str = "") -> AsyncIterator[None]:
        """The market goes on by itself, at the price it has."""

        async def go_on() -> None:
            while True:
                await self.quote(self.floor.mid[symbol or self.symbol], symbol)
                await asyncio.sleep(0.1)

        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    def order_emergency(self) -> None:
        """A person's word: everything is to be sold."""
        self.say(reasons.OPERATOR_EMERGENCY)

    def say(self, reason: int) -> None:
        """A person's word."""
        event = np.zeros(1, r.RECORD)
        event["kind"], event["instrument"], event["reason"] = r.OPERATOR, r.NO_INSTRUMENT, reason
        event["ts_ns"] = time.time_ns()
        self.service.engine.inject(event)

    async def emergency(self) -> None:
        """A person's word: everything is sold."""
        self.order_emergency()
        await self.until(lambda: not self.core.state.positions["qty_lots"].any())

    async def enter(self, symbol: str = "") -> Any:
        """A rising bar: the strategy buys. Returns the position once something of it is filled."""
        if self.core.state.crossover[self.number(symbol)].above:  # it was rising before the start
            await self.move(0.998, symbol)
        await self.move(1.001, symbol)
        position = self.position(symbol)
        await self.until(lambda: position.qty_lots != 0)
        return position

    async def leave(self, symbol: str = "") -> None:
        """A falling bar: the strategy sells."""
        await self.move(0.998, symbol)
        position = self.position(symbol)
        await self.until(lambda: position.qty_lots == 0)

    # --- what is known ------------------------------------------------------------------------------

    def number(self, symbol: str = "") -> int:
        symbol = symbol or self.symbol
        return next(k for k, one in enumerate(self.core.instruments) if one.symbol == symbol)

    @property
    def name(self) -> str:
        """The venue's name of the symbol."""
        return self.symbol.replace("/", "")

    @property
    def mid(self) -> float:
        return self.floor.mid[self.symbol]

    def position(self, symbol: str = "") -> Any:
        return self.core.state.positions[self.number(symbol)]

    async def guarded(self, symbol: str = "") -> None:
        """Within the stop's deadline the position has its stop at the venue, or is gone."""
        p = self.position(symbol)
        await self.until(lambda: p.qty_lots == 0 or self.has_stop(symbol), STOP_S + SLACK_S)

    async def settle(self) -> None:
        """Nothing waits for the venue's word any more."""
        await self.until(lambda: self.service.engine.in_flight.unanswered == 0)

    @property
    def trading_state(self) -> str:
        return TRADING_STATES[int(self.core.state.head[0].trading_state)]

    def working(self, role: int | None = None, symbol: str | None = None) -> list[Any]:
        """Orders of ours that the core takes for working."""
        orders = self.core.state.orders
        found = orders[(orders["status"] != life.FREE) & (orders["status"] < life.FIRST_DONE)]
        return [
            one for one in found
            if role in (None, one["role"]) and (symbol is None or one["instrument"] == self.number(symbol))
        ]  # fmt: skip

    def has_stop(self, symbol: str = "") -> bool:
        """A stop the venue confirmed stands for all of the position."""
        p = self.position(symbol)
        return any(
            one["status"] in (life.ACCEPTED, life.PARTIAL) and one["qty_lots"] - one["filled_lots"] == p.qty_lots
            for one in self.working(r.ROLE_STOP, symbol)
        )

    def told(self, kind: str) -> list[str]:
        """Texts of the notices of a kind."""
        return [notice.text for _, notice in self.said if notice.kind == kind]

    async def until(self, done: Callable[[], object], wait_s: float = WAIT_S) -> None:
        """Wait until something the engine writes or says makes `done` true."""
        try:
            async with asyncio.timeout(wait_s):
                while not done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError("it did not happen:\n" + "\n".join(self.story())) from None

    def records(self) -> Any:
        """The journal as it was written."""
        return r.joined(list(segments.read(self.service.run_dir)))

    async def close(self) -> None:
        """The state is ACTIVE still; then a person closes everything, and nothing is open or in doubt."""
        assert self.trading_state == "ACTIVE"
        await self.emergency()

    def story(self) -> list[str]:
        """The journal without prices, and what was told."""
        self.service.engine._flush()
        quiet = (r.QUOTE, r.TRADE, r.PATH, r.MARK, r.DEPTH)
        lines = [str(r.as_dict(one)) for one in self.records()["record"] if one["kind"] not in quiet]
        return [*lines[-30:], *(f"{n.kind}: {n.text}" for _, n in list(self.said)[-20:])]

    # --- the venue's own books ------------------------------------------------------------------------

    async def ask(self, path: str, **params: Any) -> Any:
        """A signed GET of the account."""
        params["timestamp"] = round(time.time() * 1000) + self.floor.exchange.clock.skew_ms
        status, found, _ = await asyncio.to_thread(self.floor.call, "GET", path, account=self.account, **params)
        assert status == 200, found
        return found

    def die(self) -> None:
        """As after `kill -9`: nothing is ended in order, nobody hears what comes."""
        self.is_dead = True
        engine = self.service.engine
        for task in (*self.service._tasks, *self.service._beside):
            task.cancel()
        engine.in_flight.close()
        if engine._timer is not None:
            engine._timer.cancel()
        self.service._journal.abandon()
        engine.logbook.close()  # its timers; it can write nothing any more
        engine._take = engine._flush = lambda *_: None  # type: ignore[method-assign]

    async def stop(self) -> None:
        if not self.is_dead:
            await self.service.stop()


async def _hears(running: Trading) -> None:
    """The market is quoted until the engine hears it: its streams connect when they can."""
    books = running.core.state.books
    while True:
        for one in running.core.instruments:
            await running.quote(running.floor.mid[one.symbol], one.symbol)
        try:
            await running.until(lambda: (books["updated_ns"] > 0).all(), 0.25)
            return
        except AssertionError:
            running.waited_s += 0.25
            if running.waited_s > 4 * WAIT_S:
                raise


@asynccontextmanager
async def trading(
    floor: Floor,
    home: Path,
    number: int = 0,
    symbols: Sequence[str] = (),
    venues: Sequence[tuple[Venue, Sequence[str]]] = (),
    plan: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Trading]:
    """An engine that trades live on the floor, with account and (unless `symbols` says more) symbol of that number,
    ready to send orders."""
    if not venues:
        venues = [(spot(floor, number, **options), symbols or (list(floor.mid)[number],))]
    shares = {venue.name: CASH / len(venues) for venue, _ in venues}
    values = {
        "world": "live", "home": home, "venues": venues, "strategies": EAGER, "limits": LIMITS, "capital_usd": CASH,
        "must_hold_usd": {} if (plan or {}).get("continues") else shares, "wallets_usd": shares,
        "timeframes_s": TIMEFRAMES, "warm_up_bars": 2, "order_prefix": f"t{number}",
    }  # fmt: skip
    made = LivePlan(**(values | (plan or {})))
    inflight.LATE_S = LATE_S  # type: ignore[misc]
    try:
        service = await start(made)
    except KeelError:
        for venue, _ in venues:
            await venue.close()
        raise
    running = Trading(floor, service, number)
    try:
        await _hears(running)
        await running.until(lambda: all(venue.execution.is_ready for venue, _ in venues))
        yield running
        if not running.is_dead:
            await running.settle()
        assert running.may_break or not service.monitor.violations, service.monitor.violations
    finally:
        await running.stop()
