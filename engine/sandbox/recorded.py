"""Raw recorded messages of Binance as a market: what was quoted and traded, with the exchange's own ids.

A file holds one message a line (gzip or plain), after the time it was received: ``1723161254087891268 {...}`` or
``1633998512.06: {...}``, bare or wrapped in the name of its stream. Quotes (bookTicker) and trades (trade, or aggTrade
for a symbol without single trades) are played; other messages are counted and left out: the book behind the
touch is modelled here as for any other recording of quotes.

Whether a message is spot's or USD-M's is seen by what only one of the two says: USD-M names its bookTicker (`e`) and
tells what made a trade (`X`), spot carries `M` in every trade.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from engine.contracts import records as r
from engine.contracts.errors import BadData, BadInput
from engine.contracts.instruments import Instrument
from engine.markets.symbols import canonical, cluster, legs

VENUE: Final = "binance"
PERPS: Final = "binance_usdm"
PERP_RULES: Final[dict[str, Any]] = {
    "kind": "perp", "maker_fee": Decimal("0.0002"), "taker_fee": Decimal("0.0005"), "max_leverage": 20,
    "maintenance_margin_rate": Decimal("0.01"),
}  # fmt: skip
"""What is assumed of a perpetual."""
_PLACES: Final = 8
_MOST: Final = 10**9


class Message(msgspec.Struct):
    """The fields of the three kinds of message."""

    s: str = ""
    e: str = ""
    u: int = 0
    b: Any = None
    B: Any = None
    a: Any = None
    A: Any = None
    t: int = 0
    p: Any = None
    q: Any = None
    m: bool = False
    M: Any = None
    X: Any = None

    @property
    def is_perp(self) -> bool:
        """Whether USD-M said it."""
        return self.e == "bookTicker" or self.X is not None or (self.e == "aggTrade" and self.M is None)


class _Wrapped(msgspec.Struct):
    data: Message | None = None


class Row(NamedTuple):
    """One quote (four numbers) or trade (two, and the aggressor's side), numbers in 1e-8. A perpetual's `symbol`
    ends in its settlement asset: BTCUSDT:USDT."""

    symbol: str
    kind: str
    at_ns: int
    number: int
    side: int
    prices: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class RawMarket:
    """What a replay needs of a market. `skipped` counts the messages that were left out, by kind."""

    instruments: list[Instrument]
    from_ns: int
    to_ns: int
    skipped: Counter[str]
    records: Any
    synthetic: bool = False

    @property
    def events(self) -> int:
        """How many."""
        return len(self.records)

    def blocks(self, max_records: int = 131_072) -> Iterator[Any]:
        """The events in order of time, as fresh RECORD arrays of at most so many."""
        for start in range(0, len(self.records), max_records):
            yield self.records[start : start + max_records].copy()


def open_raw(paths: Sequence[Path], symbols: Sequence[str] = ()) -> RawMarket:
    """Read the files. Raises BadData for a file without such messages, BadInput for symbols that are not in it."""
    skipped: Counter[str] = Counter()
    rows = [row for path in paths for row in _rows(path, skipped)]
    single = {row.symbol for row in rows if row.kind == "trade"}
    rows = [row for row in rows if row.kind != "aggTrade" or row.symbol not in single]
    names = {name: canonical(VENUE, name) for name in sorted({row.symbol for row in rows})}
    wanted = {one.replace("/", "").upper() for one in symbols}
    missing = sorted(wanted - set(names))
    if missing:
        raise BadInput(f"symbols: {', '.join(missing)} is not in the recording; it has {', '.join(names)}")
    chosen = [name for name, pair in names.items() if pair is not None and (not wanted or name in wanted)]
    rows = sorted((row for row in rows if row.symbol in chosen), key=lambda row: row.at_ns)
    if not rows:
        raise BadData(
            f"{', '.join(map(str, paths))}: no quote and no trade of Binance spot or USD-M in it; name a raw recording"
        )
    instruments = [_instrument(str(names[name]), [row for row in rows if row.symbol == name]) for name in chosen]
    made = _records(rows, chosen, instruments)
    return RawMarket(instruments, rows[0].at_ns, rows[-1].at_ns + 1, skipped, made)


def _rows(path: Path, skipped: Counter[str]) -> Iterator[Row]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            for number, line in enumerate(file, 1):
                row = _row(path, number, line, skipped)
                if row is not None:
                    yield row
    except OSError as error:
        raise BadData(f"{path}: cannot be read ({error}); name a recording of raw messages, plain or .gz") from None


def _row(path: Path, number: int, line: bytes, skipped: Counter[str]) -> Row | None:
    stamp, brace, rest = line.partition(b"{")
    at_ns = _time_ns(stamp.strip().rstrip(b":"))
    if not brace or at_ns is None:
        skipped["no message"] += 1
        return None
    text = brace + rest
    try:
        wrapped = _WRAPPED.decode(text)
        message = wrapped.data or _PLAIN.decode(text)
        kind = message.e or ("bookTicker" if message.u and message.A is not None else "other")
        if kind == "bookTicker":
            prices, sizes = (_e8(message.b), _e8(message.a)), (_e8(message.B), _e8(message.A))
            return Row(_name(message), kind, at_ns, message.u, 0, prices, sizes)
        if kind in ("trade", "aggTrade"):
            trade_id = message.t if kind == "trade" else _whole(message.a)
            side = -1 if message.m else 1
            return Row(_name(message), kind, at_ns, trade_id, side, (_e8(message.p),), (_e8(message.q),))
    except (msgspec.MsgspecError, ArithmeticError, ValueError, TypeError) as error:
        raise BadData(f"{path}, line {number}: no message of Binance ({error}); leave the line out") from None
    skipped[kind] += 1
    return None


def _name(message: Message) -> str:
    pair = canonical(VENUE, message.s) if message.is_perp else None
    return message.s if pair is None else f"{message.s}:{legs(pair)[1]}"


_WRAPPED: Final = msgspec.json.Decoder(_Wrapped)
_PLAIN: Final = msgspec.json.Decoder(Message)


def _time_ns(text: bytes) -> int | None:
    """Nanoseconds of ``1723161254087891268`` or of ``1633998512.06`` (seconds)."""
    try:
        stamp = Decimal(text.decode())
    except (ArithmeticError, UnicodeDecodeError):
        return None
    return int(stamp if stamp > 10**12 else stamp * 10**9)


def _e8(text: Any) -> int:
    amount = Decimal(text).scaleb(_PLACES)
    if amount != int(amount) or not 0 <= amount < 10**18:
        raise ValueError(f"{text!r} is no price or quantity")
    return int(amount)


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no id")
    return value


def _instrument(pair: str, rows: list[Row]) -> Instrument:
    """Tick and lot as fine as the recording uses them; fees and limits are assumed."""
    tick = _finest(price for row in rows for price in row.prices)
    lot = _finest(size for row in rows for size in row.sizes)
    base, quote = legs(pair)
    rules = PERP_RULES if ":" in pair else {}
    return Instrument(
        symbol=pair, venue=PERPS if rules else VENUE, base=base, quote=quote, tick_size=tick, lot_size=lot, min_qty=lot,
        max_qty=lot * _MOST, min_notional=Decimal("0.0001") if quote in ("BTC", "ETH", "BNB") else Decimal(5),
        cluster=cluster(pair), **rules,
    )  # fmt: skip


def _finest(amounts: Any) -> Decimal:
    """The largest power of ten that divides all of them."""
    step = 10**_PLACES
    for amount in amounts:
        while amount % step:
            step //= 10
    return Decimal(step).scaleb(-_PLACES)


def _records(rows: list[Row], names: list[str], instruments: list[Instrument]) -> Any:
    made: Any = np.zeros(len(rows), r.RECORD)
    places = {name: number for number, name in enumerate(names)}
    steps = [(int(one.tick_size.scaleb(_PLACES)), int(one.lot_size.scaleb(_PLACES))) for one in instruments]
    for k, row in enumerate(rows):
        number = places[row.symbol]
        tick, lot = steps[number]
        one = made[k]
        one["ts_ns"] = one["venue_ts_ns"] = row.at_ns
        one["instrument"] = number
        if row.kind == "bookTicker":
            one["kind"], one["update_id"] = r.QUOTE, row.number
            one["bid_ticks"], one["ask_ticks"] = (price // tick for price in row.prices)
            one["bid_lots"], one["ask_lots"] = (size // lot for size in row.sizes)
        else:
            one["kind"], one["side"], one["ref_id"] = r.TRADE, row.side, row.number
            one["price_ticks"], one["qty_lots"] = row.prices[0] // tick, row.sizes[0] // lot
    return made
