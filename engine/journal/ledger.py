"""Fold a journal into rows a person can read: one handler per record kind, in a table at the end.

Rules
-----
* Market data changes nothing here; a kind without a row in the table is an error, never skipped.
* An order's status follows `core.life`; a happening without a row there leaves it (the core notes the violation).
* A fill the venue reported twice (same instrument and trade id, same content) counts once.
* A closed trade is told in three notes with one trade_no: CLOSED, EXCURSION, TRADE_SIZE, in any order; a fourth,
  OUTCOME, says what it was decided on (older journals have none).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Context, Decimal, localcontext
from typing import Any, Final

import msgspec
import numpy as np

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.errors import Fatal
from engine.contracts.instruments import Instrument
from engine.contracts.ledger import (
    EquityRow,
    FillRow,
    GapRow,
    Ledger,
    OrderRow,
    RefusalRow,
    RegimeRow,
    SelectionRow,
    StateRow,
    TradeRow,
)  # fmt: skip
from engine.core import life
from engine.core.outcomes import NO_FORECAST
from engine.core.regime import REGIMES
from engine.journal.cycle_rows import CycleBook
from engine.journal.plain import PLAIN
from engine.journal.plain import Row as _Row

SIDES: Final = {r.BUY: "buy", r.SELL: "sell", 0: ""}
DIRECTIONS: Final = {r.BUY: "long", r.SELL: "short"}
TRADING_STATES: Final = {0: "ACTIVE", 1: "REDUCING", 2: "HALTED"}
_LAST_MARKET_KIND: Final = r.FUNDING
_EXACT: Final = Context(prec=38)
_HOUR_NS: Final = 3_600_000_000_000

# A status says what is known at the venue: a cancel under way or a part filled before it does not hide that.
_STATUS: Final = {
    life.SUBMITTED: ("submitted", "submitted"),
    life.ACCEPTED: ("accepted", "partially_filled"),
    life.PARTIAL: ("partially_filled", "partially_filled"),
    life.CANCELING: ("accepted", "partially_filled"),
    life.UNKNOWN: ("unknown", "unknown"),
    life.FILLED: ("filled", "filled"),
    life.CANCELED: ("canceled", "canceled"),
    life.REJECTED: ("rejected", "rejected"),
    life.EXPIRED: ("expired", "expired"),
}

_HAPPENING: Final = {
    r.ORDER_ACK: life.ACKED,
    r.ORDER_REJECT: life.REFUSED,
    r.CANCEL_ACK: life.CANCEL_DONE,
    r.CANCEL_REJECT: life.CANCEL_REFUSED,
    r.ORDER_EXPIRED: life.RAN_OUT,
    r.ORDER_UNKNOWN: life.IN_DOUBT,
    r.ORDER_TRIGGERED: life.TRIGGERED,
    r.CANCEL: life.CANCEL_SENT,
}


class _Order:
    """An order while its story is still being told."""

    __slots__ = ("done_ns", "filled_lots", "place", "refusal", "state")

    def __init__(self, place: _Row) -> None:
        self.place = place
        self.state = life.SUBMITTED
        self.filled_lots = 0
        self.refusal = ""
        self.done_ns = 0

    def happen(self, happening: int, ts_ns: int) -> None:
        before = self.state
        self.state = life.LIFE.get((before, happening), before)
        if self.state >= life.FIRST_DONE and self.state != before:
            self.done_ns = ts_ns


class _Fold:
    """The ledger under construction."""

    def __init__(self, instruments: Sequence[Instrument], strategies: Mapping[int, str]) -> None:
        self.instruments = instruments
        self.strategies = strategies
        self.unit_sizes = [each.lot_size * each.contract_size for each in instruments]
        self.orders: dict[int, _Order] = {}
        self.seen_fills: dict[tuple[int, int], tuple[int, ...]] = {}
        self.open_trades: dict[int, dict[int, _Row]] = {}
        self.fills: list[FillRow] = []
        self.trades: list[TradeRow] = []
        self.equity: list[EquityRow] = []
        self.refusals: list[RefusalRow] = []
        self.gaps: list[GapRow] = []
        self.states: list[StateRow] = []
        self.outcomes: dict[int, _Row] = {}
        self.regimes: list[RegimeRow] = []
        self.selections: list[SelectionRow] = []
        self.cycles = CycleBook(instruments)

    def instrument(self, row: _Row) -> Instrument:
        if row.instrument >= len(self.instruments):
            raise _contradiction(row, f"instrument {row.instrument}, the manifest lists {len(self.instruments)}")
        return self.instruments[row.instrument]

    def symbol(self, row: _Row) -> str:
        return "" if row.instrument == r.NO_INSTRUMENT else self.instrument(row).symbol

    def strategy(self, row: _Row) -> str:
        """Its name; an unknown number is shown, never hidden; rows about the whole account have none."""
        if row.instrument == r.NO_INSTRUMENT:
            return ""
        return self.strategies.get(row.strategy, f"STRATEGY_{row.strategy}")

    def ledger(self, last_seq: int) -> Ledger:
        for trade_no, notes in self.open_trades.items():
            newest = max(notes.values())
            if newest.seq != last_seq:  # at the very end the rest was torn off; replay writes it again
                raise _contradiction(newest, f"trade {trade_no} is told only in part")
        return Ledger(
            orders=[_order_row(self, order) for order in self.orders.values()],
            fills=self.fills,
            trades=[_decided_on(row, self.outcomes.get(row.trade_no)) for row in self.trades],
            equity=self.equity,
            refusals=self.refusals,
            gaps=self.gaps,
            states=self.states,
            regimes=self.regimes,
            selections=self.selections,
            cycles=self.cycles.cycles,
            desks=self.cycles.desks,
        )


def fold(
    blocks: Iterable[np.ndarray[Any, Any]], instruments: Sequence[Instrument], strategies: Mapping[int, str]
) -> Ledger:
    """Everything the ENTRY `blocks` say happened. `instruments` by record index, `strategies` number -> name.

    Prices that are quotients carry 38 digits; everything else is exact. Raises Fatal naming the seq where the
    journal contradicts itself or the manifest.
    """
    state = _Fold(instruments, strategies)
    last_seq = -1
    with localcontext(_EXACT):
        for block in blocks:
            last_seq = int(block["seq"][-1]) if len(block) else last_seq
            plain = block.view(PLAIN)
            for row in map(_Row._make, plain[plain["kind"] > _LAST_MARKET_KIND].tolist()):
                handler = _HANDLERS.get(row.kind)
                if handler is None:
                    raise _contradiction(row, f"unknown record kind {row.kind} (a newer program wrote it?)")
                handler(state, row)
        return state.ledger(last_seq)


def _contradiction(row: _Row, what: str) -> Fatal:
    return Fatal(f"journal entry with seq {row.seq}: {what}; the journal and its manifest do not belong together")


def _usd(amount_e8: int) -> Decimal:
    return Decimal(amount_e8).scaleb(-8)


def _place(state: _Fold, row: _Row) -> None:
    if row.w0 in state.orders:
        raise _contradiction(row, f"client order id {row.w0} is placed twice")
    state.instrument(row)
    state.orders[row.w0] = _Order(row)


def _order_event(state: _Fold, row: _Row) -> None:
    if (order := state.orders.get(row.w0)) is not None:  # foreign orders are the core's violation to note
        order.happen(_HAPPENING[row.kind], row.ts_ns)


def _order_ended(state: _Fold, row: _Row) -> None:
    _order_event(state, row)
    order = state.orders.get(row.w0)
    if order is not None and row.reason:
        order.refusal = reasons.name(row.reason)
    if row.kind == r.ORDER_REJECT:
        state.refusals.append(
            RefusalRow(
                seq=row.seq, ts_ns=row.ts_ns, symbol=state.symbol(row),
                strategy=state.strategy(order.place) if order else "",
                side=SIDES[order.place.side] if order else SIDES[row.side],
                reason=reasons.name(row.reason), source="venue", measured_usd=Decimal(0), limit_usd=Decimal(0),
            )
        )  # fmt: skip


def _fill(state: _Fold, row: _Row) -> None:
    instrument = state.instrument(row)
    content = (row.w0, row.side, row.bits, row.w1, row.w2, row.w3)
    key = (row.instrument, row.w4)
    if (before := state.seen_fills.setdefault(key, content)) is not content:
        if before != content:
            raise _contradiction(row, f"{instrument.symbol} trade id {row.w4} names two different fills")
        return
    order = state.orders.get(row.w0)
    if order is not None:
        order.filled_lots += row.w2
        full = order.filled_lots >= order.place.w2
        order.happen(life.ALL_FILLED if full else life.PART_FILLED, row.ts_ns)
    price = instrument.price(row.w1)
    fee = _usd(row.w3)
    forced = bool(row.bits & r.FORCED)
    state.fills.append(
        FillRow(
            trade_id=row.w4, client_id=row.w0, seq=row.seq, ts_ns=row.ts_ns, symbol=instrument.symbol,
            venue=instrument.venue, side=SIDES[row.side], price=price, qty=instrument.quantity(row.w2),
            fee_usd=fee * price if row.bits & r.FEE_IN_BASE else fee, maker=bool(row.bits & r.MAKER), forced=forced,
            role=r.ROLES.get(order.place.role, "") if order else "exit" if forced else "",
        )
    )  # fmt: skip


def _refused(state: _Fold, row: _Row) -> None:
    state.refusals.append(
        RefusalRow(
            seq=row.seq, ts_ns=row.ts_ns, symbol=state.symbol(row), strategy=state.strategy(row), side=SIDES[row.side],
            reason=reasons.name(row.reason), source="risk", measured_usd=_usd(row.w0), limit_usd=_usd(row.w1),
        )
    )  # fmt: skip


def _trade_note(state: _Fold, row: _Row) -> None:
    notes = state.open_trades.setdefault(row.w0, {})
    if row.kind in notes:
        raise _contradiction(row, f"trade {row.w0} has two {r.KINDS[row.kind].name} notes")
    notes[row.kind] = row
    if len(notes) == 3:
        del state.open_trades[row.w0]
        state.trades.append(_trade_row(state, notes[r.CLOSED], notes[r.EXCURSION], notes[r.TRADE_SIZE]))


def _trade_row(state: _Fold, closed: _Row, excursion: _Row, size: _Row) -> TradeRow:
    instrument = state.instrument(closed)
    units = size.w2 * state.unit_sizes[closed.instrument]
    if units <= 0 or closed.side not in DIRECTIONS:
        raise _contradiction(size, f"trade {closed.w0} has quantity {size.w2} and side {closed.side}")
    gross, fees, funding, risk = _usd(closed.w1), _usd(closed.w2), _usd(closed.w3), _usd(closed.w4)
    net = gross - fees + funding
    return TradeRow(
        trade_no=closed.w0, seq=closed.seq, opened_ns=excursion.w4, closed_ns=closed.ts_ns, symbol=instrument.symbol,
        venue=instrument.venue, strategy=state.strategy(closed), side=DIRECTIONS[closed.side],
        qty=instrument.quantity(size.w2), entry_price=_usd(size.w1) / units, exit_price=_usd(size.w3) / units,
        stop_price=instrument.price(size.w4), gross_usd=gross, fees_usd=fees, funding_usd=funding, net_usd=net,
        slippage_usd=_usd(excursion.w3), risk_usd=risk, r_multiple=float(net / risk) if risk > 0 else None,
        mae_usd=_usd(excursion.w1), mfe_usd=_usd(excursion.w2), exit_reason=reasons.name(closed.reason),
    )  # fmt: skip


def _outcome(state: _Fold, row: _Row) -> None:
    if row.w0 in state.outcomes:
        raise _contradiction(row, f"trade {row.w0} has two {r.KINDS[row.kind].name} notes")
    state.outcomes[row.w0] = row


def _decided_on(trade: TradeRow, outcome: _Row | None) -> TradeRow:
    """The trade with what its OUTCOME says; of an older journal, with its hour alone."""
    hour = trade.opened_ns // _HOUR_NS % 24
    if outcome is None:
        return msgspec.structs.replace(trade, hour=hour)
    known = outcome.w4 != NO_FORECAST
    return msgspec.structs.replace(
        trade, hour=outcome.role, regime=_regime_name(outcome.leverage), forecast=outcome.w3 / 1e9 if known else None,
        forecast_confidence=outcome.w2 / 1e9 if known else None, forecast_age_s=outcome.w4 / 1e9 if known else None,
    )  # fmt: skip


def _regime_name(number: int) -> str:
    """Its name; an unknown number is shown, never hidden."""
    return REGIMES[number] if number < len(REGIMES) else f"REGIME_{number}"


def _regime(state: _Fold, row: _Row) -> None:
    funding_e6 = int.from_bytes(bytes((row.order_type, row.tif)), "little", signed=True)
    state.regimes.append(
        RegimeRow(
            seq=row.seq, ts_ns=row.ts_ns, symbol=state.symbol(row), before=_regime_name(row.role),
            after=_regime_name(row.leverage), trend=row.w0 / 1e9, volatility=row.w1 / 1e9, breadth=row.w2 / 1e9,
            spread=row.w3 / 1e9, liquidity=row.w4 / 1e9, funding=funding_e6 / 1e6, cycles=row.reason,
        )
    )  # fmt: skip


def _selection(state: _Fold, row: _Row) -> None:
    state.selections.append(
        SelectionRow(
            seq=row.seq, ts_ns=row.ts_ns, strategy=state.strategies.get(row.strategy, f"STRATEGY_{row.strategy}"),
            regime=_regime_name(row.leverage), reason=reasons.name(row.reason), before=row.w4 / 1e9, share=row.w0 / 1e9,
            mean_r=row.w1 / 1e9, radius_r=row.w2 / 1e9, trades=row.w3 / 1e9,
        )
    )  # fmt: skip


def _equity(state: _Fold, row: _Row) -> None:
    state.equity.append(
        EquityRow(
            seq=row.seq, ts_ns=row.ts_ns, equity_usd=_usd(row.w0), cash_usd=_usd(row.w1), free_usd=_usd(row.w2),
            day_pnl_usd=_usd(row.w3), open_risk_usd=_usd(row.w4),
        )
    )  # fmt: skip


def _state(state: _Fold, row: _Row) -> None:
    if row.w0 not in TRADING_STATES or row.w1 not in TRADING_STATES:
        raise _contradiction(row, f"a change from trading state {row.w0} to {row.w1}")
    before, after = TRADING_STATES[row.w0], TRADING_STATES[row.w1]
    state.states.append(
        StateRow(seq=row.seq, ts_ns=row.ts_ns, before=before, after=after, reason=reasons.name(row.reason))
    )


def _gap(state: _Fold, row: _Row) -> None:
    stop = Decimal(0) if row.instrument == r.NO_INSTRUMENT else state.instrument(row).price(row.w4)
    state.gaps.append(
        GapRow(
            seq=row.seq, ts_ns=row.ts_ns, symbol=state.symbol(row), strategy=state.strategy(row), trade_no=row.w0,
            cause=reasons.name(row.reason), loss_usd=_usd(row.w1), planned_usd=_usd(row.w2), stop_price=stop,
        )
    )  # fmt: skip


def _order_row(state: _Fold, order: _Order) -> OrderRow:
    place = order.place
    instrument = state.instruments[place.instrument]
    return OrderRow(
        client_id=place.w0, seq=place.seq, ts_ns=place.ts_ns, symbol=instrument.symbol, venue=instrument.venue,
        strategy=state.strategy(place), role=r.ROLES.get(place.role, ""), side=SIDES[place.side],
        order_type=r.ORDER_TYPES.get(place.order_type, ""), tif=r.TIME_IN_FORCE.get(place.tif, ""),
        reduce_only=bool(place.bits & r.REDUCE_ONLY), post_only=bool(place.bits & r.POST_ONLY),
        price=instrument.price(place.w1), qty=instrument.quantity(place.w2), trigger=instrument.price(place.w3),
        replaces=place.w4, reason=reasons.name(place.reason), status=_STATUS[order.state][order.filled_lots > 0],
        filled_qty=instrument.quantity(order.filled_lots), refusal=order.refusal, done_ts_ns=order.done_ns,
    )  # fmt: skip


def _cycle(state: _Fold, row: _Row) -> None:
    state.instrument(row)
    state.cycles.note(row)


def _nothing(state: _Fold, row: _Row) -> None:
    """Influences decisions, makes no row."""


_HANDLERS: Final[dict[int, Callable[[_Fold, _Row], None]]] = {
    r.ORDER_ACK: _order_event,
    r.ORDER_REJECT: _order_ended,
    r.FILL: _fill,
    r.CANCEL_ACK: _order_event,
    r.CANCEL_REJECT: _order_event,
    r.ORDER_EXPIRED: _order_ended,
    r.ORDER_UNKNOWN: _order_event,
    r.ORDER_TRIGGERED: _order_event,
    r.TIMER: _nothing,
    r.FEED_STATUS: _nothing,
    r.FORECAST: _nothing,
    r.PARAMETER: _nothing,
    r.LIMIT: _nothing,
    r.OPERATOR: _nothing,
    r.FILTER: _nothing,
    r.BALANCE: _nothing,
    r.FOREIGN: _nothing,
    r.PLACE: _place,
    r.CANCEL: _order_event,
    r.REFUSED: _refused,
    r.CLOSED: _trade_note,
    r.EXCURSION: _trade_note,
    r.TRADE_SIZE: _trade_note,
    r.OUTCOME: _outcome,
    r.REGIME: _regime,
    r.SELECTION: _selection,
    r.EQUITY: _equity,
    r.STATE: _state,
    r.GAP: _gap,
    r.VIOLATION: _nothing,
    r.CYCLE: _cycle,
}
