"""Who is asking: API keys, timestamps and signatures, in the order the exchange looks at them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from engine.sandbox.binance_spot.errors import AHEAD, BinanceError
from engine.sandbox.binance_spot.parameters import Parameters, needed
from engine.sandbox.show import Show

AHEAD_MS: Final = 1000
DEFAULT_WINDOW_MS: Final = 5000
MOST_WINDOW_MS: Final = 60_000
HEX: Final = "^[A-Fa-f0-9]{64}$"
_HEX: Final = re.compile(HEX)
_KEY: Final = re.compile("^[A-Za-z0-9]{64}$")


def check_key(exchange: Show, api_key: str | None) -> Any:
    """The account of a key, where a call needs one but no signature."""
    if not api_key or not _KEY.match(api_key):
        raise BinanceError(-2014)
    found = exchange.accounts.by_key(api_key)
    if found is None:
        raise BinanceError(-2015)
    return found[0]


def check_signed(exchange: Show, api_key: str | None, p: Parameters, payload: Callable[[], bytes]) -> Any:
    """The account that signed a request; `payload` gives the bytes that must be signed."""
    account = check_key(exchange, api_key)
    found = exchange.accounts.by_key(api_key or "")
    timestamp = needed(p.integer("timestamp"), "timestamp")
    window = p.amount_e8("recvWindow")
    window_ms = DEFAULT_WINDOW_MS if window is None else window // 10**8
    if window_ms > MOST_WINDOW_MS:
        raise BinanceError(-1131)
    signature = needed(p.text("signature"), "signature")
    now = exchange.clock.now_ms()
    milliseconds = timestamp // 1000 if timestamp > 10**15 else timestamp
    if milliseconds >= now + AHEAD_MS:
        raise BinanceError(-1021, message=AHEAD)
    if now - milliseconds > window_ms:
        raise BinanceError(-1021)
    if found is None or (found[1].kind == "HMAC" and not _HEX.match(signature)):
        raise BinanceError(-1100, "signature", HEX)
    if not found[1].is_signature(payload(), signature):
        raise BinanceError(-1022)
    return account
