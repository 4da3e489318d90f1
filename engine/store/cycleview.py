"""Triangular cycles as rows of the live view: every cycle that ends, and where each venue's stand and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from engine.contracts import reasons, records
from engine.core import cycle_state, edges
from engine.core.orders import ACTIVE, TRADING_STATES
from engine.core.state import ARBITRAGE, Core
from engine.journal.cycle_rows import CHANGES, way_of
from engine.store.selectionview import selection
from engine.store.viewrows import CycleRow, DeskRow

USD: Final = 1e8
BPS: Final = 1e5  # of an edge in 1e-9
RECENT_NS: Final = 60_000_000_000
"""A refusal is told for so long."""
OUTCOMES: Final[dict[int, str]] = {
    reasons.CYCLE_DONE: "went through",
    reasons.CYCLE_UNWOUND: "turned back",
    reasons.CYCLE_MISSED: "nothing at the first leg",
    reasons.EMERGENCY_EXIT: "emergency",
}


@dataclass
class Tally:
    """What was seen of a venue's cycles; `quoted` and `realised` (bps) of those that filled anything."""

    begun: int = 0
    done: int = 0
    turned_back: int = 0
    missed: int = 0
    won: int = 0
    rehearsed: int = 0
    net_usd: float = 0.0
    quoted: float = 0.0
    realised: float = 0.0
    change: int = 0  # reason of the last change between shadow and trading
    change_bps: float = 0.0

    def end(self, row: CycleRow, reason: int) -> None:
        """Count a real one that is over."""
        self.done += reason == reasons.CYCLE_DONE
        self.missed += reason == reasons.CYCLE_MISSED
        self.turned_back += reason not in (reasons.CYCLE_DONE, reasons.CYCLE_MISSED)
        self.won += row.net_usd > 0
        self.net_usd += row.net_usd
        if reason != reasons.CYCLE_MISSED:
            self.quoted += row.quoted_bps
            self.realised += row.realised_bps


@dataclass
class CycleWatch:
    """Follows the CYCLE notes of an engine from its start on."""

    by_venue: dict[str, Tally] = field(default_factory=dict)

    def take(self, core: Core, note: Any) -> CycleRow | None:
        """Count a note; the row of a cycle that is over, None where it tells of something else."""
        reason, shadow = int(note["reason"]), bool(int(note["bits"]) & records.SHADOW)
        venue = core.instruments[int(note["instrument"])].venue
        tally = self.by_venue.setdefault(venue, Tally())
        if reason in CHANGES:
            tally.change, tally.change_bps = reason, int(note["realised_e9"]) / BPS
            return None
        if reason == reasons.CYCLE_BEGUN:
            tally.begun += 1
            return None
        amount, part = int(note["amount_e8"]) / USD, int(note["realised_e9"]) / 1e9
        row = CycleRow(
            ts_ns=int(note["ts_ns"]), venue=venue, way=way_of(int(note["legs"]), core.instruments), shadow=shadow,
            outcome=OUTCOMES.get(reason, reasons.name(reason)), quoted_bps=int(note["quoted_e9"]) / BPS,
            realised_bps=part * 1e4, amount_usd=amount, net_usd=amount * part,
        )  # fmt: skip
        if shadow:
            tally.rehearsed += 1
        else:
            tally.end(row, reason)
        return row


def desks(core: Core, watch: CycleWatch) -> dict[str, DeskRow]:
    """Every venue with spot pairs, where the strategy runs; nothing where it does not."""
    if not core.state.enabled[edges.NUMBER]:
        return {}
    firsts = {core.instruments[i].venue: i for i in _desks_with_triangles(core)}
    venues = dict.fromkeys(one.venue for one in core.instruments if one.kind == "spot")
    return {venue: _desk(core, venue, firsts.get(venue), watch.by_venue.get(venue, Tally())) for venue in venues}


def _desks_with_triangles(core: Core) -> Iterable[int]:
    return sorted({int(desk) for desk in core.state.triangles["desk"]})


def _desk(core: Core, venue: str, desk: int | None, tally: Tally) -> DeskRow:
    cycle = core.state.cycle[0]
    filled = tally.done + tally.turned_back
    state, why = _standing(core, desk, tally)
    decay = 0.0
    if desk is not None:
        known = bool(core.state.arbitrage[desk]["is_known"])
        decay = float(core.state.arbitrage[desk]["decay_bps"] if known else core.state.arbitrage_params[0]["decay_bps"])
    return DeskRow(
        venue=venue, state=state, why=why, begun=tally.begun, done=tally.done, turned_back=tally.turned_back,
        missed=tally.missed, won=tally.won, rehearsed=tally.rehearsed,
        quoted_bps=tally.quoted / filled if filled else None, realised_bps=tally.realised / filled if filled else None,
        net_usd=tally.net_usd, decay_bps=decay,
        under_way=int(cycle["stage"]) != cycle_state.IDLE and int(cycle["desk"]) == desk,
    )  # fmt: skip


def _standing(core: Core, desk: int | None, tally: Tally) -> tuple[str, str]:
    """(off, shadow or trading; why)."""
    if desk is None:
        return "off", "no three of its pairs form a triangle"
    trading_state = int(core.state.head[0]["trading_state"])
    if trading_state != ACTIVE:
        return "off", f"no entries are allowed: {TRADING_STATES[trading_state]}"
    share = selection(core)[ARBITRAGE]
    if share.share <= 0.0:
        return "off", share.why
    row, params = core.state.arbitrage[desk], core.state.arbitrage_params[0]
    last = _last_refusal(core, row)
    if params["shadow_cycles"] == 0.0:
        return "trading", f"without having been in shadow{last}"
    if row["is_trading"]:
        passed = f": there it gained {tally.change_bps:+.1f} bps in the mean" if tally.change else ""
        return "trading", f"out of shadow{passed}{last}"
    seen, needed = int(row["count"]), int(params["shadow_cycles"])
    back = f"the last {params['judged_cycles']:.0f} sent gained nothing; " if tally.change else ""
    mean = f", {_mean(row, min(seen, needed)):+.1f} bps in the mean" if seen else ""
    return "shadow", f"{back}{seen} seen of {needed} needed{mean}{last}"


def _mean(row: Any, last: int) -> float:
    """Mean realised edge (bps) of the newest cycles that the core judges by."""
    newest = [float(row["edges_bps"][(int(row["count"]) - 1 - k) % edges.KEPT]) for k in range(last)]
    return sum(newest) / last


def _last_refusal(core: Core, row: Any) -> str:
    now, reason = int(core.state.head[0]["now_ns"]), int(row["refused_reason"])
    is_recent = reason != 0 and now - int(row["refused_ns"]) <= RECENT_NS
    return f"; just left alone: {reasons.name(reason)}" if is_recent else ""
