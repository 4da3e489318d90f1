"""What a person says about a venue (``[venues.NAME]``): which exchange, through which adapter, what to trade there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from engine.contracts.errors import BadInput

# field: (default as text, meaning)
MEANINGS: Final[dict[str, tuple[str, str]]] = {
    "exchange": ("name of the table", "binance (spot), binanceusdm (USD-M perpetuals), coinbase, or any id ccxt knows"),
    "adapter": ("binance for both Binances, else ccxt", "binance: a fast path of our own; ccxt: through that library"),
    "symbols": ("none", "what to trade: BASE/QUOTE, of perpetuals BASE/QUOTE:SETTLE"),
    "testnet": ("false", "Binance's spot testnet or futures demo trading; its keys work nowhere else"),
    "key": ("none", "name under which the API key is stored (command keys); market data and paper need none"),
    "urls": ("the exchange's own", "other addresses that speak the same protocol, as the sandbox prints them"),
    "capital_usd": ("an even share", "part of account.capital_usd that lies here, USD; it alone pays for entries here"),
}
ADAPTERS: Final = ("binance", "ccxt")
NATIVE: Final[Mapping[str, str]] = {"binance": "spot", "binanceusdm": "usdm"}
TESTNETS: Final = ("binance", "binanceusdm")
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_SYMBOL: Final = re.compile(r"[A-Z0-9]+/[A-Z0-9]+(:[A-Z0-9]+)?")
_SCHEMES: Final = ("http", "https", "ws", "wss")
_MOST_SYMBOLS: Final = 1_000
_URLS: Final = ("rest", "ws", "ws_api")  # what the adapter binance needs
_MORE_URLS: Final = ("wallet",)


class VenuePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """See `MEANINGS`. Raises BadInput naming the field and the fix."""

    name: str
    exchange: str
    adapter: str
    symbols: tuple[str, ...]
    testnet: bool = False
    key: str | None = None
    urls: Mapping[str, str] = {}
    capital_usd: float | None = None

    def __post_init__(self) -> None:
        at = f"venues.{self.name}"
        if not _NAME.fullmatch(self.name):
            raise BadInput(f"{at}: the name of a venue is lower case letters, digits, - and _, at most 32")
        self._check_exchange(at)
        self._check_symbols(at)
        self._check_urls(at)
        if self.key is not None and not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", self.key):
            raise BadInput(f"{at}.key is the *name* of a stored key; store the key itself with trading-cli keys add")
        if self.capital_usd is not None and not 0 < self.capital_usd <= 1e7:  # NaN fails this too
            raise BadInput(f"{at}.capital_usd = {self.capital_usd} is outside 0..10,000,000 USD")

    def _check_exchange(self, at: str) -> None:
        known = exchanges()
        if self.exchange not in known:
            near = get_close_matches(self.exchange, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else "ccxt's list of ids says what there is"
            raise BadInput(f"{at}.exchange = {self.exchange} is not an exchange; {hint}")
        if self.adapter not in ADAPTERS:
            raise BadInput(f"{at}.adapter = {self.adapter} is not an adapter; known: {', '.join(ADAPTERS)}")
        if self.adapter == "binance" and self.exchange not in NATIVE:
            raise BadInput(f"{at}.adapter = binance serves {' and '.join(NATIVE)}; leave it out for {self.exchange}")
        if self.testnet and self.exchange not in TESTNETS:
            raise BadInput(f"{at}.testnet is for {' and '.join(TESTNETS)}; {self.exchange} has none: use mode = paper")

    def _check_symbols(self, at: str) -> None:
        for symbol in self.symbols:
            if not _SYMBOL.fullmatch(symbol):
                raise BadInput(f"{at}.symbols: {symbol!r} must read like BTC/USDT, or BTC/USDT:USDT for a perpetual")
            if self.exchange == "binance" and ":" in symbol:
                raise BadInput(f"{at}.symbols: {symbol} is a perpetual; they are at the exchange binanceusdm")
            if self.exchange == "binanceusdm" and ":" not in symbol:
                raise BadInput(f"{at}.symbols: {symbol} is spot; write {symbol}:{symbol.partition('/')[2]} here")
        if len(set(self.symbols)) != len(self.symbols):
            raise BadInput(f"{at}.symbols names one twice")
        if len(self.symbols) > _MOST_SYMBOLS:
            raise BadInput(f"{at}.symbols names {len(self.symbols)}; at most {_MOST_SYMBOLS}")

    def _check_urls(self, at: str) -> None:
        if self.urls and self.testnet:
            raise BadInput(f"{at}.urls and {at}.testnet name two places; leave one out")
        for what, url in self.urls.items():
            try:
                parts = urlsplit(url)
                usable = parts.scheme in _SCHEMES and bool(parts.hostname)
                _ = parts.port
            except ValueError:
                usable = False
            if not usable or "@" in url:
                raise BadInput(f"{at}.urls.{what} must read like https://host:port or wss://host:port, nothing secret")
        if self.urls and self.adapter == "binance":
            self._check_url_names(f"{at}.urls")

    def _check_url_names(self, at: str) -> None:
        for what in self.urls.keys() - {*_URLS, *_MORE_URLS}:
            raise BadInput(f"{at}.{what} is not an address; known: {', '.join((*_URLS, *_MORE_URLS))}")
        if missing := [what for what in _URLS if what not in self.urls]:
            raise BadInput(f"{at} lacks {', '.join(missing)}; give {', '.join(_URLS)}, as the sandbox prints them")


def venue_plan(name: str, table: Mapping[str, object]) -> VenuePlan:
    """The plan of one table, defaults filled in; texts such as ``"true"`` and ``"A/B,C/D"`` count as what they say.

    Raises BadInput for an unknown key (with the nearest name), a value of the wrong kind or out of bounds.
    """
    at = f"venues.{name}"
    for key in table:
        if key not in MEANINGS:
            near = get_close_matches(key, MEANINGS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(MEANINGS)}"
            raise BadInput(f"{at}.{key} is not a setting; {hint}")
    given = {key: value for key, value in table.items() if value not in (None, "")}
    given.setdefault("exchange", name)
    given.setdefault("adapter", "binance" if given["exchange"] in NATIVE else "ccxt")
    symbols = given.get("symbols", ())
    if isinstance(symbols, str):
        given["symbols"] = symbols = [one.strip() for one in symbols.split(",") if one.strip()]
    try:
        return msgspec.convert({"name": name, "symbols": symbols, **given}, VenuePlan, strict=False)
    except BadInput:
        raise
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, BadInput):
            raise error.__cause__ from None
        field = str(error).rpartition("$.")[2].rstrip("`").partition("[")[0].partition(".")[0]
        wanted = str(error).partition(" - at ")[0].lower()
        raise BadInput(f"{at}.{field}: {wanted}; {MEANINGS.get(field, ('', ''))[1]}") from None


@lru_cache(maxsize=1)
def exchanges() -> frozenset[str]:
    """Every id ccxt knows, read from its folder: importing it takes a second."""
    found = find_spec("ccxt")
    if found is None or found.origin is None:
        return frozenset((*NATIVE, "coinbase"))
    return frozenset(path.stem for path in Path(found.origin).parent.glob("[a-z0-9]*.py"))
