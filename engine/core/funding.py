"""What is known of a perpetual's next funding payment: when, and at which rate.

Binance's mark price says both (MARK); where only payments are known (recordings), the next one is expected after the
time between the last two, eight hours at most, at the last rate. A positive rate is paid by longs to shorts.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.core.compile import kernel

LONGEST_NS: Final = 8 * 3_600_000_000_000

FUNDING_NEXT: Final = np.dtype(
    (
        np.record,
        [
            (name, "<i8")
            for name in (
                "due_ns",  # venue time of the next payment; 0: unknown
                "rate_e12",  # what is expected to be paid then
                "paid_ns",  # the last payment
                "interval_ns",  # between the last two; 0: only one is known
            )
        ],
    )
)


@kernel
def learn_mark(row: Any, event: Any) -> None:
    """A mark price that tells the coming payment; one that tells none changes nothing."""
    if event.due_ns > 0:
        row.due_ns = event.due_ns
        row.rate_e12 = event.rate_e12


@kernel
def learn_payment(row: Any, event: Any) -> None:
    """The market's payment is due now (not what we paid of it, which carries an amount)."""
    paid_ns = event.venue_ts_ns
    if event.amount_e8 != 0 or paid_ns <= row.paid_ns:
        return
    passed_ns = paid_ns - row.paid_ns
    if row.paid_ns > 0 and passed_ns <= LONGEST_NS:  # else some were missed
        row.interval_ns = passed_ns
    row.paid_ns = paid_ns
    if row.due_ns <= paid_ns:
        row.due_ns = paid_ns + (row.interval_ns if row.interval_ns > 0 else LONGEST_NS)
        row.rate_e12 = event.rate_e12


@kernel
def coming_share(s: Any, i: int, side: int, until_ns: int) -> float:
    """What a position of `side` would pay (+) or receive (-) until then, as a fraction of its value; 0 where no
    payment is known to be due by then."""
    row = s.funding[i]
    if row.due_ns <= s.head[0].now_ns or row.due_ns > until_ns:
        return 0.0
    return side * row.rate_e12 * 1e-12
