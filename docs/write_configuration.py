"""Write docs/configuration.md and keel.example.toml from the settings themselves (`make docs`).

A test checks that both are current: a setting cannot be added, renamed or rebounded without its documentation.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from annotated_types import Ge, Le

from engine.core import limits, selector
from engine.core.parameters import Param
from engine.core.strategies.table import STRATEGIES
from engine.markets import feedmodel
from engine.runtime import doorplan, watchplan
from engine.runtime import plan as runtime
from engine.settings import Account, Settings
from engine.signals import plan as signals
from engine.simulation import venue
from engine.venues import plan as venues

ROOT: Final = Path(__file__).resolve().parent.parent

INTRODUCTION: Final = """\
# Configuration

Written by `make docs` from `engine/settings.py` and the bounds of the core; do not edit by hand.

Precedence: command line, then environment, then `keel.toml` (in the working directory, or the file that `KEEL_CONFIG`
names), then the defaults below. `[limits] trade_loss_usd` is `KEEL_LIMITS__TRADE_LOSS_USD` in the environment;
`DATABASE_URL` and `REDIS_URL` are read under these plain names too. An unknown key is refused with the nearest valid
name, a value outside its bounds with the bounds and the place it was set. `keel.example.toml` holds every setting.

Every limit stands in dollars and, where it makes sense, in per cent; the tighter holds. With `mode = "live"` every
limit and `account.capital_usd` must have been written down by you: a start names what is missing. API keys are no
settings: the command keys stores them encrypted. The command config shows what is in force and where it was set.
"""


class Row(NamedTuple):
    """One setting. `default` is as TOML writes it, empty where it is unset; `example` stands in for it then."""

    name: str
    default: str
    low: str
    high: str
    unit: str
    meaning: str
    example: str = ""

    @property
    def bounds(self) -> str:
        return f"{self.low} to {self.high}" if self.low else ""


def toml(value: Any) -> str:
    """A default as TOML writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(toml(one) for one in value)}]"
    return f'"{value}"' if isinstance(value, str | Path) else f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"


def number(value: float) -> str:
    """A bound, short."""
    return f"{value:g}" if abs(value) < 1e5 else f"{value:,.0f}" if value < 1e9 else f"{value:g}"


def top_rows() -> list[Row]:
    rows = []
    for name in ("mode", "data_dir", "home", "database_url", "redis_url", "passphrase_file"):
        field = Settings.model_fields[name]
        default = toml(field.default) if name in ("mode", "home") else ""  # the others are unset, or looked for
        example = toml(field.examples[0]) if field.examples else ""
        rows.append(Row(name, default, "", "", "", field.description or "", example))
    return rows


def account_rows() -> list[Row]:
    rows = []
    for name, field in Account.model_fields.items():
        low = next(number(float(str(m.ge))) for m in field.metadata if isinstance(m, Ge))
        high = next(number(float(str(m.le))) for m in field.metadata if isinstance(m, Le))
        rows.append(Row(name, toml(field.default), low, high, "USD", field.description or ""))
    return rows


def bounded_rows(bounds: dict[str, tuple[float, float, float, str, str]]) -> list[Row]:
    return [Row(n, toml(d), number(low), number(high), u, m) for n, (d, low, high, u, m) in bounds.items()]


def param_rows(params: Sequence[Param]) -> list[Row]:
    return [Row(p.name, toml(p.default), number(p.low), number(p.high), p.unit, p.meaning) for p in params]


def feed_rows() -> list[Row]:
    meanings: dict[str, str] = {}
    for line in (feedmodel.FeedModel.__doc__ or "").splitlines():
        if found := re.match(r"\s*([a-z_, ]+): (.+)\.$", line):
            meanings |= dict.fromkeys(found.group(1).split(", "), found.group(2))
    default = feedmodel.FeedModel()
    return [
        Row(name, toml(getattr(default, name)), number(low), number(high), unit, meanings[name])
        for name, (low, high, unit) in feedmodel.BOUNDS.items()
    ]


def runtime_rows() -> list[Row]:
    default = runtime.RuntimePlan()
    lists = [Row(name, toml(getattr(default, name)), "", "", "", text) for name, text in runtime.MEANINGS.items()]
    return lists + bounded_rows(runtime.BOUNDS)


def door_rows(table: str) -> list[Row]:
    """[alerts], [doors]: unset words with an example, then numbers with bounds."""
    words = [Row(name, "", "", "", "", text, toml(shown)) for name, (text, shown) in doorplan.MEANINGS[table].items()]
    return words + (bounded_rows(doorplan.BOUNDS) if table == "doors" else [])


