"""One plain sentence about a run, and every reason not to believe it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

from engine.contracts.runs import Manifest

FEW_TRADES: Final = 30
FEW_DAYS: Final = 30
ON_SYNTHETIC: Final = "On synthetic data this says nothing about real markets."
ON_TICKS_ALONE: Final = frozenset({"arbitrage", "scalping"})
IMPLAUSIBLE_SHARPE: Final = 5.0
IMPLAUSIBLE_PROFIT_FACTOR: Final = 10.0


def dollars(value: float, signed: bool = False) -> str:
    """-1234.5 -> ``−$1,234.50`` with a real minus; `signed` adds a plus. Never ``−$0.00``."""
    text = f"${abs(value):,.2f}"
    if text == "$0.00":
        return text
    return f"−{text}" if value < 0 else f"+{text}" if signed else text


def percent(value: float, signed: bool = True) -> str:
    """1.234 -> ``+1.23 %``."""
    text = f"{abs(value):,.2f} %"
    if text == "0.00 %":
        return text
    return f"−{text}" if value < 0 else f"+{text}" if signed else text


def ratio(value: float) -> str:
    """-1.234 -> ``−1.23``."""
    text = f"{abs(value):,.2f}"
    return f"−{text}" if value < 0 and text != "0.00" else text


def judge(values: Mapping[str, Any], manifest: Manifest) -> tuple[str, list[str]]:
    """(verdict, warnings) from measured figures by name and what the run was."""
    evidence = ON_SYNTHETIC if values["synthetic"] else _evidence(values)
    return f"{_outcome(values)} {evidence}", _premises(manifest) + _warnings(values)


def _premises(manifest: Manifest) -> list[str]:
    """What was wrong with the run before its first event."""
    abstain = sorted(ON_TICKS_ALONE & set(manifest.strategies)) if manifest.grade == "candle-grade" else []
    found = (
        [f"{' and '.join(abstain)}: abstains on candles, which say neither sizes nor one moment."] if abstain else []
    )
    reserve, held = reserve_usd(manifest.limits, manifest.capital_usd), manifest.capital_usd
    if reserve >= held:
        found.append(f"The reserve of {dollars(reserve)} leaves nothing to trade with: the capital is {dollars(held)}.")
    for source in manifest.sources:
        if source.quarantined:
            causes = ", ".join(f"{name} {count:,}" for name, count in source.quarantined.items())
            bad = sum(source.quarantined.values())
            of = f"{bad:,} of {source.rows:,} rows were quarantined"
            found.append(f"{of}: {causes} ({PurePath(source.path).name}).")
        if source.wicks:
            count = source.quarantined.get("absurd_wick", 0)
            more = f" and {count - len(source.wicks):,} more" if count > len(source.wicks) else ""
            found.append(
                f"Bars dropped as absurd wicks: {'; '.join(source.wicks)}{more}. Was one of them a real crash?"
            )
    return found


def reserve_usd(limits: Mapping[str, float], equity_usd: float) -> float:
    """Cash that is never committed: the tighter (larger) of dollars and per cent."""
    return max(limits.get("reserve_usd", 0.0), limits.get("reserve_pct", 0.0) / 100 * equity_usd)


def _outcome(values: Mapping[str, Any]) -> str:
    if not values["days"]:
        return "Nothing was measured: no equity was recorded."
    change = values["end_equity_usd"] - values["start_equity_usd"]
    days = values["span_days"]
    span = f"{days:.0f} days" if days >= 2 else f"{days * 24:.1f} hours"
    if not values["trades"] and abs(change) < 0.005:
        return f"No trade was closed in {span}; the account is where it began."
    verb = "Made" if change >= 0 else "Lost"
    text = f"{verb} {dollars(abs(change))} ({percent(values['return_pct'])}) in {span} after all costs"
    held = values["buy_and_hold_pct"]
    return f"{text}; buying and holding: {percent(held)}." if held is not None else f"{text}."


def _evidence(values: Mapping[str, Any]) -> str:
    if values["trades"] < FEW_TRADES or values["days"] < FEW_DAYS:
        return f"{counted(values['trades'], 'trade')} on {counted(values['days'], 'day')}: too little to judge."
    interval, deflated = values["sharpe_ci95"], values["deflated_sharpe"]
    if values["sharpe"] is None or interval is None or deflated is None:
        return "The evidence cannot be weighed: daily returns hardly vary."
    low, high = interval
    trials = values["trials"]
    weighed = f"Sharpe {ratio(values['sharpe'])}, 95 % interval {ratio(low)} to {ratio(high)}"
    if high < 0:
        return f"The evidence is against it: {weighed}."
    if low <= 0:
        return f"No edge is shown: {weighed}, which includes zero."
    skill = f"{deflated:.0%} likely real after {counted(trials, 'trial')}"
    if deflated < 0.95:
        return f"Not shown beyond luck: {weighed}, but only {skill}."
    return f"The evidence favours it: {weighed}, {skill}."


def counted(number: int, noun: str) -> str:
    """2, "day" -> ``2 days``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _warnings(values: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    if not values["balances"]:
        found.append("The money does not add up: start + net + open differs from end. Do not use this run.")
    found += [f"A limit was passed without a recorded gap: {breach}." for breach in values["unlisted_breaches"][:5]]
    found += [f"Trading state changed at {change}." for change in values["state_changes"][-3:]]
    if values["state_changes"] and " to ACTIVE " not in values["state_changes"][-1]:
        found.append(
            "Only a person lifts that, so the run ends without new entries: its later days show no trading. "
            "The limit watches every tick; the curve below is drawn from hourly marks."
        )
    if (values["sharpe"] or 0.0) > IMPLAUSIBLE_SHARPE:
        found.append(f"Implausible: Sharpe {values['sharpe']:.1f} is above 5. Look for look-ahead or missing costs.")
    if (values["profit_factor"] or 0.0) > IMPLAUSIBLE_PROFIT_FACTOR:
        found.append(f"Implausible: profit factor {values['profit_factor']:.1f} is above 10. Look for missing losses.")
    if 0 < values["trades"] < FEW_TRADES:
        found.append(f"Too few trades: {values['trades']}. Under 30, ratios are mostly luck.")
    if 0 < values["days"] < FEW_DAYS:
        found.append(f"Too short: {counted(values['days'], 'day')}. Under 30, annual figures say little.")
    if values["trades"] and not values["fees_usd"]:
        found.append("No fees were charged. Real venues charge them.")
    if values["synthetic"]:
        found.append("Synthetic data: a seeded generator made the prices. Nothing here says what a market would do.")
    return found
