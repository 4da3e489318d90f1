"""Closed trades counted and summed: the whole, and by symbol, hour, strategy and exit reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec
import numpy as np

from engine.contracts.instruments import Instrument
from engine.contracts.ledger import CycleRow, FillRow, TradeRow
from engine.contracts.records import ROLE_LEG, ROLES
from engine.research.statistics import Undefined

HOUR_NS: Final = 3_600_000_000_000
SQN_CAP: Final = 100
LEG: Final = ROLES[ROLE_LEG]
_ZERO: Final = Decimal(0)

# Our reason codes in the words traders know from other systems.
EXIT_WORDS: Final[dict[str, str]] = {
    "STOP_LOSS": "stop_loss",
    "TRAILING_STOP": "trailing_stop_loss",
    "TAKE_PROFIT": "take_profit",
    "TIME_STOP": "time_limit",
    "EXIT_SIGNAL": "exit_signal",
    "DAY_LIMIT_EXIT": "force_exit: day limit",
    "DRAWDOWN_EXIT": "force_exit: drawdown",
    "EMERGENCY_EXIT": "emergency_exit",
    "LIQUIDATION": "liquidation",
    "NAKED_POSITION": "force_exit: no stop",
    "END_OF_DATA": "force_exit: end of data",
    "FORCE_EXIT": "force_exit",
    "PARTIAL_EXIT": "partial_exit",
}


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Closed trades that share a key. `win_rate` is a fraction; net = gross - fees + funding."""

    key: str
    trades: int
    wins: int
    win_rate: float
    gross_usd: float
    fees_usd: float
    funding_usd: float
    slippage_usd: float
    net_usd: float


class CycleSlice(msgspec.Struct, frozen=True, kw_only=True):
    """Triangular cycles of a venue, sent or in `shadow`. `done` went through, `missed` got nothing at the first leg;
    edges are means of those that filled anything, bps, None where none did."""

    venue: str
    shadow: bool
    cycles: int
    done: int
    turned_back: int
    missed: int
    won: int
    quoted_bps: float | None
    realised_bps: float | None
    net_usd: float


def exit_word(reason: str) -> str:
    """`STOP_LOSS` -> ``stop_loss``; a reason not in the table is shown as it is, in lower case."""
    return EXIT_WORDS.get(reason.upper(), reason.lower())


def _slice(key: str, trades: Sequence[TradeRow]) -> Slice:
    wins = sum(trade.net_usd > 0 for trade in trades)
    return Slice(
        key=key,
        trades=len(trades),
        wins=wins,
        win_rate=wins / len(trades) if trades else 0.0,
        gross_usd=float(sum((t.gross_usd for t in trades), _ZERO)),
        fees_usd=float(sum((t.fees_usd for t in trades), _ZERO)),
        funding_usd=float(sum((t.funding_usd for t in trades), _ZERO)),
        slippage_usd=float(sum((t.slippage_usd for t in trades), _ZERO)),
        net_usd=float(sum((t.net_usd for t in trades), _ZERO)),
    )


def _grouped(trades: Sequence[TradeRow], key: Callable[[TradeRow], str]) -> list[Slice]:
    groups: dict[str, list[TradeRow]] = {}
    for trade in trades:
        groups.setdefault(key(trade), []).append(trade)
    return [_slice(name, members) for name, members in groups.items()]


def labels(instruments: Sequence[Instrument]) -> dict[tuple[str, str], str]:
    """(venue, symbol) -> what a report calls it: the symbol, or ``venue:symbol`` where several venues have it."""
    venues = Counter(one.symbol for one in instruments)
    return {
        (one.venue, one.symbol): one.symbol if venues[one.symbol] == 1 else f"{one.venue}:{one.symbol}"
        for one in instruments
    }


def label(names: Mapping[tuple[str, str], str], row: TradeRow | FillRow) -> str:
    """What the report calls the instrument of `row`, by `labels`."""
    return names.get((row.venue, row.symbol), row.symbol)


def by_symbol(trades: Sequence[TradeRow], names: Mapping[tuple[str, str], str]) -> list[Slice]:
    """By `labels`, best net first."""
    return sorted(_grouped(trades, lambda t: label(names, t)), key=lambda s: (-s.net_usd, s.key))


def by_strategy(trades: Sequence[TradeRow], names: Sequence[str] = ()) -> list[Slice]:
    """Best net first; `names` have a line even without a trade."""
    found = _grouped(trades, lambda t: t.strategy)
    found += [_slice(name, []) for name in names if name not in {s.key for s in found}]
    return sorted(found, key=lambda s: (-s.net_usd, s.key))


