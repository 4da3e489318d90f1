"""Market data of Binance: rules, candles, and the streams of quotes, trades, marks and (where asked for) books."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts.errors import BadInput, Retryable
from engine.contracts.instruments import Instrument
from engine.contracts.records import RECORD
from engine.venues.binance.books import Books
from engine.venues.binance.codec import MOST_RECORDS, Codec
from engine.venues.binance.link import Link
from engine.venues.binance.rest import heed_cancellation
from engine.venues.binance.rules import wanted
from engine.venues.binance.slate import venue_symbol
from engine.venues.budgets import BUDGETS, Urgency
from engine.venues.candles import path_records
from engine.venues.connection import Connection
from engine.venues.ladder import Diff
from engine.venues.port import Inlet, NoticeKind, Records, StreamHealth

MUTE_S: Final = 15.0
"""Quotes of all symbols of a socket together are never this long apart."""
MOST_SYMBOLS: Final = 60
"""Symbols a socket: its URL stays below 8 KiB."""
MOST_CANDLES: Final = 1000
MOST_HISTORY: Final = 5_000
"""Candles read of one instrument: five requests."""
INTERVALS: Final[dict[int, str]] = {
    1: "1s", 60: "1m", 180: "3m", 300: "5m", 900: "15m", 1800: "30m", 3600: "1h", 7200: "2h", 14400: "4h", 21600: "6h",
    28800: "8h", 43200: "12h", 86400: "1d",
}  # fmt: skip


class BinanceMarket:
    """MarketData of one Binance market. `mute_s`: a socket without data for that long is dead."""

    def __init__(self, link: Link, depth: bool = False, mute_s: float = MUTE_S) -> None:
        self._link, self._depth, self._mute_s = link, depth, mute_s
        self._streams: list[_Stream] = []

    @property
    def name(self) -> str:
        return self._link.venue

    async def load(self, symbols: Sequence[str]) -> list[Instrument]:
        for symbol in symbols:
            wanted(symbol)
        rules = await self._link.load_rules()
        missing = [symbol for symbol in symbols if symbol not in rules]
        if missing:
            raise BadInput(f"{self.name} does not trade {', '.join(missing)} (now); leave it out of symbols")
        self._link.loaded = list(symbols)
        return [rules[symbol].instrument for symbol in symbols]

    async def history(self, number: int, instrument: Instrument, timeframe_s: int, count: int) -> Records:
        finest = max((length for length in self._link.dialect.candles if timeframe_s % length == 0), default=0)
        if not finest:
            raise BadInput(f"timeframe {timeframe_s} s: {self.name} has candles of whole minutes only")
        wanted_count = min(count * (timeframe_s // finest), MOST_HISTORY)
        candles: list[Any] = []
        first: dict[str, int] = {}
        while len(candles) < wanted_count + 1:
            limit = min(MOST_CANDLES, wanted_count + 1 - len(candles))
            asked: dict[str, str | int] = {
                "symbol": venue_symbol(instrument), "interval": INTERVALS[finest], "limit": limit, **first,
            }  # fmt: skip
            rows = self._candles(await self._link.rest.get(self._link.dialect.klines, asked))
            candles = rows + candles
            if len(rows) < limit:
                break
            first = {"endTime": rows[0][0] - 1}
        now_ms = self._link.timestamp_ms
        closed = [c for c in candles if c[0] + finest * 1000 <= now_ms][-wanted_count:]
        return path_records(instrument, number, closed, finest)

    def _candles(self, body: bytes) -> list[tuple[int, float, float, float, float, float]]:
        try:
            rows = msgspec.json.decode(body, type=list[list[Any]])
            return [(int(r[0]), *(float(text) for text in r[1:6])) for r in rows]  # type: ignore[misc]
        except (msgspec.MsgspecError, ValueError, IndexError, TypeError):
            raise Retryable(f"{self.name}: its candles cannot be read") from None

    async def run(self, instruments: Sequence[Instrument], inlet: Inlet) -> None:
        async with self._link.open(instruments, inlet):
            self._streams = self._open(list(self._link.mine.items()))
            async with asyncio.TaskGroup() as group:
                for stream in self._streams:
                    group.create_task(stream.connection.run())

    def health(self) -> list[StreamHealth]:
        return [stream.connection.health for stream in self._streams]

    def _open(self, mine: list[tuple[int, Instrument]]) -> list[_Stream]:
        path, channels, depth = self._link.dialect.quote_streams
        kinds = [(path, (*channels, depth) if self._depth else channels), self._link.dialect.other_streams]
        return [
            _Stream(self._link, kind_path, kind_channels, dict(mine[at : at + MOST_SYMBOLS]), self._mute_s)
            for kind_path, kind_channels in kinds
            if kind_channels
            for at in range(0, len(mine), MOST_SYMBOLS)
        ]


class _Stream:
    """One socket and the instruments it feeds."""

    def __init__(
        self, link: Link, path: str, channels: tuple[str, ...], fed: dict[int, Instrument], mute_s: float
    ) -> None:
        self._link, self._fed = link, fed
        names = [f"{venue_symbol(one).lower()}@{channel}" for one in fed.values() for channel in channels]
        self._url = f"{link.rest.endpoints.ws}{path}?streams={'/'.join(names)}"
        self._codec = Codec(link.instruments, link.client_ids, link.venue)
        self._out: np.ndarray[Any, Any] = np.zeros(MOST_RECORDS, RECORD)
        name = f"{link.venue}{path}" + (f" from {next(iter(fed.values())).symbol}" if len(fed) < len(link.mine) else "")
        self.connection = Connection(name, self._where, self, mute_s)
        self._books = Books(link, self._codec, self.connection) if any("depth" in name for name in channels) else None
        self._decode: Callable[[bytes, int, np.ndarray[Any, Any]], int] = self._codec.decode
        self._tell: Callable[[np.ndarray[Any, Any], int], None] = link.inlet.market
        self._asides = self._codec.asides

    async def _where(self) -> str:
        await allow_connection(self._link)
        return self._url

    def up(self) -> None:
        if self._books is not None:
            self._books.reset()

    def hear(self, message: bytes, ts_ns: int) -> None:
        count = self._decode(message, ts_ns, self._out)
        if count:
            self._tell(self._out, count)
        elif self._asides and self._books is not None:
            for aside in self._asides:
                if isinstance(aside, Diff):
                    self._books.apply(aside, ts_ns)

    def down(self) -> None:
        self._link.distrust(tuple(self._fed))

    def say(self, kind: NoticeKind, text: str) -> None:
        self._link.say(kind, text)


async def allow_connection(link: Link) -> None:
    """Wait until the venue takes another connection. Raises Retryable."""
    budget = f"{link.dialect.budget}.connections"
    if budget in BUDGETS:
        await link.rest.limiter.acquire(budget, 1, Urgency.CANCEL)
    heed_cancellation()
