"""A cycle's memory, and what an order of it leads to, as one literal table."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from engine.core.compile import kernel

IDLE: Final = 0
LEG: Final = 1  # a leg's order is at work
UNWIND: Final = 2  # what is left over is being sold
SHADOW_LEG: Final = 3
STAGES: Final = ("idle", "leg", "unwind", "shadow_leg")

AT_WORK: Final = 0
IN_DOUBT: Final = 1
FILLED: Final = 2
PARTLY: Final = 3
MISSED: Final = 4
REFUSED: Final = 5
OUTCOMES: Final = ("at_work", "in_doubt", "filled", "partly", "missed", "refused")

WAIT: Final = 0
GO_ON: Final = 1  # the next leg, with what arrived
TURN_BACK: Final = 2
LOOK_ON: Final = 3  # is there more to sell?
LATER: Final = 4  # the same again, after a pause
ACTS: Final = ("wait", "go_on", "turn_back", "look_on", "later")

AFTER: Final[dict[tuple[int, int], int]] = {
    (LEG, AT_WORK): WAIT,
    (LEG, IN_DOUBT): WAIT,
    (LEG, FILLED): GO_ON,
    (LEG, PARTLY): GO_ON,
    (LEG, MISSED): TURN_BACK,
    (LEG, REFUSED): TURN_BACK,
    (UNWIND, AT_WORK): WAIT,
    (UNWIND, IN_DOUBT): WAIT,
    (UNWIND, FILLED): LOOK_ON,
    (UNWIND, PARTLY): LOOK_ON,
    (UNWIND, MISSED): LATER,
    (UNWIND, REFUSED): LATER,
}
"""What an order of a cycle came to -> what is done about it. In the other stages there is no order."""

NEXT: Final = np.array(
    [[AFTER.get((stage, outcome), WAIT) for outcome in range(len(OUTCOMES))] for stage in range(len(STAGES))], np.int64
)
PAUSE_NS: Final = 250_000_000
GIVE_UP_E9: Final = 1_000_000  # 10 bps
SECOND_NS: Final = 1_000_000_000

_WORDS: Final = (
    "stage", "leg", "desk", "first_lots",
    "client_id",  # of the order at work; 0: none
    "stray_at",  # which of `stray_e8` that order converts, counted from 1; 0: a leg, or coins of a pot
    "in_e8",  # what the leg at work may spend
    "paid_e8", "got_e8",  # what it has spent and bought so far, fees taken into account
    "quoted_e9", "risk_e8",
    "gross_e8", "fees_e8",  # of conversions since the last trade that was noted
    "entry_lots", "entry_value_e8",
    "back_e8",  # shadow: cash that came back
    "is_sweep", "is_through",  # no cycle, only its remains; all three legs got something
    "is_back",  # the order at work sells what is left over
    "goes_back",  # taken over half done: no further leg is sent
    "tries", "due_ns", "opened_ns", "deadline_ns", "ended_ns", "rest_ns",
)  # fmt: skip

CYCLE_STATE: Final = np.dtype(
    (
        np.record,
        [(name, "<i8") for name in _WORDS]
        + [
            ("legs", "<i8", (3,)),
            ("sides", "<i8", (3,)),
            ("limits", "<i8", (3,)),  # worst prices
            ("stray_e8", "<i8", (2,)),  # stablecoins left over before leg 2 and leg 3
        ],
    )
)


class Plan(NamedTuple):
    """A cycle that was found good: the most its first leg takes, worst prices, edge (1e-9), and what it may lose."""

    first_lots: int
    paid_e8: int
    worst_0: int
    worst_1: int
    worst_2: int
    edge_e9: int
    risk_e8: int


@kernel
def reset(c: Any, now_ns: int, max_seconds: float) -> None:
    c.leg = c.client_id = c.stray_at = c.in_e8 = c.paid_e8 = c.got_e8 = 0
    c.quoted_e9 = c.risk_e8 = c.entry_lots = c.entry_value_e8 = c.back_e8 = 0
    c.is_sweep = c.is_through = c.is_back = c.goes_back = c.tries = c.due_ns = 0
    c.stray_e8[0] = c.stray_e8[1] = 0
    c.opened_ns = now_ns
    c.deadline_ns = now_ns + int(max_seconds * 1e9)
