"""Single bad rows are quarantined: dropped from the feed, counted by cause, shown with row number and reason.

Rules
-----
* A row is judged by itself and by what came before it. The one look ahead is at *time stamps*: a stamp that the
  two following rows both contradict is itself the wrong one (else one stamp from the future would
  condemn the rest of the file). No price is ever judged by a later price.
* A wick is absurd when the high (or low) lies further from open, close *and* the previous close than any real move
  of such an instrument, and the price came straight back: the close is near the previous close. Inside its bar
  a bad print moves the close of no other row, so the whole bar is dropped rather than repaired.
  - Up, for majors and stablecoins, "any real move" is 15 % times the square root of the bar's minutes (the 31,000
    in a one-minute bar of BTC/USDC at 26,000 is dropped).
  - Down, majors crash too: a low is absurd only beyond -50 % within one bar of at most five minutes; in longer bars
    no low is.
  - Small caps need tenfold, up or down: they do fall 80 % and recover in five minutes (FXS, 2025-02-03).
  A real collapse (OM, -76 % in an hour) does not come back and is kept. What was dropped is named in the run's
  warnings: symbol, time and prices of the first few.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from engine.contracts.errors import BadData
from engine.core.compile import kernel
from engine.markets.files import Array, Sheet
from engine.markets.symbols import cluster

GOOD: Final = 0
NO_SYMBOL: Final = 1
BAD_TIMESTAMP: Final = 2
NOT_A_NUMBER: Final = 3
PRICE_NOT_POSITIVE: Final = 4
NEGATIVE_VOLUME: Final = 5
HIGH_BELOW_LOW: Final = 6
OUTSIDE_RANGE: Final = 7
DUPLICATE: Final = 8
BACKWARD: Final = 9
OVERLAPPING: Final = 10
CROSSED: Final = 11
LOCKED: Final = 12
ABSURD_WICK: Final = 13
BAD_SIDE: Final = 14
SIZE_NOT_POSITIVE: Final = 15
RATE_OUT_OF_RANGE: Final = 16
TOO_LARGE: Final = 17

# cause: (stable name, what a person reads)
CAUSES: Final[dict[int, tuple[str, str]]] = {
    NO_SYMBOL: ("no_symbol", "venue or symbol is missing or has no known quote currency"),
    BAD_TIMESTAMP: ("bad_timestamp", "time stamp is missing, zero or after 2096"),
    NOT_A_NUMBER: ("not_a_number", "a price or size is missing, NaN or infinite"),
    PRICE_NOT_POSITIVE: ("price_not_positive", "a price is zero or negative"),
    NEGATIVE_VOLUME: ("negative_volume", "the volume is negative"),
    HIGH_BELOW_LOW: ("high_below_low", "the high is below the low"),
    OUTSIDE_RANGE: ("outside_range", "open or close lies outside low..high"),
    DUPLICATE: ("duplicate_timestamp", "the same time stamp (ticks: the same id) was seen before"),
    BACKWARD: ("backward_timestamp", "the time stamp (ticks: or id) runs against its neighbours"),
    OVERLAPPING: ("overlapping_bar", "the bar starts before the previous one ended"),
    CROSSED: ("crossed_quote", "the bid is above the ask"),
    LOCKED: ("locked_quote", "the bid equals the ask"),
    ABSURD_WICK: ("absurd_wick", "a high or low far from everything, with the price straight back"),
    BAD_SIDE: ("bad_side", "the side is neither +1 nor -1"),
    SIZE_NOT_POSITIVE: ("size_not_positive", "a size is zero or negative"),
    RATE_OUT_OF_RANGE: ("rate_out_of_range", "a funding rate beyond 10 % in one interval"),
    TOO_LARGE: ("number_too_large", "a price or volume beyond what the instrument's ticks and lots can hold"),
}

MOST_BAD: Final = 0.1
"""Share of a file's rows that may be bad; with more, what is left is no picture of the market."""

