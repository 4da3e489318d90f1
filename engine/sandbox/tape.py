"""What the exchange shows everybody about one symbol: quotes, trades, candles, the book.

All of it in integers (ticks, lots, 1e-8 quote units); times are the wire clock's milliseconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from engine.contracts.errors import BadInput
from engine.contracts.instruments import E8, Instrument

KEPT_TRADES: Final = 5000
SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
KEPT_SECONDS: Final = 20_000
MOST_TICKS: Final = 10**10
"""Highest price an order may carry, in ticks: keeps every product of the venue inside 64 bits."""


@dataclass(slots=True)
class Trade:
    """A public trade. `is_buyer_maker`: the seller was the aggressor."""

    trade_id: int
    ticks: int
    lots: int
    time_ms: int
    is_buyer_maker: bool


@dataclass(slots=True)
class Bar:
    """One minute or second. Prices in ticks, amounts in lots and 1e-8 quote units; ids are -1 where nothing traded."""

    open_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    quote_e8: int = 0
    count: int = 0
    taker_lots: int = 0
    taker_quote_e8: int = 0
    first_id: int = -1
    last_id: int = -1

    def add(self, other: Bar) -> None:
        """Extend by a later bar."""
        self.high, self.low, self.close = max(self.high, other.high), min(self.low, other.low), other.close
        self.lots += other.lots
        self.quote_e8 += other.quote_e8
        self.count += other.count
        self.taker_lots += other.taker_lots
        self.taker_quote_e8 += other.taker_quote_e8
        self.first_id = other.first_id if self.first_id < 0 else self.first_id
        self.last_id = max(self.last_id, other.last_id)


@dataclass(slots=True)
class Tape:
    """One symbol as everybody sees it. `update_id` grows with every change of the book. Orders' prices and quantities
    must be multiples of `tick_step` ticks and `lot_step` lots (A12); the recorded market keeps its own grid."""

    index: int
    instrument: Instrument
    name: str = ""
    tick_e8: int = 0
    lot_e8: int = 0
    _value_num: int = 0
    _value_den: int = 1
    tick_step: int = 1
    lot_step: int = 1
    update_id: int = 1
    bid_ticks: int = 0
    bid_lots: int = 0
    ask_ticks: int = 0
    ask_lots: int = 0
    last_ticks: int = 0
    last_lots: int = 0
    next_trade_id: int = 1
    trades: deque[Trade] = field(default_factory=lambda: deque(maxlen=KEPT_TRADES))
    bars: list[Bar] = field(default_factory=list)  # minutes, since the history began
    seconds: list[Bar] = field(default_factory=list)  # the latest `KEPT_SECONDS` at least

    def __post_init__(self) -> None:
        one = self.instrument
        self.name = one.base + one.quote
        self.tick_e8, self.lot_e8 = int(one.tick_size * E8), int(one.lot_size * E8)
        if self.tick_e8 != one.tick_size * E8 or self.lot_e8 != one.lot_size * E8:
            raise BadInput(f"{one.symbol}: a tick or a lot is finer than 1e-8; leave the symbol out")
        self._value_num, self._value_den = one.tick_lot_e8.as_integer_ratio()

    def quote(self, bid: int, bid_lots: int, ask: int, ask_lots: int, time_ms: int, recorded_id: int = 0) -> bool:
        """A new best bid and ask; False where it is none (crossed, empty). Its number is the recorded one where
        that is a later one."""
        if not 0 < bid < ask or bid_lots < 0 or ask_lots < 0:
            return False
        self.bid_ticks, self.bid_lots, self.ask_ticks, self.ask_lots = bid, bid_lots, ask, ask_lots
        self.update_id = max(self.update_id + 1, recorded_id)
        if self.next_trade_id == 1:  # only quotes so far: the mid stands in for the last price
            self.last_ticks = (bid + ask) >> 1
            self._bars_at(time_ms, self.last_ticks)
        return True

    def trade(self, ticks: int, lots: int, side: int, time_ms: int, recorded_id: int = 0) -> Trade | None:
        """A public trade; a `side` of 0 is guessed from the price's move. Numbered like quotes."""
        if ticks <= 0 or lots <= 0:
            return None
        seller = side < 0 if side else ticks < self.last_ticks
        one = Trade(max(self.next_trade_id, recorded_id), ticks, lots, time_ms, seller)
        self.next_trade_id = one.trade_id + 1
        self.last_ticks, self.last_lots = ticks, lots
        self.trades.append(one)
        value = self.value_e8(ticks, lots)
        for bar in self._bars_at(time_ms, ticks):
            bar.lots += lots
            bar.quote_e8 += value
            bar.count += 1
            if not seller:
                bar.taker_lots += lots
                bar.taker_quote_e8 += value
            bar.first_id = one.trade_id if bar.first_id < 0 else bar.first_id
            bar.last_id = one.trade_id
        return one

    def _bars_at(self, time_ms: int, ticks: int) -> tuple[Bar, Bar]:
        """The minute's and the second's bar, widened to the price."""
        return self._widened(self.bars, MINUTE_MS, time_ms, ticks), self._widened(
            self.seconds, SECOND_MS, time_ms, ticks
        )

    def _widened(self, bars: list[Bar], length_ms: int, time_ms: int, ticks: int) -> Bar:
        fill(bars, length_ms, time_ms)
        bar = bars[-1] if bars else None
        if bar is None:
            bar = Bar(time_ms // length_ms * length_ms, ticks, ticks, ticks, ticks)
            bars.append(bar)
        elif bar.count == 0 and self.next_trade_id > 1:  # only stood in for: the first trade opens the bar
            bar.open = bar.high = bar.low = ticks
        bar.high, bar.low, bar.close = max(bar.high, ticks), min(bar.low, ticks), ticks
        return bar

    def fill_minutes(self, time_ms: int) -> None:
        """Open the bars up to this time at the last close, as the exchange does where nothing trades."""
        fill(self.bars, MINUTE_MS, time_ms)
        fill(self.seconds, SECOND_MS, time_ms)
        if len(self.seconds) > 2 * KEPT_SECONDS:
            del self.seconds[:-KEPT_SECONDS]

    def value_e8(self, ticks: int, lots: int) -> int:
        """Value in 1e-8 quote units, rounded down where it is finer."""
        return ticks * lots * self._value_num // self._value_den

    def cost_e8(self, ticks: int, lots: int) -> int:
        """What a buyer pays: the value rounded up where it is finer than 1e-8."""
        return -(-ticks * lots * self._value_num // self._value_den)

    def lots_for(self, ticks: int, quote_e8: int) -> int:
        """The most lots that cost no more than this."""
        return quote_e8 * self._value_den // (ticks * self._value_num)

    def ticks_for(self, lots: int, product: int) -> int:
        """The highest price at which so many lots stay below the largest product the venue can compute."""
        return product // (lots * self._value_num)

    def price(self, ticks: int) -> str:
        """Price as the exchange writes it: eight decimals."""
        return text_e8(ticks * self.tick_e8)

    def quantity(self, lots: int) -> str:
        """Quantity as the exchange writes it: eight decimals."""
        return text_e8(lots * self.lot_e8)


def fill(bars: list[Bar], length_ms: int, time_ms: int) -> None:
    """Bars up to this time; those without a price of their own repeat the last close."""
    start = time_ms // length_ms * length_ms
    while bars and bars[-1].open_ms < start:
        last = bars[-1]
        bars.append(Bar(last.open_ms + length_ms, last.close, last.close, last.close, last.close))


def text_e8(amount: int) -> str:
    """A 1e-8 integer as decimal text with eight decimals: 12345 -> ``0.00012345``."""
    sign = "-" if amount < 0 else ""
    whole, rest = divmod(abs(amount), E8)
    return f"{sign}{whole}.{rest:08d}"
