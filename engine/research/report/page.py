"""The report of one run as one HTML file."""

from __future__ import annotations

from typing import Any, Final

from engine.contracts.ledger import Ledger
from engine.contracts.runs import Manifest
from engine.research import equity
from engine.research.breakdown import by_regime, labels
from engine.research.metrics import Metrics
from engine.research.report import figures, sections, wording
from engine.research.report.sections import esc
from engine.research.report.shell import SIZE_MARK, chart, section, whole_page
from engine.research.verdict import counted

_NAVIGATION: Final = (
    ("equity", "Equity"), ("costs", "Costs"), ("days", "Days"), ("symbols", "Symbols"), ("prices", "Prices"),
    ("trades", "Trades"), ("refusals", "Refusals"), ("figures", "All figures"), ("assumptions", "Assumptions"),
)  # fmt: skip

_CYCLES_LEAD: Final = "Edges in basis points of what went in, after fees; what filled of those sent is a trade too."
_MARKET_LEAD: Final = "What the whole market was like, as it was known at each moment; every trade names its own."


_TOGETHER: Final = "All on one account; closed trades of each."


def page(metrics: Metrics, ledger: Ledger, manifest: Manifest, closes: equity.Closes) -> str:
    """The whole file as text."""
    payload = _payload(metrics, ledger, manifest, closes)
    name = f"{wording.title(manifest)} · {manifest.run_id}"
    body = _body(metrics, ledger, manifest, payload)
    return whole_page(name, _header(metrics, manifest), body, _footer(metrics, manifest), payload)


def _payload(metrics: Metrics, ledger: Ledger, manifest: Manifest, closes: equity.Closes) -> dict[str, Any]:
    charts = {
        "equity": figures.equity_chart(ledger, manifest, closes),
        "drawdown": figures.drawdown_chart(ledger, manifest),
        "waterfall": figures.waterfall_chart(metrics),
        "daily": figures.daily_chart(ledger, manifest),
        "symbols": figures.symbols_chart(metrics.by_symbol),
        "hours": figures.hours_chart(metrics.by_hour if metrics.trades else []),
        "multiples": figures.multiples_chart(ledger.trades),
    }
    prices = figures.price_charts(ledger, manifest, closes)
    rows = sections.trade_rows(ledger.trades, labels(manifest.instruments))
    return {"charts": charts, "prices": prices, "trades": rows}


def _header(metrics: Metrics, manifest: Manifest) -> str:
    links = "".join(f'<a href="#{anchor}">{esc(word)}</a>' for anchor, word in _NAVIGATION)
    warnings = "".join(f"<li>{esc(warning)}</li>" for warning in metrics.warnings)
    return (
        f'<header><p class="overline">Keel · {esc(manifest.world)} report</p><h1>{esc(wording.title(manifest))}</h1>'
        f'<p class="subline">{esc(wording.period(metrics))} <span>run {esc(manifest.run_id)}</span></p>'
        f'<p class="badges">{sections.badges(metrics)}</p><p class="verdict">{esc(metrics.verdict)}</p>'
        + (f'<ul class="warnings">{warnings}</ul>' if warnings else "")
        + f"</header><nav>{links}</nav>"
    )


def _body(metrics: Metrics, ledger: Ledger, manifest: Manifest, payload: dict[str, Any]) -> str:
    no_equity, no_trade = "No equity was recorded.", "No trade was closed."
    fell = chart("drawdown", payload, "Fall below the highest equity so far, in per cent", no_equity)
    curve = chart("equity", payload, f"Marked equity. {metrics.verdict}", no_equity)
    waterfall = chart("waterfall", payload, "From gross to net result", no_trade) if metrics.trades else ""
    days = chart("daily", payload, "Profit and loss of each UTC day", no_equity)
    hours = chart("hours", payload, "Net result by UTC hour of entry", no_trade)
    multiples = chart("multiples", payload, "Distribution of R multiples", no_trade)
    table = _folded("Table", sections.slices(metrics.by_symbol, "Symbol")) if metrics.trades else ""
    symbols = chart("symbols", payload, "Net result by symbol", no_trade)
    return "".join(
        (
            f'<dl class="tiles">{sections.tiles(metrics, manifest)}</dl>',
            section("equity", "Equity", sections.sharpe_note(metrics), f"{curve}<h3>Drawdown</h3>{fell}"),
            section("costs", "From gross to net", _costs_lead(metrics), waterfall),
            _strategies(metrics),
            section("days", "Days", _days_lead(metrics), days),
            section("symbols", "Symbols", "", symbols + table),
            '<div class="pair">',
            section("hours", "Hours", "Net result by the UTC hour of entry.", hours),
            section("multiples", "R multiples", "Net result as multiples of what the stop risked.", multiples),
            "</div>",
            section("exits", "Exits", "", sections.slices(metrics.by_exit_reason, "Exit reason")),
            section("prices", "Prices", "", _prices(payload)),
            section("trades", "Trades", "", _trades(metrics, payload)),
            section("market", "The market", _MARKET_LEAD, _market(ledger)),
            _cycles(metrics, ledger),
            section("refusals", "Refused entries", _refusals_lead(metrics), sections.refusals(metrics)),
            section("gaps", "Losses past their plan", "", sections.gaps(ledger.gaps)),
            section("figures", "All figures", "", f'<div class="packed">{sections.figures(metrics)}</div>'),
            section("assumptions", "Assumptions", "", sections.assumptions(manifest)),
            section("disclosure", "Risk disclosure", "", f"<p>{esc(wording.DISCLOSURE)}</p>"),
        )
    )


