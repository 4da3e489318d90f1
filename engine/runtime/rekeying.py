"""Another API key for a running engine: read from the key file where it was proposed, taken up by every venue that uses
that name, then put in force in the file.

The file is opened with the passphrase the engine was started with; no key material comes over the control channel.
What fails on the way leaves the old key in force everywhere: a venue that took the new one already is given the old one
back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from engine.contracts.errors import BadInput, KeelError, Refused
from engine.store.keys import KeyFile, StoredKey
from engine.venues.port import Venue
from engine.venues.signing import Secret


class Rekeying:
    """`venues`: those that use a key, by its name."""

    def __init__(self, file: KeyFile, venues: Mapping[str, Sequence[Venue]]) -> None:
        self._file = file
        self._venues = venues
        self._one_at_a_time = asyncio.Lock()

    async def rekey(self, name: str) -> str:
        """Take up what is proposed under `name`; returns what was done, for people. Raises BadInput, Refused or
        Retryable with the old key in force, Fatal where the file cannot be written."""
        venues = self._venues.get(name, ())
        if not venues:
            raise BadInput(f"no venue of this engine uses the key {name}")
        async with self._one_at_a_time:
            found = await asyncio.to_thread(self._file.proposed, name)
            if found is None:
                raise BadInput(f"nothing is proposed in place of the key {name}; trading-cli keys rotate {name}")
            await self._take(venues, found, await asyncio.to_thread(self._file.get, name))
            await asyncio.to_thread(self._file.settle, name, True)
        used = ", ".join(venue.name for venue in venues)
        return f"the key {name} ({found.hint}) is in force at {used}; revoke the old one at the exchange"

    async def _take(self, venues: Sequence[Venue], new: StoredKey, old: StoredKey) -> None:
        for number, venue in enumerate(venues):
            try:
                await _give(venue, new)
            except KeelError as error:
                left = [one.name for one in venues[:number] if not await _gave_back(one, old)]
                but = f", but {', '.join(left)} has the new one and does not take the old one back" if left else ""
                raise Refused(f"the new key was not taken up: {error}; the old one is in force{but}") from None


async def _give(venue: Venue, key: StoredKey) -> None:
    await venue.rekey(key.key.get_secret_value(), Secret(key.secret.get_secret_value()))


async def _gave_back(venue: Venue, old: StoredKey) -> bool:
    try:
        await _give(venue, old)
    except KeelError:
        return False
    return True
