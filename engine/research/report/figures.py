"""Charts as plotly figures in plain dictionaries.

Colours are names of the page's CSS variables ("--gain"); the page's script puts in the colour of the
reader's light or dark theme. Times are ms since the epoch, UTC. Every figure is bounded in size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from engine.contracts.ledger import Ledger, TradeRow
from engine.contracts.runs import Manifest
from engine.research import breakdown, equity
from engine.research.breakdown import Slice, exit_word
from engine.research.metrics import Metrics, taker_fees
from engine.research.verdict import dollars

Chart = dict[str, Any]

CURVE_POINTS: Final = 1500
PRICE_POINTS: Final = 3000
PRICE_SYMBOLS: Final = 12
MARKS: Final = 500  # trades drawn on one price chart, the latest
BARS: Final = 24  # symbols drawn; the table has all
MS: Final = 1_000_000
R_BIN: Final = 0.25
R_REACH: Final = 5.0


def _ms(times: equity.Times) -> list[int]:
    return [int(t) for t in (times // MS)]


def _rounded(values: equity.Floats, digits: int = 2) -> list[float]:
    return [float(v) for v in np.round(values, digits)]


def _sign_colours(values: Sequence[float]) -> list[str]:
    return ["--gain" if value >= 0 else "--loss" for value in values]


def _line(name: str, x: list[int], y: list[float], colour: str, **more: Any) -> Chart:
    line = {"color": colour, "width": more.pop("width", 2), "dash": more.pop("dash", "solid")}
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": line, **more}


def equity_chart(ledger: Ledger, manifest: Manifest, closes: equity.Closes) -> Chart:
    """Marked equity against buying and holding, and cash."""
    curve = equity.curve(ledger.equity, manifest.capital_usd)
    ts, usd = equity.thinned(*curve, CURVE_POINTS)
    data = []
    if len(ts):
        held = equity.buy_and_hold(closes, manifest.symbols, ts, taker_fees(manifest))
        hover = "%{y:$,.2f}"
        cash = _line("Cash", [int(ts[0] // MS), int(ts[-1] // MS)], [manifest.capital_usd] * 2, "--faint", width=1)
        data.append(cash | {"hoverinfo": "skip"})
        cash["line"]["dash"] = "dot"
        if held is not None:
            usd_held = _rounded(held * manifest.capital_usd)
            data.append(_line("Buy and hold", _ms(ts), usd_held, "--muted", width=1.5, hovertemplate=hover))
        data.append(_line("Strategy", _ms(ts), _rounded(usd), "--accent", hovertemplate=hover))
    layout = {"yaxis": {"tickformat": "$,~f"}, "xaxis": {"type": "date"}, "hovermode": "x unified"}
    return {"data": data, "layout": layout | {"showlegend": True}}


def drawdown_chart(ledger: Ledger, manifest: Manifest) -> Chart:
    """Fall below the highest equity so far, in per cent."""
    curve = equity.curve(ledger.equity, manifest.capital_usd)
    ts, under = equity.thinned(curve.ts_ns, equity.underwater(curve) * 100, CURVE_POINTS)
    hover = "%{x|%d %b %H:%M}<br>%{y:.2f} %<extra></extra>"
    area = {"fill": "tozeroy", "fillcolor": "--loss-soft", "hovertemplate": hover}
    data = [_line("Drawdown", _ms(ts), _rounded(under, 3), "--loss", width=1.5, **area)] if len(ts) else []
    return {"data": data, "layout": {"yaxis": {"ticksuffix": " %"}, "xaxis": {"type": "date"}}}


def waterfall_steps(metrics: Metrics) -> list[tuple[str, float, bool]]:
    """(label, USD, is a total): from what the prices gave to what was kept. The steps add up to the total."""
    steps = [
        ("Gross at decision prices", metrics.gross_pnl_usd + metrics.slippage_usd, False),
        ("Slippage", -metrics.slippage_usd, False),
        ("Fees", -metrics.fees_usd, False),
        ("Funding", metrics.funding_usd, False),
        ("Net, closed trades", metrics.net_pnl_usd, True),
    ]
    if metrics.open_positions:
        steps.append(("Open, not closed", metrics.open_pnl_usd, False))
        steps.append(("Change of equity", metrics.end_equity_usd - metrics.start_equity_usd, True))
    return steps


def waterfall_chart(metrics: Metrics) -> Chart:
    """`waterfall_steps` as floating bars."""
    labels, base, height, colours, texts, reached = [], [], [], [], [], 0.0
    for label, usd, total in waterfall_steps(metrics):
        begin = 0.0 if total else reached
        reached = usd if total else reached + usd
        labels.append(label.split(",")[0].removesuffix(" at decision prices"))
        base.append(round(begin, 4))
        height.append(round(reached - begin, 4))
        colours.append("--accent" if total else "--gain" if usd >= 0 else "--loss")
        texts.append(dollars(usd, signed=True))
    tops = [max(b, b + h) for b, h in zip(base, height, strict=True)]
    lows = [min(b, b + h) for b, h in zip(base, height, strict=True)]
    reach = max(*tops, 0.0) - min(*lows, 0.0) or 1.0
    bars = {"type": "bar", "x": labels, "y": height, "base": base, "marker": {"color": colours}, "hoverinfo": "skip"}
    notes = [
        {"x": label, "y": top, "text": text, "showarrow": False, "yshift": 11}
        for label, top, text in zip(labels, tops, texts, strict=True)
    ]
    span = [min(*lows, 0.0) - reach * 0.06, max(*tops, 0.0) + reach * 0.14]
    axes = {"yaxis": {"tickformat": "$,~f", "range": span}, "xaxis": {"tickangle": 0}}
    return {"data": [bars], "layout": axes | {"annotations": notes, "bargap": 0.45}}


def daily_chart(ledger: Ledger, manifest: Manifest) -> Chart:
    """Profit and loss of each UTC day, with the day limit where the run had one."""
    daily = equity.daily(equity.curve(ledger.equity, manifest.capital_usd))
    pnl = _rounded(daily.pnl_usd)
    hover = "%{x|%a %d %b %Y}<br>%{y:$,.2f}<extra></extra>"
    bars = {"type": "bar", "x": _ms(daily.day_ns), "y": pnl, "marker": {"color": _sign_colours(pnl)}}
    layout: Chart = {"yaxis": {"tickformat": "$,~f"}, "xaxis": {"type": "date"}, "bargap": 0.25}
    limit = manifest.limits.get("day_loss_usd")
    if limit is not None:
        line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": -limit, "y1": -limit}
        layout["shapes"] = [line | {"line": {"color": "--loss", "width": 1, "dash": "dash"}}]
        label = {"xref": "paper", "x": 0, "y": -limit, "text": f"day limit −${limit:g}", "showarrow": False}
        layout["annotations"] = [label | {"yshift": -9, "xanchor": "left", "font": {"color": "--loss"}}]
    return {"data": [bars | {"hovertemplate": hover}] if pnl else [], "layout": layout}


def symbols_chart(slices: Sequence[Slice]) -> Chart:
    """Net result a symbol, best at the top; the best and worst where there are many."""
    shown = list(slices) if len(slices) <= BARS else [*slices[: BARS // 2], *slices[-BARS // 2 :]]
    net = [round(s.net_usd, 2) for s in reversed(shown)]
    detail = [f"{s.trades} trades, {s.win_rate:.0%} won" for s in reversed(shown)]
    bars = {
        "type": "bar", "orientation": "h", "x": net, "y": [s.key for s in reversed(shown)], "customdata": detail,
        "marker": {"color": _sign_colours(net)}, "hovertemplate": "%{y} %{x:$,.2f}<br>%{customdata}<extra></extra>",
    }  # fmt: skip
    layout = {"xaxis": {"tickformat": "$,~f", "showgrid": True}, "yaxis": {"type": "category", "showgrid": False}}
    return {"data": [bars] if shown else [], "layout": layout | {"bargap": 0.35}, "rows": len(shown)}


def hours_chart(slices: Sequence[Slice]) -> Chart:
    """Net result by the UTC hour of entry."""
    net = [round(s.net_usd, 2) for s in slices]
    detail = [f"{s.trades} trades, {s.win_rate:.0%} won" for s in slices]
    hover = "%{x}:00 UTC %{y:$,.2f}<br>%{customdata}<extra></extra>"
    bars = {"type": "bar", "x": [s.key for s in slices], "y": net, "customdata": detail, "hovertemplate": hover}
    layout = {"yaxis": {"tickformat": "$,~f"}, "xaxis": {"type": "category", "dtick": 3}, "bargap": 0.3}
    return {"data": [bars | {"marker": {"color": _sign_colours(net)}}] if net else [], "layout": layout}


def multiples_chart(trades: Sequence[TradeRow]) -> Chart:
    """How often a trade returned how many times its risk; the ends gather what lies beyond."""
    known = np.array([t.r_multiple for t in trades if t.r_multiple is not None and np.isfinite(t.r_multiple)])
    if not len(known):
        return {"data": [], "layout": {}}
    edges = np.arange(-R_REACH, R_REACH + R_BIN, R_BIN)
    counts, _ = np.histogram(np.clip(known, -R_REACH, R_REACH - 1e-9), edges)
    used = np.flatnonzero(counts)
    spread = slice(int(used[0]), int(used[-1]) + 1)
    middles = (edges[:-1] + R_BIN / 2)[spread]
    names = [f"{low:+.2f} to {low + R_BIN:+.2f} R".replace("-", "−") for low in edges[:-1][spread]]
    bars = {
        "type": "bar", "x": _rounded(middles, 3), "y": [int(c) for c in counts[spread]], "customdata": names,
        "marker": {"color": _sign_colours([float(m) for m in middles])},
        "hovertemplate": "%{customdata}<br>%{y} trades<extra></extra>",
    }  # fmt: skip
    title = {"text": "trades", "font": {"size": 12.5}}
    return {"data": [bars], "layout": {"xaxis": {"ticksuffix": " R"}, "yaxis": {"title": title}, "bargap": 0.08}}


def price_charts(ledger: Ledger, manifest: Manifest, closes: equity.Closes) -> dict[str, Chart]:
    """Price with entries, exits and stops for the symbols traded most, most trades first."""
    names = breakdown.labels(manifest.instruments)
    slices = sorted(breakdown.by_symbol(ledger.trades, names), key=lambda s: (-s.trades, s.key))
    charts = {}
    for found in [s for s in slices if s.key in closes and len(closes[s.key][0])][:PRICE_SYMBOLS]:
        mine = [trade for trade in ledger.trades if breakdown.label(names, trade) == found.key]
        charts[found.key] = _price_chart(mine, *closes[found.key])
    return charts


def _price_chart(trades: Sequence[TradeRow], ts: equity.Times, price: equity.Floats) -> Chart:
    usable = np.isfinite(price) & (price > 0)
    ts, price = equity.thinned(ts[usable], price[usable], PRICE_POINTS)
    drawn = sorted(trades, key=lambda t: t.closed_ns)[-MARKS:]
    line = _line("Price", _ms(ts), [float(f"{p:.6g}") for p in price], "--muted", width=1.2, hoverinfo="skip")
    stops_x: list[int | None] = []
    stops_y: list[float | None] = []
    for t in (t for t in drawn if t.stop_price > 0):
        stops_x += [t.opened_ns // MS, t.closed_ns // MS, None]
        stops_y += [float(t.stop_price), float(t.stop_price), None]
    stops = {
        "type": "scatter", "mode": "lines", "name": "Stop", "x": stops_x, "y": stops_y, "hoverinfo": "skip",
        "line": {"color": "--loss", "width": 1.5, "dash": "dot"},
    }  # fmt: skip
    marks = [
        _marks("Entry long", [t for t in drawn if t.side == "long"], "triangle-up", "--accent", entry=True),
        _marks("Entry short", [t for t in drawn if t.side != "long"], "triangle-down", "--accent", entry=True),
        _marks("Exit, won", [t for t in drawn if t.net_usd > 0], "circle", "--gain", entry=False),
        _marks("Exit, lost", [t for t in drawn if t.net_usd <= 0], "x", "--loss", entry=False),
    ]
    span = {"type": "date"} | ({"range": [int(ts[0] // MS), int(ts[-1] // MS)]} if len(ts) else {})
    layout = {"xaxis": span, "hovermode": "closest", "showlegend": True}
    return {"data": [line, stops, *(m for m in marks if m["x"])], "layout": layout}


def _marks(name: str, trades: Sequence[TradeRow], symbol: str, colour: str, entry: bool) -> Chart:
    if entry:
        words = [f"#{t.trade_no} {t.side} {t.qty.normalize():f}, stop {t.stop_price.normalize():f}" for t in trades]
    else:
        words = [f"#{t.trade_no} {exit_word(t.exit_reason)}, {dollars(float(t.net_usd), signed=True)}" for t in trades]
    outline = {"width": 1, "color": "--card"}
    return {
        "type": "scatter", "mode": "markers", "name": name, "text": words,
        "x": [(t.opened_ns if entry else t.closed_ns) // MS for t in trades],
        "y": [float(t.entry_price if entry else t.exit_price) for t in trades],
        "marker": {"symbol": symbol, "size": 10 if entry else 8, "color": colour, "line": outline},
        "hovertemplate": "%{text}<br>%{x|%d %b %H:%M} at %{y}<extra></extra>",
    }  # fmt: skip
