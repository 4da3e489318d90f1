"""Whether a venue still takes our key: entries wait while it does not.

Rules
-----
* From the first answer that refuses the key, entries are refused here: every request with a refused key counts against
  the address it comes from. Exits, stops and cancels are tried all the same.
* On the side one signed question is asked, `again_s` after the refusal and after each attempt; the first good answer
  ends it. Where that question is answered and orders are still refused, one entry per round finds out.
* People are told once of the refusal, with the fix, and once of its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from engine.contracts.errors import KeelError
from engine.venues.port import NoticeKind

AGAIN_S: Final = 60.0


class KeyWatch:
    """`ask` puts a signed question to the venue and raises KeelError where it is not answered well."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[Any]],
        say: Callable[[NoticeKind, str], None],
        spawn: Callable[[Coroutine[Any, Any, None]], Any],
        again_s: float = AGAIN_S,
    ) -> None:
        self._ask, self._say, self._spawn, self.again_s = ask, say, spawn, again_s
        self.is_refused = False
        self._changed = asyncio.Event()

    def look_now(self) -> None:
        """There is another key: the side question need not wait for its turn."""
        self._changed.set()

    def refused(self, why: str) -> None:
        """The venue said so in these words."""
        if self.is_refused:
            return
        self.is_refused = True
        self._say(
            "refused",
            f"the key is refused: {why}; check key, secret, permissions and bound addresses. Entries here are refused "
            f"until it is accepted again (asked every {self.again_s:g} s); exits, stops and cancels are still tried",
        )
        self._spawn(self._ask_on())

    async def _ask_on(self) -> None:
        try:
            while self.is_refused:
                await self._pause()
                try:
                    await self._ask()
                except KeelError:
                    continue  # refused still, or not answered: told already
                self.is_refused = False
                self._say("connected", "the key is accepted again: entries go on")
        finally:
            self.is_refused = False  # the venue closes: its next run finds out by itself

    async def _pause(self) -> None:
        self._changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), self.again_s)
