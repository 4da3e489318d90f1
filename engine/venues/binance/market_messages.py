"""Public market data: what Binance sends and which records it becomes.

Spot and USD-M share the letters; USD-M adds `T` (matching time) and `pu` (the diff before). Examples stand in the
docstrings, fields we do not use are left out of the structs and skipped while parsing.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from engine.contracts.records import BUY, FUNDING, MARK, QUOTE, SELL, TRADE
from engine.venues.binance.decimals import floor_of, time_ns
from engine.venues.binance.slate import Slate
from engine.venues.ladder import Diff, Snapshot, write_depth
from engine.venues.undecodable import Undecodable

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Stamp = Annotated[int, Meta(ge=0, le=10**17)]
TextLevels = list[tuple[str, str]]

FIRST_LEVELS: Final = 5


class BookTicker(msgspec.Struct, gc=False):
    """`{"u":400900217,"s":"BNBUSDT","b":"25.35","B":"31.21","a":"25.36","A":"40.66"}`; USD-M adds e, T and E."""

    u: Int64
    s: str
    b: str
    B: str
    a: str
    A: str
    T: Stamp = 0
    E: Stamp = 0


class Trade(msgspec.Struct, gc=False):
    """`{"e":"trade","E":1,"s":"BNBUSDT","t":12345,"p":"0.001","q":"100","T":1,"m":true}`; USD-M adds X."""

    s: str
    t: Int64
    p: str
    q: str
    T: Stamp
    m: bool
    X: str = "MARKET"


class AggTrade(msgspec.Struct, gc=False):
    """`{"e":"aggTrade","E":1,"s":"BNBUSDT","a":5,"p":"0.001","q":"100","f":1,"l":2,"T":1,"m":true}`"""

    s: str
    a: Int64
    p: str
    q: str
    T: Stamp
    m: bool


class DepthUpdate(msgspec.Struct):
    """`{"e":"depthUpdate","E":1,"s":"BNBUSDT","U":157,"u":160,"b":[["0.0024","10"]],"a":[]}`; USD-M adds T and pu."""

    s: str
    E: Stamp
    U: Int64
    u: Int64
    b: TextLevels
    a: TextLevels
    pu: Int64 | None = None
    T: Stamp | None = None


class WholeBook(msgspec.Struct):
    """`{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[]}`: REST snapshot and spot partial depth; no symbol."""

    lastUpdateId: Int64
    bids: TextLevels
    asks: TextLevels
    T: Stamp | None = None


class MarkPrice(msgspec.Struct, gc=False):
    """`{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"11794.15","i":"11784.62","r":"0.00038167","T":2}`

    `r` is the rate that will be paid at `T`; both are empty or 0 for contracts that pay no funding.
    """

    s: str
    E: Stamp
    p: str
    r: str = ""
    T: Stamp = 0


def read_quote(slate: Slate, m: BookTicker, stream: str) -> None:
    """QUOTE. The spot message carries no time: its venue time is the time we saw it."""
    market = slate.markets.get(m.s) or slate.market(m.s)
    prices, sizes, sheet = market.prices, market.sizes, slate.sheet
    stamp = m.T or m.E
    seen = time_ns(stamp) if stamp else sheet.ts_ns
    sheet.put(QUOTE, market.number, seen, 0, 0, 0, prices[m.b], sizes[m.B], prices[m.a], sizes[m.A], m.u)


def read_trade(slate: Slate, m: Trade, stream: str) -> None:
    """TRADE, its side the aggressor's. USD-M trades off the book (insurance fund, ADL) are left out."""
    if m.X != "MARKET":
        slate.ignore(f"trade {m.X}")
        return
    _trade(slate, m.s, m.t, m.p, m.q, m.T, m.m)


def read_agg_trade(slate: Slate, m: AggTrade, stream: str) -> None:
    """TRADE for all fills of one aggressor at one price, under the aggregate's id. Subscribe to this or to trade."""
    _trade(slate, m.s, m.a, m.p, m.q, m.T, m.m)


def _trade(slate: Slate, symbol: str, number: int, price: str, quantity: str, at: int, buyer_made: bool) -> None:
    market = slate.market(symbol)
    side = SELL if buyer_made else BUY
    slate.sheet.put(
        TRADE, market.number, time_ns(at), side, 0, 0, 0, market.prices[price], market.sizes[quantity], 0, number
    )


def read_depth(slate: Slate, m: DepthUpdate, stream: str) -> None:
    """A `Diff` for the instrument's ladder; on a partial stream (`btcusdt@depth5`) the five best levels as DEPTH."""
    market = slate.market(m.s)
    prices, sizes = market.prices, market.sizes
    bids = [(prices[price], sizes[size]) for price, size in m.b]
    asks = [(prices[price], sizes[size]) for price, size in m.a]
    seen = time_ns(m.T if m.T is not None else m.E)
    if is_partial(stream):
        write_depth(slate.sheet, market.number, seen, bids, asks)
    else:
        slate.asides.append(Diff(market.number, seen, m.U, m.u, m.pu, bids, asks))


def read_partial_depth(slate: Slate, m: WholeBook, stream: str) -> None:
    """Spot partial depth: five DEPTH records. The symbol stands only in the stream's name; venue time is ours."""
    symbol, at, _ = stream.partition("@")
    if not at:
        raise Undecodable("a partial book outside a combined stream names no symbol; subscribe through /stream")
    market = slate.market(symbol.upper())
    prices, sizes = market.prices, market.sizes
    bids = [(prices[price], sizes[size]) for price, size in m.bids[:FIRST_LEVELS]]
    asks = [(prices[price], sizes[size]) for price, size in m.asks[:FIRST_LEVELS]]
    seen = time_ns(m.T) if m.T is not None else slate.sheet.ts_ns
    write_depth(slate.sheet, market.number, seen, bids, asks)


def read_mark(slate: Slate, m: MarkPrice, stream: str) -> None:
    """MARK (rounded to the nearest tick) with the coming payment; FUNDING once, when the next payment's time moves on.

    The message repeats the coming rate every second or three; only the last one said before the due time is paid.
    That record has `amount_e8` 0: what was really paid on our position arrives on the user stream.
    """
    market = slate.market(m.s)
    mark = market.prices.nearest(m.p)
    if market.funding_ms and m.T > market.funding_ms:
        slate.sheet.put(FUNDING, market.number, time_ns(market.funding_ms), 0, 0, 0, market.rate_e12, mark, 0, 0, 0)
    if m.T and m.r:
        market.funding_ms = max(m.T, market.funding_ms)
        market.rate_e12 = floor_of(m.r, f"{m.s}: funding rate", 12)
    due_ns = time_ns(market.funding_ms) if market.funding_ms else 0
    slate.sheet.put(MARK, market.number, time_ns(m.E), 0, 0, 0, market.rate_e12, mark, 0, due_ns, 0)


def read_snapshot(slate: Slate, m: WholeBook, symbol: str) -> Snapshot:
    """The REST depth answer as a ladder's `Snapshot`."""
    market = slate.market(symbol)
    prices, sizes = market.prices, market.sizes
    bids = [(prices[price], sizes[size]) for price, size in m.bids]
    asks = [(prices[price], sizes[size]) for price, size in m.asks]
    return Snapshot(market.number, time_ns(m.T) if m.T is not None else 0, m.lastUpdateId, bids, asks)


def is_partial(stream: str) -> bool:
    """True for `btcusdt@depth20@100ms`, false for the diff stream `btcusdt@depth@100ms`."""
    _, _, channel = stream.partition("@")
    return channel.startswith("depth") and channel[5:6].isdigit()
