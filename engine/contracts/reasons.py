"""Stable reason codes. The numbers are journalled: never renumber, only append.

One namespace per family so that a code alone tells where it came from:
1-99 risk refusals, 100-199 exits, 200-299 venue rejections, 300-399 trading-state changes,
400-499 gaps, 500-599 protocol violations, 600-699 feeds.
"""

from __future__ import annotations

from typing import Final

# --- risk refusals ----------------------------------------------------------------------------
NOT_ACTIVE: Final = 1
STALE_DATA: Final = 2
CROSSED_BOOK: Final = 3
BAD_NUMBER: Final = 4
STOP_MISSING: Final = 5
TRADE_LOSS: Final = 6
DAY_LOSS: Final = 7
RESERVE: Final = 8
ORDER_NOTIONAL: Final = 9
EXPOSURE: Final = 10
INSTRUMENT_EXPOSURE: Final = 11
CLUSTER_EXPOSURE: Final = 12
LEVERAGE: Final = 13
LIQUIDATION_TOO_NEAR: Final = 14
ORDER_RATE: Final = 15
FAT_FINGER: Final = 16
MAX_POSITIONS: Final = 17
ORDER_IN_DOUBT: Final = 18
INSTRUMENT_BLOCKED: Final = 19
NOTIONAL_BELOW_MINIMUM: Final = 20
QUANTITY_BELOW_MINIMUM: Final = 21
QUANTITY_ABOVE_MAXIMUM: Final = 22
PRICE_OUT_OF_BAND: Final = 23
SPREAD_TOO_WIDE: Final = 24
ORDER_POOL_FULL: Final = 25
POSITION_OPEN: Final = 26
EXIT_NOT_POSSIBLE: Final = 27
NOT_TRADABLE: Final = 28
MOVED_AWAY: Final = 29  # the price left the range a patient entry was approved for
STOP_REACHED: Final = 30
STOP_MOVED: Final = 31
POSITION_LEAVING: Final = 32
VENUE_CASH: Final = 33  # the wallet of the venue cannot pay for it, whatever lies at the others
DEPEGGED: Final = 34  # a stablecoin on the way is not worth its dollar
PEG_UNKNOWN: Final = 35  # no fresh price says what it is worth
NO_START_CASH: Final = 36  # nothing of the currency the cycle begins with
DRAWDOWN_ROOM: Final = 37  # with all stops hit equity would have fallen too far from its peak
SIGNAL_TURNED: Final = 45  # a resting entry's signal is gone
QUEUE_COLLAPSED: Final = 46  # what stood at a resting entry's price is gone: the next trade there knows more
TAKING_NOT_PAID: Final = 47  # what did not fill while it rested is not worth the taker's fee
FUNDING_AHEAD: Final = 48  # a funding payment is due that the expected move does not cover
NO_LEVERAGE_FITS: Final = 49  # at any leverage liquidation would be too near the stop
CORRELATED: Final = 55  # what is open and moves together with it risks enough already
PUMP: Final = 56  # the move looks like an organised pump
FORECAST_AGAINST: Final = 57  # a model's forecast speaks against it
MARKET_AGAINST: Final = 58  # too few pairs rise, or BTC falls or is wild
RANKED_LOW: Final = 59  # other pairs are stronger, more liquid or tighter
NOT_SELECTED: Final = 65  # the selector gives this strategy no share of the risk budget now

