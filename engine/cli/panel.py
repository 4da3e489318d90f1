"""The live picture of an engine as tables for a terminal: one look, nothing kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from engine.store.viewrows import CycleRow, DecisionRow, FeedRow, FillRow, NoticeRow, Picture, PositionRow, RefusalRow

SHOWN: Final = 6  # rows of every stream where there is room
STREAMS: Final = 4  # decisions, refusals, fills, notices; and cycles, where there are any
OLD_S: Final = 5.0  # a feed without data for so long is shown in red
FAR_MS: Final = 1_000.0  # a clock so far off is shown in yellow
STATE_STYLES: Final = {"ACTIVE": "bold green", "REDUCING": "bold yellow", "HALTED": "bold red"}


def panel(picture: Picture, now_ns: int, height: int | None = None) -> RenderableType:
    """Everything `status` shows; `now_ns` is the wall clock the ages are counted from. Of decisions, refusals, fills
    and notices only as many as fit into `height` lines."""
    rows = SHOWN if height is None else _rows_left(picture, height)
    parts: list[RenderableType] = [_head(picture, now_ns), _account(picture), _engine(picture), _positions(picture)]
    if picture.selection:
        parts.append(_selection(picture))
    if picture.desks:
        parts.append(_desks(picture))
    parts.append(_feeds(picture, now_ns))
    parts += [_decisions(picture.decisions[-rows:]), _refusals(picture.refusals[-rows:])]
    if picture.fills:
        parts.append(_fills(picture.fills[-rows:]))
    if picture.cycles:
        parts.append(_cycles(picture.cycles[-rows:]))
    if picture.notices:
        parts.append(_notices(picture.notices[-rows:]))
    return Group(*parts)


def _rows_left(picture: Picture, height: int) -> int:
    """Rows for each of the streams below everything that is always shown."""
    streams = STREAMS + bool(picture.cycles)
    headings = 2 * (streams + 1 + bool(picture.positions)) + (not picture.positions)
    always = 4 + (picture.beat_ns is None) + (not picture.engine.journal_ok)
    always += sum(len(one) + 2 * bool(one) for one in (picture.selection, picture.desks))
    return min(SHOWN, max(1, (height - always - headings - len(picture.positions) - len(picture.feeds)) // streams))


def _head(picture: Picture, now_ns: int) -> Text:
    engine, state = picture.engine, picture.account.state
    text = Text(f"{picture.run}  ", style="bold")
    text.append(picture.mode.upper(), style="bold red" if picture.mode == "live" else "bold cyan")
    text.append("  ").append(state, style=STATE_STYLES.get(state, "bold red"))
    if picture.account.flattening:
        text.append("  flattening: whatever opens is closed", style="bold red")
    text.append(f"  {engine.strategies}  up {_span((now_ns - engine.started_ns) / 1e9)}  process {picture.pid}")
    if engine.reconciled_ns:
        text.append(f"  reconciled {_span((now_ns - engine.reconciled_ns) / 1e9)} ago")
    if picture.beat_ns is None:
        text.append(
            "\nNOT LIVE: the engine has not written here for 5 s; what follows is its last word", style="bold red"
        )
    if not engine.journal_ok:
        text.append(f"\nthe journal cannot be written, entries are refused: {engine.notes}", style="bold red")
    return text


def _account(picture: Picture) -> Table:
    a = picture.account
    table = Table.grid(padding=(0, 2))
    lost = max(0.0, -a.day_pnl_usd)
    near = "red" if lost > 0.75 * a.day_limit_usd else "yellow" if lost > 0.4 * a.day_limit_usd else "green"
    table.add_row(
        "equity", f"${a.equity_usd:,.2f}", "today", Text(f"{a.day_pnl_usd:+,.2f}", style=near),
        "loss today", f"{lost:,.2f} of {a.day_limit_usd:,.2f}", "if all stops hit", f"{a.open_risk_usd:,.2f}",
    )  # fmt: skip
    table.add_row(
        "free", f"${a.free_usd:,.2f}", "reserve", f"{a.reserve_usd:,.2f}", "exposure",
        f"{a.exposure_usd:,.2f} of {a.exposure_limit_usd:,.2f}", "below peak",
        f"{a.drawdown_pct:.2f} of {a.drawdown_limit_pct:g} %",
    )  # fmt: skip
    return table


def _engine(picture: Picture) -> Text:
    e = picture.engine
    latency = _latency(e.tick_to_order_us_p50, e.tick_to_order_us_p99)
    load = f"{e.events:,} events, {e.events_per_s:,.0f} per s, {e.queue:,} waiting, {e.conflated:,} conflated"
    return Text(f"{load};  tick to order: {latency}", no_wrap=True, overflow="ellipsis")


def _positions(picture: Picture) -> RenderableType:
    if not picture.positions:
        return Text("no open positions", style="dim")
    table = _table("positions", "instrument", "quantity", "entry", "now", "open $", "stop", "at the venue", "at stop $")
    for one in picture.positions.values():
        table.add_row(
            one.instrument, _number(one.qty), f"{one.entry:.7g}", _number(one.mark), f"{one.unrealised_usd:+,.2f}",
            _price(one.stop), _stop_state(one), f"{one.at_stop_usd:+,.2f}",
        )  # fmt: skip
    return table


def _stop_state(one: PositionRow) -> Text:
    return Text(one.stop_state, style="green" if one.stop_state in ("accepted", "partially_filled") else "bold red")


def _selection(picture: Picture) -> RenderableType:
    """The market's regime, and why each strategy is on."""
    market = picture.market
    head = "strategies"
    if market is not None:
        head += f"; the market is {market.regime}: trend {market.trend:+.2f}, volatility {market.volatility:.2f}"
    table = _table(head, "strategy", "share", "R a trade", "trades", "why")
    for one in picture.selection.values():
        style = "bold red" if one.share == 0.0 else ""
        table.add_row(
            one.strategy, Text(f"{one.share:.0%}", style=style), f"{one.mean_r:+.2f}", f"{one.trades:.0f}", one.why
        )
    return table


