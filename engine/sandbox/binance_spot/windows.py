"""Statistics of a window: ticker (the last minutes, hours or days) and ticker/tradingDay (since midnight)."""

from __future__ import annotations

import re
from typing import Any, Final

from engine.sandbox.binance_spot.catalogue import chosen
from engine.sandbox.binance_spot.errors import BinanceError
from engine.sandbox.binance_spot.market_calls import DAY_MS, changes, figures, since
from engine.sandbox.binance_spot.parameters import Parameters
from engine.sandbox.show import Show
from engine.sandbox.tape import MINUTE_MS

_SIZE: Final = re.compile(r"^(\d{1,2})([mhd])$")
# unit: its length, and how many of it a window may be long
_UNITS: Final = {"m": (MINUTE_MS, 59), "h": (60 * MINUTE_MS, 23), "d": (DAY_MS, 7)}
_ZONE: Final = re.compile(r"^([+-]?)(\d{1,2})(?::(\d{2}))?$")


def rolling(exchange: Show, p: Parameters) -> Any:
    """GET ticker, of `symbol` or `symbols`."""
    size = p.text("windowSize") or "1d"
    found = _SIZE.match(size)
    if found is None or not 1 <= int(found[1]) <= _UNITS[found[2]][1]:
        raise BinanceError(-1130, "windowSize")
    now = exchange.clock.now_ms()
    return _windows(exchange, p, now - int(found[1]) * _UNITS[found[2]][0], now)


def trading_day(exchange: Show, p: Parameters) -> Any:
    """GET ticker/tradingDay: since midnight in `timeZone` (UTC where none is sent)."""
    zone = _ZONE.match(p.text("timeZone") or "0")
    if zone is None or int(zone[2]) > 14:
        raise BinanceError(-1130, "timeZone")
    offset = (int(zone[2]) * 60 + int(zone[3] or 0)) * MINUTE_MS * (-1 if zone[1] == "-" else 1)
    now = exchange.clock.now_ms()
    start = (now + offset) // DAY_MS * DAY_MS - offset
    return _windows(exchange, p, start, start + DAY_MS - 1)


def _windows(exchange: Show, p: Parameters, start_ms: int, close_ms: int) -> Any:
    is_mini = p.word("type", ("FULL", "MINI")) == "MINI"
    tapes = chosen(exchange, p)
    if not tapes:
        raise BinanceError(-1102, message="Param 'symbol' or 'symbols' must be sent, but both were empty/null!")
    rows = []
    for tape in tapes:
        bar = since(tape, start_ms - 1)
        bar.open_ms = start_ms
        rows.append(figures(tape, bar, close_ms) | ({} if is_mini else changes(tape, bar)))
    return rows[0] if "symbol" in p else rows


def weight(p: Parameters) -> int:
    """Four for each symbol, at most 200."""
    return min(4 * (p.plain("symbols").count(",") + 1), 200)
