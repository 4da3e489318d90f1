"""Pieces of the page as HTML text. Everything that comes from a run passes through `esc`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final, NamedTuple

from engine.contracts.ledger import GapRow, Ledger, TradeRow
from engine.contracts.runs import Manifest
from engine.research.breakdown import CycleSlice, Slice, exit_word, iso, label
from engine.research.metrics import Metrics
from engine.research.report import wording
from engine.research.verdict import counted, dollars, percent, ratio

GAPS_SHOWN: Final = 200
TRADES_SHOWN: Final = 10_000
SELECTIONS_SHOWN: Final = 100
CYCLES_SHOWN: Final = 500


class Tile(NamedTuple):
    """One key figure: what, how much, and next to what it should be read."""

    label: str
    value: str
    note: str
    mood: str = ""  # "good", "bad" or neutral


def esc(value: object) -> str:
    return escape(str(value), quote=True)


def _mood(value: float | None) -> str:
    return "" if not value else "good" if value > 0 else "bad"


def tiles(metrics: Metrics, manifest: Manifest) -> str:
    """The figures to read first, each next to what it must be compared with."""
    limits = manifest.limits
    interval = wording.written(metrics.sharpe_ci95, "interval")
    drop, worst_trade, worst_day = metrics.max_drawdown_pct, metrics.worst_trade_usd, metrics.worst_day_usd
    change = metrics.end_equity_usd - metrics.start_equity_usd
    shown = [
        Tile("Result after all costs", dollars(change, True), f"{percent(metrics.return_pct)} of "
             f"{dollars(metrics.start_equity_usd)}", _mood(change)),
        Tile("Buy and hold", wording.written(metrics.buy_and_hold_pct, "pct"), "all symbols, same days, fees paid"),
        Tile("Max drawdown", wording.written(drop, "pct"), wording.written(metrics.max_drawdown_usd, "usd+"),
             _mood(drop)),
        Tile("Sharpe", wording.written(metrics.sharpe, "ratio"), f"95 %: {interval} · {metrics.days:,} days"),
        Tile("Probability of skill", wording.written(metrics.deflated_sharpe, "share"), f"deflated for "
             f"{counted(metrics.trials, 'trial')}"),
        Tile("Trades", f"{metrics.trades:,}",
             f"{wording.written(metrics.win_rate, 'share')} won" if metrics.trades else "none was closed"),
        Tile("Profit factor", wording.written(metrics.profit_factor, "ratio"), f"expectancy "
             f"{wording.written(metrics.expectancy_usd, 'usd+')} a trade"),
        Tile("Worst trade", wording.written(worst_trade, "usd+"), _limit(limits, "trade_loss_usd"),
             _over(worst_trade, limits.get("trade_loss_usd"))),
        Tile("Worst day", wording.written(worst_day, "usd+"), _limit(limits, "day_loss_usd"),
             _over(worst_day, limits.get("day_loss_usd"))),
        Tile("Least free money", wording.written(metrics.min_reserve_usd, "usd"),
             _limit(limits, "reserve_usd", "reserve")),
    ]  # fmt: skip
    return tile_list(shown)


def tile_list(shown: Iterable[Tile]) -> str:
    """Key figures side by side."""
    return "".join(
        f'<div class="tile {tile.mood}"><dt>{esc(tile.label)}</dt><dd>{esc(tile.value)}</dd>'
        f'<dd class="note">{esc(tile.note)}</dd></div>'
        for tile in shown
    )


def _limit(limits: dict[str, float], name: str, word: str = "limit") -> str:
    return f"{word} {dollars(limits[name])}" if name in limits else f"no {word} was set"


def _over(loss: float | None, limit: float | None) -> str:
    return "bad" if loss is not None and limit is not None and loss < -limit else ""


def badges(metrics: Metrics) -> str:
    """What must be known before any figure is believed."""
    shown = [(metrics.grade.upper(), "plain")]
    if metrics.simulated:
        shown.append(("SIMULATED", "warn"))
    if metrics.synthetic:
        shown.append(("SYNTHETIC DATA", "alarm"))
    return "".join(f'<span class="badge {kind}">{esc(words)}</span>' for words, kind in shown)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], numbers: Iterable[int], empty: str) -> str:
    """A plain table; `numbers` are the columns set to the right. Without rows, `empty` in words."""
    right = set(numbers)
    line = ["" if i not in right else " class=n" for i in range(len(heads))]
    body = [
        "<tr>" + "".join(f"<td{kind}>{esc(cell)}</td>" for kind, cell in zip(line, row, strict=True)) + "</tr>"
        for row in rows
    ]
    if not body:
        return f'<p class="quiet">{esc(empty)}</p>'
    head = "".join(f"<th scope=col{kind}>{esc(word)}</th>" for kind, word in zip(line, heads, strict=True))
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def slices(found: Sequence[Slice], head: str) -> str:
    """Breakdown table, one line a slice."""
    rows = [
        (s.key, f"{s.trades:,}", f"{s.win_rate:.0%}", dollars(s.gross_usd, True), dollars(s.fees_usd),
         dollars(s.funding_usd, True), dollars(s.slippage_usd), dollars(s.net_usd, True))
        for s in found
    ]  # fmt: skip
    heads = (head, "Trades", "Won", "Gross", "Fees", "Funding", "Slippage", "Net")
    return table(heads, rows, range(1, 8), "No trade was closed.")


def refusals(metrics: Metrics) -> str:
    """Refused entries by reason, with what the reason means."""
    rows = [
        (reason, wording.REFUSAL_WORDS.get(reason, ""), f"{count:,}")
        for reason, count in metrics.refusals_by_reason.items()
    ]
    return _explained(rows) if rows else '<p class="quiet">Nothing was refused.</p>'


def _explained(rows: Iterable[tuple[str, str, str]]) -> str:
    """(name, what it means, value) lines: the meaning small below the name, so that a phone has room."""
    lines = [
        f"<tr><th scope=row>{esc(name)}<small>{esc(meaning)}</small></th><td class=n>{esc(value)}</td></tr>"
        for name, meaning, value in rows
    ]
    return f"<table class=figures>{''.join(lines)}</table>"


def selections(ledger: Ledger) -> str:
    """How the market changed and the selector moved the strategies' shares, the latest first."""
    rows = [
        (wording.text(iso(one.ts_ns)), one.strategy, f"{one.before:.0%}", f"{one.share:.0%}", one.regime,
         f"{one.mean_r:+.2f}", f"{one.radius_r:.2f}", f"{one.trades:.0f}",
         wording.SHARE_WORDS.get(one.reason, one.reason))
        for one in ledger.selections[: -SELECTIONS_SHOWN - 1 : -1]
    ]  # fmt: skip
    heads = ("Time, UTC", "Strategy", "Before", "Share", "Market", "R a trade", "Give or take", "Trades", "Why")
    return table(heads, rows, [2, 3, 5, 6, 7], "Nothing chose between strategies.")


