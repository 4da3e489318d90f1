"""The simulated exchange's memory: its own books, orders, balances, and the lanes to and from it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts.errors import BadInput, Fatal
from engine.contracts.records import RECORD
from engine.core.book import BOOK
from engine.core.compile import kernel
from engine.core.memory import Flat
from engine.core.orders import POOL
from engine.core.state import Core

SENDS: Final = 1024
REPLIES: Final = 8192
MS: Final = 1_000_000

# name: (default, lowest, highest, unit, meaning)
BOUNDS: Final[dict[str, tuple[float, float, float, str, str]]] = {
    "order_latency_ms": (100.0, 0.001, 60_000.0, "ms", "from our decision until the venue works on the order"),
    "reply_latency_ms": (50.0, 0.001, 60_000.0, "ms", "from the venue's answer until we know it"),
    "stop_slippage_bps": (3.0, 0.0, 1000.0, "bps", "a stop hit inside a candle fills this far behind its trigger"),
    "taker_slippage_bps": (0.0, 0.0, 1000.0, "bps", "the book has moved so far against a taker when its order arrives"),
    "book_levels": (20.0, 1.0, 100.0, "levels", "levels assumed behind the touch where no depth is recorded"),
    "liquidation_fee_bps": (50.0, 0.0, 1000.0, "bps", "extra fee of a forced close"),
}


class SimulationModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Assumptions of the simulated venue; see `BOUNDS`. Raises BadInput out of bounds."""

    order_latency_ms: float = BOUNDS["order_latency_ms"][0]
    reply_latency_ms: float = BOUNDS["reply_latency_ms"][0]
    stop_slippage_bps: float = BOUNDS["stop_slippage_bps"][0]
    taker_slippage_bps: float = BOUNDS["taker_slippage_bps"][0]
    book_levels: float = BOUNDS["book_levels"][0]
    liquidation_fee_bps: float = BOUNDS["liquidation_fee_bps"][0]

    def __post_init__(self) -> None:
        for name, (_, low, high, unit, _meaning) in BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadInput(f"simulation.{name} = {value} is outside {low:g}..{high:g} {unit}")


def _integers(*names: str) -> np.dtype[Any]:
    return np.dtype((np.record, [(name, "<i8") for name in names]))


VENUE_HEAD: Final = _integers(
    "now_ns", "sends_first", "sends_count", "replies_first", "replies_count", "next_order_id", "next_trade_id",
    "cash_e8", "locked_e8", "margin_e8", "live_count", "order_latency_ns", "reply_latency_ns", "stop_slip_e8",
    "taker_slip_e8", "book_levels", "liquidation_fee_e8",
)  # fmt: skip

VENUE_ORDER: Final = _integers(
    "client_id",  # 0: free
    "venue_order_id",
    "instrument",
    "side",
    "order_type",
    "tif",
    "bits",
    "price_ticks",
    "trigger_ticks",
    "left_lots",
    "queue_lots",  # estimated quantity ahead of ours at our price
    "locked_e8",  # cash promised to what is left of it
    "leverage",
)

HOLDING: Final = _integers(
    "base_e8",  # spot: 1e-8 base units held
    "locked_lots",  # spot: lots promised to resting sells
    "qty_lots",  # perpetuals: signed position, its entry value and margin
    "cost_e8",
    "margin_e8",
    "leverage",
    "taken_ask_lots",  # what we took of the asks, and of the bids, shown since the last quote
    "taken_bid_lots",
)


