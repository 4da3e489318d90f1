"""One HTML file that opens anywhere: styles, script and chart library inside, no request made."""

from __future__ import annotations

from importlib import resources
from typing import Any, Final

import msgspec

from engine.research.report.sections import esc

# The browser itself refuses any request, should a later change try one.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
SIZE_MARK: Final = "@SIZE@"
"""Where this stands in a footer, the finished file's size is written."""


def whole_page(name: str, header: str, body: str, footer: str, payload: dict[str, Any]) -> str:
    """The whole file as text. `payload` holds what the script draws: `charts` by name, `prices`, `trades`."""
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{esc(name)}</title>',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<style>{_asset('style.css')}</style></head><body>",
        header,
        f"<main>{body}</main>",
        footer,
        f'<script type="application/json" id="payload">{_embedded(payload)}</script>',
        f"<script>{_chart_library()}</script><script>{_asset('page.js')}</script></body></html>",
    ]
    text = "".join(parts)
    return text.replace(SIZE_MARK, f"{len(text.encode()) / 1e6:.1f} MB", 1)


def section(anchor: str, head: str, lead: str, content: str) -> str:
    """One card of the page."""
    intro = f'<p class="lead">{esc(lead)}</p>' if lead else ""
    return f'<section id="{anchor}"><h2>{esc(head)}</h2>{intro}{content}</section>'


def chart(name: str, payload: dict[str, Any], label: str, empty: str) -> str:
    """A place for a chart, or plain words where there is nothing to draw."""
    drawn = payload["charts"][name]
    if not drawn["data"]:
        return f'<p class="quiet">{esc(empty)}</p>'
    rows = f' style="--rows:{drawn["rows"]}"' if "rows" in drawn else ""
    return f'<div class="chart {name}" data-chart="{name}" role="img" aria-label="{esc(label)}"{rows}></div>'


def _asset(name: str) -> str:
    return resources.files("engine.research.report").joinpath("assets", name).read_text(encoding="utf-8")


def _chart_library() -> str:
    return resources.files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")


def _embedded(payload: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in."""
    return msgspec.json.encode(payload).decode().replace("<", "\\u003c")
