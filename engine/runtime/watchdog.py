"""Watching an engine from another process, and acting at the venues when it is silent.

Rules
-----
* Silent is who shows no sign of life in Redis *and* in the home folder (`silence`). Longer than `silence_cancel_s`: its
  entry orders are cancelled; longer than `silence_flatten_s`: the policy is carried out. A person is told of each.
* An engine that ended in order (its engine.json is gone) is not silent. One that is just starting is waited for.
* The first sign of life hands everything back: nothing more is sent, the venue sessions are closed. What was done
  meanwhile reaches the engine as ADOPTED fills, by its user stream or by its reconciliation.
* An emergency that nobody answers within `ANSWER_S` is carried out here.
* In paper and shadow nothing of ours is at a venue: a person is told, and that is all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import redis.asyncio

from engine.contracts.errors import BadData, Fatal, Retryable
from engine.journal.recovery import last_run
from engine.runtime.alerts import Alert, Alerts, Level
from engine.runtime.flatten import Flatten, Standing
from engine.runtime.ours import Ours, ours_at_least, read_ours
from engine.runtime.silence import Silence
from engine.runtime.stand_in import PAUSES_S, end
from engine.runtime.standing_in import carry_out
from engine.runtime.systemd import Systemd
from engine.runtime.watchplan import Policy, WatchdogPlan
from engine.store import emergency_file
from engine.store.emergency_file import FLAT, NOT_FLAT, Progress, Request
from engine.store.heartbeat import EVERY_S, STALE_S, WATCHDOG, clear_beat, write_beat
from engine.store.running import STARTING, WATCHING, Running, read_last
from engine.venues.background import reason_of
from engine.venues.port import Venue

LOOK_S: Final = 0.25
ANSWER_S: Final = 2.0
STARTING_S: Final = 120.0
"""How long a starting engine is waited for before its predecessor's silence counts."""
KEY: Final = "watchdog"
OpenVenues = Callable[[Ours], Awaitable[Sequence[Venue]]]
DOES: Final[dict[Policy, str]] = {
    "flatten_all": "everything of ours is closed",
    "keep_protected": "what stands behind its stop at the venue is kept, everything else closed",
    "cancel_only": "nothing more is done: positions stay as they are",
}


class _Act:
    """What is being done in the engine's place; `task` is None where a person was told and that is all."""

    def __init__(self, run: str, policy: Policy, request: Request | None = None) -> None:
        self.run, self.policy, self.request = run, policy, request
        self.flatten: Flatten | None = None
        self.task: asyncio.Task[None] | None = None
        self.said = ""


