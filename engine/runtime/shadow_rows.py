"""What the invariant monitor's books are made of: a journal record, an order, a position, cash, totals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from engine.core import life


class Row(NamedTuple):
    """One journalled record; `w0`..`w4` are its payload words (see `engine.contracts.records`)."""

    seq: int
    ts_ns: int
    strategy: int
    order_type: int
    tif: int
    leverage: int
    role: int
    kind: int
    instrument: int
    side: int
    bits: int
    reason: int
    w0: int
    w1: int
    w2: int
    w3: int
    w4: int


@dataclass(slots=True)
class Order:
    """An order of ours as its records tell it."""

    client_id: int
    status: int
    instrument: int
    side: int
    role: int
    order_type: int
    price_ticks: int
    lots: int
    trigger_ticks: int
    filled_lots: int
    reserve_e8: int
    risk_e8: int
    leverage: int
    reason: int
    placed_ns: int
    cancel_ns: int
    ended_ns: int = 0
    placed_seq: int = 0

    @property
    def is_working(self) -> bool:
        return life.FREE < self.status < life.FIRST_DONE

    @property
    def stands(self) -> bool:
        """Confirmed by the venue, and not being cancelled."""
        return self.status in (life.ACCEPTED, life.PARTIAL)

    @property
    def left(self) -> int:
        return self.lots - self.filled_lots


@dataclass(slots=True)
class Held:
    """A position, and the sums of the trade that opened it."""

    lots: int
    cost_e8: int
    margin_e8: int
    leverage: int
    dust_e8: int
    gross_e8: int
    fees_e8: int
    funding_e8: int
    limit_e8: int | None  # most the trade may lose; None: not known
    stop_ticks: int  # the protective stop as last sent
    fill_ticks: int
    opened_ns: int


@dataclass(slots=True)
class Purse:
    """Cash of one venue."""

    cash_e8: int
    margin_e8: int
    reserved_e8: int


@dataclass(slots=True)
class Totals:
    """Sums over the account, named as in the core's head."""

    deposits_e8: int
    gross_e8: int
    fees_e8: int
    funding_e8: int

    @property
    def book_e8(self) -> int:
        return self.deposits_e8 + self.gross_e8 - self.fees_e8 + self.funding_e8
