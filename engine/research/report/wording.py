"""The words of a report: which figures are shown, under which label, in which unit, and what they mean.

Labels follow those freqtrade users know. Shared by the terminal and the page.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from engine.contracts.ledger import GapRow
from engine.contracts.runs import Manifest
from engine.research.metrics import Metrics
from engine.research.verdict import dollars, percent, ratio

MISSING: Final = "–"


class Figure(NamedTuple):
    """One line of a table. `unit` is a key of `_WRITERS`."""

    name: str
    label: str
    unit: str
    meaning: str = ""


GROUPS: Final[dict[str, tuple[Figure, ...]]] = {
    "Result": (
        Figure("start_equity_usd", "Starting balance", "usd"),
        Figure("end_equity_usd", "Final balance", "usd"),
        Figure("net_pnl_usd", "Absolute profit, closed", "usd+", "gross − fees + funding"),
        Figure("open_pnl_usd", "Open profit at the end", "usd+", "positions not yet closed, marked"),
        Figure("return_pct", "Total profit %", "pct"),
        Figure("buy_and_hold_pct", "Buy and hold", "pct", "equal weight of all symbols, one round trip of fees"),
        Figure("market_change_pct", "Market change", "pct", "the same without fees"),
        Figure("cagr", "CAGR", "share+", "growth a year if it went on like this"),
        Figure("balances", "Money adds up", "text", "start + net + open = end, to 1e-8"),
    ),
    "Risk": (
        Figure("max_drawdown_pct", "Max drawdown", "pct", "deepest fall below an earlier peak, marked"),
        Figure("max_drawdown_usd", "Absolute drawdown", "usd+"),
        Figure("drawdown_start", "Drawdown start", "text"),
        Figure("drawdown_trough", "Drawdown trough", "text"),
        Figure("drawdown_recovery", "Drawdown recovery", "text"),
        Figure("worst_trade_usd", "Worst trade", "usd+"),
        Figure("worst_day_usd", "Worst day", "usd+", "UTC day, at its close"),
        Figure("worst_day_intraday_usd", "Worst moment of a day", "usd+", "lowest profit of a day while it ran"),
        Figure("min_reserve_usd", "Least free money", "usd", "never below the reserve"),
        Figure("min_equity_usd", "Min balance", "usd"),
        Figure("max_equity_usd", "Max balance", "usd"),
    ),
    "Ratios": (
        Figure("sharpe", "Sharpe", "ratio", "mean / deviation of daily returns · √365"),
        Figure("sharpe_ci95", "Sharpe, 95 % interval", "interval", "stationary bootstrap of the days"),
        Figure("sortino", "Sortino", "ratio", "counts only the falling days as risk"),
        Figure("calmar", "Calmar", "ratio", "CAGR / max drawdown"),
        Figure("probabilistic_sharpe", "Probability of skill (PSR)", "share", "that the true Sharpe is above 0"),
        Figure("deflated_sharpe", "Deflated for trials (DSR)", "share", "the same, allowing for every variant tried"),
        Figure("pbo", "Overfitting (PBO)", "share", "how often the best in sample disappoints out of sample"),
        Figure("min_track_record_days", "Days needed for 95 %", "count", "track record that would settle it"),
        Figure("skew", "Skew of daily returns", "ratio"),
        Figure("kurtosis", "Kurtosis", "ratio", "3 is normal; more means fat tails"),
        Figure("days", "Days", "count"),
        Figure("trials", "Trials", "count", "variants tried on this data"),
    ),
    "Trades": (
        Figure("trades", "Total trades", "count"),
        Figure("trades_per_day", "Daily avg trades", "ratio"),
        Figure("win_rate", "Win rate", "share"),
        Figure("avg_win_usd", "Average win", "usd+"),
        Figure("avg_loss_usd", "Average loss", "usd+"),
        Figure("profit_factor", "Profit factor", "ratio", "money won / money lost"),
        Figure("expectancy_usd", "Expectancy", "usd+", "average net a trade"),
        Figure("expectancy_r", "Expectancy in R", "r", "1 R is what the stop risked"),
        Figure("sqn", "SQN", "ratio", "system quality number, N capped at 100"),
        Figure("max_consecutive_wins", "Max consecutive wins", "count"),
        Figure("max_consecutive_losses", "Max consecutive losses", "count"),
        Figure("avg_duration_winners_s", "Avg duration winners", "time"),
        Figure("avg_duration_losers_s", "Avg duration losers", "time"),
    ),
    "Activity": (
        Figure("best_pair", "Best pair", "text"),
        Figure("worst_pair", "Worst pair", "text"),
        Figure("best_trade_usd", "Best trade", "usd+"),
        Figure("best_day_usd", "Best day", "usd+"),
        Figure("days_won", "Days won", "count"),
        Figure("days_drawn", "Days without change", "count"),
        Figure("days_lost", "Days lost", "count"),
        Figure("exposure", "Time in the market", "share"),
        Figure("avg_stake_usd", "Avg stake amount", "usd"),
        Figure("volume_usd", "Total trade volume", "usd"),
        Figure("refusals", "Rejected entries", "count"),
        Figure("expired_entries", "Expired entries", "count", "sent, but nothing was there to fill them"),
        Figure("gaps", "Losses past their plan", "count", "each is listed with its cause"),
    ),
}

REFUSAL_WORDS: Final[dict[str, str]] = {
    "NOT_ACTIVE": "entries are not allowed in this trading state",
    "STALE_DATA": "the book was too old",
    "CROSSED_BOOK": "bid was above ask",
    "STOP_MISSING": "no stop was given",
    "TRADE_LOSS": "the loss at the stop would pass the limit a trade",
    "DAY_LOSS": "today's loss plus all open stops would pass the day limit",
    "DRAWDOWN_ROOM": "with all stops hit equity would fall as far from its peak as it may",
    "RESERVE": "it would touch the reserve",
    "VENUE_CASH": "the venue's wallet cannot pay for it",
    "ORDER_NOTIONAL": "the order is larger than allowed",
    "EXPOSURE": "all positions together would be too large",
    "INSTRUMENT_EXPOSURE": "too much in one symbol",
    "CLUSTER_EXPOSURE": "too much in one correlated group",
    "LEVERAGE": "too much leverage",
    "LIQUIDATION_TOO_NEAR": "liquidation would lie too near the stop",
    "ORDER_RATE": "too many orders a minute",
    "FAT_FINGER": "the price is too far from the market",
    "MAX_POSITIONS": "as many positions as allowed are open",
    "SPREAD_TOO_WIDE": "the spread was too wide",
    "NOTIONAL_BELOW_MINIMUM": "below the venue's smallest order value",
    "QUANTITY_BELOW_MINIMUM": "below the venue's smallest quantity",
    "POSITION_OPEN": "a position is already open there",
    "EXIT_NOT_POSSIBLE": "its exit could not be placed later",
    "CORRELATED": "what is open and moves together with it risks enough",
    "PUMP": "the move looked like an organised pump",
    "FORECAST_AGAINST": "a forecast spoke against it",
    "MARKET_AGAINST": "the market as a whole did not rise, or BTC fell or was wild",
    "RANKED_LOW": "other pairs were stronger, more liquid or tighter",
    "NOT_SELECTED": "the selector held this strategy back",
}

SHARE_WORDS: Final[dict[str, str]] = {
    "SHARE_BY_EVIDENCE": "by its results in this market",
    "SHARE_BY_REGIME": "the market changed: by its results in this one",
    "SHARE_DEMOTED_GAP": "held back: a trade lost more than its plan",
    "SHARE_DEMOTED_DAY": "held back: the day's limit took it out",
    "SHARE_COOLED_DOWN": "no longer held back: its floor until results speak for it",
    "SHARE_BY_PARAMETER": "a person changed the selector",
}

CYCLE_WORDS: Final[dict[str, str]] = {
    "CYCLE_DONE": "went through",
    "CYCLE_UNWOUND": "turned back: a leg got nothing",
    "CYCLE_MISSED": "the first leg got nothing",
    "EMERGENCY_EXIT": "given up in an emergency",
    "SHADOW_PASSED": "let out of shadow: cycles there gained in the mean",
    "BACK_TO_SHADOW": "back in shadow: cycles sent gained nothing in the mean",
}

GAP_WORDS: Final[dict[str, str]] = {
    "GAP_BETWEEN_TICKS": "the price jumped between two quotes",
    "GAP_BETWEEN_CANDLES": "the price jumped between two candles",
    "GAP_INSIDE_CANDLE": "the price jumped inside a candle",
    "GAP_THIN_BOOK": "the book was too thin at the stop",
    "GAP_FUNDING": "funding was charged",
    "GAP_LIQUIDATION": "the venue liquidated the position",
    "GAP_EXIT_COST": "closing what was won earlier cost more in fees than the day may lose",
    "GAP_DRAWDOWN": "equity fell from its peak as far as it may: the price was not there at the stops",
}


def loser(gap: GapRow) -> str:
    """What it was that lost more than its plan: a symbol's trade, the day, or the account since its peak."""
    return gap.symbol or ("since the peak" if gap.cause == "GAP_DRAWDOWN" else "the day")


