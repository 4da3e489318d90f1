"""What the simulated venue's answers mean to a customer of the futures venue: orders, fills, positions, income."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from engine.contracts import records as r
from engine.sandbox.self_trade import ENDED
from engine.sandbox.traders import AccountTold, AlgoTold, Income, OrderTold, PerpFill, PerpOrder, Told, Trader

if TYPE_CHECKING:
    from engine.sandbox.futures import Futures

FORCED_PREFIX: Final = "autoclose-"
ENDINGS: Final = {r.CANCEL_ACK: "CANCELED", r.ORDER_EXPIRED: "EXPIRED"}


class PerpLedger:
    """Numbers orders and trades, folds fills, writes income. `amending` is the engine id of an order whose cancel
    is half of an amendment, or 0."""

    def __init__(self, futures: Futures) -> None:
        self._futures = futures
        self._next_order_id = self._next_trade_id = self._next_tran_id = 1
        self.amending = 0

    def answers(self, trader: Trader) -> list[Told]:
        """Take the venue's answers, note them, and return what is to be told."""
        venue = trader.venue
        head, size = venue.head[0], len(venue.replies)
        first, count = int(head.replies_first), int(head.replies_count)
        head.replies_first, head.replies_count = (first + count) % size, 0
        now = self._futures.clock.now_ms()
        told: list[Told] = []
        touched: dict[int, None] = {}
        for k in range(count):
            record = venue.replies[(first + k) % size]
            symbol = int(record.instrument)
            if record.kind == r.FUNDING:
                told.append(self._funded(trader, symbol, int(record.amount_e8), now))
                continue
            order = self._forced(trader, record, now) if record.client_id == 0 else self._order(trader, record)
            if order is not None:
                told += self._note(trader, order, record, now)
            if record.kind == r.FILL:
                touched[symbol] = None
        return told + [AccountTold("ORDER", symbol, 0, now) for symbol in touched]

    def _order(self, trader: Trader, record: Any) -> PerpOrder | None:
        return trader.working.get(int(record.client_id))

    def _forced(self, trader: Trader, record: Any, now: int) -> PerpOrder | None:
        """The exchange's own order that closes a position."""
        if record.kind != r.FILL:
            return None
        lots, ticks = int(record.qty_lots), int(record.price_ticks)
        order = PerpOrder(
            0, 0, int(record.instrument), f"{FORCED_PREFIX}{now}{self._next_order_id}", int(record.side), "LIMIT",
            "IOC", lots, ticks, True, now, trader.positions[int(record.instrument)].leverage, orig_type="LIMIT",
            left_lots=lots, update_ms=now,
        )  # fmt: skip
        self._accept(trader, order)
        return order

    def _accept(self, trader: Trader, order: PerpOrder) -> None:
        order.order_id = self._next_order_id
        self._next_order_id += 1
        trader.orders[order.order_id] = order

    def _note(self, trader: Trader, order: PerpOrder, record: Any, now: int) -> list[Told]:
        kind, fill, event = int(record.kind), None, ""
        if kind == r.ORDER_REJECT:
            order.status, order.refused_for = "REJECTED", int(record.reason)
        elif kind == r.ORDER_ACK and not order.order_id:
            return self.accept(order, trader)
        elif kind == r.ORDER_ACK:
            event = "AMENDMENT"
            trader.orders[order.order_id] = order
        elif kind == r.FILL:
            fill = self._filled(trader, order, record, now)
            event = "CALCULATED" if int(record.bits) & r.FORCED else "TRADE"
        elif kind == r.CANCEL_ACK and order.engine_id == self.amending:
            del trader.working[order.engine_id]
            order.status = "REPLACED"
            return []
        elif kind == r.CANCEL_ACK and order.ends_as == ENDED:
            order.status, event = ENDED, "EXPIRED"
        elif kind in ENDINGS:
            order.status = event = ENDINGS[kind]
        order.update_ms = trader.update_ms = now
        if not order.is_open:
            trader.working.pop(order.engine_id, None)
        return [OrderTold(event, _copied(order), fill, now)] if event else []

    def accept(self, order: PerpOrder, trader: Trader) -> list[Told]:
        """An order was taken, and with it what a conditional one turned into."""
        now = self._futures.clock.now_ms()
        self._accept(trader, order)
        told = self._triggered(order, now)
        order.update_ms = trader.update_ms = now
        return [*told, OrderTold("NEW", _copied(order), None, now)]

    def _triggered(self, order: PerpOrder, now: int) -> list[Told]:
        """The matching engine took what a conditional order turned into."""
        if order.algo is None:
            return []
        order.algo.order, order.algo.status, order.algo.update_ms = order, "TRIGGERED", now
        return [AlgoTold(copy.copy(order.algo), now)]

    def _filled(self, trader: Trader, order: PerpOrder, record: Any, now: int) -> PerpFill:
        tape, held = self._futures.tapes[order.symbol], trader.positions[order.symbol]
        ticks, lots, bits = int(record.price_ticks), int(record.qty_lots), int(record.bits)
        fee, value = int(record.fee_e8), tape.paid_e8(order.side, ticks, lots)
        realised = held.fold(tape, order.side, ticks, lots, order.leverage)
        held.update_ms = now
        fill = PerpFill(self._next_trade_id, ticks, lots, value, fee, realised, bool(bits & r.MAKER), now)
        self._next_trade_id += 1
        order.fills.append(fill)
        order.left_lots -= lots
        order.quote_e8 += value
        order.status = "FILLED" if order.left_lots == 0 else "PARTIALLY_FILLED"
        if realised:
            self.note_income(trader, order.symbol, "REALIZED_PNL", realised, now, fill.trade_id)
        usual = fee
        if bits & r.FORCED:
            usual = min(fee, -(-value * int(self._futures.filters(tape).taker_fee_e8) // 10**8))
        self.note_income(trader, order.symbol, "COMMISSION", -usual, now, fill.trade_id)
        if fee != usual:
            self.note_income(trader, order.symbol, "INSURANCE_CLEAR", usual - fee, now, fill.trade_id)
        return fill

    def _funded(self, trader: Trader, symbol: int, amount_e8: int, now: int) -> AccountTold:
        self.note_income(trader, symbol, "FUNDING_FEE", amount_e8, now)
        return AccountTold("FUNDING_FEE", symbol, amount_e8, now)

    def note_income(self, trader: Trader, symbol: int, kind: str, amount_e8: int, now: int, trade_id: int = 0) -> None:
        """Write an income row."""
        trader.income.append(Income(self._next_tran_id, symbol, kind, amount_e8, now, trade_id))
        self._next_tran_id += 1


def _copied(order: PerpOrder) -> PerpOrder:
    copied = copy.copy(order)
    copied.fills = list(order.fills)
    return copied
