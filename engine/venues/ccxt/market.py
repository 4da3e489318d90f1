"""Rules and prices of an exchange through ccxt: quotes, the best five levels, trades, marks, candles."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import ccxt
import numpy as np

from engine.contracts import reasons
from engine.contracts.errors import BadInput, Retryable
from engine.contracts.instruments import Instrument
from engine.contracts.records import BUY, FEED_STATUS, MARK, QUOTE, RECORD, SELL, TRADE
from engine.venues.budgets import Urgency
from engine.venues.candles import path_records
from engine.venues.ccxt.backoff import BackOff
from engine.venues.ccxt.board import Board, Listing
from engine.venues.ccxt.faults import failure_of
from engine.venues.ccxt.rules import read_instrument
from engine.venues.ccxt.session import Session
from engine.venues.emulated_stops import EmulatedStops
from engine.venues.ladder import LEVELS, write_depth
from engine.venues.port import Inlet, Notice, NoticeKind, Records, StreamHealth
from engine.venues.sheet import Sheet
from engine.venues.undecodable import Undecodable

_UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, Undecodable)
_ROOM: Final = 512
_SIDES: Final = {"buy": BUY, "sell": SELL}
_BOOK_LIMIT: Final = 100
_MOST_CANDLES: Final = 299  # the smallest page of the exchanges here


@dataclass
class _Feed:
    """One kind of stream: what to wait for and how to read what came."""

    name: str
    topics: str  # how the topics of ccxt's sockets for it begin
    watch: Callable[[], Awaitable[Any]]
    read: Callable[[], None]
    mute_s: float
    stands: bool = False
    data_ns: int = 0
    messages: int = 0
    reconnects: int = 0
    gaps: int = 0


class CcxtMarketData:
    """See `port.MarketData`. A feed without data for `mute_s` is mute; trades are given ten times as long."""

    def __init__(self, session: Session, board: Board, stops: EmulatedStops, mute_s: float, with_depth: bool) -> None:
        self._session, self._board, self._stops = session, board, stops
        self._mute_s, self._with_depth = mute_s, with_depth
        self._feeds: list[_Feed] = []
        self._sheet = Sheet()
        self._out: np.ndarray[Any, Any] = np.zeros(_ROOM, RECORD)
        self._last: dict[str, Any] = {}
        self._undecodable: Counter[str] = Counter()
        self._inlet: Inlet | None = None

    @property
    def name(self) -> str:
        return self._session.name

    # --- rules --------------------------------------------------------------------------------------

    async def load(self, symbols: Sequence[str]) -> list[Instrument]:
        """See the port. A perpetual's leverage brackets need a key; without one leverage 1 is assumed."""
        markets = await self._session.ask("load_markets", True, urgency=Urgency.MARKET_DATA)
        unknown = [symbol for symbol in symbols if symbol not in markets]
        if unknown:
            raise BadInput(f"{self.name} does not trade {', '.join(unknown)}; it has {len(markets)} symbols, such as "
                           f"{', '.join(sorted(markets)[:3])}")  # fmt: skip
        tiers = await self._tiers([symbol for symbol in symbols if markets[symbol].get("swap")])
        mode = self._session.exchange.precisionMode
        facts = self._session.facts
        found = [read_instrument(self.name, facts, mode, markets[symbol], tiers.get(symbol)) for symbol in symbols]
        if not self._board.by_number:
            self._board.bind(found)
        return found

    async def _tiers(self, symbols: list[str]) -> dict[str, Any]:
        exchange = self._session.exchange
        if not symbols or not exchange.apiKey or not exchange.has.get("fetchLeverageTiers"):
            return {}
        if not self._session.clock.samples:
            await self._session.measure_clock()
        found: dict[str, Any] = await self._session.ask("fetch_leverage_tiers", symbols)
        return found

    async def history(self, number: int, instrument: Instrument, timeframe_s: int, count: int) -> Records:
        """See the port."""
        await self._session.ask("load_markets", urgency=Urgency.MARKET_DATA)
        frames = self._session.exchange.timeframes or {}
        names = {self._session.exchange.parse_timeframe(name): name for name in frames}
        fitting = [seconds for seconds in names if timeframe_s % seconds == 0]
        if not fitting:
            known = ", ".join(str(seconds) for seconds in sorted(names))
            raise BadInput(f"timeframe {timeframe_s} s is not offered by {self.name}; it has {known}")
        step_s, asked_s = max(fitting), timeframe_s
        timeframe_s, count = step_s, min(count * (asked_s // step_s), _MOST_CANDLES)
        args = (instrument.symbol, names[timeframe_s], None, count + 1)
        rows = await self._session.ask("fetch_ohlcv", *args, urgency=Urgency.MARKET_DATA)
        now_ms = (time.time_ns() + self._session.clock.offset_ns) // 1_000_000
        closed = [tuple(row) for row in rows if row[0] + timeframe_s * 1000 <= now_ms and None not in row]
        return path_records(instrument, number, closed[-count:], timeframe_s)

    # --- streams ------------------------------------------------------------------------------------

    async def run(self, instruments: Sequence[Instrument], inlet: Inlet) -> None:
        """See the port."""
        listings = self._board.bind(instruments)
        self._inlet = inlet
        self._session.say = self._notice
        async with self._session.use():
            if not self._session.facts.is_tested:
                self._notice(
                    "rules", f"{self._session.exchange.id} is experimental: nobody tested it against a sandbox"
                )
            if listings:
                await self._learn(listings)
                self._feeds = self._plan(listings)
                async with asyncio.TaskGroup() as tasks:
                    for feed in self._feeds:
                        tasks.create_task(self._keep(feed, listings))

    def _plan(self, listings: list[Listing]) -> list[_Feed]:
        exchange, symbols = self._session.exchange, [listing.symbol for listing in listings]
        is_touch = self._session.facts.quotes == "touch" and exchange.has.get("watchBidsAsks")
        feeds = []
        if is_touch:
            watch = partial(exchange.watch_bids_asks, symbols)
            feeds.append(_Feed("quotes", "bidask", watch, partial(self._read_quotes, listings), self._mute_s))
        if self._with_depth or not is_touch:
            watch = partial(exchange.watch_order_book_for_symbols, symbols, _BOOK_LIMIT)
            read = partial(self._read_books, listings, not is_touch)
            feeds.append(_Feed("books", "orderbook", watch, read, self._mute_s))
        watch = partial(exchange.watch_trades_for_symbols, symbols)
        feeds.append(_Feed("trades", "trade", watch, partial(self._read_trades, listings), 10 * self._mute_s))
        if any(listing.instrument.kind == "perp" for listing in listings) and exchange.has.get("watchMarkPrices"):
            watch = partial(exchange.watch_mark_prices, symbols)
            feeds.append(_Feed("marks", "markPrice", watch, partial(self._read_marks, listings), 2 * self._mute_s))
        return feeds

    async def _learn(self, listings: list[Listing]) -> None:
        """ccxt's own list of markets, however long the exchange takes to be there."""
        back_off = BackOff()
        while True:
            try:
                await self._session.ask("load_markets", urgency=Urgency.MARKET_DATA)
            except Retryable as error:
                self._tell_lost(listings, "lost", f"{error}; trying again")
                await back_off.pause()
            else:
                return

    async def _keep(self, feed: _Feed, listings: list[Listing]) -> None:
        """Stay connected until cancelled."""
        back_off = BackOff()
        while True:
            try:
                async with asyncio.timeout(feed.mute_s):
                    await feed.watch()
            except TimeoutError:
                why = f"{feed.name}: no data for {feed.mute_s:g} s"
            except ccxt.ChecksumError as error:
                feed.gaps += 1
                self._tell_lost(listings, "gap", f"{feed.name}: {failure_of(error, '').text}; read anew")
                continue
            except ccxt.BaseError as error:
                why = f"{feed.name}: {failure_of(error, self._session.facts.codes).text}"
            else:
                back_off.reset()
                if not feed.stands:
                    feed.stands = True
                    self._notice("connected", f"{feed.name} of {len(listings)} symbols")
                feed.data_ns, feed.messages = time.time_ns(), feed.messages + 1
                feed.read()
                continue
            feed.stands = False
            feed.reconnects += 1
            self._tell_lost(listings, "lost", f"{why}; connecting again")
            await self._session.hang_up(feed.topics)
            await back_off.pause()

    def _tell_lost(self, listings: list[Listing], kind: NoticeKind, why: str) -> None:
        for first in range(0, len(listings), _ROOM):
            self._sheet.begin(self._out, time.time_ns())
            for listing in listings[first : first + _ROOM]:
                self._sheet.put(FEED_STATUS, listing.number, time.time_ns(), 0, 0, reasons.STALE_DATA, 0, 0, 0, 0, 0)
            self._flush()
        self._notice(kind, why)

    # --- reading: only what changed since the last look ----------------------------------------------

    def _read_quotes(self, listings: list[Listing]) -> None:
        for listing in listings:
            ticker = self._session.exchange.bidsasks.get(listing.symbol)
            if ticker is not None and ticker is not self._last.get(listing.symbol):
                self._last[listing.symbol] = ticker
                self._read(listing, self._put_quote, ticker)
        self._flush()

    def _put_quote(self, listing: Listing, ticker: Any) -> None:
        if not ticker["bid"] or not ticker["ask"]:
            return
        bid, ask = listing.prices.exact(ticker["bid"]), listing.prices.exact(ticker["ask"])
        lots = listing.lots
        info = ticker.get("info") or {}
        update = str(info.get("u") or "0")
        self._sheet.put(
            QUOTE, listing.number, self._at(ticker), 0, 0, 0, bid, lots.down(ticker["bidVolume"] or 0), ask,
            lots.down(ticker["askVolume"] or 0), int(update) if update.isdigit() else 0,
        )  # fmt: skip
        self._stops.quoted(listing.number, bid, ask)

    def _read_books(self, listings: list[Listing], with_quotes: bool) -> None:
        for listing in listings:
            book = self._session.exchange.orderbooks.get(listing.symbol)
            if book is not None and book["bids"] and book["asks"]:
                seen = (book.get("nonce"), book.get("timestamp"), book["bids"][0][:2], book["asks"][0][:2])
                if seen != self._last.get(f"book {listing.symbol}"):
                    self._last[f"book {listing.symbol}"] = seen
                    self._read(listing, self._put_quoted_book if with_quotes else self._put_book, book)
        self._flush()

    def _put_book(self, listing: Listing, book: Any) -> None:
        bids, asks = self._levels(listing, book["bids"]), self._levels(listing, book["asks"])
        write_depth(self._sheet, listing.number, self._at(book), bids, asks)

    def _put_quoted_book(self, listing: Listing, book: Any) -> None:
        bids, asks = self._levels(listing, book["bids"]), self._levels(listing, book["asks"])
        update = book.get("nonce") or 0
        self._sheet.put(QUOTE, listing.number, self._at(book), 0, 0, 0, *bids[0], *asks[0], update)
        if self._with_depth:
            write_depth(self._sheet, listing.number, self._at(book), bids, asks)
        self._stops.quoted(listing.number, bids[0][0], asks[0][0])

    def _levels(self, listing: Listing, side: Any) -> list[tuple[int, int]]:
        return [(listing.prices.exact(level[0]), listing.lots.down(level[1])) for level in side[:LEVELS]]

    def _read_trades(self, listings: list[Listing]) -> None:
        for listing in listings:
            kept = self._session.exchange.trades.get(listing.symbol)
            if kept is None or len(kept) == 0 or kept[len(kept) - 1] is self._last.get(f"trade {listing.symbol}"):
                continue
            newest = kept[len(kept) - 1]
            count = kept.getLimit(listing.symbol, None) or 0
            self._last[f"trade {listing.symbol}"] = newest
            for trade in kept[max(len(kept) - count, 0) : len(kept)]:
                self._read(listing, self._put_trade, trade)
        self._flush()

    def _put_trade(self, listing: Listing, trade: Any) -> None:
        price, side = listing.prices.exact(trade["price"]), _SIDES.get(trade.get("side"), 0)
        number = str(trade.get("id") or "0")
        self._sheet.put(
            TRADE, listing.number, self._at(trade), side, 0, 0, 0, price, listing.lots.down(trade["amount"]), 0,
            int(number) if number.isdigit() and len(number) <= 18 else 0,
        )  # fmt: skip
        self._stops.traded(listing.number, price)

    def _read_marks(self, listings: list[Listing]) -> None:
        for listing in listings:
            ticker = self._session.exchange.tickers.get(listing.symbol)
            if (
                ticker is not None
                and ticker.get("markPrice")
                and ticker is not self._last.get(f"mark {listing.symbol}")
            ):
                self._last[f"mark {listing.symbol}"] = ticker
                self._read(listing, self._put_mark, ticker)
        self._flush()

    def _put_mark(self, listing: Listing, ticker: Any) -> None:
        price = listing.prices.nearest(ticker["markPrice"])
        self._sheet.put(MARK, listing.number, self._at(ticker), 0, 0, 0, 0, price, 0, 0, 0)

    # --- out ----------------------------------------------------------------------------------------

    def _read(self, listing: Listing, put: Callable[[Listing, Any], None], told: Any) -> None:
        if self._sheet.count == 0 or self._sheet.count > _ROOM - 2 * LEVELS:
            self._flush()
            self._sheet.begin(self._out, time.time_ns())
        before = self._sheet.count
        try:
            put(listing, told)
        except _UNREADABLE as error:
            self._sheet.count = before  # half a book is none
            self._undecodable[listing.symbol] += 1
            if self._undecodable[listing.symbol] == 1:
                self._notice("undecodable", f"{listing.symbol}: {type(error).__name__} {error}", listing.number)

    def _flush(self) -> None:
        if self._sheet.count and self._inlet is not None:
            self._inlet.market(self._out, self._sheet.count)
        self._sheet.count = 0

    def _at(self, told: Any) -> int:
        stamp = told.get("timestamp")
        return int(stamp) * 1_000_000 if stamp else time.time_ns()

    def _notice(self, kind: NoticeKind, text: str, instrument: int | None = None) -> None:
        if self._inlet is not None:
            self._inlet.notice(Notice(self.name, kind, text, instrument))

    def health(self) -> list[StreamHealth]:
        """See the port: one row for each kind of data, then the addresses beneath."""
        bad = sum(self._undecodable.values())
        rows = [
            StreamHealth(one.name, one.stands, one.data_ns, one.messages, one.reconnects, one.gaps, bad)
            for one in self._feeds
        ]
        return rows + self._session.health()

    async def close(self) -> None:
        """Close what questions opened, where `run` was never called."""
        try:
            await self._session.close()
        except ccxt.BaseError as error:
            raise Retryable(failure_of(error, "").text) from None
