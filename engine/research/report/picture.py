"""Lines over time as an SVG file without anything around it: for pages that are read as text files."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import Final, NamedTuple

import numpy as np

from engine.research import equity

WIDTH: Final = 900
HEIGHT: Final = 320
LEFT, RIGHT, TOP, BOTTOM = 76, 12, 30, 26
POINTS: Final = 600
LEAST_USD: Final = 0.1
"""A curve that moves by less is drawn nearly flat."""
HOUR_NS: Final = 3_600_000_000_000
DAYS_NS: Final = 5 * 24 * HOUR_NS
INK: Final = "#59636e"
RULE: Final = "#dcdedb"


class Curve(NamedTuple):
    """One line: name, times int64 ns, values, colour, width, and whether it is dashed."""

    name: str
    ts_ns: equity.Times
    values: equity.Floats
    colour: str
    width: float = 1.6
    dashed: bool = False


def draw(title: str, curves: list[Curve], borders: list[int]) -> str:
    """The picture as text, amounts in dollars. `borders`: times (ns) of thin upright lines."""
    begin, end = min(int(c.ts_ns[0]) for c in curves), max(int(c.ts_ns[-1]) for c in curves)
    low, high = min(float(c.values.min()) for c in curves), max(float(c.values.max()) for c in curves)
    room = max((high - low) * 0.06, LEAST_USD - (high - low))
    low, high = low - room, high + room
    marks = round_values(low, high)
    digits = 0 if marks[1] - marks[0] >= 1 else 2
    when = "%d %b %Y" if end - begin >= DAYS_NS else "%d %b, %H:%M" if end - begin >= HOUR_NS else "%H:%M:%S"

    def x(ts_ns: int) -> float:
        return LEFT + (ts_ns - begin) / max(end - begin, 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}"><title>{escape(title)}</title>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    ]
    for value in marks:
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="{RULE}"/>'
        )
        parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">${value:,.{digits}f}</text>')
    for border in borders:
        parts.append(
            f'<line x1="{x(border):.1f}" x2="{x(border):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{RULE}"/>'
        )
    for k in range(6):
        moment = begin + (end - begin) * k // 5
        anchor = "start" if k == 0 else "end" if k == 5 else "middle"
        day = datetime.fromtimestamp(moment / 1e9, UTC).strftime(when)
        parts.append(f'<text x="{x(moment):.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{day}</text>')
    place = LEFT
    for curve in curves:
        ts, values = equity.thinned(curve.ts_ns, curve.values, POINTS)
        points = " ".join(f"{x(int(t)):.1f},{y(float(v)):.1f}" for t, v in zip(ts, values, strict=True))
        dash = ' stroke-dasharray="3 4"' if curve.dashed else ""
        style = f'fill="none" stroke="{curve.colour}" stroke-width="{curve.width}"{dash} stroke-linejoin="round"'
        parts.append(f'<polyline points="{points}" {style}/>')
        parts.append(f'<line x1="{place}" x2="{place + 18}" y1="14" y2="14" {style}/>')
        parts.append(f'<text x="{place + 24}" y="18">{escape(curve.name)}</text>')
        place += 44 + 7 * len(curve.name)
    return "".join(parts) + "</svg>\n"


def round_values(low: float, high: float) -> list[float]:
    """Four to nine round values between the two."""
    raw = (high - low) / 5
    unit = 10.0 ** np.floor(np.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw)
    return [float(v) for v in np.arange(np.ceil(low / step) * step, high, step)]
