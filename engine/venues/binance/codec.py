"""Binance's messages, spot and USD-M, to records: bytes in, 64-byte RECORDs out.

Pure: no sockets, no clock; the same messages in the same order give the same records. Raw messages, combined
streams (`{"stream","data"}`), the WS API's user stream (`{"subscriptionId","event"}`) and its answers
(`{"id","status","result"|"error"}`) are told apart by their fields.

Best quotes are most of the traffic and take a short cut; everything else is looked at once to see what it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts.instruments import Instrument
from engine.venues.binance import market_messages as market
from engine.venues.binance import user_messages as user
from engine.venues.binance.asides import Aside
from engine.venues.binance.client_ids import ClientIds
from engine.venues.binance.replies import RequestId, read_reply
from engine.venues.binance.slate import Slate
from engine.venues.ladder import Snapshot
from engine.venues.undecodable import Undecodable

MOST_RECORDS: Final = 8
"""Enough room in `out` for what any message becomes (five levels of a partial book)."""

_NONE: Final = msgspec.Raw(b"")


class _Probe(msgspec.Struct):
    """The fields that say which kind of message this is."""

    e: str = ""
    stream: str = ""
    data: msgspec.Raw = _NONE
    event: msgspec.Raw = _NONE
    id: RequestId = None
    status: market.Int64 = 0
    result: msgspec.Raw = _NONE
    error: msgspec.Raw = _NONE
    code: market.Int64 | None = None
    lastUpdateId: market.Int64 | None = None
    A: msgspec.Raw = _NONE
    a: msgspec.Raw = _NONE


class _QuoteInStream(msgspec.Struct, gc=False):
    """`{"stream":"btcusdt@bookTicker","data":{...}}`"""

    data: market.BookTicker


Reader = tuple["msgspec.json.Decoder[Any]", Callable[[Slate, Any, str], None]]


def _reader(shape: type[Any], read: Callable[[Slate, Any, str], None]) -> Reader:
    return msgspec.json.Decoder(shape), read


READERS: Final[dict[str, Reader]] = {
    "bookTicker": _reader(market.BookTicker, market.read_quote),
    "trade": _reader(market.Trade, market.read_trade),
    "aggTrade": _reader(market.AggTrade, market.read_agg_trade),
    "depthUpdate": _reader(market.DepthUpdate, market.read_depth),
    "(partial book)": _reader(market.WholeBook, market.read_partial_depth),
    "markPriceUpdate": _reader(market.MarkPrice, market.read_mark),
    "executionReport": _reader(user.ExecutionReport, user.read_execution),
    "outboundAccountPosition": _reader(user.OutboundAccountPosition, user.read_account_position),
    "balanceUpdate": _reader(user.BalanceUpdate, user.read_balance_update),
    "listStatus": _reader(user.ListStatus, user.read_list_status),
    "ORDER_TRADE_UPDATE": _reader(user.OrderTradeUpdate, user.read_order_update),
    "ALGO_UPDATE": _reader(user.AlgoUpdate, user.read_algo_update),
    "ACCOUNT_UPDATE": _reader(user.AccountUpdate, user.read_account_update),
    "listenKeyExpired": _reader(user.Ended, user.read_ended),
    "eventStreamTerminated": _reader(user.Ended, user.read_ended),
    "serverShutdown": _reader(user.Ended, user.read_ended),
}
"""Event name -> its shape and what it becomes. Other names (kline, TRADE_LITE, ...) are counted and ignored."""

_PROBE: Final = msgspec.json.Decoder(_Probe)
_QUOTE_IN_STREAM: Final = msgspec.json.Decoder(_QuoteInStream)
_SNAPSHOT: Final = msgspec.json.Decoder(market.WholeBook)


class Codec:
    """Decoder of one Binance venue. Keeps: the funding due next, which orders triggered stops became, counts."""

    def __init__(self, instruments: Sequence[Instrument], client_ids: ClientIds, venue: str | None = None) -> None:
        """`instruments` is the engine's list, its positions the records' instrument numbers; with `venue` only that
        venue's are understood. Raises BadInput where two of them have the same symbol."""
        self._slate = Slate(instruments, client_ids, venue)

    @property
    def asides(self) -> list[Aside]:
        """What the last message said besides records (see `asides`); cleared by the next `decode`."""
        return self._slate.asides

    @property
    def ignored(self) -> Counter[str]:
        """Messages understood to be irrelevant or of unknown type, by name, since the start."""
        return self._slate.ignored

    def decode(self, message: bytes, ts_ns: int, out: np.ndarray[Any, Any]) -> int:
        """Write what `message`, seen at `ts_ns`, means into `out`; returns how many records (0: nothing for the core).

        `out` is a 1-d RECORD array of at least MOST_RECORDS; reuse the same one, binding a new array costs a little.
        Raises Undecodable naming what and why; `out`, asides and the memory of triggered stops may then hold
        part of the message and must not be used. Spot quotes and partial books carry no time: `venue_ts_ns` = `ts_ns`.
        """
        slate = self._slate
        slate.sheet.begin(out, ts_ns)
        if slate.asides:
            slate.asides.clear()
        try:
            if b'@bookTicker"' in message[:48]:
                market.read_quote(slate, _QUOTE_IN_STREAM.decode(message).data, "")
            else:
                self._read(message, "")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Undecodable(f"not a message Binance sends: {error}") from error
        return slate.sheet.count

    def snapshot(self, message: bytes, symbol: str) -> Snapshot:
        """The REST depth answer for a venue symbol, for `Ladder.snapshot`. Raises Undecodable."""
        try:
            return market.read_snapshot(self._slate, _SNAPSHOT.decode(message), symbol)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Undecodable(f"{symbol}: not a depth answer: {error}") from error

    def _read(self, message: bytes | msgspec.Raw, stream: str) -> None:
        probe = _PROBE.decode(message)
        if not stream and probe.data is not _NONE:
            self._read(probe.data, probe.stream or "(none)")
        elif not stream and probe.event is not _NONE:
            self._read(probe.event, "(user)")
        elif probe.e:
            self._dispatch(probe.e, message, stream)
        elif probe.lastUpdateId is not None:
            self._dispatch("(partial book)", message, stream)
        elif probe.A is not _NONE and probe.a is not _NONE:
            self._dispatch("bookTicker", message, stream)
        else:
            self._reply(probe, message)

    def _dispatch(self, name: str, message: bytes | msgspec.Raw, stream: str) -> None:
        reader = READERS.get(name)
        if reader is None:
            self._slate.ignore(name)
            return
        decoder, read = reader
        read(self._slate, decoder.decode(message), stream)

    def _reply(self, probe: _Probe, message: bytes | msgspec.Raw) -> None:
        error = bytes(message if probe.code is not None else probe.error)
        error = b"" if error == b"null" else error
        if not error and probe.result is _NONE and not probe.status:
            raise Undecodable("neither an event (e, stream, event) nor an answer (id with result, status or error)")
        read_reply(self._slate, probe.id, probe.status, bytes(probe.result), error)