def regimes(ledger: Ledger) -> str:
    """Changes of the market's regime with what was measured, the latest first."""
    rows = [
        (wording.text(iso(one.ts_ns)), one.before, one.after, f"{one.trend:+.2f}", f"{one.volatility:.2f}",
         f"{one.breadth:.0%}", f"{one.spread:.2f}", f"{one.liquidity:.2f}", f"{one.funding:.4%}", one.cycles)
        for one in ledger.regimes[: -SELECTIONS_SHOWN - 1 : -1]
    ]  # fmt: skip
    heads = ("Time, UTC", "From", "To", "Trend", "Volatility", "Breadth", "Spread", "Liquidity", "Funding", "Cycles")
    return table(heads, rows, range(3, 10), "The market was not seen long enough to name it.")


def cycle_slices(found: Sequence[CycleSlice]) -> str:
    """Triangular cycles by venue, those sent and those in shadow."""
    rows = [
        (one.venue, "in shadow, nothing was sent" if one.shadow else "sent", f"{one.cycles:,}", f"{one.done:,}",
         f"{one.turned_back:,}", f"{one.missed:,}", f"{one.won:,}", wording.bps(one.quoted_bps),
         wording.bps(one.realised_bps), dollars(one.net_usd, True))
        for one in found
    ]  # fmt: skip
    heads = ("Venue", "", "Cycles", "Went through", "Turned back", "Missed", "Won", "Quoted", "Realised", "Net")
    return table(heads, rows, range(2, 10), "No cycle was begun.")


def cycles(ledger: Ledger) -> str:
    """Every cycle that ended, the latest first."""
    rows = [
        (wording.text(iso(one.ts_ns)), one.venue, one.way, dollars(float(one.amount_usd)), wording.bps(one.quoted_bps),
         wording.bps(one.realised_bps), dollars(float(one.net_usd), True),
         f"{wording.CYCLE_WORDS.get(one.reason, one.reason)}{', in shadow' if one.shadow else ''}")
        for one in ledger.cycles[: -CYCLES_SHOWN - 1 : -1]
    ]  # fmt: skip
    heads = ("Time, UTC", "Venue", "Way", "Amount", "Quoted", "Realised", "Net", "")
    return table(heads, rows, range(3, 7), "No cycle was begun.")


def desks(ledger: Ledger) -> str:
    """When cycles were let out of shadow, and why they went back."""
    rows = [
        (wording.text(iso(one.ts_ns)), one.venue, wording.CYCLE_WORDS.get(one.reason, one.reason),
         wording.bps(one.mean_bps), wording.bps(one.decay_bps))
        for one in ledger.desks
    ]  # fmt: skip
    heads = ("Time, UTC", "Venue", "", "In the mean", "Lost on the way, expected")
    return table(heads, rows, [3, 4], "Nothing changed between shadow and trading.")