_MAJOR_WICK: Final = 0.15  # of the price, in one minute
_MAJOR_LOW: Final = 0.5  # of the price, lost in a bar of at most
_CRASH_BAR_NS: Final = 300_000_000_000
_ALT_WICK: Final = 10.0  # times the price
_WICKS_NAMED: Final = 3
_RETURNED: Final = 0.2  # the close is back within this share of the wick limit
_LARGEST: Final = 1e15
_SHORTEST_BAR_NS: Final = 1_000_000_000
_DEFAULT_BAR_NS: Final = 300_000_000_000


@dataclass(frozen=True)
class Judged:
    """A sheet with a verdict per row. `cause` is 0 for good rows; `step_ns` is the bar length by code (candles)."""

    sheet: Sheet
    cause: Array
    step_ns: Array

    def good(self, code: int) -> Array:
        """Positions in the sheet of the good rows of one instrument, in time order."""
        start, end = self.sheet.starts[code : code + 2].tolist()
        return np.asarray(np.flatnonzero(self.cause[start:end] == GOOD) + start)

    def counts(self) -> dict[str, int]:
        """Quarantined rows by cause name; causes without rows are left out."""
        if not self.cause.any():
            return {}
        found = np.bincount(self.cause, minlength=len(CAUSES) + 1)
        return {name: int(found[cause]) for cause, (name, _) in CAUSES.items() if found[cause]}

    def wicks(self) -> list[str]:
        """The first few bars dropped as absurd wicks: symbol, time, prices."""
        named: list[str] = []
        for at in np.flatnonzero(self.cause == ABSURD_WICK)[:_WICKS_NAMED].tolist():
            when = datetime.fromtimestamp(int(self.sheet.columns["ts"][at]) // 1_000_000_000, UTC)
            low, high, close = (float(self.sheet.columns[name][at]) for name in ("low", "high", "close"))
            name = ":".join(self.sheet.names[int(self.sheet.code[at])])
            named.append(f"{name} {when:%Y-%m-%d %H:%M} UTC low {low:.8g} high {high:.8g} close {close:.8g}")
        return named

    def refusal(self) -> str:
        """Why the file as a whole cannot be trusted: the share of bad rows and their causes; empty where it can."""
        bad, rows = int(np.count_nonzero(self.cause)), len(self.cause)
        if bad <= MOST_BAD * rows:
            return ""
        causes = ", ".join(f"{name} {count}" for name, count in self.counts().items())
        return (
            f"{self.sheet.path}: {bad} of {rows} rows are bad ({bad / rows:.1%}, at most {MOST_BAD:.0%} may be): "
            f"{causes}; look at them with trading-cli data check {self.sheet.path}, then fetch the file again"
        )


def judge(sheet: Sheet) -> Judged:
    """Verdict on every row. Raises BadData where not one row is good, or bars are shorter than a second."""
    cause = np.zeros(len(sheet.code), np.uint8)
    cause[sheet.code == len(sheet.names)] = NO_SYMBOL
    step_ns = np.zeros(len(sheet.names) + 1, np.int64)
    columns = sheet.columns
    if sheet.kind == "candles":
        step_ns[:-1] = _bar_lengths(sheet)
        o, h, low, c, v = (columns[name] for name in ("open", "high", "low", "close", "volume"))
        judge_candles(sheet.code, columns["ts"], o, h, low, c, v, step_ns, *_wick_limits(sheet, step_ns), cause)
    else:
        _judge_ticks(sheet, cause)
    if not (cause == GOOD).any():
        judged = Judged(sheet, cause, step_ns)
        raise BadData(f"{sheet.path}: not one of {len(cause)} rows is usable ({judged.counts()}); fetch the file again")
    return Judged(sheet, cause, step_ns)


def _bar_lengths(sheet: Sheet) -> Array:
    """Commonest spacing by code; an instrument with one row takes the file's commonest (else five minutes)."""
    starts, ts = sheet.starts, sheet.columns["ts"]
    steps = np.zeros(len(sheet.names), np.int64)
    for code in range(len(sheet.names)):
        spacing = np.diff(ts[starts[code] : starts[code + 1]])
        steps[code] = _commonest(spacing[spacing > 0], 0)
    steps[steps == 0] = _commonest(steps[steps > 0], _DEFAULT_BAR_NS)
    if steps.min() < _SHORTEST_BAR_NS:
        name = ":".join(sheet.names[int(steps.argmin())])
        raise BadData(f"{sheet.path}: column ts: the bars of {name} are shorter than 1 s; write ts as UTC milliseconds")
    return steps


def _commonest(values: Array, otherwise: int) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[np.argmax(counts)]) if len(found) else otherwise


