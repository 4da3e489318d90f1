"""A signal source beside the running engine.

Rules
-----
* Bars are made of what was journalled, in its order, by the core's own rules, a twentieth of a second later and never
  in a turn. The class runs in a process of its own; nothing here waits for it but its own task.
* One question at a time. A bar that is overtaken by the next of its instrument is not asked about any more.
* A class that hangs or dies is told about, ended and begun anew with back-off (`Service.keep`), with the same history;
  meanwhile its forecasts run out. One that fails at a bar is told about and has no opinion on it.
* What a warm-up closes teaches and is not asked about.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from engine.contracts.errors import BadInput
from engine.contracts.instruments import Instrument
from engine.contracts.records import ENTRY, RECORD, RECORD_BYTES
from engine.contracts.signals import Forecast
from engine.runtime.signal_process import SignalProcess
from engine.signals.forecasting import Closings
from engine.signals.foreign import judged
from engine.signals.histories import Histories, row_of, scale_of
from engine.signals.messages import CLOSED, Answer
from engine.signals.plan import SignalPlan, owners
from engine.signals.speaking import Speaker
from engine.venues.port import Notice, Records

LOOK_S: Final = 0.05
TELL_AGAIN_NS: Final = 60_000_000_000
_ENTRY_BYTES: Final = ENTRY.itemsize
Inject = Callable[[Records], None]


class _Closed(NamedTuple):
    row: bytes  # CLOSED rows
    instrument: int
    end_ns: int  # of the bar; 0: nothing is asked about it


class SignalHost:
    """Made by `open_hosts`. `text`: class, parameters and digest."""

    def __init__(
        self,
        process: SignalProcess,
        plan: SignalPlan,
        number: int,
        mine: Sequence[int],
        instruments: Sequence[Instrument],
    ) -> None:
        begun = process.begun
        self.plan = plan
        self.text = begun.text
        self._process: SignalProcess | None = process
        self._names = [(one.venue, one.symbol) for one in instruments]
        self._mine = frozenset(mine)
        self._scales = [scale_of(one) for one in instruments]
        self._width_ns = begun.timeframe_s * 1_000_000_000
        self._closings = Closings(len(instruments), begun.timeframe_s)
        self._histories = Histories(self._names, begun.timeframe_s, begun.lookback)
        self._speaker = Speaker(number, begun.digest)
        self._inbox: list[bytes] = []
        self._closed: deque[_Closed] = deque()
        self._unsent: list[bytes] = []
        self._wanted: dict[int, int] = {}  # instrument -> end of its newest bar that waits to be asked about
        self._todo = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._told: tuple[str, int] = ("", 0)
        self._asking = 0

    # --- bars in ----------------------------------------------------------------------------------

    def hear(self, block: bytes) -> None:
        """A flushed block of ENTRYs. Costs an append."""
        if not self._inbox:
            self._loop.call_later(LOOK_S, self._look)
        self._inbox.append(block)

    @property
    def waiting(self) -> int:
        """Bars that wait for an answer, and blocks nobody looked at yet."""
        return len(self._wanted) + self._asking + len(self._inbox)

    def _look(self) -> None:
        """Between the engine's turns: what closed in everything heard since the last look."""
        rows = np.frombuffer(b"".join(self._inbox), np.uint8).reshape(-1, _ENTRY_BYTES)
        self._inbox.clear()
        events = np.ascontiguousarray(rows[:, _ENTRY_BYTES - RECORD_BYTES :]).reshape(-1).view(RECORD)
        for closing in self._closings.take(events):
            self._take(closing)
        if self._closed:
            self._todo.set()

    def _take(self, closing: Any) -> None:
        i, row = int(closing["instrument"]), np.zeros(1, CLOSED)
        row["instrument"], row["forgotten"] = i, closing["forgotten"]
        end_ns = 0
        if closing["forgotten"]:
            self._histories.forget(i)
            self._wanted.pop(i, None)
        else:
            row["bar"] = row_of(closing, self._scales[i])
            self._histories.append(i, row["bar"][0])
            if i in self._mine and closing["ts_ns"] > 0:
                self._wanted[i] = end_ns = int(closing["start_ns"]) + self._width_ns
        self._closed.append(_Closed(row.tobytes(), i, end_ns))

    # --- forecasts out ----------------------------------------------------------------------------

    async def run(self, inject: Inject, now_ns: Callable[[], int], say: Callable[[Notice], None]) -> None:
        """Ask and tell the engine, until cancelled. Raises Retryable where the process hangs or ends, BadInput where
        the class cannot be used any more; begun again it goes on with the same history."""
        process = self._process or await self._begun_anew()
        self._process = None
        try:
            await process.tell(self._everything())
            while True:
                while (asked := self._next()) is not None:
                    self._asking = 1
                    answer = await process.ask(asked.row, asked.instrument)
                    forecast = self._judged(asked, answer, say)
                    made = self._speaker.event(asked.instrument, forecast, asked.end_ns, now_ns())
                    if made is not None:
                        inject(made)
                    self._asking = 0
                self._todo.clear()
                await self._todo.wait()
        finally:
            self._asking = 0
            await process.end()

    async def close(self) -> None:
        """End a process that was never run."""
        if self._process is not None:
            await self._process.end()

    async def _begun_anew(self) -> SignalProcess:
        process = await SignalProcess.start(self.plan, self._names)
        if process.begun.text != self.text:
            await process.end()
            raise BadInput(f"{self.plan.class_path} was changed since the engine started; start the engine again")
        return process

    def _everything(self) -> bytes:
        """The history as it is now; what waits to be asked about is asked about after it."""
        parts = [b""]
        for i in range(len(self._names)):
            bars = self._histories.bars(i)
            rows = np.zeros(len(bars), CLOSED)
            rows["instrument"], rows["bar"] = i, bars
            parts.append(rows.tobytes())
        self._closed.clear()
        self._closed += [_Closed(b"", i, end_ns) for i, end_ns in self._wanted.items()]
        self._unsent = []
        return b"".join(parts)

    def _next(self) -> _Closed | None:
        """The next bar to ask about, with everything that closed since the last question; None: nothing waits."""
        while self._closed:
            one = self._closed.popleft()
            self._unsent.append(one.row)
            if one.end_ns and self._wanted.get(one.instrument) == one.end_ns:
                del self._wanted[one.instrument]
                rows, self._unsent = b"".join(self._unsent), []
                return one._replace(row=rows)
        return None

    def _judged(self, asked: _Closed, answer: Answer, say: Callable[[Notice], None]) -> Forecast | None:
        """What the process sent is judged again on this side; what is wrong is told, once a minute at the most."""
        try:
            if answer.fault:
                raise BadInput(answer.fault)
            return judged(None if answer.forecast is None else Forecast(*answer.forecast))
        except BadInput as error:
            text, before_ns = self._told
            if text != str(error) or asked.end_ns - before_ns >= TELL_AGAIN_NS:
                self._told = (str(error), asked.end_ns)
                name = f"signal source {self.plan.name}: no forecast"
                say(Notice("engine", "refused", f"{name}, {error}", asked.instrument))
            return None


async def open_hosts(plans: Mapping[str, SignalPlan], instruments: Sequence[Instrument]) -> list[SignalHost]:
    """Every source's process, started and its class tried. Raises BadInput naming what cannot be used, Retryable where
    a process ends or says nothing."""
    speaks_for = owners(plans, instruments)
    names = [(one.venue, one.symbol) for one in instruments]
    made: list[SignalHost] = []
    try:
        for number, (name, plan) in enumerate(plans.items()):
            if speaks_for[name]:
                process = await SignalProcess.start(plan, names)
                made.append(SignalHost(process, plan, number, speaks_for[name], instruments))
    except BaseException:
        for host in made:
            await host.close()
        raise
    return made
