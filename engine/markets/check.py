"""`data check`: what a file holds and what is wrong with it, for a person."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np

from engine.contracts.errors import BadData
from engine.markets.files import read_sheet
from engine.markets.rows import CAUSES, DUPLICATE, Judged, judge, venue_time

_EXAMPLES: Final = 5  # of each cause


class SymbolReport(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument of a file. `gaps` counts holes, `missing_bars` the bars that would fill them (candles only).

    `from_ns` and `to_ns` are its first and last good time stamps; both 0 when no row is good.
    """

    venue: str
    symbol: str
    rows: int
    quarantined: int
    from_ns: int
    to_ns: int
    step_s: float
    gaps: int
    missing_bars: int
    longest_gap_s: float


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One quarantined row: its 0-based number in the file and why."""

    row: int
    symbol: str
    cause: str
    reason: str


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """`verdict`: good (every row), usable (bad rows are left out), refused (`fault` says why; nothing else is
    set where the file could not be read at all)."""

    path: str
    verdict: Literal["good", "usable", "refused"]
    fault: str = ""
    kind: str = ""
    synthetic: bool = False
    rows: int = 0
    good_rows: int = 0
    from_ns: int = 0
    to_ns: int = 0
    symbols: list[SymbolReport] = []
    gaps: int = 0
    missing_bars: int = 0
    duplicates: int = 0
    quarantined: dict[str, int] = {}
    examples: list[Example] = []


def check(path: Path) -> CheckReport:
    """Read and judge one file. Never raises for what is in the file: a refusal is a verdict."""
    try:
        judged = judge(read_sheet(Path(path)))
    except BadData as refusal:
        return CheckReport(path=str(path), verdict="refused", fault=str(refusal))
    fault = judged.refusal()
    sheet, counts = judged.sheet, judged.counts()
    symbols = [_symbol(judged, code) for code in range(len(sheet.names))]
    seen = [s for s in symbols if s.to_ns]
    return CheckReport(
        path=str(path),
        verdict="refused" if fault else "usable" if counts else "good",
        fault=fault,
        kind=sheet.kind,
        synthetic=sheet.seed is not None,
        rows=len(sheet.code),
        good_rows=int((judged.cause == 0).sum()),
        from_ns=min(s.from_ns for s in seen),
        to_ns=max(s.to_ns for s in seen),
        symbols=symbols,
        gaps=sum(s.gaps for s in symbols),
        missing_bars=sum(s.missing_bars for s in symbols),
        duplicates=counts.get(CAUSES[DUPLICATE][0], 0),
        quarantined=counts,
        examples=_examples(judged),
    )


def _symbol(judged: Judged, code: int) -> SymbolReport:
    sheet, good = judged.sheet, judged.good(code)
    times = sheet.columns["ts"][good] if "ts" in sheet.columns else venue_time(sheet)[good]
    step = int(judged.step_ns[code])
    spacing = np.diff(times)
    holes = spacing[spacing > step] if step else spacing[:0]
    rows = int(sheet.starts[code + 1] - sheet.starts[code])
    return SymbolReport(
        venue=sheet.names[code][0],
        symbol=sheet.names[code][1],
        rows=rows,
        quarantined=rows - len(good),
        from_ns=int(times[0]) if len(times) else 0,
        to_ns=int(times[-1]) if len(times) else 0,
        step_s=step / 1e9,
        gaps=len(holes),
        missing_bars=int((holes // step - 1).sum()) if len(holes) else 0,
        longest_gap_s=float(holes.max() - step) / 1e9 if len(holes) else 0.0,
    )


def _examples(judged: Judged) -> list[Example]:
    sheet, found = judged.sheet, []
    for cause, (name, reason) in CAUSES.items():
        for position in np.flatnonzero(judged.cause == cause)[:_EXAMPLES].tolist():
            code = int(sheet.code[position])
            symbol = ":".join(sheet.names[code]) if code < len(sheet.names) else "?"
            found.append(Example(row=int(sheet.row[position]), symbol=symbol, cause=name, reason=reason))
    return found