def new_venue(core: Core, model: SimulationModel) -> Flat:
    """A venue with the core's instruments and starting balances, and its own memory of both. It is one account with one
    cash, whatever venues the instruments name: a backtest over several of them trades from a common purse, and dollars
    and stablecoins are one. Coins are kept by asset: what was bought for cash pays in a pair that is paid in it."""
    n = len(core.instruments)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "head": np.zeros(1, VENUE_HEAD),
        "instruments": core.state.instruments.copy(),
        "books": np.zeros(n, BOOK),
        "orders": np.zeros(POOL + 1, VENUE_ORDER),  # the last one is the venue's own: forced closes, blank answers
        "live": np.zeros(POOL, np.int64),  # slots of resting orders, oldest first
        "working": np.zeros(n, np.int64),  # resting orders by instrument
        "holdings": np.zeros(n, HOLDING),
        "promised_e8": np.zeros(n, np.int64),  # of the coins that lie in a row, promised to orders
        "base_row": core.state.instruments["base_home"].copy(),  # where an instrument's coins lie, -1: in the cash
        "quote_row": core.state.instruments["quote_home"].copy(),  # where what pays for it lies
        "sends": np.zeros(SENDS, RECORD),  # commands on their way; ts_ns is their arrival
        "replies": np.zeros(REPLIES, RECORD),  # answers on their way; ts_ns is their arrival
    }
    head = arrays["head"][0]
    head.next_order_id = head.next_trade_id = 1
    head.cash_e8 = core.state.head[0].cash_e8
    head.order_latency_ns = round(model.order_latency_ms * MS)
    head.reply_latency_ns = round(model.reply_latency_ms * MS)
    head.stop_slip_e8 = round(model.stop_slippage_bps * 10_000)
    head.taker_slip_e8 = round(model.taker_slippage_bps * 10_000)
    head.book_levels = int(model.book_levels)
    head.liquidation_fee_e8 = round(model.liquidation_fee_bps * 10_000)
    for i, row in enumerate(arrays["instruments"]):
        if row["base_is_cash"] == 0 and row["base_home"] < 0:
            arrays["base_row"][i] = i
    return Flat("venue", arrays)


def keep_apart(venue: Flat) -> None:
    """Make it a venue of one quote asset, whatever that is: its cash pays for everything, and each instrument's coins
    are its own. For whoever keeps one wallet over several such venues."""
    venue.base_row[:] = np.arange(len(venue.base_row))
    venue.quote_row[:] = -1


VENUE_FIELDS: Final = (
    "head", "instruments", "books", "orders", "live", "working", "holdings", "sends", "replies",
    "promised_e8", "base_row", "quote_row",
)  # fmt: skip


def venue_memory(venue: Flat) -> dict[str, np.ndarray[Any, Any]]:
    """The venue's arrays by name, for snapshots."""
    return {name: getattr(venue, name) for name in VENUE_FIELDS}


def restore_venue(venue: Flat, memory: dict[str, np.ndarray[Any, Any]]) -> None:
    """Put a snapshot's arrays back in place. Raises Fatal where it was taken with another layout."""
    for name in VENUE_FIELDS:
        mine = getattr(venue, name)
        given = memory.get(name)
        if given is None or given.shape != mine.shape or given.dtype != mine.dtype:
            raise Fatal(f"the snapshot's venue.{name} is of another configuration or build; run from the start")
        mine[:] = given


@kernel
def send(v: Any, command: Any) -> None:
    """Put a command of ours on its way to the venue."""
    head = v.head[0]
    if head.sends_count >= v.sends.shape[0]:
        raise IndexError("too many commands in flight")
    place = v.sends[(head.sends_first + head.sends_count) % v.sends.shape[0]]
    head.sends_count += 1
    copy_record(place, command)
    place.ts_ns = command.ts_ns + head.order_latency_ns


@kernel
def reply(v: Any, kind: int, order: Any, reason: int) -> Any:
    """Put an answer about an order on its way to us; the caller adds what is special to its kind."""
    head = v.head[0]
    if head.replies_count >= v.replies.shape[0]:
        raise IndexError("too many replies in flight")
    record = v.replies[(head.replies_first + head.replies_count) % v.replies.shape[0]]
    head.replies_count += 1
    record.ts_ns = head.now_ns + head.reply_latency_ns
    record.venue_ts_ns = head.now_ns
    record.kind = kind
    record.instrument = order.instrument
    record.side = order.side
    record.bits = 0
    record.reason = reason
    record.client_id = order.client_id
    record.price_ticks = order.price_ticks
    record.qty_lots = order.left_lots
    record.trigger_ticks = order.trigger_ticks
    record.venue_order_id = order.venue_order_id
    return record


@kernel
def own_order(v: Any) -> Any:
    """The venue's own order slot, which no client id can reach; its client id is always 0."""
    return v.orders[POOL]


@kernel
def copy_record(target: Any, source: Any) -> None:
    """Copy all eight words of a record."""
    target.ts_ns = source.ts_ns
    target.venue_ts_ns = source.venue_ts_ns
    target.kind = source.kind
    target.instrument = source.instrument
    target.side = source.side
    target.bits = source.bits
    target.reason = source.reason
    target.client_id = source.client_id
    target.price_ticks = source.price_ticks
    target.qty_lots = source.qty_lots
    target.trigger_ticks = source.trigger_ticks
    target.ref_id = source.ref_id
