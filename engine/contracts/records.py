"""The one record layout: every event, command and note is 64 bytes.

Rules
-----
* Everything that can influence a decision is an *event* (kinds 1-99) in one ordered stream.
* What the core wants done is a *command* (kinds 100-109); it is journalled before it leaves.
* What the core wants remembered is a *note* (kinds 110-): refusals, closed trades, equity, gaps.
* No floats: prices are integer ticks, quantities integer lots, money 1e-8 USD (``_e8``),
  rates 1e-12 (``_e12``), forecasts and parameters 1e-9 (``_e9``), time int64 ns UTC.
* Five payload words at offsets 24..56 carry a different meaning by kind; the names below
  overlap on purpose and `KINDS` says which names are meaningful for which kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

RECORD_BYTES: Final = 64
NO_INSTRUMENT: Final = 65535

_FIELDS: Final[tuple[tuple[str, str, int], ...]] = (
    ("ts_ns", "<i8", 0),  # when the engine sees it
    ("venue_ts_ns", "<i8", 8),  # events: when the venue says it happened
    ("strategy", "<u2", 8),  # commands and notes use the same word for these eight
    ("order_type", "<u1", 10),
    ("tif", "<u1", 11),
    ("leverage", "<u2", 12),
    ("role", "<u2", 14),
    ("funding_e6", "<i2", 10),
    ("regime", "<u2", 12),
    ("hour", "<u2", 14),
    ("before", "<u2", 14),
    ("kind", "<u2", 16),
    ("instrument", "<u2", 18),
    ("side", "<i1", 20),  # +1 buy, -1 sell, 0 none
    ("bits", "<u1", 21),
    ("reason", "<u2", 22),
    ("level", "<u2", 22),
    ("cycles", "<u2", 22),
    # word 0
    ("client_id", "<i8", 24),
    ("bid_ticks", "<i8", 24),
    ("rate_e12", "<i8", 24),
    ("timer_id", "<i8", 24),
    ("index", "<i8", 24),
    ("trade_no", "<i8", 24),
    ("equity_e8", "<i8", 24),
    ("measured_e8", "<i8", 24),
    ("legs", "<i8", 24),
    ("trend_e9", "<i8", 24),
    ("share_e9", "<i8", 24),
    # word 1
    ("price_ticks", "<i8", 32),
    ("bid_lots", "<i8", 32),
    ("value_e9", "<i8", 32),
    ("gross_e8", "<i8", 32),
    ("mae_e8", "<i8", 32),
    ("entry_value_e8", "<i8", 32),
    ("cash_e8", "<i8", 32),
    ("limit_e8", "<i8", 32),
    ("loss_e8", "<i8", 32),
    ("quoted_e9", "<i8", 32),
    ("r_e9", "<i8", 32),
    ("volatility_e9", "<i8", 32),
    ("mean_e9", "<i8", 32),
    # word 2
    ("qty_lots", "<i8", 40),
    ("ask_ticks", "<i8", 40),
    ("confidence_e9", "<i8", 40),
    ("fees_e8", "<i8", 40),
    ("mfe_e8", "<i8", 40),
    ("free_e8", "<i8", 40),
    ("planned_e8", "<i8", 40),
    ("realised_e9", "<i8", 40),
    ("breadth_e9", "<i8", 40),
    ("radius_e9", "<i8", 40),
    # word 3
    ("trigger_ticks", "<i8", 48),
    ("ask_lots", "<i8", 48),
    ("fee_e8", "<i8", 48),
    ("spread_ticks", "<i8", 48),
    ("amount_e8", "<i8", 48),
    ("expires_ns", "<i8", 48),
    ("funding_e8", "<i8", 48),
    ("slippage_e8", "<i8", 48),
    ("exit_value_e8", "<i8", 48),
    ("due_ns", "<i8", 48),
    ("day_pnl_e8", "<i8", 48),
    ("forecast_e9", "<i8", 48),
    ("spread_e9", "<i8", 48),
    ("trades_e9", "<i8", 48),
    # word 4
    ("ref_id", "<i8", 56),
    ("trade_id", "<i8", 56),
    ("venue_order_id", "<i8", 56),
    ("update_id", "<i8", 56),
    ("depth_lots", "<i8", 56),
    ("digest", "<i8", 56),
    ("risk_e8", "<i8", 56),
    ("opened_ns", "<i8", 56),
    ("stop_ticks", "<i8", 56),
    ("open_risk_e8", "<i8", 56),
    ("forecast_age_ns", "<i8", 56),
    ("liquidity_e9", "<i8", 56),
    ("before_e9", "<i8", 56),
)


def _record_dtype(fields: tuple[tuple[str, str, int], ...], size: int) -> np.dtype[Any]:
    layout = np.dtype(
        {
            "names": [f[0] for f in fields],
            "formats": [f[1] for f in fields],
            "offsets": [f[2] for f in fields],
            "itemsize": size,
        }
    )
    return np.dtype((np.record, layout))


RECORD: Final = _record_dtype(_FIELDS, RECORD_BYTES)
"""Overlapping 64-byte layout. `np.record` gives attribute access in plain Python and in numba."""

ENTRY: Final = np.dtype((np.record, [("seq", "<i8"), ("record", RECORD)]))
"""A journalled record: `seq` is the position in the event stream (commands and notes carry the
seq of the event that caused them)."""

# --- events -----------------------------------------------------------------------------------
QUOTE: Final = 1
DEPTH: Final = 2
TRADE: Final = 3
PATH: Final = 4
MARK: Final = 5
FUNDING: Final = 6
ORDER_ACK: Final = 10
ORDER_REJECT: Final = 11
FILL: Final = 12
CANCEL_ACK: Final = 13
CANCEL_REJECT: Final = 14
ORDER_EXPIRED: Final = 15
ORDER_UNKNOWN: Final = 16
ORDER_TRIGGERED: Final = 17
TIMER: Final = 20
FEED_STATUS: Final = 21
FORECAST: Final = 22
PARAMETER: Final = 23
LIMIT: Final = 24
OPERATOR: Final = 25
FILTER: Final = 26
BALANCE: Final = 27
FOREIGN: Final = 28
# --- commands ---------------------------------------------------------------------------------
PLACE: Final = 100
CANCEL: Final = 101
# --- notes ------------------------------------------------------------------------------------
REFUSED: Final = 110
CLOSED: Final = 111
EXCURSION: Final = 112
TRADE_SIZE: Final = 113
EQUITY: Final = 114
STATE: Final = 115
GAP: Final = 116
VIOLATION: Final = 117
CYCLE: Final = 118
OUTCOME: Final = 119
REGIME: Final = 120
SELECTION: Final = 121

FIRST_COMMAND: Final = 100
FIRST_NOTE: Final = 110

# --- bits -------------------------------------------------------------------------------------
REDUCE_ONLY: Final = 1  # commands
POST_ONLY: Final = 2
MAKER: Final = 1  # fills
FEE_IN_BASE: Final = 2  # fills: fee_e8 is in 1e-8 base units, not USD
FORCED: Final = 4  # fills: liquidation or venue close, no order of ours
JUMP: Final = 8  # path points, and fills on them: the price did not move continuously from the previous point
LAST: Final = 16  # depth: last level of the batch; path: last point of its candle
CORRECTION: Final = 32  # balances: the venue says so (reconciliation), not a deposit
SHADOW: Final = 1  # cycles: reckoned on the books as they stood, nothing was sent
ADOPTED: Final = 64  # fills: by no order of ours, but of our position: a manual close, the watchdog, an adoption

# --- small vocabularies -----------------------------------------------------------------------
BUY: Final = 1
SELL: Final = -1
MARKET: Final = 1
LIMIT_ORDER: Final = 2
STOP_MARKET: Final = 3
STOP_LIMIT: Final = 4
GTC: Final = 1
IOC: Final = 2
FOK: Final = 3
ROLE_ENTRY: Final = 1
ROLE_EXIT: Final = 2
ROLE_STOP: Final = 3
ROLE_LEG: Final = 4  # a conversion: coins and cash are exchanged, no position is opened

ORDER_TYPES: Final = {MARKET: "market", LIMIT_ORDER: "limit", STOP_MARKET: "stop_market", STOP_LIMIT: "stop_limit"}
TIME_IN_FORCE: Final = {GTC: "gtc", IOC: "ioc", FOK: "fok"}
ROLES: Final = {ROLE_ENTRY: "entry", ROLE_EXIT: "exit", ROLE_STOP: "stop", ROLE_LEG: "leg"}


def joined(blocks: Sequence[np.ndarray[Any, Any]], dtype: np.dtype[Any] = ENTRY) -> np.ndarray[Any, Any]:
    """Blocks one after the other, keeping the layout (`np.concatenate` would repack overlapping fields)."""
    out = np.empty(sum(len(block) for block in blocks), dtype)
    memory, at = out.view(np.uint8), 0
    for block in blocks:
        size = block.size * dtype.itemsize
        memory[at : at + size] = np.ascontiguousarray(block).view(np.uint8)
        at += size
    return out


class Kind(NamedTuple):
    """Name and meaningful field names (besides ts_ns, kind, instrument) of one record kind."""

    name: str
    fields: tuple[str, ...]


_ORDER = ("client_id", "price_ticks", "qty_lots", "trigger_ticks", "venue_order_id", "venue_ts_ns", "reason")
_WANT = ("strategy", "order_type", "tif", "leverage", "role", "side", "bits", "reason")

KINDS: Final[dict[int, Kind]] = {
    QUOTE: Kind("quote", ("venue_ts_ns", "bid_ticks", "bid_lots", "ask_ticks", "ask_lots", "update_id")),
    DEPTH: Kind("depth", ("venue_ts_ns", "level", "bits", "bid_ticks", "bid_lots", "ask_ticks", "ask_lots")),
    TRADE: Kind("trade", ("venue_ts_ns", "side", "price_ticks", "qty_lots", "trade_id")),
    PATH: Kind("path", ("venue_ts_ns", "bits", "price_ticks", "qty_lots", "spread_ticks", "depth_lots")),
    # rate_e12 and due_ns (venue time) of the next funding payment; due_ns 0: not told
    MARK: Kind("mark", ("venue_ts_ns", "price_ticks", "rate_e12", "due_ns")),
    FUNDING: Kind("funding", ("venue_ts_ns", "rate_e12", "price_ticks", "amount_e8")),
    ORDER_ACK: Kind("order_ack", _ORDER),
    ORDER_REJECT: Kind("order_reject", _ORDER),
    FILL: Kind("fill", ("venue_ts_ns", "client_id", "side", "bits", "price_ticks", "qty_lots", "fee_e8", "trade_id")),
    CANCEL_ACK: Kind("cancel_ack", _ORDER),
    CANCEL_REJECT: Kind("cancel_reject", _ORDER),
    ORDER_EXPIRED: Kind("order_expired", _ORDER),
    ORDER_UNKNOWN: Kind("order_unknown", _ORDER),
    ORDER_TRIGGERED: Kind("order_triggered", _ORDER),
    TIMER: Kind("timer", ("timer_id",)),
    FEED_STATUS: Kind("feed_status", ("reason",)),
    FORECAST: Kind("forecast", ("index", "value_e9", "confidence_e9", "expires_ns", "digest")),
    PARAMETER: Kind("parameter", ("reason", "index", "value_e9")),
    LIMIT: Kind("limit", ("index", "amount_e8")),
    OPERATOR: Kind("operator", ("reason", "trigger_ticks")),  # trigger_ticks: of an adoption, its stop
    FILTER: Kind("filter", ("index", "amount_e8")),
    # `index` is the asset, `instrument` any of the venue whose wallet it is; none will do where there is one wallet
    BALANCE: Kind("balance", ("index", "amount_e8", "bits")),
    # a position at the venue that is not ours: signed lots, 0 where it is gone
    FOREIGN: Kind("foreign", ("qty_lots",)),
    PLACE: Kind("place", (*_WANT, "client_id", "price_ticks", "qty_lots", "trigger_ticks", "ref_id")),
    CANCEL: Kind("cancel", (*_WANT, "client_id")),
    REFUSED: Kind("refused", ("strategy", "side", "reason", "measured_e8", "limit_e8", "qty_lots", "trigger_ticks")),
    CLOSED: Kind("closed", ("strategy", "side", "reason", "trade_no", "gross_e8", "fees_e8", "funding_e8", "risk_e8")),
    EXCURSION: Kind("excursion", ("strategy", "trade_no", "mae_e8", "mfe_e8", "slippage_e8", "opened_ns")),
    TRADE_SIZE: Kind(
        "trade_size", ("strategy", "trade_no", "entry_value_e8", "qty_lots", "exit_value_e8", "stop_ticks")
    ),
    EQUITY: Kind("equity", ("equity_e8", "cash_e8", "free_e8", "day_pnl_e8", "open_risk_e8")),
    STATE: Kind("state", ("reason", "index", "value_e9")),
    GAP: Kind("gap", ("strategy", "reason", "trade_no", "loss_e8", "planned_e8", "stop_ticks")),
    VIOLATION: Kind("violation", ("reason", "client_id", "price_ticks", "qty_lots")),
    # three legs by instrument (16 bits each, the first lowest) and, from bit 48 on, which of them buy; edges are parts
    # of what was paid in (1e-9), `amount_e8` is what went in (USD), `risk_e8` what the cycle may lose
    CYCLE: Kind("cycle", ("strategy", "bits", "reason", "legs", "quoted_e9", "realised_e9", "amount_e8", "risk_e8")),
    # what an entry was decided on, beside its CLOSED: `r_e9` is net result / planned loss, rounded down
    OUTCOME: Kind(
        "outcome",
        ("strategy", "side", "regime", "hour", "trade_no", "r_e9", "confidence_e9", "forecast_e9", "forecast_age_ns"),
    ),
    # the market changed: features as in `engine.core.regime`, funding in 1e-6, cycles an hour, spread in times its mean
    REGIME: Kind(
        "regime",
        (
            "regime",
            "before",
            "trend_e9",
            "volatility_e9",
            "breadth_e9",
            "spread_e9",
            "liquidity_e9",
            "funding_e6",
            "cycles",
        ),
    ),  # fmt: skip
    # a strategy's share of the risk budget changed: mean, radius and trades are what it was made from
    SELECTION: Kind(
        "selection",
        ("strategy", "regime", "reason", "share_e9", "mean_e9", "radius_e9", "trades_e9", "before_e9"),
    ),
}


def as_dict(record: Any) -> dict[str, int | str]:
    """One record as named integers, only the fields its kind gives a meaning to.

    Raises KeyError with the number for an unknown kind: a record nobody can read must not pass silently.
    """
    number = int(record["kind"])
    if number not in KINDS:
        raise KeyError(f"unknown record kind {number}; known kinds are {sorted(KINDS)}")
    kind = KINDS[number]
    head: dict[str, int | str] = {"kind": kind.name, "ts_ns": int(record["ts_ns"])}
    if int(record["instrument"]) != NO_INSTRUMENT:
        head["instrument"] = int(record["instrument"])
    return head | {name: int(record[name]) for name in kind.fields}
