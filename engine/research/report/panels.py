"""Several panels over one time axis as an SVG file: for pages that are read as text files, in light or dark.

The colours are classes with a value for each theme; the file needs no script and no font of its own. The same input
gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from textwrap import wrap
from typing import Final, NamedTuple

import numpy as np

from engine.research.equity import DAY_NS, Floats, Times
from engine.research.report.picture import round_values

WIDTH: Final = 960
LEFT, RIGHT = 100, 26
LETTERS: Final = 138  # of small words in a line
LETTER: Final = 6.5  # pixels one of them takes, about
LINE: Final = 16  # pixels a line of words takes
GAP: Final = 16  # between panels
AXIS: Final = 24
TICKS_S: Final = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 86_400, 172_800, 345_600, 604_800)

COLOURS: Final = {
    "blue": ("#1f5fa8", "#6cb0f5"),
    "orange": ("#b8520f", "#f0964a"),
    "green": ("#23733f", "#5cc27d"),
    "red": ("#b3261e", "#ff8078"),
    "violet": ("#6f42a8", "#b795ee"),
    "grey": ("#7b858f", "#98a4b0"),
    "pale": ("#d3dbe4", "#3a4552"),
}
"""Name -> (light, dark)."""
_STYLE: Final = (
    "svg{color:#24292f}.paper{fill:#fff}.rule{stroke:#dfe3e8}.small{font-size:11.5px;fill:#57606a}"
    + "".join(f".{name}{{color:{light}}}" for name, (light, _) in COLOURS.items())
    + "@media(prefers-color-scheme:dark){svg{color:#e6edf3}.paper{fill:#0d1117}.rule{stroke:#2d343d}"
    + ".small{fill:#9aa5b1}"
    + "".join(f".{name}{{color:{dark}}}" for name, (_, dark) in COLOURS.items())
    + "}"
)


class Line(NamedTuple):
    """Values over time; NaN interrupts it. `stepped`: each value holds until the next."""

    name: str
    ts_ns: Times
    values: Floats
    colour: str
    width: float = 1.6
    dashed: bool = False
    stepped: bool = False


class Dots(NamedTuple):
    """Moments. `shape`: dot, cross or up (a triangle)."""

    name: str
    ts_ns: Times
    values: Floats
    colour: str
    shape: str = "dot"


class Blocks(NamedTuple):
    """Filled stretches of time between two values."""

    name: str
    from_ns: Times
    to_ns: Times
    low: Floats
    high: Floats
    colour: str
    opacity: float = 1.0


class Words(NamedTuple):
    """Small words beside points: to the right of them, or `before` them."""

    ts_ns: Times
    values: Floats
    texts: Sequence[str]
    before: bool = False


Mark = Line | Dots | Blocks | Words


class Panel(NamedTuple):
    """Marks that share an axis of values. `words` say what is drawn; `rows` name the whole numbers from 0 on, instead
    of values. `low` and `high` bound the axis, where the marks shall not."""

    title: str
    words: str
    marks: Sequence[Mark]
    height: int = 130
    unit: str = "{:g}"
    rows: Sequence[str] = ()
    low: float | None = None
    high: float | None = None


class _Frame(NamedTuple):
    """Where a panel lies, and what it spans."""

    top: float
    height: float
    from_ns: int
    to_ns: int
    low: float
    high: float

    def x(self, ts_ns: float) -> float:
        return LEFT + (ts_ns - self.from_ns) / max(self.to_ns - self.from_ns, 1) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        within = min(max(value, self.low), self.high)
        return self.top + (self.high - within) / (self.high - self.low) * self.height


def draw(title: str, words: str, panels: Sequence[Panel], from_ns: int, to_ns: int) -> str:
    """The picture as text."""
    lines = wrap(words, LETTERS)
    parts = [f'<text class="small" x="12" y="{40 + LINE * k}">{escape(line)}</text>' for k, line in enumerate(lines)]
    top = 30.0 + LINE * len(lines)
    for panel in panels:
        said = wrap(panel.words, LETTERS)
        base = top + GAP + 12
        parts.append(f'<text x="12" y="{base:.0f}" font-weight="600">{escape(panel.title)}</text>')
        for k, line in enumerate(said, 1):
            parts.append(f'<text class="small" x="12" y="{base + LINE * k:.0f}">{escape(line)}</text>')
        fits = 12 + 7.8 * len(panel.title) + _legend_width(panel) < WIDTH - RIGHT
        below = len(said) + (not fits)
        parts.append(_legend(panel, base if fits else base + LINE * below))
        frame = _Frame(base + 12 + LINE * below, panel.height, from_ns, to_ns, *_bounds(panel))
        parts += _axes(panel, frame)
        parts += [_drawn(mark, frame) for mark in panel.marks]
        parts += _times(frame)
        top = frame.top + panel.height + AXIS
    height = int(top) + 8
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f'<rect class="paper" width="{WIDTH}" height="{height}"/><g fill="currentColor">'
        f'<text x="12" y="22" font-size="16" font-weight="600">{escape(title)}</text>'
    )
    return head + "\n".join(parts) + "</g></svg>\n"


def _bounds(panel: Panel) -> tuple[float, float]:
    if panel.rows:
        return -0.5, len(panel.rows) - 0.5
    seen = [np.concatenate([m.low, m.high]) if isinstance(m, Blocks) else m.values for m in panel.marks]
    every = np.concatenate([one[np.isfinite(one)] for one in seen] or [np.zeros(1)])
    every = every if len(every) else np.zeros(1)
    low, high = float(every.min()), float(every.max())
    room = max((high - low) * 0.08, 1e-9)
    return (
        low - room if panel.low is None else panel.low,
        high + room if panel.high is None else panel.high,
    )


def _axes(panel: Panel, frame: _Frame) -> list[str]:
    """Lines at round values, or at the rows, and what they are called."""
    named = [(float(k), name) for k, name in enumerate(panel.rows)]
    if not named:
        named = [(v, _value(panel.unit, v)) for v in round_values(frame.low, frame.high)]
    made = []
    for value, name in named:
        y = frame.y(value)
        if not panel.rows:
            zero = ' stroke-width="1.6"' if abs(value) < 1e-12 else ""
            made.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"{zero}/>')
        made.append(f'<text class="small" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
    return made


def _value(unit: str, value: float) -> str:
    return unit.format(value) if abs(value) > 1e-9 else unit.format(0.0).replace("+", "")


def _times(frame: _Frame) -> list[str]:
    """The axis of time, UTC: about eight round moments."""
    span_s = (frame.to_ns - frame.from_ns) / 1e9
    step_ns = next((t for t in TICKS_S if span_s / t <= 9), TICKS_S[-1]) * 1_000_000_000
    form = "%d %b" if frame.to_ns - frame.from_ns > 2 * DAY_NS else "%H:%M"
    made = []
    for moment in range(-(-frame.from_ns // step_ns) * step_ns, frame.to_ns + 1, step_ns):
        x, end = frame.x(moment), frame.top + frame.height
        said = datetime.fromtimestamp(moment // 1_000_000_000, UTC).strftime(form)
        made.append(f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{end:.0f}" y2="{end + 4:.0f}"/>')
        made.append(f'<text class="small" x="{x:.1f}" y="{end + 16:.0f}" text-anchor="middle">{said}</text>')
    return made


def _named(panel: Panel) -> list[Line | Dots | Blocks]:
    return [mark for mark in panel.marks if not isinstance(mark, Words) and mark.name]


def _legend_width(panel: Panel) -> float:
    return sum(LETTER * len(mark.name) + 32 for mark in _named(panel))


def _legend(panel: Panel, y: float) -> str:
    """Names of the marks, up to the right border."""
    made, left = [], WIDTH - RIGHT - _legend_width(panel)
    for mark in _named(panel):
        made.append(_swatch(mark, left + 12, y - 4))
        made.append(f'<text class="small" x="{left + 26:.0f}" y="{y:.0f}">{escape(mark.name)}</text>')
        left += LETTER * len(mark.name) + 32
    return "".join(made)


def _swatch(mark: Line | Dots | Blocks, x: float, y: float) -> str:
    if isinstance(mark, Dots):
        return _shapes(mark, [(x + 4, y)])
    if isinstance(mark, Blocks):
        return (
            f'<rect class="{mark.colour}" x="{x:.0f}" y="{y - 5:.0f}" width="10" height="10" fill="currentColor" '
            f'opacity="{mark.opacity:g}"/>'
        )
    return f'<path class="{mark.colour}" d="M{x - 4:.0f} {y:.0f}h14" {_stroke(mark)}/>'


def _drawn(mark: Mark, frame: _Frame) -> str:
    if isinstance(mark, Line):
        return f'<path class="{mark.colour}" d="{_path(mark, frame)}" {_stroke(mark)}/>'
    if isinstance(mark, Dots):
        places = [(frame.x(t), frame.y(v)) for t, v in zip(mark.ts_ns, mark.values, strict=True)]
        return _shapes(mark, places)
    if isinstance(mark, Blocks):
        return (
            f'<path class="{mark.colour}" d="{_rectangles(mark, frame)}" fill="currentColor" '
            f'opacity="{mark.opacity:g}"/>'
        )
    aside, anchor = (-8, ' text-anchor="end"') if mark.before else (6, "")
    return "".join(
        f'<text class="small" x="{frame.x(t) + aside:.1f}" y="{frame.y(v) + 4:.1f}"{anchor}>{escape(text)}</text>'
        for t, v, text in zip(mark.ts_ns, mark.values, mark.texts, strict=True)
    )


def _stroke(mark: Line) -> str:
    dash = ' stroke-dasharray="5 4"' if mark.dashed else ""
    return f'fill="none" stroke="currentColor" stroke-width="{mark.width:g}" stroke-linejoin="round"{dash}'


def _path(mark: Line, frame: _Frame) -> str:
    made, pen_up, last_y = [], True, ""
    for t, v in zip(mark.ts_ns.tolist(), mark.values.tolist(), strict=True):
        if not np.isfinite(v):
            pen_up = True
            continue
        x, y = f"{frame.x(t):.1f}", f"{frame.y(v):.1f}"
        if mark.stepped and not pen_up:
            made.append(f"H{x}" if y == last_y else f"H{x}V{y}")
        else:
            made.append(f"{'M' if pen_up else 'L'}{x} {y}")
        pen_up, last_y = False, y
    return "".join(made)


def _rectangles(mark: Blocks, frame: _Frame) -> str:
    made = []
    for begin, end, low, high in zip(mark.from_ns, mark.to_ns, mark.low, mark.high, strict=True):
        x, y = frame.x(max(begin, frame.from_ns)), frame.y(high)
        wide, tall = frame.x(min(end, frame.to_ns)) - x, frame.y(low) - y
        made.append(f"M{x:.1f} {y:.1f}h{wide:.1f}v{tall:.1f}h-{wide:.1f}z")
    return "".join(made)


def _shapes(mark: Dots, places: Sequence[tuple[float, float]]) -> str:
    each, style = _SHAPES[mark.shape]
    path = "".join(f"M{x:.1f} {y:.1f}{each}" for x, y in places)
    return f'<path class="{mark.colour}" d="{path}" {style}/>'


_SHAPES: Final = {
    "dot": ("h0", 'stroke="currentColor" stroke-width="5" stroke-linecap="round"'),
    "cross": ("m-3-3l6 6m0-6l-6 6", 'stroke="currentColor" stroke-width="1.6"'),
    "up": ("m0-5l5 9h-10z", 'fill="currentColor"'),
}
"""How a shape is drawn from its middle."""