def watchdog_rows() -> list[Row]:
    words = [Row(name, default, "", "", "", text, shown) for name, (default, text, shown) in watchplan.MEANINGS.items()]
    return words + bounded_rows(watchplan.BOUNDS)


def venue_rows() -> list[Row]:
    """`default` is in words: a venue's table is not there until somebody writes it."""
    return [Row(name, default, "", "", "", meaning) for name, (default, meaning) in venues.MEANINGS.items()]


def signal_rows() -> list[Row]:
    """`default` is in words here too."""
    return [Row(name, default, "", "", "", meaning) for name, (default, meaning) in signals.MEANINGS.items()]


SIGNAL_EXAMPLE: Final = """\
# Signal sources: Python classes whose forecasts the strategies may follow; none by default. See docs/signal-sources.md.
#   [signals.reversion]
#   class = "engine.signals.reversion:Reversion"
#   symbols = ["BTC/USDT"]
#   parameters = { timeframe_s = 300, span = 96 }
"""

VENUE_EXAMPLE: Final = """\
# Venues have no defaults: write a table for each. Its name is yours; named after its exchange, it needs no `exchange`.
#   [venues.binance]
#   symbols = ["BTC/USDT", "ETH/USDT"]
#   testnet = true
#   key = "testnet"
#
#   [venues.perpetuals]
#   exchange = "binanceusdm"
#   symbols = ["BTC/USDT:USDT"]
#   capital_usd = 400
#
#   [venues.sandbox]
#   exchange = "binance"
#   symbols = ["BTC/USDT"]
#   urls = { rest = "http://127.0.0.1:8080", ws = "ws://127.0.0.1:8080", ws_api = "ws://127.0.0.1:8080/ws-api/v3" }
"""


def sections() -> dict[str, list[Row]]:
    """Every setting there is, by table; the first table is the file's top."""
    strategies = {f"strategies.{one.name}": param_rows(one.params) for one in STRATEGIES}
    return {
        "": top_rows(),
        "account": account_rows(),
        "limits": bounded_rows(limits.BOUNDS),
        "simulation": bounded_rows(venue.BOUNDS),
        "feed": feed_rows(),
        "selector": param_rows(selector.PARAMS),
        **strategies,
        "runtime": runtime_rows(),
        "alerts": door_rows("alerts"),
        "doors": door_rows("doors"),
        "watchdog": watchdog_rows(),
    }


def configuration() -> str:
    """docs/configuration.md"""
    lines = [INTRODUCTION]
    for section, rows in sections().items():
        lines.append(f"## `[{section}]`\n" if section else "## Top of the file\n")
        lines.append("| setting | default | bounds | unit | meaning |\n|---|---|---|---|---|")
        lines += [f"| `{r.name}` | {r.default or 'unset'} | {r.bounds} | {r.unit} | {r.meaning} |" for r in rows]
        lines.append("")
    lines.append("## `[venues.NAME]`\n\nOne table for each venue; there is none by default.\n")
    lines.append("| setting | default | meaning |\n|---|---|---|")
    lines += [f"| `{r.name}` | {r.default} | {r.meaning} |" for r in venue_rows()]
    lines.append("\n## `[signals.NAME]`\n\nOne table for each [signal source](signal-sources.md); none by default.\n")
    lines.append("| setting | default | meaning |\n|---|---|---|")
    lines += [f"| `{r.name}` | {r.default} | {r.meaning} |" for r in signal_rows()]
    return "\n".join([*lines, ""])


def example() -> str:
    """keel.example.toml: every setting, commented out, at its default."""
    lines = [
        "# Copy to keel.toml and uncomment what you change. Written by `make docs`; see docs/configuration.md.",
        "",
    ]
    for section, rows in sections().items():
        if section:
            lines.append(f"[{section}]")
        for row in rows:
            about = ", ".join(part for part in (row.meaning, row.unit, row.bounds) if part)
            lines += textwrap.wrap(about, 118, initial_indent="# ", subsequent_indent="# ")
            lines.append(f"# {row.name} = {row.default or row.example or '(inferred from the data)'}")
        lines.append("")
    return "\n".join([*lines, VENUE_EXAMPLE, SIGNAL_EXAMPLE])


if __name__ == "__main__":
    (ROOT / "docs" / "configuration.md").write_text(configuration(), encoding="utf-8")
    (ROOT / "keel.example.toml").write_text(example(), encoding="utf-8")
    print("docs/configuration.md and keel.example.toml written")
