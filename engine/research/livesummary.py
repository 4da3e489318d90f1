"""What a live run came to, from its journal alone."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import msgspec

from engine.core.strategies import table
from engine.journal import ledger as ledgers
from engine.journal import manifest as manifests
from engine.journal import segments
from engine.research.breakdown import CycleSlice, by_desk
from engine.research.report.wording import SHARE_WORDS


class LiveSummary(msgspec.Struct, frozen=True, kw_only=True):
    """`net_usd` is of closed trades; `equity_usd` also counts what is open. Money in USD."""

    run: str
    world: str
    simulated: bool
    events: int
    seconds: float
    capital_usd: float
    equity_usd: Decimal
    trades: int
    won: int
    gross_usd: Decimal
    fees_usd: Decimal
    funding_usd: Decimal
    net_usd: Decimal
    worst_trade_usd: Decimal
    day_limit_usd: float
    trade_limit_usd: float
    orders: int
    fills: int
    refusals: dict[str, int]
    exits: dict[str, int]
    state: str
    digest: str
    cycles: list[CycleSlice] = []
    shares: dict[str, str] = {}  # of strategies whose share of the risk budget was moved: the last one, and why

    def lines(self) -> list[str]:
        """The summary for a terminal."""
        kind = "SIMULATED: no real order, no real money" if self.simulated else "real orders"
        refused = ", ".join(f"{name} {count}" for name, count in self.refusals.items()) or "none"
        left = ", ".join(f"{name} {count}" for name, count in self.exits.items()) or "none"
        change = float(self.equity_usd) - self.capital_usd
        return [
            f"{self.run}  ({self.world}; {kind})",
            f"equity    ${self.equity_usd:,.2f} ({change:+,.2f}) after {self.seconds:,.0f} s, {self.events:,} events",
            f"trades    {self.trades} closed, {self.won} won; gross {self.gross_usd:+,.2f}, "
            f"fees {-self.fees_usd:+,.2f}, funding {self.funding_usd:+,.2f}, net {self.net_usd:+,.2f}",
            f"limits    worst trade {self.worst_trade_usd:+,.2f} of -{self.trade_limit_usd:g} allowed, "
            f"day -{self.day_limit_usd:g}; state {self.state}",
            f"orders    {self.orders} placed, {self.fills} fills; exits: {left}; refused: {refused}",
            *(f"cycles    {_cycles(one)}" for one in self.cycles),
            *(f"selector  {name} {share}" for name, share in self.shares.items()),
            f"digest    {self.digest or 'none: the run did not end in order'}",
        ]


def _cycles(one: CycleSlice) -> str:
    edge = f", {one.realised_bps:+.1f} of {one.quoted_bps:+.1f} bps realised" if one.realised_bps is not None else ""
    if one.shadow:
        return f"{one.venue} in shadow (nothing sent): {one.cycles}, of which {one.won} would have won{edge}"
    return (
        f"{one.venue} {one.cycles} sent: {one.done} went through, {one.turned_back} turned back, {one.missed} got "
        f"nothing; {one.won} won{edge}, net {one.net_usd:+,.2f}"
    )


def summarise(run_dir: Path) -> LiveSummary:
    """Fold a run's journal. Raises Fatal for one that cannot be read."""
    manifest = manifests.read(run_dir)
    book = ledgers.fold(segments.read(run_dir), manifest.instruments, table.NAMES)
    zero = Decimal(0)
    return LiveSummary(
        run=manifest.run_id,
        world=manifest.world,
        simulated=manifest.simulated,
        events=manifest.events,
        seconds=manifest.wall_s,
        capital_usd=manifest.capital_usd,
        equity_usd=book.equity[-1].equity_usd if book.equity else Decimal(str(manifest.capital_usd)),
        trades=len(book.trades),
        won=sum(trade.net_usd > 0 for trade in book.trades),
        gross_usd=sum((trade.gross_usd for trade in book.trades), zero),
        fees_usd=sum((trade.fees_usd for trade in book.trades), zero),
        funding_usd=sum((trade.funding_usd for trade in book.trades), zero),
        net_usd=sum((trade.net_usd for trade in book.trades), zero),
        worst_trade_usd=min((trade.net_usd for trade in book.trades), default=zero),
        day_limit_usd=manifest.limits["day_loss_usd"],
        trade_limit_usd=manifest.limits["trade_loss_usd"],
        orders=len(book.orders),
        fills=len(book.fills),
        refusals=dict(Counter(row.reason for row in book.refusals)),
        exits=dict(Counter(trade.exit_reason for trade in book.trades)),
        state=book.states[-1].after if book.states else "ACTIVE",
        digest=manifest.digest,
        cycles=by_desk(book.cycles),
        shares={
            row.strategy: f"{row.share:.0%} in a {row.regime} market: {SHARE_WORDS.get(row.reason, row.reason)}"
            for row in book.selections
        },
    )
