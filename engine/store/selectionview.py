"""Why each strategy is on, or not: the selector's shares and the market's regime as rows of the live view."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from engine.contracts import reasons
from engine.core import regime
from engine.core.state import Core
from engine.core.strategies.table import STRATEGIES
from engine.store.viewrows import MarketRow, ShareRow

WORDS: Final[dict[int, str]] = {
    0: "an equal part, nothing has moved it yet",
    reasons.SHARE_BY_EVIDENCE: "moved by its results here",
    reasons.SHARE_BY_REGIME: "since the market changed",
    reasons.SHARE_COOLED_DOWN: "its floor, after it was held back",
    reasons.SHARE_BY_PARAMETER: "a person changed the selector",
    reasons.SHARE_DEMOTED_GAP: "its floor, after a trade lost more than its plan",
    reasons.SHARE_DEMOTED_DAY: "its floor, after the day's limit took it out",
}
"""By reason of the last change; held back, `_held_back` says it."""


def selection(core: Core) -> dict[str, ShareRow]:
    """Every running strategy with its share."""
    running = [row for row in STRATEGIES if core.state.enabled[row.number]]
    is_choosing = bool(core.state.selector_params[0]["enabled"]) and len(running) > 1
    return {row.name: _share(core, row.number, row.name, is_choosing) for row in running}


def market(core: Core) -> MarketRow:
    """The regime and what it was made from."""
    climate = core.state.climate[0]
    leader = int(climate["leader"])
    features = dict(zip(regime.FEATURES, climate["features"].tolist(), strict=True))
    one = core.instruments[leader] if leader != regime.NOBODY else None
    return MarketRow(
        regime=regime.REGIMES[int(climate["regime"])], since_ns=int(climate["since_ns"]),
        leader=f"{one.venue}:{one.symbol}" if one else "", **features,
    )  # fmt: skip


def _share(core: Core, number: int, name: str, is_choosing: bool) -> ShareRow:
    row = core.state.shares[number]
    until = int(row["demoted_until_ns"])
    if not is_choosing:
        alone = "it is the only strategy" if core.state.selector_params[0]["enabled"] else "the selector is off"
        share, why = 1.0, f"the whole risk budget: {alone}"
    elif int(core.state.head[0]["now_ns"]) < until:
        share = min(float(core.state.selector_params[0]["demoted_share"]), float(row["share"]))
        why = _held_back(int(row["reason"]), until)
    else:
        share = float(row["share"])
        why = f"{WORDS.get(int(row['reason']), '')}; {_evidence(row)}"
    return ShareRow(
        strategy=name, share=share, target=float(row["target"]) if is_choosing else 1.0,
        regime=regime.REGIMES[int(core.state.climate[0]["regime"])], mean_r=float(row["mean_r"]),
        radius_r=float(row["radius_r"]), trades=float(row["weight"]),
        reason=reasons.name(int(row["reason"])) if row["reason"] else "", since_ns=int(row["since_ns"]),
        held_back_until_ns=until, why=why,
    )  # fmt: skip


def _held_back(reason: int, until_ns: int) -> str:
    cause = "the day's limit took it out" if reason == reasons.SHARE_DEMOTED_DAY else "a trade lost more than its plan"
    return f"held back until {datetime.fromtimestamp(until_ns // 10**9, UTC):%Y-%m-%d %H:%M} UTC: {cause}"


def _evidence(row: Any) -> str:
    """What the share rests on, in words."""
    if row["weight"] < 0.5:
        return "no trades in this market yet"
    best = float(row["mean_r"] + row["radius_r"])
    verdict = "" if best > 0 else ", so it does not pay even at best"
    return (
        f"{row['mean_r']:+.2f} R a trade, give or take {row['radius_r']:.2f}, over {row['weight']:.0f} trades{verdict}"
    )