# --- exits ------------------------------------------------------------------------------------
STOP_LOSS: Final = 100
TRAILING_STOP: Final = 101
TAKE_PROFIT: Final = 102
TIME_STOP: Final = 103
EXIT_SIGNAL: Final = 104
DAY_LIMIT_EXIT: Final = 105
DRAWDOWN_EXIT: Final = 106
EMERGENCY_EXIT: Final = 107
LIQUIDATION: Final = 108
NAKED_POSITION: Final = 109
END_OF_DATA: Final = 110
ENTRY_SIGNAL: Final = 111
ENTRY_TIMEOUT: Final = 112
FORCE_EXIT: Final = 113
FUNDING_EXIT: Final = 114
RESERVE_EXIT: Final = 115
OUTGROWN_EXIT: Final = 116
ENTRY_REPRICED: Final = 117
ENTRY_ABANDONED: Final = 118
MANUAL_EXIT: Final = 119  # closed at the venue by no order of ours
CYCLE_DONE: Final = 120  # all three legs went through
CYCLE_UNWOUND: Final = 121  # a leg did not: what it held was sold
CYCLE_MISSED: Final = 122  # the first leg got nothing
POT_SWEPT: Final = 123  # coins left over from cycles, sold
BACK_TO_SHADOW: Final = 124
SHADOW_PASSED: Final = 125
CYCLE_BEGUN: Final = 126
CYCLE_LEG: Final = 127
UNWIND_LEG: Final = 128
FUNDING_DUE: Final = 130  # out before a payment that would cost more than was still expected
PARTIAL_EXIT: Final = 135  # a part leaves, the rest stays

# --- venue rejections -------------------------------------------------------------------------
PRICE_FILTER: Final = 200
LOT_SIZE: Final = 201
MIN_NOTIONAL: Final = 202
PERCENT_PRICE: Final = 203
MAX_ORDERS: Final = 204
INSUFFICIENT_BALANCE: Final = 205
REDUCE_ONLY_REJECTED: Final = 206
WOULD_TAKE: Final = 207
WOULD_TRIGGER: Final = 208
UNKNOWN_ORDER: Final = 209
NO_LIQUIDITY: Final = 210
REPLACED_ORDER_GONE: Final = 211
INSUFFICIENT_MARGIN: Final = 212
DUPLICATE_CLIENT_ID: Final = 213
SELF_TRADE: Final = 214
RATE_LIMITED: Final = 215
CLOCK_SKEW: Final = 216
KEY_REFUSED: Final = 217
MARKET_CLOSED: Final = 218
BAD_REQUEST: Final = 219
OTHER_ORDER_BOOK: Final = 220
VENUE_REFUSED: Final = 221

# --- trading-state changes --------------------------------------------------------------------
OPERATOR_PAUSE: Final = 300
OPERATOR_REDUCE: Final = 301
OPERATOR_RESUME: Final = 302
OPERATOR_EMERGENCY: Final = 303
DRAWDOWN_LIMIT: Final = 304
DAY_LOSS_LIMIT: Final = 305
PROTOCOL_VIOLATION: Final = 306
JOURNAL_FAILED: Final = 307
NEW_DAY: Final = 308
OPERATOR_HALT: Final = 309  # the invariant monitor: entries off, exits and stops go on
OPERATOR_ADOPT: Final = 310
SHARE_BY_EVIDENCE: Final = 320  # why a strategy's share of the risk budget changed
SHARE_BY_REGIME: Final = 321
SHARE_DEMOTED_GAP: Final = 322
SHARE_DEMOTED_DAY: Final = 323
SHARE_COOLED_DOWN: Final = 324
SHARE_BY_PARAMETER: Final = 325

# --- gaps: why a loss passed its plan ---------------------------------------------------------
GAP_BETWEEN_TICKS: Final = 400
GAP_BETWEEN_CANDLES: Final = 401
GAP_THIN_BOOK: Final = 402
GAP_FUNDING: Final = 403
GAP_LIQUIDATION: Final = 404
GAP_INSIDE_CANDLE: Final = 405
GAP_EXIT_COST: Final = 406
GAP_DRAWDOWN: Final = 407  # of the account: it fell from its peak further than stops allow

# --- protocol violations ----------------------------------------------------------------------
NO_SUCH_TRANSITION: Final = 500
OVERFILL: Final = 501
UNKNOWN_CLIENT_ID: Final = 502
BAD_EVENT: Final = 503

# --- feeds ------------------------------------------------------------------------------------
BARS_FORGOTTEN: Final = 600  # what comes next does not continue the bars before it

NAMES: Final[dict[int, str]] = {v: k for k, v in sorted(globals().items()) if k.isupper() and isinstance(v, int)}


def name(code: int) -> str:
    """Stable name of a reason code, e.g. 7 -> ``DAY_LOSS``; an unknown code is shown, never hidden."""
    return NAMES.get(code, f"CODE_{code}")
