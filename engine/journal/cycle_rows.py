"""What a journal says of triangular cycles, as rows: CYCLE notes and what they pack."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from engine.contracts import reasons
from engine.contracts import records as r
from engine.contracts.instruments import Instrument
from engine.contracts.ledger import CycleRow, DeskRow
from engine.journal.plain import Row

CHANGES: Final = (reasons.SHADOW_PASSED, reasons.BACK_TO_SHADOW)


def way_of(packed: int, instruments: Sequence[Instrument]) -> str:
    """What a cycle holds one after the other, from the `legs` of a CYCLE note: ``USDT > BTC > ETH > USDT``."""
    held: list[str] = []
    for k in range(3):
        one = instruments[(packed >> 16 * k) & 0xFFFF]
        pays, gets = (one.quote, one.base) if (packed >> 48 + k) & 1 else (one.base, one.quote)
        held += [pays, gets] if k == 0 else [gets]
    return " > ".join(held)


class CycleBook:
    """Cycles that are over and changes between shadow and trading, in the order they were noted."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = instruments
        self._begun_ns = 0
        self.cycles: list[CycleRow] = []
        self.desks: list[DeskRow] = []

    def note(self, row: Row) -> None:
        """Take a CYCLE note. `w0` are its legs, then edges (quoted, realised), what went in, and what it may lose."""
        venue, why = self._instruments[row.instrument].venue, reasons.name(row.reason)
        shadow = bool(row.bits & r.SHADOW)
        if row.reason in CHANGES:
            self.desks.append(
                DeskRow(
                    seq=row.seq, ts_ns=row.ts_ns, venue=venue, trading=not shadow, reason=why, mean_bps=row.w2 / 1e5,
                    decay_bps=row.w1 / 1e5,
                )
            )  # fmt: skip
        elif row.reason == reasons.CYCLE_BEGUN:
            self._begun_ns = row.ts_ns
        else:
            self.cycles.append(
                CycleRow(
                    seq=row.seq, ts_ns=row.ts_ns, begun_ns=row.ts_ns if shadow else self._begun_ns, venue=venue,
                    way=way_of(row.w0, self._instruments), shadow=shadow, reason=why, quoted_bps=row.w1 / 1e5,
                    realised_bps=row.w2 / 1e5, amount_usd=Decimal(row.w3).scaleb(-8),
                    net_usd=Decimal(row.w3 * row.w2).scaleb(-17),
                )
            )  # fmt: skip
