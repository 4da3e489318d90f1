"""Reading a request: query parameters that may repeat, and the JSON body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.sandbox.coinbase.amounts import read_stamp
from engine.sandbox.coinbase.errors import invalid_argument


class Query:
    """The parameters of a request, and the names that stood in its path."""

    def __init__(self, pairs: Sequence[tuple[str, str]], path: Mapping[str, str], body: bytes = b"") -> None:
        self._pairs = pairs
        self.path = path
        self._body = body

    def all(self, *names: str) -> list[str]:
        """All values given under these names."""
        return [value for name, value in self._pairs if name.removesuffix("[]") in names and value]

    def one(self, name: str) -> str | None:
        """The first value of a parameter; None where it was not sent."""
        return next(iter(self.all(name)), None)

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from 0 up; above the most it is the most. Raises HttpError 400."""
        text = self.one(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise invalid_argument(f'parsing field "{name}": invalid integer "{text}"')
        return min(int(text) or default, most)

    def time_ms(self, name: str) -> int | None:
        """A time. Raises HttpError 400."""
        text = self.one(name)
        found = None if text is None else read_stamp(text)
        if text is not None and found is None:
            raise invalid_argument(f'parsing field "{name}": invalid timestamp "{text}"')
        return found

    def document(self) -> dict[str, Any]:
        """The JSON object sent. Raises HttpError 400."""
        try:
            return msgspec.json.decode(self._body or b"{}", type=dict[str, Any])
        except msgspec.MsgspecError:
            raise invalid_argument("the request body is no JSON object") from None
