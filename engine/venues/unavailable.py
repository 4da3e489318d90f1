"""A venue that cannot be opened (its table or its key is gone): every question says why; nobody takes it for empty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from engine.contracts.errors import Refused
from engine.contracts.instruments import Instrument
from engine.venues.port import Inlet, StreamHealth, Venue


def unavailable(name: str, why: str) -> Venue:
    """The venue `name`; whatever is asked of it raises Refused with `why`."""
    part = _Part(name, why)
    return Venue(name, part, part, part)


class _Part:
    """All three parts."""

    def __init__(self, name: str, why: str) -> None:
        self.name, self._why = name, why
        self.is_ready = False

    def _refuse(self) -> NoReturn:
        raise Refused(f"{self.name}: {self._why}")

    async def run(self, instruments: Sequence[Instrument], inlet: Inlet) -> None:
        """Nothing runs, and nothing fails again and again."""

    def health(self) -> list[StreamHealth]:
        return []

    async def _asked(self, *_words: Any) -> Any:
        self._refuse()

    def _told(self, *_words: Any) -> None:
        self._refuse()

    load = history = ask = check = open_orders = wallets = positions = fills_since = foreign_fills = _asked
    send = know = _told