class Watchdog:
    """`client` reads the engine's heartbeat (None: there is no Redis); it has a short reply timeout and stays the
    caller's. `open_venues` opens the venues of what is ours, under `ClientIds.stand_in()`; it may raise."""

    def __init__(
        self, home: Path, world: str, plan: WatchdogPlan, client: redis.asyncio.Redis | None,
        open_venues: OpenVenues, alerts: Alerts, say: Callable[[str], None], systemd: Systemd | None = None,
    ) -> None:  # fmt: skip
        self._home, self._world, self._plan, self._client = home, world, plan, client
        self._open_venues, self._alerts, self._say = open_venues, alerts, say
        self._systemd = systemd or Systemd(None)
        self._silence: Silence | None = None
        self._act: _Act | None = None
        self._half = ""
        self._trouble = ""
        self._asked: tuple[str, float] = ("", 0.0)  # the emergency that is asked for, and since when
        self._answer: tuple[int, float] = (0, 0.0)  # what was last told of it, and since when
        self._beats, self._beat_s = 0, 0.0

    async def run(self, stopped: asyncio.Event) -> None:
        """Until `stopped`, or until there is no such home any more; then everything is let go of, whatever is under
        way."""
        try:
            while not stopped.is_set():
                if not self._home.is_dir():
                    self._say(f"{self._home} is gone: there is nothing to watch")
                    return
                await self._turn()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await stopped.wait()
                except TimeoutError:
                    pass
        finally:
            await self._release()
            clear_beat(self._home, WATCHDOG)

    @property
    def state(self) -> str:
        """What it does, in a few words."""
        if self._act is not None:
            why = "an emergency" if self._act.request is not None else "silence"
            return f"acting on {why} of {self._act.run}: {self._act.policy}"
        return f"watching {self._silence.run}" if self._silence is not None else "no engine runs"

    async def _turn(self) -> None:
        self._show_life()
        engine = self._engine()
        await self._listen(engine)
        await self._heed()
        if self._act is None or self._act.request is None:
            await self._judge(engine)

    def _show_life(self) -> None:
        now_s = time.monotonic()
        if now_s - self._beat_s < EVERY_S:
            return
        self._beat_s, self._beats = now_s, self._beats + 1
        try:
            write_beat(self._home, WATCHING, self._beats, self.state, WATCHDOG)
        except Fatal as error:
            self._mention(str(error))
        self._systemd.alive(self.state)

    # --- silence ----------------------------------------------------------------------------------

    def _engine(self) -> Running | None:
        try:
            return read_last(self._home)
        except BadData as error:
            self._mention(str(error))
            return None

    async def _listen(self, engine: Running | None) -> None:
        if engine is None:
            self._silence = None
            return
        run = engine.run
        if run == STARTING and self._silence is None and not engine.is_alive:
            found = last_run(self._home, self._world)
            run = found.name if found is not None else STARTING
        if run != STARTING and (self._silence is None or self._silence.run != run):
            self._silence = Silence(self._home, run, self._client)
            self._say(f"watching {run}")
        if self._silence is not None:
            await self._silence.look()

    async def _judge(self, engine: Running | None) -> None:
        silence, plan = self._silence, self._plan
        if silence is None or engine is None:
            if self._act is not None:
                await self._hand_back("the engine ended in order")
            return
        self._mention_half(silence.half)
        silent_s = silence.silent_s
        if silent_s <= plan.silence_cancel_s:
            if self._act is not None:
                await self._hand_back(f"{silence.run} is heard again")
        elif self._act is None:
            if engine.run != STARTING or not engine.is_alive or silent_s > STARTING_S:
                self._begin(silence.run, silent_s)
        elif silent_s > plan.silence_flatten_s and self._act.policy != plan.policy:
            self._escalate(self._act, silent_s)

    def _begin(self, run: str, silent_s: float) -> None:
        """The first silence: entries go."""
        act = self._act = _Act(run, "cancel_only")
        if self._world != "live":
            act.policy = self._plan.policy
            text = f"{run} has been silent for {silent_s:.0f} s. Its account is simulated: nothing is open at a venue."
            self._tell("WARNING", "the engine is silent", text)
            return
        text = (
            f"{run} has been silent for {silent_s:.0f} s, in Redis and in {self._home}: its entry orders are being "
            f"cancelled. At {self._plan.silence_flatten_s:.0f} s: {DOES[self._plan.policy]}."
        )
        self._tell("CRITICAL", "the engine is silent", text)
        act.task = asyncio.create_task(self._kept(act))

    def _escalate(self, act: _Act, silent_s: float) -> None:
        act.policy, act.said = self._plan.policy, ""
        if act.flatten is not None:
            act.flatten.escalate(act.policy)
        text = f"{act.run} has been silent for {silent_s:.0f} s: {DOES[act.policy]} (policy {act.policy})."
        self._tell("CRITICAL", "the engine is silent", text)

    async def _hand_back(self, why: str) -> None:
        """The engine is there again (or is not to be): nothing more is sent by us."""
        act = self._act
        await self._release()
        if act is not None and act.task is not None:
            text = f"{why}: handed back, the watchdog sends nothing more. {_last_words(act)}"
        else:
            text = f"{why}."
        self._tell("INFO", "handed back to the engine", text)

    async def _release(self) -> None:
        act, self._act = self._act, None
        if act is not None and act.task is not None:
            await end(act.task)

    # --- the work ---------------------------------------------------------------------------------

    async def _kept(self, act: _Act) -> None:
        """Do it, and begin again where it fails; told once for each reason."""
        said = ""
        for attempt in range(1_000_000):
            work = asyncio.create_task(self._carry_out(act))
            try:
                await asyncio.wait((work,))
            finally:
                await end(work)
            if not work.cancelled() and work.exception() is None:
                return
            why = reason_of(None if work.cancelled() else work.exception())
            if why != said:
                said = why
                self._tell("CRITICAL", "the watchdog cannot act", f"{act.run}: {why}. It tries again.", f"{KEY}.cannot")
            await asyncio.sleep(PAUSES_S[min(attempt, len(PAUSES_S) - 1)])

    async def _carry_out(self, act: _Act) -> None:
        ours = await asyncio.to_thread(self._read, act.run)
        venues = await self._open_venues(ours)
        self._alerts.put(Alert(level="INFO", title="the watchdog acts", text=act.run, key=f"{KEY}.cannot"))
        if act.request is None:
            act.flatten = Flatten(venues, ours, act.policy, partial(self._stands, act), self._say)
            await act.flatten.run(for_good=True)
            return
        told = await carry_out(self._home, act.request, KEY, venues, ours, partial(self._stands_in_emergency, act))
        self._tell("WARNING", "Emergency: FLAT", told.words, "emergency")

    def _read(self, run: str) -> Ours:
        """What is ours. Where the run cannot be recovered, its fills at the venues have to do."""
        folder = self._home / "runs" / run
        try:
            return read_ours(folder)
        except Fatal as error:
            text = f"{error}. What is ours is added up from the venues' lists of trades, which go back some days only."
            self._tell("CRITICAL", "the run cannot be recovered", text, f"{KEY}.run")
            return ours_at_least(folder)

    def _stands(self, act: _Act, standing: Sequence[Standing]) -> None:
        """Where the venues stand, said when it changes."""
        parts = [_spoken(one) for one in standing]
        is_done = all(one.is_done for one in standing)
        text = f"{act.policy} {'is done' if is_done else 'goes on'}: {'; '.join(parts)}"
        if text == act.said:
            return
        act.said = text
        self._say(text)
        if is_done:
            self._tell("CRITICAL", "the engine is silent", f"{act.run} is silent. {text}")

    # --- emergencies ------------------------------------------------------------------------------

    async def _heed(self) -> None:
        """Carry out an emergency that nobody answers; let go of it when somebody does, or it is over."""
        try:
            request = emergency_file.pending(self._home)
        except Retryable as error:
            self._mention(str(error))
            return
        acting = self._act is not None and self._act.request is not None
        now_s = time.monotonic()
        if request is None:
            self._asked = ("", now_s)
            if acting:
                await self._release()
            return
        if self._asked[0] != request.id:
            self._asked = (request.id, now_s)
        if self._is_answered(request, now_s):
            if acting and (self._act is None or self._act.task is None or not self._act.task.done()):
                self._say("somebody else carries the emergency out")
            if acting:
                await self._release()
        elif not acting and now_s - self._asked[1] > ANSWER_S:
            await self._stand_in(request)

    def _is_answered(self, request: Request, now_s: float) -> bool:
        """It is flat, or somebody else is at work on it."""
        told = emergency_file.progress(self._home)
        if told is None or not told.answers(request):
            return False
        if told.by == KEY:
            return told.flat is True
        if told.ts_ns != self._answer[0]:
            self._answer = (told.ts_ns, now_s)
        return told.flat is True or now_s - self._answer[1] < STALE_S

    async def _stand_in(self, request: Request) -> None:
        await self._release()
        found = last_run(self._home, self._world) if self._silence is None else self._home / "runs" / self._silence.run
        if self._world != "live" or found is None:
            self._tell_nothing(request, found)
            return
        text = f"Nobody answers the emergency asked for by {request.who} ({request.why}): the watchdog does."
        self._tell("CRITICAL", "Emergency: NOT FLAT", text, "emergency")
        act = self._act = _Act(found.name, "flatten_all", request)
        act.task = asyncio.create_task(self._kept(act))

    def _tell_nothing(self, request: Request, found: Path | None) -> None:
        is_flat = self._world != "live"
        words = (
            f"FLAT: mode {self._world}, the account is simulated and nothing is open at a venue"
            if is_flat
            else f"NOT FLAT: {self._home} holds no run of mode live; look at the exchange yourself"
        )
        told = Progress(
            request=request.id, phase=FLAT if is_flat else NOT_FLAT, flat=is_flat, by=KEY, seconds=0.0,
            ts_ns=time.time_ns(), words=words,
        )  # fmt: skip
        before = emergency_file.progress(self._home)
        if before is None or (before.request, before.words) != (told.request, told.words):
            self._tell("WARNING" if is_flat else "CRITICAL", f"Emergency: {told.phase}", words, "emergency")
            try:
                emergency_file.report(self._home, told)
            except Fatal as error:
                self._mention(str(error))

    def _stands_in_emergency(self, act: _Act, told: Progress) -> None:
        about = str([told.phase, *((v.flat, v.orders, v.positions, v.unreachable != "") for v in told.venues)])
        if about != act.said and told.flat is False:
            self._tell("CRITICAL", "Emergency: NOT FLAT", told.words, "emergency")
        act.said = about

    # --- telling ----------------------------------------------------------------------------------

    def _tell(self, level: Level, title: str, text: str, key: str = KEY) -> None:
        self._alerts.put(Alert(level=level, title=title, text=text, key=key))

    def _mention(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            self._say(text)

    def _mention_half(self, text: str) -> None:
        if text != self._half:
            self._half = text
            words = text or "the engine's heartbeat is whole again"
            self._tell("WARNING" if text else "INFO", "half of the heartbeat is missing", words, f"{KEY}.half")


def _spoken(one: Standing) -> str:
    told = one.told
    found = [f"{told.orders} orders"] if told.orders else []
    found += told.positions
    parts = [f"open: {', '.join(found)}" if found else "nothing open"]
    if told.unreachable:
        parts = [f"cannot be asked ({told.unreachable})"]
    if told.words:
        parts.append(told.words)
    return f"{told.venue} {', '.join(parts)}"


def _last_words(act: _Act) -> str:
    return f"Last: {act.said}." if act.said else "Nothing was done."