def _wick_limits(sheet: Sheet, step_ns: Array) -> tuple[Array, Array]:
    """Largest believable ln(high / body) and ln(body / low) by code."""
    up = np.full(len(step_ns), np.log(_ALT_WICK))
    down = up.copy()
    for code, (_, symbol) in enumerate(sheet.names):
        if cluster(symbol) != "alt":
            minutes = max(step_ns[code] / 60e9, 1.0)
            up[code] = min(up[code], np.log1p(_MAJOR_WICK) * np.sqrt(minutes))
            down[code] = -np.log1p(-_MAJOR_LOW) if step_ns[code] <= _CRASH_BAR_NS else np.inf
    return up, down


@kernel
def out_of_order(code: Any, ts: Any, i: Any, last: Any) -> bool:
    """True where both following stamps contradict this one, but not what came before."""
    ahead = 0
    for j in range(i + 1, min(i + 3, len(ts))):
        if code[j] == code[i] and ts[j] > 0:
            if ts[j] >= ts[i] or ts[j] <= last:
                return False
            ahead += 1
    return ahead > 0 and (ahead == 2 or last > 0)


@kernel
def judge_bar(opened: Any, high: Any, low: Any, close: Any, volume: Any) -> int:
    """Faults a bar has by itself."""
    if not (
        np.isfinite(opened) and np.isfinite(high) and np.isfinite(low) and np.isfinite(close) and np.isfinite(volume)
    ):
        return NOT_A_NUMBER
    if min(opened, high, low, close) <= 0:
        return PRICE_NOT_POSITIVE
    if volume < 0:
        return NEGATIVE_VOLUME
    if max(high, volume) > _LARGEST:
        return TOO_LARGE
    if high < low:
        return HIGH_BELOW_LOW
    if max(opened, close) > high or min(opened, close) < low:
        return OUTSIDE_RANGE
    return GOOD


@kernel(entry=True)
def judge_candles(
    code: Any,
    ts: Any,
    opens: Any,
    highs: Any,
    lows: Any,
    closes: Any,
    volumes: Any,
    step_ns: Any,
    wick_up: Any,
    wick_down: Any,
    cause: Any,
) -> None:
    """Write the verdict of every bar into `cause` (rows grouped by code)."""
    group, last, before = -1, 0, 0.0
    for i in range(len(code)):
        if code[i] != group:
            group, last, before = code[i], 0, 0.0
        if cause[i] != GOOD:
            continue
        if ts[i] <= 0:
            cause[i] = BAD_TIMESTAMP
            continue
        fault = judge_bar(opens[i], highs[i], lows[i], closes[i], volumes[i])
        if fault == GOOD and last > 0 and ts[i] < last + step_ns[group]:
            fault = DUPLICATE if ts[i] == last else BACKWARD if ts[i] < last else OVERLAPPING
        if fault == GOOD and out_of_order(code, ts, i, last):
            fault = BACKWARD
        if fault == GOOD and before > 0:
            up = np.log(highs[i] / max(opens[i], closes[i], before))
            down = np.log(min(opens[i], closes[i], before) / lows[i])
            absurd = up > wick_up[group] or down > wick_down[group]
            if absurd and abs(np.log(closes[i] / before)) < _RETURNED * wick_up[group]:
                fault = ABSURD_WICK
        if fault != GOOD:
            cause[i] = fault
            continue
        last, before = ts[i], closes[i]