def _strategies(metrics: Metrics) -> str:
    """What each of several strategies came to; nothing where there was one."""
    if len(metrics.strategies) < 2:
        return ""
    return section("strategies", "Strategies", _TOGETHER, sections.slices(metrics.by_strategy, "Strategy"))


def _market(ledger: Ledger) -> str:
    """Results by regime, its changes, and the selector's shares where there were several strategies."""
    shares = f"<h3>Shares of the risk budget</h3>{sections.selections(ledger)}" if ledger.selections else ""
    results = sections.slices(by_regime(ledger.trades), "Strategy, market")
    return results + _folded("Regimes", sections.regimes(ledger)) + shares


def _cycles(metrics: Metrics, ledger: Ledger) -> str:
    """Triangular cycles, where there were any."""
    if not ledger.cycles and not ledger.desks:
        return ""
    every = _folded("Every cycle", sections.cycles(ledger)) + _folded("Into and out of shadow", sections.desks(ledger))
    return section("cycles", "Triangular cycles", _CYCLES_LEAD, sections.cycle_slices(metrics.cycles) + every)


def _folded(head: str, content: str) -> str:
    return f"<details><summary>{esc(head)}</summary>{content}</details>"


def _costs_lead(metrics: Metrics) -> str:
    if not metrics.trades:
        return "No trade was closed, so nothing was paid."
    held = f" Still open at the end: {'; '.join(metrics.open_positions[:5])}." if metrics.open_positions else ""
    return "What the decisions were worth at the prices they saw, and what getting them done took away." + held


def _days_lead(metrics: Metrics) -> str:
    if not metrics.days:
        return ""
    return f"{metrics.days_won:,} won, {metrics.days_lost:,} lost, {metrics.days_drawn:,} without change."


def _refusals_lead(metrics: Metrics) -> str:
    said_no = f"{metrics.refusals:,} times the risk limits or the venue said no." if metrics.refusals else ""
    expired = counted(metrics.expired_entries, "entry order")
    return f"{said_no} {expired} expired unfilled.".strip() if metrics.expired_entries else said_no


def _prices(payload: dict[str, Any]) -> str:
    names = list(payload["prices"])
    if not names:
        return '<p class="quiet">No traded symbol has prices to draw.</p>'
    options = "".join(f'<option value="{esc(name)}">{esc(name)}</option>' for name in names)
    return (
        f'<p class="controls"><label>Symbol <select id="symbol">{options}</select></label></p>'
        '<div class="chart price" id="price" role="img" aria-label="Price with entries, exits and stops"></div>'
        f'<p class="quiet">The {len(names)} most traded, thinned to {figures.PRICE_POINTS:,} points that keep highs '
        "and lows. Drag to zoom, double-click to go back.</p>"
    )


def _trades(metrics: Metrics, payload: dict[str, Any]) -> str:
    if not payload["trades"]:
        return '<p class="quiet">No trade was closed.</p>'
    cut = metrics.trades - len(payload["trades"])
    shown = f"The latest {len(payload['trades']):,}; {cut:,} earlier ones are in the store."
    note = f'<p class="quiet">{shown}</p>' if cut else ""
    return (
        '<div class="controls">'
        '<input id="search" type="search" placeholder="Symbol, side, reason…" aria-label="Filter trades">'
        '<select id="reason" aria-label="Exit reason"></select>'
        '<select id="outcome" aria-label="Outcome"><option value="">won and lost</option>'
        '<option value="won">won</option><option value="lost">lost</option></select>'
        '<span id="count" aria-live="polite"></span></div>'
        '<div class="scroll"><table id="trade-table"><thead></thead><tbody></tbody></table></div>'
        f'<p class="controls pages"><button id="previous">Previous</button><span id="place"></span>'
        f'<button id="next">Next</button></p>{note}<noscript>The trade list and the charts need scripts.</noscript>'
    )


def _footer(metrics: Metrics, manifest: Manifest) -> str:
    facts = (
        f"Run {manifest.run_id}", f"written {manifest.created}",
        f"{manifest.events:,} events in {manifest.wall_s:.1f} s",
        f"digest {manifest.digest[:16] or 'none'}", f"code {manifest.code[:16]}",
        f"this page is one file of {SIZE_MARK}, most of it the chart library, and works offline",
    )  # fmt: skip
    return f"<footer>{' · '.join(esc(fact) for fact in facts)}</footer>"
