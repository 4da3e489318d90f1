"""The life of an order as one literal table: (state, what happened) -> state.

Rules
-----
* What is not in the table is a protocol violation: noted, and trading halts.
* Fills always count, whatever the state: a position is a fold of fills, nothing else.
* UNKNOWN (timeout, disconnect, 5xx, unparsable reply) keeps capital reserved and blocks new risk on the
  instrument; only the venue's word leads out of it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

FREE: Final = 0
SUBMITTED: Final = 1
ACCEPTED: Final = 2
PARTIAL: Final = 3
CANCELING: Final = 4
UNKNOWN: Final = 5
FILLED: Final = 6
CANCELED: Final = 7
REJECTED: Final = 8
EXPIRED: Final = 9

FIRST_DONE: Final = FILLED
STATES: Final = (
    "free", "submitted", "accepted", "partially_filled", "canceling", "unknown", "filled", "canceled", "rejected",
    "expired",
)  # fmt: skip

ACKED: Final = 0
REFUSED: Final = 1
PART_FILLED: Final = 2
ALL_FILLED: Final = 3
CANCEL_SENT: Final = 4
CANCEL_DONE: Final = 5
CANCEL_REFUSED: Final = 6
RAN_OUT: Final = 7
IN_DOUBT: Final = 8
TRIGGERED: Final = 9
HAPPENINGS: Final = (
    "acked", "refused", "part_filled", "all_filled", "cancel_sent", "cancel_done", "cancel_refused", "ran_out",
    "in_doubt", "triggered",
)  # fmt: skip

LIFE: Final[dict[tuple[int, int], int]] = {
    (SUBMITTED, ACKED): ACCEPTED,
    (SUBMITTED, REFUSED): REJECTED,
    (SUBMITTED, PART_FILLED): PARTIAL,  # fill before ack
    (SUBMITTED, ALL_FILLED): FILLED,
    (SUBMITTED, CANCEL_SENT): CANCELING,
    (SUBMITTED, CANCEL_DONE): CANCELED,
    (SUBMITTED, RAN_OUT): EXPIRED,
    (SUBMITTED, IN_DOUBT): UNKNOWN,
    (SUBMITTED, TRIGGERED): ACCEPTED,
    (ACCEPTED, ACKED): ACCEPTED,  # repeated after a reconnect
    (ACCEPTED, REFUSED): REJECTED,  # a triggered stop that the venue then refuses
    (ACCEPTED, PART_FILLED): PARTIAL,
    (ACCEPTED, ALL_FILLED): FILLED,
    (ACCEPTED, CANCEL_SENT): CANCELING,
    (ACCEPTED, CANCEL_DONE): CANCELED,  # cancelled by the venue
    (ACCEPTED, CANCEL_REFUSED): ACCEPTED,
    (ACCEPTED, RAN_OUT): EXPIRED,
    (ACCEPTED, IN_DOUBT): ACCEPTED,  # the user stream was faster than the reply that got lost
    (ACCEPTED, TRIGGERED): ACCEPTED,
    (PARTIAL, ACKED): PARTIAL,  # ack after the first fill
    (PARTIAL, PART_FILLED): PARTIAL,
    (PARTIAL, ALL_FILLED): FILLED,
    (PARTIAL, CANCEL_SENT): CANCELING,
    (PARTIAL, CANCEL_DONE): CANCELED,
    (PARTIAL, CANCEL_REFUSED): PARTIAL,
    (PARTIAL, RAN_OUT): EXPIRED,
    (PARTIAL, IN_DOUBT): PARTIAL,
    (PARTIAL, TRIGGERED): PARTIAL,
    (CANCELING, ACKED): CANCELING,
    (CANCELING, REFUSED): REJECTED,
    (CANCELING, PART_FILLED): CANCELING,  # cancel/fill race
    (CANCELING, ALL_FILLED): FILLED,
    (CANCELING, CANCEL_SENT): CANCELING,
    (CANCELING, CANCEL_DONE): CANCELED,
    (CANCELING, CANCEL_REFUSED): ACCEPTED,
    (CANCELING, RAN_OUT): EXPIRED,
    (CANCELING, IN_DOUBT): UNKNOWN,
    (CANCELING, TRIGGERED): CANCELING,
    (UNKNOWN, ACKED): ACCEPTED,
    (UNKNOWN, REFUSED): REJECTED,
    (UNKNOWN, PART_FILLED): PARTIAL,
    (UNKNOWN, ALL_FILLED): FILLED,
    (UNKNOWN, CANCEL_SENT): UNKNOWN,
    (UNKNOWN, CANCEL_DONE): CANCELED,
    (UNKNOWN, CANCEL_REFUSED): UNKNOWN,
    (UNKNOWN, RAN_OUT): EXPIRED,
    (UNKNOWN, IN_DOUBT): UNKNOWN,
    (UNKNOWN, TRIGGERED): ACCEPTED,
    (FILLED, ACKED): FILLED,
    (FILLED, CANCEL_DONE): FILLED,  # what was left of an order that the venue had in two books
    (FILLED, CANCEL_REFUSED): FILLED,
    (FILLED, TRIGGERED): FILLED,
    (FILLED, IN_DOUBT): FILLED,
    (CANCELED, ACKED): CANCELED,
    (CANCELED, PART_FILLED): CANCELED,  # fill after cancel
    (CANCELED, ALL_FILLED): FILLED,
    (CANCELED, CANCEL_DONE): CANCELED,
    (CANCELED, CANCEL_REFUSED): CANCELED,
    (CANCELED, RAN_OUT): CANCELED,
    (CANCELED, IN_DOUBT): CANCELED,
    (REJECTED, REFUSED): REJECTED,
    (REJECTED, CANCEL_DONE): REJECTED,  # given up, found at the venue after all, and cancelled
    (REJECTED, CANCEL_REFUSED): REJECTED,
    (REJECTED, IN_DOUBT): REJECTED,
    (EXPIRED, ACKED): EXPIRED,
    (EXPIRED, PART_FILLED): EXPIRED,
    (EXPIRED, ALL_FILLED): FILLED,
    (EXPIRED, CANCEL_DONE): EXPIRED,
    (EXPIRED, CANCEL_REFUSED): EXPIRED,
    (EXPIRED, RAN_OUT): EXPIRED,
    (EXPIRED, IN_DOUBT): EXPIRED,
}

NO_ROW: Final = -1


def _as_matrix() -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    matrix = np.full((len(STATES), len(HAPPENINGS)), NO_ROW, np.int64)
    for (state, happening), after in LIFE.items():
        matrix[state, happening] = after
    return matrix


NEXT: Final = _as_matrix()
