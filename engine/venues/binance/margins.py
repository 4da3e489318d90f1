"""Isolated margin and leverage of perpetuals: set and verified before the first entry that needs them."""

from __future__ import annotations

from engine.contracts.errors import Refused
from engine.venues.binance.link import Link
from engine.venues.binance.slate import venue_symbol
from engine.venues.binance.usdm_account import UsdmAccount


class Margins:
    """What the venue keeps for each instrument. On spot there is nothing to keep: `fits` is always true."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._account = UsdmAccount(link) if link.dialect.algo_types else None
        self._leverage: dict[int, int] = {}

    async def begin(self) -> None:
        """Isolated margin everywhere; where the venue refuses it, entries on the instrument are refused."""
        if self._account is None:
            return
        for number, one in self._link.mine.items():
            try:
                self._leverage[number] = await self._account.isolate(venue_symbol(one))
            except Refused as error:
                self._link.freeze(number, f"{one.symbol}: no isolated margin ({error}); close what is open, restart")

    def fits(self, number: int, leverage: int) -> bool:
        """An entry with this leverage (0 counts as 1) may leave at once."""
        return self._account is None or self._leverage.get(number) == (leverage or 1)

    async def lever(self, number: int, leverage: int) -> None:
        """Make it fit. Raises Refused, Retryable."""
        if self._account is not None:
            await self._account.lever(venue_symbol(self._link.mine[number]), leverage or 1)
            self._leverage[number] = leverage or 1