DISCLOSURE: Final = (
    "For education and personal use. This is not financial advice. Trading can lose all of your money. "
    "Past and simulated results say little about the future. Trading decisions are yours alone."
)

_UNIT_SUFFIXES: Final = {
    "_ms": "ms", "_us": "µs", "_ns": "ns", "_s": "s", "_bps": "bps", "_pct": "%", "_usd": "USD", "_bars": "bars",
    "_levels": "levels",
}  # fmt: skip

_CANDLE_RULE: Final = (
    "Candle-grade: what happened inside a candle is not known. Each candle is walked open, one extreme, the other "
    "extreme, close; which extreme comes first is a coin toss that knows nothing of the close. The open is a jump: "
    "nothing trades between the last close and it. Spread and depth come from earlier candles only."
)
_TICK_RULE: Final = "Tick-grade: fills are matched against recorded quotes and trades, in the order they happened."


def duration(seconds: float) -> str:
    """93600.0 -> ``1 d 2 h``; the two largest units."""
    whole = round(seconds)
    parts = [(whole // 86_400, "d"), (whole % 86_400 // 3600, "h"), (whole % 3600 // 60, "min"), (whole % 60, "s")]
    first = next((place for place, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count or first == 3)


def text(value: object) -> str:
    """Words as they are, booleans as yes/no, times without the T."""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    words = str(value)
    return f"{words[:10]} {words[11:16]}" if len(words) == 20 and words[10] == "T" and words[-1] == "Z" else words


def number(value: float) -> str:
    """Shortest plain form: 40.0 -> ``40``."""
    return f"{value:,.8f}".rstrip("0").rstrip(".").replace("-", "−")


def written(value: object, unit: str) -> str:
    """A figure in the words of its unit; null is a dash."""
    if value is None:
        return MISSING
    if unit == "text":
        return text(value)
    if unit == "interval":
        assert isinstance(value, tuple)
        return f"{ratio(value[0])} to {ratio(value[1])}"
    amount = float(str(value))
    match unit:
        case "usd":
            return dollars(amount)
        case "usd+":
            return dollars(amount, signed=True)
        case "pct":
            return percent(amount)
        case "share":
            return percent(amount * 100, signed=False)
        case "share+":
            return percent(amount * 100)
        case "ratio":
            return ratio(amount)
        case "r":
            return f"{ratio(amount)} R"
        case "time":
            return duration(amount)
        case "count":
            return f"{amount:,.0f}"
    raise KeyError(f"figure unit {unit!r} has no way to be written; add it here")


def figure_text(metrics: Metrics, figure: Figure) -> str:
    """The figure as people read it."""
    return written(getattr(metrics, figure.name), figure.unit)


def bps(edge: float | None) -> str:
    """An edge as people read it."""
    return MISSING if edge is None else f"{ratio(edge)} bps"


def parameter(name: str, value: float | None) -> tuple[str, str]:
    """("order latency", "40 ms") from ("order_latency_ms", 40.0); nothing set means the instrument decides."""
    if value is None:
        return name.replace("_", " "), "by instrument"
    for suffix, unit in _UNIT_SUFFIXES.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix).replace("_", " "), f"{number(value)} {unit}"
    return name.replace("_", " "), number(value)


def grade_rule(manifest: Manifest) -> str:
    """What the grade of the data means for the fills."""
    return _CANDLE_RULE if manifest.grade == "candle-grade" else _TICK_RULE


def title(manifest: Manifest) -> str:
    """``momentum on 10 symbols``."""
    names = " + ".join(sorted(manifest.strategies)) or "no strategy"
    count = len(manifest.symbols)
    return f"{names} on {manifest.symbols[0] if count == 1 else f'{count} symbols'}"


def period(metrics: Metrics) -> str:
    """``2025-01-01 – 2025-05-01``, with the hour where the run is shorter than two days."""
    length = 10 if metrics.span_days >= 2 else 16
    begin, end = (moment.replace("T", " ")[:length] for moment in (metrics.from_time, metrics.to_time))
    return f"{begin} – {end} UTC"