def gaps(found: Sequence[GapRow]) -> str:
    """Losses beyond their plan, the largest first, each with its cause."""
    worst = sorted(found, key=lambda gap: -gap.loss_usd)[:GAPS_SHOWN]
    rows = [
        (wording.text(iso(gap.ts_ns)), wording.loser(gap), f"#{gap.trade_no}" if gap.trade_no else "",
         dollars(float(gap.planned_usd)), dollars(float(gap.loss_usd)), f"{gap.stop_price.normalize():f}", gap.cause,
         wording.GAP_WORDS.get(gap.cause, ""))
        for gap in worst
    ]  # fmt: skip
    heads = ("Time, UTC", "Symbol", "Trade", "Planned loss", "Actual loss", "Stop", "Cause", "In words")
    more = f'<p class="quiet">The {GAPS_SHOWN} largest of {len(found):,}.</p>' if len(found) > GAPS_SHOWN else ""
    return table(heads, rows, [3, 4, 5], "No trade and no day lost more than its plan.") + more


def figures(metrics: Metrics) -> str:
    """Every figure in groups; a figure that does not exist says why."""
    parts = []
    for group, lines in wording.GROUPS.items():
        rows = [
            (line.label, metrics.why_null.get(line.name, line.meaning), wording.figure_text(metrics, line))
            for line in lines
        ]
        parts.append(f"<div><h3>{esc(group)}</h3>{_explained(rows)}</div>")
    return "".join(parts)


def assumptions(manifest: Manifest) -> str:
    """What the run took for granted: fills, limits, parameters, sources."""
    blocks = [("How fills were simulated", manifest.simulation), ("Hard limits", manifest.limits)]
    blocks += [(f"Parameters of {name}", values) for name, values in sorted(manifest.strategies.items())]
    parts = [f"<p>{esc(wording.grade_rule(manifest))}</p>", f"<p>{esc(_fees(manifest))}</p>", '<div class="columns">']
    for head, values in blocks:
        rows = [wording.parameter(name, value) for name, value in values.items()]
        parts.append(f"<div><h3>{esc(head)}</h3>{table(('Name', 'Value'), rows, [1], 'None were set.')}</div>")
    sources = [(s.path, s.kind, f"{s.rows:,}", sum(s.quarantined.values()), s.sha256[:12]) for s in manifest.sources]
    heads = ("File", "Kind", "Rows", "Set aside", "SHA-256")
    parts.append(f"</div><h3>Data</h3>{table(heads, sources, [2, 3], 'No file was read.')}")
    return "".join(parts)


def _fees(manifest: Manifest) -> str:
    if not manifest.instruments:
        return "No instrument was traded."
    taker = sorted({float(i.taker_fee) * 100 for i in manifest.instruments})
    maker = sorted({float(i.maker_fee) * 100 for i in manifest.instruments})
    kinds = sorted({f"{i.venue} {i.kind}" for i in manifest.instruments})
    return f"Fees of {', '.join(kinds)}: {_span(taker)} taker, {_span(maker)} maker, charged on every fill."


def _span(values: Sequence[float]) -> str:
    ends = f"{wording.number(values[0])} %"
    return ends if len(values) == 1 else f"{ends} to {wording.number(values[-1])} %"


def trade_rows(trades: Sequence[TradeRow], names: Mapping[tuple[str, str], str]) -> list[list[Any]]:
    """One list a trade for the page's script: [no, symbol, side, opened s, held s, entry, exit, stop, qty, gross,
    fees, funding, net, r, exit reason, slippage, regime, forecast, UTC hour]; the latest `TRADES_SHOWN` by closing
    time."""
    latest = sorted(trades, key=lambda t: (t.closed_ns, t.trade_no))[-TRADES_SHOWN:]
    return [
        [t.trade_no, label(names, t), t.side, t.opened_ns // 10**9, (t.closed_ns - t.opened_ns) // 10**9,
         f"{t.entry_price.normalize():f}", f"{t.exit_price.normalize():f}", f"{t.stop_price.normalize():f}",
         f"{t.qty.normalize():f}", _cents(t.gross_usd), _cents(t.fees_usd), _cents(t.funding_usd), _cents(t.net_usd),
         None if t.r_multiple is None or t.r_multiple != t.r_multiple else round(t.r_multiple, 2),
         exit_word(t.exit_reason), _cents(t.slippage_usd), t.regime,
         None if t.forecast is None else round(t.forecast, 4), t.hour]
        for t in latest
    ]  # fmt: skip


def _cents(value: object) -> float:
    return round(float(str(value)), 4)


def sharpe_note(metrics: Metrics) -> str:
    """What must stand next to a Sharpe ratio."""
    if metrics.sharpe is None:
        return f"No Sharpe ratio: {metrics.why_null['sharpe']}."
    return (
        f"Sharpe {ratio(metrics.sharpe)} from {counted(metrics.days, 'daily return')}, "
        f"{counted(metrics.trades, 'trade')}, {counted(metrics.trials, 'trial')}; "
        f"95 % interval {wording.written(metrics.sharpe_ci95, 'interval')}; 365 days a year."
    )
