"""An emergency carried out without an engine: by the watchdog, or by the command itself.

It is the flattening done on silence, with the policy `flatten_all`, told into the home folder as the engine tells it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from engine.contracts.errors import Fatal
from engine.runtime.emergency import progress_of
from engine.runtime.flatten import Flatten
from engine.runtime.ours import Ours
from engine.runtime.stand_in import end
from engine.store import emergency_file
from engine.store.emergency_file import Progress, Request
from engine.venues.port import Venue

TELL_S: Final = 1.0


async def carry_out(
    home: Path, request: Request, by: str, venues: Sequence[Venue], ours: Ours,
    tell: Callable[[Progress], None] = lambda _told: None, say: Callable[[str], None] = lambda _text: None,
) -> Progress:  # fmt: skip
    """Until every venue's own answers prove it FLAT; cancel it to stop before. `venues` are opened under
    `ClientIds(ours.order_prefix).stand_in()` and closed at the end. After every change, and once a second, where it
    stands is written to ``HOME/emergency.told`` as said `by`, and given to `tell`."""
    began_s = time.monotonic()
    news = asyncio.Event()
    flatten = Flatten(venues, ours, "flatten_all", lambda _standing: news.set(), say)
    work = asyncio.create_task(flatten.run())
    try:
        while True:
            news.clear()
            is_over = work.done()
            told = progress_of(request, [one.told for one in flatten.standing], time.monotonic() - began_s, by)
            try:
                await asyncio.to_thread(emergency_file.report, home, told)
            except Fatal as error:
                say(str(error))
            tell(told)
            if is_over:
                await work
                return told
            waiting = asyncio.create_task(news.wait())
            await asyncio.wait((waiting, work), timeout=TELL_S, return_when=asyncio.FIRST_COMPLETED)
            await end(waiting)
    finally:
        await end(work)
