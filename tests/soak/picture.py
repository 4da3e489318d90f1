"""A soak as a picture: lines over time, one below the other, as one SVG that needs nothing to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import wrap
from typing import Final, NamedTuple

WIDTH: Final = 1000
LEFT: Final = 90
RIGHT: Final = 20
HIGH: Final = 110
GAP: Final = 44
TOP: Final = 96
LETTERS: Final = 125  # in a line of words
COLOURS: Final = ("#1f5fa8", "#c2571a", "#2e7d4f")


class Curve(NamedTuple):
    """A name, and (seconds, value) points."""

    name: str
    points: Sequence[tuple[float, float]]


class Panel(NamedTuple):
    """Curves that share an axis; `unit` is what it counts."""

    title: str
    unit: str
    curves: Sequence[Curve]


def draw(title: str, words: Sequence[str], panels: Sequence[Panel], marks: Sequence[tuple[float, str]]) -> str:
    """The picture. `words`: lines below the title; `marks`: (seconds, colour) of moments drawn through all panels."""
    words = [part for line in words for part in wrap(line, LETTERS)]
    end_s = max((x for panel in panels for curve in panel.curves for x, _ in curve.points), default=1.0)
    height = TOP + 18 * len(words) + len(panels) * (HIGH + GAP) + 20
    made = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="36" font-size="20" font-weight="bold">{escape(title)}</text>',
    ]
    made += [f'<text x="{LEFT}" y="{62 + 18 * k}" fill="#333">{escape(line)}</text>' for k, line in enumerate(words)]
    top = TOP + 18 * len(words)
    for k, panel in enumerate(panels):
        made += _panel(panel, top + k * (HIGH + GAP), end_s, marks, is_last=k == len(panels) - 1)
    return "\n".join([*made, "</svg>", ""])


def _panel(
    panel: Panel, top: float, end_s: float, marks: Sequence[tuple[float, str]], is_last: bool
) -> list[str]:
    values = [y for curve in panel.curves for _, y in curve.points]
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = (high - low) * 0.1 or max(abs(high) * 0.1, 1.0)
    low, high = max(low - margin, 0.0) if low >= 0 else low - margin, high + margin
    wide = WIDTH - LEFT - RIGHT

    def place(x: float, y: float) -> str:
        return f"{LEFT + wide * x / end_s:.1f},{top + HIGH * (1 - (y - low) / (high - low)):.1f}"

    made = [f'<rect x="{LEFT}" y="{top}" width="{wide}" height="{HIGH}" fill="#f7f7f7" stroke="#ccc"/>']
    for at_s, colour in marks:
        x = LEFT + wide * at_s / end_s
        made.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + HIGH}" stroke="{colour}" opacity="0.5"/>')
    made.append(f'<text x="{LEFT}" y="{top - 7}" font-weight="bold">{escape(panel.title)}</text>')
    for k, curve in enumerate(panel.curves):
        colour = COLOURS[k % len(COLOURS)]
        points = " ".join(place(x, y) for x, y in _thinned(curve.points))
        made.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        made.append(
            f'<text x="{WIDTH - RIGHT - 150 * (len(panel.curves) - k - 1)}" y="{top - 7}" text-anchor="end" '
            f'fill="{colour}">{escape(curve.name)}</text>'
        )
    for value, y in ((high, top + 12), (low, top + HIGH)):
        made.append(f'<text x="{LEFT - 6}" y="{y}" text-anchor="end" fill="#555">{_written(value)} {panel.unit}</text>')
    if is_last:
        made += [
            f'<text x="{LEFT + wide * share:.0f}" y="{top + HIGH + 18}" text-anchor="middle" fill="#555">'
            f"{end_s * share:.0f} s</text>"
            for share in (0.0, 0.25, 0.5, 0.75, 1.0)
        ]
    return made


def _thinned(points: Sequence[tuple[float, float]], most: int = 1500) -> Sequence[tuple[float, float]]:
    step = max(len(points) // most, 1)
    return [*points[::step], *points[-1:]]


def _written(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"
