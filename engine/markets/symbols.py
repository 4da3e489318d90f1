"""Names of instruments: the many spellings venues use, folded into one.

Canonical is `BASE/QUOTE` for spot and `BASE/QUOTE:SETTLE` for perpetuals; an instrument is a (venue, symbol) pair.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from engine.contracts.errors import BadInput

Name = tuple[str, str]
"""(venue, canonical symbol)."""

# quote currency: about how many units are worth one US dollar (an order of magnitude is enough: it sizes lots)
QUOTE_UNITS: Final[dict[str, float]] = {
    "USDT": 1, "USDC": 1, "FDUSD": 1, "BUSD": 1, "TUSD": 1, "USDP": 1, "USDS": 1, "DAI": 1, "PAX": 1, "XUSD": 1,
    "USD": 1, "EUR": 1, "GBP": 1, "AUD": 1, "CAD": 1, "CHF": 1, "EURI": 1, "AEUR": 1,
    "BTC": 1e-5, "XBT": 1e-5, "ETH": 1e-3, "BNB": 1e-2, "JPY": 100, "TRY": 10, "BRL": 10, "KRW": 1000, "RUB": 100,
}  # fmt: skip
STABLES: Final = frozenset(q for q, units in QUOTE_UNITS.items() if units == 1)
MAJORS: Final = frozenset("BTC XBT ETH BNB SOL XRP ADA DOGE LTC TRX LINK AVAX DOT BCH XLM TON".split())
_SUFFIXES: Final = tuple(sorted(QUOTE_UNITS, key=len, reverse=True))
_PERP_VENUES: Final = ("usdm", "perp")


def is_perp_venue(venue: str) -> bool:
    """True for venues that list perpetuals only (their symbols often carry no settlement currency)."""
    return venue.lower().endswith(_PERP_VENUES)


@lru_cache(maxsize=65536)
def canonical(venue: str, symbol: str) -> str | None:
    """`BTCUSDT` -> `BTC/USDT` (`BTC/USDT:USDT` on a perpetual venue); None where no known quote currency ends it."""
    pair, _, settle = symbol.strip().upper().replace("-", "/").partition(":")
    if "/" not in pair:
        quote = next((q for q in _SUFFIXES if pair.endswith(q) and len(pair) > len(q)), None)
        if quote is None:
            return None
        pair = f"{pair[: -len(quote)]}/{quote}"
    base, _, quote = pair.partition("/")
    if not base or not quote or "/" in quote:
        return None
    if not settle and is_perp_venue(venue):
        settle = quote
    return f"{pair}:{settle}" if settle else pair


def legs(symbol: str) -> tuple[str, str]:
    """Base and quote currency of a canonical symbol."""
    base, _, quote = symbol.partition(":")[0].partition("/")
    return base, quote


def cluster(symbol: str) -> str:
    """Correlation cluster of a canonical symbol: `stable` (both legs stablecoin or fiat), `major` or `alt`."""
    base, quote = legs(symbol)
    if base in STABLES and quote in STABLES:
        return "stable"
    return "major" if base in MAJORS else "alt"


def _compact(symbol: str) -> str:
    return symbol.partition(":")[0].replace("/", "").replace("-", "").upper()


def _matches(name: Name, wanted: str) -> bool:
    venue, symbol = name
    head, _, tail = wanted.partition(":")
    if tail and head == venue:
        return symbol == tail.upper() or _compact(symbol) == _compact(tail)
    return symbol == wanted.upper() or _compact(symbol) == _compact(wanted)


def select(names: Sequence[Name], wanted: Sequence[str] | None) -> list[Name]:
    """The names asked for (all when `wanted` is None), in the order of `names`.

    Each of `wanted` is `BTC/USDT`, `BTCUSDT` or `venue:BTC/USDT`; the first two match on every venue, and an exact
    canonical symbol wins over a loose match. Raises BadInput naming the nearest valid names.
    """
    if wanted is None:
        return list(names)
    chosen: set[Name] = set()
    for text in wanted:
        exact = {n for n in names if n[1] == text.upper() or f"{n[0]}:{n[1]}" == text}
        found = exact or {n for n in names if _matches(n, text)}
        if not found:
            raise BadInput(f"symbols: {text!r} is not in the data; {_nearest(names, text)}")
        chosen |= found
    return [n for n in names if n in chosen]


def _nearest(names: Sequence[Name], text: str) -> str:
    spelled = {f"{venue}:{symbol}": f"{venue}:{symbol}" for venue, symbol in names}
    spelled |= {symbol: symbol for _, symbol in names} | {_compact(symbol): symbol for _, symbol in names}
    close = difflib.get_close_matches(text.upper(), spelled, n=5, cutoff=0.5)
    best = list(dict.fromkeys(spelled[c] for c in close))[:3] or sorted({symbol for _, symbol in names})[:3]
    return f"nearest valid names: {', '.join(best)}"