def by_regime(trades: Sequence[TradeRow]) -> list[Slice]:
    """By strategy and the market's regime the entry was decided in, most trades first."""
    slices = _grouped(trades, lambda t: f"{t.strategy}, {t.regime}")
    return sorted(slices, key=lambda s: (-s.trades, s.key))


def by_exit_reason(trades: Sequence[TradeRow]) -> list[Slice]:
    """Most trades first, in the words of `EXIT_WORDS`."""
    return sorted(_grouped(trades, lambda t: exit_word(t.exit_reason)), key=lambda s: (-s.trades, s.key))


def by_hour(trades: Sequence[TradeRow]) -> list[Slice]:
    """Always 24 slices, "00".."23": the UTC hour the trade was opened in."""
    found = {s.key: s for s in _grouped(trades, lambda t: f"{t.opened_ns // HOUR_NS % 24:02d}")}
    return [found.get(f"{hour:02d}", _slice(f"{hour:02d}", [])) for hour in range(24)]


def by_desk(cycles: Sequence[CycleRow]) -> list[CycleSlice]:
    """By venue, those sent before those in shadow."""
    groups: dict[tuple[str, bool], list[CycleRow]] = {}
    for one in cycles:
        groups.setdefault((one.venue, one.shadow), []).append(one)
    return [_cycle_slice(venue, shadow, members) for (venue, shadow), members in sorted(groups.items())]


def _cycle_slice(venue: str, shadow: bool, cycles: Sequence[CycleRow]) -> CycleSlice:
    filled = [one for one in cycles if one.reason != "CYCLE_MISSED"]
    done = sum(one.reason == "CYCLE_DONE" for one in cycles)
    return CycleSlice(
        venue=venue, shadow=shadow, cycles=len(cycles), done=done, turned_back=len(filled) - done,
        missed=len(cycles) - len(filled), won=sum(one.net_usd > 0 for one in filled),
        quoted_bps=float(np.mean([one.quoted_bps for one in filled])) if filled else None,
        realised_bps=float(np.mean([one.realised_bps for one in filled])) if filled else None,
        net_usd=float(sum((one.net_usd for one in filled), _ZERO)),
    )  # fmt: skip


def profit_factor(nets: Sequence[Decimal]) -> float:
    """Sum of winning / |sum of losing| net results."""
    won, lost = sum((n for n in nets if n > 0), _ZERO), sum((n for n in nets if n < 0), _ZERO)
    if not nets:
        raise Undefined("no closed trade")
    if lost == 0:
        raise Undefined("no losing trade")
    return float(won / -lost)


def average(values: Sequence[Decimal] | Sequence[float] | Sequence[int], missing: str) -> float:
    """Mean; Undefined with `missing` as the reason where there is nothing to average."""
    if not values:
        raise Undefined(missing)
    return float(np.mean([float(value) for value in values]))


def system_quality(multiples: Sequence[float]) -> float:
    """Van Tharp's SQN: sqrt(min(N, 100)) * mean(R) / std(R, ddof=1)."""
    if len(multiples) < 2:
        raise Undefined(f"needs at least 2 trades with a known risk, there are {len(multiples)}")
    deviation = float(np.std(multiples, ddof=1))
    if deviation <= 1e-12:
        raise Undefined("R multiples do not vary")
    return float(min(len(multiples), SQN_CAP) ** 0.5 * np.mean(multiples)) / deviation


def longest_streak(outcomes: Sequence[bool]) -> int:
    """Longest run of True."""
    best = run = 0
    for outcome in outcomes:
        run = run + 1 if outcome else 0
        best = max(best, run)
    return best


def open_positions(fills: Sequence[FillRow]) -> dict[tuple[str, str], tuple[Decimal, int]]:
    """(venue, symbol) -> (signed quantity, ns it was last flat): a fold of fills, only what is not flat. Legs of a
    cycle exchange one coin for another and open no position."""
    held: dict[tuple[str, str], tuple[Decimal, int]] = {}
    for fill in fills:
        if fill.role == LEG:
            continue
        key = (fill.venue, fill.symbol)
        before, since = held.get(key, (_ZERO, fill.ts_ns))
        after = before + (fill.qty if fill.side == "buy" else -fill.qty)
        held[key] = (after, fill.ts_ns if before == 0 or before * after < 0 else since)
    return {key: value for key, value in held.items() if value[0] != 0}


def busy_ns(spans: Sequence[tuple[int, int]], from_ns: int, to_ns: int) -> int:
    """Length of the union of the spans, clipped to the run."""
    busy, reached = 0, from_ns
    for begin, end in sorted(spans):
        begin, end = max(begin, reached), min(end, to_ns)
        if end > begin:
            busy, reached = busy + end - begin, end
    return busy


def iso(ts_ns: int) -> str:
    """int64 ns UTC as ``2025-01-31T23:59:00Z``, whole seconds."""
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