@kernel(entry=True)
def judge_order(code: Any, ts: Any, identity: Any, unique_ts: Any, cause: Any) -> None:
    """Time and id order of ticks, in place. `identity` -1 means none; `unique_ts`: one row per stamp (funding)."""
    group, last, last_id = -1, 0, -1
    for i in range(len(code)):
        if code[i] != group:
            group, last, last_id = code[i], 0, -1
        if cause[i] != GOOD:
            continue
        if ts[i] <= 0:
            cause[i] = BAD_TIMESTAMP
        elif (unique_ts and ts[i] == last) or (identity[i] >= 0 and identity[i] == last_id):
            cause[i] = DUPLICATE
        elif ts[i] < last or (identity[i] >= 0 and identity[i] < last_id) or out_of_order(code, ts, i, last):
            cause[i] = BACKWARD
        else:
            last, last_id = ts[i], max(identity[i], last_id)


def _judge_ticks(sheet: Sheet, cause: Array) -> None:
    columns = sheet.columns
    if sheet.kind == "funding":
        rate = columns["funding_rate"]
        _mark(cause, ~np.isfinite(rate), NOT_A_NUMBER)
        _mark(cause, np.abs(rate) > 0.1, RATE_OUT_OF_RANGE)
        judge_order(sheet.code, columns["ts"], np.full(len(rate), -1, np.int64), True, cause)
        return
    quotes = sheet.kind == "quotes"
    prices = [columns[c] for c in (("bid", "ask") if quotes else ("price",))]
    sizes = [columns[c] for c in (("bid_size", "ask_size") if quotes else ("size",))]
    for values in (*prices, *sizes):
        _mark(cause, ~np.isfinite(values), NOT_A_NUMBER)
        _mark(cause, values > _LARGEST, TOO_LARGE)
    for values in prices:
        _mark(cause, values <= 0, PRICE_NOT_POSITIVE)
    for values in sizes:
        _mark(cause, values <= 0, SIZE_NOT_POSITIVE)
    if quotes:
        _mark(cause, columns["bid"] > columns["ask"], CROSSED)
        _mark(cause, columns["bid"] == columns["ask"], LOCKED)
    else:
        _mark(cause, np.abs(columns["side"]) != 1, BAD_SIDE)
    judge_order(sheet.code, venue_time(sheet), tick_ids(sheet), False, cause)


def _mark(cause: Array, fault: Array, number: int) -> None:
    cause[fault & (cause == GOOD)] = number


def tick_ids(sheet: Sheet) -> Array:
    """Update or trade ids, -1 where the file has none."""
    for column in ("update_id", "trade_id", "agg_id"):
        if column in sheet.columns:
            return sheet.columns[column]
    return np.full(len(sheet.code), -1, np.int64)


def venue_time(sheet: Sheet) -> Array:
    """When the venue says each tick happened, int64 ns; 0 where nobody knows.

    The exchange stamp where there is one. Else the recorder's local clock plus the median of (exchange - local)
    over the rows of the same file that carry both: recorders drift (the recorded one runs 1.27 s behind the
    exchange), and a raw local stamp would put the row before trades that caused it. Without such rows the
    local clock is taken as it is.
    """
    exchange = sheet.columns["ts_exch_ms"]
    stamped = (exchange > 0) & (exchange < 4_000_000_000_000)
    exchange_ns = np.where(stamped, exchange, 0) * 1_000_000
    if "ts_local_ns" not in sheet.columns or stamped.all():
        return exchange_ns
    local = sheet.columns["ts_local_ns"]
    both = stamped & (local > 0)
    offset = int(np.median(exchange_ns[both] - local[both])) if both.any() else 0
    usable = (local > 0) & (local < 4_000_000_000_000_000_000)
    return np.where(stamped, exchange_ns, np.where(usable, local + offset, 0))
