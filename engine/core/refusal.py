"""The note that tells why something was not done."""

from __future__ import annotations

from typing import Any

from engine.contracts.reasons import DRAWDOWN_ROOM
from engine.contracts.records import REFUSED
from engine.core.compile import kernel
from engine.core.drawdown import use_up
from engine.core.output import emit


@kernel
def refuse(s: Any, out: Any, i: int, strategy: int, side: int, refusal: tuple[int, int, int], lots: int) -> int:
    """Note a refusal with what was measured and the limit it broke. Always 0: no client id."""
    note = emit(s, out, REFUSED, i)
    note.strategy = strategy
    note.side = side
    note.reason = refusal[0]
    note.measured_e8 = refusal[1]
    note.limit_e8 = refusal[2]
    note.qty_lots = lots
    if refusal[0] == DRAWDOWN_ROOM:
        use_up(s, out)
    return 0
