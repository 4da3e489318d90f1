"""Rows a person can read, folded from a journal. Money in USD as exact decimals, time int64 ns UTC.

`seq` is the position of the causing event in the stream; with `ts_ns` it places every row.
Sides are "buy"/"sell" for orders and fills, "long"/"short" for trades.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One order with its last known state. `reason` is why it was wanted, `refusal` why the venue said no."""

    client_id: int
    seq: int
    ts_ns: int
    symbol: str
    venue: str
    strategy: str
    role: str
    side: str
    order_type: str
    tif: str
    reduce_only: bool
    post_only: bool
    price: Decimal
    qty: Decimal
    trigger: Decimal
    replaces: int
    reason: str
    status: str
    filled_qty: Decimal
    refusal: str
    done_ts_ns: int


class FillRow(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. (`venue`, `symbol`, `trade_id`) is unique: the idempotency key of the projector."""

    trade_id: int
    client_id: int
    seq: int
    ts_ns: int
    symbol: str
    venue: str
    side: str
    price: Decimal
    qty: Decimal
    fee_usd: Decimal
    maker: bool
    forced: bool
    role: str


class TradeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One closed round trip. net = gross - fees + funding. `slippage_usd` (>= 0 is a cost) is already
    inside gross: fills against the decision prices. `r_multiple` = net / risk at the stop.

    `regime` (of the market) and `forecast` (with its confidence and age) are those in force when the entry was decided,
    None where there was no forecast; `hour` is the UTC hour of the entry."""

    trade_no: int
    seq: int
    opened_ns: int
    closed_ns: int
    symbol: str
    venue: str
    strategy: str
    side: str
    qty: Decimal
    entry_price: Decimal
    exit_price: Decimal
    stop_price: Decimal
    gross_usd: Decimal
    fees_usd: Decimal
    funding_usd: Decimal
    net_usd: Decimal
    slippage_usd: Decimal
    risk_usd: Decimal
    r_multiple: float | None
    mae_usd: Decimal
    mfe_usd: Decimal
    exit_reason: str
    regime: str = "unknown"
    forecast: float | None = None
    forecast_confidence: float | None = None
    forecast_age_s: float | None = None
    hour: int = 0


class EquityRow(msgspec.Struct, frozen=True, kw_only=True):
    """Marked equity. `free_usd` is the least uncommitted cash since the row before (never below the reserve)."""

    seq: int
    ts_ns: int
    equity_usd: Decimal
    cash_usd: Decimal
    free_usd: Decimal
    day_pnl_usd: Decimal
    open_risk_usd: Decimal


class RefusalRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry or order the risk gate or the venue refused. `measured_usd` broke `limit_usd` where both apply."""

    seq: int
    ts_ns: int
    symbol: str
    strategy: str
    side: str
    reason: str
    source: str  # "risk" or "venue"
    measured_usd: Decimal
    limit_usd: Decimal


class GapRow(msgspec.Struct, frozen=True, kw_only=True):
    """A closed trade, a day, or (cause GAP_DRAWDOWN) the account since its peak, that lost more than its plan because
    the price was not there: with its cause."""

    seq: int
    ts_ns: int
    symbol: str
    strategy: str
    trade_no: int
    cause: str
    loss_usd: Decimal
    planned_usd: Decimal
    stop_price: Decimal


class StateRow(msgspec.Struct, frozen=True, kw_only=True):
    """A change of trading state: ACTIVE, REDUCING, HALTED."""

    seq: int
    ts_ns: int
    before: str
    after: str
    reason: str


class RegimeRow(msgspec.Struct, frozen=True, kw_only=True):
    """The market changed from one regime to another, with what was measured (see `engine.core.regime.FEATURES`)."""

    seq: int
    ts_ns: int
    symbol: str  # of the leader, empty where the mean of all pairs was looked at
    before: str
    after: str
    trend: float
    volatility: float
    breadth: float
    spread: float
    liquidity: float
    funding: float
    cycles: int


class SelectionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy's share (0..1) of the risk budget changed. `mean_r` plus `radius_r` is what its weight was made from,
    of `trades` (discounted) in `regime`."""

    seq: int
    ts_ns: int
    strategy: str
    regime: str
    reason: str
    before: float
    share: float
    mean_r: float
    radius_r: float
    trades: float


class CycleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A triangular cycle that is over. `way` is what was held, one after the other (``USDT > BTC > ETH > USDT``);
    edges are bps of `amount_usd`, fees and what was left over included. One in `shadow` sent nothing. A cycle that was
    sent and filled anything is also a TradeRow."""

    seq: int
    ts_ns: int
    begun_ns: int  # of one in shadow not told: when it ended
    venue: str
    way: str
    shadow: bool
    reason: str  # CYCLE_DONE, CYCLE_UNWOUND, CYCLE_MISSED, EMERGENCY_EXIT
    quoted_bps: float
    realised_bps: float
    amount_usd: Decimal
    net_usd: Decimal


class DeskRow(msgspec.Struct, frozen=True, kw_only=True):
    """Cycles of a venue were let out of shadow (`trading`), or back into it; `mean_bps` is what the last ones realised
    in the mean, `decay_bps` what is expected to be lost between quote and last leg."""

    seq: int
    ts_ns: int
    venue: str
    trading: bool
    reason: str
    mean_bps: float
    decay_bps: float


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a journal says happened, in stream order."""

    orders: list[OrderRow]
    fills: list[FillRow]
    trades: list[TradeRow]
    equity: list[EquityRow]
    refusals: list[RefusalRow]
    gaps: list[GapRow]
    states: list[StateRow]
    regimes: list[RegimeRow] = []
    selections: list[SelectionRow] = []
    cycles: list[CycleRow] = []
    desks: list[DeskRow] = []