def _desks(picture: Picture) -> RenderableType:
    """Where the triangular cycles of each venue stand."""
    table = _table("cycles", "venue", "", "sent", "won", "turned back", "missed", "quoted", "realised", "net $", "why")
    for one in picture.desks.values():
        style = "green" if one.state == "trading" else "yellow" if one.state == "shadow" else "bold red"
        table.add_row(
            one.venue, Text(f"{one.state}{', one under way' if one.under_way else ''}", style=style), str(one.begun),
            str(one.won), str(one.turned_back), str(one.missed), _bps(one.quoted_bps), _bps(one.realised_bps),
            f"{one.net_usd:+,.2f}", one.why,
        )  # fmt: skip
    return table


def _cycles(rows: list[CycleRow]) -> Table:
    table = _table("last cycles", "time", "way", "$", "quoted", "realised", "net $", "")
    for one in rows:
        table.add_row(
            _time(one.ts_ns), one.way, f"{one.amount_usd:,.2f}", _bps(one.quoted_bps), _bps(one.realised_bps),
            f"{one.net_usd:+,.2f}", f"{one.outcome}{' (in shadow, nothing was sent)' if one.shadow else ''}",
        )  # fmt: skip
    return table


def _bps(edge: float | None) -> str:
    return "" if edge is None else f"{edge:+.1f} bps"


def _feeds(picture: Picture, now_ns: int) -> Table:
    table = _table("feeds", "stream", "", "age", "messages", "reconnects", "gaps", "undecodable", "clock")
    for name, one in picture.feeds.items():
        state = Text("up", style="green") if one.connected else Text("down", style="bold red")
        table.add_row(
            name,
            state,
            _age(one, now_ns),
            f"{one.messages:,}",
            str(one.reconnects),
            str(one.gaps),
            str(one.undecodable),
            _offset(one.clock_offset_ms),
        )
    return table


def _offset(offset_ms: float | None) -> Text:
    """The venue's clock less ours."""
    if offset_ms is None:
        return Text("")
    far = abs(offset_ms) > FAR_MS
    return Text(f"{offset_ms / 1e3:+.1f} s" if far else f"{offset_ms:+.0f} ms", style="yellow" if far else "")


def _age(one: FeedRow, now_ns: int) -> Text:
    if not one.data_ns:
        return Text("no data yet", style="yellow")
    age_s = max(0.0, (now_ns - one.data_ns) / 1e9)
    return Text(f"{age_s:.1f} s" if age_s < 120 else _span(age_s), style="red" if age_s > OLD_S else "")


def _decisions(rows: list[DecisionRow]) -> RenderableType:
    table = _table("last decisions", "time", "", "instrument", "side", "quantity", "price", "trigger", "why")
    for one in rows:
        quantity = "" if one.qty is None else _number(one.qty)
        table.add_row(
            _time(one.ts_ns), f"{one.action} {one.role}".strip(), one.instrument, one.side, quantity,
            _price(one.price), _price(one.trigger), one.reason,
        )  # fmt: skip
    return table if rows else Text("no decisions yet", style="dim")


def _refusals(rows: list[RefusalRow]) -> RenderableType:
    table = _table("last refusals", "time", "by", "instrument", "side", "why", "measured $", "limit $")
    for one in rows:
        both = bool(one.measured_usd or one.limit_usd)
        table.add_row(
            _time(one.ts_ns), one.source, one.instrument, one.side, one.reason,
            f"{one.measured_usd:,.2f}" if both else "", f"{one.limit_usd:,.2f}" if both else "",
        )  # fmt: skip
    return table if rows else Text("no refusals yet", style="dim")


def _fills(rows: list[FillRow]) -> Table:
    table = _table("last fills", "time", "instrument", "side", "quantity", "price", "fee $", "")
    for one in rows:
        how = "forced" if one.forced else "maker" if one.maker else ""
        table.add_row(
            _time(one.ts_ns), one.instrument, one.side, _number(one.qty), _number(one.price), f"{one.fee_usd:.4f}", how
        )
    return table


def _notices(rows: list[NoticeRow]) -> RenderableType:
    lines = [f"{_time(one.ts_ns)}  {one.venue}  {one.kind:<11}  {one.text}" for one in rows]
    return Group(Text("last notices", style="bold"), Text("\n".join(lines), no_wrap=True, overflow="ellipsis"))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column)
    return table


def _time(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime("%H:%M:%S")


def _price(price: float | None) -> str:
    return "" if price is None else _number(price)


def _number(value: float) -> str:
    return f"{value:.10g}"


def _latency(p50_us: float | None, p99_us: float | None) -> str:
    return "no orders yet" if p50_us is None or p99_us is None else f"p50 {p50_us:,.0f} us, p99 {p99_us:,.0f} us"


def _span(seconds: float) -> str:
    minutes, hours = divmod(int(seconds) // 60, 60)[1], int(seconds) // 3600
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{int(seconds)} s"
