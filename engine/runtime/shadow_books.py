"""A second set of books, kept by the invariant monitor from journal records alone.

Rules
-----
* The core's state is read once, as the opening; whatever follows comes from FILL, FUNDING, BALANCE, LIMIT, FILTER,
  STATE, PLACE, CANCEL and the venue's order events.
* Nothing of the core's arithmetic is called: the money is in `engine.runtime.shadow_money`, the life of an order is
  the literal table of `engine.core.life`.
* A record that the protocol excludes is told to `tell(code, instrument, subject, text)`, and then booked as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.contracts import records as r
from engine.contracts.instruments import Instrument
from engine.core import life
from engine.core.orders import POOL
from engine.core.state import CASH_ASSETS, Core
from engine.journal.plain import Row
from engine.runtime.shadow_money import NAMES, Terms, share, terms_of
from engine.runtime.shadow_pots import Pots, pots_of
from engine.runtime.shadow_rows import Held, Order, Purse, Totals

TRADES_KEPT: Final = 4_096
ORDERS_KEPT: Final = 640
"""Beyond it finished orders are forgotten, but for the newest of each place in the core's pool."""

Tell = Callable[[str, int, object, str], None]


@dataclass(slots=True)
class Books:
    """Made by `opened`."""

    tell: Tell
    terms: list[Terms]
    limits: dict[str, int]
    held: list[Held]
    purses: list[Purse]
    balances: dict[str, int]
    assets: tuple[str, ...]
    totals: Totals
    orders: dict[int, Order]
    seen: list[dict[int, None]]
    next_client_id: int
    repeated: int
    pots: Pots
    lost: range = range(0)
    """Client ids that an earlier run may have used whose entries the disk lost: their fills are adopted."""
    touched: set[int] = field(default_factory=set)

    # --- sums -------------------------------------------------------------------------------------

    @property
    def free_e8(self) -> int:
        """Cash neither spent, held as margin nor reserved."""
        return sum(one.cash_e8 - one.margin_e8 - one.reserved_e8 for one in self.purses)

    @property
    def exposure_e8(self) -> int:
        return sum(one.cost_e8 for one in self.held) + self.pots.cost_e8

    @property
    def is_flat(self) -> bool:
        """No position, and no coins in pots: nothing that a price could change."""
        return self.pots.is_empty and all(one.lots == 0 for one in self.held)

    @property
    def pending_risk_e8(self) -> int:
        return sum(one.risk_e8 for one in self.orders.values()) + self.pots.risk_e8

    def working(self, i: int, role: int) -> list[Order]:
        """Orders of a role at work for an instrument."""
        return [one for one in self.orders.values() if one.instrument == i and one.role == role and one.is_working]

    # --- commands ---------------------------------------------------------------------------------

    def place(self, row: Row) -> None:
        """What a PLACE makes true."""
        i, client_id = row.instrument, row.w0
        if client_id < self.next_client_id or client_id in self.orders:
            self.tell("PLACED_TWICE", i, client_id, f"order {client_id} was placed again")
        self.next_client_id = max(self.next_client_id, client_id + 1)
        terms, reserve, risk = self.terms[i], 0, 0
        if row.role == r.ROLE_ENTRY:
            slippage = self.limits["stop_slippage_bps"]
            reserve = terms.entry_cost(row.side, row.w1, row.w2, row.leverage)
            risk = terms.loss_at_stop(row.side, row.w1, row.w2, row.w3, slippage)
            self.purses[terms.wallet].reserved_e8 += reserve
        elif row.role == r.ROLE_STOP:
            self.held[i].stop_ticks = row.w3
        elif row.role == r.ROLE_LEG:
            reserve = self.pots.reserve_e8(self, row)
            self.purses[terms.wallet].reserved_e8 += reserve
        self.orders[client_id] = Order(
            client_id, life.SUBMITTED, i, row.side, row.role, row.order_type, row.w1, row.w2, row.w3, 0, reserve, risk,
            row.leverage, row.reason, row.ts_ns, 0, placed_seq=row.seq,
        )  # fmt: skip
        self.touched.add(i)
        if row.w4 in self.orders:
            self.move(self.orders[row.w4], life.CANCEL_SENT, row.ts_ns)
        if len(self.orders) > ORDERS_KEPT:
            self._forget()

    def cancel(self, row: Row) -> None:
        """What a CANCEL makes true."""
        order = self._known(row)
        if order is not None:
            self.move(order, life.CANCEL_SENT, row.ts_ns)

    def _forget(self) -> None:
        newest = {client_id % POOL: client_id for client_id in sorted(self.orders)}
        kept = set(newest.values())
        self.orders = {k: one for k, one in self.orders.items() if k in kept or one.is_working}

    # --- the venue's word -------------------------------------------------------------------------

    def answer(self, row: Row) -> None:
        """An order event that is no fill."""
        order = self._known(row)
        if order is not None:
            self.move(order, _HAPPENINGS[row.kind], row.ts_ns)

    def _known(self, row: Row) -> Order | None:
        order = self.orders.get(row.w0)
        if order is None and row.w0 in self.lost:
            return None
        if order is None:
            self.tell("UNKNOWN_ORDER", row.instrument, row.w0, f"record kind {row.kind} for unknown order {row.w0}")
        elif order.instrument != row.instrument:
            self.tell("WRONG_INSTRUMENT", row.instrument, row.w0, f"order {row.w0} is of instrument {order.instrument}")
            return None
        return order

    def move(self, order: Order, happening: int, ts_ns: int) -> None:
        """One step in the life-cycle table."""
        self.touched.add(order.instrument)
        after = life.LIFE.get((order.status, happening))
        if after is None:
            words = f"order {order.client_id} was {life.STATES[order.status]}, and {life.HAPPENINGS[happening]}"
            self.tell("NOT_IN_LIFE_CYCLE", order.instrument, order.client_id, words)
            return
        if happening == life.CANCEL_SENT:
            order.cancel_ns = ts_ns
        was_working, order.status = order.is_working, after
        if was_working and not order.is_working:
            order.ended_ns = ts_ns
            self._release(order, order.lots)

    def _release(self, order: Order, lots: int) -> None:
        open_lots = max(order.left, 1)
        reserve = share(order.reserve_e8, lots, open_lots)
        order.reserve_e8 -= reserve
        order.risk_e8 -= share(order.risk_e8, lots, open_lots)
        self.purses[self.terms[order.instrument].wallet].reserved_e8 -= reserve

    # --- fills ------------------------------------------------------------------------------------

    def fill(self, row: Row, trade_limit_e8: int | None) -> None:
        """Book a fill. `trade_limit_e8`: what a trade that begins with it may lose."""
        i, lots = row.instrument, row.w2
        if row.w4 != 0 and row.w4 in self.seen[i]:
            self.repeated += 1
            return
        order = self.orders.get(row.w0) if row.w0 > 0 else None
        is_ours = order is not None or row.bits & (r.FORCED | r.ADOPTED) != 0 or row.w0 in self.lost
        if lots <= 0 or row.w1 <= 0 or not is_ours:
            self.tell("UNKNOWN_ORDER", i, row.w0, f"a fill of {lots} lots for unknown order {row.w0}")
            return
        if order is not None and (order.instrument != i or order.side != row.side):
            self.tell("WRONG_INSTRUMENT", i, row.w0, f"a fill of order {row.w0} names another instrument or side")
            return
        self._remember(i, row.w4)
        if self.pots.is_conversion(self, row, None if order is None else order.role):
            self._convert(row, order)
            return
        held = self.held[i]
        if held.lots == 0:
            held.gross_e8 = held.fees_e8 = held.funding_e8 = 0
            held.limit_e8, held.stop_ticks = trade_limit_e8, 0
            held.opened_ns = row.ts_ns
            if order is not None and order.role == r.ROLE_ENTRY:
                held.stop_ticks = order.trigger_ticks
        if order is not None:
            self._count(order, lots)
        self._fold(row, order.leverage if order is not None else max(held.leverage, 1))
        if order is not None:
            self.move(order, life.PART_FILLED if order.left > 0 else life.ALL_FILLED, row.ts_ns)
        self.touched.add(i)

    def _count(self, order: Order, lots: int) -> None:
        if lots > order.left:
            text = f"order {order.client_id} filled {lots} lots, {order.left} were left"
            self.tell("OVERFILL", order.instrument, order.client_id, text)
        self._release(order, min(lots, order.left))
        order.filled_lots += lots

    def _convert(self, row: Row, order: Order | None) -> None:
        if order is not None:
            self._count(order, row.w2)
        self.pots.convert(self, row)
        if order is not None:
            self.move(order, life.PART_FILLED if order.left > 0 else life.ALL_FILLED, row.ts_ns)

    def _remember(self, i: int, trade_id: int) -> None:
        if trade_id == 0:
            return
        seen = self.seen[i]
        seen[trade_id] = None
        if len(seen) > TRADES_KEPT:
            del seen[next(iter(seen))]

    def _fold(self, row: Row, leverage: int) -> None:
        i, lots, held = row.instrument, row.w2, self.held[row.instrument]
        if held.lots * row.side >= 0:
            self._grow(i, row.side, row.w1, lots, leverage)
        else:
            closing = min(lots, abs(held.lots))
            self._shrink(i, row.side, row.w1, closing)
            if lots > closing:
                self.tell("OVERFILL", i, row.w0, f"a fill of {lots} lots met a position of {closing}")
                self._grow(i, row.side, row.w1, lots - closing, leverage)
        self._charge(row)
        held.fill_ticks = row.w1

    def _grow(self, i: int, side: int, ticks: int, lots: int, leverage: int) -> None:
        held, terms = self.held[i], self.terms[i]
        value = terms.traded(side, ticks, lots)
        if held.lots == 0:
            held.leverage = max(leverage, 1)
        held.lots += side * lots
        held.cost_e8 += value
        if terms.is_perp:
            margin = -(-value // held.leverage)
            held.margin_e8 += margin
            self.purses[terms.wallet].margin_e8 += margin
        else:
            self._exchange(i, side, value, lots)

    def _shrink(self, i: int, side: int, ticks: int, lots: int) -> None:
        held, terms = self.held[i], self.terms[i]
        value, whole = terms.traded(side, ticks, lots), abs(held.lots)
        cost = share(held.cost_e8, lots, whole)
        gross = -side * (value - cost)
        held.cost_e8 -= cost
        held.lots += side * lots
        held.gross_e8 += gross
        self.totals.gross_e8 += gross
        if terms.is_perp:
            margin = share(held.margin_e8, lots, whole)
            held.margin_e8 -= margin
            self.purses[terms.wallet].margin_e8 -= margin
            self._pay(i, gross)
        else:
            self._exchange(i, side, value, lots)

    def _exchange(self, i: int, side: int, value_e8: int, lots: int) -> None:
        instrument = self.terms[i].instrument
        self._pay(i, -side * value_e8)
        self.balances[instrument.base] += side * lots * instrument.lot_base_e8

    def _pay(self, i: int, amount_e8: int) -> None:
        terms = self.terms[i]
        self.purses[terms.wallet].cash_e8 += amount_e8
        self.balances[terms.instrument.quote] += amount_e8

    def _charge(self, row: Row) -> None:
        i, paid = row.instrument, row.w3
        held, instrument = self.held[i], self.terms[i].instrument
        if row.bits & r.FEE_IN_BASE:
            self.balances[instrument.base] -= paid
            lots = -(-max(paid - held.dust_e8, 0) // instrument.lot_base_e8)
            held.dust_e8 += lots * instrument.lot_base_e8 - paid
            lots = max(min(lots, held.lots), 0)
            paid = share(held.cost_e8, lots, held.lots)
            held.lots -= lots
            held.cost_e8 -= paid
        else:
            self._pay(i, -paid)
        held.fees_e8 += paid
        self.totals.fees_e8 += paid

    # --- other money ------------------------------------------------------------------------------

    def fund(self, row: Row) -> None:
        """Funding received or paid."""
        self._pay(row.instrument, row.w3)
        self.held[row.instrument].funding_e8 += row.w3
        self.totals.funding_e8 += row.w3

    def balance(self, row: Row) -> int:
        """A deposit, a withdrawal, or a correction. Returns what was deposited in cash (1e-8 USD)."""
        i = 0 if row.instrument == r.NO_INSTRUMENT and len(self.purses) == 1 else row.instrument
        if i >= len(self.held) or not 0 <= row.w0 < len(self.assets):
            return 0
        asset = self.assets[row.w0]
        self.balances[asset] += row.w3
        if asset not in CASH_ASSETS or all(one.instrument.quote != asset for one in self.terms):
            if row.bits & r.CORRECTION:
                self.pots.write_off(self, row._replace(instrument=i))
            return 0
        self.purses[self.terms[i].wallet].cash_e8 += row.w3
        if row.bits & r.CORRECTION:
            self.totals.fees_e8 -= row.w3
            return 0
        self.totals.deposits_e8 += row.w3
        return row.w3

    def filter(self, row: Row) -> None:
        """A venue changed a rule."""
        if row.instrument < len(self.terms) and row.w3 >= 0:
            terms = self.terms[row.instrument]
            if row.w0 == 2:
                terms.min_notional_e8 = row.w3
            elif row.w0 == 4:
                terms.taker_e8, terms.changed_fee = row.w3, True


_HAPPENINGS: Final = {
    r.ORDER_ACK: life.ACKED,
    r.ORDER_REJECT: life.REFUSED,
    r.CANCEL_ACK: life.CANCEL_DONE,
    r.CANCEL_REJECT: life.CANCEL_REFUSED,
    r.ORDER_EXPIRED: life.RAN_OUT,
    r.ORDER_UNKNOWN: life.IN_DOUBT,
    r.ORDER_TRIGGERED: life.TRIGGERED,
}


def opened(core: Core, instruments: Sequence[Instrument], tell: Tell) -> Books:
    """Books that begin with what the core holds now."""
    s, head = core.state, core.state.head[0]
    held = [
        Held(
            *(int(one[name]) for name in (
                "qty_lots", "cost_e8", "margin_e8", "leverage", "dust_e8", "gross_e8", "fees_e8", "funding_e8",
                "limit_e8", "stop_ticks", "mark_ticks", "opened_ns",
            ))
        )
        for one in s.positions
    ]  # fmt: skip
    names = (
        "client_id", "status", "instrument", "side", "role", "order_type", "price_ticks", "qty_lots", "trigger_ticks",
        "filled_lots", "reserve_e8", "risk_e8", "leverage", "reason", "placed_ns", "cancel_ns",
    )  # fmt: skip
    orders = [Order(*(int(one[name]) for name in names)) for one in s.orders if one["client_id"] != 0]
    return Books(
        tell=tell,
        terms=terms_of(instruments, core),
        limits={name: int(s.limits[0][name]) for name in NAMES},
        held=held,
        purses=[Purse(int(w["cash_e8"]), int(w["margin_e8"]), int(w["reserved_e8"])) for w in s.wallets],
        balances={asset: int(s.balances[k]) for k, asset in enumerate(core.assets)},
        assets=core.assets,
        totals=Totals(*(int(head[name]) for name in ("deposits_e8", "gross_e8", "fees_e8", "funding_e8"))),
        orders={one.client_id: one for one in sorted(orders, key=lambda one: one.client_id)},
        seen=[{int(one): None for one in told["ids"] if one != 0} for told in s.told],
        next_client_id=int(head["next_client_id"]),
        repeated=int(head["repeated"]),
        pots=pots_of(core),
        lost=range(int(head["lost_from_id"]), int(head["lost_to_id"])),
    )
