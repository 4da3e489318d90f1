"""What the invariant monitor's books are made of: an order, a position, cash, totals."""

from __future__ import annotations

from dataclasses import dataclass

from engine.core import life


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
