"""The fall of equity from its peak: never as far as the limit, and what happens where it comes near.

Rules
-----
* No entry may be lost that would take equity there (`risk.drawdown_room_e8`), and stops come nearer as the peak rises
  (`openrisk.enforce_drawdown`): only a price that was not there can pass the limit. That is listed as a gap.
* Entries stop (REDUCING) where the limit was passed, or was *used up*: nothing is open, and an entry did not fit under
  it. No later one of its size would.
* A person who resumes after that begins a new peak. After any other pause the old one stands, or a pause a day would
  undo the limit. A new peak by profit forgets what was before.
"""

from __future__ import annotations

from typing import Any, Final

from engine.contracts import reasons
from engine.contracts.records import GAP, NO_INSTRUMENT
from engine.core.compile import kernel
from engine.core.openrisk import enforce
from engine.core.orders import ACTIVE, REDUCING, set_state
from engine.core.output import emit
from engine.core.portfolio import equity_e8, note_equity
from engine.core.risk import drawdown_e8, drawdown_room_e8

NOT: Final = 0
USED_UP: Final = 1
PASSED: Final = 2
"""What `head.fallen` may be, since the last peak."""


@kernel
def is_drawn_down(s: Any) -> bool:
    """Equity has fallen from its peak by the limit or more."""
    return s.head[0].peak_e8 - equity_e8(s) >= drawdown_e8(s)


@kernel(hot=True)
def watch_equity(s: Any, out: Any) -> None:
    """Keep the peak, and look whether equity fell from it too far. After everything that changes equity."""
    head = s.head[0]
    equity = equity_e8(s)
    if equity > head.peak_e8:
        head.peak_e8 = equity
        head.fallen = NOT
        if drawdown_room_e8(s) <= 0:
            enforce(s)
    elif head.fallen != PASSED and head.peak_e8 - equity >= drawdown_e8(s):
        _pass(s, out, True)


@kernel
def _pass(s: Any, out: Any, is_gap: bool) -> None:
    head = s.head[0]
    head.fallen = PASSED
    note_equity(s, out)  # the worst of it, which hourly notes would miss
    if is_gap:
        note = emit(s, out, GAP, NO_INSTRUMENT)
        note.reason = reasons.GAP_DRAWDOWN
        note.loss_e8 = head.peak_e8 - equity_e8(s)
        note.planned_e8 = drawdown_e8(s)
    if head.trading_state == ACTIVE:
        set_state(s, out, REDUCING, reasons.DRAWDOWN_LIMIT)


@kernel
def use_up(s: Any, out: Any) -> None:
    """An entry did not fit under the limit. With nothing open or on its way none of its size will: entries stop."""
    head = s.head[0]
    if head.trading_state == ACTIVE and head.open_positions == 0 and head.pending_risk_e8 == 0:
        head.fallen = max(head.fallen, USED_UP)
        note_equity(s, out)
        set_state(s, out, REDUCING, reasons.DRAWDOWN_LIMIT)


@kernel
def refit_drawdown(s: Any, out: Any) -> None:
    """A limit or the deposits changed, or the venue corrected a balance: where that passes the limit it is no gap."""
    if s.head[0].fallen != PASSED and is_drawn_down(s):
        _pass(s, out, False)
    enforce(s)


@kernel
def forgive_drawdown(s: Any) -> None:
    """A person trades on: see the rules."""
    head = s.head[0]
    if head.fallen != NOT or is_drawn_down(s):
        head.fallen = NOT
        head.peak_e8 = equity_e8(s)
        enforce(s)
