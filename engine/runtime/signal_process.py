"""The engine's end of a signal source's process: start it, tell it of bars, wait for its answers, end it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from engine.contracts.errors import BadInput, Retryable
from engine.signals.messages import LENGTH, Answer, Begin, Begun, Closed, packed, unpacked
from engine.signals.plan import SignalPlan

START_S: Final = 60.0
"""To start Python and import the class; torch alone takes ten seconds."""
MOST_BYTES: Final = 1 << 20


class SignalProcess:
    """Made by `start`. `begun`: what the class said of itself."""

    def __init__(self, plan: SignalPlan, process: asyncio.subprocess.Process) -> None:
        self._plan = plan
        self._process = process
        self.begun = Begun()

    @classmethod
    async def start(cls, plan: SignalPlan, names: Sequence[tuple[str, str]]) -> SignalProcess:
        """Raises BadInput where the class cannot be used, Retryable where the process ends or says nothing."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "engine.signals.worker", stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        made = cls(plan, process)
        try:
            made._write(packed(Begin(plan, [os.fspath(place) for place in sys.path], list(names))))
            made.begun = unpacked(await made._read(START_S), Begun)
            if made.begun.fault:
                raise BadInput(made.begun.fault)
        except BaseException:
            await made.end()
            raise
        return made

    async def tell(self, rows: bytes) -> None:
        """Bars it has to know before it is asked."""
        self._write(packed(Closed(rows, -1)))
        await self._drained()

    async def ask(self, rows: bytes, about: int) -> Answer:
        """Bars since it was last told, and a question. Raises Retryable where no answer comes in time."""
        self._write(packed(Closed(rows, about)))
        answer: Answer = unpacked(await self._read(self._plan.timeout_s), Answer)
        return answer

    def _write(self, message: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(message)

    async def _drained(self) -> None:
        assert self._process.stdin is not None
        try:
            async with asyncio.timeout(START_S):
                await self._process.stdin.drain()
        except (TimeoutError, ConnectionError):
            raise Retryable("its process takes nothing any more") from None

    async def _read(self, within_s: float) -> bytes:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(within_s):
                size = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))[0]
                if size > MOST_BYTES:
                    raise Retryable(f"its process sent {size:,} bytes, no answer of ours")
                return await self._process.stdout.readexactly(size)
        except TimeoutError:
            raise Retryable(f"no answer within {within_s:g} s") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            code = await self._process.wait()
            raise Retryable(f"its process ended with {code}") from None

    async def end(self) -> None:
        """Now, whatever it is doing."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
