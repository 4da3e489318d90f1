"""What the three parts of one Binance venue share: rules, the telling of people, and the work in the background.

While any part runs, the clock is measured every few minutes, and the rules are read again every hour and after every
order a filter refused. New minimums, maximums and fees reach the engine as FILTER records. A new tick or lot cannot:
prices are whole ticks of the old one. Such an instrument is *frozen*: its feed is declared stale once, a person is told
that a restart is needed, and entries on it are refused here (exits still go).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts import reasons
from engine.contracts.errors import Refused, Retryable
from engine.contracts.instruments import Instrument
from engine.contracts.records import FEED_STATUS, FILTER, RECORD
from engine.venues.background import Background
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.dialects import Dialect
from engine.venues.binance.rest import RECV_WINDOW_MS, Rest
from engine.venues.binance.rules import (
    Rules,
    grid_change,
    limits_of,
    read_brackets,
    read_rules,
    wanted,
    with_bracket,
)
from engine.venues.binance.slate import venue_symbol
from engine.venues.fills import SeenFills
from engine.venues.key_watch import AGAIN_S, KeyWatch
from engine.venues.port import Inlet, Notice, NoticeKind
from engine.venues.sheet import Sheet

CLOCK_S: Final = 300.0
RULES_S: Final = 3600.0
KEPT_BOOKS: Final = 4096


class Commission(msgspec.Struct):
    """Fees of one symbol: spot `{"standardCommission":{"maker":"0.001",...}}`, USD-M
    `{"makerCommissionRate":"0.0002","takerCommissionRate":"0.0004"}`."""

    standardCommission: dict[str, str] = {}
    specialCommission: dict[str, str] = {}
    taxCommission: dict[str, str] = {}
    makerCommissionRate: str = "0"
    takerCommissionRate: str = "0"

    def of(self, name: str) -> Decimal:
        """`maker` or `taker`, everything added."""
        parts = (self.standardCommission, self.specialCommission, self.taxCommission)
        rate = self.makerCommissionRate if name == "maker" else self.takerCommissionRate
        return sum((Decimal(part.get(name, "0")) for part in parts), Decimal(rate))


class Link:
    """`mine` are this venue's instruments by number, known once a part runs."""

    def __init__(
        self, venue: str, dialect: Dialect, rest: Rest, client_ids: ClientIds, key_again_s: float = AGAIN_S
    ) -> None:
        self.venue, self.dialect, self.rest, self.client_ids = venue, dialect, rest, client_ids
        self.fills = SeenFills()
        self.rules: dict[str, Rules] = {}
        self.loaded: list[str] = []  # symbols the engine asked the rules of
        self.frozen: set[int] = set()
        self.instruments: Sequence[Instrument] = ()
        self.mine: dict[int, Instrument] = {}
        self.by_symbol: dict[str, int] = {}
        self.deaf_since_ns = 0  # what happened to our orders since then may not have been heard; 0: all was
        self.algo_book: dict[int, bool] = {}  # our order -> it lies in the book of conditional orders
        self._limits: dict[int, tuple[int, ...]] = {}
        self._inlet: Inlet | None = None
        rest.clock_jumped = lambda text: self.say("clock", text)
        self._users = 0
        self._background = Background(self.say)
        self.key = KeyWatch(self._ask_signed, self.say, self.spawn, key_again_s)
        self._reread = asyncio.Event()
        self._out: np.ndarray[Any, Any] = np.zeros(64, RECORD)
        self._sheet = Sheet()

    @property
    def inlet(self) -> Inlet:
        """Where records go. Raises Retryable before a part runs."""
        if self._inlet is None:
            raise Retryable(f"{self.venue}: not running yet; start market or execution first")
        return self._inlet

    def running(self) -> Link:
        """This link, once instruments have numbers. Raises Retryable before a part runs."""
        _ = self.inlet
        return self

    @property
    def timestamp_ms(self) -> int:
        """The venue's time now."""
        return self.rest.clock.timestamp_ms(time.time_ns())

    def note_book(self, client_id: int, is_algo: bool) -> None:
        """Remember in which book an order of ours lies."""
        if len(self.algo_book) >= KEPT_BOOKS:
            del self.algo_book[next(iter(self.algo_book))]
        self.algo_book[client_id] = is_algo

    def say(self, kind: NoticeKind, text: str, instrument: int | None = None) -> None:
        """Tell people; before a part runs there is nobody to tell."""
        if self._inlet is not None:
            self._inlet.notice(Notice(self.venue, kind, text, instrument))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something on the side while a part runs; its errors are told."""
        return self._background.spawn(work)

    @asynccontextmanager
    async def open(self, instruments: Sequence[Instrument], inlet: Inlet) -> AsyncIterator[None]:
        """Held by every part that runs; the first starts the work in the background, the last ends it."""
        self._users += 1
        if self._users == 1:
            self._bind(instruments, inlet)
            self.spawn(self._keep_clock())
            self.spawn(self._keep_rules())
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                await self._background.end()
                await self.rest.close()

    def _bind(self, instruments: Sequence[Instrument], inlet: Inlet) -> None:
        self.instruments, self._inlet = instruments, inlet
        self.mine = {n: one for n, one in enumerate(instruments) if one.venue == self.venue}
        self.by_symbol = {venue_symbol(one): n for n, one in self.mine.items()}
        self._limits = {n: limits_of(one) for n, one in self.mine.items()}

    async def _ask_signed(self) -> None:
        await self.rest.get(self.dialect.account, signed=True)

    # --- the clock ------------------------------------------------------------------------------------

    async def _keep_clock(self) -> None:
        while True:
            try:
                await self.rest.measure_clock()
                self.rest.clock.check(RECV_WINDOW_MS)
            except Retryable as error:
                self.say("lost", str(error))
            except Refused as error:
                self.say("clock", str(error))
            await asyncio.sleep(CLOCK_S)

    # --- rules ----------------------------------------------------------------------------------------

    def doubt_rules(self) -> None:
        """A filter refused an order: read the rules now."""
        self._reread.set()

    async def load_rules(self) -> dict[str, Rules]:
        """Everything that can be traded. Raises Retryable, Refused."""
        body = await self.rest.get(self.dialect.info)
        rules = dict(read_rules(body, self.dialect, self.venue))
        if self.dialect.brackets is not None and self.rest.signer is not None:
            brackets = read_brackets(await self.rest.get(self.dialect.brackets, signed=True), self.venue)
            rules = {symbol: with_bracket(one, brackets) for symbol, one in rules.items()}
        self.rules = rules
        return rules

    async def fees(self, symbol: str) -> tuple[Decimal, Decimal]:
        """Maker and taker fee of our account for a canonical symbol. Raises Retryable, Refused."""
        body = await self.rest.get(self.dialect.commission, {"symbol": wanted(symbol)}, signed=True)
        try:
            found = msgspec.json.decode(body, type=Commission)
            return found.of("maker"), found.of("taker")
        except (msgspec.MsgspecError, InvalidOperation):
            raise Retryable(f"{symbol}: the answer about its fees cannot be read") from None

    async def _keep_rules(self) -> None:
        """Rules and fees were read just before the start: wait first."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RULES_S):
                    await self._reread.wait()
            self._reread.clear()
            try:
                await self.load_rules()
                for number, known in self.mine.items():
                    await self._compare(number, known)
            except (Retryable, Refused) as error:
                self.say("refused", f"rules not read again: {error}")

    async def _compare(self, number: int, known: Instrument) -> None:
        found = self.rules.get(known.symbol)
        if found is None:
            self.freeze(number, f"{known.symbol} is not traded any more")
            return
        change = grid_change(known, found.instrument)
        if change:
            self.freeze(number, f"{known.symbol}: {change}; restart the engine to trade it again")
            return
        fresh = limits_of(found.instrument)
        if self.rest.signer is not None:
            maker, taker = await self.fees(known.symbol)
            fresh = limits_of(msgspec.structs.replace(found.instrument, maker_fee=maker, taker_fee=taker))
        else:
            fresh = (*fresh[:3], *self._limits[number][3:])
        self._tell_limits(number, fresh)

    def _tell_limits(self, number: int, fresh: tuple[int, ...]) -> None:
        known, self._limits[number] = self._limits[number], fresh
        now = time.time_ns()
        self._sheet.begin(self._out, now)
        for index, (old, new) in enumerate(zip(known, fresh, strict=True)):
            if old != new:
                self._sheet.put(FILTER, number, now, 0, 0, 0, index, 0, 0, new, 0)
        if self._sheet.count:
            self.inlet.account(self._out, self._sheet.count)
            self.say("rules", f"{self.mine[number].symbol}: minimum, maximum or fee changed", number)

    def freeze(self, number: int, why: str) -> None:
        """Refuse entries on an instrument from now on."""
        if number in self.frozen:
            return
        self.frozen.add(number)
        self.say("rules", f"{why}; its entries are refused", number)
        self.distrust((number,))

    def refuse(self, kind: int, number: int, client_id: int, reason: int) -> None:
        """ORDER_REJECT or CANCEL_REJECT of something that never left."""
        now = time.time_ns()
        self._sheet.begin(self._out, now)
        self._sheet.put(kind, number, now, 0, 0, reason, client_id, 0, 0, 0, 0)
        self.inlet.account(self._out, 1)

    def distrust(self, numbers: Sequence[int]) -> None:
        """What the books of these show is stale."""
        now = time.time_ns()
        for number in numbers:
            self._sheet.begin(self._out, now)
            self._sheet.put(FEED_STATUS, number, now, 0, 0, reasons.STALE_DATA, 0, 0, 0, 0, 0)
            self.inlet.market(self._out, 1)
