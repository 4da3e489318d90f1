"""Numbers and times as Coinbase writes them, and reading them back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Final

from engine.contracts.instruments import E8
from engine.sandbox.tape import text_e8

_DECIMAL: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?|\.[0-9]{1,20}")
_PLACES: Final = Decimal("1e-16")


def plain(amount_e8: int) -> str:
    """A 1e-8 integer without needless zeros: 12300000 -> ``0.123``."""
    return text_e8(amount_e8).rstrip("0").removesuffix(".")


def ratio(numerator: int, denominator: int) -> str:
    """A quotient with up to sixteen decimals, ``0`` of nothing."""
    if denominator == 0:
        return "0"
    with localcontext(prec=60):
        found = (Decimal(numerator) / denominator).quantize(_PLACES, ROUND_DOWN)
    text = format(found, "f")
    return text.rstrip("0").removesuffix(".") or "0"


def read_e8(text: object) -> int | None:
    """A positive decimal in 1e-8; None where it is none, -1 where it is finer than that."""
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        return None
    amount = Decimal(text) * E8
    return int(amount) if amount == int(amount) else -1


def stamp(time_ms: int) -> str:
    """``2024-01-15T10:30:00.123000Z``."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_stamp(text: object) -> int | None:
    """Milliseconds of an RFC 3339 time or of whole Unix seconds; None where it is neither."""
    if not isinstance(text, str):
        return None
    if text.isascii() and text.isdigit() and len(text) < 14:
        return int(text) * 1000
    try:
        found = datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", text))
    except ValueError:
        return None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
