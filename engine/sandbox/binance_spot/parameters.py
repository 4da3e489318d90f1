"""Reading what clients send: text in, checked integers and words out, Binance's errors for the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from engine.sandbox.binance_spot.errors import BinanceError
from engine.sandbox.tape import Tape

DECIMAL: Final = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
SYMBOL: Final = r"^[A-Z0-9-_.]{1,20}$"
CLIENT_ID: Final = r"^[a-zA-Z0-9-_]{1,36}$"
INTEGER: Final = r"^[0-9]{1,20}$"
_COMPILED: Final = {pattern: re.compile(pattern) for pattern in (DECIMAL, SYMBOL, CLIENT_ID, INTEGER)}
# parameter: the code that says a word is not one of its words
_ENUM_CODES: Final = {
    "side": -1117, "type": -1116, "timeInForce": -1115, "interval": -1120, "cancelRestrictions": -1145,
}  # fmt: skip

T = TypeVar("T")


class Parameters:
    """The parameters of one request, by name."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def renamed(self, names: Mapping[str, str], kept: Iterable[str], added: Mapping[str, str]) -> Parameters:
        """Some of the parameters under other names, some under their own, and some more."""
        found = {new: self._values[old] for old, new in names.items() if old in self._values}
        found |= {name: self._values[name] for name in kept if name in self._values}
        return Parameters(found | dict(added))

    def plain(self, name: str) -> str:
        """What was sent, unchecked; empty where nothing was."""
        return self._values.get(name, "")

    def items(self) -> Iterable[tuple[str, str]]:
        """All that was sent."""
        return self._values.items()

    def text(self, name: str, pattern: str | None = None) -> str | None:
        """The text of a parameter, None where it was not sent."""
        value = self._values.get(name)
        if value is None:
            return None
        if value == "":
            raise BinanceError(-1105, name)
        if pattern is not None and not _COMPILED[pattern].match(value):
            raise BinanceError(-1100, name, pattern)
        return value

    def word(self, name: str, words: Iterable[str]) -> str | None:
        """One of the words a parameter may be."""
        value = self.text(name)
        if value is not None and value not in words:
            if name in _ENUM_CODES:
                raise BinanceError(_ENUM_CODES[name])
            raise BinanceError(-1130, name)
        return value

    def integer(self, name: str) -> int | None:
        """A whole number that is not negative."""
        value = self.text(name, INTEGER)
        return None if value is None else int(value)

    def limit(self, default: int, most: int) -> int:
        """`limit`: above the most it is the most, as the exchange does it."""
        value = self.integer("limit")
        if value is None:
            return default
        if value < 1:
            raise BinanceError(-1130, "limit")
        return min(value, most)

    def amount_e8(self, name: str) -> int | None:
        """A decimal of at most eight places, in 1e-8, exact."""
        value = self.text(name, DECIMAL)
        if value is None:
            return None
        whole, _, rest = value.partition(".")
        rest = rest.rstrip("0")
        if len(rest) > 8:
            raise BinanceError(-1111, name)
        return int(whole + rest.ljust(8, "0"))

    def signed_bytes(self) -> bytes:
        """What a WS API client signs: all but the signature, sorted by name."""
        pairs = sorted((name, value) for name, value in self._values.items() if name != "signature")
        return "&".join(f"{name}={value}" for name, value in pairs).encode()

    def tape(self, tapes: Mapping[str, Tape]) -> Tape:
        """The symbol, which must be there."""
        name = needed(self.text("symbol", SYMBOL), "symbol")
        if name not in tapes:
            raise BinanceError(-1121)
        return tapes[name]


def needed(value: T | None, name: str) -> T:
    """The value, or the error that says the parameter is mandatory."""
    if value is None:
        raise BinanceError(-1102, name)
    return value
